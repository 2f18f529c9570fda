//! The last rotation: nodes in phase `new` are replaced by nodes of the final image, which report nothing.

use types::api::observed::AttachmentCounts;

use super::*;

/// A rotation of nodes in phase `new`.
fn last(method: &str) -> Rotation {
    let mut rotation = Rotation::new(method);
    (rotation.plan.start, rotation.plan.bridge) = (Phase::New, None);
    rotation.run = Run::new("r-1", HASH, &rotation.plan);
    for name in ["a", "b", "c", "d"] {
        rotation.gain(name, new(&format!("uid-{name}")));
    }
    rotation
}

/// One old node after the other goes, and each new one is proven before the next.
#[test]
fn nodes_without_a_report_fill_the_places() {
    for method in ["permit", "karpenter"] {
        let mut rotation = last(method);
        rotation.ask(&["a", "b", "c", "d"]);
        let mut gone = Vec::new();
        for round in 0..40 {
            rotation.go_for(15);
            let permitted: Vec<String> = rotation.permitted().into_iter().map(str::to_owned).collect();
            assert!(permitted.len() <= if gone.is_empty() { 1 } else { 2 }, "{permitted:?}");
            if let Some(name) = permitted.into_iter().next() {
                rotation.lose(&name);
                let waits = rotation.go_for(30).waits;
                assert!(
                    wait(&Decision { waits, ..Decision::default() }, Reason::ReplacementMissing, "Pool/blue")
                        .is_some()
                );
                rotation.gain(&format!("new-{round}"), old(&format!("uid-new-{round}")));
                gone.push(name);
            }
        }
        assert_eq!(gone, ["a", "b", "c", "d"], "{method}");
        assert_eq!(rotation.run.target(), None, "{method}: {:?}", rotation.go().waits);
        rotation.go_for(15);
        let has_trace = |node: &Arc<Node>| node.step.is_some() || node.is_fenced || node.is_undisturbed;
        assert!(!rotation.world.nodes.values().any(has_trace), "{method}: nothing of the run is left");
    }
}

/// Each row: what a new node is like, and what the wait that names it says.
#[test]
fn a_node_that_is_no_final_one_is_not_proven() {
    let pod = |traits: &[Trait]| Pod {
        namespace: "shop".into(),
        name: "web-1".into(),
        uid: "pod".into(),
        node: "e".into(),
        traits: traits.iter().copied().collect(),
        ..Pod::default()
    };
    for (node, on_it, what) in [
        (Node { is_ready: false, ..old("uid-e") }, None, "it is not Ready"),
        (old("uid-e"), Some(pod(&[Trait::OtherNetwork])), "pod shop/web-1 on it has an address that is not"),
        (old("uid-e"), Some(pod(&[Trait::Agent])), "it has not been steady"),
    ] {
        let mut rotation = last("permit");
        rotation.ask(&["a", "b"]);
        rotation.go_for(15);
        rotation.lose("a");
        rotation.gain("e", node);
        rotation.world.pods = on_it.into_iter().collect();
        let decided = rotation.go_for(100);
        let wait = wait(&decided, Reason::Arriving, "Node/e")
            .unwrap_or_else(|| panic!("{what}: {:?}", decided.waits));
        assert!(wait.what.contains(what), "{wait:?}");
        assert_eq!((rotation.permitted(), rotation.state("e")), (vec![], None), "{what}");
        rotation.gain("e", old("uid-e"));
        rotation.world.pods = [pod(&[Trait::Agent, Trait::Ready])].into_iter().collect();
        rotation.go_for(100);
        assert_eq!((rotation.permitted(), rotation.state("e")), (vec!["b"], Some(State::Done)), "{what}");
    }
}

/// A node with a report is of the migration image, whatever else it is, and fills no place.
#[test]
fn one_more_node_of_the_migration_image_waits_for_its_turn() {
    let mut rotation = last("karpenter");
    rotation.go_for(15);
    rotation.lose("a");
    rotation.gain("e", new("uid-e"));
    let decided = rotation.go_for(100);
    assert_eq!((rotation.permitted(), rotation.state("e")), (vec![], Some(State::Waiting)));
    assert!(wait(&decided, Reason::ReplacementMissing, "Pool/blue").is_some(), "{:?}", decided.waits);
}

/// Pods are watched on as many nodes as a pipeline launches, and the nodes that are replaced are more, and come first by name.
#[test]
fn pods_are_watched_on_nodes_without_a_report() {
    let mut rotation = last("permit");
    for index in 0..200 {
        rotation.gain(&format!("m{index}"), new(&format!("uid-m{index}")));
    }
    rotation.go_for(15);
    assert_eq!(rotation.state("m1"), Some(State::Waiting));
    assert_eq!(rotation.watched(), [""; 0]);
    rotation.lose("a");
    rotation.gain("z", old("uid-z"));
    assert_eq!(rotation.watched(), ["z"]);
    rotation.go_for(100);
    assert_eq!((rotation.state("z"), rotation.watched()), (Some(State::Done), vec!["z"]), "more pods come");
    for index in 0..100 {
        rotation.gain(&format!("{index}"), old(&format!("uid-{index}")));
    }
    assert!(!rotation.watched().contains(&"z"), "those that are not proven come first");
}

/// Pods come to a new node once it is proven, and the first of them may show that its image is another one.
#[test]
fn a_pod_of_another_network_on_a_proven_node_stops_the_run() {
    let mut rotation = last("permit");
    rotation.ask(&["a", "b", "c", "d"]);
    rotation.go_for(15);
    rotation.lose("a");
    rotation.gain("e", old("uid-e"));
    rotation.go_for(30);
    assert_eq!(rotation.state("e"), Some(State::Done));
    let pod = Pod {
        namespace: "shop".into(),
        name: "web-1".into(),
        uid: "pod".into(),
        node: "e".into(),
        traits: [Trait::OtherNetwork].into(),
        ..Pod::default()
    };
    rotation.world.pods.put(pod.clone());
    let decided = rotation.go_for(100);
    let named = wait(&decided, Reason::Arriving, "Node/e").expect("a wait");
    assert!(named.is_held && named.what.contains("pod shop/web-1 on it has an address"), "{named:?}");
    assert_eq!((rotation.permitted(), decided.end), (vec![], Some(End::Held)));
    rotation.world.pods.remove("pod");
    for (gone, came) in [("b", "f"), ("c", "g"), ("d", "h")] {
        rotation.lose(gone);
        rotation.gain(came, old(&format!("uid-{came}")));
    }
    rotation.go_for(10);
    rotation.world.pods.put(pod);
    let decided = rotation.go_for(100);
    assert!(rotation.run.target().is_some() && decided.end == Some(End::Held), "{:?}", decided.waits);
    rotation.lose("e");
    rotation.gain("i", old("uid-i"));
    rotation.go_for(60);
    assert_eq!(rotation.run.target(), None);
}

/// Both images give pods the new network, so that an end of the run leaves nothing to be brought back.
#[test]
fn an_abort_gives_back_what_is_on_nodes_and_moves_nothing() {
    let mut rotation = last("karpenter");
    rotation.go_for(15);
    rotation.lose("a");
    rotation.gain("e", old("uid-e"));
    rotation.go_for(90);
    rotation.wish(RunRequest::Abort(Phase::New));
    rotation.go_for(15);
    assert_eq!((rotation.run.target(), rotation.undisturbed()), (None, vec![]));
    assert!(rotation.world.nodes.values().all(|node| node.step.is_none() && !node.is_fenced));
    let wish = Wish {
        seq: rotation.run.wish + 1,
        operator: "alice".into(),
        reason: "so".into(),
        what: RunRequest::Abort(Phase::Old),
    };
    let refused = last("karpenter").run.apply_wish(&wish, &rotation.plan, false).expect_err("no way back");
    assert!(refused.contains("from phase new to new"), "{refused}");
}

/// Its Node outlived the machine of the migration image, and bears what that has reported.
#[test]
fn a_node_that_reports_nothing_in_this_boot_is_named() {
    let outlived = Node { boot: "c".into(), ..new("uid-a") };
    let mut rotation = last("permit");
    rotation.ask(&["a", "b"]);
    rotation.go_for(15);
    assert!(wait(&rotation.go(), Reason::Arriving, "Node/a").is_none());
    let step = rotation.world.nodes["a"].step.clone();
    rotation.gain("a", Node { step: step.clone(), ..outlived.clone() });
    let decided = rotation.go_for(100);
    let named = wait(&decided, Reason::Arriving, "Node/a").expect("a wait");
    assert!(
        named.help.contains("kubectl annotate node a crossfade/observed-") && !named.is_held,
        "{named:?}"
    );
    rotation.gain("a", Node { step, ..old("uid-a") });
    rotation.go_for(100);
    assert_eq!((rotation.state("a"), rotation.permitted()), (Some(State::Done), vec!["b"]));

    let mut forth = Rotation::new("permit");
    let mut rebooted = Node { boot: "c".into(), label: Some(Phase::Old), ..new("uid-a") };
    rebooted.observed.as_mut().expect("a report").phase = Some(Phase::Old);
    forth.gain("a", rebooted);
    let is_named = |wait: &Wait| wait.help.contains("crossfade/observed-");
    assert!(!forth.go_for(30).waits.iter().any(is_named), "watch is to report there");
    let mut back = turned("permit", new);
    back.gain("e", Node { boot: "c".into(), ..new("uid-e") });
    let decided = back.go_for(30);
    assert!(wait(&decided, Reason::Arriving, "Node/e").is_some(), "{:?}", decided.waits);
    back.gain("e", old("uid-e"));
    back.go_for(100);
    assert_eq!(back.state("e"), Some(State::Done));
}

/// Its machine has booted the final image, which gives pods the new network and reports nothing, so that no count of pods agrees with what the one before reported.
#[test]
fn a_skipped_node_that_reports_nothing_in_this_boot_is_named_at_the_end() {
    let mut rotation = last("permit");
    rotation.wish(RunRequest::Skip("d".into()));
    let mut outlived = Node { boot: "c".into(), is_cordoned: true, ..new("uid-d") };
    outlived.observed.as_mut().expect("a report").attached = Some(AttachmentCounts::default());
    rotation.gain("d", outlived);
    rotation.ask(&["a", "b", "c"]);
    for (gone, came) in [("a", "e"), ("b", "f"), ("c", "g")] {
        rotation.go_for(100);
        rotation.lose(gone);
        rotation.gain(came, old(&format!("uid-{came}")));
    }
    rotation.go_for(100);
    // Pods are counted again and again meanwhile.
    let named = (0..20).find_map(|_| wait(&rotation.go_for(5), Reason::Arriving, "Node/d").cloned());
    let named = named.expect("a wait");
    assert!(named.help.contains("kubectl annotate node d crossfade/observed-"), "{named:?}");
    rotation.lose("d");
    rotation.go_for(60);
    assert_eq!(rotation.run.target(), None);
}

/// Its machine has booted the system without Crossfade, under the Node that the plan has. The run holds a node that it is bringing back in place, and has brought back.
#[test]
fn a_kept_node_whose_crossfade_has_gone_is_named_on_the_way_back() {
    for (image, reason) in [
        (new as fn(&str) -> Node, None),
        (returning, Some(Reason::NodeSilent)),
        (old_with_crossfade, Some(Reason::NodeSilent)),
    ] {
        let mut back = turned("permit", new);
        back.gain("a", Node { boot: "c".into(), ..image("uid-a") });
        let decided = back.go_for(30);
        let named = wait(&decided, Reason::Arriving, "Node/a").expect("a wait");
        assert!(named.help.contains("kubectl annotate node a crossfade/observed-"), "{named:?}");
        let step = back.world.nodes["a"].step.clone();
        back.gain("a", Node { step, ..old("uid-a") });
        let decided = back.go_for(100);
        let waits = decided.waits.iter().filter(|wait| wait.object.to_string() == "Node/a");
        assert_eq!(waits.map(|wait| wait.reason).collect::<Vec<_>>(), Vec::from_iter(reason), "{named:?}");
    }
}
