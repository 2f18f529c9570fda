//! What keeps nodes from starting, of all that is asked about the whole cluster.

use super::view::View;
use super::wait::{Reason, Wait};
use super::world::{Color, Owner, Trait};

/// A wait for each gate that is red, or that nobody knows. What was not asked lately is not known.
#[must_use]
pub(super) fn unmet(view: &View<'_>) -> Vec<Wait> {
    let mut waits = Vec::new();
    for gate in &view.plan.gates {
        let object = format!("Gate/{}", gate.name);
        match view.verdict(&gate.name) {
            Some(verdict) if verdict.color <= Color::Amber => {}
            Some(verdict) if verdict.color == Color::Red => {
                waits.push(Wait::new(object, Reason::GateRed, verdict.why.clone()));
            }
            Some(verdict) => waits.push(Wait::new(object, Reason::GateUnknown, verdict.why.clone())),
            None => {
                let what = format!("it was not asked within {} s", gate.fresh_seconds);
                waits.push(Wait::new(object, Reason::GateUnknown, what));
            }
        }
    }
    waits
}

/// Some gate asks to go on more slowly.
#[must_use]
pub(super) fn is_amber(view: &View<'_>) -> bool {
    view.plan
        .gates
        .iter()
        .any(|gate| view.verdict(&gate.name).is_some_and(|verdict| verdict.color == Color::Amber))
}

/// Pods that no node takes, of workloads whose pods the run has moved and that miss some since. Other pods are nobody's business here: their authors may ask
/// for a node that does not exist.
#[must_use]
pub(super) fn pending(view: &View<'_>) -> Vec<Wait> {
    let is_moved = |owner: &Owner| match view.world.owners.get(owner) {
        Some(now) => now.is_short_beyond(|| view.run.missing(owner)),
        // Of a kind that nothing counts.
        None => {
            let is_moved =
                || view.memory.moved(owner).is_some() || view.run.moved.contains_key(&owner.title());
            view.run.missing(owner) == 0 && is_moved()
        }
    };
    let counts =
        |pod: &&super::world::Pod| pod.is(Trait::Unschedulable) && pod.owner.as_ref().is_some_and(is_moved);
    let pods = view.world.pods.values().filter(counts);
    let wait = |pod: &super::world::Pod| {
        let help = format!("kubectl -n {} describe pod {}", pod.namespace, pod.name);
        Wait::new(format!("Pod/{}", pod.title()), Reason::PodsPending, "the scheduler finds no node for it")
            .help(help)
    };
    pods.map(wait).collect()
}
