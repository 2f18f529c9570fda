//! Causes that keep a plan from being made: each row one cause, beside the nearest cluster that has a plan.

use snapshot::model::{Kind, Reading};

use crate::plan::Survey;
use serde_json::{Value, json};

use super::case::{cluster, labelled, node, observed, planned, pod, refused, report, with};
use crate::check::finding::{Finding, Rule, Severity};
use crate::check::tests::{Case, object};
use crate::cni::support::Strategy;

fn good() -> Case {
    cluster([node("a", ""), node("b", "")])
}

/// The cluster, of which node `a` reports something else.
fn reporting(change: impl FnOnce(&mut Value)) -> Case {
    let (mut a, mut seen) = (node("a", ""), observed());
    change(&mut seen);
    report(&mut a, &seen);
    cluster([a, node("b", "")])
}

#[test]
fn a_good_cluster_has_a_plan() {
    assert_eq!(planned(&good()).waves.len(), 2);
}

#[test]
fn groups_that_no_run_can_scale_are_named() {
    let group = |method: &str| {
        let settings =
            format!("freeze: [{{name: db, method: {method}, members: [{{namespace: default, name: pg}}]}}]");
        with(good(), &settings)
    };
    planned(&group("ordinals"));
    assert_eq!(
        refused(&group("scale"), &[]),
        ["freeze/db: group db is to be scaled to no replica, and a run cannot do that yet"]
    );
}

#[test]
fn nodes_that_do_not_say_what_a_run_must_know_are_named() {
    let follows = |phases: Value| reporting(|seen| seen["follows"] = phases);
    for (what, case, words) in [
        (
            "no annotation",
            {
                let mut a = node("a", "");
                a["metadata"]["annotations"] = json!({});
                cluster([a, node("b", "")])
            },
            Some("Node/a: no Crossfade reports to these Nodes (annotation crossfade/observed): a"),
        ),
        (
            "no JSON",
            {
                let mut a = node("a", "");
                a["metadata"]["annotations"] = json!({"crossfade/observed": "{"});
                cluster([a, node("b", "")])
            },
            Some("Node/a: no Crossfade reports"),
        ),
        (
            "no phase",
            reporting(|seen| seen["phase"] = Value::Null),
            Some("Node/a: these nodes are in no phase"),
        ),
        (
            "no counts",
            reporting(|seen| seen["attached"] = Value::Null),
            Some("Node/a: these nodes do not say what is attached"),
        ),
        (
            "no base",
            reporting(|seen| seen["base"] = Value::Null),
            Some("Node/a: these nodes do not say which policy"),
        ),
        (
            "no new",
            follows(json!(["old", "both-old", "both-new"])),
            Some("Node/a: these nodes would not go to phase new: a"),
        ),
        (
            "no both-new",
            follows(json!(["old", "both-old", "new"])),
            Some("Node/a: these nodes would not go to phase both-new: a"),
        ),
        ("no old", follows(json!(["both-old", "both-new", "new"])), None),
        ("no echo", reporting(|seen| seen["echo"] = Value::Null), None),
    ] {
        match words {
            None => assert_eq!(planned(&case).passes.len(), 3, "{what}"),
            Some(words) => {
                let lines = refused(&case, &[]);
                assert!(lines.len() == 1 && lines[0].starts_with(words), "{what}: {lines:#?}");
            }
        }
    }
}

#[test]
fn a_node_need_not_go_to_the_phase_that_it_is_in() {
    for (phase, follows, has_plan) in [
        ("both-old", json!(["old", "both-new", "new"]), true),
        ("old", json!(["old", "both-new", "new"]), false),
    ] {
        let case = reporting(|seen| {
            (seen["phase"], seen["mints"], seen["follows"]) = (phase.into(), json!([phase]), follows);
        });
        assert_eq!(
            crate::plan::build(&case.scene(), &Survey::gather(&case.scene()), &[]).is_ok(),
            has_plan,
            "{phase}"
        );
    }
}

#[test]
fn each_thing_that_nodes_lack_is_one_blocker() {
    let silent = |name: &str| {
        let mut node = node(name, "");
        node["metadata"]["annotations"] = json!({});
        node
    };
    let many = (0..15).map(|index| silent(&format!("s{index:02}")));
    let lines = refused(&cluster([node("a", "")].into_iter().chain(many)), &[]);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(
        lines[0].ends_with("s00, s01, s02, s03, s04, s05, s06, s07, s08, s09, s10, s11 and 3 more"),
        "{lines:#?}"
    );
    // If no node reports, there is no phase to begin with, and the blocker says so of all nodes.
    let lines = refused(
        &cluster([silent("a"), silent("b")].map(|object| labelled(object, "crossfade/phase", Value::Null))),
        &[],
    );
    assert!(lines.len() == 1 && lines[0].ends_with("a, b"), "{lines:#?}");
}

/// Services keep three passes from being planned until one of the ways of the finding is gone.
#[test]
fn services_that_a_pass_would_cut_keep_the_plan_from_being_made() {
    let service = json!({"metadata": {"namespace": "default"}, "spec": {"clusterIPs": ["10.96.0.7"], "selector": {"app": "web"}}});
    let config = |sockets: &str| {
        object(Kind::CONFIG_MAP, "cilium-config", json!({"data": {"bpf-lb-sock": sockets}})).1
    };
    for (strategy, sockets, settings, is_refused) in [
        (Strategy::Double, "false", "", true),
        (Strategy::Double, "true", "", false),
        (Strategy::Double, "false", "roll: {bridge: {accept: a router}}", false),
        (Strategy::Double, "false", "waivers: [{finding: services-bridged, reason: a window}]", false),
        (Strategy::Bridge, "false", "roll: {bridge: {accept: a router}}", false),
    ] {
        let service = object(Kind::SERVICE, "web", service.clone()).1;
        let case = cluster([node("a", ""), node("b", ""), service, config(sockets)]).strategy(strategy);
        let case = with(case, settings);
        let mut findings = crate::check::run(&case.scene());
        findings.retain(|finding| finding.rule.code == "services-bridged");
        if is_refused {
            let expected = "check: findings block the migration: services-bridged";
            assert_eq!(refused(&case, &findings), [expected]);
        } else {
            crate::plan::build(&case.scene(), &Survey::gather(&case.scene()), &findings)
                .unwrap_or_else(|problems| panic!("{strategy} {sockets} {settings}: {problems:#?}"));
        }
    }
}

#[test]
fn what_the_snapshot_does_not_tell_is_a_blocker() {
    let mut case = good();
    case.snapshot.cluster.uid = None;
    let lines = refused(&case, &[]);
    assert!(lines.len() == 1 && lines[0].starts_with("Namespace/kube-system: "), "{lines:#?}");
    let namespace = object(Kind::NAMESPACE, "kube-system", json!({"metadata": {"uid": "dumped"}})).1;
    let mut dumped = cluster([node("a", ""), namespace]);
    dumped.snapshot.cluster.uid = None;
    assert_eq!(planned(&dumped).cluster, "dumped");
    for kind in [Kind::NODE, Kind::POD, Kind::DAEMON_SET] {
        let mut case = good();
        case.snapshot.readings.insert(kind, Reading::Forbidden("no".into()));
        let lines = refused(&case, &[]);
        assert!(lines.len() == 1 && lines[0].starts_with(&format!("{kind}/*: ")), "{lines:#?}");
    }
}

#[test]
fn findings_that_block_are_listed_by_their_codes() {
    const A: Rule = Severity::Blocks.rule("a", "what", "why", "fix");
    const N: Rule = Severity::Note.rule("n", "what", "why", "fix");
    const R: Rule = Severity::Risk.rule("r", "what", "why", "fix");
    const W: Rule = Severity::Blocks.rule("w", "what", "why", "fix");
    const Z: Rule = Severity::Blocks.rule("z", "what", "why", "fix");
    let [z, a, twice, r, n, w] = [&Z, &A, &Z, &R, &N, &W].map(Finding::new);
    let all = [z, a, twice, r, n, Finding { waived: Some("known".into()), ..w }];
    assert_eq!(refused(&good(), &all), ["check: findings block the migration: a, z"]);
    assert!(
        crate::plan::build(&good().scene(), &Survey::gather(&good().scene()), &all[3..]).is_ok(),
        "what does not block"
    );
    let problems =
        crate::plan::build(&good().scene(), &Survey::gather(&good().scene()), &all).expect_err("no plan");
    assert!(problems[0].fix.contains("kubectl crossfade check --from flannel --to cilium --strategy double"));
}

#[test]
fn without_a_node_to_move_there_is_no_plan() {
    let case = with(good(), "roll: {leaveOut: [{node: '*', reason: all}]}");
    assert_eq!(refused(&case, &[]), ["Node/*: no node is left to move; 2 are left out"]);
    let case = reporting(|seen| seen["phase"] = "new".into());
    let mut only = cluster([]);
    only.snapshot.nodes = case.snapshot.nodes.into_iter().filter(|node| node.name() == "a").collect();
    let labels = std::sync::Arc::make_mut(&mut only.snapshot.nodes[0].metadata.labels);
    labels.insert("crossfade/phase".into(), "new".into());
    assert_eq!(refused(&only, &[]), ["Node/*: every node is in phase new already, so there is no pass"]);
}

#[test]
fn policies_that_no_cni_enforces_must_be_accepted_by_name() {
    let policy = |kind: Kind| object(kind, "p", json!({"metadata": {"namespace": "x"}, "spec": {}})).1;
    let with_policy = |kind| cluster([node("a", ""), policy(kind)]);
    let lines = refused(&with_policy(Kind::NETWORK_POLICY), &[]);
    assert_eq!(
        lines,
        [
            "roll.unenforced: the cluster has 1 objects of kind NetworkPolicy, and no CNI enforces them for pods in phase both-old, both-new, new"
        ]
    );
    let accepted =
        with(with_policy(Kind::NETWORK_POLICY), "roll: {unenforced: [NetworkPolicy, CiliumNetworkPolicy]}");
    assert_eq!(planned(&accepted).unenforced, ["NetworkPolicy"], "only what is there");
    let other = with(with_policy(Kind::NETWORK_POLICY), "roll: {unenforced: [CiliumNetworkPolicy]}");
    assert_eq!(refused(&other, &[]).len(), 1);
    assert_eq!(planned(&good()).unenforced, Vec::<String>::new());
    // Only the phases of the passes count: in phase old, the old CNI does not enforce them either.
    let bridge = Case {
        strategy: Strategy::Bridge,
        ..with(with_policy(Kind::NETWORK_POLICY), "roll: {bridge: {accept: yes it does}}")
    };
    assert!(refused(&bridge, &[])[0].ends_with("for pods in phase new"));
}

#[test]
fn everything_is_said_at_once() {
    let mut a = node("a", "");
    a["metadata"]["annotations"] = json!({});
    let policy = object(Kind::NETWORK_POLICY, "p", json!({"metadata": {"namespace": "x"}})).1;
    let mut case = cluster([a, node("b", ""), policy, pod("p", "a", "", "")]);
    case.snapshot.cluster.uid = None;
    const X: Rule = Severity::Blocks.rule("x", "what", "why", "fix");
    assert_eq!(refused(&case, &[Finding::new(&X)]).len(), 4);
}
