//! The pairs of ranges that overlap.

use super::Claim;

/// The indexes of each pair of overlapping claims, the containing one first, where exactly one of both belongs to the new network.
///
/// Two ranges are disjoint or one contains the other. So the claims, sorted by their first address and the larger one first, are walked with a
/// stack of those that contain the current address.
#[must_use]
pub fn overlaps(claims: &[Claim]) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = (0..claims.len()).collect();
    order.sort_by_key(|index| {
        let range = claims[*index].range;
        (range.is_v6(), range.ends().0, range.length(), *index)
    });
    let mut pairs = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    for index in order {
        while open.last().is_some_and(|last| !claims[*last].range.contains(claims[index].range)) {
            open.pop();
        }
        let is_new = claims[index].usage.is_new();
        pairs.extend(
            open.iter().filter(|outer| claims[**outer].usage.is_new() != is_new).map(|outer| (*outer, index)),
        );
        open.push(index);
    }
    pairs
}

#[cfg(test)]
mod tests {
    use snapshot::model::Kind;

    use super::*;
    use crate::check::finding::Subject;
    use crate::cni::cidr::Usage;
    use snapshot::Range;

    fn claims(all: &[(&str, Usage)]) -> Vec<Claim> {
        let claim = |(range, used): &(&str, Usage)| {
            Claim::new(Range::read(range).expect("a range").0, *used, Subject::new(Kind::NODE, "n"))
        };
        all.iter().map(claim).collect()
    }

    #[test]
    fn pairs_of_the_new_network_with_others_are_found_as_by_comparing_all() {
        let all = claims(&[
            ("10.10.4.0/24", Usage::NewNode),
            ("10.10.4.128/26", Usage::OldBlock),
            ("10.10.0.0/16", Usage::OldPool { is_closed: false }),
            ("10.10.5.0/24", Usage::NewNode),
            ("10.10.5.0/24", Usage::OldBlock),
            ("10.10.4.130/32", Usage::OldAddress),
            ("10.0.0.0/8", Usage::NewPool),
            ("192.168.0.0/16", Usage::Node),
            ("fd00::/120", Usage::NewNode),
            ("fd00::40/122", Usage::OldBlock),
            ("fd00::/121", Usage::NewNode),
            ("::/0", Usage::External),
        ]);
        let pair = |a: usize, b: usize| (a.min(b), a.max(b));
        let mut pairs: Vec<_> = overlaps(&all).into_iter().map(|(a, b)| pair(a, b)).collect();
        let mut expected = Vec::new();
        for a in 0..all.len() {
            for b in a + 1..all.len() {
                let (range, two) = (all[a].range, all[b].range);
                if all[a].usage.is_new() != all[b].usage.is_new()
                    && (range.contains(two) || two.contains(range))
                {
                    expected.push((a, b));
                }
            }
        }
        pairs.sort_unstable();
        assert_eq!(pairs, expected);
        assert_eq!(pairs.len(), 13);
    }
}
