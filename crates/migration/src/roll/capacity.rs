//! Whether the other nodes have room for the pods of a node that is to be drained.
//!
//! What pods request comes from a count of all pods, at most ten minutes old; what nodes offer, and whether they take pods, from the Nodes. Without a count
//! nobody knows, and no node is drained. A node that is cordoned already takes no room away when it starts, and pods of one that is not cordoned come back.

use std::time::Duration;

use snapshot::model::Text;

use super::act::Act;
use super::nodes::Standing;
use super::transit::DOWN;
use super::view::View;
use super::wait::{Reason, Wait};
use super::world::{Census, Node, RequestSums};
use crate::capacity::{Place, Request, Room, State};
use crate::plan::Method;

/// For so long a count says what pods request. Counting is a list of all pods, which large clusters should not be asked for more often.
pub const FRESH: Duration = Duration::from_mins(10);

/// What all pods request and all nodes offer.
struct Capacity<'a> {
    census: &'a Census,
    room: Room<'a>,
}

/// What keeps nodes from being drained in this step. Nothing is added up before the first node asks.
#[derive(Default)]
pub(super) struct Guard<'a> {
    /// None until then; then none if no count is fresh.
    capacity: Option<Option<Capacity<'a>>>,
    /// Nodes that are taken in this step before any of those that ask.
    taken: Vec<(&'a Text, &'a Node)>,
    /// It is told once, of the first node that has to wait.
    wait: Option<Wait>,
}

/// Whether a node that starts takes room from the others.
#[must_use]
pub(super) fn takes_room(view: &View<'_>, node: &Node) -> bool {
    view.method(node) == Method::Drain && !node.is_cordoned
}

/// Why a node must not be drained now; none if the others have room.
#[must_use]
pub(super) fn shortage_wait(view: &View<'_>, name: &Text, node: &Node) -> Option<Wait> {
    let mut guard = Guard::default();
    if guard.admit(view, name, node) { None } else { guard.wait }
}

impl<'a> Guard<'a> {
    /// Nodes that these acts drain take no pods any more.
    pub(super) fn after(view: &View<'a>, acts: &[Act]) -> Self {
        let drained = |act: &Act| match act {
            Act::Patch(patch) if patch.cordon == Some(true) => {
                view.world.nodes.get_key_value(&patch.node).map(|(name, node)| (name, &**node))
            }
            Act::Patch(_) | Act::Evict(_) | Act::Delete(_) | Act::Census | Act::Record(_) => None,
        };
        Self { taken: acts.iter().filter_map(drained).collect(), ..Self::default() }
    }

    /// Whether a node may start. One that may counts as no room from then on; after one that may not, room is kept for it.
    pub(super) fn admit(&mut self, view: &View<'a>, name: &'a Text, node: &'a Node) -> bool {
        if !takes_room(view, node) {
            return true;
        }
        if self.wait.is_some() {
            return false;
        }
        let taken = std::mem::take(&mut self.taken);
        let known = self.capacity.get_or_insert_with(|| {
            let mut capacity = Capacity::of(view)?;
            taken.into_iter().for_each(|(name, node)| capacity.close(view, name, node));
            Some(capacity)
        });
        let wait = match known {
            None => Some(Wait::new(
                "Run",
                Reason::Census,
                "what all pods request is counted before a node is drained",
            )),
            Some(capacity) => capacity.take(view, name, node),
        };
        self.wait = wait;
        self.wait.is_none()
    }

    /// What has to be done and waited for, of all nodes that asked.
    pub(super) fn into_act_and_wait(self) -> (Option<Act>, Option<Wait>) {
        let is_unknown = matches!(self.capacity, Some(None));
        (is_unknown.then_some(Act::Census), self.wait)
    }
}

impl<'a> Capacity<'a> {
    fn of(view: &View<'a>) -> Option<Self> {
        let census = view.world.census.as_ref().filter(|census| view.ago(census.at) < FRESH)?;
        let mut room = Room::default();
        // Both are in the order of names, so that large clusters are gone through once.
        let mut counted = census.requests.iter().peekable();
        for (name, node) in &view.world.nodes {
            // Pods of nodes that went since the count are somewhere by now, or will be.
            while let Some((_, sums)) = counted.next_if(|(on, _)| *on < name) {
                room.add_anywhere(sums.moves);
            }
            let requested = counted.next_if(|(on, _)| *on == name).map(|(_, sums)| *sums).unwrap_or_default();
            let standing = view.standing(name);
            if standing != Standing::LeftOut {
                room.add(place(requested, node, state(view, name, node, standing)));
            }
        }
        counted.for_each(|(_, sums)| room.add_anywhere(sums.moves));
        Some(Self { census, room })
    }

    fn place(&self, view: &View<'_>, name: &Text, node: &'a Node) -> Place<'a> {
        let state = if takes_pods(view, name, node) { State::Open } else { State::Closed };
        place(self.census.requests.get(name).copied().unwrap_or_default(), node, state)
    }

    /// A node takes no pods from now on.
    fn close(&mut self, view: &View<'_>, name: &Text, node: &'a Node) {
        let place = self.place(view, name, node);
        self.room.close(&place);
    }

    /// Takes the room of a node, or says why it has to stay.
    fn take(&mut self, view: &View<'_>, name: &Text, node: &'a Node) -> Option<Wait> {
        let place = self.place(view, name, node);
        let Some(short) = self.room.short(&place, view.plan.margin_percent) else {
            self.room.close(&place);
            return None;
        };
        let until = self.census.at + FRESH;
        if short.is_passing {
            let what = format!("{short}; other nodes are in transit or not Ready, and offer more later");
            return Some(Wait::new(format!("Node/{name}"), Reason::NoCapacity, what).until(until));
        }
        let help = "add nodes; or make a new plan: its pods come back to the node with roll: {methods: {POOL: churn}}, and less stays free with capacity: {marginPercent: PERCENT}";
        Some(Wait::held(format!("Node/{name}"), Reason::NoCapacity, short.to_string(), help).until(until))
    }
}

fn place(requested: RequestSums, node: &Node, state: State) -> Place<'_> {
    let taints = node.taints.iter().map(|key| &**key).collect();
    // Pods may name a node whose kubelet never looks at them. What runs on a node is never more than it offers.
    let says = node.offers != Request::default();
    let moves = if says { requested.moves.least(node.offers) } else { requested.moves };
    Place { taints, offers: node.offers, moves, stays: requested.stays, state }
}

/// Whether the scheduler gives pods to a node: it does not once the run cordoned it, also if the Node does not show that yet.
fn takes_pods(view: &View<'_>, name: &str, node: &Node) -> bool {
    let is_cordoned = node.is_cordoned || view.memory.pending_patches().has_cordoned(name);
    node.is_ready && !node.has_no_network && !is_cordoned && !node.is_going
}

fn state(view: &View<'_>, name: &str, node: &Node, standing: Standing<'_>) -> State {
    let is_moving = match standing {
        Standing::Transit(step) => step.state != types::step::State::Held,
        Standing::Pending => view.is_held_since_earlier_pass(node),
        Standing::LeftOut | Standing::Done | Standing::Foreign(_) | Standing::Skipped => false,
    };
    let is_short = || view.memory.down(name, view.world.now).is_none_or(|down| down < DOWN);
    match node {
        _ if takes_pods(view, name, node) => State::Open,
        _ if node.is_going => State::Closed,
        _ if is_moving || (!node.is_cordoned && is_short()) => State::Returning,
        _ => State::Closed,
    }
}

#[cfg(test)]
mod tests;
