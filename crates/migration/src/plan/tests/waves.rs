//! One rule of the order of nodes, one test.

use serde_json::{Value, json};

use super::case::{cluster, control_plane, dns, labelled, names, node, of_kind, planned, pod, pods, with};
use crate::plan::WaveKind::{Canary, ControlPlane, Dns, Scouts, Stateful, Zone};
use crate::plan::canon::sha256;
use crate::plan::{Plan, Wave, WaveName};

fn wave<'p>(plan: &'p Plan, name: &str) -> &'p Wave {
    plan.waves
        .iter()
        .find(|wave| wave.name.to_string() == name)
        .unwrap_or_else(|| panic!("{name}: {:#?}", plan.waves))
}

fn info(mut node: Value, key: &str, value: &str) -> Value {
    node["status"]["nodeInfo"][key] = value.into();
    node
}

/// Two nodes of one zone; each row changes the second one.
#[test]
fn each_kind_of_node_has_a_scout_and_so_has_each_zone() {
    for (what, other, scouts) in [
        ("nothing", node("b", "z1"), 1),
        ("zone", node("b", "z2"), 2),
        ("pool", labelled(node("b", "z1"), "karpenter.sh/nodepool", "gpu"), 2),
        ("no pool", labelled(node("b", "z1"), "karpenter.sh/nodepool", Value::Null), 2),
        ("architecture", info(node("b", "z1"), "architecture", "arm64"), 2),
        ("runtime", info(node("b", "z1"), "containerRuntimeVersion", "cri-o://1.7.20"), 2),
        ("version of the runtime", info(node("b", "z1"), "containerRuntimeVersion", "containerd://2.0.1"), 2),
        ("patch of the runtime", info(node("b", "z1"), "containerRuntimeVersion", "containerd://1.7.9"), 1),
        ("kernel", info(node("b", "z1"), "kernelVersion", "6.8.0-41-generic"), 2),
        ("patch of the kernel", info(node("b", "z1"), "kernelVersion", "6.1.99-26-amd64"), 1),
    ] {
        let plan = planned(&cluster([node("a", "z1"), other]));
        assert_eq!(wave(&plan, "scouts").nodes.len(), scouts, "{what}: {:#?}", plan.waves);
    }
}

#[test]
fn one_scout_stands_for_as_much_as_it_can() {
    let gpu = labelled(node("c", "z2"), "karpenter.sh/nodepool", "gpu");
    // After `a`, `b` stands for its zone alone, and `c` for its zone and its pool, though `b` has fewer pods.
    let all = [node("a", "z1"), node("b", "z2"), gpu];
    let plan = planned(&cluster(all.into_iter().chain(pods("b", 1)).chain(pods("c", 2))));
    assert_eq!(names(wave(&plan, "scouts")), ["a", "c"]);
    let whys: Vec<&str> = wave(&plan, "scouts").nodes.iter().map(|planned| planned.why.as_str()).collect();
    assert_eq!(
        whys,
        [
            "the first of pool web, amd64, containerd 1.7, kernel 6.1 and the first in zone z1",
            "the first of pool gpu, amd64, containerd 1.7, kernel 6.1 and the first in zone z2",
        ]
    );
}

#[test]
fn scouts_move_one_by_one_and_then_nothing_moves_for_a_while() {
    let case = with(
        cluster([node("a", "z1"), node("b", "z2"), node("c", "z1")]),
        "roll: {limits: {soakSeconds: 77}}",
    );
    let plan = planned(&case);
    let soaks: Vec<u32> = plan.waves.iter().map(|wave| wave.soak_seconds).collect();
    assert_eq!((wave(&plan, "scouts").at_once, wave(&plan, "scouts").kind), (1, Scouts));
    assert_eq!(soaks[0], 77);
    assert!(soaks.len() > 1 && soaks[1..].iter().all(|soak| *soak == 0), "{soaks:?}");
}

#[test]
fn no_node_with_dns_pods_is_a_scout_unless_all_have_some() {
    let plan = planned(&cluster([node("a", ""), node("b", ""), dns("a")].into_iter().chain(pods("b", 3))));
    assert_eq!(names(wave(&plan, "scouts")), ["b"]);
    let both = [node("a", ""), node("b", ""), dns("a"), dns("b")];
    let plan = planned(&cluster(both.into_iter().chain(pods("a", 3))));
    assert_eq!((names(wave(&plan, "scouts")), names(wave(&plan, "dns"))), (vec!["b"], vec!["a"]));
}

#[test]
fn nodes_of_the_control_plane_and_of_groups_are_no_scouts() {
    let all = [node("a", ""), control_plane("b", ""), node("c", ""), pod("pg-0", "c", "StatefulSet", "pg")];
    let case = with(
        cluster(all.into_iter().chain(pods("a", 5))),
        "freeze: [{name: db, members: [{namespace: default, name: pg}]}]",
    );
    let plan = planned(&case);
    assert_eq!(of_kind(&plan, Scouts), [["a"]]);
    assert_eq!((of_kind(&plan, Stateful), of_kind(&plan, ControlPlane)), (vec![vec!["c"]], vec![vec!["b"]]));
}

/// Zone z1 has a DNS pod on `d`; the scouts are `s` of z1 and `s2` of z2. Each row changes `s`, which DNS pods may land on, and `l`, the other one.
#[test]
fn dns_pods_find_a_node_that_has_moved_in_their_zone() {
    let tainted = |mut node: Value| {
        node["spec"]["taints"] = json!([{"key": "gpu", "effect": "NoSchedule"}]);
        node
    };
    let cordoned = |mut node: Value| {
        node["spec"]["unschedulable"] = true.into();
        node
    };
    let plain = |name: &str| node(name, "z1");
    for (what, scout, other, expected) in [
        ("the scout takes them", plain("s"), plain("l"), &["d"][..]),
        ("the scout's taint", tainted(plain("s")), plain("l"), &["l", "d"]),
        ("the scout is cordoned", cordoned(plain("s")), plain("l"), &["l", "d"]),
        ("no node takes them", tainted(plain("s")), tainted(plain("l")), &["d"]),
    ] {
        let all = [scout, other, node("d", "z1"), node("s2", "z2"), node("e", "z2"), dns("d")];
        let more = pods("l", 3).into_iter().chain(pods("e", 3));
        let plan = planned(&cluster(all.into_iter().chain(more)));
        assert_eq!(names(wave(&plan, "scouts")).first(), Some(&"s"), "{what}: {:#?}", plan.waves);
        assert_eq!(names(wave(&plan, "dns")), expected, "{what}");
    }
}

#[test]
fn nodes_with_dns_pods_move_zone_by_zone_and_one_by_one() {
    let values_of = |zone: &str| [1, 2, 3].map(|index| node(&format!("{zone}{index}"), zone));
    let all = values_of("z2").into_iter().chain(values_of("z1")).chain(["z12", "z13", "z23"].map(dns));
    let plan = planned(&cluster(all.chain(pods("z12", 2))));
    assert_eq!(names(wave(&plan, "dns")), ["z13", "z12", "z23"]);
    assert_eq!((wave(&plan, "dns").at_once, wave(&plan, "dns").kind), (1, Dns));
    assert_eq!(wave(&plan, "dns").nodes[0].why, "it has a DNS pod");
}

#[test]
fn dns_pods_that_stay_on_their_node_need_no_wave() {
    let daemon = |node: &str| {
        let mut pod = dns(node);
        pod["metadata"]["ownerReferences"][0]["kind"] = "DaemonSet".into();
        pod
    };
    let plan = planned(&cluster([node("a", ""), node("b", ""), daemon("a"), daemon("b")]));
    assert_eq!(of_kind(&plan, Dns), Vec::<Vec<&str>>::new());
}

/// How many nodes of one zone are in the canary.
#[test]
fn the_canary_has_two_percent_of_a_zone_and_at_least_one_node() {
    for (nodes, canary) in [(2, 1), (50, 1), (51, 2), (101, 3)] {
        let plan = planned(&cluster((0..nodes).map(|index| node(&format!("n{index:03}"), "z1"))));
        assert_eq!(wave(&plan, "canary").nodes.len(), canary, "{nodes}");
        assert_eq!(wave(&plan, "canary").kind, Canary);
    }
}

#[test]
fn the_canary_takes_zones_in_turns_with_one_node_of_each_at_once() {
    let items_of = |zone: &'static str| (0..52).map(move |index| node(&format!("{zone}-{index:02}"), zone));
    let plan = planned(&cluster(items_of("z1").chain(items_of("z2"))));
    let canary = wave(&plan, "canary");
    let zones: Vec<&str> = names(canary).into_iter().map(|name| &name[..2]).collect();
    assert_eq!((zones, canary.at_once), (vec!["z1", "z2", "z1", "z2"], 2));
    let case = with(cluster(items_of("z1").chain(items_of("z2"))), "roll: {limits: {inTransit: 1}}");
    assert_eq!(wave(&planned(&case), "canary").at_once, 1);
}

#[test]
fn zones_move_one_after_the_other() {
    let items_of = |zone: &'static str| (0..3).map(move |index| node(&format!("n{zone}{index}"), zone));
    let plan = planned(&cluster(items_of("z2").chain(items_of("")).chain(items_of("z1"))));
    let zones: Vec<String> =
        plan.waves.iter().filter(|wave| wave.kind == Zone).map(|wave| wave.name.to_string()).collect();
    assert_eq!(zones, ["nodes without a zone", "zone z1", "zone z2"]);
    assert!(of_kind(&plan, Zone).iter().all(|nodes| nodes.len() == 1), "one scout, one canary, one left");
}

/// How many nodes of a zone of 40 are in transit at once.
#[test]
fn a_share_of_a_zone_is_in_transit_at_once() {
    for (limits, at_once) in [
        ("{}", 2),
        ("{zonePercent: 10}", 4),
        ("{zonePercent: 1}", 1),
        ("{zonePercent: 100}", 25),
        ("{zonePercent: 100, inTransit: 3}", 3),
    ] {
        let nodes = (0..40).map(|index| node(&format!("n{index:02}"), "z1"));
        let plan = planned(&with(cluster(nodes), &format!("roll: {{limits: {limits}}}")));
        assert_eq!(wave(&plan, "zone z1").at_once, at_once, "{limits}");
    }
}

#[test]
fn nodes_with_fewest_pods_move_first() {
    let all = ["a", "b", "c", "d", "e"].map(|name| node(name, "z1"));
    let counts =
        [("a", 4), ("b", 2), ("c", 3), ("d", 1)].into_iter().flat_map(|(node, count)| pods(node, count));
    let mut on_host = pods("e", 9);
    on_host.iter_mut().for_each(|pod| pod["spec"]["hostNetwork"] = true.into());
    let plan = planned(&cluster(all.into_iter().chain(counts).chain(on_host)));
    let order: Vec<&str> = plan.waves.iter().flat_map(names).collect();
    assert_eq!(order, ["e", "d", "b", "c", "a"], "pods on the node's network do not count");
}

#[test]
fn of_nodes_with_as_many_pods_a_hash_of_cluster_and_name_decides() {
    let all: Vec<String> = (0..8).map(|index| format!("n{index}")).collect();
    for uid in ["cluster-1", "cluster-2"] {
        let mut case = cluster(all.iter().map(|name| node(name, "z1")));
        case.snapshot.cluster.uid = Some(uid.into());
        let plan = planned(&case);
        let order: Vec<&str> = plan.waves.iter().flat_map(names).collect();
        let mut expected: Vec<&str> = all.iter().map(String::as_str).collect();
        expected.sort_by_key(|name| sha256(format!("{uid}\n{name}").as_bytes()));
        assert_eq!(order, expected, "{uid}");
    }
}

#[test]
fn nodes_of_the_pools_that_the_settings_name_go_first_in_their_wave() {
    let of_pool = |name: &str, pool: &str| labelled(node(name, "z1"), "karpenter.sh/nodepool", pool);
    let all = [
        of_pool("a", "web"),
        of_pool("b", "web"),
        of_pool("c", "batch-1"),
        of_pool("d", "batch-1"),
        of_pool("e", "db"),
    ];
    let case =
        || cluster(all.iter().cloned().chain(["b", "c", "d"].into_iter().flat_map(|name| pods(name, 3))));
    let order = |settings: &str| {
        let plan = planned(&with(case(), settings));
        plan.waves.iter().flat_map(names).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(order("roll: {poolOrder: [batch-*, db]}"), ["c", "e", "a", "d", "b"]);
    assert_eq!(order("roll: {poolOrder: [web]}")[..1], ["a"]);
    assert_ne!(order("")[0], "c");
}

#[test]
fn stateful_groups_move_after_the_zones_in_the_order_of_the_settings() {
    let stateful = |name: &str, node: &str, owner: &str| pod(name, node, "StatefulSet", owner);
    let all = [
        node("a", "z1"),
        node("b", "z1"),
        node("c", "z1"),
        node("d", "z1"),
        node("e", "z1"),
        control_plane("m", "z1"),
        stateful("pg-0", "a", "pg"),
        stateful("zk-0", "b", "zk"),
        // Both groups: the first one counts.
        stateful("pg-1", "c", "pg"),
        stateful("zk-1", "c", "zk"),
        // The second member of its group.
        stateful("zk2-0", "d", "zk2"),
        // Another StatefulSet.
        stateful("x-0", "e", "x"),
        stateful("zk-2", "m", "zk"),
    ];
    let settings = "freeze: [{name: zk, members: [{namespace: default, name: zk}, {namespace: default, name: zk2}]}, {name: pg, members: [{namespace: default, name: pg}]}]";
    let plan = planned(&with(cluster(all.into_iter().chain(pods("b", 4))), settings));
    let waves: Vec<(WaveName, Vec<&str>, u32)> =
        plan.waves.iter().map(|wave| (wave.name.clone(), names(wave), wave.at_once)).collect();
    assert_eq!(
        waves,
        [
            (WaveName::Scouts, vec!["e"], 1),
            (WaveName::Group("zk".into()), vec!["c", "b", "d"], 1),
            (WaveName::Group("pg".into()), vec!["a"], 1),
            (WaveName::ControlPlane, vec!["m"], 1),
        ]
    );
    assert_eq!(plan.waves[1].nodes[2].why, "it has pods of StatefulSet/default/zk2");
}

#[test]
fn the_control_plane_moves_last_one_by_one() {
    let old = labelled(node("m2", "z1"), "node-role.kubernetes.io/master", "");
    let all = [control_plane("m1", "z1"), old, node("a", "z1"), node("b", "z1"), dns("m1")];
    let plan = planned(&cluster(all.into_iter().chain(pods("m2", 2))));
    let last = plan.waves.last().expect("a wave");
    assert_eq!((last.kind, last.at_once, names(last)), (ControlPlane, 1, vec!["m1", "m2"]));
    assert_eq!(of_kind(&plan, Dns), Vec::<Vec<&str>>::new(), "its DNS pods move with it");
}
