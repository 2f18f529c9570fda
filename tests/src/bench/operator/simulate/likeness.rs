//! A large cluster with Flannel, whose nodes have Crossfade and Cilium's agents, as `kubectl get -o json` dumps it.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::bench::operator::generate::{self, PODS_PER_NODE, REPLICAS, written};

/// Pods of the cluster's DNS.
const DNS: usize = 3;
/// The digest of every node's policy, whatever the phase.
const POLICY: &str = "5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f";

/// Writes a `List` of everything, and returns how many pods are in it. The same number of nodes gives the same bytes.
pub(super) fn write(nodes: usize, out: &mut impl Write) -> io::Result<usize> {
    let pods = nodes * PODS_PER_NODE;
    let few = networks().into_iter().chain(agents(nodes));
    let running = (0..nodes).map(node).chain((0..pods).map(pod)).chain((0..DNS).map(dns));
    let owners =
        (0..generate::deployments(pods)).flat_map(|index| [generate::deployment(index), budget(index)]);
    written(few.chain(running).chain(owners), out)?;
    Ok(pods + DNS)
}

/// The settings that the migration is planned with: nothing waits for a person or a clock but the nodes themselves.
pub(super) fn settings() -> Value {
    json!({
        "version": 1,
        "roll": {
            "limits": { "soakSeconds": 0 },
            "gates": [{ "name": "bridge", "command": ["./bridge.sh"] }],
            "bridge": { "gate": "bridge" },
        },
    })
}

/// The settings of both networks, and the objects that belong to no node.
fn networks() -> Vec<Value> {
    let map = |name: &str, namespace: &str, data: Value| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "namespace": namespace }, "data": data });
    let flannel =
        json!({ "Network": "10.128.0.0/9", "EnableNFTables": false, "Backend": { "Type": "vxlan" } });
    let cilium = json!({
        "ipam": "cluster-pool", "cluster-pool-ipv4-cidr": "10.0.0.0/9", "cluster-pool-ipv4-mask-size": "24",
        "ipv4-native-routing-cidr": "10.0.0.0/8", "routing-mode": "tunnel", "tunnel-protocol": "vxlan",
        "tunnel-port": "8473", "custom-cni-conf": "true", "cni-uninstall": "false", "enable-policy": "never",
        "enable-host-legacy-routing": "true", "kube-proxy-replacement": "false", "unmanaged-pod-watcher-interval": "0",
    });
    let defaults = json!({
        "write-cni-conf-when-ready": "/host/etc/cni/net.d/05-cilium.conflist", "custom-cni-conf": "false",
        "cni-chaining-mode": "none", "cni-exclusive": "false",
    });
    vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "kube-system", "uid": "40000000-0000-4000-8000-000000000000" } }),
        generate::service(),
        map("kube-flannel-cfg", "kube-flannel", json!({ "net-conf.json": flannel.to_string() })),
        map("cilium-config", "kube-system", cilium),
        json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumNodeConfig",
            "metadata": { "name": "cilium-default", "namespace": "kube-system" },
            "spec": { "nodeSelector": { "matchLabels": { "io.cilium.migration/cilium-default": "true" } }, "defaults": defaults },
        }),
    ]
}

/// The DaemonSets that run on all nodes. Their pods are left out of the dump: no run touches them.
fn agents(nodes: usize) -> Vec<Value> {
    let images = [
        ("kube-system", "cilium", "cilium-agent", "quay.io/cilium/cilium:v1.17.4"),
        ("kube-flannel", "kube-flannel-ds", "kube-flannel", "ghcr.io/flannel-io/flannel:v0.26.1"),
        ("kube-system", "kube-proxy", "kube-proxy", "registry.k8s.io/kube-proxy:v1.31.2"),
    ];
    let agent = |(namespace, name, container, image)| {
        json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": { "name": name, "namespace": namespace, "uid": format!("uid-{name}"), "generation": 1 },
            "spec": { "template": { "spec": {
                "hostNetwork": true, "tolerations": [{ "operator": "Exists" }], "containers": [{ "name": container, "image": image }],
            } } },
            "status": {
                "observedGeneration": 1, "desiredNumberScheduled": nodes, "numberReady": nodes, "updatedNumberScheduled": nodes,
            },
        })
    };
    images.map(agent).into()
}

/// A node that says it is in the old phase.
fn node(index: usize) -> Value {
    let mut node = generate::node(index);
    let observed = json!({
        "bootId": node["status"]["nodeInfo"]["bootID"], "phase": "old", "policySha256": "ab".repeat(32), "base": POLICY,
        "mints": ["old"], "follows": ["old", "both-old", "both-new", "new"], "attached": { "old": PODS_PER_NODE },
    });
    node["metadata"]["annotations"] = json!({ "crossfade/observed": observed.to_string() });
    node["metadata"]["labels"]["crossfade/phase"] = json!("old");
    let ready = json!({ "type": "CrossfadeReady", "status": "True", "reason": "NetworkReady" });
    if let Some(conditions) = node["status"]["conditions"].as_array_mut() {
        conditions.push(ready);
    }
    node
}

/// A pod, with its address from its node's range.
fn pod(index: usize) -> Value {
    let mut pod = generate::pod(index);
    let ip = generate::address([10, 128, 0, 0], ((index / PODS_PER_NODE) << 8) + index % PODS_PER_NODE + 2);
    pod["metadata"]["annotations"] = json!({});
    pod["status"]["podIP"] = json!(ip);
    pod["status"]["podIPs"] = json!([{ "ip": ip }]);
    pod
}

/// A pod of the cluster's DNS, each on another node.
fn dns(index: usize) -> Value {
    let mut pod = pod(index * PODS_PER_NODE);
    let ip = generate::address([10, 128, 0, 0], (index << 8) + 200);
    pod["metadata"] = json!({
        "name": format!("coredns-5d9c-{index}"), "namespace": "kube-system", "uid": format!("50000000-0000-4000-8000-{index:012}"),
        "labels": { "k8s-app": "kube-dns", "pod-template-hash": "5d9c" },
        "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "coredns-5d9c", "uid": "uid-coredns", "controller": true }],
    });
    pod["status"]["podIP"] = json!(ip);
    pod["status"]["podIPs"] = json!([{ "ip": ip }]);
    pod
}

/// A budget of one Deployment.
fn budget(index: usize) -> Value {
    let healthy = REPLICAS - REPLICAS / 10;
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": { "name": format!("app-{index}"), "namespace": generate::namespace(index) },
        "spec": { "maxUnavailable": REPLICAS / 10, "selector": { "matchLabels": generate::labels(index) } },
        "status": {
            "currentHealthy": REPLICAS, "desiredHealthy": healthy, "disruptionsAllowed": REPLICAS - healthy, "expectedPods": REPLICAS,
        },
    })
}
