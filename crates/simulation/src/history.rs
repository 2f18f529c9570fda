//! One history: what happens, in the order of its time, and what every part of the cluster does about it.

pub(crate) mod event;
pub(crate) mod outcome;
pub(crate) mod queue;
pub(crate) mod replan;
pub(crate) mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use migration::plan::Plan;
use migration::roll::run::{Run, State};
use migration::roll::world::Trait;
use snapshot::model::Text;

use self::event::{Event, Stream};
use self::outcome::{Outcome, Tally, Violation};
use self::queue::{HOUR, MINUTE, Millis, Queue, SECOND};
use self::replan::plan_hash;
use super::check::Count;
use super::draw::Scenario;
use super::holder::Holder;
use super::tamper::Tamper;
use crate::cluster::truth::Truth;
use crate::disturb::fault::{CallFault, Faults};
use crate::draw::random::Random;

/// How long a history may go on after its last fault.
const PATIENCE: Millis = 96 * HOUR;
/// How many events a history may have beside those of its nodes, so that one that turns in circles ends.
const MOST: u64 = 3_000_000;
/// How many events more for each of its nodes.
const MOST_OF_NODE: u64 = 100_000;

#[derive(Debug)]
pub struct History {
    pub(super) now: Millis,
    pub(super) random: Random,
    pub(super) queue: Queue<Event>,
    pub(super) truth: Truth,
    pub(super) plan: Rc<Plan>,
    pub(super) hash: String,
    pub(super) holders: Vec<Holder>,
    pub(super) faults: Faults,
    /// What the run is made blind to.
    pub(super) tamper: Option<Tamper>,
    /// The scheduler is about to look.
    pub(super) is_scheduling: bool,
    pub(super) violations: Vec<Violation>,
    pub(super) tally: Tally,
    /// What happened, in words; none if it was not asked for.
    pub(super) trace: Option<Vec<String>>,
    /// The node that a person is about to cordon again.
    pub(super) recordon: Option<usize>,
    /// What pods requested when each holder counted them last.
    pub(super) counts: BTreeMap<usize, Count>,
    /// Nodes that were skipped in the last pass.
    pub(super) last_skipped: BTreeSet<Text>,
    /// Everything of the nodes up to here was known when the end of the last pass was decided.
    pub(super) passed_seen: crate::history::queue::Millis,
    /// Its watches had brought nothing for a while then.
    pub(super) passed_late: bool,
    /// A person wants the run to go on by another plan.
    pub(super) wants_replan: bool,
    /// How many other plans there were.
    pub(super) replans: u64,
    /// Pods without an owner that the command lines of holders name from now on.
    pub(super) named: BTreeSet<String>,
    pub(super) is_over: bool,
    /// When each pass ended.
    pub(super) passes: Vec<Millis>,
}

impl History {
    /// A history that has not begun.
    #[must_use]
    pub fn new(drawn: Scenario, tamper: Option<Tamper>) -> Self {
        let Scenario { truth, plan, faults, seed } = drawn;
        let mut history = Self {
            now: 0,
            random: Random::new(seed ^ 0x5eed),
            queue: Queue::new(),
            truth,
            hash: plan_hash(&plan, 0),
            plan: Rc::new(plan),
            holders: Vec::new(),
            faults,
            tamper,
            is_scheduling: false,
            violations: Vec::new(),
            tally: Tally::default(),
            trace: None,
            counts: BTreeMap::new(),
            last_skipped: BTreeSet::new(),
            passed_seen: 0,
            passed_late: false,
            recordon: None,
            wants_replan: false,
            replans: 0,
            named: BTreeSet::new(),
            is_over: false,
            passes: Vec::new(),
        };
        history.begin();
        history
    }

    /// The same, and it tells what happens.
    #[must_use]
    pub fn with_trace(mut self) -> Self {
        self.trace = Some(Vec::new());
        self
    }

    fn begin(&mut self) {
        let mut run = Run::new("r-1", self.hash.clone(), &self.plan);
        for index in 0..self.truth.workloads.len() {
            let available = self.truth.available(index);
            if available.ready < available.desired {
                let owner = &self.truth.workloads[index].blueprint.owner;
                let title = format!("{}/{}/{}", owner.kind, owner.namespace, owner.name);
                run.short.insert(title, available.desired - available.ready);
            }
        }
        (self.truth.record.run, self.truth.record.version) = (Some(run), 1);
        if self.plan.is_final() {
            self.tally.count("a rotation to the final image");
        }
        for gate in 0..self.truth.gates.len() {
            self.schedule_after(0, Event::Ask(gate));
        }
        for node in 0..self.truth.nodes.len() {
            self.poke(node);
        }
        for workload in 0..self.truth.workloads.len() {
            self.wake(workload);
        }
        for pod in self.truth.pods.keys().copied().collect::<Vec<_>>() {
            self.plan_end(pod);
        }
        self.schedule_after(SECOND, Event::Start);
        let visit = self.random.number_between(3, 10) * MINUTE;
        self.schedule_after(visit, Event::Visit);
        for pipeline in 0..self.truth.pipelines.len() {
            self.schedule_after(SECOND, Event::Pipeline(pipeline));
        }
        self.plan_faults();
    }

    /// Plays it to its end.
    #[must_use]
    pub fn play(mut self) -> Outcome {
        let most = MOST + MOST_OF_NODE * self.truth.nodes.len() as u64;
        while !self.is_over && self.violations.is_empty() {
            let Some((time, event)) = self.queue.pop() else { break };
            self.now = time;
            self.tally.events += 1;
            self.happen(event);
            if self.now > self.faults.until + PATIENCE || self.tally.events > most {
                self.violations.push(self.stuck_violation());
            }
        }
        if self.violations.is_empty() {
            self.violations.extend(self.unfinished_violation());
        }
        let waits = if self.violations.is_empty() { Vec::new() } else { self.last_waits() };
        let mut restarts: BTreeMap<u64, u64> = BTreeMap::new();
        for pod in self.truth.pods.values().filter(|pod| pod.attached.is_some()) {
            *restarts.entry(pod.restarts).or_default() += 1;
        }
        Outcome {
            restarts,
            violations: self.violations,
            waits,
            tally: self.tally,
            took: self.now,
            passes: self.passes,
            trace: self.trace.unwrap_or_default(),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Add(sandbox) => self.add(sandbox),
            Event::Attach(sandbox, phase) => self.attach(sandbox, phase),
            Event::Ready(sandbox) => self.set_ready(sandbox),
            Event::End(pod) => self.end(pod),
            Event::Finish(sandbox) => self.finish(sandbox),
            Event::Reconcile(workload) => self.reconcile(workload),
            Event::Count(workload) => self.count(workload),
            Event::Schedule => self.schedule(),
            Event::Follow(turn) => self.follow(turn),
            Event::Join(turn) => self.join_next(turn),
            Event::Publish(turn) => self.publish(turn),
            Event::Report(turn, phase) => self.publish_condition(turn, phase),
            Event::Boot(node) => self.boot(node),
            Event::Connect(node) => self.connect(node),
            Event::Register(turn) => self.register(turn),
            Event::Miss(turn) => self.miss(turn),
            Event::GiveUp(turn) => self.give_up(turn),
            Event::Remove(node) => self.remove(node),
            Event::Ask(gate) => self.ask_gate(gate),
            Event::Deliver(holder, stream) => self.deliver(holder, stream),
            Event::Moment(holder, number) => self.moment(holder, number),
            Event::Arrive(flight) => self.arrive(*flight),
            Event::Answer(holder, answer) => self.answer(holder, *answer),
            Event::Renew(holder) => self.renew(holder),
            Event::Acquire(holder) => self.acquire(holder),
            Event::Start => self.start(),
            Event::Disturb(fault) => self.disturb(fault),
            Event::Mend(repair) => self.mend(repair),
            Event::Visit => self.visit(),
            Event::Pipeline(pipeline) => self.run_pipeline(pipeline),
            Event::Launched(pipeline) => self.note_launched(pipeline),
            Event::Lift(turn) => self.lift(turn),
        }
    }

    /// Has an event happen later.
    pub(super) fn schedule_after(&mut self, wait: Millis, event: Event) {
        self.queue.push(self.now + wait, event);
    }

    /// Has an event happen after a time between both.
    pub(super) fn schedule_within(&mut self, from: Millis, to: Millis, event: Event) {
        let wait = self.random.number_between(from, to);
        self.schedule_after(wait, event);
    }

    /// Says what happens, if there is a receiver.
    pub(super) fn note(&mut self, what: impl FnOnce(&Self) -> String) {
        if self.trace.is_some() {
            let line = format!("{:>9.3} {}", self.now as f64 / 1000.0, what(self));
            self.trace.iter_mut().for_each(|lines| lines.push(line.clone()));
        }
    }

    /// The policy that nodes have unless a person edits it: the first one of the plan.
    pub(super) fn base(&self) -> Text {
        self.plan.policies.first().map_or_else(Text::default, |base| Text::from(base.as_str()))
    }

    /// A Node was written.
    pub(super) fn touch_node(&mut self, index: usize) {
        let now = self.now;
        let node = &mut self.truth.nodes[index];
        node.version += 1;
        node.api.version = Text::from(node.version.to_string());
        let is_troubled = !node.api.is_ready
            || node.api.is_going
            || (node.api.is_cordoned && node.cordoned_by == Some(crate::cluster::truth::Actor::Other));
        node.troubled = is_troubled.then(|| node.troubled.unwrap_or(now));
        node.down_since = (!node.api.is_ready).then(|| node.down_since.unwrap_or(now));
        let api = &node.api;
        let is_shut = !api.is_ready || api.is_cordoned || api.is_going || node.gone_at.is_some();
        if node.shut_since.is_some() && !is_shut {
            node.opened = now;
        }
        node.shut_since = is_shut.then(|| node.shut_since.unwrap_or(now));
        node.going_since = node.api.is_going.then(|| node.going_since.unwrap_or(now));
        self.announce_node(index);
    }

    /// A Node or its NodeClaim was written. Holders get both by one watch.
    pub(super) fn announce_node(&mut self, index: usize) {
        let now = self.now;
        for holder in 0..self.holders.len() {
            let lag = self.holders[holder].nodes.mark(index, now);
            self.deliver_later(holder, Stream::Nodes, lag);
        }
    }

    /// The Machine of a node was written, or is gone with it.
    pub(super) fn touch_machine(&mut self, index: usize) {
        let now = self.now;
        let node = &mut self.truth.nodes[index];
        node.capi_changed = now;
        node.capi.iter_mut().for_each(|machine| machine.version = Text::from(now.to_string()));
        for holder in 0..self.holders.len() {
            let lag = self.holders[holder].machines.mark(index, now);
            self.deliver_later(holder, Stream::Machines, lag);
        }
    }

    /// A Pod was written, or what is Ready of its workload has changed.
    pub(super) fn touch_pod(&mut self, id: u32) {
        let now = self.now;
        let workload = self.truth.pods.get(&id).and_then(|pod| pod.workload);
        workload.into_iter().for_each(|workload| self.count_later(workload));
        for holder in 0..self.holders.len() {
            let lag = self.holders[holder].pods.mark(id, now);
            self.deliver_later(holder, Stream::Pods, lag);
        }
    }

    /// A workload's status was written.
    pub(super) fn touch_workload(&mut self, workload: usize) {
        let now = self.now;
        for holder in 0..self.holders.len() {
            let lag = self.holders[holder].workloads.mark(workload, now);
            self.deliver_later(holder, Stream::Workloads, lag);
        }
    }

    /// The run's ConfigMap was written.
    pub(super) fn touch_run(&mut self) {
        self.truth.record.version += 1;
        self.touch_permits();
    }

    /// The requests of pipelines were written; they come with the run.
    pub(super) fn touch_permits(&mut self) {
        let now = self.now;
        for holder in 0..self.holders.len() {
            let lag = self.holders[holder].record.mark((), now);
            self.deliver_later(holder, Stream::Run, lag);
        }
    }

    fn deliver_later(&mut self, holder: usize, stream: Stream, is_first: bool) {
        if is_first {
            let (from, to) = self.holders[holder].lag;
            self.schedule_within(from, to, Event::Deliver(holder, stream));
        }
    }

    /// An invariant is broken.
    pub(super) fn broken(&mut self, invariant: &'static str, why: String) {
        self.note(|_| format!("BROKEN {invariant}: {why}"));
        self.violations.push(Violation { invariant, why, occurred_at: self.now });
    }

    /// The history has not come to an end.
    fn stuck_violation(&self) -> Violation {
        let mut why = format!("{} events; ", self.tally.events);
        let run = self.truth.run();
        why.push_str(&format!("{:?}; ", run.map(|run| (&run.state, run.pass, run.from, &run.targets))));
        let Plan { passes, pools, bridge, .. } = &*self.plan;
        let images: Vec<_> =
            pools.iter().map(|pool| (&pool.name, pool.image_phase(self.plan.image))).collect();
        why.push_str(&format!("passes {passes:?}, images {images:?}, bridge {bridge:?}; "));
        for (_, node) in self.truth.living_nodes() {
            let api = &node.api;
            why.push_str(&format!(
                "{}: {} cordoned {:?} ready {} label {:?} desired {:?} {:?}; ",
                node.name,
                node.machine.phase,
                node.cordoned_by,
                api.is_ready,
                api.label,
                api.desired,
                api.step.as_ref().map(|step| (&step.claim, step.state, step.to, &step.why)),
            ));
        }
        why.push_str(&format!("{:?}; ", run.map(|run| (&run.skipped, &run.requests))));
        for acting in &self.truth.pipelines {
            why.push_str(&format!("; {:?} of pool {}: {:?}", acting.method, acting.pool, acting.jobs));
        }
        let missing =
            |pod: &&crate::cluster::truth::Pod| !pod.is_ready() && !pod.api.has_trait(Trait::Finished);
        for pod in self.truth.pods.values().filter(missing).take(6) {
            let (title, node) = (pod.api.title(), &pod.api.node);
            why.push_str(&format!("; pod {title} on {node:?}: {:?}, {:?}", pod.api.traits, pod.attached));
        }
        why.push_str("; ");
        why.push_str(&self.last_waits().join("; "));
        Violation { invariant: Violation::UNENDED, why, occurred_at: self.now }
    }

    /// The first of what the run waits for, in words.
    fn last_waits(&self) -> Vec<String> {
        let waits = self.holders.iter().rev().map(Holder::waits).find(|waits| !waits.is_empty());
        let waits = waits.unwrap_or_default();
        waits.iter().take(6).map(|wait| format!("{} {}: {}", wait.object, wait.reason, wait.what)).collect()
    }

    /// What a run that says it is done has left.
    fn unfinished_violation(&self) -> Option<Violation> {
        let run = self.truth.run()?;
        if run.state != State::Done {
            return Some(self.stuck_violation());
        }
        None
    }

    /// The faults are over.
    pub(super) const fn is_calm(&self) -> bool {
        self.now >= self.faults.until
    }

    /// Whether a fault happens to this one call.
    pub(super) fn strikes(&mut self, fault: CallFault) -> bool {
        let often = self.faults.often(fault);
        often > 0 && !self.is_calm() && self.random.chance(often)
    }
}
