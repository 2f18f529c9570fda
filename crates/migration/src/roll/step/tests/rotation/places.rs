//! What a run knows of the pods and the room that nodes take with them, and which new nodes fill which places.

use super::*;
use crate::roll::world::{Availability, RequestSums};

/// A pod of this workload on a node.
fn pod(uid: &str, node: &str, kind: &str, traits: &[Trait]) -> Pod {
    Pod {
        namespace: "shop".into(),
        name: uid.into(),
        uid: uid.into(),
        node: node.into(),
        owner: Some(Owner { kind: kind.into(), namespace: "shop".into(), name: uid.into() }),
        traits: traits.iter().copied().collect(),
    }
}

/// The next holder waits for what a pipeline has drained, as for what the run has evicted.
#[test]
fn workloads_of_nodes_that_may_go_are_named_as_moved() {
    let mut rotation = Rotation::new("permit");
    rotation.ask(&["a"]);
    rotation.go_for(15);
    assert_eq!((rotation.permitted(), rotation.run.moved_owners.len()), (vec!["a"], 0));
    for (uid, node, kind, traits) in [
        ("web", "a", "Deployment", &[][..]),
        ("batch", "a", "Job", &[]),
        ("proxy", "a", "DaemonSet", &[]),
        ("host", "a", "Deployment", &[Trait::HostNetwork]),
        ("done", "a", "Deployment", &[Trait::Finished]),
        ("other", "b", "Deployment", &[]),
    ] {
        rotation.world.pods.put(pod(uid, node, kind, traits));
    }
    let web = Owner { kind: "Deployment".into(), namespace: "shop".into(), name: "web".into() };
    rotation.world.owners.insert(web, Availability { desired: 3, ready: 3 });
    rotation.go();
    let moved = [("Deployment/shop/web".to_owned(), Some(3)), ("Job/shop/batch".to_owned(), None)];
    assert_eq!(rotation.run.moved_owners, moved.into());
    rotation.go_for(200);
    rotation.world.pods.put(pod("late", "a", "Deployment", &[]));
    let record = rotation.go();
    assert!(record.acts.iter().any(|act| matches!(act, Act::Record(_))), "{:?}", record.acts);
    assert_eq!(
        rotation.run.moved_owners.len(),
        3,
        "what is on the node still counts, although it misses no pod now"
    );
    assert_eq!(rotation.go().acts, [], "it is named once");
}

/// An autoscaler's node is no other than one that a pipeline starts first.
#[test]
fn a_surplus_of_new_nodes_lets_no_pool_fall_below_its_size() {
    let mut rotation = Rotation::new("permit");
    rotation.ask(&["a", "b", "c", "d"]);
    rotation.gain("x", new("uid-x"));
    rotation.go_for(30);
    assert_eq!((rotation.permitted(), rotation.state("x")), (vec!["a"], Some(State::Done)));
    rotation.lose("a");
    rotation.go_for(100);
    assert_eq!(rotation.permitted(), ["b", "c"], "four nodes are there, as in the plan");
    rotation.lose("b");
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["c"], "three are there, and one of them may go");
    rotation.gain("y", new("uid-y"));
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["c", "d"]);
}

/// Each row: the method, whether the pipeline has cordoned the node, and whether it goes although the others are full.
#[test]
fn room_is_needed_where_a_node_is_drained_before_a_new_one_is_there() {
    for (method, is_cordoned, goes) in
        [("permit", false, false), ("permit", true, false), ("karpenter", false, true)]
    {
        let mut rotation = Rotation::new(method);
        rotation.go();
        rotation.world.node("a").is_cordoned = is_cordoned;
        let full =
            RequestSums { moves: Request { cpu: 4000, ..Request::default() }, ..RequestSums::default() };
        let requests = ["a", "b", "c", "d"].map(|name| (name.into(), full));
        rotation.world.census =
            Some(Census { started_at: rotation.world.now, requests: requests.into(), ..Census::default() });
        rotation.ask(&["a"]);
        let decided = rotation.go_for(15);
        assert_eq!(rotation.permitted().is_empty(), !goes, "{method}, cordoned: {is_cordoned}");
        assert_eq!(wait(&decided, Reason::NoCapacity, "Node/a").is_some(), !goes, "{:?}", decided.waits);
    }
}

/// All planned nodes of the pool are skipped, and the pipeline asks first for a node whose zone comes last.
#[test]
fn nodes_that_joined_go_in_the_order_of_their_pipeline_where_none_of_the_plan_is_left() {
    let mut rotation = Rotation::new("permit");
    let planned = rotation.plan.waves[1].nodes.split_off(2);
    let last = crate::plan::Wave { nodes: planned, ..rotation.plan.waves[1].clone() };
    rotation.plan.waves.push(last);
    rotation.plan.pools[0].zones.push("z2".into());
    rotation.world.node("d").zone = "z2".into();
    for name in ["a", "b", "c", "d"] {
        rotation.wish(RunRequest::Skip(name.into()));
    }
    rotation.gain("x", old("uid-x"));
    rotation.gain("y", Node { zone: "z2".into(), ..old("uid-y") });
    rotation.go_for(10);
    rotation.ask(&["y"]);
    let decided = rotation.go_for(90);
    assert_eq!(rotation.permitted(), ["y"], "{:?}", decided.waits);
}

/// The DNS pod of the scout is needed until another one is Ready, and the pipeline asks for another node as well: that one takes the scout's place.
#[test]
fn a_node_whose_dns_pod_is_needed_keeps_no_place_from_another_that_the_pipeline_asks_for() {
    let mut rotation = Rotation::new("permit");
    rotation.world.pods.put(dns("1", "a"));
    rotation.world.pods.put(Pod { traits: [Trait::Dns].into(), ..dns("2", "d") });
    rotation.ask(&["a"]);
    let alone = rotation.go_for(30);
    assert_eq!(rotation.permitted(), [""; 0]);
    assert!(wait(&alone, Reason::DnsNeeded, "Pod/kube-system/dns-1").is_some(), "{:?}", alone.waits);
    rotation.ask(&["b"]);
    let both = rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["b"], "{:?}", both.waits);
}

/// Released before it is drifted, a node would hold its place until a person looks: Karpenter leaves it alone.
#[test]
fn karpenter_gets_no_node_that_is_not_drifted() {
    let mut rotation = Rotation::new("karpenter");
    rotation.world.drifted = Some(Arc::default());
    let decided = rotation.go_for(30);
    assert_eq!((rotation.permitted(), rotation.undisturbed()), (vec![], vec!["a", "b", "c", "d"]));
    let waits = wait(&decided, Reason::NotDrifted, "Node/a").expect("a wait");
    assert!(!waits.is_held && waits.help.contains("NodeClass"), "{waits:?}");
    rotation.world.drifted = Some(Arc::new([Text::from("a")].into()));
    rotation.go_for(30);
    assert_eq!((rotation.permitted(), rotation.undisturbed()), (vec!["a"], vec!["b", "c", "d"]));
}
