//! Nodes whose running pods a second network joins and leaves by the node itself, beside nodes where only a restart does.

use super::*;
use crate::roll::wait::Wait;
use crate::roll::world::{Color, Verdict};
use types::policy::Side;

/// A node whose running pods the new network joins and leaves.
fn joining(name: &str, phase: Phase, attached: &Value, restarts: Option<u32>) -> Node {
    let mut node = node(name, phase, attached);
    let seen = node.observed.as_mut().expect("a report");
    (seen.joins, seen.restarts) = (vec![Side::New], restarts);
    node
}

/// The same in transit, with the pods `p0` to `p2`.
fn moving(state: NodeState, attached: &Value, restarts: Option<u32>) -> World {
    let mut world = world();
    let mut node = joining("a", Phase::BothOld, attached, restarts);
    node.step = Some(a_step("r-1", state));
    world.put("a".into(), node);
    for index in 0..3 {
        world.pods.put(Pod {
            namespace: "x".into(),
            name: format!("p{index}").into(),
            uid: format!("{index:08}-1").into(),
            node: "a".into(),
            owner: Some(owner("web")),
            traits: BTreeSet::from([Trait::Ready]),
        });
    }
    world
}

/// `old` and `both-old`, and the short UIDs of the pods that are not in the node's phase.
fn attached(old: u32, both: u32, others: &[&str]) -> Value {
    json!({"old": old, "both-old": both, "others": others})
}

/// The run drains nodes, and the plan's gate of workloads is red.
fn decided_by_drain(world: &World, run: &Run) -> (Decision, Vec<Option<&'static str>>) {
    let mut plan = plan();
    plan.pools[0].method = crate::config::roll::Method::Drain;
    plan.gates = vec![crate::plan::Gate {
        name: "workload".into(),
        source: crate::plan::GateSource::Workload,
        every_seconds: 15,
        fresh_seconds: 60,
    }];
    let mut memory = Memory::default();
    memory.observe(world, run);
    let order = Order::new(&plan);
    let nodes = Nodes::new(world, run, &order);
    let view = View::new(world, &memory, run, &nodes);
    let decided = step(&view);
    let broken = |act| invariant::hold(act, &view, HASH).err().map(|broken| broken.name);
    let broken = decided.acts.iter().map(broken).collect();
    (decided, broken)
}

/// Nothing is restarted on `a`, so neither its cordon nor room on other nodes nor the workloads are asked for. `b` and `c` are drained.
#[test]
fn a_node_whose_pods_run_on_is_claimed_without_cordon_room_and_workloads() {
    let mut world = World { census: None, ..world() };
    world.put("a".into(), joining("a", Phase::Old, &json!({"old": 2}), None));
    let (decided, broken) = decided_by_drain(&world, &run());
    assert_eq!(claimed(&decided, &world), ["a"]);
    assert_eq!(broken, [None]);
    let Act::Patch(patch) = &decided.acts[0] else { panic!("{:?}", decided.acts) };
    assert_eq!(patch.cordon, None);
    assert!(matches!(&patch.step, Change::Set(step) if step.cordon.is_none()), "{patch:?}");
    assert_eq!(waits(&decided, Reason::GateUnknown), ["Gate/workload"], "what keeps b and c");
}

#[test]
fn a_node_is_cordoned_where_a_pod_can_only_be_restarted() {
    let restarts = |node: Node| {
        let mut world = world();
        world.put("a".into(), node);
        let (run, plan, memory) = (run(), plan(), Memory::default());
        let order = Order::new(&plan);
        let nodes = Nodes::new(&world, &run, &order);
        let view = View::new(&world, &memory, &run, &nodes);
        view.way(&world.nodes["a"], Phase::BothOld) == crate::cni::reach::Way::Restart
    };
    let node = |attached: &Value| joining("a", Phase::Old, attached, None);
    assert!(!restarts(node(&json!({"old": 2}))));
    assert!(!restarts(node(&json!({}))), "nothing is there, and what comes joins");
    assert!(restarts(node(&json!({"old": 2, "both-new": 1}))));
    assert!(restarts(node(&json!({"old": 2, "unknown": 1}))));
    let mut rebooted = node(&json!({"old": 2}));
    rebooted.boot = "another".into();
    assert!(restarts(rebooted));
    let mut other = node(&json!({"old": 2}));
    other.observed.as_mut().expect("a report").joins = vec![Side::Old];
    assert!(restarts(other), "the node lets another network join");
}

/// No pod of `a` looks for another node. All three nodes wait: `a` for a person, the others for the workloads.
#[test]
fn only_nodes_whose_pods_are_restarted_are_tainted() {
    let mut world = World { census: None, ..world() };
    for (is_fenced, patched) in [(false, ["b", "c"].as_slice()), (true, &["a", "b", "c"])] {
        let mut joining = joining("a", Phase::Old, &json!({"old": 2}), None);
        (joining.zone, joining.is_fenced) = ("z9".into(), is_fenced);
        world.put("a".into(), joining);
        let (decided, _) = decided_by_drain(&world, &run());
        let fences: Vec<_> = decided
            .acts
            .iter()
            .filter_map(
                |act| if let Act::Patch(patch) = act { Some((&*patch.node, patch.fence)) } else { None },
            )
            .collect();
        let expected: Vec<_> = patched.iter().map(|name| (*name, Some(*name != "a"))).collect();
        assert_eq!(fences, expected);
    }
}

#[test]
fn nothing_is_evicted_while_networks_join_pods() {
    for restarts in [None, Some(0)] {
        let world = moving(NodeState::Moving, &attached(2, 1, &["00000000", "00000001"]), restarts);
        let decided = decided(&world, &run());
        assert_eq!(waits(&decided, Reason::Joining), ["Node/a"]);
        assert!(!decided.acts.iter().any(|act| matches!(act, Act::Evict(_))), "{:?}", decided.acts);
        assert!(!has_patch(&decided, "a"), "{:?}", decided.acts);
    }
    let without_pod = decided(&moving(NodeState::Moving, &attached(1, 2, &[]), Some(0)), &run());
    assert_eq!(waits(&without_pod, Reason::AttachmentsUnknown), ["Node/a"]);
}

#[test]
fn pods_that_no_network_joins_are_restarted_in_the_same_pass_without_a_cordon() {
    let mut world = moving(NodeState::Moving, &attached(1, 2, &["00000001"]), Some(1));
    let (decided, _) = decided_by_drain(&world, &run());
    assert_eq!(waits(&decided, Reason::GateUnknown), ["Gate/workload"], "now the workloads count");
    assert!(decided.acts.iter().all(|act| matches!(act, Act::Patch(_))), "{:?}", decided.acts);
    let verdict = Verdict { color: Color::Green, checked_at: NOW, why: String::new() };
    world.verdicts.insert("workload".into(), verdict);
    let (decided, _) = decided_by_drain(&world, &run());
    // The run is to name their workload first.
    let record = |act: &Act| if let Act::Record(run) = act { Some((**run).clone()) } else { None };
    let run = decided.acts.iter().find_map(record).expect("a record");
    assert_eq!(run.moved_owners.keys().collect::<Vec<_>>(), ["Deployment/x/web"]);
    let (decided, broken) = decided_by_drain(&world, &run);
    let evicted: Vec<&str> = decided
        .acts
        .iter()
        .filter_map(|act| if let Act::Evict(pod) = act { Some(&*pod.name) } else { None })
        .collect();
    assert_eq!(evicted, ["p1"]);
    assert!(broken.iter().all(Option::is_none), "{broken:?}");
    assert!(!has_patch(&decided, "a"), "{:?}", decided.acts);
}

/// What decides is not the only one that asks.
#[test]
fn an_eviction_is_refused_while_networks_join_pods() {
    for (restarts, broken) in [(None, Some("R14")), (Some(0), Some("R14")), (Some(1), None)] {
        let world = moving(NodeState::Moving, &attached(1, 2, &["00000001"]), restarts);
        let (run, plan, mut memory) = (run(), plan(), Memory::default());
        memory.observe(&world, &run);
        let order = Order::new(&plan);
        let nodes = Nodes::new(&world, &run, &order);
        let view = View::new(&world, &memory, &run, &nodes);
        let pod = world.pods.get("00000001-1").expect("a pod");
        let refused = invariant::hold(&Act::Evict(PodId::new(pod)), &view, HASH).err();
        assert_eq!(refused.map(|broken| broken.name), broken, "{restarts:?}");
    }
}

/// A node that never says that it is through harms itself alone: it is held after its time, and the others go on.
#[test]
fn a_node_whose_networks_never_join_is_held_by_name() {
    let mut world = moving(NodeState::Moving, &attached(1, 2, &["00000001"]), None);
    let mut memory = Memory::default();
    decided_with(&mut memory, &world, &run());
    let limit = Duration::from_secs(plan().limits.move_seconds.into());
    (world.now, world.renewed_at) = (NOW + limit, NOW + limit);
    let late = decided_with(&mut memory, &world, &run());
    let is_hold = |act: &Act| matches!(act, Act::Patch(patch) if matches!(&patch.step, Change::Set(step) if step.state == NodeState::Held));
    assert!(late.acts.iter().any(is_hold), "{:?}", late.acts);
    let node = world.node("a");
    node.step = Some(Step { why: Some("MoveTimeout".into()), ..a_step("r-1", NodeState::Held) });
    let decided = decided(&world, &run());
    let wait: &Wait =
        decided.waits.iter().find(|wait| wait.reason == Reason::MoveTimeout).expect("a wait of the node");
    assert!(
        wait.is_held && wait.object == "Node/a".into() && wait.what.contains("join or leave"),
        "{wait:?}"
    );
    for next in ["kubectl describe node a", "crossfade-bootstrap move-pods", "roll retry a"] {
        assert!(wait.help.contains(next), "{wait:?}");
    }
    assert_eq!(claimed(&decided, &world), ["b", "c"]);
}

/// The way back from a pass that joins is a pass that leaves.
#[test]
fn a_node_is_brought_back_without_a_cordon() {
    let world = moving(NodeState::Moving, &attached(1, 2, &["00000001"]), None);
    let back = Wish {
        seq: 1,
        operator: "alice".into(),
        reason: "so".into(),
        what: RunRequest::Rollback("a".into()),
    };
    let (decided, broken) =
        decided_by_drain(&world, &run().apply_wish(&back, &plan(), false).expect("a wish"));
    let patch = decided.acts.iter().find_map(|act| match act {
        Act::Patch(patch) if &*patch.node == "a" => Some(patch),
        Act::Patch(_) | Act::Hook(_) | Act::Evict(_) | Act::Delete(_) | Act::Census | Act::Record(_) => None,
    });
    let patch = patch.expect("a patch of the node");
    assert_eq!((patch.cordon, broken), (None, vec![None]));
    assert!(matches!(&patch.step, Change::Set(step) if step.to == Phase::Old), "{patch:?}");
}
