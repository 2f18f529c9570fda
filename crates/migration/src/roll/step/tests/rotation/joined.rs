//! Nodes that the plan does not have: they joined later, or came back as others.

use super::*;

/// The same Node comes back with the new image: only its disk was replaced.
#[test]
fn a_node_that_comes_back_fills_its_own_place() {
    let mut rotation = Rotation::new("permit");
    rotation.ask(&["a", "b"]);
    rotation.go_for(15);
    let step = rotation.world.nodes["a"].step.clone();
    rotation.gain("a", Node { is_ready: false, boot: "c".into(), step, is_fenced: true, ..old("uid-a") });
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["a"]);
    rotation
        .gain("a", Node { is_fenced: true, step: rotation.world.nodes["a"].step.clone(), ..new("uid-a") });
    rotation.go_for(30);
    assert_eq!(rotation.state("a"), Some(State::Done));
    assert!(!rotation.world.nodes["a"].is_fenced);
    rotation.go_for(60);
    assert_eq!(rotation.permitted(), ["b"]);
}

/// A run replaces the nodes that the one before has left, and proves again what that has proven: the agents on it have to be known.
#[test]
fn pods_are_watched_on_a_node_that_an_earlier_run_has_proven() {
    let mut rotation = Rotation::new("permit");
    rotation.go_for(15);
    let step = rotation.world.nodes["d"].step.clone().expect("a step");
    let done = Step { run: "r-0".into(), claim: "r-0.1.1".into(), state: State::Done, ..step };
    rotation.gain("d", Node { step: Some(done), ..new("uid-d") });
    assert_eq!(rotation.watched(), ["d"]);
    rotation.go_for(15);
    let step = rotation.world.nodes["d"].step.clone().expect("a step");
    assert_eq!((&*step.run, step.state, rotation.watched()), ("r-1", State::Done, vec![]));
}

#[test]
fn a_step_without_a_place_is_no_permission() {
    let mut rotation = Rotation::new("permit");
    rotation.go_for(15);
    let step = rotation.world.nodes["a"].step.clone().expect("a step");
    rotation.gain("e", Node { step: Some(Step { state: State::Permitted, ..step }), ..new("uid-e") });
    rotation.go_for(30);
    assert_eq!(
        rotation.state("e"),
        Some(State::Done),
        "a new node that says it may go is proven as any other"
    );
}

/// Nothing brings it back to the phase of the others, and it is replaced like any other.
#[test]
fn a_node_in_a_forbidden_phase_is_replaced() {
    let mut rotation = Rotation::new("permit");
    (rotation.plan.image, rotation.plan.bridge) = (Some(Phase::BothOld), None);
    rotation.plan.passes = vec![Phase::BothOld];
    rotation.run = Run::new("r-1", HASH, &rotation.plan);
    rotation.gain("d", new("uid-d"));
    rotation.ask(&["d"]);
    let decided = rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["d"], "{:?}", decided.waits);
}

/// A gate keeps new nodes from being proven, and no node that moved in place from being done.
#[test]
fn a_node_that_moved_in_place_is_done_whatever_the_gates_say() {
    let mut rotation = Rotation::new("permit");
    rotation.go_for(15);
    let claim = rotation.run.claim(2);
    let step = rotation.world.nodes["a"].step.clone().expect("a step");
    let mut node = new("uid-e");
    node.step = Some(Step { state: State::Settling, claim: claim.clone(), ..step });
    node.observed.as_mut().expect("a report").echo = Some(claim);
    rotation.gain("e", node);
    for _ in 0..60 {
        rotation.pass(Duration::from_secs(5));
        rotation.world.verdicts.values_mut().for_each(|verdict| verdict.color = Color::Red);
        rotation.go();
    }
    assert_eq!(rotation.state("e"), Some(State::Done));
}

/// A loop that waits for the answer about a node of the old image that joined after the plan was made asks for no other one meanwhile.
#[test]
fn a_pipeline_may_ask_first_for_a_node_that_joined_later() {
    let mut rotation = Rotation::new("permit");
    rotation.gain("j", old_with_crossfade("uid-j"));
    rotation.ask(&["j"]);
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["j"]);
    rotation.lose("j");
    rotation.ask(&["d"]);
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["d"], "it was none of the plan's, so no new node has to come for it");
}

/// The scout is left, and the loop asks for it last.
#[test]
fn a_node_that_waits_for_its_turn_keeps_no_place_that_another_one_has_taken() {
    let mut rotation = Rotation::new("permit");
    for (gone, name) in [("b", "f"), ("c", "g"), ("d", "h")] {
        rotation.lose(gone);
        rotation.gain(name, new(&format!("uid-{name}")));
    }
    for name in ["j", "k"] {
        rotation.gain(name, old_with_crossfade(&format!("uid-{name}")));
    }
    rotation.go_for(90);
    for name in ["j", "k", "a"] {
        rotation.ask(&[name]);
        rotation.go_for(30);
        assert_eq!(rotation.permitted(), [name]);
        rotation.lose(name);
    }
}
