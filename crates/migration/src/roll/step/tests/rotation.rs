//! Nodes that pipelines replace, decision by decision.

mod begun;
mod conditions;
mod faults;
mod images;
mod joined;
mod last;
mod machines;
mod places;
mod readiness;
mod sent;
mod status;
mod turned;
mod way_back;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use snapshot::model::Text;
use types::api::observed::NodeObservation;
use types::api::step::{Cordon, State, Step};
use types::policy::Phase;

use crate::cni::reach::Way;
use crate::config::roll::Method;
use crate::plan::{Plan, Pool};
use crate::roll::invariant;
use crate::roll::memory::Memory;
use crate::roll::replacement::arriving;
use crate::roll::run::{Bounds, Run, RunRequest, State as RunState, Wish};
use crate::roll::step::{Act, Change, Decision, End, Hook, Patch, step};
use crate::roll::view::{Nodes, Order, View};
use crate::roll::wait::{Reason, Wait};
use crate::roll::world::Lifecycle::{self, MaintenanceInProgress, MaintenancePlanned};
use crate::roll::world::{
    Census, Color, Condition, Machine, Node, Owner, PermitRequest, Pod, Trait, Verdict, World,
};
use crate::workload::capacity::Request;

const START: Duration = Duration::from_secs(10_000);
const HASH: &str = "4be1";

/// A plan that replaces four nodes by ones of an image in `new`: a scout, then two at once.
fn plan(method: &str) -> Plan {
    let nodes = |names: &[&str]| -> Vec<Value> {
        let node =
            |name: &&str| json!({"name": name, "uid": format!("uid-{name}"), "pool": "blue", "why": ""});
        names.iter().map(node).collect()
    };
    serde_json::from_value(json!({
        "version": 1, "cluster": "c", "from": "calico", "to": "cilium", "strategy": "rotation", "settings": "s",
        "start": "old", "passes": ["new"], "image": "new", "ways": ["replace"], "bridge": {"accepted": "so"}, "leftOut": [], "pods": {},
        "limits": {"inTransit": 5, "zonePercent": 100, "fence": true},
        "waves": [
            {"name": "scouts", "kind": "scouts", "atOnce": 1, "soakSeconds": 60, "nodes": nodes(&["a"])},
            {"name": "zone z1", "kind": "zone", "atOnce": 2, "soakSeconds": 0, "nodes": nodes(&["b", "c", "d"])},
        ],
        "pools": [{"name": "blue", "nodes": 4, "zones": ["z1"], "method": method}], "marginPercent": 10,
        "gates": [{"name": "smoke", "source": "dns", "everySeconds": 15, "freshSeconds": 60}],
        "dns": {"namespace": "kube-system", "labels": {}}, "policies": [], "networks": {"old": [], "new": []},
        "agents": [], "unenforced": [], "waivers": [],
    }))
    .expect("a plan")
}

/// A DNS pod on a node.
fn dns(uid: &str, node: &str) -> Pod {
    let owner = Owner { kind: "Deployment".into(), namespace: "kube-system".into(), name: "dns".into() };
    Pod {
        namespace: "kube-system".into(),
        name: format!("dns-{uid}").into(),
        uid: uid.into(),
        node: node.into(),
        owner: Some(owner),
        traits: [Trait::Dns, Trait::Ready].into(),
    }
}

/// A node without a trace of Crossfade.
fn old(uid: &str) -> Node {
    Node {
        uid: uid.into(),
        version: "1".into(),
        zone: "z1".into(),
        pool: "blue".into(),
        is_ready: true,
        boot: "b".into(),
        offers: Request { cpu: 4000, memory: 1 << 40, pods: 110_000 },
        ..Node::default()
    }
}

/// A node of the new image as it is when it is ready.
fn new(uid: &str) -> Node {
    let observed: NodeObservation = serde_json::from_value(json!({
        "bootId": "b", "phase": "new", "base": "of the image", "mints": ["new"], "attached": {"new": 1},
    }))
    .expect("what it reports");
    Node {
        label: Some(Phase::New),
        observed: Some(observed),
        crossfade: Some(Condition { is_true: true, message: Text::default() }),
        ..old(uid)
    }
}

/// A node with Crossfade in the old phase.
fn old_with_crossfade(uid: &str) -> Node {
    let mut node = Node { label: Some(Phase::Old), ..new(uid) };
    let report = node.observed.as_mut().expect("a report");
    (report.phase, report.mints) = (Some(Phase::Old), vec![Phase::Old]);
    report.attached = serde_json::from_value(json!({"old": 1})).ok();
    node
}

/// A run of the plan, the cluster that it moves, and what its holder remembers.
struct Rotation {
    plan: Plan,
    run: Run,
    world: World,
    memory: Memory,
}

impl Rotation {
    fn new(method: &str) -> Self {
        let plan = plan(method);
        let nodes = ["a", "b", "c", "d"].map(|name| (name.into(), old(&format!("uid-{name}")).into()));
        let world = World { epoch: 1, nodes: nodes.into(), is_open: true, ..World::default() };
        let run = Run::new("r-1", HASH, &plan);
        let mut rotation = Self { plan, run, world, memory: Memory::default() };
        rotation.pass(START);
        rotation
    }

    /// Time goes on, and the cluster is looked at.
    fn pass(&mut self, time: Duration) {
        self.world.now += time;
        (self.world.renewed_at, self.world.synced) = (self.world.now, self.world.now);
        let verdict = Verdict { color: Color::Green, checked_at: self.world.now, why: String::new() };
        self.world.verdicts.insert("smoke".into(), verdict);
        let second = i64::try_from(self.world.now.as_secs()).expect("a time");
        self.world.wall = jiff::Timestamp::from_second(second).expect("a time");
    }

    /// What is decided now; every act passes the invariants.
    fn decided(&mut self) -> Decision {
        self.memory.observe(&self.world, &self.run);
        let order = Order::new(&self.plan);
        let nodes = Nodes::new(&self.world, &self.run, &order);
        let view = View::new(&self.world, &self.memory, &self.run, &nodes);
        let decided = step(&view);
        for act in &decided.acts {
            assert_eq!(invariant::hold(act, &view, HASH), Ok(()), "{act:?}");
        }
        decided
    }

    /// Decides, and does it.
    fn go(&mut self) -> Decision {
        let decided = self.decided();
        for act in &decided.acts {
            match act {
                Act::Patch(patch) => self.patch(patch),
                Act::Hook(hook) => self.machine(&hook.node).hook.clone_from(&hook.run),
                Act::Record(run) => self.run = (**run).clone(),
                Act::Census => {
                    self.memory.begin_census(&self.world);
                    // A pod on each node, whether the node reports it or not.
                    let running = self.world.nodes.keys().map(|name| (name.clone(), 1)).collect();
                    self.world.census =
                        Some(Census { started_at: self.world.now, running, ..Census::default() });
                }
                Act::Evict(_) | Act::Delete(_) => panic!("{act:?}"),
            }
        }
        decided
    }

    fn patch(&mut self, patch: &Patch) {
        self.memory.record_patch(patch, &self.world);
        self.memory.confirm_patch(patch, &self.world);
        let node = self.world.node(&patch.node);
        node.version = format!("{}1", node.version).into();
        match &patch.step {
            Change::Keep => {}
            Change::Set(step) => node.step = Some(step.clone()),
            Change::Remove => node.step = None,
        }
        node.is_undisturbed = patch.undisturbed.unwrap_or(node.is_undisturbed);
        node.is_fenced = patch.fence.unwrap_or(node.is_fenced);
        if patch.lifts_readiness {
            node.awaits_readiness = false;
            node.taints.retain(|key| &**key != "readiness.k8s.io/crossfade");
        }
        node.is_cordoned = patch.cordon.unwrap_or(node.is_cordoned);
        node.lifecycle.extend(&patch.lifecycle);
        node.lifecycle.retain(|kind, _| patch.lifecycle.get(kind) != Some(&false));
    }

    /// Goes on for a while.
    fn go_for(&mut self, seconds: u64) -> Decision {
        let mut last = self.go();
        for _ in 0..seconds / 5 {
            self.pass(Duration::from_secs(5));
            last = self.go();
        }
        last
    }

    /// The pipeline asks for these nodes.
    fn ask(&mut self, names: &[&str]) {
        for name in names {
            let is_back = self.run.target() == Some(Phase::Old);
            let to = if is_back { Phase::Old } else { self.plan.image.expect("an image") };
            let permit = PermitRequest { node: (*name).into(), run: self.run.id.clone(), to };
            self.world.permits.requested.insert(format!("uid-{name}").into(), permit);
        }
    }

    /// The pipeline has taken a node away.
    fn lose(&mut self, name: &str) {
        self.world.nodes.remove(name);
    }

    /// A new node has come.
    fn gain(&mut self, name: &str, node: Node) {
        self.world.put(name.into(), node);
    }

    /// The Machine of a node.
    fn machine(&mut self, node: &str) -> &mut Machine {
        let machines = self.world.machines.as_mut().expect("a management cluster");
        Arc::make_mut(machines).get_mut(node).expect("a Machine")
    }

    fn state(&self, name: &str) -> Option<State> {
        self.world.nodes.get(name)?.step.as_ref().map(|step| step.state)
    }

    /// Nodes that may go.
    fn permitted(&self) -> Vec<&str> {
        let names = self.world.nodes.keys().map(|name| &**name);
        names.filter(|name| self.state(name) == Some(State::Permitted)).collect()
    }

    /// Nodes that Karpenter leaves alone.
    fn undisturbed(&self) -> Vec<&str> {
        let nodes = self.world.nodes.iter().filter(|(_, node)| node.is_undisturbed);
        nodes.map(|(name, _)| &**name).collect()
    }

    /// New nodes whose pods are watched.
    fn watched(&self) -> Vec<&str> {
        arriving(&self.world, &self.run, &self.plan).map(|name| &**name).collect()
    }

    /// The conditions of a Node's lifecycle.
    fn lifecycle(&self, name: &str) -> Vec<Lifecycle> {
        self.world.nodes[name].lifecycle.keys().copied().collect()
    }

    fn wish(&mut self, what: RunRequest) {
        let wish = Wish { seq: self.run.wish + 1, operator: "alice".into(), reason: "so".into(), what };
        self.run = self.run.apply_wish(&wish, &self.plan, true).expect("a wish");
    }
}

/// The wait of this reason about this object.
fn wait<'a>(decided: &'a Decision, reason: Reason, object: &str) -> Option<&'a Wait> {
    decided.waits.iter().find(|wait| wait.reason == reason && wait.object == object.into())
}

#[test]
fn all_nodes_are_kept_and_fenced_before_the_first_one_goes() {
    let mut rotation = Rotation::new("karpenter");
    rotation.world.node("d").is_undisturbed = true;
    let first = rotation.go();
    assert_eq!(rotation.undisturbed(), ["a", "b", "c", "d"]);
    assert_eq!(first.acts.len(), 4, "{:?}", first.acts);
    assert!(rotation.world.nodes.values().all(|node| node.is_fenced && !node.is_cordoned));
    let marked = ["a", "d"].map(|name| rotation.world.nodes[name].step.as_ref().expect("a step").undisturbed);
    assert_eq!(marked, [true, false], "what was there before is not the run's");
    rotation.go();
    assert_eq!(rotation.permitted(), ["a"], "the scout");
    assert_eq!(rotation.undisturbed(), ["b", "c", "d"]);
}

/// A lever that is missing keeps all nodes, whatever decides.
#[test]
fn no_node_goes_before_all_are_kept_and_none_too_many() {
    let mut rotation = Rotation::new("karpenter");
    rotation.go();
    let refused = |rotation: &mut Rotation, name: &str| {
        rotation.memory.observe(&rotation.world, &rotation.run);
        let order = Order::new(&rotation.plan);
        let nodes = Nodes::new(&rotation.world, &rotation.run, &order);
        let view = View::new(&rotation.world, &rotation.memory, &rotation.run, &nodes);
        let patch = crate::roll::replacement::permit(&view, nodes.get(name).expect("a node"));
        invariant::hold(&Act::Patch(Box::new(patch)), &view, HASH).err().map(|broken| broken.name)
    };
    assert_eq!(refused(&mut rotation, "a"), None);
    rotation.world.node("c").is_undisturbed = false;
    assert_eq!(refused(&mut rotation, "a"), Some("R15"));
    rotation.world.node("c").is_undisturbed = true;
    rotation.go();
    assert_eq!(rotation.permitted(), ["a"]);
    assert_eq!(refused(&mut rotation, "b"), None, "its wave has two at once");
    rotation.lose("a");
    rotation.world.node("c").step.as_mut().expect("a step").state = State::Permitted;
    assert_eq!(refused(&mut rotation, "b"), Some("R15"), "one may go, and one place is open");
}

#[test]
fn a_node_goes_once_its_pipeline_asks_and_stays_once_it_asks_no_more() {
    let mut rotation = Rotation::new("permit");
    let waiting = rotation.go_for(30);
    assert_eq!((rotation.permitted(), rotation.undisturbed()), (vec![], vec![]));
    let asked = wait(&waiting, Reason::NotAsked, "Node/a").expect("a wait");
    assert!(!asked.is_held && asked.help.contains("kubectl crossfade permit a"), "{asked:?}");
    rotation.ask(&["a"]);
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["a"]);
    rotation.world.permits.requested.clear();
    rotation.go_for(15);
    assert_eq!(rotation.state("a"), Some(State::Waiting));
    rotation.ask(&["a"]);
    rotation.go_for(15);
    rotation.world.node("a").is_cordoned = true;
    rotation.world.permits.requested.clear();
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["a"], "its pipeline has begun to drain it");
}

/// An Auto Scaling group takes the oldest instance, whichever the plan names first.
#[test]
fn a_pipeline_that_asks_chooses_the_order_and_the_waves_say_how_many() {
    let mut rotation = Rotation::new("permit");
    rotation.ask(&["d", "c"]);
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["c"], "one, as the wave of scouts has");
    rotation.lose("c");
    let gone = rotation.go_for(30);
    assert_eq!(rotation.permitted(), [""; 0], "{:?}", gone.waits);
    rotation.gain("e", new("uid-e"));
    let soak = rotation.go_for(30);
    assert!(wait(&soak, Reason::Soak, "Wave/zone z1").is_some(), "{:?}", soak.waits);
    rotation.ask(&["a"]);
    rotation.go_for(70);
    assert_eq!(rotation.permitted(), ["a", "d"], "two, as the wave of the zone has");
    for (old, fresh) in [("a", "f"), ("d", "g")] {
        rotation.lose(old);
        rotation.gain(fresh, new(&format!("uid-{fresh}")));
    }
    rotation.ask(&["b"]);
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["b"]);
    rotation.lose("b");
    rotation.gain("h", new("uid-h"));
    assert_eq!(rotation.go_for(60).end, Some(End::Done));
}

/// A node holds the place of one of another zone, and is not held for it.
#[test]
fn zones_keep_no_node_that_its_pipeline_names() {
    let mut rotation = Rotation::new("permit");
    rotation.plan.pools[0].zones.push("z2".into());
    for name in ["c", "d"] {
        rotation.world.node(name).zone = "z2".into();
    }
    rotation.ask(&["d"]);
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["d"]);
    rotation.lose("d");
    rotation.gain("e", new("uid-e"));
    rotation.ask(&["c"]);
    let waits = rotation.go_for(100).waits;
    assert_eq!(rotation.permitted(), ["c"], "{waits:?}");
}

/// kOps taints all nodes that it will replace before it drains the first one.
#[test]
fn a_mark_on_every_node_takes_no_place() {
    let mut rotation = Rotation::new("permit");
    for name in ["a", "b", "c", "d"] {
        (rotation.world.node(name).is_going, rotation.world.node(name).is_outdated) = (true, true);
    }
    rotation.plan.limits.in_transit = 1;
    rotation.ask(&["a"]);
    rotation.go_for(15);
    assert_eq!(rotation.permitted(), ["a"]);
    rotation.lose("a");
    rotation.gain("e", new("uid-e"));
    rotation.world.node("d").is_cordoned = true;
    rotation.ask(&["b", "c"]);
    rotation.plan.limits.in_transit = 3;
    rotation.go_for(100);
    assert_eq!(rotation.permitted(), ["b", "c"]);
    rotation.lose("b");
    rotation.gain("f", new("uid-f"));
    let waits = rotation.go_for(30).waits;
    assert!(
        waits.iter().any(|wait| wait.reason == Reason::NodeGoing && wait.object == "Node/d".into()),
        "{waits:?}"
    );
    rotation.ask(&["d"]);
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["c", "d"], "it has its place already");
}

/// The old node goes first, and the next one when a new node is proven in its place: in time, of this boot, without start-up taints.
#[test]
fn a_place_is_filled_by_a_node_that_is_proven() {
    let mut rotation = Rotation::new("permit");
    rotation.ask(&["a", "b", "c", "d"]);
    rotation.go_for(15);
    rotation.lose("a");
    let gone = rotation.go_for(30);
    assert!(
        wait(&gone, Reason::ReplacementMissing, "Pool/blue").is_some_and(|wait| !wait.is_held),
        "{:?}",
        gone.waits
    );
    let half = [
        ("not Ready", Node { is_ready: false, ..new("uid-e") }),
        ("without a word", Node { is_ready: false, label: None, observed: None, ..new("uid-e") }),
        ("of another boot", Node { boot: "c".into(), ..new("uid-e") }),
        ("tainted", Node { taints: vec!["readiness.k8s.io/crossfade".into()], ..new("uid-e") }),
    ];
    for (what, node) in half {
        rotation.gain("e", node);
        let half = rotation.go_for(30);
        assert!(wait(&half, Reason::Arriving, "Node/e").is_some(), "{what}: {:?}", half.waits);
        assert_eq!(rotation.permitted(), [""; 0], "{what}");
        assert_eq!(rotation.state("e"), None, "{what}");
    }
    rotation.gain("e", Node { taints: vec!["dedicated".into()], ..new("uid-e") });
    rotation.go_for(10);
    assert_eq!(rotation.state("e"), Some(State::Done));
    let soak = rotation.go_for(40);
    assert!(wait(&soak, Reason::Soak, "Wave/zone z1").is_some(), "since the proof: {:?}", soak.waits);
    assert_eq!(rotation.permitted(), [""; 0]);
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["b", "c"], "two at once");
    rotation.lose("b");
    rotation.gain("f", Node { is_ready: false, ..new("uid-f") });
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["c"], "an open place counts");
    rotation.gain("f", new("uid-f"));
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["c", "d"], "no soak between nodes of a wave");
}

#[test]
fn a_new_node_that_is_late_stops_the_starts_and_is_named() {
    for (method, help) in [("permit", "kubectl delete node f"), ("karpenter", "kubectl delete nodeclaim")] {
        let mut rotation = Rotation::new(method);
        rotation.ask(&["a", "b", "c", "d"]);
        rotation.go_for(15);
        rotation.lose("a");
        rotation.gain("e", new("uid-e"));
        rotation.go_for(100);
        rotation.lose("b");
        rotation.gain("f", Node { is_ready: false, ..new("uid-f") });
        let limits = &rotation.plan.limits;
        let late = rotation.go_for(u64::from(limits.flip_seconds + limits.prove_seconds) + 5);
        let wait = wait(&late, Reason::Arriving, "Node/f").expect("a wait");
        assert!(wait.is_held && wait.help.contains(help), "{wait:?}");
        rotation.lose("c");
        rotation.gain("g", new("uid-g"));
        rotation.go_for(100);
        assert_eq!(rotation.permitted(), [""; 0], "{method}: d has a place, but for the late one");
        rotation.lose("f");
        rotation.gain("h", new("uid-h"));
        rotation.go_for(100);
        assert_eq!(rotation.permitted(), ["d"], "{method}");
    }
}

#[test]
fn a_replacement_that_never_comes_asks_a_person() {
    let mut rotation = Rotation::new("permit");
    rotation.ask(&["a", "b"]);
    rotation.go_for(15);
    rotation.lose("a");
    let missing = rotation.go_for(u64::from(rotation.plan.limits.move_seconds) + 5);
    let wait = wait(&missing, Reason::ReplacementMissing, "Pool/blue").expect("a wait");
    assert!(wait.is_held && wait.help.contains("kubectl crossfade roll skip a"), "{wait:?}");
    assert_eq!((missing.end, rotation.permitted()), (Some(End::Held), vec![]));
    rotation.wish(RunRequest::Skip("a".into()));
    rotation.go_for(10);
    assert_eq!(rotation.permitted(), ["b"], "the pool stays smaller");
}

/// What was decided is on the Nodes.
#[test]
fn a_holder_that_remembers_nothing_decides_the_same() {
    let mut rotation = Rotation::new("karpenter");
    rotation.go_for(15);
    rotation.lose("a");
    rotation.gain("e", new("uid-e"));
    rotation.go_for(90);
    assert_eq!(rotation.permitted(), ["b", "c"]);
    rotation.memory = Memory::default();
    let decided = rotation.decided();
    assert_eq!(decided.acts, [], "{:?}", decided.acts);
    rotation.lose("b");
    rotation.gain("f", new("uid-f"));
    rotation.go_for(15);
    rotation.memory = Memory::default();
    rotation.go_for(15);
    assert_eq!(rotation.permitted(), ["c", "d"]);
}

#[test]
fn a_run_that_is_over_at_once_gives_back_what_it_has() {
    let mut rotation = Rotation::new("karpenter");
    rotation.go();
    rotation.run.targets.clear();
    assert_eq!(rotation.go().end, None);
    assert_eq!(rotation.undisturbed(), [""; 0]);
    assert_eq!(rotation.go().end, None, "it is written that the run is done");
    assert_eq!(rotation.go().end, Some(End::Done));
}

#[test]
fn a_node_that_others_keep_from_karpenter_waits_for_a_person() {
    let mut rotation = Rotation::new("karpenter");
    rotation.world.node("a").is_undisturbed = true;
    let decided = rotation.go_for(30);
    assert_eq!(rotation.permitted(), [""; 0]);
    let wait = wait(&decided, Reason::Undisturbed, "Node/a").expect("a wait");
    assert!(
        wait.is_held && wait.help.contains("kubectl annotate node a karpenter.sh/do-not-disrupt-"),
        "{wait:?}"
    );
}

#[test]
fn a_pipeline_that_cannot_be_held_is_followed() {
    let mut rotation = Rotation::new("follow");
    let decided = rotation.go_for(30);
    assert!(
        rotation.world.nodes.values().all(|node| node.step.is_none() && node.is_fenced),
        "{:?}",
        decided.acts
    );
    assert!(wait(&decided, Reason::Leaving, "Node/a").is_some(), "{:?}", decided.waits);
    for (gone, came) in [("a", "e"), ("b", "f"), ("c", "g"), ("d", "h")] {
        rotation.lose(gone);
        rotation.gain(came, new(&format!("uid-{came}")));
        rotation.go_for(30);
    }
    rotation.go_for(60);
    assert_eq!(rotation.run.target(), None, "{:?}", rotation.run);
}

/// A managed node group cordons all its old nodes at once, and drains one after the other.
#[test]
fn marks_of_a_pipeline_that_cannot_be_held_take_one_place() {
    let mut rotation = Rotation::new("permit");
    let group = Pool { name: "group".into(), method: Method::Follow, ..rotation.plan.pools[0].clone() };
    rotation.plan.pools.push(group);
    for name in ["c", "d"] {
        *rotation.world.node(name) =
            Node { pool: "group".into(), is_going: true, is_cordoned: true, ..old(&format!("uid-{name}")) };
    }
    for node in &mut rotation.plan.waves[1].nodes[1..] {
        node.pool = "group".into();
    }
    rotation.ask(&["a"]);
    rotation.plan.limits.in_transit = 1;
    let full = rotation.go_for(30);
    assert_eq!(rotation.permitted(), [""; 0], "one of them is being drained");
    assert!(wait(&full, Reason::InTransit, "Wave/scouts").is_some(), "{:?}", full.waits);
    rotation.plan.limits.in_transit = 2;
    rotation.world.node("d").is_ready = false;
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["a"], "d is the one");
}

/// All four nodes are replaced, and one after the other goes; the run is over when each place is filled.
#[test]
fn a_whole_rotation_ends() {
    for method in ["permit", "karpenter"] {
        let mut rotation = Rotation::new(method);
        rotation.ask(&["a", "b", "c", "d"]);
        let mut gone = Vec::new();
        for round in 0..40 {
            rotation.go_for(15);
            let permitted: Vec<String> = rotation.permitted().into_iter().map(str::to_owned).collect();
            assert!(permitted.len() <= if gone.is_empty() { 1 } else { 2 }, "{permitted:?}");
            for name in permitted.into_iter().take(1) {
                rotation.lose(&name);
                rotation.gain(&format!("new-{round}"), new(&format!("uid-new-{round}")));
                gone.push(name);
            }
        }
        assert_eq!(gone, ["a", "b", "c", "d"], "{method}");
        assert_eq!(rotation.run.target(), None, "{method}: {:?}", rotation.go().waits);
        assert_eq!(rotation.undisturbed(), [""; 0]);
    }
}

/// Both nodes of the wave serve names, and one of them at a time may go.
#[test]
fn dns_pods_leave_one_after_the_other() {
    let mut rotation = Rotation::new("permit");
    rotation.ask(&["a", "b", "c"]);
    rotation.go_for(15);
    rotation.lose("a");
    rotation.gain("e", new("uid-e"));
    for (uid, node) in [("1", "b"), ("2", "c"), ("3", "e")] {
        rotation.world.pods.put(Pod {
            namespace: "kube-system".into(),
            name: format!("dns-{uid}").into(),
            uid: uid.into(),
            node: node.into(),
            owner: Some(Owner {
                kind: "Deployment".into(),
                namespace: "kube-system".into(),
                name: "dns".into(),
            }),
            traits: [Trait::Dns, Trait::Ready].into(),
        });
    }
    rotation.go_for(90);
    assert_eq!(rotation.permitted(), ["b"]);
    rotation.world.pods.remove("1");
    rotation.lose("b");
    rotation.gain("f", new("uid-f"));
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["c"]);
}

/// One that follows the phase `old`, as long as it is asked for that.
fn returning(uid: &str) -> Node {
    let mut node = new(uid);
    node.observed.as_mut().expect("a report").follows = vec![Phase::Old];
    node
}

/// Three of four nodes are of the new image, and the run is turned back.
fn turned(method: &str, image: fn(&str) -> Node) -> Rotation {
    let mut rotation = Rotation::new(method);
    for (gone, name) in [("a", "e"), ("b", "f"), ("c", "g")] {
        rotation.lose(gone);
        rotation.gain(name, image(&format!("uid-{name}")));
    }
    rotation.go_for(15);
    rotation.wish(RunRequest::Abort(Phase::Old));
    rotation.go_for(15);
    rotation
}

/// The scout was skipped, and takes part again while two nodes of the wave after it are on their way.
#[test]
fn nodes_of_other_waves_that_are_on_their_way_count() {
    let mut rotation = Rotation::new("karpenter");
    rotation.wish(RunRequest::Skip("a".into()));
    rotation.go_for(90);
    assert_eq!(rotation.permitted(), ["b", "c"]);
    rotation.wish(RunRequest::Retry("a".into()));
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["b", "c"]);
    for (gone, came) in [("b", "e"), ("c", "f")] {
        rotation.lose(gone);
        rotation.gain(came, new(&format!("uid-{came}")));
    }
    rotation.go_for(30);
    assert_eq!(rotation.permitted(), ["a"]);
}

/// Skipped, it takes no place and is left as it is: its step is another run's, whatever that has put on the Node.
#[test]
fn a_node_with_a_step_of_another_run_is_left_as_it_is_when_it_is_skipped() {
    let mut rotation = Rotation::new("karpenter");
    rotation.go_for(15);
    let step = rotation.world.nodes["b"].step.clone().expect("a step");
    for (name, state) in [("b", State::Permitted), ("c", State::Claimed)] {
        let node = rotation.world.node(name);
        node.step = Some(Step { run: "r-0".into(), state, ..step.clone() });
        node.lifecycle.insert(MaintenanceInProgress, true);
        rotation.wish(RunRequest::Skip(name.into()));
    }
    let before = ["b", "c"].map(|name| rotation.world.nodes[name].clone());
    rotation.go_for(15);
    assert_eq!(["b", "c"].map(|name| rotation.world.nodes[name].clone()), before);
}
