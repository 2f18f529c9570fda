//! What the scheduler does: pods without a node get one that takes them. Pure.

use super::event::Event;
use super::history::History;
use super::truth::Truth;
use crate::roll::world::Trait;

impl Truth {
    /// Whether a pod of a DaemonSet is left out of what fits on a node.
    fn takes_room(&self, id: u32) -> bool {
        let pod = self.pods.get(&id);
        pod.is_some_and(|pod| {
            !pod.api.is(Trait::Finished)
                && pod.api.owner.as_ref().is_none_or(|owner| &*owner.kind != "DaemonSet")
        })
    }

    /// The node for a pod: one without the taint if there is one, then the zone and the node with the fewest pods of the same workload, then the emptiest.
    pub(super) fn node_for(&self, id: u32) -> Option<usize> {
        let workload = self.pods.get(&id)?.workload;
        let of_workload = |node: usize| {
            let same = |pod: &&u32| {
                workload.is_some() && self.pods.get(pod).is_some_and(|pod| pod.workload == workload)
            };
            self.nodes[node].pods.iter().filter(same).count()
        };
        let of_zone = |zone: &str| -> usize {
            self.living().filter(|(_, node)| &*node.api.zone == zone).map(|(at, _)| of_workload(at)).sum()
        };
        let taken = |node: usize| self.nodes[node].pods.iter().filter(|pod| self.takes_room(**pod)).count();
        let fits = self
            .living()
            .filter(|(at, node)| node.api.is_ready && !node.api.is_cordoned && taken(*at) < node.room);
        fits.min_by_key(|(at, node)| {
            (node.api.is_fenced, of_workload(*at), of_zone(&node.api.zone), taken(*at), *at)
        })
        .map(|(at, _)| at)
    }
}

impl History {
    /// Has the scheduler look soon.
    pub(super) fn wake_scheduler(&mut self) {
        if !self.is_scheduling && !self.truth.pending.is_empty() {
            self.is_scheduling = true;
            self.within(20, 300, Event::Schedule);
        }
    }

    /// Gives nodes to pods.
    pub(super) fn schedule(&mut self) {
        self.is_scheduling = false;
        for id in self.truth.pending.clone() {
            match self.truth.node_for(id) {
                Some(node) => self.bind(id, node),
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
