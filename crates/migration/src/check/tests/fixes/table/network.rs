//! Tunnels, MTU, interfaces, masquerade and chained plugins.

use serde_json::json;

use super::clusters::{antrea, aws, cilium, daemon_set, flannel, joining, pod};
use super::{Edit, Printed, Row, Waiver, row};
use crate::cni::support::Strategy;

pub(super) const ROWS: &[Row] = &[
    row("masquerade-new", |w| cilium(w, json!({"enable-ipv4-masquerade": "true"})), Printed),
    row("masquerade-old", |w| w.merge("ippool", "pool", json!({"spec": {"natOutgoing": true}})), Printed),
    row("masquerade-old", |w| aws(w, "OTHER"), Printed),
    row(
        "autodetection-new-interface",
        |w| {
            daemon_set(
                w,
                "calico-node",
                json!({"containers": [{"name": "calico-node", "image": "docker.io/calico/node:v3.27.0", "env": [{"name": "IP", "value": "autodetect"}]}]}),
            )
        },
        Printed,
    ),
    row(
        "autodetection-unreadable",
        |w| {
            w.at("daemonset", "calico-node")["spec"]["template"]["spec"]["containers"][0]["env"][1]["value"] =
                "interface=[".into()
        },
        Edit("kubernetes-internal-ip", |w| {
            w.at("daemonset", "calico-node")["spec"]["template"]["spec"]["containers"][0]["env"][1]["value"] =
                "kubernetes-internal-ip".into()
        }),
    ),
    row(
        "mtu-differs",
        |w| w.merge("configmap", "calico-config", json!({"data": {"veth_mtu": "1480"}})),
        Printed,
    ),
    row(
        "mtu-too-large",
        |w| {
            w.set("transition: {nodeMtu: 1500}");
            w.merge("configmap", "calico-config", json!({"data": {"veth_mtu": "1490"}}));
        },
        Printed,
    ),
    row(
        "tunnel-clash",
        |w| {
            w.merge("ippool", "pool", json!({"spec": {"ipipMode": "Never", "vxlanMode": "Always"}}));
            cilium(w, json!({"tunnel-port": "4789"}));
        },
        Printed,
    ),
    row(
        "masquerade-both",
        |w| {
            flannel(w);
            w.strategy = Strategy::Bridge;
            w.at("daemonset", "kube-flannel-ds")["spec"]["template"]["spec"]["containers"][0]["args"] =
                json!(["--ip-masq"]);
        },
        Waiver,
    ),
    row(
        "multus-attachments",
        |w| {
            pod(
                w,
                "web",
                "ReplicaSet/web",
                json!({"metadata": {"annotations": {"k8s.v1.cni.cncf.io/networks": "n"}}}),
            )
        },
        Edit("Try one pod of each owner", |w| {
            w.set("waivers: [{finding: multus-attachments, reason: tried}]")
        }),
    ),
    row(
        "multus-master",
        |w| {
            w.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: kube-multus-ds, namespace: kube-system}, spec: {template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}], containers: [{name: kube-multus, args: [--v=4]}]}}}}")
        },
        Printed,
    ),
    row(
        "multus-master",
        |w| {
            w.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: kube-multus-ds, namespace: kube-system}, spec: {template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}], containers: [{name: kube-multus}]}}}}")
        },
        Printed,
    ),
    row(
        "plugin-appended",
        |w| {
            w.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: istio-cni-node, namespace: kube-system}, spec: {template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}]}}}}")
        },
        Waiver,
    ),
    row("join-refused", |_| {}, Edit("use --strategy bridge", |w| w.strategy = Strategy::Bridge)),
    row("join-refused", flannel, Edit("\"joinPods\": true", |w| joining(w, &["old", "new"]))),
    row(
        "join-refused",
        |w| {
            flannel(w);
            joining(w, &["old", "new"]);
            w.merge("node", "n2", json!({"metadata": {"annotations": {"crossfade/observed": r#"{"bootId":"b","phase":"old"}"#}}}));
        },
        Edit("\"joinPods\": true", |w| joining(w, &["old", "new"])),
    ),
    row(
        "join-refused",
        |w| {
            antrea(w, "trafficEncapMode: encap");
            flannel(w);
            w.strategy = Strategy::Double;
            joining(w, &["old"]);
        },
        Edit("\"join\": \"works\"", |w| joining(w, &["old", "new"])),
    ),
    row(
        "pod-join-refused",
        |w| {
            flannel(w);
            joining(w, &["old", "new"]);
            pod(
                w,
                "web",
                "ReplicaSet/web",
                json!({"metadata": {"annotations": {"crossfade/restart": "true"}}}),
            );
        },
        Edit("Remove the annotation crossfade/restart", |w| {
            w.merge("pod", "web", json!({"metadata": {"annotations": {"crossfade/restart": null}}}))
        }),
    ),
    row(
        "pod-join-refused",
        |w| {
            flannel(w);
            joining(w, &["old", "new"]);
            w.add("{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: secure}, handler: kata-qemu}");
            pod(w, "web", "ReplicaSet/web", json!({"spec": {"runtimeClassName": "secure"}}));
        },
        Waiver,
    ),
    row("strategy-host-routes", |_| {}, Edit("--strategy bridge", |w| w.strategy = Strategy::Bridge)),
];
