//! Notes of a plan, none of which keeps it from being carried out.

use serde_json::{Value, json};
use snapshot::model::Kind;

use super::case::{cluster, dns, node, observed, planned, pods, report, with};
use crate::check::tests::{Case, object};
use crate::plan::Survey;
use crate::plan::notes;

/// A cluster of which there is nothing to know.
fn good() -> Vec<Value> {
    vec![node("a", ""), node("b", ""), node("z", ""), dns("a")]
}

fn notes_of(case: &Case) -> Vec<String> {
    notes(&case.scene(), &Survey::gather(&case.scene()), &planned(case))
}

#[test]
fn of_a_good_cluster_there_is_nothing_to_know() {
    assert_eq!(notes_of(&cluster(good())), Vec::<String>::new());
}

#[test]
fn settings_without_effect_are_named() {
    for (settings, words) in [
        ("leaveOut: [{node: c, reason: why}]", Some("roll.leaveOut: no node is called c.")),
        ("leaveOut: [{node: b, reason: why}]", None),
        ("methods: {gpu: churn}", Some("roll.methods: no pool is called gpu.")),
        ("methods: {we*: churn}", None),
        ("unenforced: [NetworkPolicy]", Some("roll.unenforced: NetworkPolicy need not be accepted")),
        ("bridge: {accept: a router}", Some("roll.bridge: no pass needs nodes that forward")),
    ] {
        let notes = notes_of(&with(cluster(good()), &format!("roll: {{{settings}}}")));
        assert_eq!(notes.len(), usize::from(words.is_some()), "{settings}: {notes:?}");
        assert!(words.is_none_or(|words| notes[0].starts_with(words)), "{settings}: {notes:?}");
    }
}

#[test]
fn a_bridge_that_only_services_need_has_its_effect() {
    let service = object(
        Kind::SERVICE,
        "web",
        json!({"metadata": {"namespace": "default"}, "spec": {"clusterIPs": ["10.96.0.7"], "selector": {"app": "web"}}}),
    );
    let cilium = |data: Value| object(Kind::CONFIG_MAP, "cilium-config", json!({ "data": data })).1;
    let notes = |more: Vec<Value>| {
        notes_of(&with(cluster([good(), more].concat()), "roll: {bridge: {accept: a router}}"))
    };
    let needed =
        ["roll.bridge: in the pass to both-new, Services need nodes that forward between both networks."];
    let unused = ["roll.bridge: no pass needs nodes that forward between both networks."];
    let (service, sockets) = (service.1, cilium(json!({"bpf-lb-sock": "true"})));
    assert_eq!(notes(vec![service.clone()]), needed);
    assert_eq!(notes(vec![service.clone(), cilium(json!({}))]), needed);
    assert_eq!(notes(vec![service, sockets.clone()]), unused);
    assert_eq!(notes(vec![sockets]), unused);
}

/// Each node offers ten pods, and has none of its own beside these.
#[test]
fn nodes_that_the_others_have_no_room_for_are_named() {
    let full = |a: usize, b: usize, settings: &str| {
        let all =
            [node("a", ""), node("b", ""), dns("a")].into_iter().chain(pods("a", a)).chain(pods("b", b));
        notes_of(&with(cluster(all), settings))
    };
    assert_eq!(
        full(7, 2, ""),
        [
            "The run drains none of these nodes before the others have room for its pods (NoCapacity): a, b. For a, pods request 10 pods, and the other nodes that take them offer 10 pods, of which 10 % must stay free."
        ]
    );
    for (a, b, settings) in
        [(6, 2, ""), (7, 2, "capacity: {marginPercent: 0}"), (20, 20, "roll: {methods: {web: churn}}")]
    {
        assert_eq!(full(a, b, settings), Vec::<String>::new(), "{a} {b} {settings}");
    }
}

#[test]
fn nodes_that_the_first_pass_brings_back_are_named() {
    let in_phase = |name: &str, phase: &str| {
        let (mut node, mut seen) = (node(name, ""), observed());
        (seen["phase"], seen["mints"], seen["attached"]) =
            (json!(phase), json!([phase]), json!({ phase: 2 }));
        node["metadata"]["labels"]["crossfade/phase"] = json!(phase);
        report(&mut node, &seen);
        node
    };
    let describe = |b: &str, c: &str| {
        let nodes = [node("a", ""), in_phase("b", b), in_phase("c", c), dns("a")];
        notes_of(&with(cluster(nodes), "roll: {bridge: {accept: a router}}"))
    };
    let notes = describe("new", "new");
    assert!(
        notes.len() == 1
            && notes[0].starts_with("These nodes are further than both-old, and the first pass brings them back to it, since others are in old: b, c. More nodes are further than are not; kubectl crossfade roll stragglers --fix moves the 1 others instead."),
        "{notes:?}"
    );
    assert!(describe("both-old", "new")[0].ends_with("others are in old: c."), "the other two are not");
    let unused = "roll.bridge: no pass needs nodes that forward between both networks.";
    assert_eq!(describe("both-old", "both-old"), [unused]);
}

#[test]
fn nodes_that_cannot_go_back_are_named() {
    let (mut b, mut seen) = (node("b", ""), observed());
    seen["follows"] = json!(["both-old", "both-new", "new"]);
    report(&mut b, &seen);
    let notes = notes_of(&cluster([node("a", ""), b, dns("a")]));
    assert_eq!(
        notes,
        ["These nodes do not follow the annotation back to old, so they cannot be rolled back from here: b."]
    );
}

#[test]
fn what_is_not_found_is_named() {
    let notes = notes_of(&cluster([node("a", "")]));
    assert!(notes.len() == 1 && notes[0].starts_with("No pod of the cluster's DNS is found"), "{notes:?}");
    let case = with(cluster(good()), "agents: {new: [{namespace: x, name: y}]}");
    let notes = notes_of(&case);
    assert!(notes.len() == 1 && notes[0].starts_with("No DaemonSet of cilium is found"), "{notes:?}");
}

#[test]
fn nodes_that_are_left_out_with_pods_that_lose_others_are_named() {
    let out = |attached: Value| {
        let (mut c, mut seen) = (node("c", ""), observed());
        seen["attached"] = attached;
        report(&mut c, &seen);
        with(cluster([good(), vec![c]].concat()), "roll: {leaveOut: [{node: c, reason: why}]}")
    };
    let notes = notes_of(&out(json!({"old": 2})));
    assert!(
        notes.len() == 1 && notes[0].contains("do not reach pods in new") && notes[0].ends_with(": c."),
        "{notes:?}"
    );
    for attached in [json!({}), json!({"both-new": 2})] {
        assert_eq!(notes_of(&out(attached.clone())), Vec::<String>::new(), "{attached}");
    }
}
