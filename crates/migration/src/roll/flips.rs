//! Nodes that are asked for a phase in the same step. Each of them was decided as if it were the only one.

use types::policy::Phase;

use super::act::Act;
use super::view::View;
use crate::reach;

/// Leaves out those that would part pods from those of a node that is asked before them. They are decided anew with the next look.
pub(super) fn retain_connected(view: &View<'_>, acts: &mut Vec<Act>) {
    if view.is_bridged() {
        return;
    }
    let mut requested: Vec<Phase> = Vec::new();
    acts.retain(|act| {
        let Act::Patch(patch) = act else { return true };
        let Some(to) = patch.desired else { return true };
        if requested.iter().any(|other| reach::is_parted(*other, to)) {
            return false;
        }
        requested.push(to);
        true
    });
}
