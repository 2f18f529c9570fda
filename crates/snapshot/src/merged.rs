//! Many ranges as few.

use super::Range;

/// The same addresses in as few ranges as possible: what another range contains is dropped, and two halves become one.
#[must_use]
pub fn merge(mut ranges: Vec<Range>) -> Vec<Range> {
    let key = |range: &Range| (range.is_v6(), range.ends().0, range.length());
    ranges.sort_by_key(key);
    let mut done: Vec<Range> = Vec::new();
    for range in ranges {
        if done.last().is_some_and(|last| last.contains(range)) {
            continue;
        }
        done.push(range);
        // The last two may be halves of one, which again may be a half.
        while let [.., a, b] = done.as_slice()
            && let Some(whole) = a.with_other_half(*b)
        {
            done.truncate(done.len() - 2);
            done.push(whole);
        }
    }
    done
}

impl Range {
    /// The smallest range that contains both; none if they are of two families.
    #[must_use]
    pub fn covering(self, other: Self) -> Option<Self> {
        let mut whole = self;
        while !whole.contains(other) {
            whole = whole.widen()?;
        }
        Some(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_range_contains_both() {
        for (item, two, whole) in [
            ("10.10.0.0/16", "10.20.0.0/16", Some("10.0.0.0/11")),
            ("10.10.0.0/16", "10.10.1.0/24", Some("10.10.0.0/16")),
            ("10.0.0.0/8", "192.168.0.0/16", Some("0.0.0.0/0")),
            ("10.0.0.0/8", "fd00::/8", None),
        ] {
            let (candidate, two) =
                (Range::read(item).expect("a range").0, Range::read(two).expect("a range").0);
            assert_eq!(
                candidate.covering(two).map(|range| range.to_string()).as_deref(),
                whole,
                "{candidate} {two}"
            );
        }
    }

    #[test]
    fn ranges_become_as_few_as_possible() {
        for (all, few) in [
            (&["10.0.0.0/24", "10.0.1.0/24"][..], &["10.0.0.0/23"][..]),
            (&["10.0.1.0/24", "10.0.2.0/24"], &["10.0.1.0/24", "10.0.2.0/24"]),
            (&["10.0.3.0/24", "10.0.2.0/24", "10.0.0.0/23"], &["10.0.0.0/22"]),
            (&["10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/8"], &["10.0.0.0/8"]),
            (&["fd00::/121", "fd00::80/121", "10.0.0.0/24"], &["10.0.0.0/24", "fd00::/120"]),
        ] {
            let ranges = all.iter().map(|range| Range::read(range).expect("a range").0).collect();
            let merged: Vec<String> = merge(ranges).iter().map(ToString::to_string).collect();
            assert_eq!(merged, few);
        }
    }
}
