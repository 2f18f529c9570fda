//! The waves of a pass: which one it is that nodes start in, and which nodes it has. Pure.

use std::collections::BTreeMap;

use super::view::{Standing, View};
use super::world::Node;
use crate::model::Text;
use crate::plan::{Wave, WaveKind};

/// A node of a wave.
pub(super) struct Member<'a> {
    /// Its name.
    pub(super) name: &'a Text,
    /// The Node.
    pub(super) node: &'a Node,
    /// How it stands.
    pub(super) standing: Standing<'a>,
    /// It was left behind in an earlier pass.
    pub(super) is_behind: bool,
}

/// Whether a run's bounds leave a node to it.
fn is_within(view: &View<'_>, name: &Text, node: &Node) -> bool {
    let bounds = &view.run.bounds;
    (bounds.only.is_empty() || bounds.only.contains(name))
        && bounds.pool.as_ref().is_none_or(|pool| *pool == node.pool)
}

/// The first wave that is not done, and its nodes in order; none if all are done within the run's bounds.
#[must_use]
pub(super) fn wave<'a>(view: &View<'a>) -> Option<(&'a Wave, Vec<Member<'a>>)> {
    let mut places: BTreeMap<usize, Vec<(usize, Member<'a>)>> = BTreeMap::new();
    // Nodes that were left behind have their pods elsewhere already: they go on first, whatever their wave.
    let (mut behind, mut last) = (Vec::new(), None);
    let mut known: BTreeMap<&str, (usize, usize, &str)> = BTreeMap::new();
    for (at, wave) in view.plan.waves.iter().enumerate() {
        known.extend(wave.nodes.iter().enumerate().map(|(place, one)| (&*one.name, (at, place, &*one.uid))));
    }
    for (name, node, standing) in view.nodes().filter(|(name, node, _)| is_within(view, name, node)) {
        if matches!(standing, Standing::Done | Standing::Skipped) {
            continue;
        }
        let known = known.get(&**name).filter(|(_, _, uid)| *uid == &*node.uid);
        let (at, place) =
            known.map_or_else(|| (joins(view, node), usize::MAX), |(at, place, _)| (*at, *place));
        let is_behind = view.is_behind(node);
        let member = Member { name, node, standing, is_behind };
        if is_behind {
            behind.push((place, member));
            last.get_or_insert(at);
        } else {
            places.entry(at).or_default().push((place, member));
        }
    }
    let (at, mut members) = places.into_iter().next().or_else(|| Some((last?, Vec::new())))?;
    members.append(&mut behind);
    let wave = view.plan.waves.get(at)?;
    if view.run.bounds.until.is_some_and(|until| wave.kind > until) {
        return None;
    }
    members.sort_by(|(a, one), (b, other)| {
        (!one.is_behind, a, one.name).cmp(&(!other.is_behind, b, other.name))
    });
    Some((wave, members.into_iter().map(|(_, member)| member).collect()))
}

/// The wave of a node that joined after the plan was made: that of its zone, else the last one.
fn joins(view: &View<'_>, node: &Node) -> usize {
    let of_zone = |wave: &Wave| {
        wave.kind == WaveKind::Zone
            && wave
                .nodes
                .iter()
                .any(|one| view.world.nodes.get(&one.name).is_some_and(|other| other.zone == node.zone))
    };
    let last = view.plan.waves.len().saturating_sub(1);
    view.plan.waves.iter().position(of_zone).unwrap_or(last)
}

/// The run has bounds, and nothing within them is left.
#[must_use]
pub(super) fn bounded(view: &View<'_>) -> bool {
    let bounds = &view.run.bounds;
    bounds.until.is_some() || bounds.pool.is_some() || !bounds.only.is_empty()
}
