//! The time after a wave in which nothing starts. Pure.

use std::time::Duration;

use jiff::Timestamp;
use types::step::State;

use super::nodes::{One, Standing};
use super::view::{View, is_of_pass};
use super::wait::{Reason, Wait};

/// The rest of the soak of the wave before this one, as long as no node of this wave or a later one has moved.
pub(super) fn left(view: &View<'_>, at: usize) -> Option<Wait> {
    let (wave, before) = (view.plan.waves.get(at)?, view.plan.waves.get(at.checked_sub(1)?)?);
    let soak = Duration::from_secs(before.soak_seconds.into());
    if soak.is_zero() {
        return None;
    }
    let is_of_these = |one: &&One<'_>| one.place.is_some_and(|place| place.wave >= at);
    let has_moved = |one: &One<'_>| matches!(one.standing, Standing::Done | Standing::Transit(_));
    if view.nodes().filter(is_of_these).any(has_moved) {
        return None;
    }
    let over = match view.memory.done() {
        Some(done) => view.ago(done),
        // Another holder saw the wave end.
        None => {
            let known = view.ago(view.memory.pass_since().unwrap_or(view.world.now));
            ended_ago(view, at).map_or(known, |ago| ago.max(known))
        }
    };
    let left = soak.checked_sub(over).filter(|left| !left.is_zero())?;
    let what = format!("the wave {} is done, and nothing starts for {} s", before.name, before.soak_seconds);
    Some(Wait::new(format!("Wave/{}", wave.name), Reason::Soak, what).until(view.world.now + left))
}

/// How long ago the last node of the waves before this one was done, as their steps say; none if a step does not say it, or names a time that is to come.
fn ended_ago(view: &View<'_>, at: usize) -> Option<Duration> {
    let is_before = |one: &&One<'_>| one.place.is_some_and(|place| place.wave < at);
    let steps = view.nodes().filter(is_before).filter_map(|one| one.node.step.as_ref());
    let done = steps.filter(|step| step.state == State::Done && is_of_pass(step, view.run));
    let mut ago: Option<Duration> = None;
    for step in done {
        let since: Timestamp = step.since.as_deref()?.parse().ok()?;
        let passed = Duration::try_from(view.world.wall.duration_since(since)).ok()?;
        ago = Some(ago.map_or(passed, |ago| ago.min(passed)));
    }
    ago
}
