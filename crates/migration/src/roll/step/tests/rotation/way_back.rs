//! Which way back a rotation has at each of its points.

use super::*;
use crate::drive::status::{WayBack, status};

impl Rotation {
    /// The way back now.
    fn way_back(&mut self) -> Option<WayBack> {
        self.memory.observe(&self.world, &self.run);
        let order = Order::new(&self.plan);
        let nodes = Nodes::new(&self.world, &self.run, &order);
        status(&View::new(&self.world, &self.memory, &self.run, &nodes), &[]).way_back
    }
}

#[test]
fn nodes_are_counted_by_their_ways_back() {
    let mut rotation = Rotation::new("permit");
    assert_eq!(rotation.way_back(), Some(WayBack { stay: 4, ..WayBack::default() }));
    for (gone, name, node) in
        [("a", "e", new("uid-e")), ("b", "f", returning("uid-f")), ("c", "g", new("uid-g"))]
    {
        rotation.lose(gone);
        rotation.gain(name, node);
    }
    let back = rotation.way_back().expect("a way back");
    assert_eq!(back, WayBack { stay: 1, in_place: 1, replaced: 2, held: 0 });
    assert_eq!(back.to_string(), "1 stays, 1 goes back in place, 2 are replaced by their pipelines");
    rotation.plan.bridge = None;
    assert_eq!(rotation.way_back(), Some(WayBack { stay: 1, in_place: 1, replaced: 0, held: 2 }));
    rotation.plan.bridge = plan("permit").bridge;
    rotation.wish(RunRequest::Abort(Phase::Old));
    assert_eq!(rotation.way_back(), None, "it goes back already");
}

#[test]
fn what_the_run_put_on_nodes_is_given_back() {
    let mut rotation = Rotation::new("karpenter");
    rotation.world.node("d").is_undisturbed = true;
    rotation.go_for(15);
    rotation.wish(RunRequest::Abort(Phase::Old));
    let ended = rotation.go_for(30);
    assert_eq!(rotation.undisturbed(), ["d"], "it was there before");
    assert!(rotation.world.nodes.values().all(|node| node.step.is_none() && !node.is_fenced));
    assert_eq!(ended.acts, [], "{:?}", ended.acts);
    // Nodes without Crossfade report no pod, and have no other than those of the old network.
    assert_eq!(rotation.run.target(), None, "{:?}", ended.waits);
}

/// Nodes that no flip brings back are replaced by nodes of the earlier image: one by one, each proven before the next goes, until the pool is as large as it was.
#[test]
fn a_run_that_is_turned_has_nodes_replaced_that_do_not_go_back() {
    for method in ["permit", "karpenter"] {
        let mut rotation = turned(method, new);
        if method == "karpenter" {
            assert_eq!(rotation.undisturbed(), ["d", "f", "g"], "d is of the earlier image, and stays");
        } else {
            assert_eq!(rotation.state("d"), None, "it is of the earlier image, and stays");
        }
        rotation.ask(&["f", "g", "d"]);
        rotation.go_for(90);
        let first = rotation.permitted().into_iter().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(first.len(), 1, "{method}: {first:?}");
        rotation.lose(&first[0]);
        rotation.go_for(30);
        assert_eq!(rotation.permitted(), [""; 0], "{method}: its place is open");
        rotation.gain("x", Node { is_ready: false, ..old("uid-x") });
        rotation.go_for(30);
        assert_eq!(rotation.permitted(), [""; 0], "{method}: x is not Ready");
        rotation.world.node("x").is_ready = true;
        rotation.go_for(90);
        assert_eq!(rotation.state("x"), Some(State::Done), "{method}");
        assert!(!rotation.permitted().is_empty(), "{method}: the next ones go");
        for (name, other) in [("e", "w"), ("f", "y"), ("g", "z")] {
            if rotation.world.nodes.contains_key(name) {
                rotation.ask(&[name]);
                rotation.go_for(90);
                assert!(rotation.permitted().contains(&name), "{method}: {name}");
                rotation.lose(name);
                rotation.gain(other, old(&format!("uid-{other}")));
            }
        }
        rotation.go_for(120);
        assert_eq!(rotation.run.target(), None, "{method}: it is over");
        assert_eq!(rotation.undisturbed(), [""; 0], "{method}");
    }
}

/// A flip is shorter than a replacement.
#[test]
fn a_run_that_is_turned_moves_nodes_in_place_that_go_back() {
    let mut rotation = turned("karpenter", returning);
    assert_eq!((rotation.undisturbed(), rotation.permitted()), (vec!["d"], vec![]));
    rotation.go_for(60);
    let is_moving = |name| matches!(rotation.state(name), Some(State::Claimed | State::Held));
    assert!(is_moving("e") && rotation.undisturbed() == ["d"], "{:?}", rotation.state("e"));
}
