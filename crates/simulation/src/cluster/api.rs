//! The simulated API server: it checks UIDs, versions and budgets, and the object changes.

use migration::drive::Outcome;
use migration::roll::run::Run;
use migration::roll::step::{Act, Change, Hook, Patch, PodId};
use migration::roll::world::{self, Census, CountedPod, Trait};
use types::api::eviction::Answer;
use types::api::step::State;

use crate::cluster::controllers::number;
use crate::cluster::truth::Actor;
use crate::disturb::fault::CallFault;
use crate::history::History;
use crate::history::event::{Event, Flight, Reply};
use crate::history::queue::SECOND;
use crate::tamper::Tamper;

impl History {
    /// A call reaches the API server.
    pub(crate) fn arrive(&mut self, flight: Flight) {
        let (outcome, census) = match &flight.act {
            Act::Patch(patch) => (self.patch(&flight, patch), None),
            Act::Hook(hook) => (self.hook(&flight, hook), None),
            Act::Evict(id) => (Outcome::Answered(self.evict(&flight, id)), None),
            Act::Delete(id) => (Outcome::Answered(self.delete_by_uid(&flight, id)), None),
            Act::Census => (Outcome::Done, Some(self.census(&flight))),
            Act::Record(run) => (self.write_run(&flight, run), None),
        };
        self.note(|_| format!("  holder {}: {} -> {outcome:?}", flight.holder, describe(&flight.act)));
        let outcome = if flight.is_lost { Outcome::Failed("the answer was lost".into()) } else { outcome };
        let reply = Reply { number: flight.number, outcome, census };
        self.schedule_within(2, 50, Event::Answer(flight.holder, Box::new(reply)));
    }

    fn patch(&mut self, flight: &Flight, patch: &Patch) -> Outcome {
        let index = self.truth.node_by_name(&patch.node);
        let Some(index) = index.filter(|index| self.truth.nodes[*index].api.uid == patch.uid) else {
            return Outcome::Failed("404".into());
        };
        if self.truth.nodes[index].api.version != patch.version && !self.is_blind(Tamper::Version) {
            self.tally.count("a patch in conflict");
            return Outcome::Conflict;
        }
        self.check_patch(flight, patch, index);
        let node = &mut self.truth.nodes[index];
        let before = node.api.step.as_ref().map(|step| step.claim.clone());
        match &patch.step {
            Change::Keep => {}
            Change::Set(step) => node.api.step = Some(step.clone()),
            Change::Remove => node.api.step = None,
        }
        if let Some(desired) = patch.desired {
            (node.api.desired, node.is_lured) = (Some(desired), false);
        }
        if let Some(is_undisturbed) = patch.undisturbed {
            node.api.is_undisturbed = is_undisturbed;
            node.undisturbed_by = is_undisturbed.then(|| node.undisturbed_by.unwrap_or(Actor::Run));
        }
        if let Some(is_fenced) = patch.fence {
            node.api.is_fenced = is_fenced;
        }
        if let Some(is_cordoned) = patch.cordon {
            node.cordoned_by = is_cordoned.then(|| node.cordoned_by.unwrap_or(Actor::Run));
            node.api.is_cordoned = is_cordoned;
            if is_cordoned {
                node.drained = self.now;
            }
        }
        for (kind, is_set) in &patch.lifecycle {
            match is_set {
                true => node.api.lifecycle.insert(*kind, true),
                false => node.api.lifecycle.remove(kind),
            };
        }
        let has_claim = before != node.api.step.as_ref().map(|step| step.claim.clone());
        self.touch_node(index);
        if has_claim {
            // The first proof of a new node, or its turn, is no claim that its `watch` has to answer.
            if matches!(&patch.step, Change::Set(step) if step.state == State::Claimed) {
                self.truth.nodes[index].claimed = self.now;
            }
            if matches!(patch.step, Change::Remove) {
                self.truth.nodes[index].unclaimed = self.now;
            }
            self.poke(index);
        }
        if patch.desired.is_some() {
            self.compare(index);
        }
        if patch.cordon == Some(false) {
            self.wake_scheduler();
        }
        self.tally.count("a patch");
        Outcome::Done
    }

    /// The hook of a Machine is set or taken away, if the Machine is as the holder saw it.
    fn hook(&mut self, flight: &Flight, hook: &Hook) -> Outcome {
        let is_same = |machine: &world::Machine| machine.uid == hook.machine.uid;
        let index = self.truth.node_by_name(&hook.node);
        let index = index.filter(|index| self.truth.nodes[*index].capi.as_ref().is_some_and(is_same));
        let Some(index) = index else { return Outcome::Failed("404".into()) };
        if self.truth.nodes[index]
            .capi
            .as_ref()
            .is_some_and(|machine| machine.version != hook.machine.version)
        {
            self.tally.count("a hook in conflict");
            return Outcome::Conflict;
        }
        self.check_hook(flight, hook, index);
        if let Some(machine) = &mut self.truth.nodes[index].capi {
            machine.hook.clone_from(&hook.run);
        }
        self.touch_machine(index);
        self.tally.count(if hook.run.is_some() { "a hook set" } else { "a hook taken away" });
        Outcome::Done
    }

    fn evict(&mut self, flight: &Flight, id: &PodId) -> Answer {
        if self.strikes(CallFault::Busy) {
            self.tally.count("an eviction: 429, too much to do");
            let after = self.random.chance(500).then_some(1);
            return Answer::Busy(after);
        }
        let Some(pod) = self.pod_of(id) else {
            self.tally.count("an eviction: 404 or 409");
            return Answer::Gone;
        };
        if self.truth.pods.get(&pod).is_some_and(|pod| pod.api.has_trait(Trait::Terminating)) {
            // No budget is asked, and nothing changes.
            return Answer::Accepted;
        }
        match self.refusal(pod) {
            Some(Answer::Budget(_)) => {
                self.tally.count("an eviction: 429, budget");
                let after = self.random.chance(500).then_some(10);
                return Answer::Budget(after);
            }
            Some(refused) => {
                self.tally.count("an eviction: 500, two budgets");
                return refused;
            }
            None => {}
        }
        self.tally.count("an eviction: done");
        self.check_eviction(flight, id, pod);
        self.delete(pod);
        Answer::Accepted
    }

    /// What budgets say against the eviction of a pod; none if it may go.
    pub(crate) fn refusal(&self, id: u32) -> Option<Answer> {
        let pod = self.truth.pods.get(&id)?;
        let mut budgets = self.truth.budgets.iter().filter(|budget| Some(budget.workload) == pod.workload);
        let budget = budgets.next()?;
        if budgets.next().is_some() {
            return Some(Answer::TwoBudgets);
        }
        let healthy = self.truth.available(budget.workload).ready;
        (healthy < budget.least + u32::from(pod.is_ready())).then_some(Answer::Budget(None))
    }

    fn delete_by_uid(&mut self, flight: &Flight, id: &PodId) -> Answer {
        let Some(pod) = self.pod_of(id) else { return Answer::Gone };
        if self.truth.pods.get(&pod).is_some_and(|pod| pod.api.has_trait(Trait::Terminating)) {
            // Nothing changes.
            return Answer::Accepted;
        }
        self.tally.count("a deletion");
        self.check_eviction(flight, id, pod);
        self.delete(pod);
        Answer::Accepted
    }

    /// The pod with this name and this UID.
    fn pod_of(&self, id: &PodId) -> Option<u32> {
        let named =
            |pod: &crate::cluster::truth::Pod| pod.api.name == id.name && pod.api.namespace == id.namespace;
        if self.is_blind(Tamper::Uid) {
            return self.truth.pods.iter().find(|(_, pod)| named(pod)).map(|(id, _)| *id);
        }
        number(&id.uid).filter(|number| self.truth.pods.get(number).is_some_and(named))
    }

    fn census(&mut self, flight: &Flight) -> Census {
        self.tally.count("a census");
        self.check_census(flight);
        let mut census =
            Census { started_at: crate::cluster::truth::duration_of(flight.sent), ..Census::default() };
        let hosts = self.truth.hosts();
        for pod in self.truth.pods.values().filter(|pod| pod.counts()) {
            let pod = CountedPod {
                node: pod.api.node.clone(),
                // A pod runs once its sandbox has its attachment.
                is_running: pod.has_network() && pod.node.is_some() && pod.attached.is_some(),
                stays: pod.stays(),
                request: pod.request,
            };
            census.count(pod, &hosts);
        }
        census
    }

    fn write_run(&mut self, flight: &Flight, run: &Run) -> Outcome {
        if self.truth.record.version != flight.version {
            self.tally.count("a run in conflict");
            return Outcome::Conflict;
        }
        self.check_record(flight, run);
        self.note(|_| {
            format!("run: pass {} to {:?}, {:?}, asked {:?}", run.pass, run.target(), run.state, run.requests)
        });
        let before = self.truth.record.run.iter().flat_map(|before| before.skipped.keys());
        let resumed = before.filter(|name| !run.skipped.contains_key(*name));
        for index in resumed.filter_map(|name| self.truth.node_by_name(name)).collect::<Vec<_>>() {
            self.truth.nodes[index].resumed = self.now;
        }
        (self.truth.record.run, self.truth.record.changed_at) = (Some(run.clone()), self.now);
        self.touch_run();
        if !flight.is_lost {
            self.holders[flight.holder].version = self.truth.record.version;
        }
        Outcome::Done
    }

    /// A gate is asked, and every holder learns what it says.
    pub(crate) fn ask_gate(&mut self, gate: usize) {
        let (name, every, says) = {
            let gate = &self.truth.gates[gate];
            (gate.name.clone(), gate.every, gate.color)
        };
        self.schedule_after(every, Event::Ask(gate));
        let Some(color) = says else { return };
        for holder in 0..self.holders.len() {
            self.judge(holder, &name, color);
        }
    }

    /// Another actor deletes a pod or lets it end; nothing asks a budget.
    pub(crate) fn delete_all(&mut self, node: usize) {
        for id in self.truth.nodes[node].pods.clone() {
            let is_kept = self.truth.pods.get(&id).is_none_or(|pod| {
                pod.api.has_trait(Trait::Static)
                    || pod.api.owner.as_ref().is_some_and(|owner| &*owner.kind == "DaemonSet")
            });
            if !is_kept {
                self.delete(id);
            }
        }
    }
}

/// A call in one line.
fn describe(act: &Act) -> String {
    match act {
        Act::Patch(patch) => {
            let mut words = vec![format!("patch {}", patch.node)];
            words.extend(match &patch.step {
                Change::Set(step) => Some(format!(
                    "{} to {} {:?} {:?} {:?}",
                    step.claim, step.to, step.state, step.why, step.cordon
                )),
                Change::Keep => None,
                Change::Remove => Some("no step".into()),
            });
            words.extend(patch.desired.map(|phase| format!("desired {phase}")));
            words.extend(patch.cordon.map(|on| format!("cordon {on}")));
            words.extend(patch.fence.map(|on| format!("fence {on}")));
            words.extend(patch.undisturbed.map(|on| format!("undisturbed {on}")));
            words.join(", ")
        }
        Act::Hook(hook) => format!("hook {} of {}: {:?}", hook.machine.name, hook.node, hook.run),
        Act::Evict(id) => format!("evict {}/{} {} on {}", id.namespace, id.name, id.uid, id.node),
        Act::Delete(id) => format!("delete {}/{} {} on {}", id.namespace, id.name, id.uid, id.node),
        Act::Census => "census".into(),
        Act::Record(run) => format!("record pass {}", run.pass),
    }
}

/// How long a call is on its way.
pub(crate) const LONGEST: u64 = 15 * SECOND;
