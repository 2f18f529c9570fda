//! Address ranges for Cilium, which matches pods and nodes by identity and only all other peers by address.

use snapshot::Range;

use crate::convert::intermediate::PlainPolicies;
use crate::engines::kubernetes::Block;

/// How many of some parties have an address in a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    None,
    Part,
    All,
}

/// The addresses of one family that some blocks have: intervals in order, with a gap between each two.
#[derive(Debug, PartialEq, Eq)]
struct Addresses {
    is_v6: bool,
    intervals: Vec<(u128, u128)>,
}

/// The parties whose addresses some blocks have, of the families that pods have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AddressedParties {
    /// Every address of every family.
    pub(super) is_everything: bool,
    /// Pods, by the ranges from which they get their addresses.
    pub(super) pods: Share,
    /// Nodes, by the addresses that they have.
    pub(super) nodes: Share,
}

/// The parties whose addresses these blocks have together.
pub(super) fn addressed_parties(blocks: &[Block], plain: &PlainPolicies) -> AddressedParties {
    let families: Vec<Addresses> = [false, true]
        .into_iter()
        // No packet of a family that no pod has is to or from a pod.
        .filter(|is_v6| {
            plain.pod_ranges.is_empty()
                || plain.pod_ranges.iter().any(|candidate| candidate.is_v6() == *is_v6)
        })
        .map(|is_v6| Addresses::from_blocks(blocks, is_v6))
        .collect();
    let share = |range: Range| {
        families
            .iter()
            .find(|addresses| addresses.is_v6 == range.is_v6())
            .map(|addresses| addresses.share(range))
    };
    AddressedParties {
        is_everything: families.iter().all(Addresses::is_everything),
        pods: Share::combine(plain.pod_ranges.iter().filter_map(|range| share(*range))),
        nodes: Share::combine(
            plain.node_addresses.iter().filter_map(|address| share(Range::from_address(*address))),
        ),
    }
}

impl Share {
    fn combine(shares: impl Iterator<Item = Self>) -> Self {
        shares.reduce(|share, other| if share == other { share } else { Self::Part }).unwrap_or(Self::None)
    }
}

impl Addresses {
    fn from_blocks(blocks: &[Block], is_v6: bool) -> Self {
        let mut intervals: Vec<(u128, u128)> = Vec::new();
        for block in blocks.iter().filter(|block| block.range.is_v6() == is_v6) {
            let mut remaining = vec![block.range.ends()];
            for (from, to) in block.except.iter().map(|range| range.ends()) {
                let cut = |(first, last): (u128, u128)| {
                    let before = from.checked_sub(1).map(|end| (first, end.min(last)));
                    let after = to.checked_add(1).map(|begin| (begin.max(first), last));
                    before.into_iter().chain(after).filter(|(first, last)| first <= last)
                };
                remaining = remaining.into_iter().flat_map(cut).collect();
            }
            intervals.extend(remaining);
        }
        intervals.sort_unstable();
        let mut joined: Vec<(u128, u128)> = Vec::new();
        for (first, last) in intervals {
            match joined.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => joined.push((first, last)),
            }
        }
        Self { is_v6, intervals: joined }
    }

    fn share(&self, range: Range) -> Share {
        let (first, last) = range.ends();
        if self.intervals.iter().any(|(begin, end)| *begin <= first && last <= *end) {
            Share::All
        } else if self.intervals.iter().any(|(begin, end)| *begin <= last && first <= *end) {
            Share::Part
        } else {
            Share::None
        }
    }

    fn is_everything(&self) -> bool {
        let highest = if self.is_v6 { u128::MAX } else { u128::from(u32::MAX) };
        self.intervals == [(0, highest)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Range {
        Range::read(text).expect("a range").0
    }

    fn block(text: &str, except: &[&str]) -> Block {
        Block { range: range(text), except: except.iter().map(|text| range(text)).collect() }
    }

    #[test]
    fn blocks_are_counted_together() {
        let plain = |pods: &[&str]| PlainPolicies {
            pod_ranges: pods.iter().map(|text| range(text)).collect(),
            node_addresses: ["192.168.1.1", "192.168.1.2", "fd00::1"]
                .map(|text| text.parse().expect("one"))
                .into(),
            ..PlainPolicies::default()
        };
        let (v4, both) = (plain(&["10.244.0.0/16"]), plain(&["10.244.0.0/16", "fd00:244::/64"]));
        let (none, part, all) = (Share::None, Share::Part, Share::All);
        for (blocks, plain, expected) in [
            (vec![block("0.0.0.0/0", &[])], &v4, (true, all, all)),
            (vec![block("0.0.0.0/0", &[])], &both, (false, part, part)),
            (vec![block("0.0.0.0/0", &[]), block("::/0", &[])], &both, (true, all, all)),
            (vec![block("0.0.0.0/1", &[]), block("128.0.0.0/1", &[])], &v4, (true, all, all)),
            (vec![block("0.0.0.0/0", &["10.244.0.0/16", "192.168.0.0/16"])], &v4, (false, none, none)),
            (vec![block("0.0.0.0/0", &["10.244.7.0/24"])], &v4, (false, part, all)),
            (
                vec![block("0.0.0.0/0", &["10.244.7.0/24"]), block("10.244.6.0/23", &[])],
                &v4,
                (true, all, all),
            ),
            (vec![block("10.244.1.2/32", &[])], &v4, (false, part, none)),
            (vec![block("192.168.1.1/32", &[])], &v4, (false, none, part)),
            (vec![block("192.168.0.0/16", &[])], &v4, (false, none, all)),
            (
                vec![block("10.0.0.0/8", &["10.244.0.0/17"]), block("10.244.0.0/17", &[])],
                &v4,
                (false, all, none),
            ),
            (vec![block("2001:db8::/32", &[])], &v4, (false, none, none)),
            (vec![block("fd00:244::/64", &[]), block("10.244.0.0/16", &[])], &both, (false, all, none)),
            (vec![], &both, (false, none, none)),
        ] {
            let AddressedParties { is_everything, pods, nodes } = addressed_parties(&blocks, plain);
            assert_eq!((is_everything, pods, nodes), expected, "{blocks:?}");
        }
    }
}
