//! The room for pods on fewer nodes.
//!
//! | what is compared | with what |
//! |---|---|
//! | what all pods request that go elsewhere when their node is drained, wherever they are, and what the pods request that stay on the nodes which take pods | what the nodes offer that take pods, without the one that is to be drained, and less a margin |
//!
//! Only sums are compared, so the answer stays right while pods move from one node to another. Pods are not asked what they select: a node's pods may go to
//! every node that has no taint which their own node lacks.

use std::collections::BTreeMap;
use std::fmt;

use snapshot::model::Node;

use super::request::{RESOURCES, Request, Resource, margin, tenths};

/// A node, as far as room goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place<'a> {
    /// Keys of the taints that keep pods away, sorted.
    pub taints: Vec<&'a str>,
    /// What pods may request of it in sum.
    pub offers: Request,
    /// What its pods request that go elsewhere when it is drained.
    pub moves: Request,
    /// What its pods request that stay on it: those of DaemonSets, and static ones.
    pub stays: Request,
    /// Whether it takes pods.
    pub state: State,
}

/// Whether a node takes pods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    Open,
    /// It does not now, and will when some time has passed.
    Returning,
    #[default]
    Closed,
}

/// Nodes, and what pods request.
#[derive(Debug, Clone, Default)]
pub struct Room<'a> {
    /// By the taints that keep pods away.
    groups: BTreeMap<Vec<&'a str>, Group>,
    /// What pods request of which it is not known where they may go.
    anywhere: Request,
}

/// Nodes with the same taints.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
    moves: Request,
    open: Side,
    returning: Side,
}

/// Nodes that take pods, or will.
#[derive(Debug, Clone, Copy, Default)]
struct Side {
    offers: Request,
    stays: Request,
}

/// What is short when a node is drained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// What pods request.
    pub requested: Request,
    /// What the other nodes offer that take pods.
    pub offered: Request,
    /// How many percent of that must stay free.
    pub margin_percent: u32,
    /// There will be enough when the nodes are back that do not take pods now.
    pub is_passing: bool,
}

impl<'a> Room<'a> {
    /// One more node.
    pub fn add(&mut self, place: Place<'a>) {
        let group = self.groups.entry(place.taints).or_default();
        group.moves += place.moves;
        let side = match place.state {
            State::Open => &mut group.open,
            State::Returning => &mut group.returning,
            State::Closed => return,
        };
        side.offers += place.offers;
        side.stays += place.stays;
    }

    /// Pods that need a place, and of which it is not known where they may go: they have no node, or had one that is gone.
    pub fn add_anywhere(&mut self, request: Request) {
        self.anywhere += request;
    }

    /// A node that was added takes no pods from now on.
    pub fn close(&mut self, place: &Place<'a>) {
        if place.state == State::Open
            && let Some(group) = self.groups.get_mut(&place.taints)
        {
            group.open.offers = group.open.offers.subtract(place.offers);
            group.open.stays = group.open.stays.subtract(place.stays);
        }
    }

    /// What is short if this node, which was added, takes no pods any more; none if the others have room for everything.
    #[must_use]
    pub fn shortage(&self, place: &Place<'_>, margin_percent: u32) -> Option<Shortage> {
        let is_for_them =
            |taints: &Vec<&str>| taints.iter().all(|taint| place.taints.binary_search(taint).is_ok());
        let groups = || self.groups.iter().filter(|(taints, _)| is_for_them(taints)).map(|(_, group)| group);
        let sum = |request_of: fn(&Group) -> Request| {
            groups().map(request_of).fold(Request::default(), |all, request| all + request)
        };
        let (mut offered, mut stays) = (sum(|group| group.open.offers), sum(|group| group.open.stays));
        if place.state == State::Open {
            (offered, stays) = (offered.subtract(place.offers), stays.subtract(place.stays));
        }
        let requested = sum(|group| group.moves) + self.anywhere + stays;
        if requested.fits(&offered, margin_percent) {
            return None;
        }
        let back =
            (requested + sum(|group| group.returning.stays), offered + sum(|group| group.returning.offers));
        let is_passing = back.0.fits(&back.1, margin_percent);
        Some(Shortage { requested, offered, margin_percent, is_passing })
    }
}

impl fmt::Display for Shortage {
    /// `pods request 61.2 cores and 118 GiB, and the other nodes that take them offer 60 cores and 120 GiB, of which 10 % must stay free`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_short = |(_, count_of, _): &&Resource| {
            let offered = count_of(&self.offered);
            count_of(&self.requested) > offered - margin(offered, self.margin_percent)
        };
        let short: Vec<_> = RESOURCES.iter().filter(is_short).collect();
        let listed = |request: &Request| -> String {
            let amounts: Vec<String> = short
                .iter()
                .map(|(unit, count_of, size)| format!("{} {unit}", tenths(count_of(request), *size)))
                .collect();
            amounts.join(" and ")
        };
        write!(
            f,
            "pods request {}, and the other nodes that take them offer {}, of which {} % must stay free",
            listed(&self.requested),
            listed(&self.offered),
            self.margin_percent
        )
    }
}

/// Keys of a node's taints that keep pods away, sorted. Those that Kubernetes sets by itself say nothing about who belongs there.
#[must_use]
pub fn barring(node: &Node) -> Vec<&str> {
    let hard = node.spec.taints.iter().filter(|taint| &*taint.effect != "PreferNoSchedule");
    let mut keys: Vec<&str> = hard.map(|taint| &*taint.key).collect();
    keys.retain(|key| !key.starts_with("node.kubernetes.io/"));
    keys.sort_unstable();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cores(cores: u128) -> Request {
        Request { cpu: cores * 1000, ..Request::default() }
    }

    /// A node that offers ten cores.
    fn place<'a>(taints: &[&'a str], moves: u128, stays: u128, state: State) -> Place<'a> {
        Place { taints: taints.to_vec(), offers: cores(10), moves: cores(moves), stays: cores(stays), state }
    }

    fn room<'a>(places: &[Place<'a>]) -> Room<'a> {
        let mut room = Room::default();
        places.iter().for_each(|place| room.add(place.clone()));
        room
    }

    /// Each row: the nodes beside the first, which is to be drained; the margin; and what is requested, offered and whether time helps, if that is short.
    #[test]
    fn the_others_take_what_moves() {
        use State::{Closed, Open, Returning};
        let first = place(&[], 4, 2, Open);
        let other = |moves, stays, state| place(&[], moves, stays, state);
        for (what, others, margin_percent, short) in [
            ("it is alone", vec![], 0, Some((4, 0, false))),
            ("what stays on it needs no room elsewhere", vec![other(6, 0, Open)], 0, None),
            ("what stays on the other needs room", vec![other(6, 1, Open)], 0, Some((11, 10, false))),
            ("the margin", vec![other(5, 0, Open)], 10, None),
            ("over the margin", vec![other(6, 0, Open)], 10, Some((10, 10, false))),
            (
                "the other is closed, and its pods need room",
                vec![other(1, 1, Closed)],
                0,
                Some((5, 0, false)),
            ),
            ("the other comes back", vec![other(1, 1, Returning)], 0, Some((5, 0, true))),
            ("it comes back, and is too small", vec![other(5, 2, Returning)], 0, Some((9, 0, false))),
            ("one is closed, one is open", vec![other(3, 2, Closed), other(3, 0, Open)], 0, None),
            (
                "no node takes pods of a tainted node",
                vec![place(&["gpu"], 0, 0, Open)],
                0,
                Some((4, 0, false)),
            ),
        ] {
            let room = room(&[vec![first.clone()], others].concat());
            let shortage = room.shortage(&first, margin_percent);
            let rows = shortage
                .map(|short| (short.requested.cpu / 1000, short.offered.cpu / 1000, short.is_passing));
            assert_eq!(rows, short, "{what}");
        }
    }

    /// Pods of a tainted node tolerate its taints, and may go to all nodes with fewer of them.
    #[test]
    fn taints_keep_pods_away() {
        let all = [
            place(&[], 4, 0, State::Open),
            place(&["gpu"], 8, 0, State::Open),
            place(&["gpu", "spot"], 1, 0, State::Open),
        ];
        let room = room(&all);
        let short = |index: usize| {
            room.shortage(&all[index], 0).map(|short| (short.requested.cpu / 1000, short.offered.cpu / 1000))
        };
        assert_eq!(short(0), Some((4, 0)), "no other node is without a taint");
        assert_eq!(short(1), Some((12, 10)), "the tainted pods go to the first node");
        assert_eq!(short(2), None, "these pods go everywhere");
    }

    #[test]
    fn what_has_no_node_needs_room_too() {
        let all = [place(&[], 4, 0, State::Open), place(&[], 4, 0, State::Open)];
        let mut room = room(&all);
        assert_eq!(room.shortage(&all[0], 0), None);
        room.add_anywhere(cores(3));
        assert_eq!(room.shortage(&all[0], 0).map(|short| short.requested), Some(cores(11)));
    }

    #[test]
    fn a_node_that_is_taken_is_no_room_for_the_next() {
        let all: Vec<_> = (0..3).map(|_| place(&[], 4, 0, State::Open)).collect();
        let mut room = room(&all);
        assert_eq!(room.shortage(&all[0], 0), None);
        room.close(&all[0]);
        assert_eq!(room.shortage(&all[1], 0).map(|short| short.offered), Some(cores(10)));
        // One that took no pods before takes nothing away.
        room.close(&Place { state: State::Closed, ..all[1].clone() });
        assert_eq!(room.shortage(&all[1], 0).map(|short| short.offered), Some(cores(10)));
    }

    #[test]
    fn only_what_is_short_is_told() {
        let gib = 1000 * (1 << 30);
        let requested = Request { cpu: 61_250, memory: 118 * gib, pods: 10_000 };
        let offered = Request { cpu: 60_000, memory: 120 * gib, pods: 110_000 };
        let text_of =
            |margin_percent| Shortage { requested, offered, margin_percent, is_passing: false }.to_string();
        assert_eq!(
            text_of(10),
            "pods request 61.2 cores and 118 GiB, and the other nodes that take them offer 60 cores and 120 GiB, of which 10 % must stay free"
        );
        assert_eq!(
            text_of(0),
            "pods request 61.2 cores, and the other nodes that take them offer 60 cores, of which 0 % must stay free"
        );
    }

    #[test]
    fn only_taints_that_keep_pods_away_count() {
        let node = |taints: &str| -> Node {
            serde_json::from_str(&format!(r#"{{"spec":{{"taints":{taints}}}}}"#)).expect("a node")
        };
        for (taints, keys) in [
            ("[]", &[][..]),
            (r#"[{"key":"b","effect":"NoSchedule"},{"key":"a","effect":"NoExecute"}]"#, &["a", "b"]),
            (r#"[{"key":"a","effect":"NoSchedule"},{"key":"a","effect":"NoExecute"}]"#, &["a"]),
            (r#"[{"key":"a","effect":"PreferNoSchedule"}]"#, &[]),
            (r#"[{"key":"node.kubernetes.io/unschedulable","effect":"NoSchedule"}]"#, &[]),
        ] {
            assert_eq!(barring(&node(taints)), keys, "{taints}");
        }
    }
}
