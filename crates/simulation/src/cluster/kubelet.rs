//! The simulated kubelet and plugin: pods get sandboxes, are attached in the phase of that moment, become Ready and end.

use migration::roll::world::Trait;
use types::policy::Phase;

use crate::cluster::truth::{Attachment, Pod, Truth};
use crate::disturb::fault::CallFault;
use crate::history::History;
use crate::history::event::{Event, Sandbox, Turn};
use crate::history::queue::{MINUTE, Millis, SECOND};

/// kubelet tries again after this time at the latest.
const RETRY: Millis = 5 * MINUTE;

impl Truth {
    /// How long a pod with the node's network takes to become Ready, if it is the agent that makes the network of a node without Crossfade work.
    fn agent_delay(&self, id: u32, node: usize, now: Millis) -> Millis {
        let machine = &self.nodes[node].machine;
        let is_agent = self.pods.get(&id).is_some_and(|pod| self.is_new_agent(pod));
        if is_agent && !machine.has_crossfade { machine.works_from.saturating_sub(now) } else { 0 }
    }
}

impl History {
    /// The pod, if this is still its sandbox.
    fn pod_in_sandbox(&mut self, sandbox: Sandbox) -> Option<&mut Pod> {
        self.truth.pods.get_mut(&sandbox.pod).filter(|pod| pod.sandbox == sandbox.number)
    }

    /// Binds a pod to a node, whose kubelet starts it.
    pub(crate) fn bind(&mut self, id: u32, node: usize) {
        let (name, now) = (self.truth.nodes[node].name.clone(), self.now);
        let Some(pod) = self.truth.pods.get_mut(&id) else { return };
        (pod.node, pod.placed) = (Some(node), now);
        pod.api.node = name;
        pod.api.traits.remove(&Trait::Unschedulable);
        self.truth.place(id, node);
        self.truth.pending.remove(&id);
        self.touch_pod(id);
        if self.truth.nodes[node].answers() {
            self.start_sandbox(id);
        }
    }

    /// kubelet makes a new sandbox for a pod.
    pub(crate) fn start_sandbox(&mut self, id: u32) {
        let Some(pod) = self.truth.pods.get_mut(&id) else { return };
        pod.sandbox += 1;
        let sandbox = Sandbox { pod: id, number: pod.sandbox };
        self.schedule_within(200, 2 * SECOND, Event::Add(sandbox));
    }

    /// The plugin reads the policy. Its record follows at once, or later where the disk is slow.
    pub(crate) fn add(&mut self, sandbox: Sandbox) {
        let now = self.now;
        let Some(pod) = self.pod_in_sandbox(sandbox) else { return };
        let (Some(node), start) = (pod.node, pod.start) else { return };
        if pod.api.has_trait(Trait::HostNetwork) {
            match self.truth.agent_delay(sandbox.pod, node, now) {
                delay if delay > RETRY => self.schedule_after(RETRY, Event::Add(sandbox)),
                delay => self.schedule_after(start.max(delay), Event::Ready(sandbox)),
            }
            return;
        }
        let machine = &self.truth.nodes[node].machine;
        let (phase, works_from) = (machine.phase, machine.works_from);
        if now < works_from {
            // The network does not work yet, so the ADD fails, and kubelet tries again.
            self.schedule_after((works_from - now + SECOND).min(RETRY), Event::Add(sandbox));
            return;
        }
        let gap = if self.strikes(CallFault::SlowAdd) { self.random.number_between(100, 2500) } else { 5 };
        self.schedule_after(gap, Event::Attach(sandbox, phase));
    }

    /// The attachment is on record; its pod becomes Ready later, in whatever phase the node is then.
    pub(crate) fn attach(&mut self, sandbox: Sandbox, phase: Phase) {
        let since = self.now;
        let Some(pod) = self.pod_in_sandbox(sandbox) else { return };
        pod.attached = Some(Attachment::new(phase, since));
        self.show_address(sandbox.pod, phase);
        let Some(pod) = self.pod_in_sandbox(sandbox) else { return };
        let (start, node) = (pod.start, pod.node);
        let late =
            if self.strikes(CallFault::SlowAdd) { self.random.number_between(0, 2 * MINUTE) } else { 0 };
        self.schedule_after(start + late, Event::Ready(sandbox));
        if let Some(node) = node {
            self.poke(node);
            self.join_later(node);
        }
    }

    /// In a run to the final image, the address of a pod tells its network.
    fn show_address(&mut self, id: u32, phase: Phase) {
        if !self.plan.is_final() {
            return;
        }
        let Some(pod) = self.truth.pods.get_mut(&id) else { return };
        let changes = match phase {
            Phase::Old | Phase::BothOld => pod.api.traits.insert(Trait::OtherNetwork),
            Phase::BothNew | Phase::New => pod.api.traits.remove(&Trait::OtherNetwork),
        };
        if changes {
            self.touch_pod(id);
        }
    }

    /// The pod is Ready.
    pub(crate) fn set_ready(&mut self, sandbox: Sandbox) {
        let Some(pod) = self.pod_in_sandbox(sandbox) else { return };
        let answers = |history: &Self, node: Option<usize>| {
            node.is_some_and(|index| history.truth.nodes[index].answers())
        };
        let (node, is_finished) = (pod.node, pod.api.has_trait(Trait::Finished));
        if is_finished || !answers(self, node) {
            return;
        }
        if node.is_some_and(|node| self.truth.agent_delay(sandbox.pod, node, self.now) > 0) {
            return self.schedule_after(0, Event::Add(sandbox));
        }
        if let Some(pod) = self.pod_in_sandbox(sandbox) {
            pod.api.traits.insert(Trait::Ready);
        }
        self.touch_pod(sandbox.pod);
        node.into_iter().for_each(|node| self.lift_later(node));
        self.plan_end(sandbox.pod);
        let workload = self.truth.pods.get(&sandbox.pod).and_then(|pod| pod.workload);
        workload.into_iter().for_each(|workload| self.wake(workload));
    }

    /// A Job's pod works for a time.
    pub(crate) fn plan_end(&mut self, id: u32) {
        let Some(pod) = self.truth.pods.get(&id) else { return };
        let lasts = pod.workload.and_then(|index| self.truth.workloads[index].blueprint.lasts);
        let sandbox = Sandbox { pod: id, number: pod.sandbox };
        lasts.into_iter().for_each(|lasts| self.schedule_after(lasts, Event::Finish(sandbox)));
    }

    /// The pod has done its work.
    pub(crate) fn finish(&mut self, sandbox: Sandbox) {
        let now = self.now;
        let Some(pod) = self.pod_in_sandbox(sandbox).filter(|pod| !pod.api.has_trait(Trait::Terminating))
        else {
            return;
        };
        pod.shaken = Some(now);
        pod.api.traits.remove(&Trait::Ready);
        pod.attached = None;
        let (node, workload) = (pod.node, pod.workload);
        self.truth.vacate(sandbox.pod);
        if let Some(pod) = self.truth.pods.get_mut(&sandbox.pod) {
            pod.api.traits.insert(Trait::Finished);
        }
        node.into_iter().for_each(|node| self.poke(node));
        if let Some(workload) = workload {
            self.truth.workloads[workload].is_over = true;
        }
        self.touch_pod(sandbox.pod);
    }

    /// A person deletes the pod: it ends after its grace.
    pub(crate) fn delete(&mut self, id: u32) {
        let now = self.now;
        let Some(pod) = self.truth.pods.get_mut(&id) else { return };
        if !pod.api.traits.insert(Trait::Terminating) {
            return;
        }
        if !pod.is_moved {
            pod.shaken = Some(now);
        }
        let (node, grace, workload) = (pod.node, pod.grace, pod.workload);
        self.touch_pod(id);
        workload.into_iter().for_each(|workload| self.wake(workload));
        match node {
            None => self.schedule_after(0, Event::End(id)),
            Some(node) if self.truth.nodes[node].answers() => {
                let late = if self.strikes(CallFault::SlowEnd) {
                    self.random.number_between(1, 20) * MINUTE
                } else {
                    0
                };
                self.schedule_after(grace + late, Event::End(id));
            }
            // kubelet learns of it when it is back.
            Some(_) => {}
        }
    }

    /// The pod has ended, and its DEL has gone through; its object goes.
    pub(crate) fn end(&mut self, id: u32) {
        let Some(pod) = self.truth.pods.get(&id).filter(|pod| pod.api.has_trait(Trait::Terminating)) else {
            return;
        };
        let (node, workload) = (pod.node, pod.workload);
        if let Some(node) = node
            && self.truth.nodes[node].gone_at.is_none()
            && !self.truth.nodes[node].answers()
        {
            return;
        }
        self.forget(id);
        if let Some(node) = node {
            self.poke(node);
            self.wake_scheduler();
        }
        workload.into_iter().for_each(|workload| self.wake(workload));
    }

    /// The pod's object is gone.
    pub(crate) fn forget(&mut self, id: u32) {
        self.touch_pod(id);
        self.truth.vacate(id);
        let Some(pod) = self.truth.pods.remove(&id) else { return };
        if pod.api.has_trait(Trait::Dns) && !pod.is_moved {
            self.truth.dns_lost = Some(self.now);
        }
        self.truth.pending.remove(&id);
        if let Some(node) = pod.node {
            let is_agent = self.truth.is_new_agent(&pod);
            let node = &mut self.truth.nodes[node];
            if is_agent {
                node.agent_lost = Some(self.now);
            }
            node.pods.remove(&id);
            node.machine.forgets.remove(&id);
        }
        if let Some(workload) = pod.workload {
            self.truth.workloads[workload].pods.remove(&id);
        }
    }

    /// kubelet is there again: pods that were deleted meanwhile end, and all others run again.
    pub(crate) fn resume_pods(&mut self, turn: Turn) {
        let now = self.now;
        self.lift_later(turn.node);
        let pods: Vec<u32> = self.truth.nodes[turn.node].pods.iter().copied().collect();
        for id in pods {
            let Some(pod) = self.truth.pods.get_mut(&id) else { continue };
            if pod.api.has_trait(Trait::Terminating) {
                self.schedule_within(SECOND, 10 * SECOND, Event::End(id));
            } else if pod.api.has_trait(Trait::Finished) {
            } else if pod.attached.is_some() || pod.api.has_trait(Trait::HostNetwork) {
                let sandbox = Sandbox { pod: id, number: pod.sandbox };
                if !pod.api.has_trait(Trait::Ready) {
                    self.schedule_within(SECOND, 5 * SECOND, Event::Ready(sandbox));
                }
            } else {
                pod.api.traits.remove(&Trait::Ready);
                pod.shaken = Some(now);
                self.touch_pod(id);
                self.start_sandbox(id);
            }
        }
    }
}
