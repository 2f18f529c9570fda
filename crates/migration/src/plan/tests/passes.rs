//! The passes that a cluster needs, and the places where a bridge must be.

use serde_json::json;
use snapshot::model::Kind;
use types::policy::Phase::{self, BothNew, BothOld, New, Old};

use super::case::{cluster, labelled, node, observed, planned, refused, report, with};
use crate::check::tests::{Case, object};
use crate::cni::support::{Cni, Strategy};
use crate::plan::Bridge;

/// A cluster with a node in each of these phases.
fn phases(strategy: Strategy, phases: &[Phase]) -> Case {
    let node = |(index, phase): (usize, &Phase)| {
        let mut node = labelled(node(&format!("n{index}"), ""), "crossfade/phase", phase.as_str());
        let mut seen = observed();
        seen["phase"] = phase.as_str().into();
        seen["mints"] = json!([phase.as_str()]);
        report(&mut node, &seen);
        node
    };
    Case { strategy, ..cluster(phases.iter().enumerate().map(node)) }
}

#[test]
fn passes_begin_at_the_lowest_phase_of_a_node() {
    for (strategy, all, start, passes) in [
        (Strategy::Double, &[Old, Old][..], Old, &[BothOld, BothNew, New][..]),
        (Strategy::Double, &[BothOld, Old], Old, &[BothOld, BothNew, New]),
        (Strategy::Double, &[BothOld, BothOld], BothOld, &[BothNew, New]),
        (Strategy::Double, &[BothNew, BothOld], BothOld, &[BothNew, New]),
        (Strategy::Double, &[BothNew, New], BothNew, &[New]),
        (Strategy::Bridge, &[Old, Old], Old, &[New]),
        (Strategy::Bridge, &[New, Old], Old, &[New]),
    ] {
        let case = with(phases(strategy, all), "roll: {bridge: {accept: a router}}");
        let plan = planned(&case);
        assert_eq!((plan.start, plan.passes.as_slice()), (start, passes), "{strategy} {all:?}");
        assert_eq!(plan.target(), New);
    }
}

#[test]
fn what_is_attached_in_an_earlier_phase_begins_a_pass_too() {
    let mut case = phases(Strategy::Double, &[BothOld]);
    let mut node = case.snapshot.nodes.remove(0);
    let mut seen = observed();
    (seen["phase"], seen["mints"]) = ("both-old".into(), json!(["both-old"]));
    let text = seen.to_string();
    let count = |attached: &str| text.replace("\"attached\":{}", &format!("\"attached\":{attached}"));
    for (attached, start) in [(r#"{"old":2,"both-old":3}"#, Old), (r#"{"both-old":3}"#, BothOld)] {
        node.metadata.annotations =
            std::sync::Arc::new([("crossfade/observed".into(), count(attached).into())].into());
        case.snapshot.nodes = vec![node.clone()];
        assert_eq!(planned(&case).start, start, "{attached}");
    }
}

/// Each row: the strategy, the phases, settings, and the bridge of the plan.
#[test]
fn a_bridge_is_in_the_plan_only_where_a_pass_needs_it() {
    let gate = "roll: {gates: [{name: router, command: [./router]}], bridge: {gate: router}}";
    let accept = "roll: {bridge: {accept: the router knows both}}";
    for (strategy, all, settings, bridge) in [
        (Strategy::Bridge, &[Old][..], gate, Some(Bridge::Gate("router".into()))),
        (Strategy::Bridge, &[Old], accept, Some(Bridge::Accepted("the router knows both".into()))),
        (Strategy::Bridge, &[BothNew], accept, None),
        (Strategy::Bridge, &[BothNew], "", None),
        (Strategy::Double, &[Old], accept, None),
        (Strategy::Double, &[Old, BothNew], accept, Some(Bridge::Accepted("the router knows both".into()))),
    ] {
        assert_eq!(
            planned(&with(phases(strategy, all), settings)).bridge,
            bridge,
            "{strategy} {all:?} {settings}"
        );
    }
}

/// Agents that prove forwarding are a bridge, and a gate only of a plan that needs one.
#[test]
fn the_gate_on_forwarding_is_there_where_a_pass_needs_it() {
    let settings = "probe: {gates: [packets, forwarding]}";
    let gate = || Some(Bridge::Gate("forwarding".into()));
    for (strategy, bridge, expected) in
        [(Strategy::Bridge, gate(), &["packets", "forwarding"][..]), (Strategy::Double, None, &["packets"])]
    {
        let plan = planned(&with(phases(strategy, &[Old, Old]), settings));
        assert_eq!(plan.bridge, bridge, "{strategy}");
        let names: Vec<&str> = plan.gates.iter().map(|gate| gate.name.as_str()).collect();
        assert_eq!(names[3..], *expected, "{strategy}");
    }
    let accepted = "probe: {gates: [packets]}\nroll: {bridge: {accept: a router}}";
    let plan = planned(&with(phases(Strategy::Bridge, &[Old, Old]), accepted));
    assert_eq!(plan.bridge, Some(Bridge::Accepted("a router".into())));
}

/// The gate on what policies deny has something to go by where one of the CNIs enforces policies during the run.
#[test]
fn the_gate_on_enforcement_is_there_where_a_cni_enforces_policies() {
    let has_gate = |from: Cni, to: Cni, accepted: &str| {
        let policy = object(Kind::NETWORK_POLICY, "p", json!({"metadata": {"namespace": "x"}})).1;
        let strategy = Strategy::Bridge;
        let case = Case { from, to, strategy, ..cluster([policy, node("n1", "")]) };
        let settings =
            format!("probe: {{gates: [enforcement]}}\nroll: {{bridge: {{accept: a router}}{accepted}}}");
        planned(&with(case, &settings)).gates.iter().any(|gate| gate.name == "enforcement")
    };
    let accepted = ", unenforced: [NetworkPolicy]";
    assert!(!has_gate(Cni::Flannel, Cni::Cilium, accepted));
    assert!(has_gate(Cni::Calico, Cni::Cilium, accepted));
    assert!(has_gate(Cni::Flannel, Cni::Calico, ""));
}

#[test]
fn a_pass_that_parts_pods_without_a_bridge_keeps_the_plan_from_being_made() {
    for (strategy, all, place) in [
        (
            Strategy::Bridge,
            &[Old][..],
            "roll.bridge: in the pass to new, pods in old reach pods in new only if",
        ),
        (
            Strategy::Double,
            &[Old, BothNew],
            "Node/n1: in the pass to both-old, pods in old reach pods in both-new only if",
        ),
        (
            Strategy::Double,
            &[Old, BothOld, New],
            "Node/n2: in the pass to both-old, pods in old reach pods in new only if",
        ),
    ] {
        let lines = refused(&phases(strategy, all), &[]);
        assert!(lines.len() == 1 && lines[0].starts_with(place), "{strategy} {all:?}: {lines:#?}");
    }
}

/// What the policy of a node gives to pods by its rules, beside its phase, must not be parted from others in any pass.
#[test]
fn pods_of_rules_stay_where_they_are_in_every_pass() {
    for (mints, words) in [
        (json!(["old"]), None),
        (json!(["old", "both-old"]), Some("pass to new, pods in new reach pods in both-old")),
        (json!(["old", "both-new"]), Some("pass to both-old, pods in old reach pods in both-new")),
        (json!(["new", "old"]), Some("pass to both-old, pods in old reach pods in new")),
    ] {
        let mut a = node("a", "");
        let mut seen = observed();
        seen["mints"] = mints.clone();
        report(&mut a, &seen);
        let case = cluster([a, node("b", "")]);
        match words {
            None => assert_eq!(planned(&case).passes.len(), 3),
            Some(words) => {
                let lines = refused(&case, &[]);
                let is_listed = lines.len() == 1 && lines[0].starts_with(&format!("Node/a: in the {words}"));
                assert!(is_listed && lines[0].ends_with("such pods: a"), "{mints}: {lines:?}");
            }
        }
    }
}
