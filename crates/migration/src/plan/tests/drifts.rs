//! Changes of a cluster after its plan was made: each row one change, and its class.

use serde_json::{Value, json};
use snapshot::model::Kind;

use super::case::{
    agent, cluster, control_plane, dns, flannel, labelled, node, observed, planned, pod, pods, report, with,
};
use crate::check::tests::{Case, object};
use crate::cni::support::{Cni, Strategy};
use crate::plan::{Bridge, Drift, Plan, Wave, WaveKind, drift};
use crate::roll::run::UnenforcedPolicies;

const SETTINGS: &str = "roll: {leaveOut: [{node: edge-*, reason: edge}, {node: gpu-*, reason: drivers}], unenforced: [NetworkPolicy]}";

fn objects() -> Vec<Value> {
    let gpu = labelled(node("g", "z1"), "karpenter.sh/nodepool", "gpu");
    vec![node("a", "z1"), node("b", "z2"), node("edge-1", "z1"), gpu]
}

fn case(objects: Vec<Value>) -> Case {
    with(cluster(objects), SETTINGS)
}

fn plan() -> Plan {
    planned(&case(objects()))
}

/// The lines of a drift, by its class: 0 absorbed, 1 stale, 2 refused, 3 with policies that no CNI enforces.
fn class_and_lines(drift: Drift) -> (u8, Vec<String>) {
    match drift {
        Drift::Absorbed(lines) => (0, lines),
        Drift::Stale(lines) => (1, lines),
        Drift::Unenforced(policies) => (3, policies.iter().map(ToString::to_string).collect()),
        Drift::Refused(lines) => (2, lines),
    }
}

#[test]
fn nothing_has_changed() {
    assert_eq!(drift(&plan(), &case(objects()).scene()), Drift::Absorbed(Vec::new()));
    let busy = objects().into_iter().chain(pods("a", 9)).collect();
    assert_eq!(drift(&plan(), &case(busy).scene()), Drift::Absorbed(Vec::new()), "pods come and go");
}

/// Each row: the objects then, the class and the line.
#[test]
fn nodes_come_and_go() {
    let plus = |node: Value| [objects(), vec![node]].concat();
    let without = |name: &str| -> Vec<Value> {
        objects().into_iter().filter(|object| object["metadata"]["name"] != name).collect()
    };
    let again = |name: &str| {
        let mut all = objects();
        let object = all.iter_mut().find(|object| object["metadata"]["name"] == name).expect("the node");
        object["metadata"]["uid"] = "another".into();
        all
    };
    let relabelled = |name: &str, zone: &str| {
        let mut all = objects();
        let object = all.iter_mut().find(|object| object["metadata"]["name"] == name).expect("the node");
        object["metadata"]["labels"] = node(name, zone)["metadata"]["labels"].clone();
        all
    };
    let windows = || labelled(node("w", "z1"), "kubernetes.io/os", "windows");
    let pool = |pool: &str| labelled(node("n", "z1"), "karpenter.sh/nodepool", pool);
    for (objects, class, lines) in [
        (plus(node("n", "z1")), 0, &["Node n came; it moves after the nodes of its zone."][..]),
        (plus(pool("gpu")), 0, &["Node n came; it moves after the nodes of its zone."]),
        (
            plus(labelled(node("n", "z2"), "karpenter.sh/nodepool", "gpu")),
            0,
            &["Node n came; it moves after the nodes of its zone."],
        ),
        (
            plus(pool("big")),
            0,
            &["Node n is of pool \"big\", which the plan does not know; the run holds it."],
        ),
        (
            plus(node("n", "z3")),
            0,
            &["Node n is in zone \"z3\", which the plan does not know; the run holds it."],
        ),
        (
            plus(node("n", "")),
            0,
            &["Node n is in zone \"\", which the plan does not know; the run holds it."],
        ),
        (
            relabelled("b", "z9"),
            0,
            &["Node b is in zone \"z9\", which the plan does not know; the run holds it."],
        ),
        (without("b"), 0, &["Node b is gone."]),
        (again("b"), 0, &["Node b came; it moves after the nodes of its zone.", "Node b is gone."]),
        (plus(node("edge-2", "z1")), 0, &["Node edge-2 came, and is left out: edge."]),
        (plus(node("gpu-1", "z1")), 0, &["Node gpu-1 came, and is left out: drivers."]),
        (without("edge-1"), 0, &["Node edge-1 is gone."]),
        (
            plus(windows()),
            0,
            &[
                "Node w came, and the plan does not leave it out; the run holds it: Crossfade runs on Linux alone.",
            ],
        ),
    ] {
        assert_eq!(
            class_and_lines(drift(&plan(), &case(objects).scene())),
            (class, lines.iter().map(ToString::to_string).collect())
        );
    }
}

/// Whether it is the same Node or another one of its name.
#[test]
fn a_node_that_its_labels_leave_out_now_or_no_longer() {
    for (uid, class) in [(None, 0), (Some("another"), 0)] {
        let mut all = objects();
        all[0] = labelled(all[0].clone(), "kubernetes.io/os", "windows");
        uid.into_iter().for_each(|uid| all[0]["metadata"]["uid"] = uid.into());
        let line = "Node a takes part in the plan, and would be left out now: Crossfade runs on Linux alone.";
        assert_eq!(class_and_lines(drift(&plan(), &case(all).scene())), (class, vec![line.to_owned()]));
        let mut earlier = plan();
        let out = earlier.waves[0].nodes.remove(0);
        let line =
            format!("Node {} is left out by the plan, and its labels say that it takes part now.", out.name);
        let uid = uid.map_or(out.uid, Into::into);
        let why = "Crossfade runs on Linux alone".into();
        earlier.left_out.push(crate::plan::ExcludedNode { name: out.name, uid, why });
        assert_eq!(class_and_lines(drift(&earlier, &case(objects()).scene())), (class, vec![line]));
    }
}

#[test]
fn another_cluster_or_another_migration_is_refused() {
    let change = |change: fn(&mut Case)| {
        let mut case = case(objects());
        change(&mut case);
        class_and_lines(drift(&plan(), &case.scene()))
    };
    for (case, words) in [
        (change(|case| case.snapshot.cluster.uid = Some("cluster-2".into())), "this is cluster cluster-2"),
        (change(|case| case.snapshot.cluster.uid = None), "nothing says which one this is"),
        (change(|case| case.to = Cni::Antrea), "flannel to antrea, double, is asked for"),
        (change(|case| case.strategy = Strategy::Bridge), "flannel to cilium, bridge, is asked for"),
    ] {
        let (class, lines) = case;
        assert!(class == 2 && lines.len() == 1 && lines[0].contains(words), "{words}: {lines:?}");
    }
}

/// Each row: what is different, and a word of the one line.
#[test]
fn what_no_rule_has_an_answer_to_makes_the_plan_stale() {
    let agents = |objects: Vec<Value>| {
        let mut case = case(objects);
        case.snapshot
            .workloads
            .entry(Kind::DAEMON_SET)
            .or_default()
            .retain(|workload| workload.name() != "cilium");
        case
    };
    let mut reborn = agent("cilium", "cilium-agent", 3);
    reborn["metadata"]["uid"] = "another".into();
    let plus = |object: Value| [objects(), vec![object]].concat();
    for (case, words) in [
        (
            with(cluster(objects()), &SETTINGS.replace("roll: {", "roll: {limits: {inTransit: 3}, ")),
            "The settings file has changed",
        ),
        (
            case(plus(agent("cilium", "cilium-agent", 4))),
            "DaemonSet kube-system/cilium has changed: generation 4, was 3.",
        ),
        (case(plus(reborn)), "DaemonSet kube-system/cilium was deleted and made again."),
        (case(plus(agent("cilium-2", "cilium-agent", 1))), "DaemonSet kube-system/cilium-2 is new."),
        (agents(objects()), "DaemonSet kube-system/cilium is gone."),
        (case(plus(flannel())), "Ranges of the old network: 10.244.0.0/16, was none."),
    ] {
        let (class, lines) = class_and_lines(drift(&plan(), &case.scene()));
        assert!(class == 1 && lines.len() == 1 && lines[0].starts_with(words), "{words}: {lines:?}");
    }
}

/// A node writes its own report, so that whatever it says of its policy ends no run.
#[test]
fn a_node_with_another_policy_is_a_matter_of_that_node() {
    let (mut b, mut seen) = (node("b", "z2"), observed());
    seen["base"] = "0123456789abcdef".into();
    report(&mut b, &seen);
    let mut other = objects();
    other[1] = b;
    let line = "These nodes have a policy that the plan does not know (0123456789ab); the run holds them: b.";
    assert_eq!(drift(&plan(), &case(other).scene()), Drift::Absorbed(vec![line.into()]));
}

/// A plan that names the hash of the settings, and says something else. Each row: what was written into it, and a word of the one line.
#[test]
fn a_plan_that_says_what_the_settings_do_not_give_is_stale() {
    let settings = SETTINGS.replace(
        "roll: {",
        "roll: {gates: [{name: smoke, command: [./smoke.sh]}], bridge: {gate: smoke}, methods: {gpu: churn}, ",
    );
    let case = with(cluster(objects()), &settings);
    let honest = planned(&case);
    assert_eq!(drift(&honest, &case.scene()), Drift::Absorbed(Vec::new()));
    let gate = |name: &str, command: &str| json!({"name": name, "source": {"command": [command]}, "everySeconds": 30, "freshSeconds": 120});
    let forged = |key: &str, value: Value| {
        let mut plan = serde_json::to_value(&honest).expect("JSON");
        *plan.pointer_mut(key).unwrap_or_else(|| panic!("{key}")) = value;
        serde_json::from_value::<Plan>(plan).expect("a plan")
    };
    let gates = serde_json::to_value(&honest.gates).expect("JSON");
    let plus = |gate: Value| Value::from([gates.as_array().expect("gates").clone(), vec![gate]].concat());
    let bridged = Plan { bridge: Some(Bridge::Accepted("I say so".into())), ..honest.clone() };
    let fixing =
        Plan { start: types::policy::Phase::New, passes: vec![types::policy::Phase::New], ..honest.clone() };
    let last = honest.waves.len() - 1;
    let renamed = |kind: &str, name: &str| json!([{"name": name, "kind": kind, "atOnce": 1, "soakSeconds": 0, "nodes": [{"name": "x", "uid": "x", "why": "so"}]}]);
    let waves = serde_json::to_value(&honest.waves).expect("JSON");
    let and = |more: Value| {
        Value::from(
            [waves.as_array().expect("waves").clone(), more.as_array().expect("waves").clone()].concat(),
        )
    };
    for (plan, words) in [
        (forged("/gates", plus(gate("evil", "/tmp/evil"))), "The plan's gates"),
        (forged("/gates/3/source", json!({"command": ["/tmp/evil"]})), "The plan's gates"),
        (forged("/gates/3/everySeconds", 1.into()), "The plan's gates"),
        (forged("/gates", json!([])), "The plan's gates"),
        (forged("/pods/delete", json!(["*/*"])), "The plan's pods"),
        (forged("/pods/deleteEmptyDir", true.into()), "The plan's pods"),
        (forged("/limits/inTransit", 1000.into()), "The plan's limits"),
        (forged("/limits/windows", json!([{"from": "00:00", "to": "00:00"}])), "The plan's limits"),
        (forged("/marginPercent", 0.into()), "The plan's marginPercent"),
        (forged("/dns/namespace", "other".into()), "The plan's dns"),
        (forged("/passes", json!(["new"])), "The plan's passes"),
        (forged("/passes", json!(["both-old"])), "The plan's passes"),
        (bridged, "The plan's bridge"),
        (forged("/waves/0/atOnce", 9.into()), "The plan's waves"),
        (forged("/waves/0/soakSeconds", 0.into()), "The plan's waves"),
        (forged(&format!("/waves/{last}/atOnce"), 1000.into()), "The plan's waves"),
        (forged("/waves", and(renamed("zone", "zone z9"))), "The settings give no wave \"zone z9\""),
        (forged("/waves", and(renamed("stateful", "group db"))), "The settings give no wave \"group db\""),
        (forged("/waves", and(renamed("dns", "dns"))), "The wave dns comes later"),
        (
            forged("/waves", and(renamed("dns", "dns stragglers"))),
            "The settings give no wave \"dns stragglers\"",
        ),
        (
            forged(
                "/leftOut",
                json!([{"name": "edge-1", "uid": "uid-edge-1", "why": "edge"}, {"name": "x", "uid": "x", "why": "I say so"}]),
            ),
            "The plan leaves out node x, and the settings do not: I say so.",
        ),
        (forged("/pools/0/method", "drain".into()), "The plan's pools"),
        (
            forged("/waivers", json!([{"finding": "capacity-short", "reason": "I say so"}])),
            "The plan waives the finding capacity-short",
        ),
    ] {
        let (class, lines) = class_and_lines(drift(&plan, &case.scene()));
        assert!(class == 1 && lines.len() == 1 && lines[0].starts_with(words), "{words}: {lines:?}");
    }
    let scoutless = Plan { waves: honest.waves[1..].to_vec(), ..honest.clone() };
    for (plan, words) in [
        (scoutless, "The plan has no scouts."),
        (fixing, "The plan moves stragglers: 0 of 3 nodes are in phase new"),
    ] {
        let (class, lines) = class_and_lines(drift(&plan, &case.scene()));
        assert!(class == 1 && lines.iter().any(|line| line.starts_with(words)), "{words}: {lines:?}");
    }
    let unbridged = Plan {
        strategy: Strategy::Bridge,
        passes: vec![types::policy::Phase::New],
        bridge: None,
        ..honest.clone()
    };
    let case = Case { strategy: Strategy::Bridge, ..case };
    let (class, lines) = class_and_lines(drift(&unbridged, &case.scene()));
    assert!(class == 1 && lines.iter().any(|line| line.contains("needs a bridge")), "{lines:?}");
}

#[test]
fn a_plan_accepts_no_unenforced_policies_that_the_settings_do_not() {
    let policy = object(Kind::NETWORK_POLICY, "p", json!({"metadata": {"namespace": "x"}})).1;
    let settings = "roll: {leaveOut: [{node: edge-*, reason: edge}]}";
    let honest = planned(&with(cluster(objects()), settings));
    let case = with(cluster([objects(), vec![policy]].concat()), settings);
    let forged = Plan { unenforced: vec!["NetworkPolicy".into()], ..honest };
    let (class, lines) = class_and_lines(drift(&forged, &case.scene()));
    assert_eq!(
        (class, lines),
        (
            1,
            vec![
                "The plan accepts unenforced policies of kind NetworkPolicy, and the settings do not."
                    .to_owned()
            ]
        )
    );
}

/// Any tenant can make and delete a policy. Each row: what the settings accept, whether there was a policy before and is one now.
#[test]
fn policies_of_tenants_make_no_plan_stale() {
    let none = "roll: {leaveOut: [{node: edge-*, reason: edge}]}";
    let policy = || object(Kind::NETWORK_POLICY, "p", json!({"metadata": {"namespace": "x"}})).1;
    let case = |settings: &str, has_policy: bool| {
        let policies = has_policy.then(policy).into_iter();
        with(cluster(objects().into_iter().chain(policies)), settings)
    };
    let titles = ["NetworkPolicy/x/p".to_owned()].into_iter();
    let unenforced = UnenforcedPolicies::new("NetworkPolicy", vec!["both-old", "both-new", "new"], titles);
    let came = "These policies came since the plan was made, and no CNI enforces them for pods in phase both-old, both-new, new: NetworkPolicy/x/p.";
    for (settings, then, now, expected) in [
        (none, false, true, Drift::Unenforced(vec![unenforced])),
        (SETTINGS, false, true, Drift::Absorbed(Vec::new())),
        (SETTINGS, true, false, Drift::Absorbed(Vec::new())),
        (SETTINGS, true, true, Drift::Absorbed(Vec::new())),
    ] {
        let plan = planned(&case(settings, then));
        assert_eq!(drift(&plan, &case(settings, now).scene()), expected, "{settings} {then} {now}");
    }
    // The worse counts.
    let plan = Plan { start: types::policy::Phase::BothOld, ..planned(&case(none, false)) };
    let (class, lines) = class_and_lines(drift(&plan, &case(none, true).scene()));
    assert!(class == 1 && lines.iter().any(|line| line == came), "{lines:?}");
}

#[test]
fn a_policy_that_no_node_has_any_more_is_no_drift() {
    let mut plan = plan();
    plan.policies.insert(0, "11".into());
    assert_eq!(drift(&plan, &case(objects()).scene()), Drift::Absorbed(Vec::new()));
    // Nor is a node in a later phase: the run brings them there.
    let (mut b, mut seen) = (node("b", "z2"), observed());
    seen["phase"] = "both-old".into();
    report(&mut b, &seen);
    let mut moved = objects();
    moved[1] = b;
    assert_eq!(drift(&plan, &case(moved).scene()), Drift::Absorbed(Vec::new()));
}

/// A large cluster in the order that its plan gives it: two zones, a control plane, and a group of stateful workloads. Nodes come, go and lose pods since.
#[test]
fn the_waves_of_an_honest_plan_are_given_after_nodes_and_pods_have_moved() {
    let large = || -> Vec<Value> {
        let items_of =
            |zone: &'static str| (0..60).map(move |index| node(&format!("{zone}-{index:02}"), zone));
        let mut all: Vec<Value> = items_of("z1").chain(items_of("z2")).collect();
        all.extend([control_plane("cp", "z1"), dns("z1-07"), dns("z2-09")]);
        all.push(pod("db-0", "z2-03", "StatefulSet", "db"));
        all
    };
    let settings = "freeze: [{name: db, members: [{kind: StatefulSet, namespace: default, name: db}]}]";
    let plan = planned(&with(cluster(large()), settings));
    let kinds: Vec<WaveKind> = plan.waves.iter().map(|wave| wave.kind).collect();
    let every = [
        WaveKind::Scouts,
        WaveKind::Dns,
        WaveKind::Canary,
        WaveKind::Zone,
        WaveKind::Zone,
        WaveKind::Stateful,
        WaveKind::ControlPlane,
    ];
    assert_eq!(kinds, every);
    let texts_of =
        |wave: &Wave| wave.nodes.iter().map(|planned| planned.name.to_string()).collect::<Vec<_>>();
    let canary = texts_of(&plan.waves[2]);
    let named = |object: &Value, names: &[String]| {
        names.iter().any(|name| object["metadata"]["name"] == name.as_str())
    };
    // Whatever a wave of its own was made for has moved elsewhere, and nodes have gone that it was made of.
    for gone in [
        Vec::new(),
        canary.clone(),
        texts_of(&plan.waves[0]),
        texts_of(&plan.waves[3]),
        texts_of(&plan.waves[6]),
    ] {
        let mut today: Vec<Value> = large().into_iter().filter(|object| !named(object, &gone)).collect();
        for object in today.iter_mut().filter(|object| object["kind"] == "Pod") {
            object["spec"]["nodeName"] = "z1-40".into();
        }
        today.push(node("new", "z2"));
        let (class, lines) = class_and_lines(drift(&plan, &with(cluster(today), settings).scene()));
        assert_eq!(class, 0, "{lines:?}");
    }
    // A node writes its own zone, and no label of one node keeps the others.
    for name in canary.iter().chain(&texts_of(&plan.waves[3])[..1]) {
        let mut today = large();
        let object =
            today.iter_mut().find(|object| object["metadata"]["name"] == name.as_str()).expect("a node");
        let zone = if name.starts_with("z1") { "z2" } else { "z1" };
        *object = labelled(object.clone(), "topology.kubernetes.io/zone", zone);
        let (class, lines) = class_and_lines(drift(&plan, &with(cluster(today), settings).scene()));
        assert_eq!(class, 0, "{lines:?}");
    }
    // Others put nodes elsewhere.
    let moved = |from: usize, to: usize| {
        let mut plan = plan.clone();
        let nodes = std::mem::take(&mut plan.waves[from].nodes);
        plan.waves[to].nodes.extend(nodes);
        plan.waves.retain(|wave| !wave.nodes.is_empty());
        plan
    };
    let mut swapped = plan.clone();
    swapped.waves.swap(3, 4);
    for (forged, words) in [
        (moved(6, 3), "Node cp is of the control plane, and the plan moves it in the wave zone z1."),
        (moved(4, 2), "The wave canary has"),
        (swapped, "The wave zone z1 comes later"),
    ] {
        let (class, lines) = class_and_lines(drift(&forged, &with(cluster(large()), settings).scene()));
        assert!(class == 1 && lines.len() == 1 && lines[0].starts_with(words), "{words}: {lines:?}");
    }
    let (class, lines) = class_and_lines(drift(&moved(4, 3), &with(cluster(large()), settings).scene()));
    assert!(class == 0 && lines.len() > 50, "the run holds each of them: {lines:?}");
}

/// A cluster of Calico and Cilium. Each node: its name, its phase and the address of its pod.
fn calico_and_cilium(nodes: &[(&str, &str, &str)]) -> Case {
    let pool =
        object(Kind::IP_POOL, "pool", json!({"spec": {"cidr": "10.244.0.0/16", "ipipMode": "Always"}})).1;
    let config = json!({"metadata": {"namespace": "kube-system"},
        "data": {"ipam": "cluster-pool", "cluster-pool-ipv4-cidr": "10.245.0.0/16"}});
    let cilium = object(Kind::CONFIG_MAP, "cilium-config", config).1;
    let mut objects = vec![pool, cilium, node("empty", "z2")];
    objects.extend([agent("calico-node", "calico-node", 1), agent("cilium", "cilium-agent", 3)]);
    for (name, phase, address) in nodes {
        let (mut node, mut seen) = (node(name, "z1"), observed());
        (seen["phase"], seen["mints"]) = ((*phase).into(), json!([phase]));
        seen["attached"] = json!({*phase: 1});
        report(&mut node, &seen);
        let mut web = pod(&format!("web-{name}"), name, "ReplicaSet", "web");
        web["status"]["podIPs"] = json!([{"ip": address}]);
        objects.extend([node, web]);
    }
    let mut case = Case::having(Cni::Calico, Cni::Cilium, objects);
    case.snapshot.cluster.uid = Some("cluster-1".into());
    case
}

/// A node writes its own report.
#[test]
fn a_node_that_contradicts_others_is_a_matter_of_that_node() {
    let honest = ("a", "old", "10.244.1.2");
    let plan = planned(&calico_and_cilium(&[honest]));
    let case = calico_and_cilium(&[honest, ("b", "new", "10.244.2.2")]);
    let (class, lines) = class_and_lines(drift(&plan, &case.scene()));
    assert_eq!((class, lines), (0, vec!["Node b came; it moves after the nodes of its zone.".to_owned()]));
}

/// The command that resumes a run names no CNI: these are those that the plan names. Each row: the plan's CNIs, what nodes are in, their pods' address, and
/// a word of the line.
#[test]
fn a_plan_of_other_cnis_than_those_of_the_cluster_is_stale() {
    let cluster = |phase: &str, address: &str| calico_and_cilium(&[("a", phase, address)]);
    let direction = "have addresses of the other network";
    for (from, to, phase, address, words) in [
        (Cni::Calico, Cni::Cilium, "old", "10.244.1.2", None),
        (Cni::Calico, Cni::Cilium, "new", "10.245.1.2", None),
        (Cni::Calico, Cni::Cilium, "old", "192.0.2.1", None),
        (Cni::Cilium, Cni::Calico, "old", "10.244.1.2", Some(direction)),
        (Cni::Calico, Cni::Cilium, "old", "10.245.1.2", Some(direction)),
        (Cni::Calico, Cni::Cilium, "new", "10.244.1.2", Some(direction)),
        (Cni::Flannel, Cni::Cilium, "old", "10.244.1.2", Some("the cluster has no agent of flannel")),
        (Cni::Calico, Cni::Antrea, "old", "10.244.1.2", Some("the cluster has no agent of antrea")),
    ] {
        let plan = planned(&cluster("old", "10.244.1.2"));
        let case = Case { from, to, ..cluster(phase, address) };
        let scene = case.scene();
        let (networks, agents) =
            (crate::plan::parts::networks(&scene), crate::plan::parts::agents(&scene, false));
        let forged = Plan { from, to, networks, agents, ..plan };
        let (class, lines) = class_and_lines(drift(&forged, &scene));
        match words {
            None => assert_eq!((class, lines), (0, Vec::new()), "{phase} {address}"),
            Some(words) => {
                assert!(class == 1 && lines.iter().any(|line| line.contains(words)), "{words}: {lines:?}")
            }
        }
    }
}

/// Which nodes let networks join is of the day on which the plan was made. A way that no pass has is another program's.
#[test]
fn the_ways_of_a_plan_are_those_that_its_passes_can_have() {
    use crate::cni::reach::Way::{self, Join, Leave, Restart};
    let with_ways = |ways: &[Way]| {
        class_and_lines(drift(&Plan { ways: ways.to_vec(), ..plan() }, &case(objects()).scene()))
    };
    for ways in [&[][..], &[Join, Restart, Leave], &[Restart, Restart, Leave]] {
        assert_eq!(with_ways(ways), (0, Vec::new()), "{ways:?}");
    }
    for ways in [&[Join, Join, Leave], &[Leave, Restart, Leave]] {
        let (class, lines) = with_ways(ways);
        assert!(class == 1 && lines.iter().any(|line| line.starts_with("The plan's ways")), "{lines:?}");
    }
}

/// Each row: the settings of Cilium when the plan is made and today, a waiver, and whether the plan is stale.
#[test]
fn a_plan_that_relied_on_socket_translation_is_stale_once_some_node_lacks_it() {
    let service = object(
        Kind::SERVICE,
        "dns",
        json!({"metadata": {"namespace": "kube-system"}, "spec": {"clusterIPs": ["10.96.0.10"], "selector": {"k8s-app": "dns"}}}),
    )
    .1;
    let cilium = |sockets: &str| {
        object(Kind::CONFIG_MAP, "cilium-config", json!({"data": {"bpf-lb-sock": sockets}})).1
    };
    let case = |sockets: &str, settings: &str| {
        with(cluster([objects(), vec![service.clone(), cilium(sockets)]].concat()), settings)
    };
    let waived = "waivers: [{finding: services-bridged, reason: they may fail}]\nroll: {leaveOut: [{node: edge-*, reason: edge}], unenforced: [NetworkPolicy]}";
    let bridged = "roll: {leaveOut: [{node: edge-*, reason: edge}], unenforced: [NetworkPolicy], bridge: {accept: a router}}";
    for (then, today, settings, is_stale) in [
        ("true", "true", SETTINGS, false),
        ("true", "false", SETTINGS, true),
        ("false", "false", waived, false),
        ("true", "false", bridged, false),
    ] {
        let scene = case(then, settings);
        let mut plan = planned(&scene);
        // The plan is built without findings here, so it has no waiver by itself.
        plan.waivers.clone_from(&scene.config.waivers);
        let (class, lines) = class_and_lines(drift(&plan, &case(today, settings).scene()));
        assert_eq!(class, u8::from(is_stale), "{then} {today} {settings}: {lines:?}");
        let named = "of kubectl crossfade check): Service/kube-system/dns.";
        assert!(lines.iter().all(|line| line.ends_with(named)), "{lines:?}");
    }
    // A plan that begins where no node is in `both-old` any more mixes no primaries.
    let mut late = planned(&case("true", SETTINGS));
    (late.start, late.passes) = (types::policy::Phase::BothNew, vec![types::policy::Phase::New]);
    let (_, lines) = class_and_lines(drift(&late, &case("false", SETTINGS).scene()));
    assert!(!lines.iter().any(|line| line.contains("services-bridged")), "{lines:?}");
}
