//! The cluster's DNS server: dnsmasq of the distribution behind the Service `kube-dns`, in the place of CoreDNS, which Debian does not
//! have.
//!
//! It knows the names of Services that a test tells it, not those that come to be.

use serde_json::{Value, json};

use super::{DNS, DOMAIN, manifest, tools};

/// Its Deployment, ConfigMap and Service, in kube-system.
const NAME: &str = "kube-dns";
/// How many pods of it there are.
const REPLICAS: u32 = 2;

/// A name in the cluster's domain, as in `web.default`, and the address of its Service.
pub type Record<'a> = (&'a str, &'a str);

/// The objects that make it: a ConfigMap with these names, a Deployment, a Service.
pub fn objects(records: &[Record<'_>]) -> [Value; 3] {
    let lines: Vec<String> =
        records.iter().map(|(name, address)| format!("host-record={name}.svc.{DOMAIN},{address}")).collect();
    let labels = json!({ "k8s-app": NAME });
    let metadata = json!({ "name": NAME, "namespace": "kube-system", "labels": labels });
    let port = |protocol: &str| json!({ "name": protocol.to_lowercase(), "port": 53, "protocol": protocol });
    let config_map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
        "data": { "dnsmasq.conf": format!("local=/{DOMAIN}/\nno-resolv\nno-hosts\n{}\n", lines.join("\n")) },
    });
    let container = json!({
        "name": "dnsmasq", "image": tools::IMAGE, "imagePullPolicy": "Never",
        "command": [tools::DNSMASQ, "--keep-in-foreground", "--user=root", "--pid-file", "--conf-file=/etc/dns/dnsmasq.conf"],
        "ports": [{ "containerPort": 53, "protocol": "UDP" }, { "containerPort": 53, "protocol": "TCP" }],
        "readinessProbe": { "tcpSocket": { "port": 53 }, "periodSeconds": 1, "timeoutSeconds": 5 },
        "volumeMounts": [{ "name": "config", "mountPath": "/etc/dns" }],
    });
    let spec = json!({
        // As CoreDNS is installed by kubeadm. No plan is made while all DNS pods are on one node.
        "affinity": manifest::apart_from("k8s-app", NAME),
        "containers": [container],
        "dnsPolicy": "Default",
        "automountServiceAccountToken": false,
        "volumes": [{ "name": "config", "configMap": { "name": NAME } }],
    });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
        "spec": {
            "replicas": REPLICAS, "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": spec },
        },
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata,
        "spec": { "clusterIP": DNS, "selector": labels, "ports": [port("UDP"), port("TCP")] },
    });
    [config_map, deployment, service]
}
