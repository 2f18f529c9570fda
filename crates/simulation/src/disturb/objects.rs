//! Faults of objects: what people and tools do to them, nodes that come and go.

use std::collections::BTreeSet;

use migration::roll::world::{Owner, Trait};
use migration::workload::START_TAINT_CILIUM;
use migration::workload::capacity::Request;
use snapshot::model::Text;
use types::api::step::{Cordon, State, Step};
use types::policy::Phase;

use crate::cluster::build::{NodeBlueprint, WorkloadBlueprint};
use crate::cluster::truth::{Actor, Budget, Node, Pod, Reporter};
use crate::disturb::fault::{Fault, NodeFault, ObjectFault};
use crate::history::History;
use crate::history::event::{Event, Repair, Sandbox};
use crate::history::queue::{MINUTE, SECOND};
use crate::pipeline::{DISRUPTED, STARTUP};

/// How many nodes a cluster has at most.
const MOST: usize = 90;

impl Node {
    /// Another actor than the run cordons the node. Until the run has noted that its own cordon was taken away, a new one cannot be told from it.
    pub(crate) fn set_foreign_cordon(&mut self) {
        let is_noted = self.api.step.as_ref().is_none_or(|step| step.cordon != Some(Cordon::Ours));
        let actor = if is_noted { Actor::Other } else { Actor::Run };
        (self.api.is_cordoned, self.cordoned_by) = (true, Some(actor));
    }
}

impl History {
    pub(super) fn hit_object(&mut self, fault: ObjectFault) {
        match fault {
            ObjectFault::PodDeleted => self.delete_any_pod(),
            ObjectFault::PodCrash => self.crash_any_pod(),
            ObjectFault::Pinned => self.pin_any_pod(),
            ObjectFault::Budget | ObjectFault::TwoBudgets => self.hit_budget(fault),
            ObjectFault::NodeJoins | ObjectFault::Intruder => self.joins(fault),
            ObjectFault::Tenant => self.add_tenant(),
        }
    }

    pub(super) fn hit_node(&mut self, fault: NodeFault, index: usize, phase: Option<Phase>) {
        let is_plain = !self.truth.nodes[index].machine.has_crossfade;
        match fault {
            // No actor works with Crossfade's keys on a node that has none of it.
            NodeFault::DesiredEdited | NodeFault::LabelEdited | NodeFault::HostileNode if is_plain => {}
            NodeFault::Cordon => self.cordon(index),
            NodeFault::Uncordon => self.uncordon(index),
            NodeFault::Recordon => {
                self.uncordon(index);
                let wait = self.random.number_between(1, 90 * SECOND);
                self.schedule_after(wait, Event::Disturb(Fault::Node(NodeFault::Cordon)));
                self.recordon = Some(index);
            }
            NodeFault::Drain => {
                self.cordon(index);
                self.delete_all(index);
            }
            NodeFault::DesiredEdited => {
                let node = &mut self.truth.nodes[index];
                (node.api.desired, node.is_lured) = (phase, true);
                self.surprise(index, Reporter::Watch);
                self.touch_node(index);
                self.compare(index);
                self.poke(index);
            }
            NodeFault::LabelEdited => {
                self.truth.nodes[index].api.label = phase;
                self.touch_node(index);
                self.poke(index);
            }
            NodeFault::StepRemoved => {
                let now = self.now;
                let node = &mut self.truth.nodes[index];
                node.forged = Some((now, node.api.pool.clone(), node.api.step.take()));
                // From then on nothing says that the annotation is the run's.
                node.undisturbed_by = node.undisturbed_by.map(|_| Actor::Other);
                let reporter = if is_plain { Reporter::Kubelet } else { Reporter::Watch };
                self.surprise(index, reporter);
                if is_plain {
                    self.publish_report(index);
                }
                self.touch_node(index);
                self.poke(index);
            }
            NodeFault::HostileNode => self.forge(index),
            NodeFault::Touch => self.touch_node(index),
            NodeFault::NodeGoes => {
                self.truth.nodes[index].api.is_going = true;
                self.touch_node(index);
                self.schedule_within(5 * SECOND, 5 * MINUTE, Event::Remove(index));
            }
            NodeFault::NodeReplaced => {
                self.remove(index);
                self.schedule_within(SECOND, 5 * MINUTE, Event::Mend(Repair::Replacement(index)));
            }
        }
    }

    /// A node writes on its own Node what no run has written, or takes away what its `watch` wrote.
    fn forge(&mut self, index: usize) {
        let Some(run) = self.truth.run() else { return };
        let (id, claim, to) = (run.id.clone(), run.claim(1), run.target().unwrap_or(run.from));
        let step = |run: &str, claim: &str, state, cordon| Step {
            run: run.into(),
            plan: String::new(),
            epoch: 1,
            claim: claim.into(),
            to,
            state,
            cordon,
            since: None,
            r#try: u32::MAX,
            why: None,
            undisturbed: false,
        };
        let now = self.now;
        let node = &mut self.truth.nodes[index];
        let (pool, before) = (node.api.pool.clone(), node.api.step.clone());
        let api = &mut node.api;
        match self.random.number_below(5) {
            0 => api.step = Some(step("r-0", "r-0.1.1", State::Held, None)),
            1 => api.step = Some(step("r-0", "r-0.1.1", State::Moving, Some(Cordon::Ours))),
            2 if !api.is_cordoned => api.step = Some(step(&id, &claim, State::Done, Some(Cordon::Ours))),
            3 => api.pool = "rogue".into(),
            _ => api.observed = None,
        }
        if node.api.step != before {
            // From then on nothing says that the annotation is the run's.
            node.undisturbed_by = node.undisturbed_by.map(|_| Actor::Other);
        }
        node.forged = Some((now, pool, before));
        self.surprise(index, Reporter::Watch);
        self.touch_node(index);
        self.schedule_within(MINUTE, 60 * MINUTE, Event::Mend(Repair::Forgery(index)));
    }

    /// A node's report and its pool are as they were.
    pub(crate) fn unforge(&mut self, index: usize) {
        let now = self.now;
        let node = &mut self.truth.nodes[index];
        if node.api.pool != node.pool {
            let forged = std::mem::replace(&mut node.api.pool, node.pool.clone());
            node.forged = Some((now, forged, node.api.step.clone()));
            self.touch_node(index);
        }
        self.poke(index);
    }

    /// A tenant makes pods that request more than any node has: one without an owner, one that no scheduler takes, or those of a workload.
    fn add_tenant(&mut self) {
        let request = Request { cpu: 1 << 70, memory: 1 << 90, ..Request::POD };
        let name = format!("tenant{}", self.truth.created_pods);
        match self.random.number_below(3) {
            0 => {
                let owner = Owner {
                    kind: "Deployment".into(),
                    namespace: "default".into(),
                    name: name.as_str().into(),
                };
                let (traits, start, grace) = (BTreeSet::new(), SECOND, SECOND);
                let blueprint =
                    WorkloadBlueprint { owner, replicas: 2, traits, request, start, grace, lasts: None };
                let workload = self.truth.add_workload(blueprint);
                self.wake(workload);
            }
            is_scheduled => {
                let id = self.truth.add_pod(&name, None, BTreeSet::new());
                if let Some(pod) = self.truth.pods.get_mut(&id) {
                    pod.request = request;
                }
                if is_scheduled == 1 {
                    self.truth.pending.insert(id);
                    self.wake_scheduler();
                }
                self.touch_pod(id);
            }
        }
    }

    /// A person cordons a node; one that is cordoned stays as it is.
    pub(crate) fn cordon(&mut self, index: usize) {
        let index = self.recordon.take().unwrap_or(index);
        if !self.truth.nodes[index].api.is_cordoned && self.truth.nodes[index].gone_at.is_none() {
            self.truth.nodes[index].set_foreign_cordon();
            self.touch_node(index);
        }
    }

    /// A person uncordons a node.
    pub(crate) fn uncordon(&mut self, index: usize) {
        let now = self.now;
        let node = &mut self.truth.nodes[index];
        if node.api.is_cordoned {
            (node.api.is_cordoned, node.cordoned_by, node.uncordoned_at) = (false, None, now);
            self.touch_node(index);
            self.wake_scheduler();
        }
    }

    fn delete_any_pod(&mut self) {
        let Some(id) = self.any_pod() else { return };
        let is_static = |pod: &Pod| pod.api.has_trait(Trait::Static);
        if self.truth.pods.get(&id).is_some_and(|pod| !is_static(pod)) {
            self.delete(id);
        }
    }

    fn crash_any_pod(&mut self) {
        let Some(id) = self.any_pod() else { return };
        let Some(pod) = self.truth.pods.get_mut(&id) else { return };
        pod.api.traits.remove(&Trait::Ready);
        pod.shaken = Some(self.now);
        let sandbox = Sandbox { pod: id, number: pod.sandbox };
        self.schedule_within(5 * SECOND, 20 * MINUTE, Event::Ready(sandbox));
        self.touch_pod(id);
    }

    fn pin_any_pod(&mut self) {
        let Some(id) = self.any_pod() else { return };
        let Some(pod) = self.truth.pods.get_mut(&id) else { return };
        pod.api.traits.insert(Trait::Undisturbed);
        pod.shaken = Some(self.now);
        self.touch_pod(id);
    }

    fn hit_budget(&mut self, fault: ObjectFault) {
        let of_replicas = |(index, controller): (usize, &crate::cluster::truth::Workload)| {
            matches!(&*controller.blueprint.owner.kind, "Deployment" | "StatefulSet")
                .then_some((index, controller.blueprint.replicas))
        };
        let workloads: Vec<_> = self.truth.workloads.iter().enumerate().filter_map(of_replicas).collect();
        let Some((workload, least)) = self.random.pick(&workloads).copied() else { return };
        if fault == ObjectFault::Budget {
            self.truth.budgets.retain(|budget| budget.workload != workload);
        }
        self.truth.budgets.push(Budget { workload, least });
    }

    /// A node joins, in a phase that the pass knows or in one that it forbids.
    fn joins(&mut self, fault: ObjectFault) {
        let Some(run) = self.truth.run() else { return };
        let of_pass = [Some(run.from), run.target()];
        let is_of_pass = |phase: &Phase| of_pass.contains(&Some(*phase)) == (fault == ObjectFault::NodeJoins);
        let phases: Vec<Phase> = Phase::ALL.into_iter().filter(is_of_pass).collect();
        if let Some(phase) = self.random.pick(&phases).copied() {
            self.join(phase);
        }
    }

    /// Adds a node like one that is there.
    pub(crate) fn join(&mut self, phase: Phase) {
        if self.truth.living_nodes().count() < MOST
            && let Some(like) = self.any_node()
        {
            let name = Text::from(format!("n{}", self.truth.nodes.len()));
            let pool = self.truth.nodes[like].pool.clone();
            let grown = self.truth.pipelines.iter_mut().find(|acting| acting.pool == pool);
            grown.into_iter().for_each(|acting| acting.size += 1);
            self.make_node(name, like, phase);
        }
    }

    /// Another node of the same name, with the image of the first.
    pub(super) fn replace(&mut self, index: usize) {
        let (name, phase) = (self.truth.nodes[index].name.clone(), self.truth.nodes[index].machine.image);
        if self.truth.node_by_name(&name).is_none() {
            self.make_node(name, index, phase);
        }
    }

    fn make_node(&mut self, name: Text, like: usize, phase: Phase) {
        let base = self.base();
        let like = &self.truth.nodes[like];
        let (zone, pool, joins) = (like.api.zone.clone(), like.pool.clone(), like.machine.joins.clone());
        let (offers, room, mut taints) = (like.api.offers, like.room, like.api.taints.clone());
        taints.retain(|key| !matches!(&**key, STARTUP | START_TAINT_CILIUM | DISRUPTED));
        // After the migration, an image in the phase `old` is one from before Crossfade.
        let is_wrong = self.plan.is_final() && phase == Phase::Old;
        let is_plain = is_wrong || !like.machine.has_crossfade && phase == like.machine.image;
        let index =
            self.truth.add_node(&NodeBlueprint { name, zone, pool, phase, base, joins, offers, room });
        self.truth.nodes[index].created_at = self.now;
        self.enroll(index);
        self.truth.nodes[index].api.taints = taints;
        let machine = &mut self.truth.nodes[index].machine;
        (machine.has_crossfade, machine.has_watch) = (!is_plain, !is_plain);
        if !is_plain && self.is_rotated(index) {
            // kubelet registers the label of the image.
            self.truth.nodes[index].api.label = Some(phase);
        }
        self.surprise(index, if is_plain { Reporter::Kubelet } else { Reporter::Watch });
        self.touch_node(index);
        let turn = self.truth.turn(index);
        self.schedule_within(5 * SECOND, 20 * SECOND, Event::Register(turn));
    }
}
