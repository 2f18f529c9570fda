//! Plans that bring stragglers to the phase of their cluster.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use types::policy::Phase;

use super::case::{BASE, cluster, control_plane, dns, labelled, names, node, pod, report, with};
use crate::check::tests::Case;
use crate::plan::Survey;
use crate::plan::fix::{Fix, Remedy, fix};
use crate::plan::{Drift, Plan, WaveKind, canon, drift};

/// What a node reports: its phase, its attachments by phase, and the pods that it names as attached in another one.
fn node_report(phase: &str, attached: &Value, others: &[&str]) -> Value {
    let mut attached = attached.clone();
    attached["others"] = json!(others);
    json!({"bootId": "b", "phase": phase, "policySha256": "ab", "base": BASE, "mints": [phase],
        "follows": ["old", "both-old", "both-new", "new"], "attached": attached, "echo": null})
}

fn in_phase(node: Value, phase: &str, report_: &Value) -> Value {
    let mut node = labelled(node, "crossfade/phase", phase);
    report(&mut node, report_);
    node
}

/// A node in `new`, with one pod in `new`.
fn done(name: &str) -> Value {
    in_phase(node(name, "z"), "new", &node_report("new", &json!({"new": 1}), &[]))
}

/// A node in `new` with a pod of an earlier phase, whose UID is `ids`.
fn late(name: &str, phase: &str, ids: &[&str]) -> Value {
    in_phase(node(name, "z"), "new", &node_report("new", &json!({"new": 1, phase: ids.len()}), ids))
}

/// A pod with this UID.
fn straggler(name: &str, node: &str, kind: &str, uid: &str) -> Value {
    let mut pod = pod(name, node, kind, "web");
    pod["metadata"]["uid"] = uid.into();
    pod
}

#[track_caller]
fn fixed(case: &Case) -> Fix {
    fix(&case.scene(), &Survey::gather(&case.scene()), &[], Phase::New, &BTreeSet::new())
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn planned(fix: &Fix) -> Vec<&str> {
    fix.plan.iter().flat_map(|plan| &plan.waves).flat_map(names).collect()
}

/// Each pod with what becomes of it: the first word of why it stays is enough.
fn fates(fix: &Fix) -> Vec<(&str, String)> {
    let fate = |becomes: &Remedy| match becomes {
        Remedy::Stays { why, help } => {
            assert!(!why.is_empty());
            assert!(!help.is_empty() || why.starts_with("none"), "{why}");
            why.clone()
        }
        other => format!("{other:?}"),
    };
    fix.pods.iter().map(|pod_fix| (pod_fix.pod.as_str(), fate(&pod_fix.becomes))).collect()
}

/// One straggler on one node: the plan has that node alone, and its only pass begins where it leads.
#[test]
fn only_nodes_with_stragglers_have_a_place() {
    let case = cluster([
        done("a"),
        late("b", "old", &["11111111"]),
        done("c"),
        straggler("p", "b", "ReplicaSet", "11111111"),
        straggler("q", "b", "ReplicaSet", "22222222"),
    ]);
    let fix = fixed(&case);
    let plan = fix.plan.as_ref().expect("a plan");
    assert_eq!((plan.start, &plan.passes[..]), (Phase::New, &[Phase::New][..]));
    assert!(plan.fixes_stragglers());
    assert_eq!(planned(&fix), ["b"]);
    assert_eq!(fates(&fix), [("default/p", "Evicted".to_owned())]);
    // The others stay part of the run: they take pods, and what is wrong with them counts.
    assert_eq!((plan.left_out.len(), plan.pools[0].nodes), (0, 3));
    assert_eq!(plan.gates.len(), 3);
    assert_eq!(canon::read(&canon::bytes(plan)).as_ref(), Ok(plan));
}

#[test]
fn a_cluster_without_stragglers_needs_no_plan() {
    let fix = fixed(&cluster([done("a"), done("b")]));
    assert_eq!(fix, Fix { plan: None, pods: Vec::new(), nodes: Vec::new() });
}

/// Nodes keep the order of any plan: the control plane is last.
#[test]
fn nodes_keep_their_order() {
    let master =
        in_phase(control_plane("a", "z"), "new", &node_report("new", &json!({"old": 1}), &["11111111"]));
    let case = cluster([
        master,
        late("b", "old", &["22222222"]),
        late("c", "old", &["33333333"]),
        straggler("p", "a", "ReplicaSet", "11111111"),
        straggler("q", "b", "ReplicaSet", "22222222"),
        straggler("r", "c", "ReplicaSet", "33333333"),
        straggler("s", "c", "ReplicaSet", "44444444"),
    ]);
    let fix = fixed(&case);
    assert_eq!(planned(&fix), ["b", "c", "a"]);
    let kinds: Vec<WaveKind> = fix.plan.iter().flat_map(|plan| &plan.waves).map(|wave| wave.kind).collect();
    assert_eq!(kinds.first().zip(kinds.last()), Some((&WaveKind::Scouts, &WaveKind::ControlPlane)));
}

/// Other stragglers may reach no DNS pod but those that are stragglers themselves.
#[test]
fn stragglers_of_dns_move_last() {
    let mut served = dns("b");
    served["metadata"]["uid"] = "11111111".into();
    let mut right = dns("c");
    right["metadata"]["uid"] = "99999999".into();
    let case = cluster([
        done("a"),
        late("b", "old", &["11111111"]),
        late("c", "old", &["22222222"]),
        served,
        right,
        straggler("q", "c", "ReplicaSet", "22222222"),
        straggler("r", "c", "ReplicaSet", "33333333"),
    ]);
    let fix = fixed(&case);
    assert_eq!(planned(&fix), ["c", "b"]);
    let last = fix.plan.as_ref().and_then(|plan| plan.waves.last()).expect("a wave");
    assert_eq!((last.kind, last.at_once, names(last)), (WaveKind::Dns, 1, vec!["b"]));
}

/// Each row: what is special about the straggler, the settings, and what becomes of it. A node of which nothing moves has no place.
#[test]
fn a_straggler_that_waits_for_a_person_keeps_its_node_out() {
    let usual = || straggler("p", "b", "ReplicaSet", "11111111");
    let with_key = |pointer: &str, value: Value| {
        let mut pod = usual();
        pod[pointer.split('/').next().expect("a key")][pointer.split('/').nth(1).expect("a key")] = value;
        pod
    };
    let bare = || straggler("p", "b", "", "11111111");
    let job = || straggler("p", "b", "Job", "11111111");
    let mirror = json!({"kubernetes.io/config.mirror": "x"});
    let pinned = json!({"karpenter.sh/do-not-disrupt": "true"});
    let volume = json!([{"name": "d", "emptyDir": {}}]);
    for (pod, settings, expected, moves) in [
        (usual(), "", "Evicted", true),
        (bare(), "", "no controller makes it again", false),
        (bare(), "roll: {pods: {delete: [default/p]}}", "Deleted", true),
        (job(), "", "its Job goes on", false),
        (job(), "roll: {pods: {evictJobs: true}}", "EvictedLater", true),
        (with_key("metadata/annotations", mirror), "", "kubelet made it", false),
        (with_key("metadata/annotations", pinned.clone()), "", "an annotation", false),
        (with_key("metadata/annotations", pinned), "roll: {pods: {disrupt: [default/p]}}", "Evicted", true),
        (with_key("spec/volumes", volume.clone()), "", "it has an emptyDir", false),
        (with_key("spec/volumes", volume), "roll: {pods: {deleteEmptyDir: true}}", "Evicted", true),
        (
            with_key("metadata/deletionTimestamp", "2026-01-01T00:00:00Z".into()),
            "",
            "it is being deleted",
            false,
        ),
    ] {
        let mut pod = pod;
        pod["spec"]["nodeName"] = "b".into();
        let text = pod.to_string();
        let case = with(cluster([done("a"), late("b", "old", &["11111111"]), pod]), settings);
        let fix = fixed(&case);
        let fates = fates(&fix);
        assert!(fates.len() == 1 && fates[0].1.starts_with(expected), "{text}: {fates:?}");
        assert_eq!(planned(&fix), if moves { &["b"][..] } else { &[] }, "{text}");
    }
}

/// A pod that the command line names moves, as in a roll.
#[test]
fn a_pod_without_an_owner_may_be_named() {
    let case = cluster([done("a"), late("b", "old", &["11111111"]), straggler("p", "b", "", "11111111")]);
    let delete = ["default/p".to_owned()].into();
    let fix = fix(&case.scene(), &Survey::gather(&case.scene()), &[], Phase::New, &delete).expect("a fix");
    assert_eq!((planned(&fix), fates(&fix)), (vec!["b"], vec![("default/p", "Deleted".to_owned())]));
}

/// One that can be moved is enough: the run waits there for the other.
#[test]
fn a_node_takes_part_as_soon_as_one_of_its_stragglers_can_be_moved() {
    let case = cluster([
        done("a"),
        late("b", "old", &["11111111", "22222222"]),
        straggler("p", "b", "", "11111111"),
        straggler("q", "b", "ReplicaSet", "22222222"),
    ]);
    assert_eq!(planned(&fixed(&case)), ["b"]);
}

/// Each row: what is wrong with node `b`, and how the reason begins. It is left out, and the others have their places.
#[test]
fn nodes_that_moving_does_not_help_are_left_out() {
    let mut silent = late("b", "old", &["11111111"]);
    silent["metadata"]["annotations"] = json!({});
    let mut base = node_report("new", &json!({"old": 1}), &["11111111"]);
    let mut refusing = base.clone();
    refusing["follows"] = json!(["old"]);
    let mut minting = base.clone();
    minting["mints"] = json!(["new", "old"]);
    base["attached"]["others"] = json!([]);
    for (b, expected) in [
        (silent, "its node does not say"),
        (in_phase(node("b", "z"), "new", &refusing), "its node does not go to phase new"),
        (in_phase(node("b", "z"), "new", &minting), "a rule or an annotation gives pods phase old"),
        (in_phase(node("b", "z"), "new", &base), "no pod is known"),
    ] {
        let case = cluster([
            done("a"),
            b,
            late("c", "old", &["33333333"]),
            straggler("p", "b", "ReplicaSet", "11111111"),
            straggler("r", "c", "ReplicaSet", "33333333"),
        ]);
        let fix = fixed(&case);
        let out = &fix.plan.as_ref().expect("a plan").left_out;
        assert_eq!(planned(&fix), ["c"], "{expected}");
        assert!(out.len() == 1 && out[0].why.starts_with(expected), "{out:?}");
        let lines = fix.nodes.iter().map(|left| &left.why).cloned();
        let lines: Vec<String> = lines.chain(fates(&fix).into_iter().map(|(_, why)| why)).collect();
        assert!(lines.iter().any(|why| why.starts_with(expected)), "{lines:?}");
    }
}

/// Each row: the phases of nodes `c` and `d`, beside two nodes in `new`, the settings, and which of both have a place.
#[test]
fn a_node_in_another_phase_goes_along_if_no_pod_loses_others_by_that() {
    let bridge = "roll: {bridge: {accept: it is known}}";
    for (c, d, settings, expected) in [
        ("both-new", "new", "", &["c"][..]),
        ("old", "new", "", &["c"]),
        // Pods of both still reach each other, and would not if one of them went alone.
        ("old", "old", "", &[]),
        ("both-new", "both-old", "", &["d"]),
        ("old", "old", bridge, &["c", "d"]),
        ("both-new", "both-old", bridge, &["c", "d"]),
    ] {
        let value_of = |name: &str, phase: &str| {
            in_phase(node(name, "z"), phase, &node_report(phase, &json!({phase: 1}), &[]))
        };
        let case = cluster([
            done("a"),
            done("b"),
            value_of("c", c),
            value_of("d", d),
            straggler("p", "c", "ReplicaSet", "11111111"),
            straggler("q", "d", "ReplicaSet", "22222222"),
        ]);
        let fix = fixed(&with(case, settings));
        let mut planned = planned(&fix);
        planned.sort_unstable();
        assert_eq!(planned, expected, "{c}, {d}, {settings}");
        assert_eq!(fix.plan.is_some_and(|plan| plan.bridge.is_some()), !settings.is_empty());
    }
}

#[test]
fn a_cluster_that_is_elsewhere_is_no_straggler() {
    let case = cluster([node("a", "z"), node("b", "z"), done("c")]);
    let problems = fix(&case.scene(), &Survey::gather(&case.scene()), &[], Phase::New, &BTreeSet::new())
        .expect_err("no plan");
    assert_eq!(problems.len(), 1);
    assert!(problems[0].what.starts_with("1 of 3 nodes are in phase new"), "{problems:?}");
}

fn kept(case: &Case) -> Plan {
    fixed(case).plan.expect("a plan")
}

/// What people mend while the plan waits for its approval, or its run goes on, does not make it stale; what any plan cannot take does.
#[test]
fn a_plan_holds_while_stragglers_come_and_go() {
    let straggling = || {
        [
            done("a"),
            late("b", "old", &["11111111"]),
            late("c", "old", &["22222222"]),
            straggler("p", "b", "ReplicaSet", "11111111"),
            straggler("q", "c", "", "22222222"),
        ]
    };
    let plan = kept(&cluster(straggling()));
    assert_eq!(plan.left_out.len(), 1, "a pod that no controller makes again");
    for now in [
        vec![done("a"), late("b", "old", &["11111111"]), done("c")],
        vec![done("a"), done("b"), done("c")],
        vec![late("a", "old", &["33333333"]), done("b"), done("c")],
        vec![done("a"), done("b")],
    ] {
        let case = cluster(now);
        assert!(
            matches!(drift(&plan, &case.scene()), Drift::Absorbed(_)),
            "{:?}",
            drift(&plan, &case.scene())
        );
    }
    let elsewhere = in_phase(node("d", "elsewhere"), "new", &node_report("new", &json!({}), &[]));
    let case = cluster(straggling().into_iter().chain([elsewhere]));
    assert!(matches!(drift(&plan, &case.scene()), Drift::Absorbed(_)), "the run holds that node");
    let case = with(cluster(straggling()), "roll: {pods: {evictJobs: true}}");
    assert!(matches!(drift(&plan, &case.scene()), Drift::Stale(_)));
}

/// The old network leaves pods of `b`, whatever makes them. Of `c`, the node says that one only restarts.
#[test]
fn pods_that_a_network_leaves_are_not_evicted() {
    let leaving = |name: &str, uid: &str, restarts: Value| {
        let mut seen = node_report("new", &json!({"new": 1, "both-new": 1}), &[uid]);
        (seen["joins"], seen["restarts"]) = (json!(["old", "new"]), restarts);
        in_phase(node(name, "z"), "new", &seen)
    };
    let case = cluster([
        done("a"),
        leaving("b", "11111111", Value::Null),
        leaving("c", "22222222", 1.into()),
        late("d", "both-new", &["33333333"]),
        straggler("p", "b", "", "11111111"),
        straggler("q", "c", "ReplicaSet", "22222222"),
        straggler("r", "d", "ReplicaSet", "33333333"),
    ]);
    let fix = fixed(&case);
    let expected = [("default/p", "Joined"), ("default/q", "Evicted"), ("default/r", "Evicted")];
    assert_eq!(fates(&fix), expected.map(|(pod, fate)| (pod, fate.to_owned())));
    assert_eq!(planned(&fix).len(), 3);
}
