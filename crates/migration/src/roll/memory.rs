//! The memory of a holder between two steps: since when a node is in its state, what became of evictions and patches, and which nodes agreed with a count of
//! all pods. It is lost with the holder, and the next one begins anew, so that a deadline is never shorter than its length.

mod timer;

use std::collections::BTreeMap;
use std::time::Duration;

use snapshot::model::Text;
use types::api::eviction::Answer;
use types::api::step::State;
use types::policy::Phase;

use self::timer::Timer;
use super::run::Run;
use super::step::{Patch, PodId};
use super::view::{is_later, is_of_pass};
use super::world::{Census, Node, Owner, Trait, World};

/// What a holder remembers.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    nodes: BTreeMap<Text, Timer>,
    answers: BTreeMap<Text, EvictionAttempt>,
    /// The pod of each workload that was evicted last, and when.
    last_moves: BTreeMap<Owner, (Text, Duration)>,
    /// Patches that the Nodes, as they are known, do not show yet.
    pending_patches: PendingPatches,
    census_agreement: CensusAgreement,
    /// The run as it was to be written, if it is not known whether it was.
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
    /// When a node of each pool was seen to be gone last.
    departures: BTreeMap<Text, Duration>,
}

/// The last eviction of a pod, and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvictionAttempt {
    pub attempted_at: Duration,
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
        let mut entries = self.nodes.iter_mut().peekable();
        for (name, node) in &world.nodes {
            while let Some((name, _)) = entries.next_if(|(other, _)| !is_same(other, name) && *other < name) {
                gone.push(name.clone());
            }
            let is_steady = || {
                let target = node.step.as_ref().map(|step| step.to).or_else(|| run.target());
                target.is_some_and(|target| is_steady(world, name, node, target, run))
            };
            match entries.next_if(|(other, _)| is_same(other, name) || *other == name) {
                Some((_, timer)) if timer.uid == node.uid => {
                    // One that a person asked to move again may become done again.
                    if run.requests.contains_key(name) {
                        self.done.remove(&node.uid);
                    }
                    if !timer.bears(node) && is_done_step(node, run) {
                        self.done.entry(node.uid.clone()).or_insert(Some(now));
                    }
                    timer.observe(node, now, is_steady());
                    continue;
                }
                Some((_, timer)) => {
                    self.departures.insert(timer.pool.clone(), now);
                    *timer = Timer::start(node, now, is_steady());
                }
                None => new.push((name.clone(), Timer::start(node, now, is_steady()))),
            }
            if is_done_step(node, run) {
                self.done.entry(node.uid.clone()).or_insert(None);
            }
        }
        gone.extend(entries.map(|(name, _)| name.clone()));
        for timer in gone.into_iter().filter_map(|name| self.nodes.remove(&name)) {
            self.departures.insert(timer.pool, now);
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
    pub(super) fn later_node(&self, renewed: Duration) -> Option<&Text> {
        self.later.iter().find(|(_, (_, renewed_at))| renewed <= *renewed_at).map(|(name, _)| name)
    }

    /// Takes up what became of an eviction or a deletion.
    pub fn record_answer(&mut self, pod: &PodId, answer: Answer, now: Duration) {
        let uid = &pod.uid;
        // An answer that was lost may have been a yes.
        if let (Some(owner), Answer::Accepted | Answer::Failed(_)) = (&pod.owner, &answer) {
            self.last_moves.insert(owner.clone(), (uid.clone(), now));
        }
        let has_effect = matches!(answer, Answer::Accepted | Answer::Gone);
        let before = self.answers.get(uid).filter(|_| !has_effect);
        let refused = before.map_or(0, |before| before.refused).saturating_add(u32::from(!has_effect));
        let first = before.map_or(now, |before| before.first);
        self.answers.insert(uid.clone(), EvictionAttempt { attempted_at: now, answer, refused, first });
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

    /// Takes up that a patch was not made: another client had changed the Node before.
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

    /// Takes up that the run was to be written, and that its answer was lost, so that it is not known whether it was.
    pub fn record_unconfirmed_write(&mut self, run: &Run) {
        self.unwritten.get_or_insert_with(|| run.clone());
    }

    /// The run that may be the cluster's by now: nothing is decided before it is known whether it is.
    #[must_use]
    pub const fn unwritten_run(&self) -> Option<&Run> {
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

    /// How long ago a node of the pool was seen to be gone last; as long as this holder has seen the pass if it has seen none.
    #[must_use]
    pub(super) fn last_departure(&self, pool: &str, now: Duration) -> Duration {
        let since = self.departures.get(pool).copied().max(self.pass_since());
        since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// How long the node has not been Ready.
    #[must_use]
    pub fn down_for(&self, node: &str, now: Duration) -> Option<Duration> {
        let since = self.nodes.get(node)?.down_since?;
        Some(now.saturating_sub(since))
    }

    /// How long another program has been taking the node away.
    pub(super) fn going_for(&self, node: &str, now: Duration) -> Duration {
        self.nodes
            .get(node)
            .and_then(|timer| timer.going_since)
            .map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// How long the node has been Ready without a report in its boot.
    pub(super) fn unreported_for(&self, node: &str, now: Duration) -> Duration {
        self.nodes
            .get(node)
            .and_then(|timer| timer.unreported_since)
            .map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// The last eviction of a pod, and its answer.
    #[must_use]
    pub fn answer(&self, uid: &str) -> Option<&EvictionAttempt> {
        self.answers.get(uid)
    }

    /// The pod of a workload that was evicted last, and when.
    #[must_use]
    pub fn last_move(&self, owner: &Owner) -> Option<&(Text, Duration)> {
        self.last_moves.get(owner)
    }

    /// How many nodes this holder claimed within the last hour.
    #[must_use]
    pub fn starts(&self) -> usize {
        self.starts.len()
    }

    /// When the node of this UID was seen to become done in the present pass; none if this holder has not seen it.
    #[must_use]
    pub(super) fn done_at(&self, uid: &str) -> Option<Duration> {
        *self.done.get(uid)?
    }

    /// Since when this holder has seen the present pass.
    #[must_use]
    pub fn pass_since(&self) -> Option<Duration> {
        self.pass.map(|(_, since)| since)
    }
}

/// The node bears a step of the present pass that says that it is done.
fn is_done_step(node: &Node, run: &Run) -> bool {
    node.step.as_ref().is_some_and(|step| step.state == State::Done && is_of_pass(step, run))
}

/// The node is in the phase, Ready, has a network, and its agents are Ready. One without Crossfade has the old network, or the new one where a run does not leave
/// that.
fn is_steady(world: &World, name: &str, node: &Node, phase: Phase, run: &Run) -> bool {
    let has_agents = || {
        let agents = world.pods.on_node(name).filter(|pod| pod.has_trait(Trait::Agent));
        let mut agents = agents.filter(|pod| !pod.has_trait(Trait::Finished));
        agents.all(|pod| pod.has_trait(Trait::Ready))
    };
    let is_there = node.is_in(phase) || (phase == Phase::Old || run.from == phase) && node.is_silent();
    node.is_ready && !node.has_no_network && is_there && has_agents()
}

/// The same name in the same place: what most names are, since they are shared and not copied.
fn is_same(item: &Text, other: &Text) -> bool {
    std::sync::Arc::ptr_eq(item, other)
}

/// For so long a patch whose answer was lost may have happened although its Node does not show it.
const DOUBTFUL: Duration = Duration::from_mins(10);

/// Patches that a holder sent and that the Nodes, as it knows them, do not show yet: the watch is late, or the answer was lost. By the name of their Node.
///
/// What may have happened counts as if it had: a node that was claimed takes its place, and the phase that it was asked for may have pods by now.
#[derive(Debug, Clone, Default)]
pub(super) struct PendingPatches(BTreeMap<Text, PendingPatch>);

/// A patch that its Node does not show yet.
#[derive(Debug, Clone)]
struct PendingPatch {
    uid: Text,
    /// The version that it was decided on: it is not known as long as the Node has it.
    version: Text,
    sent_at: Duration,
    desired: Option<Phase>,
    is_claim: bool,
    is_permit: bool,
    cordons: bool,
    is_done: bool,
    /// It is sent once more, since the answer was lost.
    is_again: bool,
}

impl PendingPatches {
    /// A patch of this Node is about to be sent.
    pub(super) fn add(&mut self, patch: &Patch, node: &Node, now: Duration) {
        let Patch { uid, version, desired, .. } = patch.clone();
        let is_again = self.0.get(&patch.node).is_some_and(|pending| pending.version == version);
        let is_claim = patch.claims(node);
        let pending = PendingPatch {
            uid,
            version,
            sent_at: now,
            desired,
            is_claim,
            is_permit: is_claim && patch.permits(),
            cordons: patch.cordon == Some(true),
            is_done: false,
            is_again,
        };
        self.0.insert(patch.node.clone(), pending);
    }

    /// The API server made the patch.
    pub(super) fn confirm(&mut self, node: &str) {
        if let Some(pending) = self.0.get_mut(node) {
            pending.is_done = true;
        }
    }

    /// The Node had changed before: the patch was not made, and never will be. If it was sent before, that may have been the change.
    pub(super) fn reject(&mut self, node: &str) {
        match self.0.get_mut(node) {
            Some(pending) if pending.is_again => pending.is_done = true,
            _ => drop(self.0.remove(node)),
        }
    }

    /// Forgets those that Nodes show by now, and those that will never be.
    pub(super) fn observe(&mut self, world: &World) {
        let is_unseen = |name: &Text, pending: &PendingPatch| {
            let node = world.nodes.get(name);
            node.is_some_and(|node| node.uid == pending.uid && node.version == pending.version)
        };
        let is_doubtful =
            |pending: &PendingPatch| pending.is_done || world.now.saturating_sub(pending.sent_at) < DOUBTFUL;
        self.0.retain(|name, pending| is_unseen(name, pending) && is_doubtful(pending));
    }

    /// Whether all Nodes show what was sent of late.
    pub(super) fn are_settled(&self, now: Duration) -> bool {
        self.0.values().all(|pending| now.saturating_sub(pending.sent_at) >= DOUBTFUL)
    }

    /// Whether a patch of the node was sent that it does not show yet.
    pub(super) fn has(&self, node: &str) -> bool {
        self.0.contains_key(node)
    }

    /// The node may have been claimed.
    pub(super) fn has_claimed(&self, node: &str) -> bool {
        self.0.get(node).is_some_and(|pending| pending.is_claim)
    }

    /// A pipeline may take the node away by now.
    pub(super) fn has_permitted(&self, node: &str) -> bool {
        self.0.get(node).is_some_and(|pending| pending.is_permit)
    }

    /// The node may have been cordoned.
    pub(super) fn has_cordoned(&self, node: &str) -> bool {
        self.0.get(node).is_some_and(|pending| pending.cordons)
    }

    /// The phases that nodes may have been asked for.
    pub(super) fn requested_phases(&self) -> impl Iterator<Item = (&Text, Phase)> {
        self.0.iter().filter_map(|(name, pending)| Some((name, pending.desired?)))
    }

    /// The Node was patched, so that nothing can be decided on what is known of it.
    pub(super) fn is_outdated(&self, node: &str) -> bool {
        self.0.get(node).is_some_and(|pending| pending.is_done)
    }
}

/// How long nodes have to tell of what was on them when all pods were counted.
pub(super) const REPORT_TIME: Duration = Duration::from_secs(10);

/// For so long a node that agreed is not asked again.
const AGREEMENT_LASTS: Duration = Duration::from_mins(10);

/// Which nodes know of every pod that a count of all pods found on them.
///
/// A node that has forgotten a pod would count as done with a pod of another phase on it. The count and a node's report are not of the same moment: `watch`
/// reports a change some seconds later. So a node agrees with a count if no report from just before it until [`REPORT_TIME`] after it has less than the count. A node
/// that agreed is not asked again for ten minutes: where pods come and go all the time, there may be no moment at which all nodes agree.
#[derive(Debug, Clone, Default)]
struct CensusAgreement {
    /// When the last count began that nodes were held against.
    last_count: Option<Duration>,
    /// The fewest attachments that each node has said it has since just before the count that is to come, or since the one that is not over.
    least: BTreeMap<Text, u32>,
    /// When the last count began that a node agreed with.
    agreed: BTreeMap<Text, Duration>,
    /// How many counts in a row each node did not agree with.
    disagreed: BTreeMap<Text, u32>,
}

impl CensusAgreement {
    /// All pods are about to be counted. Counting takes a while in large clusters, and what nodes say meanwhile is not seen.
    fn begin_count(&mut self, world: &World) {
        self.least.clear();
        self.note(world);
    }

    fn note(&mut self, world: &World) {
        for (name, node) in &world.nodes {
            let now = node.attached_count().unwrap_or_default();
            self.least.entry(name.clone()).and_modify(|least| *least = now.min(*least)).or_insert(now);
        }
    }

    /// Takes up what is known now.
    pub(super) fn observe(&mut self, world: &World) {
        let Some(census) = &world.census else { return };
        if self.last_count == Some(census.started_at) {
            return;
        }
        self.note(world);
        if is_count_over(census, world.now) {
            self.last_count = Some(census.started_at);
            self.agreed.retain(|name, _| world.nodes.contains_key(name));
            let agree = |(name, least): &(Text, u32)| *least >= counted_on(census, name);
            let least = std::mem::take(&mut self.least);
            let (agree, others): (Vec<_>, Vec<_>) = least.into_iter().partition(agree);
            let before = std::mem::take(&mut self.disagreed);
            let again = |name: &Text| before.get(name).copied().unwrap_or_default() + 1;
            self.disagreed = others.into_iter().map(|(name, _)| (name.clone(), again(&name))).collect();
            self.agreed.extend(agree.into_iter().map(|(name, _)| (name, census.started_at)));
        }
    }

    /// The node did not agree with the last two counts. With one, pods may have come and gone meanwhile.
    pub(super) fn disagrees(&self, node: &str) -> bool {
        self.disagreed.get(node).is_some_and(|counts| *counts > 1)
    }

    /// Whether a node agreed lately with a count that began after `since`.
    fn agrees(&self, node: &str, since: Duration, now: Duration) -> bool {
        self.agreed.get(node).is_some_and(|time| *time > since && now.saturating_sub(*time) < AGREEMENT_LASTS)
    }
}

/// Nodes have had their time to tell.
pub(super) fn is_count_over(census: &Census, now: Duration) -> bool {
    now.saturating_sub(census.started_at) >= REPORT_TIME
}

/// How many pods a count found on a node.
pub(super) fn counted_on(census: &Census, node: &str) -> u32 {
    census.running.get(node).copied().unwrap_or(0)
}

#[cfg(test)]
mod pending_patches_tests {
    use super::*;

    fn world(version: &str, second: u64) -> World {
        let node = Node { uid: "u".into(), version: version.into(), ..Node::default() };
        World {
            now: Duration::from_secs(second),
            nodes: [("a".into(), node.into())].into(),
            ..World::default()
        }
    }

    fn requested_phase(sent: &PendingPatches) -> Option<Phase> {
        sent.requested_phases().find(|(name, _)| &***name == "a").map(|(_, phase)| phase)
    }

    /// A patch of the Node at version 7.
    fn flip() -> Patch {
        Patch { desired: Some(Phase::New), ..Patch::new(&"a".into(), &world("7", 100).nodes["a"]) }
    }

    /// It was sent at second 100.
    fn flipped() -> PendingPatches {
        let mut sent = PendingPatches::default();
        sent.add(&flip(), &world("7", 100).nodes["a"], Duration::from_secs(100));
        sent
    }

    #[test]
    fn what_may_have_happened_counts_until_the_node_tells() {
        let mut sent = flipped();
        sent.observe(&world("7", 110));
        assert_eq!(
            requested_phase(&sent),
            Some(Phase::New),
            "its answer was lost, and the Node is as it was"
        );
        assert!(!sent.is_outdated("a"), "it is sent again");
        sent.observe(&world("8", 120));
        assert_eq!(requested_phase(&sent), None, "the Node tells by now");
    }

    #[test]
    fn an_answer_that_never_came_is_forgotten_and_one_that_came_is_not() {
        for (is_done, expected) in [(false, None), (true, Some(Phase::New))] {
            let mut sent = flipped();
            if is_done {
                sent.confirm("a");
            }
            sent.observe(&world("7", 100 + 600));
            assert_eq!(requested_phase(&sent), expected, "done: {is_done}");
        }
    }

    #[test]
    fn a_conflict_of_one_that_is_sent_again_may_be_its_own() {
        let mut sent = flipped();
        sent.observe(&world("7", 110));
        sent.add(&flip(), &world("7", 110).nodes["a"], Duration::from_secs(110));
        sent.reject("a");
        assert_eq!(requested_phase(&sent), Some(Phase::New));
        assert!(sent.is_outdated("a"), "nothing is sent before the Node tells what it is");
    }

    #[test]
    fn a_conflict_leaves_nothing() {
        let mut sent = flipped();
        sent.reject("a");
        assert_eq!(requested_phase(&sent), None);
    }
}

#[cfg(test)]
mod census_agreement_tests {
    use super::*;
    use crate::roll::world::Node;
    use serde_json::json;

    const AT: Duration = Duration::from_secs(100);

    /// What a node says, and when; how many of its pods were counted; whether it agrees.
    type Row = (Vec<(u64, u32)>, u32, bool);

    /// A world in which node `a` says that it has so many attachments.
    fn world(second: u64, attached: u32, running: u32) -> World {
        let observed = json!({ "bootId": "b", "phase": "new", "attached": { "new": attached } });
        let node = Node { observed: serde_json::from_value(observed).ok(), ..Node::default() };
        World {
            now: Duration::from_secs(second),
            nodes: [("a".into(), node.into())].into(),
            census: Some(Census {
                started_at: AT,
                running: [("a".into(), running)].into(),
                ..Census::default()
            }),
            ..World::default()
        }
    }

    fn agrees(reports: &[(u64, u32)], running: u32) -> bool {
        let mut agreed = CensusAgreement::default();
        for (second, attached) in reports {
            agreed.observe(&world(*second, *attached, running));
        }
        agreed.agrees("a", AT - Duration::from_secs(1), AT)
    }

    #[test]
    fn a_node_agrees_if_it_never_says_less_than_was_counted() {
        let table: [Row; 6] = [
            (vec![(100, 4), (110, 4)], 4, true),
            (vec![(100, 4), (109, 4)], 4, false), // It has time to tell of less.
            (vec![(100, 4), (105, 3), (110, 4)], 4, false), // The count found one that it had forgotten; another one came later.
            (vec![(100, 5), (105, 4), (110, 4)], 4, true), // One went before the count, and was told of after it.
            (vec![(100, 4), (112, 3)], 4, false),
            (vec![(100, 0), (110, 0)], 0, true),
        ];
        for (reports, running, expected) in table {
            assert_eq!(agrees(&reports, running), expected, "{reports:?} with {running} running");
        }
    }

    #[test]
    fn what_was_said_before_the_count_matters_too() {
        let mut agreed = CensusAgreement::default();
        agreed.begin_count(&world(99, 3, 0));
        agreed.observe(&world(160, 4, 4));
        assert!(
            !agreed.agrees("a", AT - Duration::from_secs(1), AT),
            "counting took a minute, and a pod came meanwhile"
        );
    }

    /// What a node says after a count that failed says nothing of the count before.
    #[test]
    fn a_count_that_fails_leaves_what_the_last_one_showed() {
        let mut agreed = CensusAgreement::default();
        agreed.observe(&world(100, 4, 5));
        agreed.observe(&world(110, 4, 5));
        agreed.begin_count(&world(140, 5, 5));
        agreed.observe(&world(141, 5, 5));
        assert!(!agreed.agrees("a", AT - Duration::from_secs(1), AT), "another pod came");
    }

    /// A pod that came and went while all were counted is no fault of its node, and the next count shows it.
    #[test]
    fn a_node_disagrees_after_two_counts_in_a_row() {
        let mut agreed = CensusAgreement::default();
        let mut counted = |second: u64, attached: u32| {
            for now in [second, second + 10] {
                let mut world = world(now, attached, 4);
                world.census.as_mut().expect("a count").started_at = Duration::from_secs(second);
                agreed.observe(&world);
            }
            agreed.disagrees("a")
        };
        let seen = [(100, 3), (140, 4), (180, 3), (220, 3), (260, 4)]
            .map(|(second, attached)| counted(second, attached));
        assert_eq!(seen, [false, false, false, true, false]);
    }

    #[test]
    fn a_node_that_agreed_is_not_asked_again_until_it_has_changed() {
        let mut agreed = CensusAgreement::default();
        agreed.observe(&world(100, 4, 4));
        agreed.observe(&world(110, 4, 4));
        agreed.observe(&world(120, 1, 4));
        assert!(agreed.agrees("a", AT - Duration::from_secs(1), AT));
        assert!(!agreed.agrees("a", AT, AT), "it has been done since then");
        assert!(!agreed.agrees("a", AT - Duration::from_secs(1), AT + AGREEMENT_LASTS), "that was long ago");
    }
}
