//! Places among nodes in transit: how many there are, which nodes take one, and why.

use std::time::Duration;

use snapshot::model::Text;
use types::api::step::State;

use crate::roll::replacement::{self, Turnover, arrival};
use crate::roll::view::{NodeStatus, Standing, View, is_of_run, is_ours};
use crate::roll::wait::{Reason, Subject, Wait};
use crate::roll::world::Color;

/// Nodes that take a place among those in transit, and how many places there are.
#[derive(Debug)]
pub(in crate::roll) struct Places {
    /// How many are taken in the whole cluster.
    pub(in crate::roll) occupied: u32,
    /// How many there are in the whole cluster.
    pub(in crate::roll) most: u32,
    /// How many of these are taken by nodes that their pipelines have begun with before it was their turn.
    begun_nodes: u32,
    zones: Vec<Zone>,
}

/// The places of one zone.
#[derive(Debug, Clone, Copy, Default)]
struct Zone {
    occupied: u32,
    begun_nodes: u32,
    most: u32,
}

impl Places {
    /// Whether this node may be in transit beside those that are.
    #[must_use]
    pub(in crate::roll) fn has_room(&self, status: &NodeStatus<'_>) -> bool {
        let zone = &self.zones[status.zone];
        self.occupied < self.most && zone.occupied < zone.most
    }

    /// Whether no more nodes than may be are in transit, in the cluster and in the node's zone: one that has its place may keep it.
    #[must_use]
    pub(in crate::roll) fn is_within(&self, status: &NodeStatus<'_>) -> bool {
        let zone = &self.zones[status.zone];
        self.occupied <= self.most && zone.occupied <= zone.most
    }

    /// Whether a node that its pipeline has begun with may go beside those that are in transit. Others like it wait for it as it waits for them, and their pipeline
    /// may ask for one after the other, so they do not keep it.
    #[must_use]
    pub(in crate::roll) fn has_room_beside_begun(&self, status: &NodeStatus<'_>) -> bool {
        let zone = &self.zones[status.zone];
        self.occupied - self.begun_nodes < self.most && zone.occupied - zone.begun_nodes < zone.most
    }

    /// Such a node goes: it keeps its place.
    pub(in crate::roll) fn let_begun_go(&mut self, status: &NodeStatus<'_>) {
        self.begun_nodes = self.begun_nodes.saturating_sub(1);
        let zone = &mut self.zones[status.zone];
        zone.begun_nodes = zone.begun_nodes.saturating_sub(1);
    }

    /// How many are taken in the node's zone.
    #[must_use]
    pub(in crate::roll) fn taken_beside(&self, status: &NodeStatus<'_>) -> u32 {
        self.zones[status.zone].occupied
    }

    /// The node takes one.
    pub(in crate::roll) fn add(&mut self, status: &NodeStatus<'_>) {
        self.occupied += 1;
        self.zones[status.zone].occupied += 1;
    }
}

/// The places that nodes in transit have, those that were just claimed, and nodes in trouble that is not of this run's making; one node left out of those that
/// take one.
#[must_use]
pub(in crate::roll) fn count_places(view: &View<'_>, without: Option<&str>) -> Places {
    let mut zones = vec![Zone::default(); view.nodes.zones().len()];
    let (mut taken, mut begun) = (0, 0);
    for status in view.nodes() {
        let zone = &mut zones[status.zone];
        zone.most += 1;
        if arrival::is_arriving(status, view.run) {
            // It is counted with the places of its pool.
            zone.occupied += 1;
            continue;
        }
        let is_claimed = view.memory.pending_patches().has_claimed(status.name);
        if Some(&**status.name) != without && (is_claimed || takes_place(view, status)) {
            taken += 1;
            zone.occupied += 1;
            if !is_claimed && is_begun(view, status) {
                begun += 1;
                zone.begun_nodes += 1;
            }
        }
    }
    taken += replacement::open_places(view) + replacement::hidden_drains(view);
    for zone in &mut zones {
        zone.most = (zone.most.saturating_mul(view.plan.limits.zone_percent) / 100).max(1);
    }
    Places { occupied: taken, most: most_in_transit(view), begun_nodes: begun, zones }
}

/// How many nodes that are held may move again now: as many as may be in transit, without those that move.
#[must_use]
pub(in crate::roll) fn places_for_held(view: &View<'_>) -> u32 {
    let is_moving = |standing| matches!(standing, Standing::Transit(step) if step.state != State::Held);
    let moving = view.nodes().filter(|status| is_moving(status.standing)).count();
    most_in_transit(view).saturating_sub(u32::try_from(moving).unwrap_or(u32::MAX))
}

/// How many nodes may be in transit at once in the whole cluster.
#[must_use]
fn most_in_transit(view: &View<'_>) -> u32 {
    let most = view.plan.limits.in_transit.max(1);
    if has_amber_gate(view) { most.div_ceil(2) } else { most }
}

/// Whether a node is in transit, or in trouble.
pub(in crate::roll) fn takes_place(view: &View<'_>, status: &NodeStatus<'_>) -> bool {
    match status.standing {
        Standing::Transit(_) => true,
        // The operator decided that this one stays cordoned.
        Standing::Skipped => !status.node.is_ready,
        // One that was left behind starts before others, and counts then. A step of another run may be forged by the node, and takes no place.
        Standing::Done | Standing::Pending | Standing::Foreign(_) => trouble_reason(view, status).is_some(),
        Standing::LeftOut => false,
    }
}

/// Whether a node takes a place since a pipeline that asks has begun with it before it was its turn.
pub(in crate::roll) fn is_begun(view: &View<'_>, status: &NodeStatus<'_>) -> bool {
    let asks = || view.pipeline(status.node).asks(view.world, view.run, status.name, status.node);
    status.standing == Standing::Pending
        && status.turnover == Turnover::Leaves
        && replacement::is_going(view, status)
        && asks().is_some()
}

/// Why a node cannot start, and takes the place of another: it is being removed, is not Ready, or another actor cordoned it.
///
/// A node that is to be replaced may be cordoned by its pipeline, which asks no one to undo that.
pub(in crate::roll) fn trouble_reason(view: &View<'_>, status: &NodeStatus<'_>) -> Option<Reason> {
    let node = status.node;
    let is_own = node.step.as_ref().is_some_and(|step| is_of_run(step, view.run) && is_ours(node, step));
    if replacement::is_going(view, status) {
        Some(Reason::NodeGoing)
    } else if !node.is_ready {
        Some(Reason::NodeNotReady)
    } else if node.is_cordoned && !is_own && status.turnover != Turnover::Leaves {
        Some(Reason::ForeignCordon)
    } else {
        None
    }
}

/// The same as a wait.
#[must_use]
pub(in crate::roll) fn trouble_wait(view: &View<'_>, status: &NodeStatus<'_>) -> Option<Wait> {
    let name = status.name;
    let object = Subject::node(name);
    Some(match trouble_reason(view, status)? {
        Reason::NodeGoing => going_wait(view, name),
        Reason::NodeNotReady => Wait::new(object, Reason::NodeNotReady, "it is not Ready"),
        reason => {
            let help =
                format!("kubectl uncordon {name}, or leave it out: kubectl crossfade roll skip {name}");
            Wait::new_held(object, reason, "another client cordoned it", help)
        }
    })
}

/// A wait for the end of a node that another program takes away. A program that ends in the middle may leave its mark, so that the node stays: a person has
/// to look after one that is there for longer than a drain may take.
#[must_use]
pub(in crate::roll) fn going_wait(view: &View<'_>, name: &Text) -> Wait {
    let (now, limit) = (view.world.now, Duration::from_secs(view.plan.limits.move_seconds.into()));
    let help = format!(
        "kubectl describe node {name} shows the mark; where nothing takes the node away: remove the mark and kubectl uncordon {name}, \
         or drain and remove the node"
    );
    let wait = Wait::new(Subject::node(name), Reason::NodeGoing, "another program takes it away").help(help);
    wait.limited(view.memory.going_for(name, now), limit, now)
}

/// A wait for a place among those in transit.
#[must_use]
pub(in crate::roll) fn no_place_wait(object: Subject) -> Wait {
    Wait::new(object, Reason::InTransit, "as many nodes are in transit or in trouble as may be")
}

/// Waits for a place, and for each node that takes one although it does not move.
#[must_use]
pub(in crate::roll) fn no_place_waits(view: &View<'_>, object: Subject) -> Vec<Wait> {
    let is_at_rest = |status: &&NodeStatus<'_>| {
        matches!(status.standing, Standing::Done | Standing::Pending | Standing::Foreign(_))
    };
    let in_trouble = view.nodes().filter(is_at_rest);
    let troubles = in_trouble.filter_map(|status| trouble_wait(view, status));
    [no_place_wait(object)].into_iter().chain(troubles).collect()
}

/// Some gate asks to go on more slowly.
#[must_use]
fn has_amber_gate(view: &View<'_>) -> bool {
    view.plan
        .gates
        .iter()
        .any(|gate| view.verdict(&gate.name).is_some_and(|verdict| verdict.color == Color::Amber))
}
