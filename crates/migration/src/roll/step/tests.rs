//! What a run decides about a cluster in which one node or one tenant does harm: that node is held by name, and the rest goes on.

mod joins;
mod lifecycle;
mod rotation;
mod stragglers;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use snapshot::model::Text;
use types::api::observed::NodeObservation;
use types::api::step::{Cordon, Step};
use types::policy::Phase;

use super::*;
use crate::plan::{Plan, WaveName};
use crate::roll::invariant;
use crate::roll::memory::Memory;
use crate::roll::run::{RunRequest, UnenforcedPolicies, Wish};
use crate::roll::view::Nodes;
use crate::roll::view::Order;
use crate::roll::world::{Availability, Census, Condition, Node, Owner, Pod, Trait, World};
use types::api::eviction::Answer;

const NOW: Duration = Duration::from_secs(10_000);
const HASH: &str = "4be1";

/// A plan that brings three nodes from `old` to `both-old`, all at once.
fn plan() -> Plan {
    let nodes: Vec<Value> =
        ["a", "b", "c"].map(|name| json!({"name": name, "uid": format!("uid-{name}"), "why": ""})).into();
    serde_json::from_value(json!({
        "version": 1, "cluster": "c", "from": "calico", "to": "cilium", "strategy": "double", "settings": "s",
        "start": "old", "passes": ["both-old"], "leftOut": [], "pods": {},
        "limits": {"inTransit": 5, "zonePercent": 100, "fence": true, "settleSeconds": 30},
        "waves": [{"name": "zone", "kind": "zone", "atOnce": 5, "soakSeconds": 0, "nodes": nodes}],
        "pools": [{"name": "blue", "nodes": 3, "zones": ["z1"], "method": "churn"}], "marginPercent": 10, "gates": [],
        "dns": {"namespace": "kube-system", "labels": {}}, "policies": ["base"], "networks": {"old": [], "new": []},
        "agents": [], "unenforced": [], "waivers": [],
    }))
    .expect("a plan")
}

/// A node that says it is in a phase, with pods of these phases.
fn node(name: &str, phase: Phase, attached: &Value) -> Node {
    let observed: NodeObservation = serde_json::from_value(json!({
        "bootId": "b", "phase": phase, "base": "base", "mints": [phase], "follows": ["old", "both-old"],
        "attached": attached, "echo": "r-1.1.1",
    }))
    .expect("what a node reports");
    Node {
        uid: format!("uid-{name}").into(),
        zone: "z1".into(),
        pool: "blue".into(),
        is_ready: true,
        boot: "b".into(),
        label: Some(phase),
        observed: Some(observed),
        crossfade: Some(Condition { is_true: true, message: Text::default() }),
        ..Node::default()
    }
}

/// Three nodes in `old`.
fn world() -> World {
    let nodes = ["a", "b", "c"].map(|name| (name.into(), node(name, Phase::Old, &json!({"old": 2})).into()));
    World {
        now: NOW,
        renewed_at: NOW,
        epoch: 1,
        nodes: nodes.into(),
        census: Some(Census { started_at: NOW, ..Census::default() }),
        is_open: true,
        ..World::default()
    }
}

fn run() -> Run {
    Run::new("r-1", HASH, &plan())
}

fn a_step(run: &str, state: NodeState) -> Step {
    Step {
        run: run.into(),
        plan: HASH.into(),
        epoch: 1,
        claim: format!("{run}.1.1"),
        to: Phase::BothOld,
        state,
        cordon: None,
        since: None,
        r#try: 1,
        why: None,
        undisturbed: false,
    }
}

/// What is decided by a holder that remembers this; every act passes the invariants.
fn decided_with(memory: &mut Memory, world: &World, run: &Run) -> Decision {
    let plan = plan();
    memory.observe(world, run);
    let order = Order::new(&plan);
    let nodes = Nodes::new(world, run, &order);
    let view = View::new(world, memory, run, &nodes);
    let decided = step(&view);
    for act in &decided.acts {
        assert_eq!(invariant::hold(act, &view, HASH), Ok(()), "{act:?}");
    }
    decided
}

fn decided(world: &World, run: &Run) -> Decision {
    decided_with(&mut Memory::default(), world, run)
}

/// The nodes that are claimed.
fn claimed(decided: &Decision, world: &World) -> Vec<String> {
    let claims = decided.acts.iter().filter_map(|act| match act {
        Act::Patch(patch) if patch.claims(&world.nodes[&patch.node]) => Some(patch.node.to_string()),
        Act::Patch(_) | Act::Hook(_) | Act::Evict(_) | Act::Delete(_) | Act::Census | Act::Record(_) => None,
    });
    claims.collect()
}

fn has_patch(decided: &Decision, node: &str) -> bool {
    decided.acts.iter().any(|act| matches!(act, Act::Patch(patch) if &*patch.node == node))
}

/// The waits of this reason, by their objects.
fn waits(decided: &Decision, reason: Reason) -> Vec<String> {
    let of_reason = decided.waits.iter().filter(|wait| wait.reason == reason);
    of_reason.map(|wait| wait.object.to_string()).collect()
}

fn skipped(node: &str) -> Run {
    let wish =
        Wish { seq: 1, operator: "alice".into(), reason: "so".into(), what: RunRequest::Skip(node.into()) };
    run().apply_wish(&wish, &plan(), false).expect("a wish")
}

fn owner(name: &str) -> Owner {
    Owner { kind: "Deployment".into(), namespace: "x".into(), name: name.into() }
}

fn unschedulable(name: &str, owner: Option<Owner>) -> Pod {
    Pod {
        namespace: "x".into(),
        name: name.into(),
        uid: format!("uid-{name}").into(),
        owner,
        traits: BTreeSet::from([Trait::Unschedulable]),
        ..Pod::default()
    }
}

#[test]
fn what_two_parts_wait_for_is_told_once() {
    let wait = |object: &str, reason| Wait::new(object, reason, "");
    let mut waits = vec![
        wait("Node/a", Reason::ForeignCordon),
        wait("Node/b", Reason::ForeignCordon),
        wait("Node/a", Reason::NodeNotReady),
        wait("Node/a", Reason::ForeignCordon),
    ];
    deduplicate_waits(&mut waits);
    let left: Vec<_> = waits.into_iter().map(|wait| (wait.object, wait.reason)).collect();
    let expected = [
        (Subject::node("a"), Reason::ForeignCordon),
        (Subject::node("b"), Reason::ForeignCordon),
        (Subject::node("a"), Reason::NodeNotReady),
    ];
    assert_eq!(left, expected);
}

#[test]
fn a_step_of_another_run_holds_its_node_alone() {
    let mut world = world();
    world.node("a").step = Some(a_step("r-0", NodeState::Held));
    let decided = decided(&world, &run());
    assert_eq!(claimed(&decided, &world), ["b", "c"]);
    assert_eq!(waits(&decided, Reason::ForeignRun), ["Node/a"]);
    let help = &decided.waits[0].help;
    assert!(help.contains("kubectl annotate node a crossfade/step-") && help.contains("skip a"), "{help}");
}

/// The first wave has no other node, and one node may be in transit.
#[test]
fn waves_do_not_wait_for_a_node_that_the_run_cannot_start() {
    for is_foreign in [true, false] {
        let mut plan = plan();
        let first = plan.waves[0].nodes.remove(0);
        plan.waves.insert(0, crate::plan::Wave { nodes: vec![first], ..plan.waves[0].clone() });
        plan.limits.in_transit = 1;
        let mut world = world();
        let bad = world.node("a");
        if is_foreign {
            bad.step = Some(a_step("r-0", NodeState::Moving));
        } else {
            bad.zone = "z9".into();
        }
        let (run, order, mut memory) = (run(), Order::new(&plan), Memory::default());
        memory.observe(&world, &run);
        let nodes = Nodes::new(&world, &run, &order);
        let decided = step(&View::new(&world, &memory, &run, &nodes));
        assert_eq!(claimed(&decided, &world), ["b"], "{is_foreign}");
    }
}

/// Its label changed, or another program wrote the plan: zones move one after the other.
#[test]
fn a_node_in_the_wave_of_another_zone_holds_itself_alone() {
    let mut plan = plan();
    plan.waves[0].name = WaveName::Zone("z1".into());
    plan.pools[0].zones.push("z2".into());
    let mut world = world();
    world.node("a").zone = "z2".into();
    let (run, order, mut memory) = (run(), Order::new(&plan), Memory::default());
    memory.observe(&world, &run);
    let nodes = Nodes::new(&world, &run, &order);
    let decided = step(&View::new(&world, &memory, &run, &nodes));
    assert_eq!(claimed(&decided, &world), ["b", "c"]);
    assert_eq!(waits(&decided, Reason::PlaceUnknown), ["Node/a"]);
}

/// The run does not act on such a node, whatever was asked for it: its step may be in use.
#[test]
fn a_node_with_a_step_of_another_run_can_be_skipped() {
    let mut world = world();
    for name in ["b", "c"] {
        world.put(name.into(), node(name, Phase::BothOld, &json!({"both-old": 2})));
    }
    let bad = world.node("a");
    (bad.step, bad.is_fenced) = (Some(a_step("r-0", NodeState::Moving)), true);
    let run = skipped("a");
    let first = decided(&world, &run);
    assert!(!has_patch(&first, "a"), "{:?}", first.acts);
    assert_eq!(waits(&first, Reason::WouldPart), ["Node/a"], "as any node that was skipped");
    let empty = world.node("a");
    (empty.is_cordoned, empty.observed) = (true, node("a", Phase::Old, &json!({})).observed);
    let second = decided(&world, &run);
    assert!(!has_patch(&second, "a"), "{:?}", second.acts);
    assert_eq!(waits(&second, Reason::WouldPart), [""; 0], "the pass goes on without it");
}

/// It was asked for a phase that the pass forbids and lost its report, so that no phase is known to part nothing: nothing else would say why the run stands.
#[test]
fn a_node_of_a_forbidden_phase_that_reports_nothing_is_named() {
    let mut world = world();
    for name in ["b", "c"] {
        world.put(name.into(), node(name, Phase::BothOld, &json!({"both-old": 2})));
    }
    let silent = world.node("a");
    (silent.label, silent.observed, silent.desired, silent.is_fenced) = (None, None, Some(Phase::New), true);
    let decided = decided(&world, &run());
    assert_eq!(decided.acts, []);
    assert_eq!(waits(&decided, Reason::WouldPart), ["Node/a"]);
}

#[test]
fn a_node_with_a_step_of_another_run_is_not_brought_back() {
    let mut world = world();
    let late = node("a", Phase::BothOld, &json!({"both-old": 2}));
    world.put("a".into(), Node { step: Some(a_step("r-0", NodeState::Moving)), ..late });
    let rollback = Wish {
        seq: 1,
        operator: "alice".into(),
        reason: "so".into(),
        what: RunRequest::Rollback("a".into()),
    };
    let decided = decided(&world, &run().apply_wish(&rollback, &plan(), false).expect("a wish"));
    assert!(!has_patch(&decided, "a"), "{:?}", decided.acts);
    assert_eq!(waits(&decided, Reason::ForeignRun), ["Node/a"]);
    assert_eq!(claimed(&decided, &world), ["b", "c"]);
}

/// A node can write what a run has written. It counts as what the node reports, and not as what its step claims.
#[test]
fn a_done_step_with_a_cordon_that_is_gone_ends_no_run() {
    let mut world = world();
    let forged = Step { cordon: Some(Cordon::Ours), ..a_step("r-1", NodeState::Done) };
    world.node("a").step = Some(forged);
    let decided = decided(&world, &run());
    let disowned = decided.acts.iter().find_map(|act| match act {
        Act::Patch(patch) if &*patch.node == "a" => Some(patch.step.clone()),
        Act::Patch(_) | Act::Hook(_) | Act::Evict(_) | Act::Delete(_) | Act::Census | Act::Record(_) => None,
    });
    let Some(Change::Set(step)) = disowned else { panic!("{:?}", decided.acts) };
    assert_eq!((step.state, step.cordon), (NodeState::Done, None));
    assert_eq!(claimed(&decided, &world), ["b", "c"]);
}

/// Each row: what becomes of the report of a node that is moving. Nothing may be asked of it, and nothing of that ends the run.
#[test]
fn a_report_that_is_gone_ends_no_run() {
    for state in
        [NodeState::Claimed, NodeState::Flipped, NodeState::Moving, NodeState::Proving, NodeState::Settling]
    {
        for desired in [None, Some(Phase::New)] {
            let mut world = world();
            let bad = world.node("a");
            (bad.step, bad.observed, bad.desired) = (Some(a_step("r-1", state)), None, desired);
            let decided = decided(&world, &run());
            let asks = |act: &Act| matches!(act, Act::Patch(patch) if &*patch.node == "a" && patch.desired.is_some());
            assert!(!decided.acts.iter().any(asks), "{state:?} {desired:?}: {:?}", decided.acts);
        }
    }
}

/// Numbers of a node are its own.
#[test]
fn large_numbers_of_a_node_do_not_stop_the_run() {
    let mut world = world();
    let most = json!({"old": u32::MAX, "both-old": u32::MAX, "unknown": u32::MAX});
    let mut bad = node("a", Phase::Old, &most);
    bad.observed.iter_mut().for_each(|seen| seen.echo = Some(format!("r-1.1.{}", u32::MAX)));
    world.put("a".into(), bad);
    assert_eq!(claimed(&decided(&world, &run()), &world), ["a", "b", "c"]);
    world.node("a").step = Some(Step { r#try: u32::MAX, ..a_step("r-1", NodeState::Held) });
    let retry =
        Wish { seq: 1, operator: "alice".into(), reason: "so".into(), what: RunRequest::Retry("a".into()) };
    let requested = run().apply_wish(&retry, &plan(), false).expect("a wish");
    assert!(has_patch(&decided(&world, &requested), "a"));
}

/// A node writes its own labels.
#[test]
fn a_pool_or_zone_that_the_plan_does_not_know_holds_its_node_alone() {
    for (pool, zone) in [("red", "z1"), ("blue", "z9")] {
        let mut world = world();
        let bad = world.node("a");
        (bad.pool, bad.zone) = (pool.into(), zone.into());
        let decided = decided(&world, &run());
        assert_eq!(claimed(&decided, &world), ["b", "c"], "{pool} {zone}");
        world.node("a").is_fenced = true;
        let wait = decided.waits.iter().find(|wait| wait.object == "Node/a".into()).expect("a wait");
        assert!(wait.is_held && wait.help.contains("kubectl crossfade roll skip a"), "{wait:?}");
        for name in ["b", "c"] {
            world.put(name.into(), node(name, Phase::BothOld, &json!({"both-old": 2})));
        }
        assert_eq!(self::decided(&world, &run()).end, Some(End::Held), "a person decides on it");
    }
}

/// Each row: whose pod the scheduler finds no node for, and whether nodes start meanwhile.
#[test]
fn only_pods_that_the_run_has_moved_keep_nodes_from_starting() {
    let full = Availability { desired: 3, ready: 3 };
    let short = Availability { desired: 3, ready: 2 };
    for (what, owner, known, is_moved, starts) in [
        ("no controller makes it", None, None, false, true),
        ("a workload that the run has not touched", Some(owner("mine")), None, false, true),
        ("a touched one with all its pods", Some(owner("web")), Some(full), true, true),
        ("a touched one that misses pods", Some(owner("web")), Some(short), true, false),
        ("one of a kind that has no count", Some(owner("own")), None, true, false),
    ] {
        let (mut world, mut memory) = (world(), Memory::default());
        world.pods.put(unschedulable("p", owner.clone()));
        world.owners.extend(owner.clone().zip(known));
        if is_moved {
            let id = PodId { owner, ..PodId::new(&unschedulable("before", None)) };
            memory.record_answer(&id, Answer::Accepted, NOW);
        }
        let decided = decided_with(&mut memory, &world, &run());
        assert_eq!(!claimed(&decided, &world).is_empty(), starts, "{what}: {:?}", decided.waits);
    }
}

/// Each row: what is skipped, and whether a workload that misses pods keeps nodes from starting.
#[test]
fn a_workload_or_a_namespace_can_be_skipped() {
    for (object, starts) in [
        ("Deployment/x/web", true),
        ("Namespace/x", true),
        ("Deployment/x/other", false),
        ("Deployment/y/web", false),
        ("Namespace/y", false),
        ("x", false),
    ] {
        let mut world = world();
        world.owners.insert(owner("web"), Availability { desired: 1000, ready: 2 });
        world.pods.put(unschedulable("p", Some(owner("web"))));
        let decided = decided(&world, &skipped(object));
        assert_eq!(!claimed(&decided, &world).is_empty(), starts, "{object}: {:?}", decided.waits);
    }
    // It is left out of all passes, and until the operator takes that back.
    let run = Run { targets: vec![Phase::BothOld, Phase::BothNew], ..skipped("Namespace/x") };
    let next =
        Run { skipped: run.skipped.clone().into_iter().chain([("a".into(), "so".into())]).collect(), ..run };
    let next = next.next_pass();
    assert_eq!(next.skipped.keys().map(|key| &**key).collect::<Vec<_>>(), ["Namespace/x"]);
    let retry = Wish {
        seq: 2,
        operator: "alice".into(),
        reason: "so".into(),
        what: RunRequest::Retry("Namespace/x".into()),
    };
    let back = next.apply_wish(&retry, &plan(), false).expect("a wish");
    assert!(back.skipped.is_empty() && back.requests.is_empty(), "{back:?}");
}

/// Each row: how many of three pods of a StatefulSet are ready, whether the one on the moving node is, and whether that one is evicted. The others may be on nodes whose
/// pods no holder watches any more.
#[test]
fn a_pod_of_a_stateful_set_is_evicted_once_all_others_are_ready() {
    for (ready, is_ready, is_evicted) in
        [(3, true, true), (2, true, false), (2, false, true), (1, false, false)]
    {
        let mut world = world();
        let attached = json!({"old": 1, "both-old": 1, "others": ["uid-db-2"]});
        let step = Some(a_step("r-1", NodeState::Moving));
        world.put("a".into(), Node { step, ..node("a", Phase::BothOld, &attached) });
        let owner = Owner { kind: "StatefulSet".into(), ..owner("db") };
        let traits = is_ready.then_some(Trait::Ready).into_iter().collect();
        let pod = Pod { node: "a".into(), traits, ..unschedulable("db-2", Some(owner.clone())) };
        let run = Run { moved_owners: [(owner.title(), Some(3))].into(), ..run() };
        world.owners.insert(owner, Availability { desired: 3, ready });
        world.pods.put(pod);
        let decided = decided(&world, &run);
        let evicts = decided.acts.iter().any(|act| matches!(act, Act::Evict(_)));
        assert_eq!(evicts, is_evicted, "{ready}, {is_ready}: {decided:?}");
        let waiting: &[&str] = if is_evicted { &[] } else { &["Pod/x/db-2"] };
        assert_eq!(waits(&decided, Reason::OneAtATime), waiting, "{ready}, {is_ready}");
    }
}

/// A node that says that it has pods of a phase which no pod of this pass reaches: these pods are cut off before the others move as after it.
#[test]
fn a_node_with_pods_of_a_forbidden_phase_holds_itself_alone() {
    for state in [None, Some(NodeState::Held)] {
        let mut world = world();
        world.put("a".into(), node("a", Phase::Old, &json!({"old": 2, "new": 1})));
        world.node("a").step = state.map(|state| a_step("r-1", state));
        let decided = decided(&world, &run());
        let claimed = claimed(&decided, &world);
        assert!(
            claimed.contains(&"b".to_owned()) && claimed.contains(&"c".to_owned()),
            "{state:?}: {decided:?}"
        );
        assert_eq!(decided.end, None);
    }
}

/// The pods on it reach the others now, and would not once these have moved: that is no matter of one node. A person is called.
#[test]
fn a_node_that_the_next_phase_would_cut_off_keeps_the_others_and_calls_a_person() {
    let mut plan = plan();
    (plan.start, plan.passes) = (Phase::BothOld, vec![Phase::BothNew]);
    let mut world = world();
    for name in ["a", "b", "c"] {
        world.put(name.into(), node(name, Phase::BothOld, &json!({"both-old": 2})));
        world.node(name).is_fenced = true;
    }
    world.put("a".into(), node("a", Phase::BothOld, &json!({"both-old": 2, "old": 1})));
    world.node("a").step = Some(Step { to: Phase::BothOld, ..a_step("r-1", NodeState::Held) });
    let run = Run::new("r-1", HASH, &plan);
    let (order, mut memory) = (Order::new(&plan), Memory::default());
    memory.observe(&world, &run);
    let nodes = Nodes::new(&world, &run, &order);
    let decided = step(&View::new(&world, &memory, &run, &nodes));
    assert_eq!(claimed(&decided, &world), [""; 0]);
    assert_eq!(waits(&decided, Reason::WouldPart), ["Run", "Node/a"], "{decided:?}");
    assert_eq!(decided.end, Some(End::Held));
}

/// Its node.json allows no phase, and a person has set the policy. The proof of the network takes a moment after that.
#[test]
fn a_node_that_is_in_the_phase_need_not_follow_it() {
    for (phase, is_true, state) in [
        (Phase::BothOld, true, NodeState::Flipped),
        (Phase::BothOld, false, NodeState::Flipped),
        (Phase::Old, true, NodeState::Held),
    ] {
        let mut world = world();
        let mut fixed = node("a", phase, &json!({ "old": 2 }));
        fixed.crossfade = Some(Condition { is_true, message: Text::default() });
        fixed.observed.as_mut().expect("a report").follows.clear();
        fixed.step = Some(a_step("r-1", NodeState::Claimed));
        world.put("a".into(), fixed);
        let decided = decided(&world, &run());
        let patches = decided.acts.iter().filter_map(|act| match act {
            Act::Patch(patch) if &*patch.node == "a" => Some(&patch.step),
            _ => None,
        });
        let states: Vec<NodeState> = patches
            .filter_map(|change| if let Change::Set(step) = change { Some(step.state) } else { None })
            .collect();
        assert_eq!(states, [state], "{phase}, {is_true}: {:?}", decided.waits);
    }
}

#[test]
fn status_counts_the_restarts_that_are_left() {
    use crate::cni::reach::Way::{Join, Leave, Restart};
    use Phase::{BothNew, BothOld, New, Old};
    let joined =
        Plan { start: Old, passes: vec![BothOld, BothNew, New], ways: vec![Join, Restart, Leave], ..plan() };
    let restarted = Plan { ways: Vec::new(), ..joined.clone() };
    for (from, targets, counts) in [
        (Old, &[BothOld, BothNew, New][..], [1, 3]),
        (BothOld, &[BothNew, New], [1, 2]),
        (BothNew, &[New], [0, 1]),
        (New, &[], [0, 0]),
        (BothNew, &[BothOld, Old], [1, 2]),
        (BothOld, &[Old], [0, 1]),
    ] {
        let run = Run { from, targets: targets.to_vec(), ..run() };
        for (plan, count) in [&joined, &restarted].into_iter().zip(counts) {
            let (world, mut memory) = (world(), Memory::default());
            memory.observe(&world, &run);
            let order = Order::new(plan);
            let nodes = Nodes::new(&world, &run, &order);
            let status = crate::drive::status::status(&View::new(&world, &memory, &run, &nodes), &[]);
            assert_eq!(status.restarts_left, count, "{from} {targets:?} {:?}", plan.ways);
        }
    }
}

#[test]
fn status_names_what_is_skipped() {
    for object in ["a", "Deployment/x/web", "Namespace/x"] {
        let (world, plan, run, mut memory) = (world(), plan(), skipped(object), Memory::default());
        memory.observe(&world, &run);
        let order = Order::new(&plan);
        let nodes = Nodes::new(&world, &run, &order);
        let status = crate::drive::status::status(&View::new(&world, &memory, &run, &nodes), &[]);
        assert_eq!(status.skipped, [(object.into(), "so".to_owned())].into());
    }
}

#[test]
fn status_names_the_policies_that_came_after_the_plan() {
    let (world, plan, mut memory) = (world(), plan(), Memory::default());
    let titles = ["NetworkPolicy/x/p".to_owned()].into_iter();
    let unenforced = vec![UnenforcedPolicies::new("NetworkPolicy", vec!["both-old"], titles)];
    let run = Run { unenforced: unenforced.clone(), ..run() };
    memory.observe(&world, &run);
    let order = Order::new(&plan);
    let nodes = Nodes::new(&world, &run, &order);
    let status = crate::drive::status::status(&View::new(&world, &memory, &run, &nodes), &[]);
    assert_eq!(status.unenforced, unenforced);
}

/// It was asked for another phase in a pass before, and has said nothing since: what it said last may be older.
#[test]
fn a_node_held_in_an_earlier_pass_is_asked_again_whatever_it_said() {
    for (why, claim, claims) in
        [(Some("NodeSilent"), "r-1.0.1", &["a", "b", "c"][..]), (None, "r-1.1.1", &["b", "c"])]
    {
        let mut world = world();
        *world.node("a") = node("a", Phase::BothOld, &json!({"both-old": 2}));
        let state = if why.is_some() { NodeState::Held } else { NodeState::Done };
        world.node("a").step =
            Some(Step { claim: claim.into(), why: why.map(Into::into), ..a_step("r-1", state) });
        assert_eq!(claimed(&decided(&world, &run()), &world), claims, "{why:?}");
    }
}
