//! The reach between pods, by the phases they were attached in, and the phases that may therefore live beside each other.
//!
//! | client \ server | `old` | `both-old` | `both-new` | `new` |
//! |---|---|---|---|---|
//! | `old` | yes | yes | bridged | bridged |
//! | `both-old`, `both-new` | yes | yes | yes | yes |
//! | `new` | bridged | bridged | yes | yes |
//!
//! The table is about pod addresses. kube-proxy translates a cluster IP on the client's node, after its pod chose a network, so a Service between
//! `both-old` and `both-new` needs a bridge as well; the check `services-bridged` has its reason. A socket load balancer translates before the pod
//! chooses a network, so with one the table holds for Services, too.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use types::policy::{Attach, Phase, Side};

/// Whether a pod of the phase `client` reaches a Service's pod of the phase `server` only over nodes that forward between both networks.
///
/// A Service publishes the address of the primary network. *Source*: docs/policy.md, "Who reaches whom".
#[must_use]
pub const fn needs_bridge(client: Phase, server: Phase) -> bool {
    match client {
        Phase::Old => matches!(server, Phase::BothNew | Phase::New),
        Phase::BothOld | Phase::BothNew => false,
        Phase::New => matches!(server, Phase::Old | Phase::BothOld),
    }
}

/// Whether pods of two phases do not reach each other, in one direction or the other, without a bridge.
#[must_use]
pub const fn is_parted(phase: Phase, other: Phase) -> bool {
    needs_bridge(phase, other) || needs_bridge(other, phase)
}

/// The first two phases of `living` that do not reach each other without a bridge: client, then server.
#[must_use]
pub fn find_cut(living: &BTreeSet<Phase>) -> Option<(Phase, Phase)> {
    let pairs = living.iter().flat_map(|client| living.iter().map(move |server| (*client, *server)));
    pairs.into_iter().find(|(client, server)| needs_bridge(*client, *server))
}

/// How a running pod comes from one phase to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", const_into_str)]
pub enum Way {
    /// A second network joins it; its primary stays.
    Join,
    /// Its second network leaves it; its primary stays.
    Leave,
    /// It is restarted.
    Restart,
    /// It is restarted on another node: its own is replaced by one of a new image.
    Replace,
}

/// How a pod comes from one phase to another on a node where these networks join and leave running pods.
///
/// Kubernetes has no way to give a running pod another address, so a change of the primary network always takes a restart.
#[must_use]
pub fn way(from: Phase, to: Phase, joins: &[Side]) -> Way {
    let second = match from.min(to) {
        Phase::Old if from.max(to) == Phase::BothOld => Side::New,
        Phase::BothNew if from.max(to) == Phase::New => Side::Old,
        Phase::Old | Phase::BothOld | Phase::BothNew | Phase::New => return Way::Restart,
    };
    match to.meaning().0 {
        _ if !joins.contains(&second) => Way::Restart,
        Attach::Both => Way::Join,
        Attach::One(_) => Way::Leave,
    }
}

/// The targets of the passes that bring nodes in phase `from` to phase `to`: each phase in between, or `to` alone where nodes bridge. None if `from` is
/// `to`.
#[must_use]
pub fn path(from: Phase, to: Phase, is_bridged: bool) -> Vec<Phase> {
    if from == to {
        return Vec::new();
    }
    if is_bridged {
        return vec![to];
    }
    let between =
        |phase: &Phase| if from < to { from < *phase && *phase <= to } else { to <= *phase && *phase < from };
    let mut path: Vec<Phase> = Phase::ALL.into_iter().filter(between).collect();
    if from > to {
        path.reverse();
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use Phase::{BothNew, BothOld, New, Old};

    #[test]
    fn a_bridge_is_needed_where_two_pods_share_no_network_that_is_published() {
        let bridged: Vec<(Phase, Phase)> = Phase::ALL
            .into_iter()
            .flat_map(|client| Phase::ALL.map(|server| (client, server)))
            .filter(|(client, server)| needs_bridge(*client, *server))
            .collect();
        assert_eq!(bridged, [(Old, BothNew), (Old, New), (New, Old), (New, BothOld)]);
    }

    #[test]
    fn phases_that_follow_each_other_live_beside_each_other() {
        for (living, expected) in [
            (&[Old, BothOld][..], None),
            (&[BothOld, BothNew], None),
            (&[BothNew, New], None),
            (&[Old, BothNew], Some((Old, BothNew))),
            (&[BothOld, New], Some((New, BothOld))),
            (&[Old, BothOld, BothNew], Some((Old, BothNew))),
            (&[Old, New], Some((Old, New))),
        ] {
            assert_eq!(find_cut(&living.iter().copied().collect()), expected, "{living:?}");
        }
    }

    #[test]
    fn only_a_second_network_joins_and_leaves() {
        let both = Side::BOTH;
        let ways: Vec<(Phase, Phase, Way)> = Phase::ALL
            .into_iter()
            .flat_map(|from| Phase::ALL.map(|to| (from, to, way(from, to, &both))))
            .filter(|(_, _, way)| *way != Way::Restart)
            .collect();
        let expected = [
            (Old, BothOld, Way::Join),
            (BothOld, Old, Way::Leave),
            (BothNew, New, Way::Leave),
            (New, BothNew, Way::Join),
        ];
        assert_eq!(ways, expected);
        for (from, to, side) in [(Old, BothOld, Side::New), (BothNew, New, Side::Old)] {
            assert_ne!(way(from, to, &[side]), Way::Restart);
            assert_eq!(way(from, to, &[side.other()]), Way::Restart, "the node does not let it");
            assert_eq!(way(from, to, &[]), Way::Restart);
        }
    }

    #[test]
    fn a_path_goes_through_every_phase_in_between() {
        for (from, to, is_bridged, expected) in [
            (Old, New, false, &[BothOld, BothNew, New][..]),
            (New, Old, false, &[BothNew, BothOld, Old]),
            (BothOld, Old, false, &[Old]),
            (BothOld, New, false, &[BothNew, New]),
            (Old, New, true, &[New]),
            (New, Old, true, &[Old]),
            (New, New, true, &[]),
        ] {
            assert_eq!(path(from, to, is_bridged), expected, "{from} {to}");
        }
    }
}
