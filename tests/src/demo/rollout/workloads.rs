//! The workloads: a Deployment, a StatefulSet whose pods have a Service each, and a DaemonSet with a host port.
//!
//! Every pod has a web server that kubelet probes; the mesh's own agent listens beside it.

use anyhow::Result;
use serde_json::{Value, json};

use crate::kubernetes::{Api, tools};
use crate::probe;

/// Where they are.
pub(super) const NAMESPACE: &str = "demo";
/// The port of every node that leads to the DaemonSet's pod.
pub(super) const HOST_PORT: u16 = 30_080;
/// The workloads' own paths.
pub(super) const PATHS: [&str; 3] = [
    "/apis/apps/v1/namespaces/demo/deployments/web",
    "/apis/apps/v1/namespaces/demo/statefulsets/db",
    "/apis/apps/v1/namespaces/demo/daemonsets/agent",
];
/// The web server's port.
const PORT: u16 = 8080;
/// Pods of the StatefulSet.
const STATEFUL: u8 = 2;

/// Everything, for so many nodes and so many pods on each: one is the DaemonSet's, the others are spread.
pub(super) fn objects(nodes: u8, pods: u8) -> Vec<Value> {
    let mut objects = vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } }),
        workload("Deployment", "web", Some(deployed(nodes, pods)), server(None)),
        workload("StatefulSet", "db", Some(STATEFUL), server(None)),
        workload("DaemonSet", "agent", None, server(Some(HOST_PORT))),
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

/// The pods of the DaemonSet on a node.
pub(super) fn of_daemon_set(api: &Api, node: &str) -> Result<Vec<Value>> {
    api.list(&format!(
        "/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app%3Dagent&fieldSelector=spec.nodeName%3D{node}"
    ))
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

pub(super) fn workload(kind: &str, name: &str, replicas: Option<u8>, spec: Value) -> Value {
    let labels = json!({ "app": name });
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": { "namespace": NAMESPACE, "name": name },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": spec },
        },
    });
    if let Some(replicas) = replicas {
        object["spec"]["replicas"] = json!(replicas);
    }
    if kind == "StatefulSet" {
        object["spec"]["serviceName"] = json!(name);
    }
    object
}

pub(super) fn server(host_port: Option<u16>) -> Value {
    let http = json!({ "httpGet": { "path": "/etc/hostname", "port": PORT }, "periodSeconds": 1 });
    let mut port = json!({ "containerPort": PORT });
    if let Some(host_port) = host_port {
        port["hostPort"] = json!(host_port);
    }
    json!({
        "terminationGracePeriodSeconds": 1,
        "containers": [{
            "name": "server", "image": tools::IMAGE, "imagePullPolicy": "Never",
            "command": [tools::BUSYBOX, "httpd", "-f", "-p", PORT.to_string(), "-h", "/"],
            "ports": [port],
            "readinessProbe": http, "livenessProbe": http,
        }],
    })
}
