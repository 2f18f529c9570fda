//! The moves of pods, one after the other. They reach the node only by a [`NodeClient`], so that its rules are tested without one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use types::api::eviction::{Answer, Depth};
use types::command::exit::Exit;
use types::command::problem::Problem;
use types::status::NotMoved;
use types::text::list::join_first;

use crate::commands::move_pods::decide::{
    Candidate, Decision, MoveOptions, PodDisposition, StayReason, decide, phase_of,
};
use crate::commands::move_pods::facts::Facts;
use crate::node::attachments::{Life, attached};
use crate::publish::pods::{BoundPod, Owner};
use crate::runtime::Sandbox;

/// Between two polls.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two requests for a pod whose budget allows nothing, where the API server names no time; and the longest that it may name.
const ASK_AGAIN: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(30);
/// How long a pod that was evicted may take to come back to this node, if its owner does not have to bring it here.
const SETTLE: Duration = Duration::from_secs(10);

/// What reaches the node and the cluster.
pub trait NodeClient {
    /// What there is now.
    ///
    /// # Errors
    /// The runtime or the API server does not answer.
    fn gather(&mut self) -> Result<Facts, Problem>;
    /// Evicts a pod, or asks what the API server would say.
    fn evict(&mut self, pod: &BoundPod, depth: Depth) -> Answer;
    fn delete(&mut self, pod: &BoundPod) -> Answer;
    /// Ends the containers of a sandbox within their grace, and the sandbox.
    ///
    /// # Errors
    /// In words: the runtime did not do it.
    fn stop(&mut self, sandbox: &str, grace: Duration) -> Result<(), String>;
    /// The connections of a sandbox over its addresses in the network that is about to leave it, each in words.
    ///
    /// # Errors
    /// In words: they cannot be read.
    fn connections(&mut self, change: &NetworkChange) -> Result<Vec<String>, String>;
    /// Lets a network join or leave each of these sandboxes, several at once. One answer for each.
    fn change_networks(&mut self, changes: &[NetworkChange]) -> Vec<Result<(), NetworkChangeError>>;
    /// The time since some moment.
    fn now(&self) -> Duration;
    fn sleep(&mut self, time: Duration);
    /// Says what goes on.
    fn report(&mut self, line: &str);
}

/// One network that joins or leaves one sandbox.
#[derive(Debug, Clone)]
pub struct NetworkChange {
    pub sandbox: Sandbox,
    /// The interface of its attachment, as the runtime asked for it.
    pub ifname: String,
    /// The annotations of its Pod, as an ADD would get them now.
    pub annotations: BTreeMap<String, String>,
    pub joins: bool,
}

/// Why a network did not join or leave a pod, which is as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkChangeError {
    /// Only a restart of the pod can change its networks; why.
    NeedsRestart(String),
    /// It failed, and may succeed later; why.
    Failed(String),
}

/// What became of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MoveOutcome {
    /// It, or a pod of its owner in its place, is back on this node, Ready and on the right network, in this sandbox.
    Back(String),
    /// It runs on, on the right networks.
    Changed,
    /// It is gone, and no pod of its owner has come to this node.
    Gone,
    /// It was gone, or as it should be, when its turn came.
    Skipped,
    /// It was left as it is; why, and what to do.
    Left(RemainReason, Problem),
}

/// Why a pod was left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case", const_into_str)]
pub enum RemainReason {
    /// Connections use the network that is to leave it.
    Connections,
    /// A network did not join or leave it.
    Failed,
    /// Only a restart can change its networks.
    NeedsRestart,
    /// Its PodDisruptionBudgets do not let it go.
    Budget,
}

/// A pod that had its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodMove {
    pub candidate: Candidate,
    pub outcome: MoveOutcome,
}

/// Why the pods after one were not touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interruption {
    /// The exit status that it means.
    pub exit: Exit,
    pub why: Vec<Problem>,
}

/// Everything that was done.
#[derive(Debug, Default)]
pub struct MoveResult {
    /// The pods that had their turn.
    pub done: Vec<PodMove>,
    /// Why it ended before the last one.
    pub stopped: Option<Interruption>,
}

impl MoveResult {
    /// How many of these candidates only a restart brings to their networks now, how many others are not on theirs, and why. It quotes no plugin.
    #[must_use]
    pub fn remainder(&self, candidates: &[Candidate]) -> (u32, NotMoved, Option<String>) {
        let remaining: Vec<(&Candidate, RemainReason)> = self
            .done
            .iter()
            .filter_map(|pod| match &pod.outcome {
                MoveOutcome::Left(reason, _) => Some((&pod.candidate, *reason)),
                MoveOutcome::Back(_) | MoveOutcome::Changed | MoveOutcome::Gone | MoveOutcome::Skipped => {
                    None
                }
            })
            .collect();
        let waits = |candidate: &&Candidate| {
            use StayReason::{NeedsRestart, Unrecorded};
            matches!(candidate.fate, PodDisposition::Stays(NeedsRestart | Unrecorded))
        };
        let count = |reason| remaining.iter().filter(|(_, remains)| *remains == reason).count();
        let restarts = candidates.iter().filter(waits).count() + count(RemainReason::NeedsRestart);
        let had_turn = |candidate: &Candidate| self.done.iter().any(|pod| pod.candidate == *candidate);
        let is_untouched = |candidate: &&Candidate| candidate.fate.is_live() && !had_turn(candidate);
        let untouched = candidates.iter().filter(is_untouched).count();
        let not_moved = NotMoved {
            connections: saturated(count(RemainReason::Connections)),
            failed: saturated(count(RemainReason::Failed) + untouched),
        };
        let failed: Vec<_> =
            remaining.iter().filter(|(_, reason)| *reason != RemainReason::NeedsRestart).collect();
        let first = failed.first().map(|(candidate, reason)| {
            format!("pods left: {}, the first: {} ({})", failed.len(), candidate.title(), reason.into_str())
        });
        let stopped =
            self.stopped.as_ref().and_then(|stopped| stopped.why.first()).map(|why| why.what.clone());
        (saturated(restarts), not_moved, stopped.or(first))
    }
}

fn saturated(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Moves the pods of a decision. It stops at the first pod that does not come back as it should: the next one would fare no better.
pub fn apply(
    hand: &mut impl NodeClient,
    options: &MoveOptions,
    first: Vec<Candidate>,
    timeout: Duration,
) -> MoveResult {
    let (live, others): (Vec<Candidate>, Vec<Candidate>) =
        first.into_iter().filter(|next| next.fate.is_act()).partition(|next| next.fate.is_live());
    let mut carried = change_networks(hand, options, live);
    if carried.stopped.is_some() {
        return carried;
    }
    for candidate in others {
        let outcome = Move { hand: &mut *hand, options, timeout, candidate: &candidate }.apply();
        match outcome {
            Ok(outcome) => carried.done.push(PodMove { candidate, outcome }),
            Err(stopped) => {
                carried.stopped = Some(stopped);
                break;
            }
        }
    }
    carried
}

/// Lets networks join and leave pods that run. A network leaves a pod once no connection uses it any more; pods that wait for that keep none of the others
/// waiting.
fn change_networks(hand: &mut impl NodeClient, options: &MoveOptions, live: Vec<Candidate>) -> MoveResult {
    let mut result = MoveResult::default();
    let end = hand.now() + options.connections_end_within;
    let mut waiting = live;
    let mut is_reported = false;
    while !waiting.is_empty() {
        let is_over = hand.now() >= end;
        let (facts, now) = match gather_and_decide(hand, options) {
            Ok(decided) => decided,
            Err(stopped) => return MoveResult { stopped: Some(stopped), ..result },
        };
        let (mut due, mut changes, mut busy) = (Vec::new(), Vec::new(), Vec::new());
        for candidate in waiting {
            let Some(change) = change_of(&facts, &now, &candidate) else {
                result.done.push(PodMove { candidate, outcome: MoveOutcome::Skipped });
                continue;
            };
            let may_break = change.joins || options.break_connections;
            let connections = if may_break { Ok(Vec::new()) } else { hand.connections(&change) };
            let what = match connections {
                Ok(connections) if connections.is_empty() => {
                    changes.push(change);
                    due.push(candidate);
                    continue;
                }
                Ok(_) if !is_over => {
                    busy.push(candidate);
                    continue;
                }
                Ok(connections) => {
                    format!(
                        "it has connections over the network that leaves: {}",
                        join_first(&connections, MOST_NAMED)
                    )
                }
                Err(why) => format!("its connections cannot be read: {why}"),
            };
            let fix = "let its connections end and run the command again, or break them with --now";
            let outcome = MoveOutcome::Left(RemainReason::Connections, problem(&candidate, &what, fix));
            result.done.push(PodMove { candidate, outcome });
        }
        for (candidate, answer) in due.into_iter().zip(hand.change_networks(&changes)) {
            let outcome = outcome_of(&candidate, answer);
            result.done.push(PodMove { candidate, outcome });
        }
        if !busy.is_empty() {
            if !is_reported {
                let titles: Vec<String> = busy.iter().map(Candidate::title).collect();
                let titles = titles.join(", ");
                hand.report(&format!("waiting until no connection uses the network that leaves: {titles}"));
                is_reported = true;
            }
            hand.sleep(PAUSE);
        }
        waiting = busy;
    }
    result
}

/// What joins or leaves a pod, if that is still to be done.
fn change_of(facts: &Facts, now: &Decision, candidate: &Candidate) -> Option<NetworkChange> {
    let same = |other: &&Candidate| other.sandbox == candidate.sandbox && other.fate == candidate.fate;
    now.candidates.iter().find(same)?;
    let sandbox = facts.sandboxes.iter().find(|sandbox| sandbox.id == candidate.sandbox)?.clone();
    let ifname = facts.line(&candidate.sandbox)?.ifname.clone();
    let annotations = facts.pod(&candidate.uid)?.annotations.clone();
    Some(NetworkChange {
        sandbox,
        ifname,
        annotations,
        joins: matches!(candidate.fate, PodDisposition::Joined(_)),
    })
}

fn outcome_of(candidate: &Candidate, answer: Result<(), NetworkChangeError>) -> MoveOutcome {
    let (reason, why, fix) = match answer {
        Ok(()) => return MoveOutcome::Changed,
        Err(NetworkChangeError::Failed(why)) => {
            (RemainReason::Failed, why, "remove the cause, then run the same command again")
        }
        Err(NetworkChangeError::NeedsRestart(why)) => {
            (RemainReason::NeedsRestart, why, "restart it: run the command with --restart-only and --pod")
        }
    };
    MoveOutcome::Left(reason, problem(candidate, &why, fix))
}

/// What there is now, and what is to be done about it.
fn gather_and_decide(
    hand: &mut impl NodeClient,
    options: &MoveOptions,
) -> Result<(Facts, Decision), Interruption> {
    let facts = hand.gather().map_err(|why| Interruption { exit: Exit::TryLater, why: vec![why] })?;
    let now = decide(&facts, options);
    if now.refusals.is_empty() {
        return Ok((facts, now));
    }
    Err(Interruption { exit: Exit::No, why: now.refusals })
}

/// The largest number of connections that a message names.
const MOST_NAMED: usize = 5;

fn problem(candidate: &Candidate, what: &str, fix: &str) -> Problem {
    let title = candidate.title();
    Problem::new(format!("pod {title}: {what}")).with_place(format!("pod {title}")).fix(fix)
}

struct Move<'a, H> {
    hand: &'a mut H,
    options: &'a MoveOptions,
    timeout: Duration,
    candidate: &'a Candidate,
}

/// What an owner has to bring back.
struct Successor {
    owner: Option<Owner>,
    /// The pods that the owner had here before.
    before: BTreeSet<String>,
}

impl<H: NodeClient> Move<'_, H> {
    fn apply(self) -> Result<MoveOutcome, Interruption> {
        let (facts, now) = gather_and_decide(self.hand, self.options)?;
        let same = |candidate: &&Candidate| {
            candidate.sandbox == self.candidate.sandbox && candidate.fate == self.candidate.fate
        };
        let is_due = now.candidates.iter().any(|candidate| same(&candidate));
        let Some(pod) = facts.pod(&self.candidate.uid).filter(|_| is_due) else {
            return Ok(MoveOutcome::Skipped);
        };
        match self.candidate.fate {
            PodDisposition::Restarted => self.restart(pod),
            PodDisposition::Evicted
            | PodDisposition::Deleted
            | PodDisposition::Joined(_)
            | PodDisposition::Left(_)
            | PodDisposition::Ends
            | PodDisposition::Stays(_) => self.remove(pod, &facts),
        }
    }

    fn remove(mut self, pod: &BoundPod, facts: &Facts) -> Result<MoveOutcome, Interruption> {
        let is_evicted = self.candidate.fate == PodDisposition::Evicted;
        if let Some(outcome) =
            self.ask(pod, if is_evicted { PodRequest::Evict } else { PodRequest::Delete })?
        {
            return Ok(outcome);
        }
        let done = if is_evicted { "evicted" } else { "deleted" };
        self.report(&format!("is {done}; waiting until it is gone"));
        let owner = pod.owner.clone().filter(|_| is_evicted);
        let of_owner = |pod: &&BoundPod| owner.is_some() && pod.owner == owner;
        let before = facts.pods.iter().filter(of_owner).map(|pod| pod.uid.clone()).collect();
        self.wait_until_gone(pod)?;
        self.successor(&Successor { owner, before }, pod.is_ready)
    }

    fn restart(mut self, pod: &BoundPod) -> Result<MoveOutcome, Interruption> {
        // A restart in place is no eviction, so only this check asks the budgets.
        if let Some(outcome) = self.ask(pod, PodRequest::Try)? {
            return Ok(outcome);
        }
        self.report("is stopped; kubelet starts it in a new sandbox");
        let stopped = self.hand.stop(&self.candidate.sandbox, Duration::from_secs(pod.grace_secs));
        stopped.map_err(|why| self.failed_interruption(&why))?;
        self.wait_until_back(&pod.uid, &pod.containers, pod.is_ready)
    }

    /// Asks until the API server allows it; what became of the pod if it does not.
    fn ask(&mut self, pod: &BoundPod, ask: PodRequest) -> Result<Option<MoveOutcome>, Interruption> {
        let end = self.hand.now() + self.timeout;
        let mut is_reported = false;
        loop {
            let answer = match ask {
                PodRequest::Evict => self.hand.evict(pod, Depth::Carried),
                PodRequest::Try => self.hand.evict(pod, Depth::Tried),
                PodRequest::Delete => self.hand.delete(pod),
            };
            let (after, what) = match answer {
                Answer::Accepted => return Ok(None),
                Answer::Gone | Answer::NamespaceGoes => return Ok(Some(MoveOutcome::Skipped)),
                Answer::Budget(after) => (after, "a PodDisruptionBudget does not allow it now"),
                Answer::Busy(after) => (after, "the API server has too much to do"),
                Answer::TwoBudgets => {
                    let fix = format!(
                        "leave one of them: kubectl -n {} get poddisruptionbudgets; then run the command again",
                        pod.namespace
                    );
                    let what =
                        "more than one PodDisruptionBudget selects it, so that no eviction of it succeeds";
                    return Ok(Some(MoveOutcome::Left(RemainReason::Budget, self.problem(what, &fix))));
                }
                Answer::Failed(why) => return Err(self.failed_interruption(&why)),
            };
            let wait = after.map_or(ASK_AGAIN, |secs| Duration::from_secs(secs.into())).clamp(PAUSE, LONGEST);
            if self.hand.now() + wait > end {
                let what = format!("{what}, and has not for {} s", self.timeout.as_secs());
                let fix = format!(
                    "see kubectl -n {} get poddisruptionbudgets, let another replica become Ready, then run the command again",
                    pod.namespace
                );
                return Ok(Some(MoveOutcome::Left(RemainReason::Budget, self.problem(&what, &fix))));
            }
            if !is_reported {
                self.report(&format!("waits: {what}"));
                is_reported = true;
            }
            self.hand.sleep(wait);
        }
    }

    fn wait_until_gone(&mut self, pod: &BoundPod) -> Result<(), Interruption> {
        let end = self.hand.now() + Duration::from_secs(pod.grace_secs) + self.timeout;
        loop {
            let facts = self.gather()?;
            let lives = facts.pod(&pod.uid).is_some_and(|pod| !pod.has_ended);
            if !lives && facts.sandboxes_of(&pod.uid).next().is_none() {
                return Ok(());
            }
            if self.hand.now() >= end {
                let what = format!("it is not gone after its grace and {} s", self.timeout.as_secs());
                let fix =
                    "find out with crossfade-bootstrap doctor what holds it, then run the command again";
                return Err(self.stopped_interruption(&what, fix));
            }
            self.hand.sleep(PAUSE);
        }
    }

    /// Waits for a pod of the same owner that comes to this node.
    fn successor(mut self, successor: &Successor, was_ready: bool) -> Result<MoveOutcome, Interruption> {
        let Some(owner) = &successor.owner else { return Ok(MoveOutcome::Gone) };
        let comes_here = owner.kind == "DaemonSet";
        let end = self.hand.now() + if comes_here { self.timeout } else { SETTLE };
        loop {
            let facts = self.gather()?;
            let new_pod = facts.pods.iter().find(|pod| {
                pod.owner.as_ref() == Some(owner) && !pod.is_leaving && !successor.before.contains(&pod.uid)
            });
            if let Some(pod) = new_pod {
                return self.wait_until_back(&pod.uid, &BTreeSet::new(), was_ready);
            }
            if self.hand.now() >= end {
                return if comes_here {
                    let what = format!(
                        "its DaemonSet has made no other pod on this node within {} s",
                        self.timeout.as_secs()
                    );
                    let fix = "look at the DaemonSet: kubectl describe daemonset; then run the command again";
                    Err(self.stopped_interruption(&what, fix))
                } else {
                    Ok(MoveOutcome::Gone)
                };
            }
            self.hand.sleep(PAUSE);
        }
    }

    /// Waits until the pod of this UID has a new sandbox on the right network, and is Ready if its predecessor was.
    fn wait_until_back(
        &mut self,
        uid: &str,
        before: &BTreeSet<String>,
        was_ready: bool,
    ) -> Result<MoveOutcome, Interruption> {
        let end = self.hand.now() + self.timeout;
        loop {
            let facts = self.gather()?;
            let Some(pod) = facts.pod(uid) else { return Ok(MoveOutcome::Gone) };
            let other = |sandbox: &&Sandbox| sandbox.uid == uid && sandbox.id != self.candidate.sandbox;
            let sandbox = facts.sandboxes.iter().find(other);
            if let Some(sandbox) = sandbox {
                self.refuse_wrong(&facts, sandbox, pod)?;
                let is_attached = facts.line(&sandbox.id).is_some_and(|line| line.life == Life::Attached);
                // Until kubelet has looked, the pod's status is that of the containers before.
                let is_new = !pod.containers.is_empty() && pod.containers.is_disjoint(before);
                if is_attached && is_new && (pod.is_ready || !was_ready) {
                    self.report(&format!("is back, in sandbox {}", sandbox.id));
                    return Ok(MoveOutcome::Back(sandbox.id.clone()));
                }
            }
            if self.hand.now() >= end {
                let what = format!("it is not back and Ready after {} s", self.timeout.as_secs());
                let fix = format!(
                    "see kubectl -n {} describe pod {} and crossfade-bootstrap doctor, then run the command again",
                    pod.namespace, pod.name
                );
                return Err(self.stopped_interruption(&what, &fix));
            }
            self.hand.sleep(PAUSE);
        }
    }

    /// A pod that came back on another network than the policy says, or past Crossfade.
    fn refuse_wrong(&self, facts: &Facts, sandbox: &Sandbox, pod: &BoundPod) -> Result<(), Interruption> {
        let Some(policy) = &facts.policy else { return Ok(()) };
        let fix = "find out why with crossfade-bootstrap doctor before you move another pod";
        match facts.line(&sandbox.id) {
            Some(line) if line.life == Life::Attached => {
                let (current, expected) =
                    (attached::phase(line, Some(policy)), phase_of(policy, sandbox, Some(pod)));
                if current == Some(expected) {
                    return Ok(());
                }
                let current = current.map_or("in no phase of the policy", types::policy::Phase::as_str);
                Err(self.stopped_interruption(
                    &format!("it came back attached {current}, and the policy says {expected}"),
                    fix,
                ))
            }
            Some(_) => Ok(()),
            None if pod.is_ready && !pod.containers.is_empty() => {
                Err(self.stopped_interruption(&format!("sandbox {} came up past Crossfade", sandbox.id), fix))
            }
            None => Ok(()),
        }
    }

    fn gather(&mut self) -> Result<Facts, Interruption> {
        self.hand.gather().map_err(|why| Interruption { exit: Exit::TryLater, why: vec![why] })
    }

    fn report(&mut self, what: &str) {
        self.hand.report(&format!("pod {} {what}", self.candidate.title()));
    }

    fn problem(&self, what: &str, fix: &str) -> Problem {
        problem(self.candidate, what, fix)
    }

    fn stopped_interruption(&self, what: &str, fix: &str) -> Interruption {
        Interruption { exit: Exit::No, why: vec![self.problem(what, fix)] }
    }

    fn failed_interruption(&self, what: &str) -> Interruption {
        let fix = "remove the cause, then run the same command again; it goes on where it stopped";
        Interruption { exit: Exit::Failed, why: vec![self.problem(what, fix)] }
    }
}

/// What the API server is asked for.
#[derive(Debug, Clone, Copy)]
enum PodRequest {
    Evict,
    Try,
    Delete,
}

#[cfg(test)]
mod tests;
