//! R13: the other nodes have room for the pods of a node that is drained.
//!
//! A run knows what pods requested when it counted them, and what nodes were when it looked; that is what it is held to.

use std::collections::BTreeMap;

use migration::roll::budget::CENSUS_FRESH;
use migration::roll::world::Trait;
use migration::workload::capacity::Request;

use crate::cluster::truth::{Node, Pod, duration_of};
use crate::history::History;
use crate::history::event::Flight;
use crate::history::queue::Millis;

/// What pods requested when a holder counted them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Count {
    counted_at: Millis,
    /// Those that go elsewhere when their node is drained.
    moves: Request,
    /// Those that stay, by node.
    stays: BTreeMap<usize, Request>,
}

impl Pod {
    /// It stays on its node when that is drained.
    pub(crate) fn stays(&self) -> bool {
        self.api.owner.as_ref().is_some_and(|owner| matches!(&*owner.kind, "DaemonSet" | "Node"))
    }

    /// It takes some of its node's room, or is about to take some.
    pub(crate) fn counts(&self) -> bool {
        !self.api.has_trait(Trait::Finished)
            && (self.node.is_some() || !self.api.has_trait(Trait::Unschedulable))
    }
}

impl History {
    /// A holder counts all pods.
    pub(crate) fn check_census(&mut self, flight: &Flight) {
        let mut count = Count { counted_at: flight.sent, ..Count::default() };
        let largest = self.truth.hosts().largest;
        for pod in self.truth.pods.values().filter(|pod| pod.counts() && pod.request.fits(&largest, 0)) {
            let is_out = pod.node.is_some_and(|node| self.is_left_out(&self.truth.nodes[node].name));
            match pod.node {
                Some(_) if is_out => {}
                Some(node) if pod.stays() => *count.stays.entry(node).or_default() += pod.request,
                Some(_) | None => count.moves += pod.request,
            }
        }
        self.counts.insert(flight.holder, count);
    }

    /// A node is about to be cordoned, so that its pods go elsewhere.
    pub(super) fn check_room(&mut self, flight: &Flight, node: usize) {
        if self.truth.lease.was_forced {
            return;
        }
        let name = self.truth.nodes[node].name.clone();
        let Some(count) = self.counts.get(&flight.holder) else {
            self.broken("R13", format!("{name} is drained, and no count has what pods request"));
            return;
        };
        if duration_of(flight.nodes_seen.saturating_sub(count.counted_at)) >= CENSUS_FRESH {
            let why = format!("{name} is drained on a count of {} s", count.counted_at / 1000);
            self.broken("R13", why);
            return;
        }
        let is_open = |node: &Node| {
            let api = &node.api;
            // Which of the nodes that a pipeline has marked is drained shows nothing but its cordon, which a person may have undone.
            let is_going = api.is_going && !self.is_marked(node);
            let takes_pods = api.is_ready && !api.is_cordoned && !is_going && node.gone_at.is_none();
            let is_new = node.shut_since.is_some_and(|since| since >= flight.nodes_seen);
            // What the run itself did it knows.
            takes_pods || (is_new && node.drained < flight.nodes_seen)
        };
        let (mut requested, mut offered) = (count.moves, Request::default());
        for (other, target) in self.truth.nodes.iter().enumerate() {
            if other != node && !self.is_left_out(&target.name) && is_open(target) {
                offered += target.api.offers;
                requested += count.stays.get(&other).copied().unwrap_or_default();
            }
        }
        let usable = |offered: u128| offered * u128::from(100 - self.plan.margin_percent.min(100));
        let is_short = requested.cpu * 100 > usable(offered.cpu)
            || requested.memory * 100 > usable(offered.memory)
            || requested.pods * 100 > usable(offered.pods);
        if is_short {
            let why = format!("{name} is drained: pods request {requested:?}, and others offer {offered:?}");
            self.broken("R13", why);
        }
    }
}
