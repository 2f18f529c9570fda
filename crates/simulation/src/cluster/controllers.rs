//! The simulated controllers: each workload has the pods that it wants.

use std::collections::BTreeSet;

use migration::roll::world::{self, Trait};
use snapshot::model::Text;

use crate::cluster::truth::{Pod, Truth};
use crate::history::History;
use crate::history::event::Event;

impl Truth {
    /// A new pod of a workload, which is nowhere yet.
    pub(crate) fn make(&mut self, workload: usize, ordinal: u32) -> u32 {
        self.created_pods += 1;
        let id = self.created_pods;
        let controller = &mut self.workloads[workload];
        let name = match &*controller.blueprint.owner.kind {
            "StatefulSet" => format!("{}-{ordinal}", controller.blueprint.owner.name),
            _ => format!("{}-{id:x}", controller.blueprint.owner.name),
        };
        let api = world::Pod {
            namespace: controller.blueprint.owner.namespace.clone(),
            name: Text::from(name),
            uid: uid(id),
            node: Text::default(),
            owner: Some(controller.blueprint.owner.clone()),
            traits: controller.blueprint.traits.clone(),
        };
        controller.pods.insert(id);
        let (start, grace, request) =
            (controller.blueprint.start, controller.blueprint.grace, controller.blueprint.request);
        let restarts = controller.evicted.pop().unwrap_or_default();
        let pod =
            Pod { workload: Some(workload), start, grace, request, ordinal, restarts, ..Pod::from_api(api) };
        self.pods.insert(id, pod);
        id
    }
}

/// The UID of a pod by its number.
pub(crate) fn uid(id: u32) -> Text {
    Text::from(format!("{id:08x}-5eed"))
}

/// The number of a pod by its UID.
pub(crate) fn number(uid: &str) -> Option<u32> {
    u32::from_str_radix(uid.get(..8)?, 16).ok()
}

impl History {
    /// Has a workload compare its pods soon.
    pub(crate) fn wake(&mut self, workload: usize) {
        let controller = &mut self.truth.workloads[workload];
        if !std::mem::replace(&mut controller.is_awake, true) {
            self.schedule_within(50, 400, Event::Reconcile(workload));
        }
    }

    /// Has a workload's status written soon.
    pub(crate) fn count_later(&mut self, workload: usize) {
        let controller = &mut self.truth.workloads[workload];
        if !std::mem::replace(&mut controller.is_counting, true) {
            self.schedule_within(20, 900, Event::Count(workload));
        }
    }

    /// Writes a workload's status.
    pub(crate) fn count(&mut self, workload: usize) {
        let (status, now) = (self.truth.available(workload), self.now);
        let controller = &mut self.truth.workloads[workload];
        controller.is_counting = false;
        let (since, most) = controller.short.unwrap_or((now, 0));
        controller.short = (status.ready < status.desired).then_some((since, most.max(status.ready)));
        if controller.status != status {
            controller.status = status;
            self.touch_workload(workload);
        }
    }

    /// Makes the pods that a workload lacks.
    pub(crate) fn reconcile(&mut self, workload: usize) {
        let controller = &mut self.truth.workloads[workload];
        controller.is_awake = false;
        if controller.is_over {
            return;
        }
        match &*controller.blueprint.owner.kind {
            "DaemonSet" => self.place_one_per_node(workload),
            "StatefulSet" => self.next_ordinal(workload),
            _ => self.as_many_as_wanted(workload),
        }
    }

    fn pods_of_workload(&self, workload: usize) -> impl Iterator<Item = (u32, &Pod)> {
        self.truth.workloads[workload].pods.iter().filter_map(|id| Some((*id, self.truth.pods.get(id)?)))
    }

    fn as_many_as_wanted(&mut self, workload: usize) {
        let counts =
            |pod: &Pod| !pod.api.has_trait(Trait::Terminating) && !pod.api.has_trait(Trait::Finished);
        let alive: Vec<u32> =
            self.pods_of_workload(workload).filter(|(_, pod)| counts(pod)).map(|(id, _)| id).collect();
        let replicas = self.truth.workloads[workload].blueprint.replicas as usize;
        for _ in alive.len()..replicas {
            let id = self.truth.make(workload, 0);
            self.truth.pending.insert(id);
            self.touch_pod(id);
            self.wake_scheduler();
        }
        for id in alive.into_iter().skip(replicas) {
            self.delete(id);
        }
    }

    /// A StatefulSet makes a pod when those before it are Ready, and when the one of the same name is gone.
    fn next_ordinal(&mut self, workload: usize) {
        for ordinal in 0..self.truth.workloads[workload].blueprint.replicas {
            let there = self.pods_of_workload(workload).find(|(_, pod)| pod.ordinal == ordinal);
            match there {
                Some((_, pod)) if pod.is_ready() => {}
                Some(_) => return,
                None => {
                    let id = self.truth.make(workload, ordinal);
                    self.truth.pending.insert(id);
                    self.touch_pod(id);
                    self.wake_scheduler();
                    return;
                }
            }
        }
    }

    fn place_one_per_node(&mut self, workload: usize) {
        let there: BTreeSet<usize> =
            self.pods_of_workload(workload).filter_map(|(_, pod)| pod.node).collect();
        let missing: Vec<usize> = self
            .truth
            .living_nodes()
            .map(|(index, _)| index)
            .filter(|index| !there.contains(index) && self.truth.has_daemon(workload, *index))
            .collect();
        for node in missing {
            let id = self.truth.make(workload, 0);
            self.bind(id, node);
        }
    }
}
