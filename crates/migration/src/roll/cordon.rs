//! Cordons that the run set and somebody took away: from then on a cordon is somebody else's.

use types::step::Cordon;

use super::act::{Act, Change};
use super::memory::is_of;
use super::view::{View, patch};

/// Patches that note on each such Node that its next cordon is not of this run.
#[must_use]
pub(super) fn disown_cordons(view: &View<'_>) -> Vec<Act> {
    let mut acts = Vec::new();
    for status in view.nodes().filter(|status| !status.node.is_cordoned) {
        let (name, node) = (status.name, status.node);
        let step =
            node.step.as_ref().filter(|step| is_of(step, view.run) && step.cordon == Some(Cordon::Ours));
        let Some(mut step) = step.cloned() else { continue };
        (step.cordon, step.epoch) = (None, view.world.epoch);
        let mut patch = patch(name, node);
        patch.step = Change::Set(step);
        acts.push(Act::Patch(Box::new(patch)));
    }
    acts
}
