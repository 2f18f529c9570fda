//! The conditions of Nodes that a run drains, or that a pipeline replaces: those that Kubernetes has for a Node's lifecycle, so that other
//! programs keep off.
//!
//! | the node's step | conditions that are true |
//! |---|---|
//! | `waiting` | `MaintenancePlanned` |
//! | `permitted`; `claimed`, `flipped` and `held` under the run's cordon | `MaintenanceInProgress` |
//! | `moving` under the run's cordon | `MaintenanceInProgress`, `DrainInProgress` |
//! | `proving` under the run's cordon | `MaintenanceInProgress`, `Drained` |
//! | any other, or none | none |
//!
//! A condition that another program has set stays as it is.
//!
//! *Source*: Kubernetes, KEP-5683 (kubernetes/kubernetes#139993).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use types::api::step::{Cordon, State, Step};

use super::act::{Act, Patch};
use super::replacement::keeps_lever;
use super::view::{NodeStatus, Standing, View, foreign_step, is_of_run};
use super::world::Node;

/// How many Nodes are written in one step: other acts come first.
const AT_ONCE: usize = 8;

/// A condition of a Node's lifecycle that a run publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Lifecycle {
    /// It will be drained, or replaced.
    MaintenancePlanned,
    /// It is being moved, or its pipeline may take it away.
    MaintenanceInProgress,
    /// Its pods are evicted.
    DrainInProgress,
    /// No pod is left that has to move.
    Drained,
}

impl Lifecycle {
    pub const ALL: [Self; 4] =
        [Self::MaintenancePlanned, Self::MaintenanceInProgress, Self::DrainInProgress, Self::Drained];

    /// The type of the condition.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MaintenancePlanned => "MaintenancePlanned",
            Self::MaintenanceInProgress => "MaintenanceInProgress",
            Self::DrainInProgress => "DrainInProgress",
            Self::Drained => "Drained",
        }
    }
}

/// Patches of Nodes whose conditions are not those of their steps.
///
/// They matter less than all else that is done to a Node: where the answer to an earlier patch is still open, none is made.
pub(super) fn publish(view: &View<'_>) -> Vec<Act> {
    let patch = |status: &NodeStatus<'_>| {
        let NodeStatus { name, node, standing, .. } = *status;
        let is_free = !matches!(standing, Standing::Foreign(_))
            && foreign_step(node, view.run).is_none()
            && !view.memory.pending_patches().has(name);
        // One that the run only keeps from its pipeline, and does not have replaced, is not to be maintained.
        let is_kept = |step: &Step| step.state == State::Waiting && keeps_lever(view, status);
        let step = node.step.as_ref().filter(|step| is_of_run(step, view.run) && !is_kept(step));
        let lifecycle = changes(node, step.map_or(&[][..], conditions));
        let is_wrong = !lifecycle.is_empty();
        (is_free && is_wrong).then(|| Act::Patch(Box::new(Patch { lifecycle, ..Patch::new(name, node) })))
    };
    view.nodes().filter_map(patch).take(AT_ONCE).collect()
}

/// The conditions that are to be true while a Node bears this step.
fn conditions(step: &Step) -> &'static [Lifecycle] {
    use Lifecycle::{DrainInProgress, Drained, MaintenanceInProgress, MaintenancePlanned};
    match step.state {
        State::Waiting => &[MaintenancePlanned],
        State::Permitted => &[MaintenanceInProgress],
        _ if step.cordon != Some(Cordon::Ours) => &[],
        State::Claimed | State::Flipped | State::Held => &[MaintenanceInProgress],
        State::Moving => &[MaintenanceInProgress, DrainInProgress],
        State::Proving => &[MaintenanceInProgress, Drained],
        State::Settling | State::Done => &[],
    }
}

/// What has to change: true for a condition that is to be set, false for one that is to be removed.
fn changes(node: &Node, desired: &[Lifecycle]) -> BTreeMap<Lifecycle, bool> {
    let change = |kind: Lifecycle| match (node.lifecycle.get(&kind), desired.contains(&kind)) {
        (None, true) => Some((kind, true)),
        (Some(true), false) => Some((kind, false)),
        (None, false) | (Some(true), true) | (Some(false), _) => None,
    };
    Lifecycle::ALL.into_iter().filter_map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::Lifecycle::{DrainInProgress, Drained, MaintenanceInProgress, MaintenancePlanned};
    use super::*;
    use serde_json::json;

    fn step(state: &str, cordon: Option<&str>) -> Step {
        let mut step =
            json!({"run": "r", "plan": "4b", "epoch": 1, "claim": "r.1.1", "to": "new", "state": state});
        if let Some(cordon) = cordon {
            step["cordon"] = json!(cordon);
        }
        serde_json::from_value(step).expect("a step")
    }

    /// A node takes them away by that list.
    #[test]
    fn each_condition_is_in_the_list_of_what_leaves_a_node() {
        assert_eq!(Lifecycle::ALL.map(Lifecycle::as_str), types::api::node_keys::LIFECYCLE);
    }

    #[test]
    fn conditions_follow_the_step() {
        for (state, of_drain) in [
            ("claimed", &[MaintenanceInProgress][..]),
            ("flipped", &[MaintenanceInProgress]),
            ("moving", &[MaintenanceInProgress, DrainInProgress]),
            ("proving", &[MaintenanceInProgress, Drained]),
            ("settling", &[]),
            ("done", &[]),
            ("held", &[MaintenanceInProgress]),
        ] {
            assert_eq!(conditions(&step(state, Some("ours"))), of_drain, "{state}");
            assert_eq!(conditions(&step(state, Some("theirs"))), [], "{state}: the run does not drain it");
            assert_eq!(conditions(&step(state, None)), [], "{state}: networks join or leave its pods");
        }
        assert_eq!(conditions(&step("waiting", None)), [MaintenancePlanned]);
        assert_eq!(conditions(&step("permitted", None)), [MaintenanceInProgress]);
    }

    #[test]
    fn a_condition_of_another_program_stays() {
        let patch_of = |conditions: &[(Lifecycle, bool)]| {
            let node = Node { lifecycle: conditions.iter().copied().collect(), ..Node::default() };
            changes(&node, &[MaintenanceInProgress, DrainInProgress]).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(patch_of(&[]), [(MaintenanceInProgress, true), (DrainInProgress, true)]);
        assert_eq!(patch_of(&[(MaintenanceInProgress, true), (DrainInProgress, false)]), []);
        assert_eq!(
            patch_of(&[(DrainInProgress, true), (Drained, true)]),
            [(MaintenanceInProgress, true), (Drained, false)]
        );
        assert_eq!(
            patch_of(&[(MaintenanceInProgress, false), (DrainInProgress, true), (Drained, false)]),
            []
        );
    }
}
