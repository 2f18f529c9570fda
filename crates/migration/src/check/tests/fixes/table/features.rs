//! Features of the old CNI.

use serde_json::json;

use super::clusters::{aws, cilium, felix, pod};
use super::{Edit, Printed, Row, Waiver, row};

pub(super) const ROWS: &[Row] = &[
    row("feature-aws-custom-networking", |w| aws(w, "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG"), Waiver),
    row("feature-aws-security-groups", |w| aws(w, "ENABLE_POD_ENI"), Waiver),
    row(
        "feature-bandwidth",
        |w| {
            pod(
                w,
                "web",
                "ReplicaSet/web",
                json!({"metadata": {"annotations": {"kubernetes.io/egress-bandwidth": "1M"}}}),
            )
        },
        Edit("bandwidthManager.enabled=true", |w| cilium(w, json!({"enable-bandwidth-manager": "true"}))),
    ),
    row(
        "feature-bgp",
        |w| {
            w.add("{apiVersion: crd.projectcalico.org/v1, kind: BGPPeer, metadata: {name: p}, spec: {peerIP: 192.0.2.1}}")
        },
        Waiver,
    ),
    row("feature-ebpf", |w| felix(w, json!({"bpfEnabled": true})), Printed),
    row("feature-egress-gateway", |w| felix(w, json!({"egressIPSupport": "EnabledPerNamespace"})), Waiver),
    row(
        "feature-fixed-addresses",
        |w| {
            pod(
                w,
                "web",
                "ReplicaSet/web",
                json!({"metadata": {"annotations": {"cni.projectcalico.org/ipAddrs": "[]"}}}),
            )
        },
        Waiver,
    ),
    row(
        "feature-floating-ips",
        |w| {
            pod(
                w,
                "web",
                "ReplicaSet/web",
                json!({"metadata": {"annotations": {"cni.projectcalico.org/floatingIPs": "[]"}}}),
            )
        },
        Waiver,
    ),
    row(
        "feature-host-endpoints",
        |w| {
            w.add("{apiVersion: crd.projectcalico.org/v1, kind: HostEndpoint, metadata: {name: h}, spec: {node: n1}}")
        },
        Waiver,
    ),
    row(
        "feature-ip-reservations",
        |w| {
            w.add("{apiVersion: crd.projectcalico.org/v1, kind: IPReservation, metadata: {name: r}, spec: {reservedCIDRs: [10.99.1.0/24, 10.99.9.9]}}")
        },
        Edit("cidrs.reserved", |w| w.set("cidrs: {reserved: [10.99.1.0/24, 10.99.9.9/32]}")),
    ),
    row(
        "feature-kube-proxy",
        |w| w.remove("daemonset", "kube-proxy"),
        Edit("install kube-proxy", |w| {
            w.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: kube-proxy, namespace: kube-system}, spec: {template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}]}}}}")
        }),
    ),
    row(
        "feature-pool-selection",
        |w| w.merge("ippool", "pool", json!({"spec": {"nodeSelector": "zone == 'a'"}})),
        Waiver,
    ),
    row(
        "feature-wireguard",
        |w| felix(w, json!({"wireguardEnabled": true})),
        Edit("encryption.type=wireguard", |w| cilium(w, json!({"enable-wireguard": "true"}))),
    ),
    row(
        "feature-policy-engine",
        |w| {
            aws(w, "OTHER");
            w.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: calico-node, namespace: calico-system}, spec: {template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}], containers: [{name: calico-node, env: [{name: CALICO_NETWORKING_BACKEND, value: none}]}]}}}}");
        },
        Waiver,
    ),
];
