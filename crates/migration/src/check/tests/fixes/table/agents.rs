//! Agents and start-up taints.

use serde_json::json;

use super::clusters::{cilium, daemon_set, fenced, node, rotation, tainted};
use super::{Edit, Printed, Row, Settings, row};

pub(super) const ROWS: &[Row] = &[
    row(
        "agent-controller-homeless",
        |w| {
            for name in ["n1", "n2", "n3"] {
                w.merge("node", name, json!({"spec": {"taints": [{"key": "t", "effect": "NoSchedule"}]}}));
            }
            w.at("deployment", "cilium-operator")["spec"]["template"]["spec"]["tolerations"] = json!([]);
        },
        Printed,
    ),
    row(
        "agent-missing",
        |w| daemon_set(w, "cilium", json!({"nodeSelector": {"kubernetes.io/os": "linux", "dual": "true"}})),
        Printed,
    ),
    row(
        "agent-missing",
        |w| {
            node(w, json!({"spec": {"taints": [{"key": "t", "effect": "NoSchedule"}]}}));
            daemon_set(w, "cilium", json!({"tolerations": [{"key": "u", "operator": "Exists"}]}));
        },
        Printed,
    ),
    row(
        "agent-missing",
        |w| {
            node(w, json!({"spec": {"taints": [{"key": "t", "effect": "NoSchedule"}]}}));
            daemon_set(w, "cilium", json!({"tolerations": null}));
        },
        Printed,
    ),
    row(
        "agent-not-ready",
        |w| {
            w.merge("daemonset", "cilium", json!({"status": {"desiredNumberScheduled": 3, "numberReady": 2}}))
        },
        Edit("repair them", |w| w.merge("daemonset", "cilium", json!({"status": {"numberReady": 3}}))),
    ),
    row(
        "agent-old-absent",
        |w| {
            w.remove("daemonset", "calico-node");
            w.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: vendor-net, namespace: v}, spec: {template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}], containers: [{name: net, image: 'docker.io/calico/node:v3.27.0'}]}}}}");
        },
        Settings(
            "agents: {old: [{namespace: NAMESPACE, name: NAME}]}",
            "agents: {old: [{namespace: v, name: vendor-net}]}",
        ),
    ),
    row(
        "agent-restarts",
        |w| {
            rotation(w);
            w.merge("daemonset", "cilium", json!({"spec": {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}}}));
        },
        Printed,
    ),
    row(
        "agent-twice",
        |w| {
            w.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: cilium-two, namespace: kube-system}, spec: {updateStrategy: {type: OnDelete}, template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}], containers: [{name: cilium-agent}]}}}}")
        },
        Edit("must refuse", |w| {
            fenced(w, "cilium", "DoesNotExist");
            fenced(w, "cilium-two", "Exists");
        }),
    ),
    row(
        "fence-mixed",
        |w| {
            rotation(w);
            node(w, json!({"metadata": {"labels": {"new": ""}}}));
            fenced(w, "cilium", "Exists");
        },
        Edit("refuse it", |w| fenced(w, "calico-node", "DoesNotExist")),
    ),
    row(
        "fence-unproven",
        rotation,
        Settings(
            "nodes: {templates: [{name: POOL, labels: {KEY: VALUE}, taints: [{key: KEY, effect: NoSchedule}]}]}",
            "nodes: {templates: [{name: pool, labels: {new: \"\"}, taints: []}]}",
        ),
    ),
    row(
        "daemonset-starts-early",
        |w| {
            w.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: d, namespace: x}, spec: {template: {spec: {tolerations: [{operator: Exists}]}}}}")
        },
        Edit("Tolerate named taints only", |w| {
            daemon_set(w, "d", json!({"tolerations": [{"key": "t", "operator": "Exists"}]}))
        }),
    ),
    row(
        "startup-taint-agent-waits",
        |w| {
            tainted(w);
            daemon_set(w, "cilium", json!({"tolerations": []}));
        },
        Printed,
    ),
    row(
        "startup-taint-agent-waits",
        |w| {
            tainted(w);
            daemon_set(w, "cilium", json!({"tolerations": null}));
        },
        Printed,
    ),
    row(
        "startup-taint-daemonset-waits",
        |w| {
            tainted(w);
            w.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: csi, namespace: x}, spec: {template: {spec: {hostNetwork: true}}}}");
        },
        Printed,
    ),
    row(
        "startup-taint-lifter-waits",
        |w| {
            tainted(w);
            w.at("deployment", "cilium-operator")["spec"]["template"]["spec"]["tolerations"] = json!([]);
        },
        Printed,
    ),
    row(
        "startup-taint-no-lifter",
        |w| {
            tainted(w);
            cilium(w, json!({"remove-cilium-node-taints": "false"}));
        },
        Edit("remove-cilium-node-taints: \"true\"", |w| {
            cilium(w, json!({"remove-cilium-node-taints": "true"}))
        }),
    ),
    row(
        "startup-taint-way-back",
        |w| {
            rotation(w);
            cilium(w, json!({"set-cilium-node-taints": "true"}));
        },
        Edit("set-cilium-node-taints: \"false\"", |w| cilium(w, json!({"set-cilium-node-taints": "false"}))),
    ),
    row(
        "autoscaler-startup-taint",
        |w| {
            tainted(w);
            w.add("{apiVersion: apps/v1, kind: Deployment, metadata: {name: cluster-autoscaler, namespace: x}, spec: {replicas: 2, template: {spec: {containers: [{name: c, args: [--v=4]}]}}}, status: {readyReplicas: 2}}");
        },
        Edit("--startup-taint=node.cilium.io/agent-not-ready", |w| {
            w.at("deployment", "cluster-autoscaler")["spec"]["template"]["spec"]["containers"][0]["args"] =
                json!(["--startup-taint=node.cilium.io/agent-not-ready"])
        }),
    ),
    row(
        "karpenter-startup-taint",
        |w| {
            tainted(w);
            w.add("{apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {name: spot}, spec: {template: {spec: {}}}}");
        },
        Printed,
    ),
    // The other way: the pool stays as it is, and the image registers a taint that Karpenter knows.
    row(
        "karpenter-startup-taint",
        |w| {
            tainted(w);
            w.add("{apiVersion: apps/v1, kind: Deployment, metadata: {name: karpenter, namespace: kube-system}, spec: {template: {spec: {hostNetwork: true, containers: [{name: controller, image: 'public.ecr.aws/karpenter/controller:1.14.1'}]}}}, status: {readyReplicas: 1}}");
            w.add("{apiVersion: readiness.node.x-k8s.io/v1alpha1, kind: NodeReadinessRule, metadata: {name: r}, spec: {taint: {key: readiness.k8s.io/crossfade, effect: NoSchedule}}}");
            w.add("{apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {name: spot}, spec: {template: {spec: {}}}}");
        },
        Edit("readiness.k8s.io/crossfade instead", |w| {
            node(
                w,
                json!({"spec": {"taints": [{"key": "readiness.k8s.io/crossfade", "effect": "NoSchedule"}]}}),
            )
        }),
    ),
    row(
        "startup-taint-left",
        |w| {
            for name in ["n1", "n2", "n3"] {
                w.merge("node", name, json!({"spec": {"taints": [{"key": "node.cilium.io/agent-not-ready", "effect": "NoSchedule"}]}}));
            }
        },
        Printed,
    ),
];
