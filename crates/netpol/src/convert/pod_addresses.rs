//! Ranges in policies that name addresses of pods.

use snapshot::Range;

use super::report::{Outcome, Report};
use crate::engines::kubernetes::Peer;
use crate::gather::Policies;
use crate::tier::Direction;

/// Why such a range means something else after a migration.
pub(super) const WHY: &str = "it has addresses of pods, and pods of the other network have other addresses";

/// A range names some pods by their addresses: it has a part of the pods' ranges and not all of them.
pub(super) fn names_pods(range: Range, pod_ranges: &[Range]) -> bool {
    let own = || pod_ranges.iter().filter(|pods| pods.is_v6() == range.is_v6());
    let meets = own().any(|pods| pods.overlaps(range));
    meets && !own().all(|pods| range.contains(*pods))
}

/// Adds an entry for each rule of a NetworkPolicy of Kubernetes that names pods so.
pub(super) fn replace_in_kubernetes(policies: &Policies, pod_ranges: &[Range], report: &mut Report) {
    for (object, policy) in policies.kubernetes.iter() {
        for (direction, rules) in [(Direction::Ingress, &policy.ingress), (Direction::Egress, &policy.egress)]
        {
            for (number, rule) in rules.iter().enumerate() {
                let names = rule.peers.iter().any(|peer| match peer {
                    Peer::Block(block) => {
                        block.except.iter().chain([&block.range]).any(|range| names_pods(*range, pod_ranges))
                    }
                    Peer::Pods(..) => false,
                });
                if names {
                    report.note(
                        object,
                        crate::convert::intermediate::place(direction, number),
                        Outcome::Snapshot,
                        WHY,
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_all_pods_names_none_of_them() {
        let range = |text: &str| Range::read(text).expect("a range").0;
        let pods = [range("10.0.0.0/16"), range("10.1.0.0/16"), range("fd00::/64")];
        for (text, expected) in [
            ("0.0.0.0/0", false),
            ("10.0.0.0/8", false),
            ("10.0.0.0/16", true),
            ("10.0.7.0/24", true),
            ("10.2.0.0/16", false),
            ("192.0.2.0/24", false),
            ("fd00::/64", false),
            ("fd00::/65", true),
        ] {
            assert_eq!(names_pods(range(text), &pods), expected, "{text}");
        }
    }
}
