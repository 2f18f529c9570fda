//! Ranges that nothing uses.

use super::{Claim, Usage};
use snapshot::{Range, merge};

/// Private ranges in the order in which they are tried. *Source*: RFC 1918; RFC 4193.
const PRIVATE: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8"];

/// A range of this family and prefix length that overlaps no claim: inside one of `within` if there is room, else a private one. The second value says
/// whether it is inside.
#[must_use]
pub fn free(claims: &[Claim], within: &[Range], is_v6: bool, length: u8) -> Option<(Range, bool)> {
    // What contains all of the parent is the parent itself in another role: the cluster's CIDR beside a pool of the same size.
    let used_in = |parent: Range| {
        let used = claims.iter().filter(|claim| {
            claim.range.is_v6() == is_v6 && claim.usage != Usage::OldPool { is_closed: true }
        });
        merge(used.map(|claim| claim.range).filter(|range| range.overlaps(parent)).collect())
    };
    let inside = within.iter().filter(|parent| parent.is_v6() == is_v6);
    let free_range = inside.filter_map(|parent| gap(*parent, &used_in(*parent), length)).next();
    if let Some(range) = free_range {
        return Some((range, true));
    }
    let private = PRIVATE.iter().filter_map(|range| Range::read(range).ok()).map(|(range, _)| range);
    let mut all = private.filter(|parent| parent.is_v6() == is_v6);
    all.find_map(|parent| gap(parent, &used_in(parent), length)).map(|range| (range, false))
}

/// The first range of this length in `parent` that none of `taken`, sorted and apart, overlaps.
fn gap(parent: Range, used_ranges: &[Range], length: u8) -> Option<Range> {
    if length < parent.length() {
        return None;
    }
    let (mut next, last) = parent.ends();
    for used in used_ranges {
        let candidate = Range::from_start(next, length, parent.is_v6())?;
        if candidate.ends().1 < used.ends().0 {
            break;
        }
        let step = 1_u128.checked_shl(u32::from(parent.bits() - length))?;
        // The first multiple of the size after the used one.
        next = next.max((used.ends().1 / step + 1).checked_mul(step)?);
    }
    Range::from_start(next, length, parent.is_v6()).filter(|range| range.ends().1 <= last)
}

#[cfg(test)]
mod tests {
    use snapshot::model::Kind;

    use super::*;
    use crate::check::finding::Subject;

    fn range(text: &str) -> Range {
        Range::read(text).expect("a range").0
    }

    fn claims(all: &[&str]) -> Vec<Claim> {
        all.iter().map(|text| Claim::new(range(text), Usage::Node, Subject::new(Kind::NODE, "n"))).collect()
    }

    #[test]
    fn the_first_gap_that_is_large_enough_is_found() {
        for (taken, within, length, expected) in [
            (&["10.0.0.0/16"][..], "10.0.0.0/8", 16, Some(("10.1.0.0/16", true))),
            (&["10.0.1.0/24"], "10.0.0.0/16", 24, Some(("10.0.0.0/24", true))),
            (&["10.0.1.0/24"], "10.0.0.0/16", 20, Some(("10.0.16.0/20", true))),
            (&["10.0.0.0/17", "10.0.128.0/17"], "10.0.0.0/16", 24, Some(("10.1.0.0/24", false))),
            (&["10.0.0.0/8"], "10.0.0.0/16", 16, Some(("172.16.0.0/16", false))),
            (&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"], "10.0.0.0/16", 16, None),
            (&["fd00::/9"], "fd00::/16", 112, Some(("fd80::/112", false))),
        ] {
            let range = free(&claims(taken), &[range(within)], within.contains(':'), length);
            let range = range.map(|(range, inside)| (range.to_string(), inside));
            assert_eq!(range, expected.map(|(range, inside)| (range.to_owned(), inside)), "{taken:?}");
        }
    }

    #[test]
    fn an_address_has_a_place() {
        assert_eq!(range("10.0.0.0/30").address(1).map(|ip| ip.to_string()).as_deref(), Some("10.0.0.1"));
        assert_eq!(range("10.0.0.0/30").address(4), None);
        assert_eq!(range("fd00::/64").address(1).map(|ip| ip.to_string()).as_deref(), Some("fd00::1"));
    }
}
