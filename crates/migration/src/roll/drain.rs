//! The pods of a node that moves in place: evictions in turn, and the reason for which each other pod waits.

use std::time::Duration;

use snapshot::model::Text;
use types::api::eviction::Answer;
use types::api::observed::shorten_uid;

use super::budget::turn_wait;
use super::step::{Act, PodId};
use super::transit::retry;
use super::view::View;
use super::wait::{Reason, Subject, Wait};
use super::world::{Node, Owner, Pod, Trait};
use crate::plan::pods::{PodDisposition, PodFacts, StayReason, pod_disposition};

/// First pause after a refused eviction, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Longest pause after a refused eviction.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// How long a budget may forbid an eviction before a person is told.
const BUDGET_PATIENCE: Duration = Duration::from_mins(15);

/// What is to be done with the pods of a node.
#[derive(Debug, Default)]
pub(super) struct PodMoves {
    /// Evictions and deletions.
    pub(super) acts: Vec<Act>,
    pub(super) waits: Vec<Wait>,
}

/// What is done about a pod.
enum PodAction {
    Evict,
    /// It is deleted, and no controller makes it again.
    Delete,
    Wait(Wait),
    /// It is no matter of this run.
    Ignore,
}

/// Pods of the node that the node names as attached in another phase.
fn pods_of_other_phases<'a>(view: &View<'a>, name: &Text, node: &Node) -> Vec<&'a Pod> {
    let others =
        node.observed.as_ref().and_then(|seen| seen.attached.as_ref()).map(|attached| &attached.others);
    let is_named = |pod: &&Pod| {
        let short = shorten_uid(&pod.uid);
        others.is_some_and(|others| others.iter().any(|other| other == short))
    };
    view.pods_on(name).filter(is_named).collect()
}

/// What is to be done next with the pods of a node in the state `moving`.
///
/// Pods of DaemonSets are last: they come back to the same node at once, and the others must not be starved of an agent's or a proxy's pod meanwhile. Where a
/// run fixes stragglers they do not wait for DNS pods, which may be the only ones that they reach.
pub(super) fn decide_moves(view: &View<'_>, name: &Text, node: &Node) -> PodMoves {
    let mut moves = PodMoves::default();
    let mut others = pods_of_other_phases(view, name, node);
    others.sort_by_key(|pod| (is_daemon(pod), pod.namespace.clone(), pod.name.clone()));
    let is_last = |pod: &Pod| is_daemon(pod) || view.run.fixes_stragglers() && pod.has_trait(Trait::Dns);
    let others_wait = others.iter().any(|pod| !is_last(pod) && !pod.has_trait(Trait::Terminating));
    let limit = view.plan.limits.evictions as usize;
    let mut under_way = others.iter().filter(|pod| pod.has_trait(Trait::Terminating)).count();
    for pod in others {
        let rule = match pod_action(view, pod) {
            PodAction::Evict if is_daemon(pod) && others_wait => {
                PodAction::Wait(evicting_wait(pod, "it is evicted after the node's other pods"))
            }
            PodAction::Evict => turn_wait(view, pod).map_or(PodAction::Evict, PodAction::Wait),
            other @ (PodAction::Delete | PodAction::Wait(_) | PodAction::Ignore) => other,
        };
        let act = match rule {
            PodAction::Ignore => continue,
            PodAction::Wait(wait) => {
                moves.waits.push(wait);
                continue;
            }
            PodAction::Evict => Act::Evict(PodId::new(pod)),
            PodAction::Delete => Act::Delete(PodId::new(pod)),
        };
        match eviction_pause(view, pod) {
            Some(wait) => moves.waits.push(wait),
            None if under_way >= limit => {
                moves
                    .waits
                    .push(evicting_wait(pod, &format!("{limit} other evictions on this node are under way")));
            }
            None => {
                under_way += 1;
                moves.acts.push(act);
            }
        }
    }
    moves
}

fn is_daemon(pod: &Pod) -> bool {
    pod.owner.as_ref().is_some_and(Owner::is_daemon_set)
}

fn evicting_wait(pod: &Pod, what: &str) -> Wait {
    Wait::new(pod_object(pod), Reason::Evicting, what)
}

fn pod_object(pod: &Pod) -> Subject {
    Subject::Pod(pod.title().into())
}

/// What holds of a pod by itself: what the plan says of it, and who has to act where it stays.
fn pod_action(view: &View<'_>, pod: &Pod) -> PodAction {
    if pod.has_trait(Trait::HostNetwork) || pod.has_trait(Trait::Finished) {
        return PodAction::Ignore;
    }
    if pod.has_trait(Trait::Terminating) {
        let help = format!(
            "if it does not end, look at its finalizers, or shorten its grace: kubectl -n {} delete pod {} --grace-period=30",
            pod.namespace, pod.name
        );
        return PodAction::Wait(
            Wait::new(pod_object(pod), Reason::Terminating, "it is being deleted").help(help),
        );
    }
    let title = pod.title();
    let facts = PodFacts {
        title: &title,
        owner: pod.owner.as_ref().map(|owner| &*owner.kind),
        is_static: pod.has_trait(Trait::Static),
        asks_to_stay: pod.has_trait(Trait::Undisturbed),
        has_empty_dir: pod.has_trait(Trait::EmptyDir),
    };
    let why = match pod_disposition(&facts, &view.plan.pods, &view.run.delete) {
        PodDisposition::Evict => return PodAction::Evict,
        PodDisposition::Delete => return PodAction::Delete,
        PodDisposition::AwaitJob => return job_action(view, pod),
        PodDisposition::Stay(why) => why,
    };
    let (reason, help) = match why {
        StayReason::Static => (
            Reason::StaticPod,
            format!(
                "on the node, restart it: move its file out of the directory for static pods and back; {}",
                retry(&pod.node)
            ),
        ),
        StayReason::Undisturbed => (
            Reason::Undisturbed,
            format!(
                "wait until it ends, or remove its annotation: kubectl -n {} annotate pod {} cluster-autoscaler.kubernetes.io/safe-to-evict- karpenter.sh/do-not-disrupt-",
                pod.namespace, pod.name
            ),
        ),
        StayReason::EmptyDir => (
            Reason::EmptyDir,
            "make a plan with roll: {pods: {deleteEmptyDir: true}}, or delete the pod yourself".to_owned(),
        ),
        StayReason::Bare => (
            Reason::BarePod,
            format!("delete it if that is right: kubectl crossfade roll --resume --delete-bare {title}"),
        ),
    };
    PodAction::Wait(Wait::new_held(pod_object(pod), reason, why.words(), help))
}

/// A Job's pod goes on for a time, and is evicted only where that was accepted.
fn job_action(view: &View<'_>, pod: &Pod) -> PodAction {
    let limits = &view.plan.limits;
    let patience = Duration::from_secs(limits.job_seconds.into());
    let since = view.memory.since(&pod.node, view.world.now);
    if since < patience {
        let until = view.world.now + (patience - since);
        return PodAction::Wait(
            Wait::new(pod_object(pod), Reason::JobRunning, "its Job may end by itself").with_time(until),
        );
    }
    if view.plan.pods.evict_jobs {
        return PodAction::Evict;
    }
    let what = format!("its Job has not ended within {} s", limits.job_seconds);
    let help = format!(
        "wait for it, or delete it: kubectl -n {} delete pod {}; a plan with roll: {{pods: {{evictJobs: true}}}} evicts such pods",
        pod.namespace, pod.name
    );
    PodAction::Wait(Wait::new_held(pod_object(pod), Reason::JobRunning, what, help))
}

/// Why the pod's eviction is not asked for again now.
fn eviction_pause(view: &View<'_>, pod: &Pod) -> Option<Wait> {
    let answered = view.memory.answer(&pod.uid)?;
    let now = view.world.now;
    let doubled =
        FIRST_PAUSE.saturating_mul(1 << answered.refused.saturating_sub(1).min(4)).min(LONGEST_PAUSE);
    let pause = |named: Option<u32>| {
        named.map_or(doubled, |seconds| Duration::from_secs(seconds.into()).max(FIRST_PAUSE))
    };
    let (reason, what, pause) = match &answered.answer {
        // The pod is still there without a deletion: the watch has not caught up.
        Answer::Accepted | Answer::Gone => {
            (Reason::Evicting, "its eviction was accepted".to_owned(), FIRST_PAUSE)
        }
        Answer::Budget(after) => (
            Reason::BudgetBlocks,
            format!("a PodDisruptionBudget of namespace {} forbids its eviction now", pod.namespace),
            pause(*after),
        ),
        Answer::Busy(after) => {
            (Reason::ServerBusy, "the API server has too much to do".into(), pause(*after))
        }
        Answer::TwoBudgets => {
            let what = "more than one PodDisruptionBudget selects it, so that every eviction of it fails";
            let help = format!(
                "let one PodDisruptionBudget select it: kubectl -n {} get pdb; {}",
                pod.namespace,
                retry(&pod.node)
            );
            let is_due = now.saturating_sub(answered.attempted_at) >= LONGEST_PAUSE;
            return (!is_due).then(|| Wait::new_held(pod_object(pod), Reason::TwoBudgets, what, help));
        }
        Answer::NamespaceGoes => {
            (Reason::Terminating, "its namespace is being deleted".into(), LONGEST_PAUSE)
        }
        Answer::Failed(why) => (Reason::CallFailed, format!("its eviction failed: {why}"), doubled),
    };
    let due = answered.attempted_at + pause;
    if due <= now {
        return None;
    }
    let mut wait = Wait::new(pod_object(pod), reason, what).with_time(due);
    if reason == Reason::BudgetBlocks && now.saturating_sub(answered.first) >= BUDGET_PATIENCE {
        wait.is_held = true;
        wait.help = format!(
            "make the workload ready, add a replica, or change its budget: kubectl -n {} get pdb; to leave the node for later: kubectl crossfade roll skip {}",
            pod.namespace, pod.node
        );
    }
    Some(wait)
}
