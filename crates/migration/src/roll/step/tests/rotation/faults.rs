//! What random histories with faults showed: nodes that others take away, flip or boot anew while pipelines replace their pools.

use super::*;

/// A run of one pass from one phase to that of the image.
fn pass(from: Phase, image: Phase) -> Rotation {
    let mut rotation = Rotation::new("permit");
    (rotation.plan.image, rotation.plan.bridge) = (Some(image), None);
    (rotation.plan.start, rotation.plan.passes) = (from, vec![image]);
    rotation.run = Run::new("r-1", HASH, &rotation.plan);
    rotation
}

/// A node of the plan that reports this phase, and attachments of some phases.
fn reporting(uid: &str, phase: &str, attached: Value) -> Node {
    let observed =
        json!({"bootId": "b", "phase": phase, "base": "so", "mints": [phase], "attached": attached});
    Node {
        label: Phase::parse(phase),
        observed: Some(serde_json::from_value(observed).expect("what it reports")),
        crossfade: Some(Condition { is_true: true, message: Text::default() }),
        ..old(uid)
    }
}

/// An autoscaler marks one node, and takes it away without a cordon; only kOps marks nodes whose turn is far.
#[test]
fn a_node_that_an_autoscaler_takes_away_has_a_place() {
    let mut rotation = Rotation::new("permit");
    rotation.plan.limits.in_transit = 1;
    rotation.world.node("c").is_going = true;
    rotation.ask(&["a"]);
    rotation.go_for(30);
    assert!(rotation.permitted().is_empty(), "{:?}", rotation.permitted());
    rotation.world.node("c").is_outdated = true;
    rotation.go_for(15);
    assert_eq!(rotation.permitted(), ["a"]);
}

/// All its pods go with it, so none of them keeps the DNS pod there that no other pod can reach.
#[test]
fn pods_that_go_with_their_dns_pod_do_not_keep_it() {
    let mut rotation = pass(Phase::Old, Phase::BothOld);
    rotation.gain("d", new("uid-d"));
    for (uid, node) in [("1", "a"), ("2", "b"), ("3", "d")] {
        rotation.world.pods.put(dns(uid, node));
    }
    rotation.ask(&["d"]);
    let waits = rotation.go_for(30).waits;
    assert_eq!(rotation.permitted(), ["d"], "{waits:?}");
}

/// The same where others in its phase stay.
#[test]
fn pods_that_stay_keep_the_dns_pod_that_they_need() {
    let mut rotation = pass(Phase::Old, Phase::BothOld);
    rotation.gain("c", new("uid-c"));
    rotation.gain("d", new("uid-d"));
    for (uid, node) in [("1", "a"), ("2", "b"), ("3", "d")] {
        rotation.world.pods.put(dns(uid, node));
    }
    rotation.ask(&["d"]);
    let decided = rotation.go_for(30);
    assert!(rotation.permitted().is_empty(), "{:?}", rotation.permitted());
    // The pipeline may want no other node before this one.
    let needed = wait(&decided, Reason::DnsNeeded, "Pod/kube-system/dns-3").expect("a wait");
    assert!(needed.help.contains("kubectl drain c"), "{needed:?}");
}

/// The only DNS pod that they reach is on the node that the pipeline wants, and another one is where no pod of this pass may be: a replica more may go there, too.
#[test]
fn a_dns_pod_in_a_forbidden_phase_is_named_where_no_other_one_is_reached() {
    let mut rotation = pass(Phase::Old, Phase::BothOld);
    rotation.gain("d", new("uid-d"));
    for (uid, node) in [("1", "a"), ("2", "d")] {
        rotation.world.pods.put(dns(uid, node));
    }
    let mut daemon = dns("0", "d");
    daemon.owner = Some(Owner { kind: "DaemonSet".into(), ..daemon.owner.unwrap_or_default() });
    rotation.world.pods.put(daemon);
    rotation.ask(&["a"]);
    let decided = rotation.go_for(30);
    assert!(rotation.permitted().is_empty(), "{:?}", rotation.permitted());
    let needed = wait(&decided, Reason::DnsNeeded, "Pod/kube-system/dns-1").expect("a wait");
    assert!(needed.help.contains("kubectl cordon d"), "{needed:?}");
    assert!(needed.help.contains("kubectl -n kube-system delete pod dns-2"), "{needed:?}");
    rotation.world.pods.remove("2");
    let decided = rotation.go_for(30);
    let needed = wait(&decided, Reason::DnsNeeded, "Pod/kube-system/dns-1").expect("a wait");
    assert!(needed.help.contains("kubectl -n kube-system scale"), "{needed:?}");
}

/// It was booted from its image, and some of its pods are of the phase before. The run moves no pods of a node that is to be replaced, so a person has to.
#[test]
fn a_node_with_pods_of_an_earlier_pass_waits_for_a_person() {
    let mut rotation = pass(Phase::BothOld, Phase::BothNew);
    for name in ["a", "b", "c"] {
        rotation.gain(name, reporting(&format!("uid-{name}"), "both-old", json!({"both-old": 1})));
    }
    rotation.gain("d", reporting("uid-d", "both-old", json!({"both-old": 1, "old": 1})));
    rotation.ask(&["d"]);
    let decided = rotation.go_for(30);
    let parts = wait(&decided, Reason::WouldPart, "Node/d").expect("a wait");
    assert!(parts.is_held && parts.help.contains("kubectl drain d"), "{parts:?}");
    assert!(!parts.help.contains("policy set"), "its own phase is one of this pass: {parts:?}");
    assert!(wait(&decided, Reason::WouldPart, "Run").is_some_and(|wait| wait.is_held), "{:?}", decided.waits);
    assert_eq!(decided.end, Some(End::Held));
    // A person flipped it: without pods it would still give new ones that phase.
    rotation.gain("d", reporting("uid-d", "old", json!({"old": 1})));
    let decided = rotation.go_for(30);
    let parts = wait(&decided, Reason::WouldPart, "Node/d").expect("a wait");
    assert!(parts.is_held && parts.help.contains("policy set both-old; then: kubectl drain d"), "{parts:?}");
    rotation.gain("d", reporting("uid-d", "both-old", json!({"both-old": 1})));
    rotation.world.permits.requested.clear();
    rotation.ask(&["a"]);
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["a"]);
}

/// A permit was under way when the run was turned, and no Node shows it yet: the run is over only once that is given back, too.
#[test]
fn a_run_that_is_over_waits_for_what_it_has_just_sent() {
    let mut rotation = Rotation::new("permit");
    rotation.ask(&["a"]);
    rotation.go();
    let sent = rotation.decided();
    let Some(Act::Patch(permit)) =
        sent.acts.iter().find(|act| matches!(act, Act::Patch(patch) if &*patch.node == "a"))
    else {
        panic!("{sent:?}");
    };
    rotation.memory.record_patch(permit, &rotation.world);
    rotation.memory.confirm_patch(permit, &rotation.world);
    rotation.wish(RunRequest::Abort(Phase::Old));
    rotation.run = Run { targets: Vec::new(), ..rotation.run.clone() };
    for name in ["a", "b", "c", "d"] {
        rotation.world.node(name).step = None;
    }
    let decided = rotation.decided();
    let is_record = |act: &Act| matches!(act, Act::Record(_));
    assert!(decided.end.is_none() && !decided.acts.iter().any(is_record), "{:?}", decided.acts);
    let permit = permit.clone();
    rotation.patch(&permit);
    rotation.memory.observe(&rotation.world, &rotation.run);
    rotation.go();
    assert_eq!(rotation.state("a"), None);
    rotation.go();
    assert_eq!(rotation.go().end, Some(End::Done));
}

/// It joined later, waits for its turn, and is booted: it is no new node, so what keeps it from its pipeline stays.
#[test]
fn a_node_that_waits_for_its_turn_is_old_while_it_boots() {
    let mut rotation = Rotation::new("karpenter");
    rotation.gain("e", old("uid-e"));
    rotation.go_for(15);
    assert_eq!(rotation.state("e"), Some(State::Waiting));
    rotation.world.node("e").is_ready = false;
    rotation.go_for(15);
    assert_eq!(rotation.state("e"), Some(State::Waiting));
    assert!(rotation.undisturbed().contains(&"e"));
}

/// A node of the image that was brought back has the image's policy still, whichever place it waits in for its turn.
#[test]
fn a_node_of_the_image_is_covered_also_when_it_waits_for_its_turn() {
    let mut rotation = Rotation::new("permit");
    rotation.gain("e", reporting("uid-e", "old", json!({"old": 1})));
    rotation.memory.observe(&rotation.world, &rotation.run);
    let order = Order::new(&rotation.plan);
    let nodes = Nodes::new(&rotation.world, &rotation.run, &order);
    let view = View::new(&rotation.world, &rotation.memory, &rotation.run, &nodes);
    let status = nodes.get("e").expect("a node");
    assert!(status.place.is_some(), "it may take the place of another one");
    assert!(view.is_covered("e", status.node));
    assert!(!view.is_covered("a", &reporting("uid-a", "old", json!({"old": 1}))));
}

/// The gate of the bridge is not green when a person turns the run. Nodes without Crossfade cannot go through the phases between.
#[test]
fn a_rotation_over_a_bridge_turns_back_in_one_pass() {
    let mut rotation = Rotation::new("permit");
    let wish =
        Wish { seq: 1, operator: "alice".into(), reason: "so".into(), what: RunRequest::Abort(Phase::Old) };
    let turned = rotation.run.apply_wish(&wish, &rotation.plan, false).expect("a run");
    assert_eq!((turned.from, turned.targets), (Phase::New, vec![Phase::Old]));
    rotation.plan.bridge = None;
    let turned = rotation.run.apply_wish(&wish, &rotation.plan, false).expect("a run");
    assert_eq!(turned.targets.len(), 3, "{:?}", turned.targets);
}

/// What makes a new node lack something.
type Edit<'a> = &'a dyn Fn(&mut Node);

/// Each thing that a new node lacks keeps it from filling a place, and is named.
#[test]
fn a_new_node_is_proven_by_all_that_it_says() {
    let report = |node: &mut Node, attached: Value| {
        node.observed.as_mut().expect("a report").attached = serde_json::from_value(attached).ok();
    };
    let desires_old = |node: &mut Node| {
        node.desired = Some(Phase::Old);
        node.observed.as_mut().expect("a report").follows = vec![Phase::Old];
    };
    let changes: [(&str, Edit<'_>); 5] = [
        ("its annotation crossfade/desired names old", &desires_old),
        ("another program takes it away", &|node| node.is_going = true),
        ("it is not Ready", &|node| node.is_ready = false),
        ("it does not report in this boot", &|node| node.boot = "another".into()),
        ("all that is on it", &|node| report(node, json!({"new": 1, "old": 1}))),
    ];
    for (lacks, change) in changes {
        let mut rotation = Rotation::new("permit");
        let mut node = new("uid-e");
        change(&mut node);
        rotation.gain("e", node);
        let decided = rotation.go_for(60);
        let arriving = wait(&decided, Reason::Arriving, "Node/e").expect("a wait");
        assert!(arriving.what.contains(lacks), "{lacks}: {arriving:?}");
        assert_eq!(rotation.state("e"), None, "{lacks}");
        rotation.gain("e", Node { version: "2".into(), ..new("uid-e") });
        rotation.go_for(30);
        assert_eq!(rotation.state("e"), Some(State::Done), "{lacks}");
    }
}

#[test]
fn a_new_node_is_proven_once_it_is_steady_and_the_gates_are_green() {
    let mut rotation = Rotation::new("permit");
    rotation.gain("e", new("uid-e"));
    let decided = rotation.go();
    assert!(wait(&decided, Reason::Arriving, "Node/e").is_some_and(|wait| wait.what.contains("steady")));
    for _ in 0..12 {
        rotation.pass(Duration::from_secs(5));
        rotation.world.verdicts.values_mut().for_each(|verdict| verdict.color = Color::Red);
        rotation.go();
    }
    assert_eq!(rotation.state("e"), None);
    rotation.go_for(10);
    assert_eq!(rotation.state("e"), Some(State::Done));
}

/// More new nodes than places: each that is not proven may be the one that does not work, so that it counts.
#[test]
fn a_new_node_that_is_too_many_takes_a_place_until_it_is_proven() {
    let mut rotation = Rotation::new("permit");
    rotation.ask(&["a", "b", "c"]);
    rotation.go_for(15);
    rotation.lose("a");
    rotation.gain("e", new("uid-e"));
    rotation.gain("f", Node { is_ready: false, ..new("uid-f") });
    rotation.go_for(90);
    assert_eq!(rotation.permitted(), ["b"]);
}

/// A node that another controller takes away already is not kept, and no other node waits for it.
#[test]
fn a_node_that_goes_already_is_not_kept() {
    let mut rotation = Rotation::new("permit");
    rotation.gain("e", Node { is_going: true, ..old("uid-e") });
    rotation.ask(&["a"]);
    rotation.go_for(30);
    assert_eq!((rotation.state("e"), rotation.permitted()), (None, vec!["a"]));
}

/// Pods of a node whose pipeline asks may have to go before the new node is there. Karpenter starts that first.
#[test]
fn pods_are_counted_before_a_node_is_drained_whose_pipeline_asks() {
    for (method, is_counted) in [("permit", true), ("karpenter", false)] {
        let mut rotation = Rotation::new(method);
        rotation.ask(&["a"]);
        rotation.go_for(30);
        assert_eq!(rotation.permitted(), ["a"]);
        assert_eq!(rotation.world.census.is_some(), is_counted, "{method}");
    }
}

/// It had been moved in place before its pipeline might have it. A person takes the run's cordon away, and more nodes are in trouble by now than may be.
#[test]
fn a_node_that_may_go_keeps_its_place_without_the_cordon() {
    let mut rotation = Rotation::new("permit");
    rotation.plan.limits.in_transit = 1;
    rotation.ask(&["a"]);
    rotation.go_for(30);
    for name in ["b", "c"] {
        rotation.world.node(name).is_ready = false;
    }
    rotation.world.node("a").step.as_mut().expect("a step").cordon = Some(Cordon::Ours);
    rotation.go_for(30);
    let step = rotation.world.nodes["a"].step.as_ref().expect("a step");
    assert_eq!((step.state, step.cordon), (State::Permitted, None));
}
