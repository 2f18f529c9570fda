//! Nodes and platforms.

use serde_json::json;

use super::clusters::{no_cilium, node, reports, silent, version};
use super::{Edit, Printed, Row, Settings, Waiver, row};

pub(super) const ROWS: &[Row] = &[
    row(
        "crossfade-absent",
        |w| {
            for name in ["n1", "n2", "n3"] {
                w.merge("node", name, json!({"metadata": {"annotations": null}}));
            }
        },
        Edit("Install Crossfade on the nodes", |w| {
            for name in ["n1", "n2", "n3"] {
                w.merge("node", name, json!({"metadata": {"annotations": {"crossfade/observed": r#"{"bootId":"b","phase":"old"}"#}}}));
            }
        }),
    ),
    row("crossfade-silent", silent, Edit("report.node: true", reports)),
    row("crossfade-silent", silent, Settings("roll: {leaveOut: [{node: n3, reason: WHY}]}", "")),
    row("crossfade-stale", |w| version(w, "bootID", "c"), Edit("doctor", |w| version(w, "bootID", "b"))),
    row("node-cordoned", |w| node(w, json!({"spec": {"unschedulable": true}})), Printed),
    row(
        "node-leaving",
        |w| node(w, json!({"spec": {"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]}})),
        Edit("until they are gone", |w| w.remove("node", "n3")),
    ),
    row(
        "node-network-unavailable",
        |w| {
            w.at("node", "n3")["status"]["conditions"]
                .as_array_mut()
                .expect("conditions")
                .push(json!({"type": "NetworkUnavailable", "status": "True"}))
        },
        Edit("writes the condition anew", reports),
    ),
    row(
        "node-not-ready",
        |w| w.at("node", "n3")["status"]["conditions"][0]["status"] = "False".into(),
        Edit("Repair", reports),
    ),
    row(
        "node-outdated",
        |w| {
            let taint =
                json!({"key": "node.cluster.x-k8s.io/outdated-revision", "effect": "PreferNoSchedule"});
            node(w, json!({"spec": {"taints": [taint]}}))
        },
        Edit("has replaced them", |w| node(w, json!({"spec": {"taints": []}}))),
    ),
    row(
        "node-unfit",
        |w| node(w, json!({"spec": {"taints": [{"key": "crossfade/unfit", "effect": "NoSchedule"}]}})),
        Printed,
    ),
    row(
        "version-architecture",
        |w| version(w, "architecture", "riscv64"),
        Edit("leave the cluster", |w| w.remove("node", "n3")),
    ),
    row(
        "version-kernel",
        |w| version(w, "kernelVersion", "4.9.0"),
        Edit("Upgrade the kernel", |w| version(w, "kernelVersion", "6.1.0")),
    ),
    row(
        "version-kernel-doubtful",
        |w| {
            no_cilium(w);
            version(w, "kernelVersion", "5.4.0");
        },
        Edit("upgrade the kernel", |w| version(w, "kernelVersion", "6.1.0")),
    ),
    row(
        "version-kubelet",
        |w| version(w, "kubeletVersion", "v1.24.1"),
        Edit("Upgrade these nodes", |w| version(w, "kubeletVersion", "v1.31.1")),
    ),
    row(
        "version-runtime",
        |w| version(w, "containerRuntimeVersion", "docker://20.10.7"),
        Edit("replace the runtime", |w| version(w, "containerRuntimeVersion", "containerd://1.7.20")),
    ),
    row("version-runtime-unproven", |w| version(w, "containerRuntimeVersion", "containerd://3.0.0"), Waiver),
    row(
        "version-unknown",
        |w| version(w, "kernelVersion", "new"),
        Edit("Take the snapshot again", |w| version(w, "kernelVersion", "6.1.0")),
    ),
    row(
        "platform-eks-auto-mode",
        |w| node(w, json!({"metadata": {"labels": {"eks.amazonaws.com/compute-type": "auto"}}})),
        Edit("delete the Auto Mode node pools", |w| w.remove("node", "n3")),
    ),
    row(
        "platform-fargate",
        |w| node(w, json!({"metadata": {"labels": {"eks.amazonaws.com/compute-type": "fargate"}}})),
        Waiver,
    ),
    row(
        "platform-read-only",
        |w| {
            silent(w);
            version(w, "osImage", "Talos (v1.9.0)");
        },
        Edit("Install Crossfade as docs/daemonset.md says", reports),
    ),
    row(
        "platform-virtual",
        |w| node(w, json!({"metadata": {"labels": {"type": "virtual-kubelet"}}})),
        Waiver,
    ),
    row(
        "platform-windows",
        |w| {
            node(
                w,
                json!({"metadata": {"labels": {"kubernetes.io/os": "windows"}}, "status": {"nodeInfo": {"operatingSystem": "windows"}}}),
            )
        },
        Waiver,
    ),
];
