//! The readiness taint of new nodes, where the run removes it.

use super::*;

const KEY: &str = "readiness.k8s.io/crossfade";

/// A new node that bears the taint beside others.
fn tainted() -> Node {
    Node { awaits_readiness: true, taints: vec!["dedicated".into(), KEY.into()], ..new("uid-e") }
}

/// The acts that lift the taint of `e`.
fn lifts(decided: &Decision) -> usize {
    let lifts_readiness =
        |act: &&Act| matches!(act, Act::Patch(patch) if patch.lifts_readiness && &*patch.node == "e");
    decided.acts.iter().filter(lifts_readiness).count()
}

/// A rotation of which the first old node has gone, and `e` has come.
fn with_arrival(lifts_readiness: bool, node: Node) -> Rotation {
    let mut rotation = Rotation::new("permit");
    rotation.plan.limits.lift_readiness = lifts_readiness;
    rotation.ask(&["a", "b"]);
    rotation.go_for(15);
    rotation.lose("a");
    rotation.gain("e", node);
    rotation
}

/// Each row: whether the plan has the run lift the taint, the node, and whether its taint is lifted.
#[test]
fn the_taint_is_lifted_once_the_network_works_in_this_boot() {
    let failing = |node: Node| Node { crossfade: Some(Condition::default()), ..node };
    for (what, lifts_readiness, node, is_lifted) in [
        ("ready", true, tainted(), true),
        ("not chosen", false, tainted(), false),
        ("of another boot", true, Node { boot: "c".into(), ..tainted() }, false),
        ("the condition is not True", true, failing(tainted()), false),
        ("without a report", true, Node { observed: None, ..tainted() }, false),
        ("another effect", true, Node { awaits_readiness: false, ..tainted() }, false),
    ] {
        let mut rotation = with_arrival(lifts_readiness, node);
        assert_eq!(lifts(&rotation.go()), usize::from(is_lifted), "{what}");
    }
    let mut rotation = with_arrival(true, tainted());
    rotation.go_for(100);
    assert_eq!(rotation.state("e"), Some(State::Done), "it is proven without the taint");
    assert_eq!(rotation.world.nodes["e"].taints, [Text::from("dedicated")]);
}

/// What decides may be wrong; what may be done is checked again.
#[test]
fn no_other_taint_is_lifted() {
    for (lifts_readiness, node) in [(false, tainted()), (true, Node { boot: "c".into(), ..tainted() })] {
        let mut rotation = with_arrival(lifts_readiness, node);
        rotation.memory.observe(&rotation.world, &rotation.run);
        let order = Order::new(&rotation.plan);
        let nodes = Nodes::new(&rotation.world, &rotation.run, &order);
        let view = View::new(&rotation.world, &rotation.memory, &rotation.run, &nodes);
        let patch = Patch { lifts_readiness: true, ..Patch::new(&"e".into(), &rotation.world.nodes["e"]) };
        let refused = invariant::hold(&Act::Patch(Box::new(patch)), &view, HASH);
        assert_eq!(refused.err().map(|broken| broken.name), Some("R7"));
    }
}
