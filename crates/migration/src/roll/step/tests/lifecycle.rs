//! Conditions of a Node's lifecycle that a run publishes.

use serde_json::json;
use types::api::step::Step;

use super::super::{lifecycle_changes, lifecycle_conditions};
use crate::roll::world::Lifecycle::{
    self, DrainInProgress, Drained, MaintenanceInProgress, MaintenancePlanned,
};
use crate::roll::world::Node;

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
    assert_eq!(Lifecycle::ALL.map(|cycle| cycle.into_str()), types::api::node_keys::LIFECYCLE);
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
        assert_eq!(lifecycle_conditions(&step(state, Some("ours"))), of_drain, "{state}");
        assert_eq!(
            lifecycle_conditions(&step(state, Some("theirs"))),
            [],
            "{state}: the run does not drain it"
        );
        assert_eq!(lifecycle_conditions(&step(state, None)), [], "{state}: networks join or leave its pods");
    }
    assert_eq!(lifecycle_conditions(&step("waiting", None)), [MaintenancePlanned]);
    assert_eq!(lifecycle_conditions(&step("permitted", None)), [MaintenanceInProgress]);
}

#[test]
fn a_condition_of_another_program_stays() {
    let patch_of = |conditions: &[(Lifecycle, bool)]| {
        let node = Node { lifecycle: conditions.iter().copied().collect(), ..Node::default() };
        lifecycle_changes(&node, &[MaintenanceInProgress, DrainInProgress]).into_iter().collect::<Vec<_>>()
    };
    assert_eq!(patch_of(&[]), [(MaintenanceInProgress, true), (DrainInProgress, true)]);
    assert_eq!(patch_of(&[(MaintenanceInProgress, true), (DrainInProgress, false)]), []);
    assert_eq!(
        patch_of(&[(DrainInProgress, true), (Drained, true)]),
        [(MaintenanceInProgress, true), (Drained, false)]
    );
    assert_eq!(patch_of(&[(MaintenanceInProgress, false), (DrainInProgress, true), (Drained, false)]), []);
}
