//! Objects of the tests' workloads: a web server.

use lab::kubernetes::tools;
use serde_json::{Value, json};

/// Where every server listens.
pub(crate) const PORT: u16 = 8080;

/// A namespace.
pub(crate) fn namespace(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })
}

/// What a pod of `app` is: a web server that kubelet probes.
pub(crate) fn server() -> Value {
    let http = json!({ "httpGet": { "path": "/etc/hostname", "port": PORT }, "periodSeconds": 1 });
    json!({
        "terminationGracePeriodSeconds": 1,
        "containers": [{
            "name": "server", "image": tools::IMAGE, "imagePullPolicy": "Never",
            "command": [tools::BUSYBOX, "httpd", "-f", "-p", PORT.to_string(), "-h", "/"],
            "ports": [{ "containerPort": PORT }],
            "readinessProbe": http, "livenessProbe": http,
        }],
    })
}

/// The same on one node, whatever taints it has.
pub(crate) fn server_on(node: &str) -> Value {
    let mut spec = server();
    spec["nodeName"] = json!(node);
    spec["tolerations"] = json!([{ "operator": "Exists" }]);
    spec
}

/// A pod by itself.
pub(crate) fn pod(namespace: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "spec": spec,
        "metadata": { "namespace": namespace, "name": name, "labels": { "app": name } },
    })
}

/// A Deployment, StatefulSet or DaemonSet of pods that are labelled with its name.
pub(crate) fn workload(
    kind: &str,
    namespace: &str,
    name: &str,
    replicas: Option<u32>,
    spec: &Value,
) -> Value {
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

/// A Service before the pods of `app`, at an address of the Services' range.
pub(crate) fn service(namespace: &str, name: &str, address: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": namespace, "name": name },
        "spec": { "clusterIP": address, "selector": { "app": name }, "ports": [{ "port": 80, "targetPort": PORT }] },
    })
}
