//! A person who visits the run from time to time, reads what it waits for, and does what the wait's reason says.

use migration::config::roll::Method;
use migration::roll::run::{Bounds, NodeRequest, RunRequest, State};
use migration::roll::wait::{Reason, Subject, Wait};
use migration::roll::world::{Color, Trait};
use snapshot::model::Text;
use types::api::observed;
use types::api::step::State as StepState;
use types::policy::Phase;

use super::history::History;
use crate::cluster::truth::Reporter;
use crate::history::event::Event;
use crate::history::queue::{MINUTE, SECOND};
use crate::pipeline::{DISRUPTED, Job, NEVER, Stage};

impl History {
    /// A person looks at the run.
    pub(super) fn visit(&mut self) {
        self.schedule_within(3 * MINUTE, 10 * MINUTE, Event::Visit);
        self.tally.count("a visit");
        if self.is_calm() {
            self.truth.is_open = true;
            self.truth.gates.iter_mut().for_each(|gate| gate.color = Some(Color::Green));
        }
        let holding = self.holders.iter().find(|holder| holder.holds());
        let ended = self.holders.iter().rev().find(|holder| !holder.waits().is_empty());
        let waits = holding.or(ended).map(super::holder::Holder::waits);
        let is_paused = self.truth.run().is_some_and(|run| !matches!(run.state, State::Running));
        if is_paused {
            self.wish(RunRequest::Resume(Bounds::default()));
        }
        self.give_image();
        self.ease_drains();
        for wait in waits.unwrap_or_default() {
            self.note(|_| format!("visit: {} {} {}", wait.object, wait.reason, wait.what));
            self.help(&wait);
        }
        self.schedule_within(SECOND, 10 * SECOND, Event::Start);
    }

    fn help(&mut self, wait: &Wait) {
        if wait.is_held {
            if wait.help.is_empty() {
                self.broken(
                    "a hold says what helps",
                    format!("{} {}: {}", wait.object, wait.reason, wait.what),
                );
            }
            *self.tally.holds.entry(wait.reason).or_default() += 1;
        }
        match &wait.object {
            Subject::Node(node) => self.help_node(node, wait),
            Subject::Pod(pod) => self.help_pod(pod, wait),
            Subject::Pool(pool) if wait.reason == Reason::ReplacementMissing && wait.is_held => {
                self.help_pool(pool, wait);
            }
            Subject::Run if wait.reason == Reason::WouldPart => self.restart_watches(),
            Subject::Run | Subject::Pool(_) | Subject::Gate(_) | Subject::Wave(_) | Subject::Object(_) => {}
        }
    }

    fn help_node(&mut self, name: &str, wait: &Wait) {
        let Some(index) = self.truth.node_by_name(name) else { return };
        let is_requested = self.truth.run().is_some_and(|run| run.requests.contains_key(name));
        let name = self.truth.nodes[index].name.clone();
        let is_plain = !self.truth.nodes[index].machine.has_crossfade;
        if is_plain && wait.help.contains(&format!("{}-", observed::KEY)) {
            // Its machine has got an image without Crossfade, and its Node bears what the one before has reported.
            let node = &mut self.truth.nodes[index].api;
            (node.label, node.observed) = (None, None);
            return self.touch_node(index);
        }
        if !is_plain && wait.help.contains("systemctl status crossfade-watch") {
            return self.repair(index);
        }
        match wait.reason {
            Reason::Arriving | Reason::Leaving | Reason::Undisturbed if wait.is_held => {
                self.help_rotation(index, wait.reason)
            }
            // It is of the new image, and a person flipped it.
            Reason::Leaving | Reason::NotAsked | Reason::NotDrifted
                if self.is_of_image(index) && !self.is_returned(&self.truth.nodes[index]) =>
            {
                self.help_rotation(index, wait.reason)
            }
            Reason::Arriving | Reason::Leaving | Reason::NotAsked | Reason::NotDrifted => {}
            Reason::NodeGoing if wait.is_held => self.help_marked(index),
            Reason::NodeGoing => {}
            // It is in a forbidden phase, and only its end helps.
            Reason::WouldPart if self.is_foreign_to_pass(index) && self.random.chance(300) => {
                self.cordon(index);
                self.delete_all(index);
                self.schedule_within(SECOND, MINUTE, Event::Remove(index));
            }
            // Nothing asks a node without Crossfade for anything, so it goes.
            Reason::WouldPart | Reason::NodeSilent if is_plain && wait.is_held => {
                self.cordon(index);
                self.delete_all(index);
                self.schedule_within(SECOND, MINUTE, Event::Remove(index));
            }
            Reason::ForeignCordon if self.random.chance(900) => {
                self.uncordon(index);
                let step = self.truth.nodes[index].api.step.as_ref();
                if step.is_some_and(|step| step.state == types::api::step::State::Held) {
                    self.wish(RunRequest::Retry(name));
                }
            }
            Reason::ForeignCordon => self.wish(RunRequest::Skip(name)),
            Reason::ForeignRun | Reason::PlaceUnknown if self.random.chance(200) => {
                self.wish(RunRequest::Skip(name))
            }
            Reason::ForeignRun => {
                self.truth.nodes[index].api.step = None;
                self.touch_node(index);
            }
            Reason::PlaceUnknown => self.unforge(index),
            Reason::InTransit if self.was_recalled(&name) && self.random.chance(200) => {
                self.wish(RunRequest::Retry(name));
            }
            // No flip brings it back: another one comes in its place, or it takes part again.
            Reason::PhaseNotFollowed if wait.is_held && self.was_recalled(&name) => {
                if self.random.chance(500) {
                    self.lose(index);
                } else {
                    self.wish(RunRequest::Retry(name));
                }
            }
            Reason::WouldPart if wait.is_held => {
                if self.random.chance(500) {
                    let begin = self.truth.run().map(|run| run.from);
                    let begin = begin.filter(|_| wait.help.contains("policy set"));
                    begin.into_iter().for_each(|phase| self.flip(index, phase));
                    self.cordon(index);
                    self.delete_all(index);
                    self.delete_foreign(index);
                    self.repair(index);
                } else {
                    self.wish(RunRequest::Retry(name));
                }
            }
            Reason::WouldPart => {
                self.repair(index);
                self.restart_watches();
            }
            Reason::AttachmentsUnknown if !wait.is_held => {
                self.repair(index);
                self.restart_watches();
            }
            Reason::NoCapacity if wait.is_held => {
                let phase = self.truth.run().map(|run| run.from);
                phase.into_iter().for_each(|phase| self.join(phase));
            }
            Reason::NoCapacity => {}
            Reason::NodeSilent
            | Reason::PhaseNotFollowed
            | Reason::PolicyUnknown
            | Reason::Flipping
            | Reason::Joining
            | Reason::FlipTimeout
            | Reason::MoveTimeout
            | Reason::Proving
            | Reason::ProofTimeout
            | Reason::OwnersShort
            | Reason::OwnersTimeout
            | Reason::NodeNotReady
            | Reason::AttachmentsUnknown
            | Reason::InTransit
            | Reason::WindowClosed
            | Reason::Pace
            | Reason::Soak
            | Reason::GateRed
            | Reason::GateUnknown
            | Reason::PodsPending
            | Reason::BudgetBlocks
            | Reason::TwoBudgets
            | Reason::ServerBusy
            | Reason::CallFailed
            | Reason::BarePod
            | Reason::EmptyDir
            | Reason::Undisturbed
            | Reason::JobRunning
            | Reason::StaticPod
            | Reason::Terminating
            | Reason::DnsNeeded
            | Reason::OneAtATime
            | Reason::Evicting
            | Reason::Settling
            | Reason::Census
            | Reason::Paused
            | Reason::LeaseStale
            | Reason::LeaseHeld
            | Reason::Unwatched
            | Reason::ReplacementMissing => {
                if wait.is_held && !is_requested {
                    // Some try again before they look.
                    if wait.reason == Reason::NodeSilent || self.random.chance(700) {
                        self.repair(index);
                    }
                    let what = match self.random.number_below(20) {
                        0 => RunRequest::Skip(name),
                        1 => RunRequest::Rollback(name),
                        _ => RunRequest::Retry(name),
                    };
                    self.wish(what);
                }
            }
        }
    }

    /// Whether the run was asked to bring the node back.
    fn was_recalled(&self, name: &str) -> bool {
        let request = self.truth.run().and_then(|run| run.requests.get(name));
        request == Some(&NodeRequest::Rollback)
    }

    /// A person looks after a node that bears the mark of a pipeline and stays: its drain is stuck, or the pipeline has forgotten it.
    fn help_marked(&mut self, index: usize) {
        if self.truth.pipelines.iter().any(|acting| acting.has(index)) {
            self.ease_drain(index);
        } else if self.random.chance(500) {
            self.cordon(index);
            self.delete_all(index);
            self.schedule_within(SECOND, MINUTE, Event::Remove(index));
        } else {
            let node = &mut self.truth.nodes[index].api;
            node.is_going = false;
            node.taints.retain(|key| **key != *DISRUPTED);
            self.touch_node(index);
            self.uncordon(index);
        }
    }

    /// A person looks after a node that a pipeline does not take away, or that does not come.
    fn help_rotation(&mut self, index: usize, reason: Reason) {
        let now = self.now;
        let node = &self.truth.nodes[index];
        let is_new = self.replacing(&node.api.pool).is_none() || !self.is_left_behind(node);
        let is_wrong = self.is_of_other_network(index);
        let node = &mut self.truth.nodes[index];
        if reason == Reason::Undisturbed {
            (node.api.is_undisturbed, node.undisturbed_by, node.released) = (false, None, now);
            if let Some(machine) = &mut node.capi {
                machine.hook = None;
                self.touch_machine(index);
            }
            self.touch_node(index);
            return;
        }
        if reason == Reason::Arriving
            && (node.machine.works_from == NEVER || is_wrong || is_new && self.random.chance(200))
        {
            self.tally.count("a new node that a person deletes");
            self.remove(index);
            return;
        }
        // A loop that ended in the middle has forgotten what it had begun to drain.
        let pool = node.api.pool.clone();
        let is_begun = node.api.step.as_ref().is_some_and(|step| step.state == StepState::Permitted);
        let mut pipelines = self.truth.pipelines.iter_mut();
        let pipeline = pipelines.find(|acting| acting.pool == pool && acting.method == Method::Permit);
        if let Some(acting) = pipeline.filter(|acting| is_begun && !acting.has(index)) {
            acting.jobs.push(Job { old: index, new: None, stage: Stage::Drains, since: now });
        }
        let node = &self.truth.nodes[index];
        if reason == Reason::Leaving
            && self.plan.method(&node.api.pool) == Method::Karpenter
            && !node.is_drifted
        {
            self.uncordon(index);
        }
        let node = &mut self.truth.nodes[index];
        // What was flipped by hand is flipped back.
        let image = node.machine.image;
        self.flip(index, image);
        self.repair(index);
        self.ease_drain(index);
    }

    /// A person sets the phase of a node by hand.
    fn flip(&mut self, index: usize, phase: Phase) {
        let node = &mut self.truth.nodes[index];
        node.api.desired = None;
        if node.machine.phase != phase {
            (node.machine.phase, node.machine.flipped) = (phase, self.now);
            self.surprise(index, Reporter::Watch);
        }
    }

    /// A person deletes pods of a node that are of a phase which this pass forbids; a drain leaves those of DaemonSets.
    fn delete_foreign(&mut self, index: usize) {
        let Some(run) = self.truth.run() else { return };
        let of_pass = [Some(run.from), run.target()];
        let is_foreign = |id: &u32| {
            let attached = self.truth.pods.get(id).and_then(|pod| pod.attached);
            attached.is_some_and(|attached| !of_pass.contains(&Some(attached.phase)))
        };
        let foreign: Vec<u32> = self.truth.nodes[index].pods.iter().copied().filter(is_foreign).collect();
        foreign.into_iter().for_each(|id| self.delete(id));
    }

    /// DNS pods on a node come up elsewhere.
    fn delete_dns(&mut self, index: usize) {
        let is_dns = |id: &u32| self.truth.pods.get(id).is_some_and(|pod| pod.api.has_trait(Trait::Dns));
        let dns: Vec<u32> = self.truth.nodes[index].pods.iter().copied().filter(is_dns).collect();
        dns.into_iter().for_each(|id| self.delete(id));
    }

    /// A node that a pipeline replaces is of a phase that this pass forbids.
    fn is_foreign_to_pass(&self, index: usize) -> bool {
        let node = &self.truth.nodes[index];
        let is_replaced = self.replacing(&node.api.pool).is_some();
        let Some(run) = self.truth.run().filter(|_| is_replaced) else { return false };
        let phase = node.machine.phase;
        phase != run.from && Some(phase) != run.target()
    }

    /// Owners of pipelines look after drains that take long.
    fn ease_drains(&mut self) {
        let now = self.now;
        let never = |(index, node): (usize, &crate::cluster::truth::Node)| {
            (node.machine.works_from == NEVER && now - node.created_at > 60 * MINUTE).then_some(index)
        };
        for index in self.truth.living_nodes().filter_map(never).collect::<Vec<_>>() {
            self.remove(index);
        }
        let is_late = |job: &&Job| job.stage == Stage::Drains && now - job.since > 30 * MINUTE;
        let jobs = self.truth.pipelines.iter().flat_map(|acting| &acting.jobs).filter(is_late);
        for index in jobs.map(|job| job.old).collect::<Vec<_>>() {
            self.ease_drain(index);
        }
    }

    /// Nothing keeps pods of a node from being drained any more.
    fn ease_drain(&mut self, index: usize) {
        self.provide();
        for id in self.drainable(index) {
            let Some(pod) = self.truth.pods.get_mut(&id) else { continue };
            pod.api.traits.remove(&Trait::Undisturbed);
            let workload = pod.workload;
            self.touch_pod(id);
            self.ease_budget(workload);
        }
    }

    /// The pool has fewer nodes than it had: a person has another one launched, or takes that for right.
    fn help_pool(&mut self, pool: &Text, wait: &Wait) {
        let Some(pipeline) = self.truth.pipelines.iter().position(|acting| acting.pool == *pool) else {
            return;
        };
        let gone = wait.help.rsplit(' ').next().unwrap_or_default().to_owned();
        if self.random.chance(500) {
            self.wish(RunRequest::Skip(gone.into()));
        } else {
            self.truth.pipelines[pipeline].size += 1;
            self.launch(pipeline);
        }
    }

    /// A person changes the budget of a workload so that one pod may go.
    fn ease_budget(&mut self, workload: Option<usize>) {
        let replicas = workload.map_or(1, |index| self.truth.workloads[index].blueprint.replicas);
        self.truth.budgets.retain(|budget| Some(budget.workload) != workload);
        let least = replicas.saturating_sub(1);
        let budget = workload.map(|workload| crate::cluster::truth::Budget { workload, least });
        self.truth.budgets.extend(budget);
    }

    /// A person logs in to the node, and mends what there is.
    fn repair(&mut self, index: usize) {
        let now = self.now;
        let machine = &mut self.truth.nodes[index].machine;
        if !machine.forgets.is_empty() || !machine.leftovers.is_empty() {
            machine.misjudged = Some(now);
        }
        machine.flip = 0;
        machine.hangs_until = 0;
        machine.follows = Phase::ALL.to_vec();
        machine.base = machine.image_base.clone();
        machine.forgets.clear();
        machine.leftovers.clear();
        // `move-pods --now`: the networks leave, and the connections break.
        for id in self.truth.nodes[index].pods.clone() {
            let attached = self.truth.pods.get_mut(&id).and_then(|pod| pod.attached.as_mut());
            let until = attached.and_then(|attached| attached.connected_until.as_mut());
            until.into_iter().for_each(|until| *until = now.min(*until));
        }
        self.start_watch(index);
    }

    /// A person looks after nodes that say nothing.
    fn restart_watches(&mut self) {
        let dead = |(index, node): (usize, &crate::cluster::truth::Node)| {
            (node.machine.has_crossfade && !node.machine.has_watch).then_some(index)
        };
        for index in self.truth.living_nodes().filter_map(dead).collect::<Vec<_>>() {
            self.repair(index);
        }
    }

    fn help_pod(&mut self, title: &str, wait: &Wait) {
        let Some((namespace, name)) = title.split_once('/') else { return };
        let is_named =
            |pod: &crate::cluster::truth::Pod| *pod.api.name == *name && *pod.api.namespace == *namespace;
        let target_pod = self.truth.pods.iter().find(|(_, pod)| is_named(pod));
        let Some((id, workload)) = target_pod.map(|(id, pod)| (*id, pod.workload)) else { return };
        match wait.reason {
            Reason::BarePod => self.name_for_deletion(title),
            Reason::EmptyDir => self.delete(id),
            Reason::JobRunning if wait.is_held => self.delete(id),
            Reason::Undisturbed => {
                if let Some(pod) = self.truth.pods.get_mut(&id) {
                    pod.api.traits.remove(&Trait::Undisturbed);
                }
                self.touch_pod(id);
            }
            Reason::StaticPod => self.restart_static(id),
            Reason::BudgetBlocks | Reason::TwoBudgets if wait.is_held => self.ease_budget(workload),
            Reason::DnsNeeded if wait.help.starts_with("node ") => {
                let name = wait.help.split(' ').nth(1).unwrap_or_default();
                if let Some(index) = self.truth.node_by_name(name) {
                    self.cordon(index);
                    if wait.help.contains(" delete pod ") {
                        self.delete_dns(index);
                    } else {
                        self.delete_all(index);
                        self.schedule_within(SECOND, MINUTE, Event::Remove(index));
                    }
                }
            }
            Reason::DnsNeeded if self.random.chance(200) => {
                // Once is enough, whatever the reason turns out to be.
                if let Some(workload) =
                    workload.filter(|index| self.truth.workloads[*index].blueprint.replicas < 6)
                {
                    self.truth.workloads[workload].blueprint.replicas += 1;
                    self.wake(workload);
                }
            }
            Reason::PodsPending => {
                let phase = self.truth.run().map(|run| run.from);
                phase.into_iter().for_each(|phase| self.join(phase));
            }
            Reason::NodeSilent
            | Reason::PhaseNotFollowed
            | Reason::PolicyUnknown
            | Reason::Flipping
            | Reason::Joining
            | Reason::FlipTimeout
            | Reason::MoveTimeout
            | Reason::Proving
            | Reason::ProofTimeout
            | Reason::OwnersShort
            | Reason::OwnersTimeout
            | Reason::NodeNotReady
            | Reason::NodeGoing
            | Reason::ForeignCordon
            | Reason::ForeignRun
            | Reason::PlaceUnknown
            | Reason::AttachmentsUnknown
            | Reason::WouldPart
            | Reason::InTransit
            | Reason::WindowClosed
            | Reason::Pace
            | Reason::Soak
            | Reason::GateRed
            | Reason::GateUnknown
            | Reason::NoCapacity
            | Reason::BudgetBlocks
            | Reason::TwoBudgets
            | Reason::ServerBusy
            | Reason::CallFailed
            | Reason::JobRunning
            | Reason::Terminating
            | Reason::DnsNeeded
            | Reason::OneAtATime
            | Reason::Evicting
            | Reason::Settling
            | Reason::Census
            | Reason::Paused
            | Reason::LeaseStale
            | Reason::LeaseHeld
            | Reason::Unwatched
            | Reason::NotAsked
            | Reason::NotDrifted
            | Reason::Leaving
            | Reason::Arriving
            | Reason::ReplacementMissing => {}
        }
    }

    /// A person moves the file of a static pod away and back.
    fn restart_static(&mut self, id: u32) {
        let now = self.now;
        let Some(pod) = self.truth.pods.get_mut(&id) else { return };
        (pod.attached, pod.shaken) = (None, Some(now));
        pod.api.traits.remove(&Trait::Ready);
        let node = pod.node;
        self.touch_pod(id);
        self.start_sandbox(id);
        node.into_iter().for_each(|node| self.poke(node));
    }
}
