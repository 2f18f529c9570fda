//! Settings of the new CNI.

use serde_json::json;

use super::clusters::{
    GUIDE, antrea, cilium, felix, no_cilium, node_config, pod, ports, reports, service, silent, to_calico,
};
use super::{Edit, Of, Printed, PrintedThen, Row, row};

pub(super) const ROWS: &[Row] = &[
    row("antrea-bridging", |w| antrea(w, "enableBridgingMode: true"), Printed),
    row("antrea-encap-mode", |w| antrea(w, "trafficEncapMode: networkPolicyOnly"), Printed),
    row(
        "antrea-migrator",
        |w| {
            antrea(w, "trafficEncapMode: encap");
            w.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: antrea-migrator, namespace: kube-system}, spec: {template: {spec: {hostNetwork: true}}}}");
        },
        Printed,
    ),
    row("antrea-no-encap", |w| antrea(w, "trafficEncapMode: noEncap"), Printed),
    row("antrea-node-policies", |w| antrea(w, "featureGates: {NodeNetworkPolicy: true}"), Printed),
    row("antrea-proxy-all", |w| antrea(w, "antreaProxy: {proxyAll: true}"), Printed),
    row(
        "calico-chain-insert",
        |w| {
            to_calico(w);
            felix(w, json!({"chainInsertMode": "Insert"}));
        },
        Printed,
    ),
    row(
        "calico-ebpf",
        |w| {
            to_calico(w);
            felix(w, json!({"bpfEnabled": true}));
        },
        Printed,
    ),
    row("cilium-chaining", |w| cilium(w, json!({"cni-chaining-mode": "aws-cni"})), Printed),
    row("cilium-custom-conf", |w| cilium(w, json!({"custom-cni-conf": "false"})), Printed),
    row("cilium-exclusive", |w| cilium(w, json!({"cni-exclusive": "true"})), Printed),
    row("cilium-exclusive", |w| node_config(w, "c", "none: here", "cni-exclusive: \"true\""), Printed),
    row("cilium-host-firewall", |w| cilium(w, json!({"enable-host-firewall": "true"})), Printed),
    row("cilium-host-routing", |w| cilium(w, json!({"enable-host-legacy-routing": null})), Printed),
    row("cilium-ipam", |w| cilium(w, json!({"ipam": "kubernetes"})), Printed),
    row("cilium-kube-proxy", |w| cilium(w, json!({"kube-proxy-replacement": "true"})), Printed),
    // Once Cilium does not replace kube-proxy any more, its socket load balancer stays, and portmap serves the ports of nodes.
    row(
        "cilium-kube-proxy",
        |w| {
            service(w, "clusterIPs: [172.20.0.10], selector: {a: b}");
            cilium(w, json!({"kube-proxy-replacement": "true"}));
        },
        Printed,
    ),
    row(
        "cilium-kube-proxy",
        |w| {
            service(w, "clusterIPs: [172.20.0.10], selector: {a: b}");
            cilium(w, json!({"bpf-lb-sock": "true"}));
            node_config(
                w,
                "c",
                "kubernetes.io/os: linux",
                "kube-proxy-replacement: \"true\", bpf-lb-sock: \"false\"",
            );
        },
        Printed,
    ),
    row(
        "cilium-kube-proxy",
        |w| {
            pod(w, "web", "ReplicaSet/web", ports());
            cilium(w, json!({"kube-proxy-replacement": "true"}));
        },
        Printed,
    ),
    row(
        "cilium-kube-proxy",
        |w| {
            pod(w, "web", "ReplicaSet/web", ports());
            node_config(w, "c", "kubernetes.io/os: linux", "kube-proxy-replacement: \"true\"");
        },
        Printed,
    ),
    row(
        "cilium-kube-proxy",
        |w| {
            pod(w, "web", "ReplicaSet/web", ports());
            cilium(w, json!({"kube-proxy-replacement": "true", "cni-chaining-mode": "portmap"}));
            node_config(w, "c", "kubernetes.io/os: linux", "cni-chaining-mode: none");
        },
        Printed,
    ),
    row("cilium-native-routing", |w| cilium(w, json!({"routing-mode": "native"})), Printed),
    row("cilium-policy-mode", |w| cilium(w, json!({"enable-policy": "default"})), Printed),
    row("cilium-uninstall", |w| cilium(w, json!({"cni-uninstall": "true"})), Printed),
    row("cilium-unmanaged-pods", |w| cilium(w, json!({"unmanaged-pod-watcher-interval": "15"})), Printed),
    row(
        "cilium-node-config-ambiguous",
        |w| {
            node_config(w, "c", "kubernetes.io/os: linux", "debug: \"true\"");
            node_config(w, "d", "kubernetes.io/os: linux", "debug: \"false\"");
        },
        Edit("at most one of them selects each node", |w| {
            node_config(w, "d", "moved: \"true\"", "debug: \"false\"")
        }),
    ),
    row(
        "cilium-node-config-everywhere",
        |w| {
            silent(w);
            node_config(w, "c", "kubernetes.io/os: linux", GUIDE);
        },
        Printed,
    ),
    row(
        "cilium-node-config-everywhere",
        |w| {
            silent(w);
            for name in ["n1", "n2", "n3"] {
                w.merge(
                    "node",
                    name,
                    json!({"metadata": {"labels": {"io.cilium.migration/cilium-default": "true"}}}),
                );
            }
            node_config(w, "c", "io.cilium.migration/cilium-default: \"true\"", GUIDE);
        },
        Printed,
    ),
    row(
        "cilium-node-config-everywhere",
        |w| {
            silent(w);
            node_config(w, "c", "kubernetes.io/os: linux", GUIDE);
        },
        Edit("Install Crossfade on these nodes", reports),
    ),
    row(
        "cilium-node-config-namespace",
        |w| {
            node_config(w, "c", "none: here", "debug: \"true\"");
            w.at("ciliumnodeconfig", "c")["metadata"]["namespace"] = "x".into();
        },
        Edit("Create the object in the namespace kube-system", |w| {
            w.at("ciliumnodeconfig", "c")["metadata"]["namespace"] = "kube-system".into()
        }),
    ),
    row("values-next", |_| {}, PrintedThen(|w| w.set("transition: {phase: finish}"))),
    row("values-not-installed", no_cilium, Printed),
    row("agent-new-absent", no_cilium, Of("values-not-installed")),
    row("cilium-network-name", |w| node_config(w, "c", "none: here", "cni-chaining-mode: portmap"), Printed),
];
