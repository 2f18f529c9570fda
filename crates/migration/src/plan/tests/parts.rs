//! The parts of a plan that are what cluster and settings say.

use serde_json::{Value, json};
use snapshot::model::Kind;
use types::policy::Phase;

use super::case::{
    BASE, agent, cluster, dns, flannel, labelled, node, observed, planned, pod, pods, report, with,
};
use crate::check::finding::{Finding, Rule, Severity};
use crate::check::tests::object;
use crate::config::roll::Method;
use crate::plan::Survey;
use crate::plan::notes;
use crate::plan::pods::{PassPods, by_pass, classes};
use crate::plan::{GateSource, build, canon, diff};

#[test]
fn nodes_without_a_cni_of_their_own_and_those_of_the_settings_are_left_out() {
    for (key, value, why) in [
        ("kubernetes.io/os", "windows", Some("Crossfade runs on Linux alone")),
        ("kubernetes.io/os", "linux", None),
        ("type", "virtual-kubelet", Some("a virtual node has no CNI")),
        ("eks.amazonaws.com/compute-type", "fargate", Some("Fargate decides on the network of its pods")),
        ("eks.amazonaws.com/compute-type", "auto", Some("EKS Auto Mode decides on the CNI of its nodes")),
    ] {
        let plan = planned(&cluster([node("a", ""), labelled(node("b", ""), key, value)]));
        let rows: Vec<(&str, &str)> =
            plan.left_out.iter().map(|out| (&*out.name, out.why.as_str())).collect();
        assert_eq!(rows, why.map(|why| ("b", why)).into_iter().collect::<Vec<_>>(), "{key}={value}");
    }
    let settings = "roll: {leaveOut: [{node: edge-*, reason: first}, {node: edge-1, reason: second}]}";
    let plan = planned(&with(cluster([node("a", ""), node("edge-1", ""), node("edge", "")]), settings));
    assert_eq!(plan.left_out.len(), 1);
    assert_eq!(
        (&*plan.left_out[0].name, &*plan.left_out[0].uid, &*plan.left_out[0].why),
        ("edge-1", "uid-edge-1", "first")
    );
}

#[test]
fn a_pool_has_its_zones_and_the_method_of_the_name_that_fits_best() {
    let value_of =
        |name: &str, zone: &str, pool: &str| labelled(node(name, zone), "karpenter.sh/nodepool", pool);
    let none = labelled(node("n", ""), "karpenter.sh/nodepool", Value::Null);
    let all = [
        value_of("a", "z2", "gpu-a"),
        value_of("b", "z1", "gpu-a"),
        value_of("c", "z1", "gpu-a"),
        value_of("d", "z1", "gpu-big"),
        value_of("e", "z1", "web"),
        none,
    ];
    let settings = "roll: {methods: {'gpu-*': churn, 'gpu-b*': drain, 'gpu-*a*': drain, gpu-a: churn}}";
    let plan = planned(&with(cluster(all), settings));
    let rows: Vec<(&str, u32, Vec<&str>, Method)> = plan
        .pools
        .iter()
        .map(|pool| (&*pool.name, pool.nodes, pool.zones.iter().map(|zone| &**zone).collect(), pool.method))
        .collect();
    assert_eq!(
        rows,
        [
            ("", 1, vec![""], Method::Drain),
            ("gpu-a", 3, vec!["z1", "z2"], Method::Churn),
            ("gpu-big", 1, vec!["z1"], Method::Drain),
            ("web", 1, vec!["z1"], Method::Drain),
        ]
    );
}

#[test]
fn every_plan_has_three_gates_and_those_of_the_settings() {
    let gates = |settings: &str| {
        let plan = planned(&with(cluster([node("a", "")]), settings));
        plan.gates
            .into_iter()
            .map(|gate| (gate.name, gate.source, gate.every_seconds, gate.fresh_seconds))
            .collect::<Vec<_>>()
    };
    let own = || {
        vec![
            ("workload".to_owned(), GateSource::Workload, 15, 60),
            ("dns".to_owned(), GateSource::Dns, 15, 60),
            ("api-server".to_owned(), GateSource::ApiServer, 15, 60),
        ]
    };
    assert_eq!(gates(""), own());
    let watched = ("watched".to_owned(), GateSource::Watched, 15, 60);
    assert_eq!(gates("watchedResources: {deployments: {default: [web]}}"), [own(), vec![watched]].concat());
    let command = GateSource::Command(vec!["./a".into(), "b".into()]);
    let command = ("a".to_owned(), command, 10, 20);
    assert_eq!(
        gates("roll: {gates: [{name: a, command: [./a, b], everySeconds: 10, freshSeconds: 20}]}"),
        [own(), vec![command]].concat()
    );
}

#[test]
fn what_nodes_and_agents_are_is_in_the_plan() {
    let (mut b, mut seen) = (node("b", ""), observed());
    seen["base"] = "11".into();
    report(&mut b, &seen);
    let pool = object(
        Kind::CONFIG_MAP,
        "cilium-config",
        json!({"metadata": {"namespace": "kube-system"},
        "data": {"ipam": "cluster-pool", "cluster-pool-ipv4-cidr": "10.245.0.0/16"}}),
    )
    .1;
    let case = cluster([node("a", ""), node("c", ""), b, pool, flannel(), agent("other", "web", 7)]);
    let plan = planned(&case);
    assert_eq!(plan.policies, ["11", BASE]);
    assert_eq!(
        (plan.networks.old.as_slice(), plan.networks.new.as_slice()),
        (&["10.244.0.0/16".to_owned()][..], &["10.245.0.0/16".to_owned()][..])
    );
    let agents: Vec<(&str, i64)> = plan.agents.iter().map(|agent| (&*agent.name, agent.generation)).collect();
    assert_eq!(agents, [("cilium", 3), ("kube-flannel-ds", 1)]);
    assert_eq!((plan.cluster.as_str(), plan.version), ("cluster-1", 1));
}

#[test]
fn only_waivers_of_findings_that_there_are_are_in_the_plan() {
    let case = with(
        cluster([node("a", "")]),
        "waivers: [{finding: x, object: Node/a, reason: known}, {finding: x, object: Node/b, reason: other}, {finding: y, reason: known}]",
    );
    const X: Rule = Severity::Blocks.rule("x", "what", "why", "fix");
    let finding = Finding { waived: Some("known".into()), ..Finding::new(&X) };
    let plan = build(&case.scene(), &Survey::gather(&case.scene()), &[finding]).expect("a plan");
    assert_eq!(plan.waivers, case.config.waivers[..1]);
}

/// Each row: the pod's change, and the class that counts it.
#[test]
fn pods_that_need_a_decision_are_counted() {
    let volumes = json!([{"name": "v", "emptyDir": {}}]);
    let plain = || pod("p", "a", "ReplicaSet", "web");
    let changed = |pointer: [&str; 2], value: Value| {
        let mut pod = plain();
        pod[pointer[0]][pointer[1]] = value;
        pod
    };
    let stays = json!({"karpenter.sh/do-not-disrupt": "true"});
    let mirror = json!({"kubernetes.io/config.mirror": "x"});
    let hosted = |mut pod: Value| {
        pod["spec"]["hostNetwork"] = true.into();
        pod
    };
    for (what, pod, class) in [
        ("plain", plain(), None),
        ("emptyDir", changed(["spec", "volumes"], volumes.clone()), Some("with an emptyDir")),
        ("emptyDir on the node's network", hosted(changed(["spec", "volumes"], volumes)), None),
        ("Job", pod("p", "a", "Job", "j"), Some("of a Job")),
        ("bare", pod("p", "a", "", ""), Some("without an owner")),
        ("stays", changed(["metadata", "annotations"], stays), Some("that ask not to be disrupted")),
        ("static", changed(["metadata", "annotations"], mirror), Some("static, with pod network")),
        ("on no node of the plan", pod("p", "w", "", ""), None),
        (
            "finished",
            {
                let mut pod = pod("p", "a", "", "");
                pod["status"]["phase"] = "Succeeded".into();
                pod
            },
            None,
        ),
    ] {
        let case = cluster([node("a", ""), labelled(node("w", ""), "kubernetes.io/os", "windows"), pod]);
        let counted = classes(&case.scene(), &planned(&case));
        let classes: Vec<&str> =
            counted.iter().filter(|class| class.count > 0).map(|class| class.pods).collect();
        assert_eq!(classes, class.into_iter().collect::<Vec<_>>(), "{what}");
        assert!(counted.iter().all(|class| class.decided == 0), "{what}");
    }
}

#[test]
fn settings_decide_on_pods() {
    let all = || {
        let mut empty = pod("e", "a", "ReplicaSet", "web");
        empty["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
        let mut stays = pod("s", "a", "ReplicaSet", "web");
        stays["metadata"]["annotations"] = json!({"karpenter.sh/do-not-disrupt": "true"});
        let mut mirror = pod("m", "a", "Node", "a");
        mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        [
            node("a", ""),
            empty,
            stays,
            mirror,
            pod("j", "a", "Job", "j"),
            pod("b1", "a", "", ""),
            pod("b2", "a", "", ""),
        ]
    };
    for (settings, decided) in [
        ("", [0, 0, 0, 0, 0]),
        ("deleteEmptyDir: true", [1, 0, 0, 0, 0]),
        ("evictJobs: true", [0, 1, 0, 0, 0]),
        ("delete: [default/b1]", [0, 0, 1, 0, 0]),
        ("delete: ['*/b*', default/x]", [0, 0, 2, 0, 0]),
        ("disrupt: [default/*]", [0, 0, 0, 1, 0]),
        ("inPlace: [default/m]", [0, 0, 0, 0, 1]),
        ("inPlace: [other/m]", [0, 0, 0, 0, 0]),
    ] {
        let case = with(cluster(all()), &format!("roll: {{pods: {{{settings}}}}}"));
        let counted = classes(&case.scene(), &planned(&case));
        let counts: Vec<usize> = counted.iter().map(|class| class.decided).collect();
        assert_eq!(counts, decided, "{settings}");
        assert_eq!(counted.iter().map(|class| class.count).collect::<Vec<_>>(), [1, 1, 2, 1, 1]);
    }
}

/// Forty nodes of one zone: a scout, a canary and 38 in the zone, two at once.
#[test]
fn the_time_is_that_of_all_waves_in_all_passes() {
    let seconds = |limits: &str| {
        let nodes = (0..40).map(|index| node(&format!("n{index:02}"), "z1"));
        let case = with(cluster(nodes), &format!("roll: {{limits: {limits}}}"));
        notes::eta_seconds(&planned(&case))
    };
    let pass = (1 + 1 + 19) * 180;
    assert_eq!(seconds("{}"), 3 * (pass + 600));
    assert_eq!(seconds("{soakSeconds: 0}"), 3 * pass);
    assert_eq!(seconds("{soakSeconds: 0, zonePercent: 50}"), 3 * (1 + 1 + 2) * 180);
    assert_eq!(seconds("{soakSeconds: 0, perHour: 10}"), 3 * 4 * 3600);
    let mut scene = cluster([node("a", ""), node("b", ""), dns("a")]);
    scene.strategy = crate::cni::support::Strategy::Bridge;
    let plan = planned(&with(scene, "roll: {limits: {soakSeconds: 0}, bridge: {accept: a router}}"));
    assert_eq!(notes::eta_seconds(&plan), 2 * 180);
}

/// A node that lets these networks join and leave its pods.
fn joining(name: &str, joins: &Value) -> Value {
    let mut node = node(name, "");
    let mut seen = observed();
    seen["joins"] = joins.clone();
    report(&mut node, &seen);
    node
}

#[test]
fn a_pass_has_the_way_of_the_nodes_that_let_networks_join() {
    use crate::cni::reach::Way::{Join, Leave, Restart};
    for (a, b, ways, restarts, named) in [
        (json!([]), json!([]), &[][..], 3, &[][..]),
        (json!(["old", "new"]), json!(["old", "new"]), &[Join, Restart, Leave], 1, &[]),
        (json!(["new"]), json!(["new"]), &[Join, Restart, Restart], 2, &[]),
        (json!(["old", "new"]), json!([]), &[Join, Restart, Leave], 1, &["pass to both-old", "pass to new"]),
        (json!(["old"]), json!(["new"]), &[Join, Restart, Leave], 1, &["run: a.", "run: b."]),
    ] {
        let case = cluster([joining("a", &a), joining("b", &b), dns("a")]);
        let plan = planned(&case);
        assert_eq!((&plan.ways[..], plan.restarts()), (ways, restarts), "{a} {b}");
        let notes = notes::notes(&case.scene(), &Survey::gather(&case.scene()), &plan);
        assert_eq!(notes.len(), named.len(), "{a} {b}: {notes:?}");
        assert!(notes.iter().zip(named).all(|(note, words)| note.contains(words)), "{a} {b}: {notes:?}");
        assert_eq!(canon::read(&canon::bytes(&plan)), Ok(plan), "{a} {b}");
    }
}

/// The hash of a plan covers its ways, and a plan in which nothing joins has the bytes that it had before there were ways.
#[test]
fn the_ways_are_part_of_the_plan() {
    let plan = |joins: &Value| planned(&cluster([joining("a", joins), joining("b", joins), dns("a")]));
    let (without, with) = (plan(&json!([])), plan(&json!(["old", "new"])));
    assert_ne!(canon::hash(&without), canon::hash(&with));
    assert!(!String::from_utf8_lossy(&canon::bytes(&without)).contains("ways"));
    assert_eq!(diff(&without, &with), [r#"ways: ["join","restart","leave"], was not there"#]);
    let soak = notes::eta_seconds(&without) - 3 * 2 * 180;
    assert_eq!(notes::eta_seconds(&with), soak + 2 * (120 + 180 + 120));
    let mut bad = with;
    bad.ways.pop();
    let why = canon::read(&canon::bytes(&bad)).expect_err("a contradiction");
    assert!(why.contains("ways: expected one for each of 3 passes, found 2"), "{why}");
}

/// Two of the nodes let networks join; their pods do, but those that a class or an annotation leaves to a restart.
#[test]
fn each_pass_counts_the_pods_that_join_leave_or_restart() {
    use crate::cni::reach::Way::{Join, Leave, Restart};
    let both = json!(["old", "new"]);
    let mut virtual_machine = pods("a", 1).remove(0);
    virtual_machine["spec"]["runtimeClassName"] = "kata".into();
    let mut annotated = pods("b", 1).remove(0);
    annotated["metadata"]["annotations"] = json!({"crossfade/restart": "true"});
    let mut of_host = pods("c", 1).remove(0);
    of_host["spec"]["hostNetwork"] = true.into();
    let plain = ["a", "b", "c"].map(|name| {
        let mut pod = pods(name, 1).remove(0);
        pod["metadata"]["name"] = format!("web-{name}").into();
        pod
    });
    let nodes = [joining("a", &both), joining("b", &both), joining("c", &json!([])), dns("a")];
    let case = cluster(nodes.into_iter().chain(plain).chain([virtual_machine, annotated, of_host]));
    let plan = planned(&case);
    let passes = by_pass(&case.scene(), &Survey::gather(&case.scene()), &plan);
    let handler = "RuntimeClass kata: handler kata reads interfaces only at its start";
    let reasons = || {
        [("annotation crossfade/restart", 1), (handler, 1), ("the node lets no network join or leave it", 1)]
            .map(|(reason, count)| (reason.to_owned(), count))
            .into()
    };
    let pass = |to, way, pods, restarts| PassPods { to, way, pods, restarts };
    let expected = [
        pass(Phase::BothOld, Join, 3, reasons()),
        pass(Phase::BothNew, Restart, 6, [].into()),
        pass(Phase::New, Leave, 3, reasons()),
    ];
    assert_eq!(passes, expected);
}
