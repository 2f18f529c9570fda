//! The workloads: a Deployment, a StatefulSet whose pods have a Service each, and a DaemonSet with a host port.
//!
//! Every pod has a web server that kubelet probes; the mesh's own agent listens beside it. A pod that is deleted serves on for a while, as
//! servers do that are to lose no request: their clients hear of it a little later than they.

use serde_json::{Value, json};

use crate::kubernetes::manifest::{self, workload};
use crate::probe;

pub(super) const NAMESPACE: &str = "demo";
/// The port of every node that leads to the DaemonSet's pod.
pub(super) const HOST_PORT: u16 = 30_080;
/// The workloads' own paths.
pub(super) const PATHS: [&str; 3] = [
    "/apis/apps/v1/namespaces/demo/deployments/web",
    "/apis/apps/v1/namespaces/demo/statefulsets/db",
    "/apis/apps/v1/namespaces/demo/daemonsets/agent",
];
/// Pods of the StatefulSet.
const STATEFUL: u8 = 2;
/// How long a pod serves on when it is deleted, in seconds.
const STAYS: u32 = 5;

/// Everything, for so many nodes and so many pods on each: one is the DaemonSet's, the others are spread.
pub(super) fn objects(nodes: u8, pods: u8) -> Vec<Value> {
    let mut objects = vec![
        manifest::namespace(NAMESPACE),
        workload(
            "Deployment",
            NAMESPACE,
            "web",
            Some(deployed(nodes, pods).into()),
            &manifest::server_that_stays(STAYS),
        ),
        workload("StatefulSet", NAMESPACE, "db", Some(STATEFUL.into()), &manifest::server_that_stays(STAYS)),
        workload("DaemonSet", NAMESPACE, "agent", None, &published(HOST_PORT)),
    ];
    objects.extend((0..STATEFUL).map(service));
    objects
}

/// How many pods these are.
pub(super) fn count(nodes: u8, pods: u8) -> usize {
    [nodes, STATEFUL, deployed(nodes, pods)].into_iter().map(usize::from).sum()
}

/// Pods of the Deployment: what is left of all.
fn deployed(nodes: u8, pods: u8) -> u8 {
    (nodes * pods.saturating_sub(1)).saturating_sub(STATEFUL).max(1)
}

/// The address of the Service before a pod of the StatefulSet; other pods have none.
pub(super) fn address_of(pod: &str) -> Option<String> {
    let ordinal: u8 = pod.strip_prefix("db-")?.parse().ok()?;
    Some(format!("10.96.8.{}", ordinal + 1))
}

/// Whether a pod is the DaemonSet's.
pub(super) fn is_published(pod: &str) -> bool {
    pod.starts_with("agent-")
}

fn service(ordinal: u8) -> Value {
    let name = format!("db-{ordinal}");
    let port = |protocol: &str| json!({ "name": protocol.to_lowercase(), "protocol": protocol, "port": probe::PORT, "targetPort": probe::PORT });
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": NAMESPACE, "name": name },
        "spec": {
            "clusterIP": address_of(&name),
            "selector": { "statefulset.kubernetes.io/pod-name": name },
            "ports": [port("UDP"), port("TCP")],
        },
    })
}

/// The same with a port of its node.
fn published(host_port: u16) -> Value {
    let mut spec = manifest::server_that_stays(STAYS);
    spec["containers"][0]["ports"][0]["hostPort"] = json!(host_port);
    spec
}
