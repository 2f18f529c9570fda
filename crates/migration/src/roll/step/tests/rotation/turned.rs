//! What holds nodes once a run is turned, stopped or leaves a node out: their pipelines may still want the new image.

use super::machines::{hooks, with_machines};
use super::*;
use crate::plan::WaveKind;

/// One of four nodes is of the new image, and nothing but a replacement brings it back.
fn scout_replaced(mut rotation: Rotation) -> Rotation {
    rotation.go_for(15);
    if rotation.world.machines.is_some() {
        rotation.delete_machine("a");
        rotation.go_for(15);
        rotation.replace("a", "e");
    } else {
        rotation.lose("a");
        rotation.gain("e", new("uid-e"));
    }
    rotation.go_for(30);
    rotation
}

/// The pipeline still wants the new image, and would take all drifted nodes at once.
#[test]
fn a_run_that_is_turned_holds_the_nodes_that_stay_until_its_end() {
    let mut rotation = scout_replaced(Rotation::new("karpenter"));
    rotation.go_for(90);
    assert_eq!(rotation.permitted(), ["b", "c"]);
    rotation.world.node("c").is_cordoned = true;
    rotation.wish(RunRequest::Abort(Phase::Old));
    for _ in 0..8 {
        rotation.go_for(5);
        assert!(rotation.world.nodes["d"].is_undisturbed, "{:?}", rotation.world.nodes["d"]);
    }
    assert_eq!(rotation.undisturbed(), ["b", "d"], "Karpenter has begun with c; e has had its turn");
    assert_eq!(rotation.lifecycle("d"), [], "nothing is to replace it");
    assert_eq!(rotation.permitted(), ["e"]);
    rotation.world.node("c").is_cordoned = false;
    rotation.lose("e");
    rotation.gain("x", old("uid-x"));
    rotation.go_for(120);
    assert_eq!((rotation.run.target(), rotation.undisturbed()), (None, vec![]));
    assert!(rotation.world.nodes.values().all(|node| !node.is_fenced));
}

/// The deletion of a Machine cannot be taken back.
#[test]
fn machines_that_are_deleted_go_one_by_one_on_the_way_back_as_well() {
    let mut rotation = scout_replaced(with_machines());
    for node in ["b", "c", "d"] {
        rotation.delete_machine(node);
    }
    rotation.go_for(10);
    assert_eq!(hooks(&rotation).len(), 3);
    rotation.wish(RunRequest::Abort(Phase::Old));
    let mut gone = Vec::new();
    for round in 0..60 {
        rotation.go_for(15);
        let is_free = |name: &&str| {
            rotation.world.nodes.contains_key(*name)
                && rotation.world.machine(name).is_some_and(|machine| machine.hook.is_none())
        };
        let free: Vec<&str> = ["b", "c", "d"].into_iter().filter(is_free).collect();
        assert!(free.len() <= 2, "{free:?}");
        if let Some(name) = free.first() {
            rotation.replace(name, "gone");
            rotation.lose("gone");
            rotation.gain(&format!("x{round}"), old(&format!("uid-x{round}")));
            gone.push((*name).to_owned());
        }
    }
    assert_eq!(gone.len(), 3, "{gone:?}: {:?}", rotation.go().waits);
}

/// Whatever is left of them at the end of a run.
#[test]
fn machines_that_are_deleted_go_one_by_one_at_the_end() {
    let mut rotation = with_machines();
    rotation.go_for(15);
    for node in ["b", "c"] {
        rotation.delete_machine(node);
    }
    rotation.run.targets.clear();
    rotation.go_for(15);
    assert_eq!(hooks(&rotation), [("c", "r-1")], "a and d stay, and b goes first");
    let decided = rotation.go();
    assert_eq!(decided.end, None);
    assert!(wait(&decided, Reason::Leaving, "Run").is_some(), "{:?}", decided.waits);
    rotation.replace("b", "x");
    rotation.go_for(15);
    assert_eq!(rotation.go().end, Some(End::Done));
    assert_eq!(hooks(&rotation), []);
}

/// It stays as it is: it is neither replaced at once nor moved.
#[test]
fn a_node_that_is_skipped_is_kept_from_its_pipeline_until_a_person_lets_it_go() {
    let mut rotation = Rotation::new("karpenter");
    rotation.go_for(15);
    assert_eq!(rotation.permitted(), ["a"]);
    for name in ["a", "b"] {
        rotation.wish(RunRequest::Skip(name.into()));
    }
    let decided = rotation.go_for(15);
    assert_eq!(rotation.undisturbed(), ["a", "b", "c", "d"]);
    assert!(!rotation.world.nodes["b"].is_fenced);
    let held = wait(&decided, Reason::Undisturbed, "Node/b").expect("a wait");
    assert!(held.help.contains("kubectl annotate node b karpenter.sh/do-not-disrupt-"), "{held:?}");
    rotation.world.node("b").is_undisturbed = false;
    let decided = rotation.go_for(15);
    assert!(!rotation.world.nodes["b"].is_undisturbed, "a person lets it go");
    assert!(wait(&decided, Reason::Undisturbed, "Node/b").is_none(), "{:?}", decided.waits);
    rotation.wish(RunRequest::Retry("b".into()));
    for _ in 0..2 {
        rotation.go();
    }
    assert!(rotation.world.nodes["b"].is_undisturbed, "it takes part again");
    let mut rotation = with_machines();
    rotation.go_for(15);
    rotation.wish(RunRequest::Skip("b".into()));
    let decided = rotation.go_for(15);
    assert_eq!(hooks(&rotation).len(), 4);
    let held = wait(&decided, Reason::Undisturbed, "Node/b").expect("a wait");
    assert!(held.help.contains("kubectl -n fleet annotate machine m-b"), "{held:?}");
}

/// Karpenter may take a while before it begins with a node.
#[test]
fn what_has_not_begun_is_held_again_once_everything_is_stopped() {
    for is_begun in [false, true] {
        let mut rotation = Rotation::new("karpenter");
        rotation.go_for(15);
        assert_eq!(rotation.permitted(), ["a"]);
        rotation.world.node("a").is_going = is_begun;
        rotation.wish(RunRequest::PauseNow);
        assert_eq!(rotation.go_for(15).end, Some(End::Paused));
        assert_eq!(rotation.world.nodes["a"].is_undisturbed, !is_begun);
        rotation.wish(RunRequest::Resume(Bounds::default()));
        rotation.go_for(15);
        assert_eq!(rotation.permitted(), ["a"], "it is its turn again");
        assert!(!rotation.world.nodes["a"].is_undisturbed);
    }
    let mut rotation = with_machines();
    rotation.go_for(15);
    rotation.delete_machine("a");
    rotation.go_for(15);
    assert_eq!(hooks(&rotation).len(), 3);
    rotation.wish(RunRequest::PauseNow);
    rotation.go_for(15);
    assert_eq!((hooks(&rotation).len(), rotation.permitted()), (4, vec![]));
}

/// A Node may outlive its run, and the way there of a run that goes back.
#[test]
fn a_request_of_another_run_or_direction_counts_for_nothing() {
    for (run, to) in [("r-0", Phase::New), ("r-1", Phase::Old)] {
        let mut rotation = Rotation::new("permit");
        let permit = PermitRequest { node: "a".into(), run: run.into(), to };
        rotation.world.permits.requested.insert("uid-a".into(), permit);
        rotation.go_for(30);
        assert_eq!(rotation.permitted(), [""; 0], "{run} {to}");
        rotation.ask(&["a"]);
        rotation.go_for(30);
        assert_eq!(rotation.permitted(), ["a"]);
    }
}

/// They may be the majority of a quorum. The pipeline asks for them, in an order of its own, while the wave of its pool lets two go.
#[test]
fn two_members_of_a_group_are_never_on_their_way_together() {
    let mut rotation = Rotation::new("permit");
    let [first, group] = rotation.plan.waves.as_mut_slice() else { panic!("two waves") };
    (first.kind, first.at_once, first.soak_seconds) = (WaveKind::Zone, 2, 0);
    first.nodes.push(group.nodes.remove(0));
    group.kind = WaveKind::Stateful;
    assert_eq!(group.nodes.iter().map(|node| &*node.name).collect::<Vec<_>>(), ["c", "d"]);
    rotation.ask(&["c"]);
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["c"]);
    rotation.ask(&["d"]);
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["c"], "the other one waits");
    rotation.ask(&["a"]);
    let waits = rotation.go_for(30).waits;
    assert_eq!(rotation.permitted(), ["a", "c"], "there is a place for others: {waits:?}");
    rotation.lose("c");
    rotation.go_for(30);
    assert_eq!(rotation.state("d"), Some(State::Waiting), "it is gone, and not replaced");
    rotation.lose("a");
    for name in ["x", "y"] {
        rotation.gain(name, new(&format!("uid-{name}")));
    }
    let waits = rotation.go_for(60).waits;
    assert_eq!(rotation.permitted(), ["d"], "{waits:?}");
}

/// Its start-up taints are those of the plan as well, and the agents of both CNIs run on it.
#[test]
fn a_new_node_is_not_proven_before_its_agents_run_and_its_taints_are_gone() {
    let mut rotation = Rotation::new("permit");
    rotation.plan.startup_taints = vec!["example.com/starting".into()];
    let agent = |name: &str, cni: &str| json!({"namespace": "kube-system", "name": name, "uid": "u", "generation": 1, "cni": cni});
    rotation.plan.agents = serde_json::from_value(json!([
        agent("calico-node", "calico"),
        agent("cilium", "cilium"),
        agent("cilium-arm", "cilium")
    ]))
    .expect("agents");
    rotation.ask(&["a", "b"]);
    rotation.go_for(15);
    rotation.lose("a");
    rotation.gain("e", Node { taints: vec!["example.com/starting".into()], ..new("uid-e") });
    let run = |rotation: &mut Rotation, name: &str, traits: &[Trait]| {
        rotation.world.pods.put(Pod {
            namespace: "kube-system".into(),
            name: format!("{name}-x").into(),
            uid: name.into(),
            node: "e".into(),
            owner: Some(Owner {
                kind: "DaemonSet".into(),
                namespace: "kube-system".into(),
                name: name.into(),
            }),
            traits: [Trait::Agent].iter().chain(traits).copied().collect(),
        });
    };
    let why = |rotation: &mut Rotation| {
        let decided = rotation.go_for(30);
        wait(&decided, Reason::Arriving, "Node/e").map(|wait| wait.what.clone()).unwrap_or_default()
    };
    assert!(why(&mut rotation).contains("example.com/starting"));
    rotation.world.node("e").taints.clear();
    assert!(why(&mut rotation).contains("agent of cilium"));
    run(&mut rotation, "cilium", &[Trait::Ready, Trait::Terminating]);
    assert!(why(&mut rotation).contains("agent of cilium"), "it is about to end");
    run(&mut rotation, "cilium", &[Trait::Ready]);
    assert!(why(&mut rotation).contains("agent of calico"), "nodes forward between both networks");
    run(&mut rotation, "calico-node", &[]);
    assert_eq!(rotation.state("e"), None);
    run(&mut rotation, "calico-node", &[Trait::Ready]);
    rotation.go_for(30);
    assert_eq!(rotation.state("e"), Some(State::Done));
}

/// Nothing is cordoned and nothing is claimed: no flip brings it back.
#[test]
fn a_new_node_that_cannot_return_is_not_rolled_back_in_place() {
    let mut rotation = scout_replaced(Rotation::new("karpenter"));
    assert_eq!(rotation.state("e"), Some(State::Done));
    rotation.wish(RunRequest::Rollback("e".into()));
    let decided = rotation.go_for(30);
    let wait = wait(&decided, Reason::PhaseNotFollowed, "Node/e").expect("a wait");
    assert!(wait.is_held && wait.help.contains("kubectl delete nodeclaim"), "{wait:?}");
    assert!(!rotation.world.nodes["e"].is_cordoned, "{:?}", rotation.world.nodes["e"]);
    assert_eq!(rotation.state("e"), Some(State::Done));
}

/// A holder may end at any moment, and a run that is done has no next one that gives back the rest.
#[test]
fn a_run_is_done_once_it_has_given_everything_back() {
    let mut rotation = Rotation::new("karpenter");
    rotation.go_for(15);
    rotation.wish(RunRequest::Abort(Phase::Old));
    let mut has_kept_past_its_passes = false;
    for _ in 0..20 {
        rotation.go_for(5);
        let is_kept = rotation.world.nodes.values().any(|node| node.is_undisturbed || node.step.is_some());
        has_kept_past_its_passes |= is_kept && rotation.run.target().is_none();
        assert!(!is_kept || rotation.run.state != RunState::Done, "{:?}", rotation.world.nodes);
        if rotation.run.target().is_none() {
            let wish =
                Wish { seq: 9, operator: "alice".into(), reason: "so".into(), what: RunRequest::PauseNow };
            assert!(rotation.run.apply_wish(&wish, &rotation.plan, true).is_err(), "no pass is left");
        }
    }
    assert!(has_kept_past_its_passes);
    assert_eq!((rotation.go().end, &rotation.run.state), (Some(End::Done), &RunState::Done));
}

/// A person has still to look at it. What its pipeline does with it is no business of a run that is over.
#[test]
fn a_node_that_is_held_is_left_to_its_pipeline_at_the_end() {
    let mut rotation = Rotation::new("karpenter");
    rotation.go();
    rotation.world.node("b").step.as_mut().expect("a step").state = State::Held;
    rotation.run.targets.clear();
    rotation.go_for(15);
    assert_eq!(rotation.undisturbed(), [""; 0]);
    let step = rotation.world.nodes["b"].step.as_ref().expect("a step");
    assert_eq!((step.state, step.undisturbed), (State::Held, false));
    assert_eq!(rotation.go().end, Some(End::Done));
}

/// Another actor took the step from the Node of a machine that is being drained.
#[test]
fn a_request_counts_for_a_node_whose_step_is_gone() {
    let mut rotation = Rotation::new("permit");
    rotation.ask(&["a"]);
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["a"]);
    let node = rotation.world.node("a");
    (node.step, node.is_cordoned, node.is_going) = (None, true, true);
    let decided = rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["a"], "{:?}", decided.waits);
}

/// Its place is open as long as it is left out, and there is no other one for it.
#[test]
fn a_new_node_that_finds_no_place_on_its_way_back_may_take_part_again() {
    let mut rotation = Rotation::new("permit");
    rotation.plan.limits.in_transit = 1;
    rotation.ask(&["a"]);
    rotation.go_for(15);
    rotation.lose("a");
    rotation.gain("e", returning("uid-e"));
    rotation.go_for(60);
    assert_eq!(rotation.state("e"), Some(State::Done));
    rotation.wish(RunRequest::Rollback("e".into()));
    let decided = rotation.go_for(15);
    let wait = wait(&decided, Reason::InTransit, "Node/e").expect("a wait");
    assert!(wait.help.contains("kubectl crossfade roll retry e"), "{wait:?}");
}

/// A person flipped it, or its label came late: it fills a place of its own, and no pipeline takes it.
#[test]
fn a_run_that_is_stopped_holds_no_node_that_came_to_the_phase_of_the_image() {
    let mut rotation = Rotation::new("karpenter");
    rotation.go_for(10);
    assert_eq!(rotation.permitted(), ["a"]);
    let step = rotation.world.nodes["a"].step.clone();
    rotation.gain("a", Node { version: "3".into(), step, ..new("uid-a") });
    rotation.wish(RunRequest::PauseNow);
    let decided = rotation.go_for(10);
    assert_eq!((rotation.permitted(), decided.end), (vec!["a"], Some(End::Paused)));
}

/// It was held on another way, and is of the phase of the image by now.
#[test]
fn a_node_that_is_proven_keeps_nothing_of_what_held_it() {
    let mut rotation = Rotation::new("karpenter");
    rotation.go_for(10);
    let step = rotation.world.nodes["b"].step.clone().expect("a step");
    let why = Some("ProofTimeout".into());
    let step = Step { state: State::Held, claim: "r-1.0.1".into(), undisturbed: true, why, ..step };
    rotation.gain("b", Node { version: "3".into(), step: Some(step), is_undisturbed: true, ..new("uid-b") });
    rotation.go_for(30);
    assert_eq!(rotation.state("b"), Some(State::Done));
    assert!(!rotation.world.nodes["b"].is_undisturbed);
}
