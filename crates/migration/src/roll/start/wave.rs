//! The current wave, its nodes, and its soak after the waves before.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use snapshot::model::Text;
use types::api::step::{State, Step};
use types::text::quote::quote;

use super::places::is_begun;
use crate::plan::WaveKind;
use crate::roll::replacement::{self, Turnover, arrival};
use crate::roll::view::{NodeStatus, Place, Standing, View, is_of_pass};
use crate::roll::wait::{Reason, Subject, Wait};
use crate::roll::world::Node;

/// Longest name of a pool or zone in words, in bytes.
const NAMED: usize = 64;

/// A node in a pool or zone that the plan does not know, or in the wave of another zone: a label that changed, a node that joined, or a plan that another
/// program wrote. The plan says nothing of it.
#[must_use]
pub(in crate::roll) fn unplaced_wait(view: &View<'_>, name: &str, node: &Node) -> Option<Wait> {
    let pools = &view.plan.pools;
    // Where its pipeline chooses the order, a node may hold the place of one of another zone.
    let status = view.nodes.get(name).filter(|status| !replacement::goes_in_own_order(view, status));
    let wave = status.and_then(|status| status.place).and_then(|place| view.plan.waves.get(place.wave));
    let named = |value: &Text| quote(value.as_bytes(), NAMED);
    let what = if !pools.iter().any(|pool| pool.name == node.pool) {
        format!("it is of pool {:?}, which the plan does not know", named(&node.pool))
    } else if !pools.iter().any(|pool| pool.zones.contains(&node.zone)) {
        format!("it is of zone {:?}, which the plan does not know", named(&node.zone))
    } else if let Some(wave) = wave.filter(|wave| !wave.takes(&node.zone)) {
        format!("it is of zone {:?}, and the plan moves it in the wave {}", named(&node.zone), wave.name)
    } else {
        return None;
    };
    let help = format!(
        "correct its label, or make a new plan: kubectl crossfade plan --save; or leave it out: kubectl crossfade roll skip {name}"
    );
    Some(Wait::new_held(Subject::node(name), Reason::PlaceUnknown, what, help))
}

/// Whether a run's bounds leave a node to it.
pub(in crate::roll) fn is_within_bounds(view: &View<'_>, name: &Text, node: &Node) -> bool {
    let bounds = &view.run.bounds;
    (bounds.only.is_empty() || bounds.only.contains(name))
        && bounds.pool.as_ref().is_none_or(|pool| *pool == node.pool)
}

/// The first wave that is not done, as a place in the plan, and its nodes in order; none if all are done within the run's bounds, but those that bear a step of
/// another run or are in a place that the plan does not know.
///
/// Nodes that were left behind in an earlier pass come first, whatever their wave: their pods are elsewhere already. Those of later
/// waves that a pipeline has begun with and asks for come with it, since it may wait for their places.
#[must_use]
pub(in crate::roll) fn current_wave<'a>(view: &View<'a>) -> Option<(usize, Vec<&'a NodeStatus<'a>>)> {
    let mut waves: BTreeMap<usize, Vec<(usize, &NodeStatus<'_>)>> = BTreeMap::new();
    let (mut behind, mut joined) = (Vec::new(), None);
    for status in view.nodes().filter(|status| is_within_bounds(view, status.name, status.node)) {
        let is_out = match status.standing {
            Standing::LeftOut | Standing::Done | Standing::Skipped => true,
            // The run does not start such a node, and no other node waits for it.
            Standing::Foreign(_) => true,
            Standing::Pending => unplaced_wait(view, status.name, status.node).is_some(),
            Standing::Transit(_) => false,
        };
        if is_out || status.turnover == Turnover::Arrives {
            continue;
        }
        let place = status.place.unwrap_or_else(|| {
            let joined = joined.get_or_insert_with(|| JoinerWaves::gather(view));
            Place { wave: joined.wave(status), index: usize::MAX }
        });
        if view.is_held_since_earlier_pass(status.node) {
            behind.push((place.index, place.wave, status));
        } else {
            waves.entry(place.wave).or_default().push((place.index, status));
        }
    }
    let last = behind.first().map(|(_, wave, _)| *wave);
    let mut waves = waves.into_iter();
    let (position, mut members) = waves.next().or_else(|| Some((last?, Vec::new())))?;
    let wave = view.plan.waves.get(position)?;
    if view.run.bounds.until.is_some_and(|until| wave.kind > until) {
        return None;
    }
    members.sort_by_key(|(place, status)| (*place, status.name));
    behind.sort_by_key(|(place, _, status)| (*place, status.name));
    let behind = behind.into_iter().map(|(_, _, status)| status);
    let is_bounded = |wave: usize| {
        let kind = view.plan.waves.get(wave).map(|wave| wave.kind);
        view.run.bounds.until.is_some_and(|until| kind.is_none_or(|kind| kind > until))
    };
    let later = waves.filter(|(wave, _)| !is_bounded(*wave)).flat_map(|(_, members)| members);
    let begun = later.map(|(_, status)| status);
    let begun = begun.filter(|status| is_begun(view, status) && replacement::is_requested(view, status));
    let members = members.into_iter().map(|(_, status)| status);
    Some((position, behind.chain(members).chain(begun).collect()))
}

/// The wave that nodes of each zone are in which joined after the plan was made: the first one of their zone, else the last one of all.
struct JoinerWaves {
    /// By the zone, as a place in [`crate::roll::view::Nodes::zones`].
    zones: Vec<Option<usize>>,
    last: usize,
}

impl JoinerWaves {
    fn gather(view: &View<'_>) -> Self {
        let mut zones = vec![None; view.nodes.zones().len()];
        for status in view.nodes() {
            let Some(Place { wave, .. }) = status.place else { continue };
            if view.plan.waves.get(wave).is_some_and(|wave| wave.kind == WaveKind::Zone) {
                let first = zones[status.zone].get_or_insert(wave);
                *first = wave.min(*first);
            }
        }
        Self { zones, last: view.plan.waves.len().saturating_sub(1) }
    }

    fn wave(&self, status: &NodeStatus<'_>) -> usize {
        self.zones[status.zone].unwrap_or(self.last)
    }
}

/// The run has bounds, and nothing within them is left.
#[must_use]
pub(in crate::roll) fn has_bounds(view: &View<'_>) -> bool {
    let bounds = &view.run.bounds;
    bounds.until.is_some() || bounds.pool.is_some() || !bounds.only.is_empty()
}

/// The longest rest of the soaks of the waves before this one. Each counts from when the last node up to its wave was done, whatever the nodes of later waves
/// say: a node writes its own step and its own report.
pub(in crate::roll) fn remaining_soak(view: &View<'_>, index: usize) -> Option<Wait> {
    let wave = view.plan.waves.get(index)?;
    let before = view.plan.waves.iter().enumerate().take(index).filter(|(_, before)| before.soak_seconds > 0);
    let soaks = before.map(|(place, before)| {
        let soak = Duration::from_secs(before.soak_seconds.into());
        (soak.saturating_sub(ended_ago(view, place)), before)
    });
    let (left, before) = soaks.max_by_key(|(left, _)| *left).filter(|(left, _)| !left.is_zero())?;
    let what = format!("the wave {} is done, and nothing starts for {} s", before.name, before.soak_seconds);
    Some(
        Wait::new(Subject::Wave(wave.name.to_string().into()), Reason::Soak, what)
            .with_time(view.world.now + left),
    )
}

/// How long ago the last node up to this wave was done; as long as this holder has seen the pass if it does not know of any.
fn ended_ago(view: &View<'_>, place: usize) -> Duration {
    let known = view.ago(view.memory.pass_since().unwrap_or(view.world.now));
    let nodes = view.plan.waves.iter().take(place + 1).flat_map(|wave| &wave.nodes);
    let in_place = nodes.filter_map(|placed| done_ago(view, &placed.name, &placed.uid, known));
    in_place.chain(arrival::replaced_ago(view, place, known)).min().unwrap_or(known)
}

/// How long ago the node was done in this pass: since this holder saw it become done, or since its step says so where another holder did; none if neither is
/// known. A step that does not say it, or that names a time to come, counts for as long as this holder has seen the pass.
pub(in crate::roll) fn done_ago(
    view: &View<'_>,
    name: &str,
    uid: &Text,
    known: Duration,
) -> Option<Duration> {
    if let Some(done) = view.memory.done_at(uid) {
        return Some(view.ago(done));
    }
    let status = view.nodes.get(name).filter(|status| status.node.uid == *uid)?;
    let is_done = |step: &&Step| step.state == State::Done && is_of_pass(step, view.run);
    let step = status.node.step.as_ref().filter(is_done)?;
    let since: Option<Timestamp> = step.since.as_deref().and_then(|since| since.parse().ok());
    let ago = since.and_then(|since| Duration::try_from(view.world.wall.duration_since(since)).ok());
    Some(ago.unwrap_or_default().max(known))
}
