//! Pools whose images are in different phases: each is replaced in the pass to the phase of its own.

use super::*;

/// A node of a pool with Crossfade, in this phase, which follows every phase.
fn of_pool(uid: &str, pool: &str, phase: Phase) -> Node {
    let mut node = Node { label: Some(phase), pool: pool.into(), ..new(uid) };
    let report = node.observed.as_mut().expect("a report");
    (report.phase, report.mints, report.follows) = (Some(phase), vec![phase], Phase::ALL.to_vec());
    report.base = Some("of the plan".into());
    report.attached = serde_json::from_value(json!({ phase.as_str(): 1 })).ok();
    node
}

/// Nodes a and b of the pool blue, whose image is in `both-new`; c and d of the pool red, whose image is in `new`; all in `from`.
fn mixed(from: Phase, to: Phase) -> Rotation {
    let mut rotation = Rotation::new("karpenter");
    let plan = &mut rotation.plan;
    plan.passes = vec![Phase::BothOld, Phase::BothNew, Phase::New];
    plan.ways = serde_json::from_value(json!(["restart", "replace", "replace"])).expect("ways");
    (plan.bridge, plan.image) = (None, Some(Phase::BothNew));
    plan.policies = vec!["of the plan".into()];
    let red = Pool { name: "red".into(), image: Some(Phase::New), ..plan.pools[0].clone() };
    plan.pools.push(red);
    let planned = plan.waves.iter_mut().flat_map(|wave| &mut wave.nodes);
    planned.filter(|node| ["c", "d"].contains(&&*node.name)).for_each(|node| node.pool = "red".into());
    for (name, pool) in [("a", "blue"), ("b", "blue"), ("c", "red"), ("d", "red")] {
        rotation.world.put(name.into(), of_pool(&format!("uid-{name}"), pool, from));
    }
    rotation.run = Run::new("r-1", HASH, &rotation.plan);
    while rotation.run.target() != Some(to) {
        rotation.run = rotation.run.next_pass();
    }
    rotation.pass(Duration::from_secs(100));
    rotation
}

/// Each row: the pass, the nodes that are kept from Karpenter in it, and the pools whose places are counted.
#[test]
fn a_pass_replaces_the_pools_whose_images_are_in_its_phase_and_moves_the_others_in_place() {
    for (from, to, kept, pools) in [
        (Phase::Old, Phase::BothOld, &[][..], &[][..]),
        (Phase::BothOld, Phase::BothNew, &["a", "b"], &["blue"]),
        (Phase::BothNew, Phase::New, &["c", "d"], &["red"]),
    ] {
        let mut rotation = mixed(from, to);
        rotation.go_for(15);
        let names = ["a", "b", "c", "d"];
        let has_turn = |name: &&str| matches!(rotation.state(name), Some(State::Waiting | State::Permitted));
        assert_eq!(names.into_iter().filter(has_turn).collect::<Vec<_>>(), kept, "{to}");
        let order = Order::new(&rotation.plan);
        let nodes = Nodes::new(&rotation.world, &rotation.run, &order);
        let exchanged: Vec<&str> = nodes.exchanges().iter().map(|exchange| &**exchange.pool).collect();
        assert_eq!(exchanged, pools, "{to}");
        let claimed: Vec<&str> =
            names.into_iter().filter(|name| rotation.state(name) == Some(State::Claimed)).collect();
        assert!(claimed.iter().all(|name| !kept.contains(name)), "{to}: {claimed:?}");
        assert_eq!(claimed.first(), Some(&"a").filter(|_| !kept.contains(&"a")), "{to}: a is the scout");
    }
}

/// A node of the image of the other pool is none that fills a place of this one.
#[test]
fn a_new_node_is_held_to_the_phase_of_the_image_of_its_own_pool() {
    let mut rotation = mixed(Phase::BothOld, Phase::BothNew);
    rotation.world.drifted = None;
    rotation.go_for(15);
    rotation.lose("a");
    rotation.gain("n", of_pool("uid-n", "blue", Phase::New));
    rotation.gain("m", of_pool("uid-m", "red", Phase::BothNew));
    rotation.go_for(30);
    let proven = |rotation: &Rotation, name: &str| rotation.state(name) == Some(State::Done);
    assert!(!proven(&rotation, "n"), "its image is in both-new, and it is in new");
    let order = Order::new(&rotation.plan);
    let nodes = Nodes::new(&rotation.world, &rotation.run, &order);
    assert_eq!(nodes.exchanges().iter().map(|exchange| exchange.proven).collect::<Vec<_>>(), [0]);
    rotation.lose("n");
    rotation.gain("o", of_pool("uid-o", "blue", Phase::BothNew));
    rotation.go_for(30);
    assert!(proven(&rotation, "o"));
}

/// On the way back, nodes of the earlier image come to the pools whose images are in the phase that the run leaves, and to no other one.
#[test]
fn a_node_that_is_brought_back_in_place_is_not_taken_for_one_of_the_earlier_image() {
    let mut rotation = mixed(Phase::Old, Phase::BothOld);
    rotation.plan.image = Some(Phase::BothOld);
    rotation.plan.ways = serde_json::from_value(json!(["replace", "restart", "replace"])).expect("ways");
    (rotation.run.from, rotation.run.targets) = (Phase::BothOld, vec![Phase::Old]);
    for (name, pool) in [("a", "blue"), ("c", "red")] {
        let node = of_pool(&format!("uid-{name}"), pool, Phase::BothOld);
        rotation.gain(name, Node { boot: "another".into(), ..node });
    }
    let decided = rotation.decided();
    let what = |object: &str| wait(&decided, Reason::Arriving, object).map(|wait| wait.what.as_str());
    assert!(
        what("Node/a").is_some_and(|what| what.contains("its image has no Crossfade")),
        "{:?}",
        decided.waits
    );
    assert!(
        what("Node/c").is_some_and(|what| what.contains("nothing takes it away before it reports")),
        "{:?}",
        decided.waits
    );
}
