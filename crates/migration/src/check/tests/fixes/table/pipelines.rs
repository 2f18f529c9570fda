//! Programs that replace nodes, repair them or move their pods beside a run.

use serde_json::json;

use super::super::world::World;
use super::clusters::{aws, flannel, node, pod, rotation, service, workload};
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

/// Flannel with a range for two nodes, of which there are three.
fn crowded(world: &mut World) {
    flannel(world);
    rotation(world);
    world.add(r#"{apiVersion: v1, kind: ConfigMap, metadata: {name: kube-flannel-cfg, namespace: kube-flannel}, data: {net-conf.json: '{"Network":"10.244.0.0/23","Backend":{"Type":"vxlan"}}'}}"#);
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
        "node-repair",
        |w| node(w, json!({"metadata": {"labels": {"eks.amazonaws.com/nodegroup": "blue"}}})),
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
    row(
        "descheduler",
        |w| {
            w.add("{apiVersion: apps/v1, kind: Deployment, metadata: {name: tidy, namespace: x}, spec: {replicas: 2, template: {spec: {containers: [{name: c, image: 'registry.k8s.io/descheduler/descheduler:v0.33.0'}]}}}, status: {readyReplicas: 2}}")
        },
        Printed,
    ),
    row(
        "descheduler",
        |w| {
            w.add("{apiVersion: batch/v1, kind: CronJob, metadata: {name: tidy, namespace: x}, spec: {}}");
            w.add(
                "{apiVersion: batch/v1, kind: Job, metadata: {name: tidy-29123456, namespace: x}, spec: {}}",
            );
            let spec = json!({"spec": {"containers": [{"name": "c", "image": "r/descheduler:v1"}]}, "status": {"phase": "Succeeded"}});
            pod(w, "tidy-1", "Job/tidy-29123456", spec);
        },
        PrintedThen(|w| w.remove("pod", "tidy-1")),
    ),
    row(
        "kured",
        |w| {
            w.add("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: kured, namespace: kube-system}, spec: {template: {spec: {hostNetwork: true, containers: [{name: kured, image: 'ghcr.io/kubereboot/kured:1.17.0'}]}}}}")
        },
        Printed,
    ),
    row(
        "old-ranges-few",
        crowded,
        Edit("Delete Nodes whose machines are gone", |w| {
            w.remove("node", "n3");
            w.remove("node", "n2");
        }),
    ),
    row("old-ranges-few", crowded, Waiver),
    row("vpc-addresses-warm", |w| aws(w, "OTHER"), Printed),
    row("karpenter-consolidation", |w| pool(w, "template: {spec: {}}"), Printed),
    row(
        "karpenter-consolidation",
        |w| {
            pool(
                w,
                "disruption: {budgets: [{nodes: '10%'}, {nodes: '0', reasons: [Drifted]}]}, template: {spec: {}}",
            )
        },
        Printed,
    ),
    row("karpenter-grace-period", hurried, Printed),
    row("karpenter-grace-period", hurried, Waiver),
];
