//! Clusters for the tests of plans. Each is on its way from Flannel to Cilium, and every node says what a plan must know.

use serde_json::{Value, json};
use snapshot::model::Kind;

use crate::check::finding::Finding;
use crate::check::tests::{Case, object};
use crate::cni::support::Cni;
use crate::plan::Survey;
use crate::plan::{Plan, Wave, WaveKind, build};

/// The SHA-256 that stands for a policy.
pub(super) const BASE: &str = "5f5f";

/// What a node reports in phase `old`.
pub(super) fn observed() -> Value {
    json!({"bootId": "b", "phase": "old", "policySha256": "ab", "base": BASE, "mints": ["old"],
        "follows": ["old", "both-old", "both-new", "new"], "attached": {}, "echo": null})
}

/// A node of pool `web`, in a zone unless it is empty.
pub(crate) fn node(name: &str, zone: &str) -> Value {
    let mut node = object(
        Kind::NODE,
        name,
        json!({"metadata": {"uid": format!("uid-{name}"),
            "labels": {"karpenter.sh/nodepool": "web", "crossfade/phase": "old"}},
            "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}, "nodeInfo": {"bootID": "b", "architecture": "amd64", "containerRuntimeVersion": "containerd://1.7.20",
                "kernelVersion": "6.1.0-25-amd64"}}}),
    )
    .1;
    if !zone.is_empty() {
        node["metadata"]["labels"]["topology.kubernetes.io/zone"] = zone.into();
    }
    report(&mut node, &observed());
    node
}

/// Flannel's ConfigMap, with its network.
pub(super) fn flannel() -> Value {
    let config = json!({"metadata": {"namespace": "kube-flannel"},
        "data": {"net-conf.json": "{\"Network\": \"10.244.0.0/16\"}"}});
    object(Kind::CONFIG_MAP, "kube-flannel-cfg", config).1
}

/// Replaces what a node reports.
pub(super) fn report(node: &mut Value, observed: &Value) {
    node["metadata"]["annotations"] = json!({"crossfade/observed": observed.to_string()});
}

/// The node with a label, and without it where the value is null.
pub(super) fn labelled(mut node: Value, key: &str, value: impl Into<Value>) -> Value {
    match value.into() {
        Value::Null => {
            node["metadata"]["labels"].as_object_mut().expect("labels").remove(key);
        }
        value => node["metadata"]["labels"][key] = value,
    }
    node
}

/// A node of the control plane.
pub(super) fn control_plane(name: &str, zone: &str) -> Value {
    labelled(node(name, zone), "node-role.kubernetes.io/control-plane", "")
}

/// A running pod that a controller makes.
pub(super) fn pod(name: &str, node: &str, kind: &str, owner: &str) -> Value {
    let mut pod = object(
        Kind::POD,
        name,
        json!({"metadata": {"namespace": "default", "uid": format!("uid-{name}"),
            "ownerReferences": [{"kind": kind, "name": owner, "controller": true}]},
            "spec": {"nodeName": node}, "status": {"phase": "Running"}}),
    )
    .1;
    if kind.is_empty() {
        pod["metadata"].as_object_mut().expect("metadata").remove("ownerReferences");
    }
    pod
}

/// So many pods on a node.
pub(super) fn pods(node: &str, count: usize) -> Vec<Value> {
    (0..count).map(|index| pod(&format!("{node}-{index}"), node, "ReplicaSet", "web")).collect()
}

/// A DNS pod on a node.
pub(super) fn dns(node: &str) -> Value {
    let mut pod = pod(&format!("dns-{node}"), node, "ReplicaSet", "coredns");
    pod["metadata"]["namespace"] = "kube-system".into();
    pod["metadata"]["labels"] = json!({"k8s-app": "kube-dns"});
    pod
}

/// The DaemonSet of an agent.
pub(super) fn agent(name: &str, container: &str, generation: i64) -> Value {
    object(
        Kind::DAEMON_SET,
        name,
        json!({"metadata": {"namespace": "kube-system", "uid": format!("uid-{name}"), "generation": generation},
            "spec": {"template": {"spec": {"containers": [{"name": container}]}}}}),
    )
    .1
}

/// A cluster of these objects, with the agents of both CNIs.
pub(crate) fn cluster(objects: impl IntoIterator<Item = Value>) -> Case {
    let agents = [agent("kube-flannel-ds", "kube-flannel", 1), agent("cilium", "cilium-agent", 3)];
    let mut case = Case::having(Cni::Flannel, Cni::Cilium, agents.into_iter().chain(objects).collect());
    case.snapshot.cluster.uid = Some("cluster-1".into());
    case
}

/// The cluster with these settings.
pub(super) fn with(case: Case, yaml: &str) -> Case {
    case.config(yaml)
}

/// The plan of a cluster in which `check` finds nothing.
#[track_caller]
pub(crate) fn planned(case: &Case) -> Plan {
    build(&case.scene(), &Survey::gather(&case.scene()), &[])
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// What keeps a plan from being made: each place with its words.
#[track_caller]
pub(super) fn refused(case: &Case, findings: &[Finding]) -> Vec<String> {
    let problems = build(&case.scene(), &Survey::gather(&case.scene()), findings).expect_err("no plan");
    for problem in &problems {
        assert!(!problem.place.is_empty() && !problem.fix.is_empty(), "{problem:?}");
    }
    problems.iter().map(|problem| format!("{}: {}", problem.place, problem.what)).collect()
}

/// The names of a wave's nodes, in order.
pub(super) fn names(wave: &Wave) -> Vec<&str> {
    wave.nodes.iter().map(|planned| &*planned.name).collect()
}

/// The names of the nodes in all waves of a kind, wave by wave.
pub(super) fn of_kind(plan: &Plan, kind: WaveKind) -> Vec<Vec<&str>> {
    plan.waves.iter().filter(|wave| wave.kind == kind).map(names).collect()
}
