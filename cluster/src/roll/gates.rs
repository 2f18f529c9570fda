//! What keeps nodes from starting, of all that is asked about the whole cluster. Pure.

use super::view::View;
use super::wait::{Reason, Wait};
use super::world::{Color, Trait};

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
    view.plan.gates.iter().any(|gate| view.verdict(&gate.name).is_some_and(|said| said.color == Color::Amber))
}

/// Pods that no node takes, but those of workloads that were short of pods when the run began.
#[must_use]
pub(super) fn pending(view: &View<'_>) -> Vec<Wait> {
    let was_short =
        |pod: &super::world::Pod| pod.owner.as_ref().is_some_and(|owner| view.run.missing(owner) > 0);
    let pods = view.world.pods.values().filter(|pod| pod.is(Trait::Unschedulable) && !was_short(pod));
    let wait = |pod: &super::world::Pod| {
        let help = format!("kubectl -n {} describe pod {}", pod.namespace, pod.name);
        Wait::new(format!("Pod/{}", pod.title()), Reason::PodsPending, "the scheduler finds no node for it")
            .help(help)
    };
    pods.map(wait).collect()
}
