//! What the run has sent, or is about to send in the same step, counts as if the Nodes showed it.

use super::*;
use crate::plan::Wave;
use crate::roll::step::PodId;

/// The nodes that acts let go.
fn let_go(decided: &Decision) -> Vec<&str> {
    let patches = decided.acts.iter().filter_map(|act| match act {
        Act::Patch(patch) if patch.permits() => Some(&*patch.node),
        _ => None,
    });
    patches.collect()
}

/// The pipeline asks for two nodes of a pool that begins with one, and the watch does not tell of the first permit before the second is decided.
#[test]
fn a_permit_that_its_node_does_not_show_yet_holds_its_place() {
    let mut rotation = Rotation::new("permit");
    rotation.ask(&["c"]);
    let sent = (0..12).find_map(|_| {
        let decided = rotation.decided();
        let found = decided.acts.iter().find_map(|act| match act {
            Act::Patch(patch) if patch.permits() => Some(patch.clone()),
            _ => None,
        });
        if found.is_none() {
            rotation.go();
            rotation.pass(Duration::from_secs(5));
        }
        found
    });
    let sent = sent.expect("a permit");
    assert_eq!(&*sent.node, "c");
    rotation.memory.record_patch(&sent, &rotation.world);
    rotation.memory.confirm_patch(&sent, &rotation.world);
    rotation.ask(&["a"]);
    assert_eq!(let_go(&rotation.decided()), [""; 0]);
    rotation.patch(&sent);
    assert_eq!(let_go(&rotation.decided()), [""; 0]);
}

/// A node of another pool moves in place, and its DNS pod is evicted in the step in which a node with a DNS pod may go.
#[test]
fn a_dns_pod_is_evicted_before_a_node_with_another_one_may_go() {
    let mut rotation = Rotation::new("permit");
    let pool = Pool { name: "red".into(), method: Method::Drain, ..rotation.plan.pools[0].clone() };
    rotation.plan.pools.push(pool);
    rotation.plan.policies.push("of the image".into());
    rotation.plan.waves[1].nodes[2].pool = "red".into();
    rotation.go_for(15);
    let mut moving = Node { pool: "red".into(), version: "2".into(), ..new("uid-d") };
    let report = moving.observed.as_mut().expect("a report");
    report.attached = serde_json::from_value(json!({"new": 1, "old": 1, "others": ["1"]})).ok();
    report.echo = Some(rotation.run.claim(1));
    let state = State::Moving;
    let step = rotation.world.nodes["a"].step.clone().expect("a step");
    moving.step = Some(Step { state, since: Some(rotation.world.since()), ..step });
    rotation.gain("d", moving);
    for (uid, node) in [("1", "d"), ("2", "a"), ("3", "b")] {
        rotation.world.pods.put(dns(uid, node));
    }
    rotation.run.moved_owners.insert("Deployment/kube-system/dns".into(), None);
    rotation.world.census = Some(Census { started_at: rotation.world.now, ..Census::default() });
    rotation.ask(&["a"]);
    let decided = rotation.decided();
    let evicted: Vec<&PodId> = decided
        .acts
        .iter()
        .filter_map(|act| match act {
            Act::Evict(pod) => Some(pod),
            _ => None,
        })
        .collect();
    assert_eq!((evicted.len(), let_go(&decided)), (1, vec![]), "{decided:?}");
    let report = rotation.world.node("d").observed.as_mut().expect("a report");
    report.attached = serde_json::from_value(json!({"new": 1})).ok();
    let decided = rotation.decided();
    assert_eq!(let_go(&decided), ["a"], "{decided:?}");
}

/// Nodes that joined are in no place of the plan, and the wave that they are in has more at once than its last one, by which each of them is let go.
#[test]
fn nodes_that_one_step_lets_go_count_for_each_other() {
    let mut rotation = Rotation::new("karpenter");
    let planned = rotation.plan.waves[1].nodes.split_off(2);
    let last = Wave { nodes: planned, ..rotation.plan.waves[0].clone() };
    rotation.plan.waves.push(last);
    for name in ["a", "b", "c"] {
        rotation.wish(RunRequest::Skip(name.into()));
    }
    for name in ["x", "y"] {
        rotation.gain(name, old(&format!("uid-{name}")));
    }
    rotation.go();
    let decided = rotation.go_for(90);
    assert_eq!(rotation.permitted(), ["x"], "{decided:?}");
}

/// Its pipeline, or a person, has cordoned it.
#[test]
fn a_node_that_is_tried_again_leaves_the_cordon_of_others() {
    let mut rotation = Rotation::new("permit");
    rotation.go_for(15);
    let step = rotation.world.nodes["b"].step.clone().expect("a step");
    for (cordon, is_cordoned, sets) in
        [(Some(Cordon::Theirs), true, None), (Some(Cordon::Ours), true, None), (None, false, Some(true))]
    {
        let node = rotation.world.node("b");
        node.is_cordoned = is_cordoned;
        node.step = Some(Step { state: State::Held, cordon, why: Some("NodeSilent".into()), ..step.clone() });
        rotation.run.requests.clear();
        rotation.wish(RunRequest::Retry("b".into()));
        let decided = rotation.decided();
        let patch = decided.acts.iter().find_map(|act| match act {
            Act::Patch(patch) if &*patch.node == "b" => Some(patch),
            _ => None,
        });
        let patch = patch.unwrap_or_else(|| panic!("{decided:?}"));
        let Change::Set(claimed) = &patch.step else { panic!("{patch:?}") };
        assert_eq!((claimed.state, patch.cordon), (State::Claimed, sets));
        assert_eq!(claimed.cordon, cordon.or(Some(Cordon::Ours)));
    }
}

/// It was of the image, a person flipped it, and it was booted since: it may be of the image again, and has not reported yet.
#[test]
fn no_node_goes_on_the_word_of_an_earlier_boot() {
    let mut rotation = Rotation::new("permit");
    let mut flipped = new("uid-b");
    flipped.label = Some(Phase::Old);
    flipped.observed.as_mut().expect("a report").phase = Some(Phase::Old);
    rotation.gain("b", Node { boot: "c".into(), ..flipped.clone() });
    rotation.ask(&["b"]);
    let decided = rotation.go_for(30);
    let named = wait(&decided, Reason::Arriving, "Node/b").expect("a wait");
    assert!(named.help.contains("systemctl status crossfade-watch"), "{named:?}");
    assert_eq!(rotation.permitted(), [""; 0]);

    rotation.memory.observe(&rotation.world, &rotation.run);
    let order = Order::new(&rotation.plan);
    let nodes = Nodes::new(&rotation.world, &rotation.run, &order);
    let view = View::new(&rotation.world, &rotation.memory, &rotation.run, &nodes);
    let patch = crate::roll::replacement::permit(&view, nodes.get("b").expect("a node"));
    let broken = invariant::hold(&Act::Patch(Box::new(patch)), &view, HASH).expect_err("it is refused");
    assert_eq!(broken.name, "R10");

    let step = rotation.world.nodes["b"].step.clone();
    rotation.gain("b", Node { version: "3".into(), step, ..flipped });
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["b"]);
}

/// It is of an earlier phase, and is flipped in place: it is on no way out of the cluster.
#[test]
fn a_node_that_is_brought_back_takes_the_turn_of_no_other_one() {
    let mut rotation = Rotation::new("karpenter");
    rotation.go();
    let mut joined = new("uid-d");
    joined.label = Some(Phase::BothOld);
    let report = joined.observed.as_mut().expect("a report");
    (report.phase, report.follows) = (Some(Phase::BothOld), vec![Phase::Old]);
    report.attached = serde_json::from_value(json!({"both-old": 1})).ok();
    let Node { step, is_undisturbed, is_fenced, .. } = (*rotation.world.nodes["d"]).clone();
    rotation.gain("d", Node { version: "3".into(), step, is_undisturbed, is_fenced, ..joined });
    rotation.wish(RunRequest::Rollback("d".into()));
    let decided = rotation.decided();
    let claims = |act: &Act| matches!(act, Act::Patch(patch) if &*patch.node == "d" && !patch.permits());
    assert!(decided.acts.iter().any(claims), "{decided:?}");
    assert_eq!(let_go(&decided), ["a"]);
    // Each of them is asked once more with those before it sent.
    for act in &decided.acts {
        let order = Order::new(&rotation.plan);
        let nodes = Nodes::new(&rotation.world, &rotation.run, &order);
        let view = View::new(&rotation.world, &rotation.memory, &rotation.run, &nodes);
        assert_eq!(invariant::hold(act, &view, HASH), Ok(()), "{act:?}");
        let Act::Patch(patch) = act else { continue };
        rotation.memory.record_patch(patch, &rotation.world);
    }
}

/// The answer to its patch was lost, and another node is lost before it is known whether the patch was made.
#[test]
fn a_permit_is_not_sent_once_more_where_another_node_has_gone() {
    let mut rotation = Rotation::new("karpenter");
    let permit = |decided: &Decision| {
        let permits =
            |patch: &Patch| matches!(&patch.step, Change::Set(step) if step.state == State::Permitted);
        decided.acts.iter().find_map(|act| match act {
            Act::Patch(patch) if permits(patch) => Some(patch.clone()),
            _ => None,
        })
    };
    let next = |rotation: &mut Rotation| {
        let found = permit(&rotation.decided());
        if found.is_none() {
            rotation.go();
            rotation.pass(Duration::from_secs(5));
        }
        found
    };
    let sent = (0..12).find_map(|_| next(&mut rotation)).expect("a permit");
    assert_eq!(&*sent.node, "a");
    rotation.memory.record_patch(&sent, &rotation.world);
    assert!(permit(&rotation.decided()).is_some(), "it is sent once more");
    rotation.lose("d");
    assert_eq!(permit(&rotation.decided()), None);
}
