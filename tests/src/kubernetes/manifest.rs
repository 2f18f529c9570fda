//! Objects of a cluster's workloads: all of their pods are a web server.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Api, tools};

/// Where every server listens.
pub const PORT: u16 = 8080;

pub fn namespace(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })
}

/// What a pod of `app` is: a web server that kubelet probes.
pub fn server() -> Value {
    // A pod that kubelet cannot reach is killed, and no longer an endpoint of its Service. One that answers late, since the machine is busy, has neither happen to it.
    let probe = json!({ "httpGet": { "path": "/etc/hostname", "port": PORT }, "periodSeconds": 1, "timeoutSeconds": 5 });
    json!({
        "terminationGracePeriodSeconds": 1,
        "containers": [{
            "name": "server", "image": tools::IMAGE, "imagePullPolicy": "Never",
            "command": [tools::BUSYBOX, "httpd", "-f", "-p", PORT.to_string(), "-h", "/"],
            "ports": [{ "containerPort": PORT }],
            "readinessProbe": probe, "livenessProbe": probe,
        }],
    })
}

/// The same, which serves on for so many seconds when it is to go, as servers do that are to lose no request: their clients hear of it a little later than they.
pub fn server_that_stays(seconds: u32) -> Value {
    let mut spec = server();
    spec["terminationGracePeriodSeconds"] = json!(seconds + 3);
    let sleep = [tools::BUSYBOX, "sleep", &seconds.to_string()];
    spec["containers"][0]["lifecycle"] = json!({ "preStop": { "exec": { "command": sleep } } });
    spec
}

/// A server on one node, whatever taints it has.
pub fn server_on(node: &str) -> Value {
    let mut spec = server();
    spec["nodeName"] = json!(node);
    spec["tolerations"] = json!([{ "operator": "Exists" }]);
    spec
}

/// An affinity by which pods with this label share a node only where no other node takes them.
pub fn apart_from(label: &str, value: &str) -> Value {
    let term = json!({ "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { label: value } } });
    json!({ "podAntiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution":
        [{ "weight": 100, "podAffinityTerm": term }] } })
}

/// A pod by itself.
pub fn pod(namespace: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "spec": spec,
        "metadata": { "namespace": namespace, "name": name, "labels": { "app": name } },
    })
}

/// A Deployment, StatefulSet or DaemonSet of pods that are labelled with its name.
pub fn workload(kind: &str, namespace: &str, name: &str, replicas: Option<u32>, spec: &Value) -> Value {
    let labels = json!({ "app": name });
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": { "namespace": namespace, "name": name },
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

/// The API of budgets that the cluster has.
///
/// # Errors
/// The API server does not say which versions of budgets it knows.
pub fn budgets(api: &Api) -> Result<&'static str> {
    let is_newer = api.client.get("/apis/policy/v1")?.status == 200;
    Ok(if is_newer { "policy/v1" } else { "policy/v1beta1" })
}

/// A budget for the pods of `app`: `{"minAvailable": 2}`.
///
/// # Errors
/// The API server does not say which versions of budgets it knows.
pub fn budget(namespace: &str, app: &str, limit: &Value, api: &Api) -> Result<Value> {
    let mut budget = json!({
        "apiVersion": budgets(api)?, "kind": "PodDisruptionBudget",
        "metadata": { "namespace": namespace, "name": app }, "spec": limit,
    });
    budget["spec"]["selector"] = json!({ "matchLabels": { "app": app } });
    Ok(budget)
}

/// A Service before the pods of `app`, at an address of the Services' range.
pub fn service(namespace: &str, name: &str, address: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": namespace, "name": name },
        "spec": { "clusterIP": address, "selector": { "app": name }, "ports": [{ "port": 80, "targetPort": PORT }] },
    })
}
