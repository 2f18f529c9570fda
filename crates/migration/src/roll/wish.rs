//! Requests of operators to a run that another process holds. A wish is written into the run's ConfigMap, and the holder takes it up.

use serde::{Deserialize, Serialize};
use snapshot::model::Text;
use types::policy::Phase;

use super::run::{Bounds, NodeRequest, Pause, Run, State, is_node};
use crate::plan::Plan;

/// The greatest number of a wish: one that every reader of JSON has exactly.
pub const MAX_SEQ: u64 = 1 << 53;
/// How far the number of a wish may be above that of the last one that the run took up. Numbers are given one by one, and a ConfigMap has room for fewer.
const MAX_AHEAD: u64 = 1 << 20;

/// A wish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Wish {
    /// Its number; each wish has a greater one than those before it.
    pub seq: u64,
    /// Who: `alice@laptop`.
    #[serde(rename = "by")]
    pub operator: String,
    /// Why.
    pub reason: String,
    /// What.
    pub what: RunRequest,
}

/// What the operator asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "What"))]
#[serde(rename_all = "camelCase")]
pub enum RunRequest {
    /// No node starts any more; those in transit go on.
    Pause,
    /// Nothing is done any more.
    PauseNow,
    /// Go on, within these bounds.
    Resume(Bounds),
    /// Bring all nodes back to this phase.
    Abort(Phase),
    /// Leave this node out of the pass; or do not wait for this workload (`KIND/NAMESPACE/NAME`), or for those of this namespace (`Namespace/NAME`).
    Skip(Text),
    /// Try this node once more; or wait for this workload, or for those of this namespace, again.
    Retry(Text),
    /// Bring this node back to the phase that the nodes leave in this pass.
    Rollback(Text),
}

/// Wishes in the order of their numbers, if a program that asks could have written them to a run that took up the wish `taken` last.
///
/// A number that is far too great would be the last one that the run ever takes up, and of two wishes with one number the second would not be heard.
///
/// # Errors
/// Which wish is wrong, and why.
pub fn sort_new(mut wishes: Vec<Wish>, last_seq: u64) -> Result<Vec<Wish>, String> {
    let most = last_seq.saturating_add(MAX_AHEAD).min(MAX_SEQ);
    wishes.sort_by_key(|wish| wish.seq);
    if let Some(wish) = wishes.last().filter(|wish| wish.seq > most) {
        return Err(format!(
            "a wish of {} has the number {}; expected at most {most}",
            wish.operator, wish.seq
        ));
    }
    let is_twice = |pair: &&[Wish]| pair[0].seq == pair[1].seq && pair[0].seq > last_seq;
    match wishes.windows(2).find(is_twice) {
        Some(pair) => Err(format!(
            "two wishes, of {} and {}, have the number {}",
            pair[0].operator, pair[1].operator, pair[0].seq
        )),
        None => Ok(wishes),
    }
}

/// The run with the wish taken up.
pub(super) fn take(run: &Run, wish: &Wish, plan: &Plan, is_bridged: bool) -> Result<Run, String> {
    let mut next = run.clone();
    next.wish = wish.seq;
    let is_over = run.target().is_none() || run.state == State::Done;
    let pause = || Pause { operator: wish.operator.clone(), why: wish.reason.clone() };
    match &wish.what {
        RunRequest::Pause if is_over => return Err(run_over_text("paused")),
        RunRequest::PauseNow if is_over => return Err(run_over_text("paused")),
        // An operator stopped everything: that is a pause already, and a stronger one.
        RunRequest::Pause if matches!(run.state, State::Stopped(_)) => {}
        RunRequest::Pause => next.state = State::Paused(pause()),
        RunRequest::PauseNow => next.state = State::Stopped(pause()),
        RunRequest::Resume(_) if is_over => return Err(run_over_text("resumed")),
        RunRequest::Resume(bounds) => {
            next.state = State::Running;
            next.bounds = bounds.clone();
        }
        RunRequest::Abort(_) | RunRequest::Rollback(_) if plan.fixes_stragglers() => {
            return Err(no_way_back_text(plan.target()));
        }
        RunRequest::Abort(to) if !plan.covers(*to) => return Err(beyond_target_text(*to, plan)),
        RunRequest::Abort(to) => {
            // Nodes that pipelines replace know no phases but those of the plan's images, whatever the bridge's gate says at this moment: the pass waits for it.
            let is_direct = is_bridged || plan.image.is_some() && plan.bridge.is_some();
            next.targets = run.back_to(*to, is_direct);
            // Nodes are where the pass began and where it led; those of the other phase are left to be brought back.
            let led = run.target().unwrap_or(run.from);
            next.from = if next.targets.first() == Some(&led) { run.from } else { led };
            next.pass += 1;
            next.skip_no_node();
            next.requests.clear();
            next.bounds = Bounds::default();
            // One that is where it is to be brought back to is over already, or gives back the last of what it keeps.
            next.state = if next.targets.is_empty() { run.state.clone() } else { State::Running };
        }
        RunRequest::Skip(node) => {
            next.skipped.insert(node.clone(), wish.reason.clone());
            next.requests.remove(node);
        }
        RunRequest::Retry(node) => {
            next.skipped.remove(node);
            if is_node(node) {
                next.requests.insert(node.clone(), NodeRequest::Retry);
            }
        }
        RunRequest::Rollback(node) => {
            next.skipped.insert(node.clone(), wish.reason.clone());
            next.requests.insert(node.clone(), NodeRequest::Rollback);
        }
    }
    Ok(next)
}

fn no_way_back_text(phase: Phase) -> String {
    format!(
        "the run brings stragglers to phase {phase}, in which the cluster is, so there is no phase to go back to; pause it, or skip a node: kubectl crossfade roll skip NODE"
    )
}

fn beyond_target_text(to: Phase, plan: &Plan) -> String {
    format!(
        "the plan goes from phase {} to {}, so that no way back from it leads to {to}; to go on with it: kubectl crossfade roll resume; for phase {to}, make a new plan: kubectl crossfade plan",
        plan.start,
        plan.target()
    )
}

fn run_over_text(what: &str) -> String {
    format!("the run is over and cannot be {what}; make a new plan: kubectl crossfade plan")
}
