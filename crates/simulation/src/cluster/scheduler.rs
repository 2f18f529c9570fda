//! The simulated scheduler: pods without a node get one that takes them.

use std::collections::BTreeMap;

use migration::roll::world::Trait;
use migration::workload::capacity::Request;

use crate::cluster::truth::{Pod, Truth};
use crate::history::History;
use crate::history::event::Event;

impl Truth {
    /// What a pod takes of the room of its node. One of a DaemonSet is left out of that, and one that ended has given it back.
    fn takes(&self, id: u32) -> Request {
        let takes_some = |pod: &&Pod| {
            !pod.api.has_trait(Trait::Finished)
                && pod.api.owner.as_ref().is_none_or(|owner| &*owner.kind != "DaemonSet")
        };
        self.pods.get(&id).filter(takes_some).map(|pod| pod.request).unwrap_or_default()
    }

    /// A pod gets its place on a node.
    pub(crate) fn place(&mut self, id: u32, node: usize) {
        if self.nodes[node].pods.insert(id) {
            let takes = self.takes(id);
            self.nodes[node].requested += takes;
        }
        debug_assert_eq!(
            self.nodes[node].requested,
            self.nodes[node].pods.iter().fold(Request::default(), |sum, pod| sum + self.takes(*pod))
        );
    }

    /// A pod is about to end or to go, and gives its room back.
    pub(crate) fn vacate(&mut self, id: u32) {
        if let Some(node) = self.pods.get(&id).and_then(|pod| pod.node) {
            self.nodes[node].requested = self.nodes[node].requested.subtract(self.takes(id));
        }
    }

    /// Whether a node takes a pod.
    pub(crate) fn fits(&self, id: u32, index: usize) -> bool {
        let node = &self.nodes[index];
        let takes_pods = node.api.is_ready && !node.api.is_cordoned && !node.is_barred();
        takes_pods && (node.requested + self.takes(id)).fits(&node.room, 0)
    }

    /// The node for a pod: one without the taint if there is one, then the zone and the node with the fewest pods of the same workload, then the emptiest.
    pub(crate) fn node_for(&self, id: u32) -> Option<usize> {
        let workload = self.pods.get(&id)?.workload;
        let (mut on, mut of_zone): (BTreeMap<usize, usize>, BTreeMap<&str, usize>) = Default::default();
        for pod in workload.iter().flat_map(|index| &self.workloads[*index].pods) {
            let Some(index) = self.pods.get(pod).and_then(|pod| pod.node) else { continue };
            let node = &self.nodes[index];
            if node.gone_at.is_none() {
                *on.entry(index).or_default() += 1;
                *of_zone.entry(&node.api.zone).or_default() += 1;
            }
        }
        let count = |position: Option<&usize>| position.copied().unwrap_or_default();
        let fits = self.living_nodes().filter(|(index, _)| self.fits(id, *index));
        fits.min_by_key(|(index, node)| {
            (
                node.api.is_fenced,
                count(on.get(index)),
                count(of_zone.get(&*node.api.zone)),
                node.requested.pods,
                *index,
            )
        })
        .map(|(index, _)| index)
    }
}

impl History {
    /// Has the scheduler look soon.
    pub(crate) fn wake_scheduler(&mut self) {
        if !self.is_scheduling && !self.truth.pending.is_empty() {
            self.is_scheduling = true;
            self.schedule_within(20, 300, Event::Schedule);
        }
    }

    /// Gives nodes to pods.
    pub(crate) fn schedule(&mut self) {
        self.is_scheduling = false;
        for id in self.truth.pending.clone() {
            match self.truth.node_for(id) {
                Some(node) => {
                    self.place_moving(id, node);
                    self.bind(id, node);
                }
                None => {
                    let Some(pod) = self.truth.pods.get_mut(&id) else { continue };
                    if pod.api.traits.insert(Trait::Unschedulable) {
                        self.touch_pod(id);
                    }
                }
            }
        }
    }
}
