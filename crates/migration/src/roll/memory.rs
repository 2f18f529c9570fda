//! What a holder remembers between two looks: since when a node is in its state, and what became of evictions. It is lost with the holder, and the next one
//! begins anew, so that a deadline is never shorter than its length.

use std::collections::BTreeMap;
use std::time::Duration;
use types::eviction::Answer;

use snapshot::model::Text;
use types::policy::Phase;
use types::step::{State, Step};

use super::act::{Patch, PodId};
use super::agreed::CensusAgreement;
use super::run::Run;
use super::sent::PendingPatches;
use super::view::{is_later, is_of_pass};
use super::world::{Node, Owner, Trait, World};

/// What a holder remembers.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    nodes: BTreeMap<Text, Timer>,
    answers: BTreeMap<Text, EvictionAttempt>,
    /// The pod of each workload that was evicted last, and when.
    moved: BTreeMap<Owner, (Text, Duration)>,
    /// Patches that the Nodes, as they are known, do not show yet.
    pending_patches: PendingPatches,
    census_agreement: CensusAgreement,
    /// The run as it was to be written, if nobody knows whether it was.
    unwritten: Option<Run>,
    /// When this holder claimed nodes, within the last hour.
    starts: Vec<Duration>,
    /// Nodes that were seen done in the present pass, by their UIDs, and when they became so; none where they were when they were seen first. A node writes its
    /// own steps, so it counts once in a pass, however often it says so. One that is gone still counts.
    done: BTreeMap<Text, Option<Duration>>,
    /// Since when the present pass goes on.
    pass: Option<(u32, Duration)>,
    /// Nodes that bore a step of a later holder, by their UIDs, and when that was seen first.
    later: BTreeMap<Text, (Text, Duration)>,
}

/// Since when a node is as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Timer {
    uid: Text,
    step: Option<(String, State)>,
    /// Since when it bears this step.
    since: Duration,
    /// Since when it is in the phase that it is brought to, Ready, and both its agents are.
    steady: Option<Duration>,
    /// Since when it is not Ready.
    down: Option<Duration>,
}

/// The last eviction of a pod, and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvictionAttempt {
    /// When.
    pub at: Duration,
    /// What.
    pub answer: Answer,
    /// How many in a row had no effect.
    pub refused: u32,
    /// When the first of these was.
    pub first: Duration,
}

impl Memory {
    /// Takes up what is known now.
    pub fn observe(&mut self, world: &World, run: &Run) {
        let now = world.now;
        if self.pass.is_none_or(|(pass, _)| pass != run.pass) {
            self.pass = Some((run.pass, now));
            self.done.clear();
        }
        self.observe_nodes(world, run);
        self.observe_later(world, run);
        self.answers.retain(|uid, _| world.pods.get(uid).is_some());
        self.pending_patches.observe(world);
        self.census_agreement.observe(world);
        self.starts.retain(|time| now.saturating_sub(*time) < Duration::from_hours(1));
    }

    /// Both are in the order of names, so that a large cluster is gone through once.
    fn observe_nodes(&mut self, world: &World, run: &Run) {
        let now = world.now;
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        let mut known = self.nodes.iter_mut().peekable();
        for (name, node) in &world.nodes {
            while let Some((name, _)) = known.next_if(|(other, _)| !is_same(other, name) && *other < name) {
                gone.push(name.clone());
            }
            let is_steady = || {
                let target = node.step.as_ref().map(|step| step.to).or_else(|| run.target());
                target.is_some_and(|target| is_steady(world, name, node, target))
            };
            match known.next_if(|(other, _)| is_same(other, name) || *other == name) {
                Some((_, timer)) if timer.uid == node.uid => {
                    // One that a person asked to move again may become done again.
                    if run.asked.contains_key(name) {
                        self.done.remove(&node.uid);
                    }
                    if !timer.bears(node) && is_done_step(node, run) {
                        self.done.entry(node.uid.clone()).or_insert(Some(now));
                    }
                    timer.observe(node, now, is_steady());
                    continue;
                }
                Some((_, timer)) => *timer = Timer::of(node, now, is_steady()),
                None => new.push((name.clone(), Timer::of(node, now, is_steady()))),
            }
            if is_done_step(node, run) {
                self.done.entry(node.uid.clone()).or_insert(None);
            }
        }
        gone.extend(known.map(|(name, _)| name.clone()));
        for name in gone {
            self.nodes.remove(&name);
        }
        self.nodes.extend(new);
    }

    /// A Node is remembered for as long as it is there: one that changes its step again and again keeps a holder waiting once.
    fn observe_later(&mut self, world: &World, run: &Run) {
        self.later.retain(|name, (uid, _)| world.nodes.get(name).is_some_and(|node| node.uid == *uid));
        for (name, node) in world.nodes.iter().filter(|(_, node)| is_later(node, run, world.epoch)) {
            self.later.entry(name.clone()).or_insert_with(|| (node.uid.clone(), world.now));
        }
    }

    /// A Node that bore a step of a later holder when the Lease was last known to be this holder's, or since; none if the Lease was renewed after each of
    /// them was seen. A later holder writes steps once it has the Lease, so that a renewal would have failed.
    #[must_use]
    pub(super) fn later(&self, renewed: Duration) -> Option<&Text> {
        self.later.iter().find(|(_, (_, seen))| renewed <= *seen).map(|(name, _)| name)
    }

    /// Takes up what became of an eviction or a deletion.
    pub fn record_answer(&mut self, pod: &PodId, answer: Answer, now: Duration) {
        let uid = &pod.uid;
        // An answer that was lost may have been a yes.
        if let (Some(owner), Answer::Accepted | Answer::Failed(_)) = (&pod.owner, &answer) {
            self.moved.insert(owner.clone(), (uid.clone(), now));
        }
        let has_effect = matches!(answer, Answer::Accepted | Answer::Gone);
        let before = self.answers.get(uid).filter(|_| !has_effect);
        let refused = before.map_or(0, |before| before.refused).saturating_add(u32::from(!has_effect));
        let first = before.map_or(now, |before| before.first);
        self.answers.insert(uid.clone(), EvictionAttempt { at: now, answer, refused, first });
    }

    /// Takes up that a Node is about to be patched: from now on it may have happened.
    pub fn record_patch(&mut self, patch: &Patch, world: &World) {
        if let Some(node) = world.nodes.get(&patch.node) {
            self.pending_patches.add(patch, node, world.now);
        }
    }

    /// Takes up that a patch was made.
    pub fn confirm_patch(&mut self, patch: &Patch, world: &World) {
        self.pending_patches.confirm(&patch.node);
        if world.nodes.get(&patch.node).is_some_and(|node| patch.claims(node)) {
            self.starts.push(world.now);
        }
    }

    /// Takes up that a patch was not made: somebody had changed the Node before.
    pub fn reject_patch(&mut self, patch: &Patch) {
        self.pending_patches.reject(&patch.node);
    }

    /// What this holder did to Nodes that they do not show yet.
    #[must_use]
    pub(super) const fn pending_patches(&self) -> &PendingPatches {
        &self.pending_patches
    }

    /// Takes up that all pods are about to be counted.
    pub fn begin_census(&mut self, world: &World) {
        self.census_agreement.begin_count(world);
    }

    /// Takes up that the run was written.
    pub fn confirm_write(&mut self) {
        self.unwritten = None;
    }

    /// Takes up that the run was to be written, and that nobody knows whether it was: its answer was lost.
    pub fn record_unconfirmed_write(&mut self, run: &Run) {
        self.unwritten.get_or_insert_with(|| run.clone());
    }

    /// The run that may be the cluster's by now: nothing is decided before it is known whether it is.
    #[must_use]
    pub const fn unwritten(&self) -> Option<&Run> {
        self.unwritten.as_ref()
    }

    /// How long the node bears its present step.
    #[must_use]
    pub fn since(&self, node: &str, now: Duration) -> Duration {
        self.nodes.get(node).map_or(Duration::ZERO, |timer| now.saturating_sub(timer.since))
    }

    /// Whether the node knew of fewer pods than ran, in two counts of all pods in a row.
    #[must_use]
    pub(super) fn disagrees(&self, node: &str) -> bool {
        self.census_agreement.disagrees(node)
    }

    /// Whether the node agreed lately with a count of all pods that began after it came to stand as it does now, and in the present pass.
    #[must_use]
    pub(super) fn is_counted(&self, node: &str, now: Duration) -> bool {
        let since = self.nodes.get(node).map(|timer| timer.since).max(self.pass_since());
        since.is_some_and(|since| self.census_agreement.agrees(node, since, now))
    }

    /// How long the node has been in the phase that it is brought to, Ready and with both agents, without a break.
    #[must_use]
    pub fn steady(&self, node: &str, now: Duration) -> Option<Duration> {
        let since = self.nodes.get(node)?.steady?;
        Some(now.saturating_sub(since))
    }

    /// How long the node has not been Ready.
    #[must_use]
    pub fn down(&self, node: &str, now: Duration) -> Option<Duration> {
        let since = self.nodes.get(node)?.down?;
        Some(now.saturating_sub(since))
    }

    /// The last eviction of a pod, and its answer.
    #[must_use]
    pub fn answer(&self, uid: &str) -> Option<&EvictionAttempt> {
        self.answers.get(uid)
    }

    /// The pod of a workload that was evicted last, and when.
    #[must_use]
    pub fn moved(&self, owner: &Owner) -> Option<&(Text, Duration)> {
        self.moved.get(owner)
    }

    /// How many nodes this holder claimed within the last hour.
    #[must_use]
    pub fn starts(&self) -> usize {
        self.starts.len()
    }

    /// When the node of this UID was seen to become done in the present pass; none if this holder has not seen it.
    #[must_use]
    pub(super) fn done(&self, uid: &str) -> Option<Duration> {
        *self.done.get(uid)?
    }

    /// Since when this holder has seen the present pass.
    #[must_use]
    pub fn pass_since(&self) -> Option<Duration> {
        self.pass.map(|(_, since)| since)
    }
}

impl Timer {
    /// Of a node that is seen for the first time.
    fn of(node: &Node, now: Duration, is_steady: bool) -> Self {
        let (steady, down) = (is_steady.then_some(now), (!node.is_ready).then_some(now));
        Self { uid: node.uid.clone(), step: borne(node), since: now, steady, down }
    }

    /// Takes up how the node is now.
    fn observe(&mut self, node: &Node, now: Duration, is_steady: bool) {
        if !self.bears(node) {
            (self.step, self.since) = (borne(node), now);
        }
        self.steady = is_steady.then(|| self.steady.unwrap_or(now));
        self.down = (!node.is_ready).then(|| self.down.unwrap_or(now));
    }

    /// Whether the node bears the same step as before.
    fn bears(&self, node: &Node) -> bool {
        let known = self.step.as_ref().map(|(claim, state)| (claim.as_str(), *state));
        known == node.step.as_ref().map(|step| (step.claim.as_str(), step.state))
    }
}

/// The node bears a step of the present pass that says that it is done.
fn is_done_step(node: &Node, run: &Run) -> bool {
    node.step.as_ref().is_some_and(|step| step.state == State::Done && is_of_pass(step, run))
}

/// The claim and the state of a node's step.
fn borne(node: &Node) -> Option<(String, State)> {
    node.step.as_ref().map(|step| (step.claim.clone(), step.state))
}

/// The node is in the phase, Ready, has a network, and its agents are Ready.
fn is_steady(world: &World, name: &str, node: &Node, phase: Phase) -> bool {
    let has_agents = || {
        let agents = world.pods.on(name).filter(|pod| pod.is(Trait::Agent));
        let mut agents = agents.filter(|pod| !pod.is(Trait::Finished));
        agents.all(|pod| pod.is(Trait::Ready))
    };
    node.is_ready && !node.has_no_network && node.is_in(phase) && has_agents()
}

/// The same name in the same place: what most names are, since they are shared and not copied.
fn is_same(item: &Text, other: &Text) -> bool {
    std::sync::Arc::ptr_eq(item, other)
}

/// Whether a step is of this run.
#[must_use]
pub fn is_of(step: &Step, run: &Run) -> bool {
    step.run == run.id
}
