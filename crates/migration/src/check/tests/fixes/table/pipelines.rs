//! What replaces nodes, repairs them or moves their pods beside a run.

use serde_json::json;

use super::super::world::World;
use super::clusters::{aws, node, pod, service, workload};
use super::{Edit, Printed, PrintedThen, Row, Waiver, row};

/// The monitoring agent of EKS, on the way from the Amazon VPC CNI.
fn monitored(world: &mut World) {
    aws(world, "OTHER");
    world.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: eks-node-monitoring-agent, namespace: kube-system}, spec: {template: {spec: {hostNetwork: true, containers: [{name: agent}]}}}}");
}

/// Karpenter, with this in its container.
fn karpenter(world: &mut World, container: &str) {
    world.add(&format!("{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: karpenter, namespace: kube-system}}, spec: {{replicas: 2, template: {{spec: {{hostNetwork: true, containers: [{{name: controller, {container}}}]}}}}}}, status: {{readyReplicas: 2}}}}"));
}

fn repairing(world: &mut World) {
    karpenter(world, "env: [{name: FEATURE_GATES, value: 'NodeRepair=true,StaticCapacity=false'}]");
}

fn pool(world: &mut World, spec: &str) {
    world.add(&format!(
        "{{apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {{name: spot}}, spec: {{{spec}}}}}"
    ));
}

fn hurried(world: &mut World) {
    pool(world, "disruption: {consolidateAfter: Never}, template: {spec: {terminationGracePeriod: 30m}}");
}

fn kubespray(world: &mut World) {
    world.add("{apiVersion: v1, kind: ConfigMap, metadata: {name: kubeadm-config, namespace: kube-system}, data: {ClusterConfiguration: 'certificatesDir: /etc/kubernetes/ssl'}}");
}

/// An API that pods on the network serve.
fn aggregated(world: &mut World) {
    aws(world, "OTHER");
    workload(world, "StatefulSet", "metrics", 1);
    pod(world, "metrics-0", "StatefulSet/metrics", json!({}));
    service(world, "selector: {app: a}");
    world.add("{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: v1beta1.metrics.k8s.io}, spec: {service: {namespace: x, name: s}}}");
}

pub(super) const ROWS: &[Row] = &[
    row("node-repair-networking", monitored, Printed),
    row("node-repair-networking", monitored, Waiver),
    row(
        "node-repair-networking",
        |w| {
            monitored(w);
            repairing(w);
        },
        Printed,
    ),
    row("node-repair", repairing, Printed),
    row(
        "node-repair",
        |w| karpenter(w, "args: ['--feature-gates=NodeRepair=true']"),
        Edit("--feature-gates=NodeRepair=false", |w| {
            karpenter(w, "args: ['--feature-gates=NodeRepair=false']")
        }),
    ),
    row(
        "node-repair",
        |w| node(w, json!({"metadata": {"labels": {"cloud.google.com/gke-nodepool": "blue"}}})),
        Waiver,
    ),
    row(
        "karpenter-expiry",
        |w| {
            w.add("{apiVersion: karpenter.sh/v1, kind: NodeClaim, metadata: {name: spot-a, creationTimestamp: '2026-01-31T10:00:00Z'}, spec: {expireAfter: 720h}, status: {nodeName: n1}}")
        },
        Printed,
    ),
    row(
        "agent-reinstalled",
        |w| {
            w.merge(
                "daemonset",
                "calico-node",
                json!({"metadata": {"labels": {"addon.kops.k8s.io/name": "networking.projectcalico.org"}}}),
            )
        },
        Printed,
    ),
    row(
        "agent-reinstalled",
        |w| {
            w.add("{apiVersion: helm.cattle.io/v1, kind: HelmChart, metadata: {name: rke2-calico, namespace: kube-system}}")
        },
        Printed,
    ),
    row("agent-reinstalled", kubespray, Waiver),
    row(
        "api-unreachable",
        aggregated,
        PrintedThen(|w| w.merge("pod", "metrics-0", json!({"spec": {"hostNetwork": true}}))),
    ),
    row("api-unreachable", aggregated, Waiver),
    row("karpenter-consolidation", |w| pool(w, "template: {spec: {}}"), Printed),
    row("karpenter-grace-period", hurried, Printed),
    row("karpenter-grace-period", hurried, Waiver),
];
