//! The next step of a node that the run is moving, and of its pods.
//!
//! | state | its next act | when | else, after its time |
//! |---|---|---|---|
//! | `claimed` | asks the node for the phase | the node echoes the claim, and follows the phase or is in it | held |
//! | `flipped` | begins to move pods | the node is in the phase | held |
//! | `moving` | evicts pods of other phases, once networks have joined and left those that they can | none is left: proves | held |
//! | `proving` | takes its cordon away | the node is steady and the gates are green | held |
//! | `settling` | is done | its workloads are as available as before, and all is quiet | held |
//! | `held` | is claimed again | an operator asked for another try | stays |

use std::time::Duration;

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use snapshot::model::Text;
use types::api::observed::NodeObservation;
use types::api::step::{Cordon, State, Step};
use types::policy::Phase;

use super::budget::needs_cordon;
use super::drain::{PodMoves, decide_moves};
use super::memory::Memory;
use super::replacement;
use super::run::NodeRequest;
use super::start::places::going_wait;
use super::start::{self, next_try, short_workloads, unmet_gates};
use super::step::{Act, Change, Patch};
use super::view::{View, is_done, is_of_pass, is_ours, set_state};
use super::wait::{Reason, Subject, Wait};
use super::world::Node;
use crate::cni::reach::Way;
use crate::plan::canon;

/// How soon a settling node is looked at again if a watch has brought nothing since it began to settle.
const RESYNC: Duration = Duration::from_secs(2);
/// How long a node is steady before it is proven.
pub(super) const STEADY: Duration = Duration::from_secs(10);
/// How long a node may not be Ready before a person is told.
pub(super) const DOWN: Duration = Duration::from_mins(5);

/// What comes next for a node.
#[derive(Debug, Default)]
pub(super) struct NextStep {
    /// What is done.
    pub acts: Vec<Act>,
    pub waits: Vec<Wait>,
}

impl NextStep {
    fn act(patch: Patch) -> Self {
        Self { acts: vec![Act::Patch(Box::new(patch))], waits: Vec::new() }
    }

    fn wait(wait: Wait) -> Self {
        Self { acts: Vec::new(), waits: vec![wait] }
    }
}

/// Why a node is held: the reasons that a run writes into a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum HoldReason {
    NodeSilent,
    PhaseNotFollowed,
    PolicyUnknown,
    FlipTimeout,
    MoveTimeout,
    ProofTimeout,
    OwnersTimeout,
    NodeNotReady,
    ForeignCordon,
    AttachmentsUnknown,
}

impl HoldReason {
    /// The reason in a step; none for a text that this version does not write.
    fn parse(text: &str) -> Option<Self> {
        Self::deserialize(StrDeserializer::<serde::de::value::Error>::new(text)).ok()
    }

    /// What the hold means, in one sentence.
    fn describe(self, text: &str) -> String {
        match self {
            Self::NodeSilent => {
                "it did not answer its claim: watch does not run there, or it does not report to the API server"
                    .into()
            }
            Self::PhaseNotFollowed => format!("its node.json or its policy does not allow the phase: {text}"),
            Self::PolicyUnknown => {
                "its policy is not the one that the plan was made for: it was changed, or its image has another"
                    .into()
            }
            Self::FlipTimeout => format!("it did not reach the phase in time: {text}"),
            Self::MoveTimeout => "its pods did not move in time".into(),
            Self::ProofTimeout => "it was not steady in its phase in time, or a gate was not green".into(),
            Self::OwnersTimeout => "what moved from it is not as available as before".into(),
            Self::NodeNotReady => "it is not Ready".into(),
            Self::ForeignCordon => {
                "another client cordoned it, and pods that moved from it find no other node".into()
            }
            Self::AttachmentsUnknown => "it cannot tell what is attached to it".into(),
        }
    }
}

impl From<HoldReason> for Reason {
    fn from(hold: HoldReason) -> Self {
        match hold {
            HoldReason::NodeSilent => Self::NodeSilent,
            HoldReason::PhaseNotFollowed => Self::PhaseNotFollowed,
            HoldReason::PolicyUnknown => Self::PolicyUnknown,
            HoldReason::FlipTimeout => Self::FlipTimeout,
            HoldReason::MoveTimeout => Self::MoveTimeout,
            HoldReason::ProofTimeout => Self::ProofTimeout,
            HoldReason::OwnersTimeout => Self::OwnersTimeout,
            HoldReason::NodeNotReady => Self::NodeNotReady,
            HoldReason::ForeignCordon => Self::ForeignCordon,
            HoldReason::AttachmentsUnknown => Self::AttachmentsUnknown,
        }
    }
}

/// One node of the run, in transit.
struct TransitNode<'a> {
    view: &'a View<'a>,
    name: &'a Text,
    node: &'a Node,
    step: &'a Step,
}

/// What comes next for a node that bears a step of this run.
#[must_use]
pub(super) fn decide_next(view: &View<'_>, name: &Text, node: &Node, step: &Step) -> NextStep {
    if step.state == State::Permitted {
        let (act, wait) = replacement::decide_permitted(view, name, node, step);
        return NextStep { acts: act.into_iter().collect(), waits: wait.into_iter().collect() };
    }
    let transit = TransitNode { view, name, node, step };
    if node.is_going && !matches!(step.state, State::Claimed | State::Held | State::Done) {
        return NextStep::wait(going_wait(view, name));
    }
    if view.run.requests.contains_key(name)
        && let Some(next) = transit.apply_request()
    {
        return next;
    }
    if !is_of_pass(step, view.run) {
        // The run turned back.
        return transit.restart(view.target, 1);
    }
    match step.state {
        State::Claimed => transit.decide_claimed(),
        State::Flipped => transit.decide_flipped(),
        State::Moving => transit.moving(),
        State::Proving => transit.proving(),
        State::Settling => transit.settling(),
        State::Held => transit.decide_held(),
        State::Done | State::Waiting | State::Permitted => NextStep::default(),
    }
}

impl TransitNode<'_> {
    fn now(&self) -> Duration {
        self.view.world.now
    }

    fn memory(&self) -> &Memory {
        self.view.memory
    }

    fn object(&self) -> Subject {
        Subject::Node(self.name.clone())
    }

    fn since(&self) -> Duration {
        self.memory().since(self.name, self.now())
    }

    /// How long a state has left; none if its time is over.
    fn time_left(&self, seconds: u32) -> Option<Duration> {
        Duration::from_secs(seconds.into()).checked_sub(self.since()).filter(|remaining| !remaining.is_zero())
    }

    fn patch_to(&self, state: State) -> Patch {
        let mut patch = Patch::new(self.name, self.node);
        patch.step = Change::Set(set_state(self.step, state, self.view.world));
        patch
    }

    /// Holds the node, so that a person looks at it.
    fn hold(&self, why: HoldReason) -> NextStep {
        let mut patch = self.patch_to(State::Held);
        if let Change::Set(step) = &mut patch.step {
            step.why = Some(Reason::from(why).to_string());
        }
        NextStep::act(patch)
    }

    fn wait(&self, reason: Reason, what: impl Into<String>, remaining: Option<Duration>) -> NextStep {
        let wait = Wait::new(self.object(), reason, what);
        NextStep::wait(match remaining {
            Some(remaining) => wait.with_time(self.now() + remaining),
            None => wait,
        })
    }

    /// What the operator asked for.
    fn apply_request(&self) -> Option<NextStep> {
        let to = match self.view.run.requests.get(self.name)? {
            NodeRequest::Retry if self.step.state == State::Held => self.view.target,
            NodeRequest::Rollback if self.step.to != self.view.run.from => self.view.run.from,
            NodeRequest::Retry | NodeRequest::Rollback => return None,
        };
        Some(self.restart(to, next_try(self.view, self.node)))
    }

    /// Takes the node once more, from the start.
    fn restart(&self, to: Phase, tried: u32) -> NextStep {
        let mut patch = Patch::new(self.name, self.node);
        let mut step = set_state(self.step, State::Claimed, self.view.world);
        (step.claim, step.r#try, step.to) = (self.view.run.claim(tried), tried, to);
        step.plan = canon::shorten_hash(&self.view.run.plan).to_owned();
        if needs_cordon(self.view, self.node, to) {
            step.cordon = Some(Cordon::Ours);
            patch.cordon = Some(true);
        }
        patch.step = Change::Set(step);
        NextStep::act(patch)
    }

    /// The node has to answer, and to be able to follow.
    fn decide_claimed(&self) -> NextStep {
        let (node, limits) = (self.node, &self.view.plan.limits);
        if node.is_going {
            return self.release();
        }
        let observed = node.observed.as_ref();
        let has_echo =
            observed.is_some_and(|observation| observation.echo.as_deref() == Some(&self.step.claim));
        if !has_echo || !node.is_ready {
            let remaining = self.time_left(limits.claim_seconds);
            return match remaining {
                None if has_echo => self.hold(HoldReason::NodeNotReady),
                None => self.hold(HoldReason::NodeSilent),
                remaining => self.wait(Reason::NodeSilent, "it has not answered its claim yet", remaining),
            };
        }
        if !self.is_able_to_follow() {
            return self.hold(HoldReason::PhaseNotFollowed);
        }
        if !self.view.is_covered(self.name, node) {
            return self.hold(HoldReason::PolicyUnknown);
        }
        if node.attached_count().is_none() {
            return self.hold(HoldReason::AttachmentsUnknown);
        }
        if let Some(parts) = self.view.lost_connectivity(self.name, node, self.step.to) {
            return self.way_out(parts);
        }
        let mut patch = self.patch_to(State::Flipped);
        patch.desired = Some(self.step.to);
        NextStep::act(patch)
    }

    /// The node follows the phase, or hands it out already: a person may have brought it there, and its network is not proven yet.
    fn is_able_to_follow(&self) -> bool {
        let to = self.step.to;
        let is_able = |observation: &NodeObservation| {
            observation.phase == Some(to) || observation.follows.contains(&to)
        };
        self.node.observed.as_ref().is_some_and(is_able)
    }

    /// The phase would part pods. The node may have some that have to go first, in a phase that parts no pods.
    fn way_out(&self, (client, server): (Phase, Phase)) -> NextStep {
        match start::connected_phase(self.view, self.name, self.node) {
            Some(to) => self.restart(to, next_try(self.view, self.node)),
            None => NextStep::wait(disconnection_wait(self.object(), client, server)),
        }
    }

    /// The node has to be in the phase.
    fn decide_flipped(&self) -> NextStep {
        let node = self.node;
        if let Some(next) = self.check_policy() {
            return next;
        }
        if node.is_in(self.step.to) && self.has_echo() {
            return NextStep::act(self.patch_to(State::Moving));
        }
        let Some(remaining) = self.time_left(self.view.plan.limits.flip_seconds) else {
            return self.hold(HoldReason::FlipTimeout);
        };
        if node.is_ready && !self.is_able_to_follow() {
            return self.hold(HoldReason::PhaseNotFollowed);
        }
        let text = node.crossfade.as_ref().map(|condition| condition.message.as_ref()).unwrap_or_default();
        self.wait(
            Reason::Flipping,
            format!("it is not in phase {} yet: {text}", self.step.to),
            Some(remaining),
        )
    }

    fn has_echo(&self) -> bool {
        let echo = self.node.observed.as_ref().and_then(|observation| observation.echo.as_deref());
        echo == Some(&self.step.claim)
    }

    /// The node got a policy that the plan was not made for.
    fn check_policy(&self) -> Option<NextStep> {
        let is_known = self.node.observed.is_none() || self.view.is_covered(self.name, self.node);
        (!is_known).then(|| self.hold(HoldReason::PolicyUnknown))
    }

    /// The node stays in the phase, or it has to reach it once more: it was rebooted, or its policy was changed.
    fn check_regression(&self) -> Option<NextStep> {
        if !self.node.is_ready {
            let down = self.memory().down_for(self.name, self.now()).unwrap_or_default();
            let remaining = DOWN.checked_sub(down).filter(|remaining| !remaining.is_zero());
            let what = "it is not Ready; nothing is evicted from it meanwhile";
            return Some(match remaining {
                None => self.hold(HoldReason::NodeNotReady),
                remaining => self.wait(Reason::NodeNotReady, what, remaining),
            });
        }
        if let Some(next) = self.check_policy() {
            return Some(next);
        }
        if self.node.is_in(self.step.to) && self.has_echo() {
            return None;
        }
        let mut patch = self.patch_to(State::Flipped);
        if self.node.desired != Some(self.step.to) {
            if self.node.observed.is_none() {
                // Its policy is unknown, and the plan covers known policies only: the run waits until the node reports again.
                return Some(self.wait_unreported());
            }
            if let Some(parts) = self.view.lost_connectivity(self.name, self.node, self.step.to) {
                return Some(self.way_out(parts));
            }
            patch.desired = Some(self.step.to);
        }
        Some(NextStep::act(patch))
    }

    /// The node's report is gone, or is none that this program reads.
    fn wait_unreported(&self) -> NextStep {
        let limit = self.view.plan.limits.claim_seconds;
        match self.time_left(limit) {
            None => self.hold(HoldReason::NodeSilent),
            remaining => {
                self.wait(Reason::NodeSilent, "its annotation crossfade/observed is gone", remaining)
            }
        }
    }

    /// Pods of other phases have to go.
    fn moving(&self) -> NextStep {
        if let Some(next) = self.check_regression() {
            return next;
        }
        let Some(others) = self.node.attached_otherwise(self.step.to) else {
            return self.hold(HoldReason::AttachmentsUnknown);
        };
        if others == 0 {
            return NextStep::act(self.patch_to(State::Proving));
        }
        let limit = self.view.plan.limits.move_seconds;
        let Some(remaining) = self.time_left(limit) else { return self.hold(HoldReason::MoveTimeout) };
        if self.node.is_joining(self.step.to) {
            let what = format!(
                "{others} attachments of other phases are left, and the node lets networks join or leave its pods"
            );
            return self.wait(Reason::Joining, what, Some(remaining));
        }
        if self.view.way(self.node, self.step.to) != Way::Restart {
            // It started whatever the workloads lack, since its pods were to run on; some of them have to be restarted nevertheless.
            let gates = unmet_gates(self.view, Way::Restart);
            if !gates.is_empty() {
                let until = self.now() + remaining;
                let waits = gates.into_iter().map(|wait| wait.with_time(until)).collect();
                return NextStep { acts: Vec::new(), waits };
            }
        }
        let PodMoves { acts, mut waits } = decide_moves(self.view, self.name, self.node);
        if acts.is_empty() && waits.is_empty() {
            let what = format!(
                "{others} attachments of other phases are left, and no pod of the node is known for them"
            );
            let help = format!(
                "on the node: crossfade-bootstrap attachments; or wait until they are swept; {}",
                retry(self.name)
            );
            waits.push(
                Wait::new(self.object(), Reason::AttachmentsUnknown, what)
                    .with_time(self.now() + remaining)
                    .help(help),
            );
        }
        NextStep { acts, waits }
    }

    /// The node has to be steady, and the gates have to be green.
    fn proving(&self) -> NextStep {
        if let Some(next) = self.check_regression() {
            return next;
        }
        if self.node.attached_otherwise(self.step.to) != Some(0) {
            return NextStep::act(self.patch_to(State::Moving));
        }
        let steady = self.memory().steady(self.name, self.now());
        let gates = unmet_gates(self.view, self.view.way(self.node, self.step.to));
        if steady.is_some_and(|steady| steady >= STEADY) && gates.is_empty() {
            let mut patch = self.patch_to(State::Settling);
            if is_ours(self.node, self.step) {
                patch.cordon = Some(false);
            }
            if let Change::Set(step) = &mut patch.step {
                // A later cordon is another actor's.
                step.cordon = None;
            }
            return NextStep::act(patch);
        }
        let Some(remaining) = self.time_left(self.view.plan.limits.prove_seconds) else {
            return self.hold(HoldReason::ProofTimeout);
        };
        let mut next =
            self.wait(Reason::Proving, "it has not been steady in its phase for 10 s", Some(remaining));
        if steady.is_some_and(|steady| steady >= STEADY) {
            next.waits.clear();
        } else if let Some(steady) = steady {
            next.waits[0].until = Some(self.now() + (STEADY - steady));
        }
        next.waits.extend(gates);
        next
    }

    /// Its workloads have to be as available as before, and nothing may happen for a time.
    fn settling(&self) -> NextStep {
        if let Some(next) = self.check_regression() {
            return next;
        }
        let limits = &self.view.plan.limits;
        if !is_done(self.node, self.step.to) {
            return NextStep::act(self.patch_to(State::Moving));
        }
        let short = short_workloads(self.view);
        let quiet = Duration::from_secs(limits.settle_seconds.into());
        let remaining = quiet.checked_sub(self.since()).filter(|remaining| !remaining.is_zero());
        // What was known before it began to settle says nothing about the pods that moved from it.
        let is_synced = self.view.world.synced > self.now().saturating_sub(self.since());
        if short.is_empty() && remaining.is_none() && !is_synced {
            let what = "it settles, and the API server has not told since then how the workloads are";
            return self.wait(Reason::Settling, what, Some(RESYNC));
        }
        if short.is_empty() && remaining.is_none() {
            let mut patch = self.patch_to(State::Done);
            patch.fence = self.node.is_fenced.then_some(false);
            return NextStep::act(patch);
        }
        // This run's own cordon is gone by now.
        let is_cordoned = self.node.is_cordoned;
        if !short.is_empty() && self.time_left(limits.owners_seconds).is_none() {
            return self.hold(if is_cordoned {
                HoldReason::ForeignCordon
            } else {
                HoldReason::OwnersTimeout
            });
        }
        if short.is_empty() {
            return self.wait(Reason::Settling, "it settles", remaining);
        }
        let until = self.time_left(limits.owners_seconds).map(|remaining| self.now() + remaining);
        let waits = short.into_iter().map(|mut wait| {
            wait.until = until;
            wait
        });
        let foreign = is_cordoned.then(|| {
            let what = "another client cordoned it, and pods that moved from it find no other node";
            Wait::new_held(
                self.object(),
                Reason::ForeignCordon,
                what,
                format!("kubectl uncordon {}", self.name),
            )
        });
        NextStep { acts: Vec::new(), waits: foreign.into_iter().chain(waits).collect() }
    }

    /// A person has to look at it.
    fn decide_held(&self) -> NextStep {
        let why = self.step.why.as_deref().unwrap_or_default();
        let text =
            self.node.crossfade.as_ref().map(|condition| condition.message.as_ref()).unwrap_or_default();
        let hold = HoldReason::parse(why);
        let is_timeout = hold == Some(HoldReason::MoveTimeout);
        let is_joining = is_timeout && self.node.is_joining(self.step.to);
        let what = match hold {
            Some(_) if is_joining => {
                format!("networks did not join or leave all of its pods in time: {text}")
            }
            Some(hold) => hold.describe(text),
            None => format!("{why}: {text}"),
        };
        let help = if is_joining { join_help(self.name) } else { hold_help(hold, self.name) };
        let reason = hold.map_or(Reason::CallFailed, Reason::from);
        let mut waits = vec![Wait::new_held(self.object(), reason, what, help)];
        if is_timeout && !is_joining {
            let pods = decide_moves(self.view, self.name, self.node);
            waits.extend(pods.waits);
        }
        NextStep { acts: Vec::new(), waits }
    }

    /// Leaves a node alone that is removed before anything happened to it.
    fn release(&self) -> NextStep {
        let mut patch = Patch::new(self.name, self.node);
        patch.step = Change::Remove;
        if is_ours(self.node, self.step) {
            patch.cordon = Some(false);
        }
        NextStep::act(patch)
    }
}

pub(super) fn retry(name: &str) -> String {
    format!("then: kubectl crossfade roll retry {name}")
}

/// A wait for pods that could not reach each other.
pub(super) fn disconnection_wait(object: Subject, client: Phase, server: Phase) -> Wait {
    Wait::new(
        object,
        Reason::WouldPart,
        format!("pods in phase {client} could not reach pods in phase {server}, and nothing proves that nodes forward between both networks"),
    )
    .help("kubectl crossfade status shows the nodes that still have or hand out such pods")
}

/// What a person does where networks do not join or leave pods.
fn join_help(name: &str) -> String {
    format!(
        "kubectl describe node {name} shows its condition CrossfadeReady; on the node, crossfade-bootstrap move-pods lists the pods and why each stays, and --apply goes on; {}",
        retry(name)
    )
}

/// What a person does about a hold.
fn hold_help(hold: Option<HoldReason>, name: &str) -> String {
    let first = if hold == Some(HoldReason::ForeignCordon) {
        format!("kubectl uncordon {name}")
    } else {
        "look at it".into()
    };
    format!(
        "{first}, then: kubectl crossfade roll retry {name}, or kubectl crossfade roll rollback {name}, or kubectl crossfade roll skip {name}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A later holder reads from the step what an earlier one wrote.
    #[test]
    fn a_hold_is_read_as_it_was_written() {
        for hold in [
            HoldReason::NodeSilent,
            HoldReason::PhaseNotFollowed,
            HoldReason::PolicyUnknown,
            HoldReason::FlipTimeout,
            HoldReason::MoveTimeout,
            HoldReason::ProofTimeout,
            HoldReason::OwnersTimeout,
            HoldReason::NodeNotReady,
            HoldReason::ForeignCordon,
            HoldReason::AttachmentsUnknown,
        ] {
            let text = Reason::from(hold).to_string();
            assert_eq!(HoldReason::parse(&text), Some(hold), "{text}");
        }
        assert_eq!(HoldReason::parse("Pace"), None, "no run holds a node for it");
        assert_eq!(HoldReason::parse("the annotation is not one of this version"), None);
    }
}
