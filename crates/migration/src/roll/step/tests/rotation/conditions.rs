//! The conditions of a lifecycle that nodes bear while they are replaced.

use super::*;

/// Other programs keep off nodes that are replaced; what another one says of them stays.
#[test]
fn nodes_say_that_they_are_to_be_replaced_until_the_run_gives_them_back() {
    let mut rotation = Rotation::new("karpenter");
    rotation.world.node("d").lifecycle.insert(MaintenancePlanned, false);
    rotation.go_for(15);
    assert_eq!(rotation.permitted(), ["a"]);
    for (name, conditions) in [
        ("a", &[MaintenanceInProgress]),
        ("b", &[MaintenancePlanned]),
        ("c", &[MaintenancePlanned]),
        ("d", &[MaintenancePlanned]),
    ] {
        assert_eq!(rotation.lifecycle(name), conditions, "{name}");
    }
    assert!(!rotation.world.nodes["d"].lifecycle[&MaintenancePlanned], "it is not the run's");
    rotation.wish(RunRequest::Skip("b".into()));
    rotation.go_for(10);
    assert_eq!(rotation.lifecycle("b"), [], "it is skipped");
    rotation.wish(RunRequest::Abort(Phase::Old));
    rotation.go_for(30);
    for name in ["a", "b", "c"] {
        assert_eq!(rotation.lifecycle(name), [], "{name} is given back");
    }
    assert_eq!(rotation.lifecycle("d"), [MaintenancePlanned]);
}

/// Its holder is gone, and the next one only ends the run: nothing of it stays on a Node.
#[test]
fn a_run_that_the_next_holder_ends_leaves_nothing_on_nodes() {
    let mut rotation = Rotation::new("karpenter");
    rotation.go_for(15);
    assert_eq!((rotation.permitted(), rotation.lifecycle("b")), (vec!["a"], vec![MaintenancePlanned]));
    rotation.memory = Memory::default();
    rotation.wish(RunRequest::Abort(Phase::Old));
    rotation.go_for(30);
    for (name, node) in &rotation.world.nodes {
        assert!(node.step.is_none() && node.lifecycle.is_empty(), "{name}: {node:?}");
        assert!(!node.is_undisturbed && !node.is_fenced && !node.is_cordoned, "{name}: {node:?}");
    }
}

/// Its answer was lost: it may be on the Node, and no further patch is made on what is known of it.
#[test]
fn conditions_wait_for_the_answer_to_an_earlier_patch() {
    let mut rotation = Rotation::new("permit");
    rotation.ask(&["a"]);
    rotation.go_for(15);
    let publishes = |decided: &Decision| {
        let publishes_lifecycle = |act: &Act| matches!(act, Act::Patch(patch) if &*patch.node == "b" && !patch.lifecycle.is_empty());
        decided.acts.iter().any(publishes_lifecycle)
    };
    rotation.world.node("b").lifecycle.clear();
    let patch = Patch::new(&"b".into(), &rotation.world.nodes["b"]);
    rotation.memory.record_patch(&patch, &rotation.world);
    assert!(!publishes(&rotation.decided()));
    rotation.world.node("b").version = "another".into();
    assert!(publishes(&rotation.decided()), "the Node has changed since");
}
