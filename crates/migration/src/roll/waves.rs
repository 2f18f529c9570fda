//! The waves of a pass: which one it is that nodes start in, and which nodes it has.

use std::collections::BTreeMap;

use snapshot::model::Text;

use super::nodes::{NodeStatus, Standing};
use super::order::Place;
use super::start::unplaced;
use super::view::View;
use super::world::Node;
use crate::plan::WaveKind;

/// Whether a run's bounds leave a node to it.
pub(super) fn is_within(view: &View<'_>, name: &Text, node: &Node) -> bool {
    let bounds = &view.run.bounds;
    (bounds.only.is_empty() || bounds.only.contains(name))
        && bounds.pool.as_ref().is_none_or(|pool| *pool == node.pool)
}

/// The first wave that is not done, as a place in the plan, and its nodes in order; none if all are done within the run's bounds, but those that bear a step of
/// another run or are in a place that the plan does not know.
///
/// Nodes that were left behind in an earlier pass come first, whatever their wave: their pods are elsewhere already.
#[must_use]
pub(super) fn wave<'a>(view: &View<'a>) -> Option<(usize, Vec<&'a NodeStatus<'a>>)> {
    let mut waves: BTreeMap<usize, Vec<(usize, &NodeStatus<'_>)>> = BTreeMap::new();
    let (mut behind, mut joined) = (Vec::new(), None);
    for status in view.nodes().filter(|status| is_within(view, status.name, status.node)) {
        let is_out = match status.standing {
            Standing::LeftOut | Standing::Done | Standing::Skipped => true,
            // The run does not start such a node, and no other node waits for it.
            Standing::Foreign(_) => true,
            Standing::Pending => unplaced(view, status.name, status.node).is_some(),
            Standing::Transit(_) => false,
        };
        if is_out {
            continue;
        }
        let place = status.place.unwrap_or_else(|| {
            let joined = joined.get_or_insert_with(|| JoinerWaves::of(view));
            Place { wave: joined.wave(status), index: usize::MAX }
        });
        if view.is_held_since_earlier_pass(status.node) {
            behind.push((place.index, place.wave, status));
        } else {
            waves.entry(place.wave).or_default().push((place.index, status));
        }
    }
    let last = behind.first().map(|(_, wave, _)| *wave);
    let (position, mut members) = waves.into_iter().next().or_else(|| Some((last?, Vec::new())))?;
    let wave = view.plan.waves.get(position)?;
    if view.run.bounds.until.is_some_and(|until| wave.kind > until) {
        return None;
    }
    members.sort_by_key(|(place, status)| (*place, status.name));
    behind.sort_by_key(|(place, _, status)| (*place, status.name));
    let behind = behind.into_iter().map(|(_, _, status)| status);
    Some((position, behind.chain(members.into_iter().map(|(_, status)| status)).collect()))
}

/// The wave that nodes of each zone are in which joined after the plan was made: the first one of their zone, else the last one of all.
struct JoinerWaves {
    /// By the zone, as a place in [`super::nodes::Nodes::zones`].
    zones: Vec<Option<usize>>,
    last: usize,
}

impl JoinerWaves {
    fn of(view: &View<'_>) -> Self {
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
pub(super) fn bounded(view: &View<'_>) -> bool {
    let bounds = &view.run.bounds;
    bounds.until.is_some() || bounds.pool.is_some() || !bounds.only.is_empty()
}
