//! The time after a wave in which nothing starts.

use std::time::Duration;

use jiff::Timestamp;
use types::step::{State, Step};

use super::view::{View, is_of_pass};
use super::wait::{Reason, Wait};
use crate::plan::PlannedNode;

/// The longest rest of the soaks of the waves before this one. Each counts from when the last node up to its wave was done, whatever the nodes of later waves
/// say: a node writes its own step and its own report.
pub(super) fn remaining_soak(view: &View<'_>, index: usize) -> Option<Wait> {
    let wave = view.plan.waves.get(index)?;
    let before = view.plan.waves.iter().enumerate().take(index).filter(|(_, before)| before.soak_seconds > 0);
    let soaks = before.map(|(place, before)| {
        let soak = Duration::from_secs(before.soak_seconds.into());
        (soak.saturating_sub(ended_ago(view, place)), before)
    });
    let (left, before) = soaks.max_by_key(|(left, _)| *left).filter(|(left, _)| !left.is_zero())?;
    let what = format!("the wave {} is done, and nothing starts for {} s", before.name, before.soak_seconds);
    Some(Wait::new(format!("Wave/{}", wave.name), Reason::Soak, what).until(view.world.now + left))
}

/// How long ago the last node up to this wave was done; as long as this holder has seen the pass if it does not know of any.
fn ended_ago(view: &View<'_>, place: usize) -> Duration {
    let known = view.ago(view.memory.pass_since().unwrap_or(view.world.now));
    let nodes = view.plan.waves.iter().take(place + 1).flat_map(|wave| &wave.nodes);
    nodes.filter_map(|placed| done_ago(view, placed, known)).min().unwrap_or(known)
}

/// How long ago the node was done in this pass: since this holder saw it become done, or since its step says so where another holder did; none if neither is
/// known. A step that does not say it, or that names a time to come, counts for as long as this holder has seen the pass.
fn done_ago(view: &View<'_>, placed: &PlannedNode, known: Duration) -> Option<Duration> {
    if let Some(done) = view.memory.done(&placed.uid) {
        return Some(view.ago(done));
    }
    let status = view.nodes.get(&placed.name).filter(|status| status.node.uid == placed.uid)?;
    let is_done = |step: &&Step| step.state == State::Done && is_of_pass(step, view.run);
    let step = status.node.step.as_ref().filter(is_done)?;
    let since: Option<Timestamp> = step.since.as_deref().and_then(|since| since.parse().ok());
    let ago = since.and_then(|since| Duration::try_from(view.world.wall.duration_since(since)).ok());
    Some(ago.unwrap_or_default().max(known))
}
