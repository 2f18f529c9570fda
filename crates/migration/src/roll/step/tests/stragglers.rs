//! Runs that fix stragglers, decision by decision.

use std::time::Duration;

use serde_json::{Value, json};
use snapshot::model::Text;
use types::api::observed::NodeObservation;
use types::api::step::{Cordon, State, Step};
use types::policy::Phase;

use crate::plan::Plan;
use crate::roll::memory::Memory;
use crate::roll::run::{NodeRequest, Run, RunRequest, State as RunState, Wish};
use crate::roll::step::{Act, Change, Decision, step};
use crate::roll::view::Nodes;
use crate::roll::view::Order;
use crate::roll::view::View;
use crate::roll::wait::Reason;
use crate::roll::world::{Availability, Census, Color, Condition, Node, Owner, Pod, Trait, Verdict, World};

const NOW: Duration = Duration::from_secs(10_000);
const HASH: &str = "4be1";

/// A plan that brings stragglers on these nodes to `new`, one node after the other.
fn plan(nodes: &[&str]) -> Plan {
    let nodes: Vec<Value> =
        nodes.iter().map(|name| json!({"name": name, "uid": format!("uid-{name}"), "why": ""})).collect();
    serde_json::from_value(json!({
        "version": 1, "cluster": "c", "from": "calico", "to": "cilium", "strategy": "double", "settings": "s",
        "start": "new", "passes": ["new"], "leftOut": [], "pods": {}, "limits": {"inTransit": 5, "fence": false},
        "waves": [{"name": "zone", "kind": "zone", "atOnce": 1, "soakSeconds": 0, "nodes": nodes}],
        "pools": [{"name": "", "nodes": 3, "zones": [""], "method": "drain"}], "marginPercent": 10,
        "gates": [{"name": "smoke", "source": "workload", "everySeconds": 15, "freshSeconds": 60}],
        "dns": {"namespace": "kube-system", "labels": {}}, "policies": ["base"], "networks": {"old": [], "new": []},
        "agents": [], "unenforced": [], "waivers": [],
    }))
    .expect("a plan")
}

/// A node in `new` with so many attachments by phase, which names these pods as attached in another one.
fn node(name: &str, attached: &Value, others: &[&str]) -> Node {
    let mut attached = attached.clone();
    attached["others"] = json!(others);
    let observed: NodeObservation = serde_json::from_value(json!({
        "bootId": "b", "phase": "new", "base": "base", "mints": ["new"], "follows": ["new"], "attached": attached,
        "echo": "r-1.1.1",
    }))
    .expect("what a node says");
    Node {
        uid: format!("uid-{name}").into(),
        is_ready: true,
        boot: "b".into(),
        label: Some(Phase::New),
        observed: Some(observed),
        crossfade: Some(Condition { is_true: true, message: Text::default() }),
        ..Node::default()
    }
}

/// Three nodes, two of which have a pod of `old`; a green gate, an open window, and a fresh count.
fn world() -> World {
    let late = json!({"old": 1, "new": 1});
    let nodes = [
        ("a", node("a", &json!({"new": 2}), &[])),
        ("b", node("b", &late, &["11111111"])),
        ("c", node("c", &late, &["22222222"])),
    ];
    World {
        now: NOW,
        renewed_at: NOW,
        epoch: 1,
        nodes: nodes.into_iter().map(|(name, node)| (name.into(), node.into())).collect(),
        verdicts: [("smoke".into(), Verdict { color: Color::Green, checked_at: NOW, why: String::new() })]
            .into(),
        census: Some(Census { started_at: NOW, ..Census::default() }),
        is_open: true,
        ..World::default()
    }
}

fn run() -> Run {
    Run::new("r-1", HASH, &plan(&["b", "c"]))
}

fn decided(world: &World, run: &Run) -> Decision {
    remembering(&mut Memory::default(), world, run)
}

/// The same for a holder that has looked before.
fn remembering(memory: &mut Memory, world: &World, run: &Run) -> Decision {
    decide_by_plan(&plan(&["b", "c"]), memory, world, run)
}

fn decide_by_plan(plan: &Plan, memory: &mut Memory, world: &World, run: &Run) -> Decision {
    memory.observe(world, run);
    let order = Order::new(plan);
    let nodes = Nodes::new(world, run, &order);
    let view = View::new(world, memory, run, &nodes);
    let decided = step(&view);
    for act in &decided.acts {
        assert_eq!(crate::roll::invariant::hold(act, &view, HASH), Ok(()), "{act:?}");
    }
    decided
}

/// The nodes that are claimed, and the reasons of the waits.
fn starts(world: &World, run: &Run) -> (Vec<String>, Vec<Reason>) {
    claims_and_reasons(decided(world, run), world)
}

fn claims_and_reasons(Decision { acts, waits, .. }: Decision, world: &World) -> (Vec<String>, Vec<Reason>) {
    let claimed = acts.iter().filter_map(|act| match act {
        Act::Patch(patch) if patch.claims(&world.nodes[&patch.node]) => Some(patch.node.to_string()),
        _ => None,
    });
    (claimed.collect(), waits.into_iter().map(|wait| wait.reason).collect())
}

/// Pods in `old` and in `new` do not reach each other here. Elsewhere that keeps nodes from starting, or lets them start before all others.
#[test]
fn nodes_with_stragglers_start_in_their_turn() {
    let (claimed, _) = starts(&world(), &run());
    assert_eq!(claimed, ["b"], "one at a time, as the wave says");
}

/// Its step was taken away, and what it says of its first claim may be all that it will ever say.
#[test]
fn a_claim_is_none_that_the_node_repeats_already() {
    let claim = |echo: Option<&str>| {
        let mut world = world();
        let observed = world.node("b").observed.as_mut().expect("what it says");
        observed.echo = echo.map(Into::into);
        decided(&world, &run()).acts.into_iter().find_map(|act| match act {
            Act::Patch(patch) => match patch.step {
                Change::Set(step) => Some(step.claim),
                _ => None,
            },
            _ => None,
        })
    };
    for (echo, expected) in [
        (None, "r-1.1.1"),
        (Some("r-1.1.1"), "r-1.1.2"),
        (Some("r-1.1.7"), "r-1.1.8"),
        (Some("r-0.1.7"), "r-1.1.1"),
        (Some("nonsense"), "r-1.1.1"),
    ] {
        assert_eq!(claim(echo).as_deref(), Some(expected), "{echo:?}");
    }
}

/// Each row: what is wrong, and the wait for it. None of the nodes goes past it.
#[test]
fn what_keeps_any_node_keeps_these() {
    type Break = fn(&mut World, &mut Run);
    let table: [(Break, Option<Reason>); 5] = [
        (|world, _| world.is_open = false, Some(Reason::WindowClosed)),
        (
            |world, _| {
                world.verdicts.get_mut("smoke").expect("a gate").color = Color::Red;
            },
            Some(Reason::GateRed),
        ),
        (|world, _| world.verdicts.clear(), Some(Reason::GateUnknown)),
        (|world, _| world.census = None, Some(Reason::Census)),
        (
            |_, run| {
                run.bounds.only = ["a".into()].into();
            },
            None,
        ),
    ];
    for (index, (breaks, reason)) in table.into_iter().enumerate() {
        let (mut world, mut run) = (world(), run());
        breaks(&mut world, &mut run);
        let (claimed, reasons) = starts(&world, &run);
        assert_eq!(claimed, [""; 0], "row {index}");
        assert!(reason.is_none_or(|reason| reasons.contains(&reason)), "row {index}: {reasons:?}");
    }
}

/// Trouble of other nodes takes their places.
#[test]
fn places_are_those_of_the_whole_cluster() {
    let mut world = world();
    world.node("a").is_ready = false;
    let (claimed, reasons) = starts(&world, &run());
    assert_eq!(claimed, [""; 0]);
    assert!(reasons.contains(&Reason::InTransit), "{reasons:?}");
}

fn moving(world: &mut World, name: &str) {
    let node = world.node(name);
    node.is_cordoned = true;
    node.desired = Some(Phase::New);
    node.step = Some(Step {
        run: "r-1".into(),
        plan: HASH.into(),
        epoch: 1,
        claim: "r-1.1.1".into(),
        to: Phase::New,
        state: State::Moving,
        cordon: Some(Cordon::Ours),
        since: None,
        r#try: 1,
        why: None,
        undisturbed: false,
    });
}

fn pod(name: &str, uid: &str, node: &str, traits: &[Trait]) -> Pod {
    let owner = Owner { kind: "Deployment".into(), namespace: "x".into(), name: "web".into() };
    Pod {
        namespace: "x".into(),
        name: name.into(),
        uid: uid.into(),
        node: node.into(),
        owner: Some(owner),
        traits: traits.iter().copied().collect(),
    }
}

fn evicted(world: &World) -> Vec<String> {
    let first = decided(world, &run()).acts;
    // What is moved is recorded first.
    let acts = match first.last() {
        Some(Act::Record(next)) => decided(world, next).acts,
        _ => first,
    };
    let acts = acts.into_iter();
    acts.filter_map(|act| match act {
        Act::Evict(pod) => Some(pod.name.to_string()),
        _ => None,
    })
    .collect()
}

#[test]
fn only_the_pods_that_the_node_names_are_evicted() {
    let mut world = world();
    moving(&mut world, "b");
    for pod in
        [pod("late", "11111111-x", "b", &[Trait::Ready]), pod("right", "33333333-x", "b", &[Trait::Ready])]
    {
        world.pods.put(pod);
    }
    assert_eq!(evicted(&world), ["late"]);
}

/// A DNS pod of `old` is needed by other pods of `old`, and not by itself.
#[test]
fn a_straggler_of_dns_goes_when_no_other_straggler_needs_it() {
    let dns = [Trait::Ready, Trait::Dns];
    let mut world = world();
    moving(&mut world, "b");
    for pod in [pod("dns-late", "11111111-x", "b", &dns), pod("dns-right", "33333333-x", "a", &dns)] {
        world.pods.put(pod);
    }
    assert_eq!(evicted(&world), [""; 0], "node c has a pod of old");
    world.put("c".into(), node("c", &json!({"new": 2}), &[]));
    assert_eq!(evicted(&world), ["dns-late"]);
    world.put("b".into(), node("b", &json!({"old": 2, "new": 1}), &["11111111"]));
    moving(&mut world, "b");
    assert_eq!(evicted(&world), [""; 0], "its own node has one that it does not name");
    world.put("b".into(), node("b", &json!({"old": 2, "new": 1}), &["11111111", "44444444"]));
    moving(&mut world, "b");
    assert_eq!(evicted(&world), [""; 0], "its own node has another one");
    let second = pod("dns-late-too", "44444444-x", "b", &[Trait::Dns]);
    world.pods.put(second);
    assert_eq!(evicted(&world).len(), 1, "that one is of DNS as well, and needs none");
}

/// Pods of DaemonSets are last on a node, but for DNS pods that they need.
#[test]
fn a_pod_of_a_daemon_set_goes_before_the_dns_pod_that_it_needs() {
    let mut world = world();
    let late = json!({"old": 2, "new": 1});
    world.put("b".into(), node("b", &late, &["11111111", "44444444"]));
    world.put("c".into(), node("c", &json!({"new": 2}), &[]));
    moving(&mut world, "b");
    let mut agent = pod("agent", "44444444-x", "b", &[Trait::Ready]);
    agent.owner = Some(Owner { kind: "DaemonSet".into(), namespace: "x".into(), name: "agent".into() });
    let dns = [Trait::Ready, Trait::Dns];
    for pod in [pod("dns-late", "11111111-x", "b", &dns), pod("dns-right", "33333333-x", "a", &dns), agent] {
        world.pods.put(pod);
    }
    assert_eq!(evicted(&world), ["agent"]);
}

#[test]
fn there_is_no_phase_to_go_back_to() {
    let wish = |what| Wish { seq: 1, operator: "alice".into(), reason: "so".into(), what };
    let plan = plan(&["b", "c"]);
    for run in [run(), run().next_pass()] {
        for what in
            [RunRequest::Abort(Phase::Old), RunRequest::Abort(Phase::New), RunRequest::Rollback("b".into())]
        {
            let why = run.apply_wish(&wish(what.clone()), &plan, false).expect_err("refused");
            assert!(why.contains("phase new") && why.contains("skip"), "{what:?}: {why}");
        }
    }
    let retried = run().apply_wish(&wish(RunRequest::Retry("b".into())), &plan, false).expect("taken up");
    assert_eq!(retried.requests.get("b"), Some(&NodeRequest::Retry));
    let paused = run().apply_wish(&wish(RunRequest::Pause), &plan, false).expect("taken up");
    assert!(matches!(paused.state, RunState::Paused(_)));
}

#[test]
fn an_abort_leads_no_further_than_the_plan() {
    let abort =
        |to| Wish { seq: 1, operator: "alice".into(), reason: "so".into(), what: RunRequest::Abort(to) };
    for (start, passes, refused) in [
        (Phase::Old, vec![Phase::BothOld], &[Phase::BothNew, Phase::New][..]),
        (Phase::New, vec![Phase::BothNew], &[Phase::BothOld, Phase::Old]),
        (Phase::BothOld, vec![Phase::BothNew, Phase::New], &[]),
    ] {
        let plan = Plan { start, passes, ..plan(&["b", "c"]) };
        let run = Run::new("r-1", HASH, &plan);
        for to in Phase::ALL {
            match run.apply_wish(&abort(to), &plan, false) {
                Ok(next) => {
                    assert!(!refused.contains(&to), "{start} {to}");
                    assert_eq!(next.keeps_to(&plan), Ok(()), "{start} {to}");
                }
                Err(why) => {
                    assert!(refused.contains(&to), "{start} {to}: {why}");
                    assert!(why.contains(&format!("to {to}")), "{why}");
                }
            }
        }
    }
}

/// Every node is in its phase, and says that nothing of another one is left: the only pass ends, and the run with it.
#[test]
fn the_run_ends_with_its_pass() {
    let next = run().next_pass();
    assert_eq!((&next.state, next.from, next.target()), (&RunState::Done, Phase::New, None));
}

/// A node that is claimed for a phase that it is in goes through the same states.
#[test]
fn a_node_is_asked_for_the_phase_that_it_is_in() {
    let mut world = world();
    moving(&mut world, "b");
    world.node("b").step.as_mut().expect("a step").state = State::Claimed;
    let acts = decided(&world, &run()).acts;
    let flips = acts.iter().any(|act| match act {
        Act::Patch(patch) => {
            patch.desired == Some(Phase::New)
                && matches!(&patch.step, Change::Set(step) if step.state == State::Flipped)
        }
        _ => false,
    });
    assert!(flips, "{acts:?}");
}

/// Node `c` with a step of this run that its own writer made up.
fn made_up(world: &mut World, state: State, epoch: u64) {
    moving(world, "c");
    let step = world.node("c").step.as_mut().expect("a step");
    (step.state, step.epoch) = (state, epoch);
}

/// The Lease is asked first: a later holder may be there. Once it was renewed, there is none, and the node alone is left as it is.
#[test]
fn a_step_with_an_epoch_that_no_holder_has_keeps_its_own_node_only() {
    let mut plan = plan(&["b", "c"]);
    // The node takes its place, as one does that is held.
    plan.limits.zone_percent = 100;
    for state in [State::Claimed, State::Moving, State::Settling, State::Done, State::Held] {
        let (mut world, mut memory) = (world(), Memory::default());
        made_up(&mut world, state, u64::MAX);
        world.node("c").is_cordoned = false;
        let first = decide_by_plan(&plan, &mut memory, &world, &run());
        assert_eq!((&first.acts, first.end), (&vec![], None), "{state:?}");
        assert_eq!(claims_and_reasons(first, &world).1, [Reason::LeaseStale]);
        (world.now, world.renewed_at) = (NOW + Duration::from_secs(9), NOW + Duration::from_secs(5));
        let decided = decide_by_plan(&plan, &mut memory, &world, &run());
        let wait = decided.waits.iter().find(|wait| wait.reason == Reason::ForeignRun).expect("a wait");
        assert!(
            wait.is_held && wait.object == "Node/c".into() && wait.help.contains("kubectl annotate node c"),
            "{wait:?}"
        );
        assert_eq!(decided.end, None);
        let acts = decided.acts.iter();
        let touched = acts.filter(|act| matches!(act, Act::Patch(patch) if *patch.node == *"c")).count();
        assert_eq!(touched, 0, "{state:?}");
        assert_eq!(claims_and_reasons(decided, &world).0, ["b"], "{state:?}");
    }
}

/// It writes another epoch, none, and one again.
#[test]
fn a_node_that_makes_up_steps_again_and_again_keeps_a_holder_waiting_once() {
    let (mut world, mut memory) = (world(), Memory::default());
    made_up(&mut world, State::Moving, 9);
    remembering(&mut memory, &world, &run());
    (world.now, world.renewed_at) = (NOW + Duration::from_secs(9), NOW + Duration::from_secs(5));
    for step in [Some(10), None, Some(u64::MAX)] {
        match step {
            Some(epoch) => made_up(&mut world, State::Moving, epoch),
            None => world.node("c").step = None,
        }
        let decided = remembering(&mut memory, &world, &run());
        assert!(!decided.waits.iter().any(|wait| wait.reason == Reason::LeaseStale), "{step:?}");
    }
    world.node("c").uid = "another node".into();
    let reasons = claims_and_reasons(remembering(&mut memory, &world, &run()), &world).1;
    assert_eq!(reasons, [Reason::LeaseStale], "another machine of that name");
}

/// The scouts were done five minutes ago, as the step of `b` says, and a soak of ten minutes follows. Each row: what the step says, and what is left for a
/// holder that has just begun.
#[test]
fn a_soak_goes_on_under_the_next_holder() {
    let mut plan = plan(&["b", "c"]);
    let (mut scouts, mut zone) = (plan.waves[0].clone(), plan.waves.remove(0));
    scouts.soak_seconds = 600;
    scouts.nodes.retain(|node| &*node.name == "b");
    zone.nodes.retain(|node| &*node.name == "c");
    plan.waves = vec![scouts, zone];
    for (since, left) in [
        (Some("2026-01-01T12:00:00Z"), Some(300)),
        (Some("2026-01-01T11:00:00Z"), None),
        (Some("2026-01-01T12:05:00Z"), Some(600)),
        (Some("2026-01-01T12:05:01Z"), Some(600)),
        (Some("9999-12-30T00:00:00Z"), Some(600)),
        (Some("last week"), Some(600)),
        (None, Some(600)),
    ] {
        let mut world = world();
        world.wall = "2026-01-01T12:05:00Z".parse().expect("a time");
        moving(&mut world, "b");
        world.put(
            "b".into(),
            Node { step: world.nodes["b"].step.clone(), ..node("b", &json!({"new": 2}), &[]) },
        );
        let step = world.node("b").step.as_mut().expect("a step");
        (step.state, step.since, step.cordon) = (State::Done, since.map(Into::into), None);
        let decided = decide_by_plan(&plan, &mut Memory::default(), &world, &run());
        let soak = decided.waits.iter().find(|wait| wait.reason == Reason::Soak);
        let until = soak.and_then(|wait| wait.until).map(|until| (until - NOW).as_secs());
        assert_eq!(until, left, "{since:?}: {:?}", decided.waits);
        // The same holder goes by what it saw itself.
        let mut memory = Memory::default();
        let mut before = world.clone();
        before.node("b").step.as_mut().expect("a step").state = State::Settling;
        memory.observe(&before, &run());
        let decided = decide_by_plan(&plan, &mut memory, &world, &run());
        let soak = decided.waits.iter().find(|wait| wait.reason == Reason::Soak);
        assert_eq!(soak.and_then(|wait| wait.until), Some(NOW + Duration::from_secs(600)), "{since:?}");
    }
}

/// It may write its own step again and again.
#[test]
fn a_node_that_becomes_done_again_and_again_lengthens_no_soak() {
    let mut plan = plan(&["b", "c"]);
    let (mut scouts, mut zone) = (plan.waves[0].clone(), plan.waves.remove(0));
    scouts.soak_seconds = 600;
    scouts.nodes.retain(|node| &*node.name == "b");
    zone.nodes.retain(|node| &*node.name == "c");
    plan.waves = vec![scouts, zone];
    let mut world = world();
    moving(&mut world, "b");
    world.put("b".into(), Node { step: world.nodes["b"].step.clone(), ..node("b", &json!({"new": 2}), &[]) });
    let mut memory = Memory::default();
    let mut soak = |seconds: u64, state: State, run: &Run| {
        (world.now, world.renewed_at) =
            (NOW + Duration::from_secs(seconds), NOW + Duration::from_secs(seconds));
        world.verdicts.get_mut("smoke").expect("a gate").checked_at = world.now;
        world.census.as_mut().expect("a count").started_at = world.now;
        world.node("b").step.as_mut().expect("a step").state = state;
        let decided = decide_by_plan(&plan, &mut memory, &world, run);
        let soak = decided.waits.iter().find(|wait| wait.reason == Reason::Soak);
        soak.and_then(|wait| wait.until).map(|until| (until - NOW).as_secs())
    };
    soak(0, State::Settling, &run());
    assert_eq!(soak(1, State::Done, &run()), Some(601));
    for seconds in (10..590).step_by(20) {
        soak(seconds, State::Held, &run());
        assert_eq!(soak(seconds + 10, State::Done, &run()), Some(601), "{seconds}");
    }
    // A person asked for another try, so what came of it is new.
    let requested = Run { requests: [("b".into(), NodeRequest::Retry)].into(), ..run() };
    soak(592, State::Moving, &requested);
    assert_eq!(soak(594, State::Done, &run()), Some(1194));
}

/// Nodes write their own steps and reports, and a Node may go. Each row: what the nodes of the waves after the scouts `b` say one minute after `b` was done, and
/// whether `b` is gone by then. The soak is ten minutes in all rows, for the holder that saw `b` become done, and for the next one.
#[test]
fn no_node_of_a_later_wave_shortens_a_soak() {
    let mut plan = plan(&["b", "c", "d", "e"]);
    let wave = |names: &[&str], soak_seconds: u32| {
        let mut wave = plan.waves[0].clone();
        (wave.name, wave.soak_seconds) = (format!("zone-{}", names[0]).into(), soak_seconds);
        wave.nodes.retain(|node| names.contains(&&*node.name));
        wave
    };
    plan.waves = vec![wave(&["b"], 600), wave(&["c", "e"], 0), wave(&["d"], 0)];
    let all_new = |name: &str| node(name, &json!({"new": 2}), &[]);
    for (what, name, state, is_in_phase, is_gone) in [
        ("nothing", "c", None, false, false),
        ("a done step, and the phase", "c", Some(State::Done), true, false),
        ("the phase", "c", None, true, false),
        ("a claim", "c", Some(State::Claimed), false, false),
        ("a claim in the last wave", "d", Some(State::Moving), false, false),
        ("a done step in the last wave", "d", Some(State::Done), false, false),
        ("a done step, and the scout is gone", "c", Some(State::Done), true, true),
    ] {
        let mut world = world();
        world.wall = "2026-01-01T12:01:00Z".parse().expect("a time");
        for name in ["d", "e"] {
            world.put(name.into(), node(name, &json!({"old": 1, "new": 1}), &["33333333"]));
        }
        moving(&mut world, "b");
        world.put("b".into(), Node { step: world.nodes["b"].step.clone(), ..all_new("b") });
        let step_of_b = world.node("b").step.as_mut().expect("a step");
        (step_of_b.state, step_of_b.cordon) = (State::Settling, None);
        let mut memory = Memory::default();
        memory.observe(&world, &run());
        let step_of_b = world.node("b").step.as_mut().expect("a step");
        (step_of_b.state, step_of_b.since) = (State::Done, Some("2026-01-01T12:00:00Z".into()));
        let done = world.nodes["b"].step.clone().expect("a step");
        memory.observe(&world, &run());
        let later = NOW + Duration::from_secs(60);
        (world.now, world.renewed_at) = (later, later);
        world.verdicts.get_mut("smoke").expect("a gate").checked_at = later;
        world.census.as_mut().expect("a count").started_at = later;
        if is_in_phase {
            world.put(name.into(), all_new(name));
        }
        let since = Some("2026-01-01T11:00:00Z".into());
        world.node(name).step = state.map(|state| Step { state, since, ..done });
        if is_gone {
            world.nodes.remove("b");
        }
        let left = |memory: &mut Memory| {
            let decided = decide_by_plan(&plan, memory, &world, &run());
            let soak = decided.waits.iter().find(|wait| wait.reason == Reason::Soak);
            soak.and_then(|wait| wait.until).map(|until| (until - later).as_secs())
        };
        assert_eq!(left(&mut memory), Some(540), "{what}");
        assert_eq!(
            left(&mut Memory::default()),
            Some(if is_gone { 600 } else { 540 }),
            "the next holder: {what}"
        );
    }
}

/// A holder remembers nothing of the one before, so the run names the workloads whose pods it has moved.
#[test]
fn the_next_holder_knows_which_workloads_the_run_has_moved() {
    let owner = |kind: &str| Owner { kind: kind.into(), namespace: "x".into(), name: "train".into() };
    let with = |kind: &str| {
        let mut world = world();
        moving(&mut world, "b");
        world.pods.put(Pod { owner: Some(owner(kind)), ..pod("late", "11111111-x", "b", &[Trait::Ready]) });
        world
    };
    let mut counted = with("Deployment");
    counted.owners.insert(owner("Deployment"), Availability { desired: 3, ready: 3 });
    for (world, kind, wanted) in
        [(with("TrainingJob"), "TrainingJob", None), (counted, "Deployment", Some(3))]
    {
        let mut first = decided(&world, &run()).acts;
        first.retain(|act| !matches!(act, Act::Patch(patch) if !patch.lifecycle.is_empty()));
        let [Act::Record(next)] = &first[..] else { panic!("{first:?}") };
        assert_eq!(next.moved_owners, [(owner(kind).title(), wanted)].into());
        let then = decided(&world, next).acts;
        assert!(then.iter().any(|act| matches!(act, Act::Evict(_))), "{then:?}");
    }
    let of_node = decided(&with("DaemonSet"), &run()).acts;
    assert!(
        of_node.iter().any(|act| matches!(act, Act::Evict(_))),
        "it comes back on the same node: {of_node:?}"
    );
    let full = [(format!("Tenant/x/{}", "y".repeat(Run::MOVED_BYTES)), None)].into();
    let evicts = decided(&with("TrainingJob"), &Run { moved_owners: full, ..run() }).acts;
    assert!(evicts.iter().any(|act| matches!(act, Act::Evict(_))), "tenants name what makes their pods");
    // The next holder has seen no eviction.
    let mut world = world();
    let pending = pod("again", "44444444-x", "", &[Trait::Unschedulable]);
    world.pods.put(Pod { owner: Some(owner("TrainingJob")), ..pending });
    let moved = Run { moved_owners: [(owner("TrainingJob").title(), None)].into(), ..run() };
    for (run, is_known) in [(&moved, true), (&run(), false)] {
        assert_eq!(starts(&world, run).1.contains(&Reason::PodsPending), is_known);
    }
}

/// The list would grow with every workload of the cluster.
#[test]
fn a_workload_that_has_all_its_pods_again_is_named_as_moved_no_more() {
    let owner = |name: &str| Owner { kind: "Deployment".into(), namespace: "x".into(), name: name.into() };
    let mut world = world();
    moving(&mut world, "b");
    world.pods.put(pod("late", "11111111-x", "b", &[Trait::Ready]));
    world.owners.insert(owner("back"), Availability { desired: 2, ready: 2 });
    world.owners.insert(owner("short"), Availability { desired: 2, ready: 1 });
    let moved = ["back", "short"].map(|name| (owner(name).title(), Some(2)));
    let run = Run { moved_owners: moved.into(), ..run() };
    let mut memory = Memory::default();
    let mut named = |world: &World| -> Vec<String> {
        let acts = remembering(&mut memory, world, &run).acts;
        let Some(Act::Record(next)) = acts.last() else { panic!("{acts:?}") };
        next.moved_owners.keys().cloned().collect()
    };
    let web = "Deployment/x/web".to_owned();
    assert_eq!(named(&world), [owner("back").title(), owner("short").title(), web.clone()], "it may be old");
    let later = NOW + Duration::from_secs(121);
    (world.now, world.renewed_at) = (later, later);
    world.verdicts.get_mut("smoke").expect("a gate").checked_at = later;
    assert_eq!(named(&world), [owner("short").title(), web]);
}

#[test]
fn a_step_says_since_when_it_is_in_its_state() {
    let mut world = world();
    world.wall = "2026-01-01T12:05:00.7Z".parse().expect("a time");
    let since = |world: &World| {
        decided(world, &run()).acts.into_iter().find_map(|act| match act {
            Act::Patch(patch) => match patch.step {
                Change::Set(step) => step.since,
                Change::Keep | Change::Remove => None,
            },
            Act::Hook(_) | Act::Evict(_) | Act::Delete(_) | Act::Census | Act::Record(_) => None,
        })
    };
    assert_eq!(since(&world).as_deref(), Some("2026-01-01T12:05:00Z"), "a claim");
    moving(&mut world, "b");
    world.node("b").step.as_mut().expect("a step").state = State::Claimed;
    assert_eq!(since(&world).as_deref(), Some("2026-01-01T12:05:00Z"), "the state after it");
}

/// A writer of a Node's annotations writes the greatest numbers that there are.
#[test]
fn the_greatest_numbers_of_a_node_overflow_nothing() {
    let most = u32::MAX;
    let mut world = world();
    world.put("b".into(), node("b", &json!({"old": most, "new": most, "unknown": most}), &["11111111"]));
    let seen = &world.nodes["b"];
    assert_eq!((seen.attached_count(), seen.attached_otherwise(Phase::New)), (Some(most), Some(most)));
    moving(&mut world, "b");
    let held = world.node("b");
    held.observed.as_mut().expect("what it says").echo = Some(format!("r-1.1.{most}"));
    let step = held.step.as_mut().expect("a step");
    (step.claim, step.r#try, step.state) = (format!("r-1.1.{most}"), most, State::Moving);
    let mut run = run();
    decided(&world, &run);
    run.requests.insert("b".into(), NodeRequest::Retry);
    world.node("b").step.as_mut().expect("a step").state = State::Held;
    decided(&world, &run);
    assert_eq!(run.tries(&format!("r-1.1.{most}")), None);
    assert_eq!(run.tries("r-1.1.7"), Some(7));
}
