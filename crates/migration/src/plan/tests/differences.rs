//! Differences between two plans.

use super::case::{cluster, dns, node, planned, with};
use crate::plan::{Bridge, Plan, diff};

fn plan() -> Plan {
    let nodes = ["a", "b", "c", "d"].map(|name| node(name, "z1"));
    planned(&with(cluster(nodes.into_iter().chain([dns("b")])), "roll: {leaveOut: [{node: d, reason: why}]}"))
}

#[test]
fn a_plan_does_not_differ_from_itself() {
    assert_eq!(diff(&plan(), &plan()), Vec::<String>::new());
}

type Change = fn(&mut Plan);

/// Each row changes one thing of a plan.
#[test]
fn each_difference_is_one_line() {
    let changes: [(Change, &str); 17] = [
        (|p| p.cluster = "other".into(), "cluster: other, was cluster-1"),
        (|p| p.limits.in_transit = 3, "limits.inTransit: 3, was 25"),
        (|p| p.pods.delete = vec!["x/y".into()], r#"pods.delete: ["x/y"], was []"#),
        (|p| p.passes.truncate(2), r#"passes: ["both-old","both-new"], was ["both-old","both-new","new"]"#),
        (|p| p.bridge = Some(Bridge::Accepted("yes".into())), "bridge.accepted: yes, was not there"),
        (|p| p.gates[1].fresh_seconds = 9, "gates[dns].freshSeconds: 9, was 60"),
        (|p| drop(p.agents.remove(0)), "agents[cilium].generation: gone, was 3"),
        (|p| p.agents[0].generation = 4, "agents[cilium].generation: 4, was 3"),
        (|p| p.policies = vec!["11".into()], r#"policies: ["11"], was ["5f5f"]"#),
        (|p| p.networks.new = vec!["10.0.0.0/8".into()], r#"networks.new: ["10.0.0.0/8"], was []"#),
        (|p| p.waves[0].at_once = 2, "waves[scouts].atOnce: 2, was 1"),
        (|p| drop(p.left_out.remove(0)), "node d: gone, was left out (why)"),
        (|p| p.left_out[0].why = "other".into(), "node d: left out (other), was left out (why)"),
        (
            |p| p.waves[1].nodes[0].uid = "other".into(),
            "node b: in wave dns, and another Node than the one of this name before",
        ),
        (|p| p.waves[1].nodes[0].name = "e".into(), "node b: gone, was in wave dns"),
        (|p| p.waves.swap(0, 1), "waves: dns, scouts, canary, was scouts, dns, canary"),
        (
            |p| p.waves[0].nodes[0].why = "other".into(),
            "The plans differ in the reasons for which nodes have their places.",
        ),
    ];
    for (change, line) in changes {
        let mut new = plan();
        change(&mut new);
        let lines = diff(&plan(), &new);
        assert!(lines.iter().any(|item| item == line), "{line}: {lines:#?}");
        assert!(lines.len() <= 4, "{line}: {lines:#?}");
        assert!(!diff(&new, &plan()).is_empty(), "{line}: the other way");
    }
}

#[test]
fn a_node_that_moves_with_another_wave_is_said_once() {
    let mut new = plan();
    let moved = new.waves[1].nodes.remove(0);
    new.waves[0].nodes.push(moved);
    assert_eq!(diff(&plan(), &new), ["node b: in wave scouts, was in wave dns"]);
    let mut joined = plan();
    joined.waves[0].nodes.push(crate::plan::PlannedNode {
        name: "e".into(),
        uid: "u".into(),
        pool: "".into(),
        why: "w".into(),
    });
    assert_eq!(diff(&plan(), &joined), ["node e: in wave scouts, was not there"]);
    let other = joined.clone();
    joined.waves[0].nodes.swap(0, 1);
    assert_eq!(diff(&other, &joined), ["wave scouts: its nodes are in another order"]);
}
