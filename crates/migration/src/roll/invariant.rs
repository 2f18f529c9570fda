//! The invariants of a run, checked once more before every act, so that a fault in what decides does not reach the cluster.
//!
//! | | an act is refused if |
//! |---|---|
//! | R1 | its holder's Lease is old, or the Node bears a newer holder's step |
//! | R2 | it takes a node although as many are in transit or in trouble as may be |
//! | R3 | it asks a node for a phase that would part pods that need each other |
//! | R4 | it takes a DNS pod away although too few others are ready |
//! | R5 | it evicts a pod that is not on a node that is moving, is not of another phase, uses the node's network, is static, ended or is held back |
//! | R7 | it takes away a cordon, or a hook of a Machine, that is not of this run; or the readiness taint, where the plan does not say so or the network of the node does not work in this boot |
//! | R8 | it counts a node as done on another boot's word, with attachments of other phases, or one that is being removed |
//! | R9 | it takes a node although a gate is red, not known or was not asked lately; or evicts a pod on a node that was taken whatever the gate of workloads said |
//! | R10 | the plan does not cover it: another plan, a node that is left out, or a policy that the plan was not made for; or it lets a pipeline take a node away on another boot's word |
//! | R12 | it evicts although everything is stopped |
//! | R13 | it takes a node to drain it although the other nodes have no room for its pods, or the room is not known |
//! | R14 | it evicts a pod while networks still join or leave pods of its node, of which it may be one |
//! | R15 | it lets a pipeline take a node away although other such nodes are not kept from theirs, or as many are on their way or not replaced as may be |
//!
//! That no pod is restarted with the new network as its primary while one has the old network alone, and that no network leaves a pod while another pod has it
//! as its primary, is R3: both follow a phase that a node is asked for, and such pods do not reach each other.
//!
//! R6 (nothing unpinned is deleted) and R11 (a way back) are the rules of [`finish`](crate::finish).

use types::api::observed::shorten_uid;
use types::api::step::{Cordon, State, Step};
use types::text::glob;

use crate::cni::reach::Way;

use super::replacement::pipeline::cluster_api;
use super::replacement::{self, Turnover, arrival};
use super::run::{NodeRequest, Run, State as RunState};
use super::start::places::{count_places, is_begun};
use super::start::unmet_gates;
use super::start::wave::unplaced_wait;
use super::step::{Act, Change, FRESH, Hook, Patch, PodId};
use super::view::is_of_run;
use super::view::{NodeStatus, Standing};
use super::view::{View, is_later, is_of_pass, is_ours};
use super::world::{Node, Trait};

/// An invariant that an act would break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// `R5`.
    pub name: &'static str,
    /// How, in one sentence that names the object.
    pub why: String,
}

fn violation(name: &'static str, why: impl Into<String>) -> Result<(), Violation> {
    Err(Violation { name, why: why.into() })
}

/// Whether an act may be done.
///
/// # Errors
/// The invariant that it would break.
pub fn hold(act: &Act, view: &View<'_>, hash: &str) -> Result<(), Violation> {
    let world = view.world;
    if world.now.saturating_sub(world.renewed_at) >= FRESH {
        return violation("R1", "the Lease was not renewed within 40 s");
    }
    if view.run.plan != hash {
        return violation("R10", format!("the run is of plan {}, and this one is {hash}", view.run.plan));
    }
    match act {
        Act::Patch(patch) => held_by_patch(patch, view),
        Act::Hook(hook) => held_by_hook(hook, view),
        Act::Evict(pod) => held_by_eviction(pod, view, false),
        Act::Delete(pod) => held_by_eviction(pod, view, true),
        Act::Record(next) => held_by_record(next, view),
        Act::Census => Ok(()),
    }
}

/// R7, R10 and R15: the hook of a Machine is set where there is none, and taken away once its Node has not to wait any more.
fn held_by_hook(hook: &Hook, view: &View<'_>) -> Result<(), Violation> {
    let Hook { node, machine, run } = hook;
    let title = format!("Machine {}/{} of Node {node}", machine.namespace, machine.name);
    let current = view.world.machine(node).filter(|current| current.uid == machine.uid);
    let is_wanted = cluster_api::is_wanted(view, node);
    match (current, run) {
        (None, _) => violation("R10", format!("{title} is another one than when this was decided")),
        (Some(current), Some(_)) if current.hook.is_some() => {
            violation("R7", format!("the hook of {title} is not of this run"))
        }
        (Some(_), Some(run)) if !is_wanted || **run != *view.run.id => {
            violation("R10", format!("{title} would be held, and its Node has not to wait"))
        }
        (Some(current), None) if current.hook.as_deref() != Some(view.run.id.as_str()) => {
            violation("R7", format!("the hook of {title} is not of this run"))
        }
        (Some(_), None) if is_wanted => {
            violation("R15", format!("{title} would be left to Cluster API, and its Node has to wait"))
        }
        (Some(_), Some(_) | None) => Ok(()),
    }
}

fn held_by_patch(patch: &Patch, view: &View<'_>) -> Result<(), Violation> {
    let name = &patch.node;
    let Some(node) = view.world.nodes.get(name) else {
        return violation("R10", format!("there is no Node {name}"));
    };
    if node.uid != patch.uid {
        return violation("R10", format!("Node {name} is another one than when this was decided"));
    }
    let Some(status) = view.nodes.get(name) else {
        return violation("R10", format!("the plan leaves Node {name} out"));
    };
    let before = node.step.as_ref();
    if is_later(node, view.run, view.world.epoch) {
        return violation("R1", format!("Node {name} bears a step of a later holder"));
    }
    if before.is_some_and(|step| !is_of_run(step, view.run) && step.state.is_in_transit()) {
        return violation("R1", format!("Node {name} bears a step of another run"));
    }
    if patch.lifts_readiness && !(view.plan.limits.lift_readiness && node.has_working_network()) {
        return violation("R7", format!("the readiness taint of Node {name} is not the run's to remove"));
    }
    if patch.cordon == Some(false) && before.and_then(|step| step.cordon) != Some(Cordon::Ours) {
        return violation("R7", format!("the cordon of Node {name} is not of this run"));
    }
    if patch.undisturbed == Some(false) && !before.is_some_and(|step| step.undisturbed) {
        return violation(
            "R7",
            format!("the annotation karpenter.sh/do-not-disrupt of Node {name} is not of this run"),
        );
    }
    // A node that is asked for the phase already goes there by itself.
    if let Some(to) = patch.desired.filter(|to| node.desired != Some(*to)) {
        is_planned(view, name, node)?;
        check_no_part(patch, view, node, to)?;
    }
    let Change::Set(step) = &patch.step else { return Ok(()) };
    if step.epoch != view.world.epoch {
        return violation("R1", format!("the step of Node {name} would bear epoch {}", step.epoch));
    }
    match step.state {
        // What else its step says may change without the node being taken anew.
        State::Claimed if before.is_some_and(|before| before.claim == step.claim) => Ok(()),
        State::Claimed => may_claim(step, view, status),
        // It counted as done before, and nothing but a note about its cordon changes.
        State::Done
            if before.is_some_and(|before| before.claim == step.claim && before.state == State::Done) =>
        {
            Ok(())
        }
        State::Done if node.is_going => {
            violation("R8", format!("Node {name} would count as done, and a pipeline takes it away"))
        }
        // One that the run brought there in place is proven as such a node.
        State::Done
            if status.turnover == Turnover::Arrives && !matches!(status.standing, Standing::Transit(_)) =>
        {
            match arrival::shortfall(view, status) {
                Some(why) => violation("R8", format!("Node {name} would fill a place, and {why}")),
                None => Ok(()),
            }
        }
        State::Done => is_planned(view, name, node).and_then(|()| is_proven(step, name, node)),
        State::Waiting if status.turnover != Turnover::Leaves && !replacement::keeps_lever(view, status) => {
            violation(
                "R10",
                format!("Node {name} would be kept from its pipeline, and is not to be replaced"),
            )
        }
        State::Waiting => Ok(()),
        State::Permitted => may_permit(view, status),
        State::Flipped | State::Moving | State::Proving | State::Settling | State::Held => Ok(()),
    }
}

/// R2, R9, R10, R12, R13 and R15: nodes that pipelines may take away.
fn may_permit(view: &View<'_>, status: &NodeStatus<'_>) -> Result<(), Violation> {
    let (name, node) = (status.name, status.node);
    if status.turnover != Turnover::Leaves || !view.pipeline(node).can_hold(view.world) {
        return violation("R10", format!("Node {name} would be taken away, and is not to be replaced so"));
    }
    if !matches!(view.run.state, RunState::Running) {
        return violation("R12", format!("Node {name} would be taken away while the run is paused"));
    }
    if let Some(wait) = unplaced_wait(view, name, node) {
        return violation("R10", format!("Node {name} would be taken away, and {}", wait.what));
    }
    if let Some(wait) = replacement::unknown_image_wait(view, status) {
        return violation("R10", format!("Node {name} would be taken away, and {}", wait.what));
    }
    if let Some(why) = replacement::too_many_reason(view, status, 0) {
        return violation("R15", format!("Node {name} would be taken away, and {why}"));
    }
    let places = count_places(view, Some(name));
    let has_room =
        if is_begun(view, status) { places.has_room_beside_begun(status) } else { places.has_room(status) };
    // One that may go already keeps its place, whatever came since: that its cordon is gone is noted.
    let had_place = matches!(status.standing, Standing::Transit(step) if step.state == State::Permitted);
    if !has_room && !had_place {
        return violation(
            "R2",
            format!("Node {name} would be one too many: {} are in transit or in trouble", places.occupied),
        );
    }
    if let Some(wait) = unmet_gates(view, Way::Replace).first() {
        return violation(
            "R9",
            format!("Node {name} would be taken away, and {}: {}", wait.object, wait.what),
        );
    }
    match super::budget::shortage_wait(view, name, node, view.target) {
        Some(wait) => violation("R13", format!("Node {name} would be drained: {}", wait.what)),
        None => Ok(()),
    }
}

/// R10: the plan was made for the node's policy.
fn is_planned(view: &View<'_>, name: &str, node: &Node) -> Result<(), Violation> {
    if view.is_covered(name, node) {
        return Ok(());
    }
    violation("R10", format!("the policy of Node {name} is none of those that the plan was made for"))
}

/// R3: a phase that is asked for, beside all that live.
fn check_no_part(
    patch: &Patch,
    view: &View<'_>,
    node: &Node,
    to: types::policy::Phase,
) -> Result<(), Violation> {
    match view.lost_connectivity(&patch.node, node, to) {
        None => Ok(()),
        Some((client, server)) => violation(
            "R3",
            format!(
                "Node {} in phase {to}: pods in phase {client} could not reach pods in phase {server}",
                patch.node
            ),
        ),
    }
}

/// R2 and R9: nodes that are taken anew. One that an operator brings back, or tries again, has its place already.
fn may_claim(step: &Step, view: &View<'_>, status: &NodeStatus<'_>) -> Result<(), Violation> {
    let (name, node) = (status.name, status.node);
    if !is_of_pass(step, view.run) || !(step.to == view.target || step.to == view.run.from) {
        return violation(
            "R10",
            format!("Node {name} would go to phase {} with the claim {}", step.to, step.claim),
        );
    }
    let had_place = matches!(status.standing, Standing::Transit(_));
    let is_requested = view.run.requests.get(name) == Some(&NodeRequest::Rollback);
    if had_place || view.is_foreign(status) {
        return Ok(());
    }
    let places = count_places(view, Some(name));
    if !places.has_room(status) {
        let (count, in_zone) = (places.occupied, places.taken_beside(status));
        return violation(
            "R2",
            format!(
                "Node {name} would be one too many: {count} are in transit or in trouble, {in_zone} of them in its zone"
            ),
        );
    }
    if is_requested {
        return Ok(());
    }
    if !matches!(view.run.state, RunState::Running) {
        return violation("R12", format!("Node {name} would start while the run is paused"));
    }
    if let Some(wait) = unplaced_wait(view, name, node) {
        return violation("R10", format!("Node {name} would start, and {}", wait.what));
    }
    let is_own =
        node.step.as_ref().is_some_and(|before| is_of_run(before, view.run) && is_ours(node, before));
    if (node.is_cordoned && !is_own) || node.is_going || !node.is_ready {
        return violation("R2", format!("Node {name} is cordoned, going or not Ready"));
    }
    let unmet = unmet_gates(view, view.way(node, step.to));
    if let Some(wait) = unmet.first() {
        return violation("R9", format!("Node {name} would start, and {}: {}", wait.object, wait.what));
    }
    match super::budget::shortage_wait(view, name, node, step.to) {
        Some(wait) => violation("R13", format!("Node {name} would be drained: {}", wait.what)),
        None => Ok(()),
    }
}

/// R8.
fn is_proven(step: &Step, name: &str, node: &Node) -> Result<(), Violation> {
    let echo = node.observed.as_ref().and_then(|observation| observation.echo.as_deref());
    if !node.is_in(step.to) || echo != Some(&step.claim) {
        return violation(
            "R8",
            format!("Node {name} does not say in this boot that it is in phase {}", step.to),
        );
    }
    match node.attached_otherwise(step.to) {
        Some(0) => Ok(()),
        Some(others) => {
            violation("R8", format!("{others} attachments of other phases are left on Node {name}"))
        }
        None => violation("R8", format!("Node {name} does not say what is attached to it")),
    }
}

/// R4, R5 and R12.
fn held_by_eviction(id: &PodId, view: &View<'_>, is_deletion: bool) -> Result<(), Violation> {
    let title = format!("{}/{}", id.namespace, id.name);
    if matches!(view.run.state, RunState::Stopped(_)) {
        return violation("R12", format!("pod {title} would be evicted while everything is stopped"));
    }
    let Some(pod) = view.world.pods.get(&id.uid) else {
        return violation("R5", format!("there is no pod {title} with this UID"));
    };
    let Some(node) = view.world.nodes.get(&pod.node).filter(|_| pod.node == id.node) else {
        return violation("R5", format!("pod {title} is not on node {}", id.node));
    };
    let is_moving =
        |step: &&Step| is_of_run(step, view.run) && step.state == State::Moving && node.is_in(step.to);
    let Some(step) = node.step.as_ref().filter(is_moving) else {
        return violation("R5", format!("pod {title} is on node {}, which is not moving", id.node));
    };
    if node.is_joining(step.to) {
        return violation(
            "R14",
            format!("pod {title} is on node {}, where networks still join or leave pods", id.node),
        );
    }
    let unmet = unmet_gates(view, Way::Restart);
    if let Some(wait) = unmet.first().filter(|_| view.way(node, step.to) != Way::Restart) {
        return violation(
            "R9",
            format!("pod {title} would be restarted, and {}: {}", wait.object, wait.what),
        );
    }
    if is_later(node, view.run, view.world.epoch) {
        return violation("R1", format!("node {} bears a step of a later holder", id.node));
    }
    if node.is_going {
        return violation("R5", format!("pod {title} is on node {}, which a pipeline takes away", id.node));
    }
    let others = node
        .observed
        .as_ref()
        .and_then(|observation| observation.attached.as_ref())
        .map(|attached| &attached.others);
    let short = shorten_uid(&id.uid);
    if !others.is_some_and(|others| others.iter().any(|other| other == short)) {
        return violation("R5", format!("pod {title} is not of another phase"));
    }
    if [Trait::HostNetwork, Trait::Static, Trait::Finished, Trait::Terminating]
        .into_iter()
        .any(|what| pod.has_trait(what))
    {
        return violation(
            "R5",
            format!("pod {title} uses the node's network, is static, ended or is being deleted"),
        );
    }
    let pods = &view.plan.pods;
    let is_listed = |list: &[String]| list.iter().any(|pattern| glob::matches(pattern, &title));
    if pod.has_trait(Trait::Undisturbed) && !is_listed(&pods.disrupt) {
        return violation("R5", format!("pod {title} asks not to be disrupted"));
    }
    let may_delete = is_listed(&pods.delete) || view.run.delete.contains(&title);
    if pod.owner.is_none() && !(is_deletion && may_delete) {
        return violation(
            "R5",
            format!("no controller makes pod {title} again, and the operator did not name it"),
        );
    }
    if is_deletion && pod.owner.is_some() {
        return violation("R5", format!("pod {title} has an owner, so it is evicted and not deleted"));
    }
    match super::budget::dns_pod_needed(view, pod) {
        Some(why) => violation("R4", format!("pod {title}: {why}")),
        None => Ok(()),
    }
}

/// A run keeps its plan, and its passes only go on.
fn held_by_record(next: &Run, view: &View<'_>) -> Result<(), Violation> {
    if next.id != view.run.id || next.plan != view.run.plan || next.pass < view.run.pass {
        return violation("R10", "the run would become another one");
    }
    Ok(())
}
