//! A large cluster with Calico, as `kubectl get -o json` dumps it.

use std::io::{self, Write};

use serde_json::{Value, json};

pub(in crate::bench) const PODS_PER_NODE: usize = 30;
/// Pods of each Deployment.
pub(in crate::bench) const REPLICAS: usize = 50;
/// Namespaces of all of them.
pub(in crate::bench) const NAMESPACES: usize = 40;

/// Writes a `List` of everything, and returns how many pods are in it. The same number of nodes gives the same bytes.
pub(in crate::bench) fn write(nodes: usize, out: &mut impl Write) -> io::Result<usize> {
    written(objects(nodes), out)?;
    Ok(nodes * PODS_PER_NODE)
}

/// Writes the same `List` in YAML, as `kubectl get -o yaml` does.
pub(in crate::bench) fn write_yaml(nodes: usize, out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"apiVersion: v1\nitems:\n")?;
    for object in objects(nodes) {
        let text = serde_saphyr::to_string(&object).map_err(io::Error::other)?;
        for (index, line) in text.lines().enumerate() {
            writeln!(out, "{}{line}", if index == 0 { "- " } else { "  " })?;
        }
    }
    out.write_all(b"kind: List\nmetadata:\n  resourceVersion: \"\"\n")?;
    out.flush()
}

fn objects(nodes: usize) -> impl Iterator<Item = Value> {
    let pods = nodes * PODS_PER_NODE;
    let of_nodes = (0..nodes).flat_map(|index| [node(index), block(index)]);
    let deployments = (0..deployments(pods)).map(deployment);
    [pool(), service()].into_iter().chain(of_nodes).chain(deployments).chain((0..pods).map(pod))
}

/// Writes a `List` of these objects, over many lines, as kubectl does.
pub(in crate::bench) fn written(
    objects: impl IntoIterator<Item = Value>,
    out: &mut impl Write,
) -> io::Result<()> {
    out.write_all(b"{\"apiVersion\":\"v1\",\"items\":[")?;
    for (index, object) in objects.into_iter().enumerate() {
        out.write_all(if index == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer_pretty(&mut *out, &object)?;
    }
    out.write_all(b"],\"kind\":\"List\",\"metadata\":{\"resourceVersion\":\"\"}}\n")?;
    out.flush()
}

/// How many Deployments have so many pods.
pub(in crate::bench) fn deployments(pods: usize) -> usize {
    pods.div_ceil(REPLICAS)
}

/// The namespace of a Deployment.
pub(in crate::bench) fn namespace(index: usize) -> String {
    format!("team-{}", index % NAMESPACES)
}

pub(in crate::bench) fn pool() -> Value {
    json!({
        "apiVersion": "crd.projectcalico.org/v1", "kind": "IPPool", "metadata": { "name": "default" },
        "spec": { "cidr": "10.0.0.0/11", "blockSize": 26, "ipipMode": "Always", "natOutgoing": true },
    })
}

pub(in crate::bench) fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "kubernetes", "namespace": "default" },
        "spec": { "type": "ClusterIP", "clusterIPs": ["172.20.0.1"], "ports": [{ "port": 443, "protocol": "TCP" }] },
    })
}

/// The n-th address from a first one.
pub(in crate::bench) fn address(first: [u8; 4], index: usize) -> String {
    let number = u32::from_be_bytes(first) + u32::try_from(index).unwrap_or(u32::MAX / 2);
    std::net::Ipv4Addr::from(number).to_string()
}

pub(in crate::bench) fn node(index: usize) -> Value {
    let cidr = format!("{}/24", address([10, 128, 0, 0], index << 8));
    let condition = |kind: &str, status: &str| {
        json!({
            "type": kind, "status": status, "reason": "KubeletReady", "message": "kubelet is posting ready status",
            "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": format!("node-{index:04}"), "uid": format!("00000000-0000-4000-8000-{index:012}"),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": { "topology.kubernetes.io/zone": format!("zone-{}", index % 3), "kubernetes.io/os": "linux" },
            "annotations": { "projectcalico.org/IPv4IPIPTunnelAddr": address([10, 0, 0, 0], index << 6) },
        },
        "spec": { "podCIDR": cidr, "podCIDRs": [cidr], "providerID": format!("aws:///eu-1a/i-{index:08x}") },
        "status": {
            "addresses": [{ "type": "InternalIP", "address": address([172, 24, 0, 0], index) }],
            "allocatable": { "cpu": "16", "memory": "64Gi", "pods": "110" },
            "conditions": [condition("Ready", "True"), condition("NetworkUnavailable", "False")],
            "images": [{ "names": ["registry.example/app@sha256:0"], "sizeBytes": 1_000_000 }],
            "nodeInfo": {
                "architecture": "amd64", "bootID": format!("10000000-0000-4000-8000-{index:012}"),
                "containerRuntimeVersion": "containerd://1.7.20", "kernelVersion": "6.1.0-25-amd64",
                "kubeletVersion": "v1.31.2", "operatingSystem": "linux", "osImage": "Debian GNU/Linux 12",
            },
        },
    })
}

pub(in crate::bench) fn block(index: usize) -> Value {
    let used: Vec<Value> =
        (0..64).map(|slot| if slot < PODS_PER_NODE { json!(0) } else { Value::Null }).collect();
    let cidr = format!("{}/26", address([10, 0, 0, 0], index << 6));
    let node = format!("node-{index:04}");
    json!({
        "apiVersion": "crd.projectcalico.org/v1", "kind": "IPAMBlock",
        "metadata": { "name": cidr.replace(['.', '/'], "-") },
        "spec": {
            "cidr": cidr, "affinity": format!("host:{node}"), "allocations": used, "deleted": false,
            "attributes": [{ "handle_id": "k8s-pod-network.0", "secondary": { "node": node } }],
        },
    })
}

pub(in crate::bench) fn labels(owner: usize) -> Value {
    json!({ "app.kubernetes.io/name": format!("app-{owner}"), "pod-template-hash": "7d9c5b8f6" })
}

fn containers() -> Value {
    let probe =
        json!({ "httpGet": { "path": "/healthz", "port": 8080, "scheme": "HTTP" }, "periodSeconds": 10 });
    json!([{
        "name": "app", "image": "registry.example/app:v1.2.3", "imagePullPolicy": "IfNotPresent",
        "args": ["--listen=:8080", "--log=info"],
        "env": [{ "name": "DATABASE", "valueFrom": { "secretKeyRef": { "name": "db", "key": "url" } } }],
        "ports": [{ "containerPort": 8080, "name": "http", "protocol": "TCP" }],
        "resources": { "requests": { "cpu": "100m", "memory": "128Mi" }, "limits": { "memory": "256Mi" } },
        "livenessProbe": probe, "readinessProbe": probe,
        "volumeMounts": [{ "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "name": "token", "readOnly": true }],
    }])
}

fn volumes() -> Value {
    json!([{ "name": "token", "projected": { "defaultMode": 420, "sources": [{ "configMap": { "name": "kube-root-ca.crt" } }] } }])
}

pub(in crate::bench) fn deployment(index: usize) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": format!("app-{index}"), "namespace": namespace(index), "labels": labels(index) },
        "spec": {
            "replicas": REPLICAS, "selector": { "matchLabels": labels(index) },
            "template": { "metadata": { "labels": labels(index) }, "spec": { "containers": containers(), "volumes": volumes() } },
        },
        "status": { "replicas": REPLICAS, "readyReplicas": REPLICAS, "availableReplicas": REPLICAS },
    })
}

pub(in crate::bench) fn pod(index: usize) -> Value {
    let owner = index / REPLICAS;
    let node = index / PODS_PER_NODE;
    let ip = address([10, 0, 0, 0], (node << 6) + index % PODS_PER_NODE + 1);
    let condition =
        |kind: &str| json!({ "type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" });
    let conditions = ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map(condition);
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("app-{owner}-7d9c5b8f6-{index:05x}"), "namespace": namespace(owner),
            "uid": format!("20000000-0000-4000-8000-{index:012}"), "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": labels(owner),
            "annotations": { "cni.projectcalico.org/podIP": format!("{ip}/32"), "checksum/config": "0123456789abcdef" },
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("app-{owner}-7d9c5b8f6"),
                "uid": format!("30000000-0000-4000-8000-{owner:012}"), "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {
            "nodeName": format!("node-{node:04}"), "containers": containers(), "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default", "terminationGracePeriodSeconds": 30, "priority": 0,
            "tolerations": [
                { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
                { "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
            ],
            "volumes": volumes(),
        },
        "status": {
            "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }], "hostIP": address([172, 24, 0, 0], node),
            "conditions": conditions,
            "containerStatuses": [{
                "name": "app", "image": "registry.example/app:v1.2.3", "ready": true, "restartCount": 0,
                "containerID": format!("containerd://{index:064x}"), "state": { "running": { "startedAt": "2026-01-01T00:00:00Z" } },
            }],
            "qosClass": "Burstable", "startTime": "2026-01-01T00:00:00Z",
        },
    })
}
