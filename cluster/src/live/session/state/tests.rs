use migration::roll::replacement::arriving;
use migration::roll::world::{Color, PermitRequest};
use serde_json::json;
use types::api::step::{State, Step};
use types::policy::Phase;

use super::*;

const NOW: Duration = Duration::from_secs(1000);

fn plan() -> Plan {
    let gate = |name: &str, source: Value| json!({"name": name, "source": source, "everySeconds": 30, "freshSeconds": 60});
    serde_json::from_value(json!({
        "version": 1, "cluster": "c", "from": "calico", "to": "cilium", "strategy": "double", "settings": "s", "start": "old",
        "passes": ["both-old"], "waves": [], "leftOut": [], "pools": [], "limits": {"ownersSeconds": 600}, "pods": {},
        "gates": [gate("moved", json!("workload")), gate("names", json!("dns")), gate("server", json!("apiServer")),
            gate("settings", json!("watched")), gate("own", json!({"command": ["true"]})), gate("silent", json!({"command": ["true"]}))],
        "dns": {"namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}}, "policies": [], "networks": {"old": [], "new": []}, "agents": [], "unenforced": [], "waivers": [],
    }))
    .expect("a plan")
}

fn seen(name: &str, version: &str, state: Option<State>) -> ObservedNode {
    let step = state.map(|state| Step {
        run: "r".into(),
        plan: String::new(),
        epoch: 1,
        claim: "r.1.1".into(),
        to: Phase::BothOld,
        state,
        cordon: None,
        since: None,
        r#try: 1,
        why: None,
        undisturbed: false,
    });
    let node = Node { uid: format!("uid-{name}").into(), version: version.into(), step, ..Node::default() };
    ObservedNode { name: name.into(), node, taints: Vec::new() }
}

fn owner(kind: &str, name: &str) -> Owner {
    Owner { kind: kind.into(), namespace: "x".into(), name: name.into() }
}

fn pod(uid: &str, node: &str, owner: Option<Owner>, traits: &[Trait]) -> Pod {
    Pod {
        uid: uid.into(),
        node: node.into(),
        owner,
        traits: traits.iter().copied().collect(),
        ..Pod::default()
    }
}

fn available(desired: u32, ready: u32) -> Availability {
    Availability { desired, ready }
}

fn verdict(color: Color) -> Verdict {
    Verdict { color, checked_at: NOW, why: String::new() }
}

fn look(known: &mut ClusterState, owners: &[Owner]) {
    let plan = plan();
    known.update_world(&Run::new("r", "", &plan), &plan, owners, &verdict(Color::Green), NOW);
}

#[test]
fn nodes_come_change_and_go() {
    let mut known = ClusterState::default();
    let mut apply = |change| known.apply(Event::Nodes(change), NOW);
    assert!(apply(Change::All(vec![seen("a", "1", None), seen("b", "1", None)])));
    assert!(apply(Change::Put(seen("c", "2", None))));
    assert!(!apply(Change::Put(seen("c", "3", None))), "nothing but its version: a heartbeat");
    assert!(apply(Change::Put(seen("c", "4", Some(State::Claimed)))));
    assert!(apply(Change::Gone(seen("a", "5", None))));
    assert!(apply(Change::All(vec![seen("c", "6", None)])), "what is not in a list is gone");
    let names: Vec<&str> = known.world.nodes.keys().map(AsRef::as_ref).collect();
    assert_eq!((names.as_slice(), &*known.world.nodes["c"].version), (&["c"][..], "6"));
}

/// Each row: the version and the UID that come after version 41 of a Node, and whether they count.
#[test]
fn a_node_never_goes_back_behind_an_own_patch() {
    for (version, uid, counts) in [
        ("40", "uid-a", false),
        ("41", "uid-a", true),
        ("42", "uid-a", true),
        ("100", "uid-a", true),
        ("x", "uid-a", true),
        ("40", "new", true),
    ] {
        for is_list in [false, true] {
            let mut known = ClusterState::default();
            known.apply(Event::Nodes(Change::Put(seen("a", "41", Some(State::Claimed)))), NOW);
            let mut later = seen("a", version, None);
            later.node.uid = uid.into();
            let change = if is_list { Change::All(vec![later]) } else { Change::Put(later) };
            known.apply(Event::Nodes(change), NOW);
            assert_eq!(&*known.world.nodes["a"].version == version, counts, "{version} {uid}");
        }
    }
}

#[test]
fn taints_are_known_of_one_version_alone() {
    let taint = json!({"key": "x", "effect": "NoExecute", "timeAdded": "t"});
    let mut known = ClusterState::default();
    let tainted = ObservedNode { taints: vec![taint.clone()], ..seen("a", "1", None) };
    known.apply(Event::Nodes(Change::All(vec![tainted, seen("b", "1", None)])), NOW);
    assert_eq!(known.taints("a", "1"), Some(&[taint][..]));
    assert_eq!(
        (known.taints("b", "1"), known.taints("a", "2"), known.taints("c", "1")),
        (Some(&[][..]), None, None)
    );
    known.apply(Event::Nodes(Change::Put(seen("a", "2", None))), NOW);
    assert_eq!(known.taints("a", "2"), Some(&[][..]), "they are taken away, too");
}

#[test]
fn a_node_is_in_transit_until_it_is_done() {
    let mut known = ClusterState::default();
    let nodes = vec![
        seen("a", "1", None),
        seen("b", "1", Some(State::Held)),
        seen("c", "1", Some(State::Done)),
        seen("d", "1", Some(State::Claimed)),
    ];
    known.apply(Event::Nodes(Change::All(nodes)), NOW);
    let names: Vec<&str> = known.nodes_in_transit().map(AsRef::as_ref).collect();
    assert_eq!(names, ["b", "d"]);
}

/// Agents of new nodes count for their proof, and what else lands there is not moved by the run.
#[test]
fn new_nodes_of_a_rotated_pool_are_watched_until_they_are_proven() {
    let plan: Plan = {
        let mut plan = serde_json::to_value(plan()).expect("JSON");
        (plan["image"], plan["ways"]) = (json!("both-old"), json!(["replace"]));
        plan["pools"] = ["blue", "kept"]
            .map(|name| json!({"name": name, "nodes": 1, "zones": [""], "method": if name == "blue" { "permit" } else { "drain" }}))
            .to_vec()
            .into();
        let planned = ["a", "f"]
            .map(|name| json!({"name": name, "uid": format!("uid-{name}"), "pool": "blue", "why": ""}));
        plan["waves"] = json!([{"name": "zone", "kind": "zone", "atOnce": 1, "soakSeconds": 0,
            "nodes": planned}]);
        serde_json::from_value(plan).expect("a plan")
    };
    let mut known = ClusterState::default();
    let of_pool = |name: &str, pool: &str, state| {
        let mut seen = seen(name, "1", state);
        seen.node.pool = pool.into();
        seen
    };
    let of_image = |name: &str| {
        let mut seen = of_pool(name, "blue", None);
        seen.node.label = Some(Phase::BothOld);
        seen
    };
    let nodes = vec![
        of_pool("a", "blue", None),
        of_pool("b", "blue", None),
        of_pool("c", "blue", Some(State::Done)),
        of_pool("d", "kept", None),
        of_pool("e", "blue", Some(State::Permitted)),
        of_image("f"),
    ];
    known.apply(Event::Nodes(Change::All(nodes)), NOW);
    let names: Vec<&str> =
        arriving(&known.world, &Run::new("r", "", &plan), &plan).map(AsRef::as_ref).collect();
    assert_eq!(names, ["b", "e", "f"], "f is planned, and of the image: the plan was made in the middle");
    for name in ["b", "e"] {
        known.begin(WatchScope::OnNode(name.into()));
        let pods = vec![pod(&format!("uid-{name}"), name, Some(owner("Deployment", name)), &[])];
        known.apply(Event::Pods(WatchScope::OnNode(name.into()), Change::All(pods)), NOW);
        let workload = (owner("Deployment", name), available(1, 0));
        known.apply(Event::Workloads(Kind::DEPLOYMENT, Change::Put(workload)), NOW);
    }
    look(&mut known, &[]);
    let pods: Vec<&str> = known.world.pods.values().map(|pod| &*pod.uid).collect();
    assert_eq!(pods, ["uid-b", "uid-e"]);
    assert_eq!(known.world.owners.keys().collect::<Vec<_>>(), [&owner("Deployment", "e")]);
}

#[test]
fn what_pipelines_ask_for_comes_and_goes() {
    let mut known = ClusterState::default();
    known.begin(WatchScope::Permits);
    let permit = || PermitRequest { node: "a".into(), run: "r-1".into(), to: Phase::New };
    let permits_for =
        |uid: &str| Permits { requested: [(uid.into(), permit())].into(), ..Permits::default() };
    let mut requested = |change| {
        let is_news = known.apply(Event::Permits(change), NOW);
        look(&mut known, &[]);
        (is_news, known.world.permits.requested.keys().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(requested(Change::All(vec![])), (true, vec![]), "it is known that there is none");
    assert_eq!(requested(Change::Put(permits_for("u"))), (true, vec!["u".to_owned()]));
    assert_eq!(requested(Change::Put(permits_for("u"))), (false, vec!["u".to_owned()]));
    assert_eq!(requested(Change::Gone(permits_for("u"))), (true, vec![]));
}

/// It is for the journal: no decision waits for it.
#[test]
fn what_agents_measured_is_taken_once_and_is_no_news() {
    let row = |answered: u64| -> Event {
        let class = json!({"from": "old", "to": "dns", "place": "any", "family": "IPv4", "packet": "udp"});
        let row = json!({"class": class, "counts": {"answered": answered}});
        Event::Measured(vec![serde_json::from_value(row).expect("a row")])
    };
    let mut known = ClusterState::default();
    assert!(!known.apply(row(1), NOW) && !known.apply(row(2), NOW));
    let answered: Vec<u64> = known.take_measured().iter().map(|row| row.counts.answered).collect();
    assert_eq!((answered, known.take_measured()), (vec![3], vec![]));
}

/// A NodeClaim whose Node has the name of an earlier one may go after the new one has come.
#[test]
fn drifted_nodes_are_known_by_their_node_claims() {
    let mut known = ClusterState::default();
    look(&mut known, &[]);
    assert_eq!(known.world.drifted, None, "nothing is known of a cluster without Karpenter");
    known.begin(WatchScope::NodeClaims);
    let claim = |node: &str, uid: &str, is_drifted| ObservedNodeClaim {
        node: node.into(),
        uid: uid.into(),
        is_drifted,
    };
    let mut drifted = |change| {
        let is_news = known.apply(Event::NodeClaims(change), NOW);
        look(&mut known, &[]);
        let names = known.world.drifted.iter().flat_map(|all| all.iter());
        (is_news, names.map(ToString::to_string).collect::<Vec<_>>().join(" "))
    };
    let all = vec![claim("a", "1", true), claim("b", "2", false)];
    assert_eq!(drifted(Change::All(all)), (true, "a".into()));
    for (change, is_news, names) in [
        (Change::Put(claim("b", "2", true)), true, "a b"),
        (Change::Put(claim("b", "2", true)), false, "a b"),
        (Change::Put(claim("b", "3", true)), true, "a b"),
        (Change::Gone(claim("b", "2", true)), false, "a b"),
        (Change::Put(claim("b", "3", false)), true, "a"),
        (Change::Put(claim("b", "3", false)), false, "a"),
        (Change::Gone(claim("a", "1", true)), true, ""),
    ] {
        let words = format!("{change:?}");
        assert_eq!(drifted(change), (is_news, names.to_owned()), "{words}");
    }
}

#[test]
fn pods_come_from_all_places_and_the_node_knows_best() {
    let (on, mut known) = (WatchScope::OnNode("a".into()), ClusterState::default());
    for place in [WatchScope::Pending, WatchScope::Dns, on.clone()] {
        known.begin(place);
    }
    let mut apply = |place: &WatchScope, change| known.apply(Event::Pods(place.clone(), change), NOW);
    assert!(apply(&WatchScope::Pending, Change::All(vec![pod("1", "", None, &[]), pod("2", "", None, &[])])));
    assert!(apply(&WatchScope::Dns, Change::Put(pod("3", "z", None, &[Trait::Dns]))));
    assert!(
        apply(&on, Change::All(vec![pod("1", "a", None, &[])])),
        "the watch of those without a node is late"
    );
    assert!(!apply(&on, Change::Put(pod("1", "a", None, &[]))));
    assert!(apply(&on, Change::Put(pod("4", "a", None, &[]))));
    assert!(
        !apply(&WatchScope::OnNode("other".into()), Change::Put(pod("9", "other", None, &[]))),
        "its watch has ended"
    );
    look(&mut known, &[]);
    let pods: Vec<(&str, &str)> = known.world.pods.values().map(|pod| (&*pod.uid, &*pod.node)).collect();
    assert_eq!(pods, [("1", "a"), ("2", ""), ("3", "z"), ("4", "a")]);
    known.end(&on);
    known.apply(Event::Pods(WatchScope::Pending, Change::Gone(pod("2", "", None, &[]))), NOW);
    look(&mut known, &[]);
    let pods: Vec<&str> = known.world.pods.values().map(|pod| &*pod.uid).collect();
    assert_eq!(pods, ["1", "3"]);
}

#[test]
fn owners_are_those_of_pods_that_move() {
    let (on, mut known) = (WatchScope::OnNode("a".into()), ClusterState::default());
    known.begin(on.clone());
    known.apply(Event::Nodes(Change::All(vec![seen("a", "1", Some(State::Moving))])), NOW);
    let workloads = ["web", "proxy", "untouched"].map(|name| (owner("Deployment", name), available(2, 1)));
    known.apply(Event::Workloads(Kind::DEPLOYMENT, Change::All(workloads.into())), NOW);
    let daemons = vec![(owner("DaemonSet", "log"), available(5000, 4000))];
    known.apply(Event::Workloads(Kind::DAEMON_SET, Change::All(daemons)), NOW);
    let pods = vec![
        pod("1", "a", Some(owner("Deployment", "web")), &[Trait::Ready]),
        pod("2", "a", Some(owner("Deployment", "proxy")), &[Trait::HostNetwork]),
        pod("3", "a", Some(owner("DaemonSet", "log")), &[Trait::Ready]),
        pod("4", "b", Some(owner("DaemonSet", "log")), &[Trait::Ready, Trait::Terminating]),
        pod("5", "b", Some(owner("DaemonSet", "agent")), &[Trait::HostNetwork]),
        pod("6", "a", Some(owner("Job", "once")), &[]),
        pod("7", "a", None, &[]),
        pod("8", "a", Some(owner("DaemonSet", "log")), &[Trait::Finished]),
    ];
    known.apply(Event::Pods(on.clone(), Change::All(pods)), NOW);
    look(&mut known, &[]);
    let web = (owner("Deployment", "web"), available(2, 1));
    assert_eq!(
        known.world.owners,
        BTreeMap::from([(owner("DaemonSet", "log"), available(2, 1)), web.clone()])
    );
    // The node is done; what moved from it still counts.
    known.end(&on);
    look(&mut known, &[]);
    assert_eq!(known.world.owners, BTreeMap::from([web]));
    assert_eq!(known.workloads().len(), 4);
}

#[test]
fn what_a_run_remembers_at_its_start_is_without_daemon_sets() {
    let mut known = ClusterState::default();
    let all =
        vec![(owner("Deployment", "web"), available(3, 1)), (owner("Deployment", "fine"), available(1, 2))];
    known.apply(Event::Workloads(Kind::DEPLOYMENT, Change::All(all)), NOW);
    let daemons = vec![(owner("DaemonSet", "log"), available(5, 4))];
    known.apply(Event::Workloads(Kind::DAEMON_SET, Change::All(daemons)), NOW);
    assert_eq!(known.short_workloads(), BTreeMap::from([("Deployment/x/web".to_owned(), 2)]));
}

#[test]
fn workloads_of_one_kind_do_not_hide_those_of_another() {
    let mut known = ClusterState::default();
    let mut apply = |kind, change| known.apply(Event::Workloads(kind, change), NOW);
    assert!(apply(Kind::DEPLOYMENT, Change::All(vec![(owner("Deployment", "a"), available(1, 1))])));
    assert!(apply(Kind::STATEFUL_SET, Change::All(vec![(owner("StatefulSet", "b"), available(1, 1))])));
    assert!(!apply(Kind::DEPLOYMENT, Change::Put((owner("Deployment", "a"), available(1, 1)))));
    assert!(apply(Kind::DEPLOYMENT, Change::Put((owner("Deployment", "a"), available(1, 0)))));
    assert!(apply(Kind::DEPLOYMENT, Change::All(vec![])));
    assert!(apply(Kind::STATEFUL_SET, Change::Gone((owner("StatefulSet", "b"), available(1, 1)))));
    assert!(known.workloads().is_empty());
}

#[test]
fn each_gate_of_the_plan_has_its_verdict() {
    let mut known = ClusterState::default();
    known.begin(WatchScope::Dns);
    known.apply(Event::Pods(WatchScope::Dns, Change::All(vec![pod("1", "a", None, &[Trait::Dns])])), NOW);
    known.apply(Event::Verdict("own".into(), verdict(Color::Amber)), NOW);
    known.apply(Event::Verdict("other".into(), verdict(Color::Red)), NOW);
    look(&mut known, &[owner("Deployment", "gone")]);
    let colors: Vec<(&str, Color)> =
        known.world.verdicts.iter().map(|(name, reported)| (name.as_str(), reported.color)).collect();
    let expected = [
        ("moved", Color::Green),
        ("names", Color::Red),
        ("own", Color::Amber),
        ("server", Color::Green),
        ("settings", Color::Red),
    ];
    assert_eq!(colors, expected, "a gate that has not answered has no verdict");
    assert_eq!(known.world.now, NOW);
}

#[test]
fn nothing_is_decided_until_everything_is_in_sync() {
    let mut known = ClusterState::default();
    known.begin(WatchScope::Nodes);
    known.begin(WatchScope::OnNode("a".into()));
    assert_eq!(known.blind(NOW).map(|blind| blind.what).as_deref(), Some("Nodes"));
    known.apply(Event::Nodes(Change::All(vec![])), NOW);
    assert_eq!(known.blind(NOW).map(|blind| blind.what).as_deref(), Some("Pods on node a"));
    known.apply(Event::Pods(WatchScope::OnNode("a".into()), Change::InSync), NOW);
    assert_eq!(known.blind(NOW), None);
    known.apply(Event::Nodes(Change::Lost("no answer".into())), NOW);
    let later = NOW + Duration::from_secs(31);
    assert_eq!(known.blind(NOW), None, "for a time");
    assert_eq!(known.blind(later).map(|blind| blind.why).as_deref(), Some("no answer"));
    known.apply(Event::Nodes(Change::InSync), later);
    known.apply(Event::Pods(WatchScope::OnNode("a".into()), Change::InSync), later);
    assert_eq!(known.blind(later), None);
}

/// A decision on it would act on pods that are long gone.
#[test]
fn what_is_too_old_decides_nothing_until_it_is_read_anew() {
    let mut known = ClusterState::default();
    known.begin(WatchScope::Nodes);
    known.apply(Event::Nodes(Change::InSync), NOW);
    assert!(!known.apply(Event::Nodes(Change::Expired), NOW));
    assert!(known.blind(NOW).is_some(), "at once");
    known.apply(Event::Nodes(Change::Lost("no answer".into())), NOW);
    assert_eq!(known.blind(NOW).map(|blind| blind.why).as_deref(), Some("no answer"));
    known.apply(Event::Nodes(Change::All(vec![])), NOW);
    assert_eq!(known.blind(NOW), None);
}

/// Bookmarks arrive every eighteen seconds; nothing has to be decided for that.
#[test]
fn a_watch_that_goes_on_is_no_change() {
    let mut known = ClusterState::default();
    known.begin(WatchScope::Nodes);
    let changes = [Change::InSync, Change::InSync, Change::Lost(String::new()), Change::InSync];
    let wakes = changes.map(|change| known.apply(Event::Nodes(change), NOW));
    assert_eq!(wakes, [true, false, false, true]);
}

#[test]
fn the_run_is_the_latest_one() {
    let stored = |version: &str, wish| {
        let run = Run { wish, ..Run::new("r", "", &plan()) };
        Ok(StoredRun { run, wishes: Vec::new(), version: version.into() })
    };
    let mut known = ClusterState::default();
    let mut apply = |change| known.apply(Event::Run(change), NOW);
    assert!(!apply(Change::All(vec![])), "there is none, and there was none");
    assert!(apply(Change::Put(stored("7", 1))));
    assert!(!apply(Change::Put(stored("6", 0))), "an own record is known before the watch tells of it");
    assert!(!apply(Change::Put(stored("7", 1))));
    assert!(apply(Change::Put(stored("8", 2))));
    assert!(apply(Change::Gone(stored("9", 2))));
    assert_eq!(known.stored, None);
}

#[test]
fn a_census_is_a_change() {
    let mut known = ClusterState::default();
    let census = Census { started_at: NOW, running: BTreeMap::from([("a".into(), 3)]), ..Census::default() };
    assert!(known.apply(Event::Census(census.clone()), NOW));
    assert_eq!(known.world.census, Some(census));
}

/// A watch that answers and then says nothing knows nothing.
#[test]
fn what_was_not_heard_of_for_half_a_minute_is_unknown() {
    let mut known = ClusterState::default();
    known.begin(WatchScope::Workloads(Kind::DEPLOYMENT));
    let all = vec![(owner("Deployment", "web"), available(6, 6))];
    known.apply(Event::Workloads(Kind::DEPLOYMENT, Change::All(all)), NOW);
    let duration_at = |seconds| NOW + Duration::from_secs(seconds);
    assert_eq!(known.blind(duration_at(30)), None, "a list is proof for a time");
    assert!(known.blind(duration_at(31)).is_some());
    known.apply(Event::Workloads(Kind::DEPLOYMENT, Change::InSync), duration_at(31));
    assert_eq!(known.blind(duration_at(61)), None, "a bookmark is, too");
    known.apply(Event::Workloads(Kind::DEPLOYMENT, Change::Lost("no answer".into())), duration_at(61));
    let blind = known.blind(duration_at(62)).expect("unknown");
    assert_eq!(blind.to_string(), "Deployments cannot be watched for 31 s: no answer");
}

/// Replicas that a tenant adds while its pods move are none that the run took away.
#[test]
fn a_touched_workload_wants_no_more_than_when_it_had_all_its_pods() {
    let (on, mut known) = (WatchScope::OnNode("a".into()), ClusterState::default());
    known.begin(on.clone());
    known.apply(Event::Nodes(Change::All(vec![seen("a", "1", Some(State::Moving))])), NOW);
    let wants = |known: &mut ClusterState, desired, ready| {
        let now = (owner("Deployment", "web"), available(desired, ready));
        known.apply(Event::Workloads(Kind::DEPLOYMENT, Change::Put(now)), NOW);
        look(known, &[]);
        known.world.owners[&owner("Deployment", "web")]
    };
    let pods = vec![pod("1", "a", Some(owner("Deployment", "web")), &[Trait::Ready])];
    known.apply(Event::Pods(on, Change::All(pods)), NOW);
    assert_eq!(wants(&mut known, 3, 3), available(3, 3));
    assert_eq!(wants(&mut known, 1000, 3), available(3, 3));
    assert_eq!(wants(&mut known, 1000, 2), available(3, 2), "a pod that it had is still missed");
    assert_eq!(wants(&mut known, 2, 2), available(2, 2), "it may want fewer");
    assert_eq!(wants(&mut known, 10, 10), available(10, 10), "or more, if it has them");
    assert_eq!(wants(&mut known, 10, 9), available(10, 9));
}

/// Their pods may all be gone from the nodes in transit, and not be back.
#[test]
fn what_earlier_holders_have_moved_is_touched_as_they_knew_it() {
    let moved = [("Deployment/x/web", Some(3)), ("Deployment/x/db", None), ("no title", Some(1))];
    let plan = plan();
    let moved = moved.map(|(title, desired)| (title.to_owned(), desired)).into();
    let run = Run { moved_owners: moved, ..Run::new("r", "", &plan) };
    let mut known = ClusterState::default();
    for (name, desired, ready) in [("web", 1000, 0), ("db", 2, 1), ("other", 5, 0)] {
        let now = Change::Put((owner("Deployment", name), available(desired, ready)));
        known.apply(Event::Workloads(Kind::DEPLOYMENT, now), NOW);
    }
    known.update_world(&run, &plan, &[], &verdict(Color::Green), NOW);
    let owners: Vec<_> = known.world.owners.iter().map(|(owner, now)| (owner.title(), *now)).collect();
    let expected = [("Deployment/x/db", available(2, 1)), ("Deployment/x/web", available(3, 0))];
    assert_eq!(owners, expected.map(|(title, now)| (title.to_owned(), now)));
}

/// The run's ConfigMap has a limit, and tenants make workloads.
#[test]
fn what_a_run_remembers_at_its_start_is_bounded() {
    let mut known = ClusterState::default();
    let long = "n".repeat(200);
    let all =
        (0..5000).map(|index| (owner("Deployment", &format!("{long}{index}")), available(1, 0))).collect();
    known.apply(Event::Workloads(Kind::DEPLOYMENT, Change::All(all)), NOW);
    let bytes: usize = known.short_workloads().keys().map(String::len).sum();
    assert!((1..64 << 10).contains(&bytes), "{bytes}");
}
