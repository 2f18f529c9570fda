//! Nodes that a pipeline has begun with before it was their turn: it ended in the middle and begins anew, or its cloud takes some away.

use super::*;

/// A pipeline has cordoned these nodes, and marks what it takes away.
fn begin(rotation: &mut Rotation, names: &[&str]) {
    for name in names {
        let node = rotation.world.node(name);
        (node.is_cordoned, node.is_going) = (true, true);
    }
}

/// Each of them takes the only place, and waits for the other.
#[test]
fn nodes_that_a_pipeline_has_begun_with_do_not_keep_each_other() {
    for requests in [&["c"][..], &["c", "d"]] {
        let mut rotation = Rotation::new("permit");
        rotation.plan.limits.in_transit = 1;
        rotation.go_for(10);
        begin(&mut rotation, &["c", "d"]);
        rotation.ask(requests);
        let decided = rotation.go_for(30);
        assert_eq!(rotation.permitted(), ["c"], "{requests:?}: {:?}", decided.waits);
        rotation.lose("c");
        rotation.ask(&["d"]);
        rotation.go_for(30);
        assert_eq!(rotation.permitted(), [""; 0], "the place of the first one is open");
        rotation.gain("e", new("uid-e"));
        rotation.go_for(120);
        assert_eq!(rotation.permitted(), ["d"], "{requests:?}");
    }
}

/// Only these go beside each other: a node that is as it was waits for them.
#[test]
fn a_node_that_is_as_it_was_waits_for_those_that_a_pipeline_has_begun_with() {
    let mut rotation = Rotation::new("permit");
    rotation.plan.limits.in_transit = 1;
    rotation.go_for(10);
    begin(&mut rotation, &["d"]);
    rotation.ask(&["a"]);
    let decided = rotation.go_for(30);
    assert_eq!(rotation.permitted(), [""; 0]);
    assert!(wait(&decided, Reason::NodeGoing, "Node/d").is_some(), "{:?}", decided.waits);
    rotation.memory.observe(&rotation.world, &rotation.run);
    let order = Order::new(&rotation.plan);
    let nodes = Nodes::new(&rotation.world, &rotation.run, &order);
    let view = View::new(&rotation.world, &rotation.memory, &rotation.run, &nodes);
    let refused = |name: &str| {
        let patch = crate::roll::replacement::permit(&view, nodes.get(name).expect("a node"));
        invariant::hold(&Act::Patch(Box::new(patch)), &view, HASH).err().map(|broken| broken.name)
    };
    // No pods are counted, so that nothing is known of the room for them.
    assert_eq!((refused("a"), refused("d")), (Some("R2"), Some("R13")));
}

/// The pipeline asks for both, and the plan has the place of a scout first: only one may go, and the other's zone is full until it has.
#[test]
fn a_node_that_a_pipeline_has_begun_with_goes_first() {
    let mut rotation = Rotation::new("permit");
    rotation.plan.limits.in_transit = 1;
    rotation.go_for(10);
    begin(&mut rotation, &["d"]);
    rotation.ask(&["a", "d"]);
    let decided = rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["d"], "{:?}", decided.waits);
}

/// A node of another pool that moves in place is of an earlier wave, and waits for the places that these take.
#[test]
fn nodes_that_a_pipeline_has_begun_with_go_before_those_of_earlier_waves() {
    let mut rotation = Rotation::new("permit");
    let pool = Pool { name: "red".into(), method: Method::Drain, ..rotation.plan.pools[0].clone() };
    rotation.plan.pools.push(pool);
    rotation.plan.policies.push("of the image".into());
    rotation.plan.waves[0].nodes[0].pool = "red".into();
    rotation.plan.limits.in_transit = 1;
    let mut stays = new("uid-a");
    stays.label = Some(Phase::Old);
    let report = stays.observed.as_mut().expect("a report");
    (report.phase, report.follows) = (Some(Phase::Old), vec![Phase::New]);
    report.attached = serde_json::from_value(json!({"old": 1})).ok();
    rotation.gain("a", Node { pool: "red".into(), ..stays });
    begin(&mut rotation, &["c", "d"]);
    rotation.go_for(10);
    rotation.ask(&["d"]);
    let decided = rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["d"], "{:?}", decided.waits);
}

/// Both have DNS pods, of which one moves at a time; the zone of the first one is full, since a node of it is not Ready.
#[test]
fn a_node_with_dns_pods_that_cannot_go_yet_keeps_no_other_one() {
    let mut rotation = Rotation::new("permit");
    rotation.plan.waves.remove(0);
    rotation.plan.pools[0].zones.push("z2".into());
    (rotation.plan.limits.zone_percent, rotation.plan.waves[0].at_once) = (50, 2);
    for (name, zone) in [("b", "z1"), ("c", "z2"), ("d", "z2")] {
        rotation.world.node(name).zone = zone.into();
    }
    for (uid, node) in [("1", "b"), ("2", "c"), ("3", "a"), ("4", "d")] {
        rotation.world.pods.put(dns(uid, node));
    }
    rotation.go_for(10);
    rotation.world.node("a").is_ready = false;
    rotation.ask(&["b", "c"]);
    let decided = rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["c"], "{:?}", decided.waits);
}

/// A new node is cordoned by another actor, and the DNS pods that left the old one find no node: the one that stays is needed as long.
#[test]
fn dns_pods_without_a_node_show_which_one_is_cordoned() {
    let mut rotation = Rotation::new("permit");
    rotation.go_for(10);
    rotation.ask(&["a"]);
    rotation.go_for(10);
    rotation.lose("a");
    rotation.gain("e", new("uid-e"));
    rotation.go_for(120);
    rotation.world.node("e").is_cordoned = true;
    rotation.world.pods.put(dns("1", "b"));
    let pending = dns("2", "");
    rotation.world.pods.put(Pod { traits: [Trait::Dns, Trait::Unschedulable].into(), ..pending });
    rotation.ask(&["b"]);
    let decided = rotation.go_for(30);
    assert!(wait(&decided, Reason::DnsNeeded, "Pod/kube-system/dns-1").is_some(), "{:?}", decided.waits);
    let pod = wait(&decided, Reason::PodsPending, "Pod/kube-system/dns-2").expect("a wait");
    let node = wait(&decided, Reason::ForeignCordon, "Node/e").expect("a wait");
    assert!(pod.is_held && node.help.contains("kubectl uncordon e"), "{:?}", decided.waits);
}

/// Each row: the method, and what shows that the pipeline has begun with the node. A person flips it to the phase of the image meanwhile.
#[test]
fn a_node_that_a_person_flips_while_its_pipeline_drains_it_keeps_its_turn() {
    type Mark = fn(&mut Node, bool);
    let is_cordoned: Mark = |node, is_marked| node.is_cordoned = is_marked;
    let is_tainted: Mark = |node, is_marked| node.is_going = is_marked;
    for (method, mark) in [("permit", is_cordoned), ("karpenter", is_tainted)] {
        let mut rotation = Rotation::new(method);
        rotation.go_for(10);
        rotation.ask(&["a"]);
        rotation.go_for(10);
        assert_eq!(rotation.permitted(), ["a"], "{method}");
        mark(rotation.world.node("a"), true);
        let Node { step, is_cordoned, is_going, .. } = Node::clone(&rotation.world.nodes["a"]);
        rotation.gain("a", Node { version: "9".into(), step, is_cordoned, is_going, ..new("uid-a") });
        rotation.ask(&["b"]);
        rotation.go_for(120);
        assert_eq!(rotation.permitted(), ["a"], "{method}: no other one takes its place");
        let places = |rotation: &Rotation| {
            let order = Order::new(&rotation.plan);
            let nodes = Nodes::new(&rotation.world, &rotation.run, &order);
            nodes.exchanges().iter().map(|exchange| (exchange.gone(), exchange.proven)).collect::<Vec<_>>()
        };
        assert_eq!(places(&rotation), [(0, 0)], "{method}: it has not gone, and fills no place");
        let mut given_up = rotation;
        mark(given_up.world.node("a"), false);
        given_up.go_for(60);
        assert_eq!((given_up.state("a"), places(&given_up)), (Some(State::Done), vec![(1, 1)]), "{method}");
    }
}

/// A pipeline that ends in the middle leaves its mark on a node, and may ask for others from then on.
#[test]
fn a_node_that_stays_marked_asks_a_person() {
    let mut rotation = Rotation::new("permit");
    rotation.plan.limits.in_transit = 1;
    rotation.go_for(10);
    rotation.ask(&["a"]);
    let limit = u64::from(rotation.plan.limits.move_seconds);
    let is_held = |decided: &Decision| wait(decided, Reason::NodeGoing, "Node/d").map(|wait| wait.is_held);
    for _ in 0..2 {
        begin(&mut rotation, &["d"]);
        assert_eq!(is_held(&rotation.go_for(limit - 10)), Some(false), "a drain may take that long");
        rotation.world.node("d").is_going = false;
        rotation.world.node("b").is_ready = false;
        rotation.go_for(5);
        rotation.world.node("b").is_ready = true;
    }
    begin(&mut rotation, &["d"]);
    let decided = rotation.go_for(limit + 10);
    assert_eq!(is_held(&decided), Some(true), "{:?}", decided.waits);
    let wait = wait(&decided, Reason::NodeGoing, "Node/d").expect("a wait");
    assert!(wait.help.contains("kubectl uncordon d"), "{wait:?}");
    rotation.world.node("d").is_going = false;
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["a"]);
}

/// `watch` does not run on it, or its image is the new one by now; or a person set its label.
#[test]
fn a_node_that_reports_nothing_in_its_boot_asks_a_person() {
    let changes: [fn(&mut Node); 2] = [|node| node.boot = "another".into(), |node| node.observed = None];
    for change in changes {
        let mut rotation = Rotation::new("permit");
        rotation.gain("a", old_with_crossfade("uid-a"));
        let limits = &rotation.plan.limits;
        let limit = u64::from(limits.flip_seconds) + u64::from(limits.prove_seconds);
        rotation.go_for(limit + 10);
        change(rotation.world.node("a"));
        rotation.ask(&["a"]);
        let is_held = |decided: &Decision| wait(decided, Reason::Arriving, "Node/a").map(|wait| wait.is_held);
        assert_eq!(is_held(&rotation.go_for(limit - 10)), Some(false), "it may still report");
        assert_eq!(is_held(&rotation.go_for(20)), Some(true));
        assert_eq!(rotation.permitted(), [""; 0]);
    }
}
