//! How many nodes are in transit, who takes the places of others, and why.

use types::step::State;

use super::gates;
use super::memory::is_of;
use super::nodes::{NodeStatus, Standing};
use super::run::NodeRequest;
use super::view::{View, is_ours};
use super::wait::{Reason, Wait};
use super::world::Node;

/// Nodes that take a place among those in transit, and how many places there are.
#[derive(Debug)]
pub(super) struct Places {
    /// How many are taken in the whole cluster.
    pub(super) taken: u32,
    /// How many there are in the whole cluster.
    pub(super) most: u32,
    zones: Vec<Zone>,
}

/// The places of one zone.
#[derive(Debug, Clone, Copy, Default)]
struct Zone {
    taken: u32,
    most: u32,
}

impl Places {
    /// Whether this node may be in transit beside those that are.
    #[must_use]
    pub(super) fn has_room(&self, status: &NodeStatus<'_>) -> bool {
        let zone = &self.zones[status.zone];
        self.taken < self.most && zone.taken < zone.most
    }

    /// Whether no more nodes than may be are in transit, in the cluster and in the node's zone: one that has its place may keep it.
    #[must_use]
    pub(super) fn is_within(&self, status: &NodeStatus<'_>) -> bool {
        let zone = &self.zones[status.zone];
        self.taken <= self.most && zone.taken <= zone.most
    }

    /// How many are taken in the node's zone.
    #[must_use]
    pub(super) fn taken_beside(&self, status: &NodeStatus<'_>) -> u32 {
        self.zones[status.zone].taken
    }

    /// The node takes one.
    pub(super) fn add(&mut self, status: &NodeStatus<'_>) {
        self.taken += 1;
        self.zones[status.zone].taken += 1;
    }
}

/// The places that nodes in transit have, those that were just claimed, and nodes in trouble that is not of this run's making; one node left out of those that
/// take one.
#[must_use]
pub(super) fn places(view: &View<'_>, without: Option<&str>) -> Places {
    let mut zones = vec![Zone::default(); view.nodes.zones().len()];
    let mut taken = 0;
    for status in view.nodes() {
        let zone = &mut zones[status.zone];
        zone.most += 1;
        let is_counted = takes_place(view, status) || view.memory.pending_patches().has_claimed(status.name);
        if Some(&**status.name) != without && is_counted {
            taken += 1;
            zone.taken += 1;
        }
    }
    for zone in &mut zones {
        zone.most = (zone.most.saturating_mul(view.plan.limits.zone_percent) / 100).max(1);
    }
    Places { taken, most: most(view), zones }
}

/// How many nodes that are held may move again now: as many as may be in transit, without those that move.
#[must_use]
pub(super) fn room(view: &View<'_>) -> u32 {
    let is_moving = |standing| matches!(standing, Standing::Transit(step) if step.state != State::Held);
    let moving = view.nodes().filter(|status| is_moving(status.standing)).count();
    most(view).saturating_sub(u32::try_from(moving).unwrap_or(u32::MAX))
}

/// Somebody asked to bring this node back.
#[must_use]
pub(super) fn is_asked_back(view: &View<'_>, name: &str) -> bool {
    view.run.asked.get(name) == Some(&NodeRequest::Rollback)
}

/// How many nodes may be in transit at once in the whole cluster.
#[must_use]
fn most(view: &View<'_>) -> u32 {
    let most = view.plan.limits.in_transit.max(1);
    if gates::is_amber(view) { most.div_ceil(2) } else { most }
}

/// Whether a node is in transit, or in trouble.
fn takes_place(view: &View<'_>, status: &NodeStatus<'_>) -> bool {
    match status.standing {
        Standing::Transit(_) => true,
        // Somebody decided that this one stays cordoned.
        Standing::Skipped => !status.node.is_ready,
        // One that was left behind starts before others, and counts then. A step of another run may be forged by the node, and takes no place.
        Standing::Done | Standing::Pending | Standing::Foreign(_) => trouble(view, status.node).is_some(),
        Standing::LeftOut => false,
    }
}

/// Why a node cannot start, and takes the place of another: somebody takes it away, it is not Ready, or somebody else cordoned it.
fn trouble(view: &View<'_>, node: &Node) -> Option<Reason> {
    let is_own = node.step.as_ref().is_some_and(|step| is_of(step, view.run) && is_ours(node, step));
    match node {
        _ if node.is_going => Some(Reason::NodeGoing),
        _ if !node.is_ready => Some(Reason::NodeNotReady),
        _ if node.is_cordoned && !is_own => Some(Reason::ForeignCordon),
        _ => None,
    }
}

/// The same as a wait.
#[must_use]
pub(super) fn unfit(view: &View<'_>, name: &str, node: &Node) -> Option<Wait> {
    let object = format!("Node/{name}");
    Some(match trouble(view, node)? {
        Reason::NodeGoing => Wait::new(object, Reason::NodeGoing, "somebody takes it away"),
        Reason::NodeNotReady => Wait::new(object, Reason::NodeNotReady, "it is not Ready"),
        reason => {
            let help =
                format!("kubectl uncordon {name}, or leave it out: kubectl crossfade roll skip {name}");
            Wait::held(object, reason, "somebody else cordoned it", help)
        }
    })
}

/// A wait for a place among those in transit.
#[must_use]
pub(super) fn full(object: String) -> Wait {
    Wait::new(object, Reason::InTransit, "as many nodes are in transit or in trouble as may be")
}

/// Waits for a place, and for each node that takes one although nobody moves it.
#[must_use]
pub(super) fn full_by(view: &View<'_>, object: String) -> Vec<Wait> {
    let is_at_rest = |status: &&NodeStatus<'_>| {
        matches!(status.standing, Standing::Done | Standing::Pending | Standing::Foreign(_))
    };
    let in_trouble = view.nodes().filter(is_at_rest);
    let troubles = in_trouble.filter_map(|status| unfit(view, status.name, status.node));
    [full(object)].into_iter().chain(troubles).collect()
}
