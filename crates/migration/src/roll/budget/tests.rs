use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use types::api::step::{Cordon, Step};
use types::policy::Phase;

use super::*;
use crate::plan::Plan;
use crate::roll::memory::Memory;
use crate::roll::run::Run;
use crate::roll::view::Nodes;
use crate::roll::view::Order;
use crate::roll::world::{Hosts, World};
use crate::workload::capacity::Request;

const NOW: Duration = Duration::from_secs(10_000);

fn cores(cores: u128) -> Request {
    Request { cpu: cores * 1000, ..Request::default() }
}

/// A plan whose pool `back` has the method churn.
fn plan() -> Plan {
    let pool = |name: &str, method: &str| json!({"name": name, "nodes": 1, "zones": [""], "method": method});
    serde_json::from_value(json!({
        "version": 1, "cluster": "c", "from": "calico", "to": "cilium", "strategy": "double", "settings": "s", "start": "old",
        "passes": ["both-old"], "waves": [], "leftOut": [{"name": "out", "uid": "u", "why": "so"}],
        "pools": [pool("", "drain"), pool("back", "churn")], "limits": {}, "marginPercent": 10, "pods": {}, "gates": [],
        "dns": {"namespace": "kube-system", "labels": {}}, "policies": [], "networks": {"old": [], "new": []}, "agents": [], "unenforced": [], "waivers": [],
    }))
    .expect("a plan")
}

/// A node that takes pods, and offers ten cores.
fn node() -> Node {
    Node { is_ready: true, offers: cores(10), ..Node::default() }
}

fn in_state(state: types::api::step::State) -> Node {
    let step = Step {
        run: "r-1".into(),
        plan: String::new(),
        epoch: 1,
        claim: "r-1.1.1".into(),
        to: Phase::BothOld,
        state,
        cordon: Some(Cordon::Ours),
        since: None,
        r#try: 1,
        why: None,
        undisturbed: false,
    };
    Node { is_cordoned: true, step: Some(step), ..node() }
}

/// A cluster whose nodes are called `a`, `b` and so on, with what their pods request: those that move, and those that stay.
fn world(nodes: Vec<(Node, u128, u128)>) -> World {
    let mut census = Census { started_at: NOW, ..Census::default() };
    let mut world = World { now: NOW, epoch: 1, ..World::default() };
    for (letter, (node, moves, stays)) in ('a'..).zip(nodes) {
        let name = Text::from(letter.to_string());
        census.requests.insert(name.clone(), RequestSums { moves: cores(moves), stays: cores(stays) });
        world.put(name, node);
    }
    world.census = Some(census);
    world
}

/// What a guard says of these nodes, one after the other: whether they start; the count that is asked for, and the wait.
fn admitted(world: &World, names: &[&str]) -> (Vec<bool>, Option<Act>, Option<Wait>) {
    let (plan, mut memory) = (plan(), Memory::default());
    let run = Run::new("r-1", "4be1".repeat(16), &plan);
    memory.observe(&World { now: NOW - DOWN, ..world.clone() }, &run);
    let order = Order::new(&plan);
    let nodes = Nodes::new(world, &run, &order);
    let view = View::new(world, &memory, &run, &nodes);
    let mut guard = Guard::default();
    let started = names.iter().map(|name| {
        let (name, node) = world.nodes.get_key_value(*name).expect("a node");
        guard.admit(&view, name, node, Phase::BothOld)
    });
    let started: Vec<bool> = started.collect();
    let (act, wait) = guard.into_act_and_wait();
    (started, act, wait)
}

/// Whether `a` starts.
fn starts(world: &World) -> bool {
    let (started, act, wait) = admitted(world, &["a"]);
    assert_eq!(act, None);
    assert_eq!(wait.is_some_and(|wait| wait.reason == Reason::NoCapacity), !started[0]);
    started[0]
}

/// Each row: what is special, the first node with what its pods request, the others, and whether the first starts.
#[test]
fn a_node_is_drained_if_the_others_have_room() {
    use types::api::step::State::{Held, Moving, Settling};
    let with = |change: fn(&mut Node)| {
        let mut node = node();
        change(&mut node);
        node
    };
    for (what, first, others, starts_now) in [
        ("tiny pods", (node(), 1, 0), vec![(node(), 1, 0), (node(), 1, 0)], true),
        ("nine tenths", (node(), 4, 0), vec![(node(), 5, 0)], true),
        ("more than nine tenths", (node(), 5, 0), vec![(node(), 5, 0)], false),
        ("its DaemonSets need no other place", (node(), 4, 5), vec![(node(), 5, 0)], true),
        ("those of the others keep theirs", (node(), 4, 0), vec![(node(), 5, 1)], false),
        ("it is alone", (node(), 1, 0), vec![], false),
        ("nothing moves", (node(), 0, 3), vec![], true),
        ("churn", (with(|target| target.pool = "back".into()), 9, 0), vec![(node(), 9, 0)], true),
        (
            "it is cordoned already",
            (with(|target| target.is_cordoned = true), 9, 0),
            vec![(node(), 9, 0)],
            true,
        ),
        ("cordoned", (node(), 4, 0), vec![(with(|target| target.is_cordoned = true), 0, 0)], false),
        ("not Ready", (node(), 4, 0), vec![(with(|target| target.is_ready = false), 0, 0)], false),
        (
            "without a network",
            (node(), 4, 0),
            vec![(with(|target| target.has_no_network = true), 0, 0)],
            false,
        ),
        ("going", (node(), 4, 0), vec![(with(|target| target.is_going = true), 0, 0)], false),
        ("tainted", (node(), 4, 0), vec![(with(|target| target.taints = vec!["gpu".into()]), 0, 0)], false),
        (
            "not started up",
            (node(), 4, 0),
            vec![(with(|target| target.taints = vec!["readiness.k8s.io/crossfade".into()]), 0, 0)],
            false,
        ),
        (
            "pods of a node that Karpenter drains need room as well",
            (node(), 4, 0),
            vec![
                (
                    with(|target| {
                        (target.taints, target.is_going) = (vec!["karpenter.sh/disrupted".into()], true)
                    }),
                    6,
                    0,
                ),
                (node(), 0, 0),
            ],
            false,
        ),
        (
            "those of a tainted node do not",
            (node(), 4, 0),
            vec![(with(|target| target.taints = vec!["gpu".into()]), 6, 0), (node(), 0, 0)],
            true,
        ),
        ("in transit", (node(), 4, 0), vec![(in_state(Moving), 0, 0)], false),
        (
            "uncordoned again",
            (node(), 4, 0),
            vec![(Node { is_cordoned: false, ..in_state(Settling) }, 0, 0)],
            true,
        ),
        ("held", (node(), 4, 0), vec![(in_state(Held), 0, 0)], false),
        (
            "says nothing of what it offers",
            (node(), 4, 0),
            vec![(with(|target| target.offers = cores(0)), 0, 0)],
            false,
        ),
    ] {
        let nodes = [vec![first], others].concat();
        assert_eq!(starts(&world(nodes)), starts_now, "{what}");
    }
}

#[test]
fn nodes_that_are_left_out_are_no_room_and_need_none() {
    let mut world = world(vec![(node(), 4, 0), (node(), 5, 0)]);
    world.put("out".into(), node());
    let of_out = RequestSums { moves: cores(9), stays: cores(0) };
    world.census.iter_mut().for_each(|census| census.requests.extend([("out".into(), of_out)]));
    assert!(starts(&world));
    world.nodes.remove("b");
    assert!(!starts(&world));
}

/// Pods of a node that went since the count need a place, and so do those that have none yet.
#[test]
fn pods_without_a_node_need_room() {
    for name in ["gone", ""] {
        for (moves, starts_now) in [(1, true), (2, false)] {
            let mut world = world(vec![(node(), 4, 0), (node(), 4, 0)]);
            let sums = RequestSums { moves: cores(moves), stays: cores(9) };
            world.census.iter_mut().for_each(|census| census.requests.extend([(name.into(), sums)]));
            assert_eq!(starts(&world), starts_now, "{name:?} {moves}");
        }
    }
}

#[test]
fn two_nodes_of_one_step_are_not_room_for_each_other() {
    let world = world(vec![(node(), 4, 0), (node(), 4, 0), (node(), 4, 0)]);
    let (started, _, wait) = admitted(&world, &["a", "b", "c"]);
    assert_eq!(started, [true, false, false]);
    assert_eq!(wait.map(|wait| wait.object), Some("Node/b".into()), "the first one that waits is told");
}

/// A node with few pods does not take the room that one with many waits for; one whose pods come back takes none.
#[test]
fn room_is_kept_for_the_node_whose_turn_it_is() {
    let small = Node { offers: cores(1), ..node() };
    let back = Node { pool: "back".into(), ..node() };
    let world = world(vec![(node(), 5, 0), (small, 0, 0), (back, 5, 0)]);
    assert_eq!(admitted(&world, &["b", "a"]).0, [true, false]);
    assert_eq!(admitted(&world, &["a", "b", "c"]).0, [false, false, true]);
}

/// Each row: how old the count is, none if there is none; and whether a node starts.
#[test]
fn without_a_fresh_count_no_node_is_drained_and_one_is_asked_for() {
    for (age, is_fresh) in
        [(Some(0), true), (Some(599), true), (Some(600), false), (Some(6000), false), (None, false)]
    {
        let mut world = world(vec![(node(), 1, 0), (node(), 1, 0)]);
        world.census = world.census.take().filter(|_| age.is_some());
        let time = NOW - Duration::from_secs(age.unwrap_or_default());
        world.census.iter_mut().for_each(|census| census.started_at = time);
        let (started, act, wait) = admitted(&world, &["a"]);
        assert_eq!((started[0], act), (is_fresh, (!is_fresh).then_some(Act::Census)), "{age:?}");
        assert_eq!(wait.map(|wait| wait.reason), (!is_fresh).then_some(Reason::Census), "{age:?}");
        // Who is not drained needs no count.
        world.nodes.values_mut().for_each(|node| Arc::make_mut(node).pool = "back".into());
        assert_eq!(admitted(&world, &["a"]), (vec![true], None, None));
    }
}

/// Each row: the other node, and whether a person is asked.
#[test]
fn a_person_is_asked_where_time_does_not_help() {
    use types::api::step::State::{Held, Moving};
    let silent = |is_cordoned| Node { is_ready: false, is_cordoned, ..node() };
    for (what, other, moves, is_held) in [
        ("it is too full", node(), 9, true),
        ("it is in transit", in_state(Moving), 0, false),
        ("it is in transit, and will be too full", in_state(Moving), 9, true),
        ("it is held", in_state(Held), 0, true),
        ("another client cordoned it", Node { is_cordoned: true, ..node() }, 0, true),
        ("it is going", Node { is_going: true, ..node() }, 0, true),
        ("it was held in an earlier pass", behind(), 0, false),
        ("it has not been Ready for long", silent(false), 0, true),
        ("it is cordoned and not Ready", silent(true), 0, true),
    ] {
        let (started, _, wait) = admitted(&world(vec![(node(), 4, 0), (other, moves, 0)]), &["a"]);
        let wait = wait.unwrap_or_else(|| panic!("{what}: {started:?}"));
        assert_eq!((wait.reason, wait.is_held), (Reason::NoCapacity, is_held), "{what}");
        assert_eq!(wait.help.is_empty(), !is_held, "{what}");
        assert_eq!(wait.until, Some(NOW + CENSUS_FRESH), "what pods request may change");
    }
    let (_, _, wait) = admitted(&world(vec![(node(), 4, 0), (node(), 9, 0)]), &["a"]);
    assert_eq!(
        wait.map(|wait| wait.what).as_deref(),
        Some(
            "pods request 13 cores, and the other nodes that take them offer 10 cores, of which 10 % must stay free"
        )
    );
}

fn behind() -> Node {
    let mut node = in_state(types::api::step::State::Held);
    node.step.iter_mut().for_each(|step| step.claim = "r-1.0.1".into());
    node
}

/// A node that is not Ready for a moment is expected back.
#[test]
fn a_node_that_was_ready_a_moment_ago_is_waited_for() {
    let mut world = world(vec![(node(), 4, 0), (node(), 0, 0)]);
    let (plan, mut memory) = (plan(), Memory::default());
    let run = Run::new("r-1", "4be1".repeat(16), &plan);
    memory.observe(&World { now: NOW - DOWN, ..world.clone() }, &run);
    world.nodes.values_mut().skip(1).for_each(|node| Arc::make_mut(node).is_ready = false);
    memory.observe(&world, &run);
    let order = Order::new(&plan);
    let nodes = Nodes::new(&world, &run, &order);
    let view = View::new(&world, &memory, &run, &nodes);
    let (name, node) = world.nodes.first_key_value().expect("a node");
    let wait = shortage_wait(&view, name, node, Phase::BothOld).expect("a wait");
    assert!(!wait.is_held, "{wait:?}");
}

/// What decides is not the only one that asks.
#[test]
fn a_claim_without_room_is_refused() {
    use crate::roll::invariant;
    use crate::roll::step::{Change, Patch};
    let world_of = |moves| World { renewed_at: NOW, ..world(vec![(node(), moves, 0), (node(), moves, 0)]) };
    for (world, broken) in [
        (world_of(4), None),
        (world_of(5), Some("R13")),
        (World { census: None, ..world_of(4) }, Some("R13")),
    ] {
        let (plan, memory) = (plan(), Memory::default());
        let run = Run::new("r-1", "4be1".repeat(16), &plan);
        let order = Order::new(&plan);
        let nodes = Nodes::new(&world, &run, &order);
        let view = View::new(&world, &memory, &run, &nodes);
        let (name, node) = world.nodes.first_key_value().expect("a node");
        let claimed = in_state(types::api::step::State::Claimed).step;
        let step = claimed.map_or(Change::Keep, Change::Set);
        let act = Act::Patch(Box::new(Patch { step, cordon: Some(true), ..Patch::new(name, node) }));
        let found = invariant::hold(&act, &view, &run.plan);
        assert_eq!(found.err().map(|found| found.name), broken, "{world:?}");
    }
}

/// Two nodes of ten cores.
fn hosts() -> Hosts {
    world(vec![(node(), 0, 0), (node(), 0, 0)]).hosts()
}

/// Each row: a pod's node and its cores, and whether they count.
#[test]
fn what_no_node_could_take_requests_no_room() {
    use crate::roll::world::CountedPod;
    for (node, request, counts) in
        [("a", 10, true), ("", 10, true), ("a", 11, false), ("", 1 << 60, false), ("ghost", 1, false)]
    {
        let mut census = Census::default();
        let pod = CountedPod { node: node.into(), is_running: true, stays: false, request: cores(request) };
        census.count(pod, &hosts());
        assert_eq!(census.requests.contains_key(node), counts, "{node} {request}");
        assert_eq!(census.running[node], 1, "it is still a pod");
    }
}

/// Many pods that name a node whose kubelet never looks at them.
#[test]
fn pods_of_a_node_request_no_more_than_it_offers() {
    let dead = Node { is_ready: false, ..node() };
    assert!(starts(&world(vec![(node(), 2, 0), (node(), 2, 0), (node(), 2, 0), (dead, 1000, 0)])));
}

#[test]
fn a_count_adds_up_pods_by_node() {
    use crate::roll::world::CountedPod;
    let mut census = Census::default();
    for (node, is_running, stays, request) in
        [("a", true, false, 1), ("a", false, false, 2), ("a", true, true, 4), ("", false, false, 8)]
    {
        census.count(CountedPod { node: node.into(), is_running, stays, request: cores(request) }, &hosts());
    }
    assert_eq!(census.running, BTreeMap::from([("a".into(), 2)]));
    let count_of =
        |name: &str| (census.requests[name].moves.cpu / 1000, census.requests[name].stays.cpu / 1000);
    assert_eq!((count_of("a"), count_of("")), ((3, 4), (8, 0)));
}

#[test]
fn two_dns_pods_in_two_zones_can_move() {
    for (all, others) in [(1, 1), (2, 1), (3, 2), (12, 2)] {
        assert_eq!(dns_pods_needed_elsewhere(all), others, "{all} DNS pods");
    }
}
