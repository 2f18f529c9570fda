use super::CHECK;
use crate::check::finding::Severity;
use crate::check::tests::{Case, objects};
use crate::cni::support::Strategy;

/// A node with four cores and 8 GiB.
fn node(name: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\nspec: {{{more}}}\nstatus: {{allocatable: {{cpu: \"4\", memory: 8Gi, pods: \"10\"}}}}\n---\n"
    )
}

fn pod(name: &str, node: &str, cpu: &str, kind: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: x, ownerReferences: [{{kind: {kind}, name: o, controller: true}}]}}\n\
         spec: {{nodeName: {node}, containers: [{{name: c, resources: {{requests: {{cpu: \"{cpu}\", memory: 1Gi}}}}}}]}}\nstatus: {{phase: Running}}\n---\n"
    )
}

/// Three nodes; the first has a pod of a StatefulSet with these requests, the others one each.
fn case(on_a: &str, on_others: &str, more: &str) -> Case {
    let pods = [
        pod("p1", "a", on_a, "StatefulSet"),
        pod("p2", "b", on_others, "StatefulSet"),
        pod("p3", "c", on_others, "StatefulSet"),
    ];
    Case::from_yaml(&[node("a", ""), node("b", more), node("c", more), pods.concat()].concat())
}

/// Two nodes of 4 cores each have 8 in sum; 10 % stay.
#[test]
fn the_rest_takes_the_fullest_node_with_a_margin() {
    assert!(case("1", "3", "").codes(&CHECK).is_empty());
    // 8 - 6.8 = 1.2 are free, 0.8 stay: 0.4 for 1 core.
    let finding = case("3500m", "3400m", "").finding(&CHECK, "capacity-short");
    assert_eq!(
        objects(&finding),
        [
            "Node/a: needs 3.5 cores with the other nodes in transit; 1.2 are free, of which 0.8 stay as a margin"
        ]
    );
    assert_eq!(finding.severity, Severity::Blocks);
    let rotation = case("3500m", "3400m", "").strategy(Strategy::Rotation).finding(&CHECK, "capacity-short");
    assert_eq!(rotation.severity, Severity::Risk, "new nodes come first");
    // The settings decide.
    // b needs 3.4 cores: a has 2.8 and c has 0.6.
    let tight = || case("1200m", "3400m", "");
    assert_eq!(tight().codes(&CHECK), ["capacity-short", "pod-fits-nowhere"]);
    assert_eq!(tight().config("capacity: {marginPercent: 0}").codes(&CHECK), ["pod-fits-nowhere"]);
    assert!(case("1", "1", "").config("capacity: {inTransit: 2}").codes(&CHECK).is_empty());
    assert_eq!(case("2", "2", "").config("capacity: {inTransit: 2}").codes(&CHECK), ["capacity-short"]);
}

#[test]
fn nodes_that_take_no_pods_are_no_room() {
    assert!(case("2", "1", "").codes(&CHECK).is_empty());
    assert_eq!(case("2", "1", "unschedulable: true").codes(&CHECK), ["capacity-short", "pod-fits-nowhere"]);
    let tainted = "taints: [{key: gpu, effect: NoSchedule}]";
    assert_eq!(case("2", "1", tainted).codes(&CHECK), ["capacity-short"]);
    // The taint of a cordon or a pressure says nothing about who belongs there.
    assert!(
        case("2", "1", "taints: [{key: node.kubernetes.io/memory-pressure, effect: NoSchedule}]")
            .codes(&CHECK)
            .is_empty()
    );
}

#[test]
fn pods_that_stay_on_their_node_need_no_room() {
    let with = |kind: &str| {
        Case::from_yaml(
            &[node("a", ""), node("b", ""), pod("p", "a", "3900m", kind), pod("q", "b", "1", kind)].concat(),
        )
    };
    assert_eq!(with("StatefulSet").codes(&CHECK), ["capacity-short", "pod-fits-nowhere"]);
    assert!(with("DaemonSet").codes(&CHECK).is_empty());
}

#[test]
fn pods_that_may_come_back_to_their_node_need_no_room() {
    let full = || case("3500m", "3400m", "");
    assert_eq!(full().codes(&CHECK), ["capacity-short", "pod-fits-nowhere"]);
    let churned = |pool: &str| {
        full().config(&format!("nodes: {{poolLabels: [p]}}\nroll: {{methods: {{'{pool}': churn}}}}"))
    };
    assert!(churned("*").codes(&CHECK).is_empty());
    assert_eq!(churned("other").codes(&CHECK), ["capacity-short", "pod-fits-nowhere"]);
    let rotation = churned("*").strategy(Strategy::Rotation);
    assert_eq!(rotation.codes(&CHECK), ["capacity-short", "pod-fits-nowhere"], "the nodes go themselves");
}

#[test]
fn a_large_pod_needs_one_node_with_room() {
    let small = |name: &str, node: &str| pod(name, node, "2", "StatefulSet");
    let all = |large: &str| {
        let nodes = ["a", "b", "c", "d"].map(|name| node(name, "")).concat();
        [nodes, pod("big", "a", large, "StatefulSet"), small("s", "b"), small("t", "c"), small("u", "d")]
            .concat()
    };
    assert!(Case::from_yaml(&all("2")).codes(&CHECK).is_empty());
    let finding = Case::from_yaml(&all("2500m")).finding(&CHECK, "pod-fits-nowhere");
    assert_eq!(objects(&finding), ["StatefulSet/x/o: big on a requests 2.5 cores and 1 GiB"]);
}

#[test]
fn a_node_that_offers_nothing_is_unknown() {
    let finding = Case::from_yaml("apiVersion: v1\nkind: Node\nmetadata: {name: a}\n")
        .finding(&CHECK, "capacity-unknown");
    assert_eq!(objects(&finding), ["Node/a"]);
}
