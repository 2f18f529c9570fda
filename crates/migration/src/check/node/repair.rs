//! Programs that replace a node because they take its new network for a fault.
//!
//! *Source*: aws/eks-node-monitoring-agent, `monitors/networking/monitor.go` (IPAMDNotRunning, InterfaceNotUp) and issues 28 and 215; Karpenter 1.14,
//! "Node Auto Repair" (30 minutes, 20 percent of a pool); Amazon EKS user guide, "Node health" (`nodeRepairConfig`); GKE, "Auto-repairing nodes";
//! gardener/machine-controller-manager, `docs/usage` (`machineHealthTimeout`).

use std::collections::BTreeMap;

use snapshot::model::{Kind, Node, Workload};
use types::text::quote::shell_word;

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::support::Cni;
use crate::workload::{EKS_NODE_GROUP, GARDENER_POOL, GKE_POOL, Karpenter};

pub(in crate::check) const CHECK: Check = Check {
    name: "repair",
    rules: &[&NODE_REPAIR, &NODE_REPAIR_NETWORKING],
    needs: &[Need::Always(Kind::NODE), Need::Always(Kind::DAEMON_SET), Need::Always(Kind::DEPLOYMENT)],
    run,
};

/// The DaemonSet of the EKS node monitoring agent.
const MONITOR: &str = "eks-node-monitoring-agent";
/// Karpenter's feature gate.
const GATE: &str = "NodeRepair";
/// Labels of pools that a provider repairs, each with how long a node may be unhealthy and how to turn the repair off. No object of the cluster says whether
/// it is on.
const PROVIDERS: [(&str, &str, &str); 3] = [
    (
        EKS_NODE_GROUP,
        "EKS, where node repair of the group is on, after 10 to 30 minutes",
        "aws eks update-nodegroup-config --cluster-name CLUSTER --nodegroup-name POOL --node-repair-config enabled=false",
    ),
    (
        GKE_POOL,
        "GKE, after about 10 minutes",
        "gcloud container node-pools update POOL --cluster CLUSTER --no-enable-autorepair",
    ),
    (
        GARDENER_POOL,
        "Gardener, after 10 minutes",
        "machineControllerManager: {machineHealthTimeout: 4h} for the worker POOL in the Shoot",
    ),
];

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let repairing = Karpenter::find(scene).filter(|karpenter| karpenter.has_gate(GATE));
    [monitor(scene, repairing.as_ref()), repair(scene, repairing.as_ref())].into_iter().flatten().collect()
}

const NODE_REPAIR_NETWORKING: Rule = Severity::Risk.rule(
    "node-repair-networking",
    "The EKS node monitoring agent takes the change of the network for a fault.\n\n\
     It blocks where the feature gate NodeRepair of Karpenter is on. No object of the cluster says whether a managed node group repairs its nodes.",
    "The agent reports NetworkingReady=False: on the way from aws-vpc-cni because aws-node has gone (IPAMDNotRunning), on the way to antrea because the interfaces of Open vSwitch are never up (InterfaceNotUp). Node repair replaces such a node after 30 minutes. It asks no PodDisruptionBudget and no do-not-disrupt, so pods end at once, and it goes on with the next nodes.",
    "Remove the agent until the migration is done: aws eks delete-addon --cluster-name CLUSTER --addon-name eks-node-monitoring-agent where it is an add-on, else: kubectl -n kube-system delete daemonset eks-node-monitoring-agent. Or let nothing act on it: for each managed node group a nodeRepairConfigOverrides of NetworkingReady with repairAction NoAction, in Karpenter the feature gate NodeRepair=false; then accept this finding with a waiver.",
);

/// The agent reports a fault where the Amazon VPC CNI goes, and for the interfaces of Open vSwitch, which are never up.
fn monitor(scene: &Scene<'_>, repairing: Option<&Karpenter<'_>>) -> Option<Finding> {
    let detail = if scene.from == Cni::AwsVpcCni {
        "IPAMDNotRunning once aws-node has been gone from a node for 15 minutes"
    } else if scene.to == Cni::Antrea {
        "InterfaceNotUp for ovs-system, unless a release from August 2026 on excludes it"
    } else {
        return None;
    };
    let is_monitor = |workload: &&Workload| workload.name() == MONITOR;
    let agent = scene.snapshot.workloads(Kind::DAEMON_SET).iter().find(is_monitor)?;
    let (severity, repairer) = if repairing.is_some() {
        (Severity::Blocks, "Karpenter, whose feature gate NodeRepair is on, replaces")
    } else {
        (Severity::Risk, "Node repair of a managed node group, where it is on, replaces")
    };
    let fix = format!(
        "Remove the agent until the migration is done: aws eks delete-addon --cluster-name CLUSTER --addon-name {MONITOR} where it is an add-on, else: kubectl -n {} delete daemonset {MONITOR}. Or let nothing act on it: for each managed node group a nodeRepairConfigOverrides of NetworkingReady with repairAction NoAction (aws eks update-nodegroup-config), in Karpenter the feature gate NodeRepair=false; then accept this finding with a waiver.",
        agent.namespace()
    );
    let what = format!(
        "The EKS node monitoring agent will report NetworkingReady=False on nodes that move from {} to {}.",
        scene.from, scene.to
    );
    let why = format!(
        "{repairer} such a node after 30 minutes. It asks no PodDisruptionBudget and no do-not-disrupt, so pods end at once, and it goes on with the next nodes."
    );
    let subject = Subject::from_meta(Kind::DAEMON_SET, &agent.metadata).detail(detail);
    let finding = Finding::new(&NODE_REPAIR_NETWORKING).severity(severity).what(what).why(why).fix(fix);
    Some(finding.with_objects([subject]))
}

const NODE_REPAIR: Rule = Severity::Risk.rule(
    "node-repair",
    "Nodes that are not Ready or without a network for some minutes are replaced.\n\n\
     Found are Karpenter with the feature gate NodeRepair, node pools of GKE and worker pools of Gardener. MachineHealthChecks are [machine-health-check](#machine-health-check).",
    "A node that changes its network, or waits for its agent, may be so for longer. It is then replaced by force, with all its pods and local data, while the run waits for it.",
    "Turn it off for the time of the migration: kubectl -n kube-system set env deployment/karpenter FEATURE_GATES=NodeRepair=false. Where no object shows that it is off, as on GKE, accept this finding with a waiver.",
);

/// What replaces a node whose conditions are bad for a while, whatever the reason. MachineHealthChecks are found as machine-health-check.
fn repair(scene: &Scene<'_>, repairing: Option<&Karpenter<'_>>) -> Option<Finding> {
    let (mut objects, mut ways) = (Vec::new(), Vec::new());
    if let Some(karpenter) = repairing {
        let meta = &karpenter.deployment.metadata;
        objects.push(
            Subject::from_meta(Kind::DEPLOYMENT, meta).detail("feature gate NodeRepair, after 30 minutes"),
        );
        ways.push(gate_off(karpenter));
    }
    for (label, words, way) in PROVIDERS {
        let mut pools: BTreeMap<&str, (&Node, usize)> = BTreeMap::new();
        for node in &scene.snapshot.nodes {
            if let Some(pool) = node.metadata.label(label) {
                pools.entry(pool).or_insert((node, 0)).1 += 1;
            }
        }
        for (pool, (node, nodes)) in pools {
            let count = if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") };
            let detail = format!("pool {pool} with {count}: {words}");
            objects.push(Subject::new(Kind::NODE, node.name()).detail(detail));
            ways.push(way.replace("POOL", pool));
        }
    }
    let fix = format!(
        "Turn it off for the time of the migration: {}. Where no object shows that it is off, accept this finding with a waiver.",
        ways.join("; ")
    );
    (!objects.is_empty()).then(|| Finding::new(&NODE_REPAIR).fix(fix).with_objects(objects))
}

/// How Karpenter's feature gate is turned off where it is set.
fn gate_off(karpenter: &Karpenter<'_>) -> String {
    let (name, gates) = karpenter.gates().unwrap_or_default();
    let off = gates.replace(&format!("{GATE}=true"), &format!("{GATE}=false"));
    let (namespace, deployment) = (karpenter.deployment.namespace(), karpenter.deployment.name());
    if name.starts_with("--") {
        let argument = shell_word(&format!("{name}={off}"));
        format!("kubectl -n {namespace} edit deployment {deployment}, and write the argument {argument}")
    } else {
        format!(
            "kubectl -n {namespace} set env deployment/{deployment} {}",
            shell_word(&format!("{name}={off}"))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, objects};

    const MONITORED: &str = "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: eks-node-monitoring-agent, namespace: kube-system}\n---\n";

    fn karpenter(container: &str) -> String {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: karpenter, namespace: karpenter}}\nspec: {{template: {{spec: {{containers: [{{name: controller, {container}}}]}}}}}}\n---\n"
        )
    }

    const ON: &str = "env: [{name: FEATURE_GATES, value: \"SpotToSpotConsolidation=false,NodeRepair=true\"}]";

    #[test]
    fn the_monitoring_agent_takes_the_end_of_the_vpc_cni_for_a_fault() {
        for (from, to, agent, gate, severity) in [
            (Cni::AwsVpcCni, Cni::Cilium, MONITORED, "env: []", Some(Severity::Risk)),
            (Cni::AwsVpcCni, Cni::Cilium, MONITORED, ON, Some(Severity::Blocks)),
            (Cni::Calico, Cni::Antrea, MONITORED, "env: []", Some(Severity::Risk)),
            (Cni::Calico, Cni::Cilium, MONITORED, "env: []", None),
            (Cni::AwsVpcCni, Cni::Cilium, "", "env: []", None),
        ] {
            let findings =
                Case::from_yaml(&[agent, &karpenter(gate)].concat()).pair(from, to).findings(&CHECK);
            let of_agent = findings.iter().find(|finding| finding.rule.code == "node-repair-networking");
            assert_eq!(of_agent.map(|finding| finding.severity), severity, "{from} {to} {gate}");
        }
        let finding = Case::from_yaml(MONITORED)
            .pair(Cni::AwsVpcCni, Cni::Cilium)
            .finding(&CHECK, "node-repair-networking");
        assert!(objects(&finding)[0].contains("IPAMDNotRunning"), "{finding:?}");
    }

    #[test]
    fn karpenter_repairs_where_its_gate_is_on() {
        for (container, is_found) in [
            (ON, true),
            ("env: [{name: FEATURE_GATES, value: \"NodeRepair=false\"}]", false),
            ("args: [\"--feature-gates=NodeRepair=true\"]", true),
            ("args: [--feature-gates, NodeRepair=true]", true),
            (
                "args: [\"--feature-gates=NodeRepair=false\"], env: [{name: FEATURE_GATES, value: \"NodeRepair=true\"}]",
                false,
            ),
            ("env: [{name: FEATURE_GATES, value: \"NodeRepairer=true\"}]", false),
        ] {
            let codes = Case::from_yaml(&karpenter(container)).codes(&CHECK);
            assert_eq!(codes, &["node-repair"][..usize::from(is_found)], "{container}");
        }
        let fix = Case::from_yaml(&karpenter(ON)).finding(&CHECK, "node-repair").fix;
        assert!(
            fix.contains(
                "set env deployment/karpenter FEATURE_GATES=SpotToSpotConsolidation=false,NodeRepair=false."
            ),
            "{fix}"
        );
    }

    #[test]
    fn pools_of_providers_are_named_with_their_nodes() {
        let node = |name: &str, label: &str| {
            format!("apiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{{label}}}}}\n---\n")
        };
        let all = [
            node("a", "cloud.google.com/gke-nodepool: blue"),
            node("b", "cloud.google.com/gke-nodepool: blue"),
            node("c", "worker.gardener.cloud/pool: w"),
            node("e", "eks.amazonaws.com/nodegroup: main"),
            node("d", "pool: x"),
        ];
        let finding = Case::from_yaml(&all.concat()).finding(&CHECK, "node-repair");
        assert_eq!(
            objects(&finding),
            [
                "Node/a: pool blue with 2 nodes: GKE, after about 10 minutes",
                "Node/c: pool w with 1 node: Gardener, after 10 minutes",
                "Node/e: pool main with 1 node: EKS, where node repair of the group is on, after 10 to 30 minutes",
            ]
        );
        assert!(
            finding.fix.contains("--nodegroup-name main --node-repair-config enabled=false"),
            "{}",
            finding.fix
        );
        assert!(Case::from_yaml(&all[4]).codes(&CHECK).is_empty());
    }
}
