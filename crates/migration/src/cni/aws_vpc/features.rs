//! Features of the Amazon VPC CNI.
//!
//! *Source*: aws/amazon-vpc-cni-k8s: README.md.

use snapshot::model::Kind;

use crate::check::finding::{Rule, Severity, Subject};
use crate::check::{Scene, pods_with_annotation};
use crate::cni::calico;
use crate::cni::driver::Feature;
use crate::cni::network::{agent, is_yes, subject, variable};
use crate::cni::support::Cni;

pub(crate) const FEATURE_AWS_CUSTOM_NETWORKING: Rule = Severity::Risk.rule(
    "feature-aws-custom-networking",
    "Pods get addresses of other subnets, with other security groups, by ENIConfigs.",
    "The new network does not read ENIConfigs. Its pods leave with the address and the security groups of the node, so firewalls that expect the pods' subnets drop them.",
    "List who allows the subnets of these ENIConfigs (databases, on-premises firewalls), and add the subnets of the nodes there before the first pod moves. Then accept this finding with a waiver.",
);

pub(crate) const FEATURE_AWS_SECURITY_GROUPS: Rule = Severity::Blocks.rule(
    "feature-aws-security-groups",
    "Pods have security groups of their own (SecurityGroupPolicy).",
    "On the new network these pods have the security groups of their node. What only their own groups allow stops, and what their own groups forbid is open.",
    "Give the nodes of these pods a security group that allows what the pods need, and write network policies for what it must not allow. Or keep these pods on nodes that stay with the old network. Then accept this finding with a waiver for each owner.",
);

pub(crate) const FEATURE_POLICY_ENGINE: Rule = Severity::Blocks.rule(
    "feature-policy-engine",
    "Calico enforces the network policies of pods that the Amazon VPC CNI attaches.",
    "Its agent knows pods by the names of the old network's interfaces. No policy of Calico's holds for a pod that has moved, and what Calico's agent leaves in the node's firewall drops the traffic of pods that have not.",
    "Keep Calico's agent until the last pod has moved, and compare what the policies mean: kubectl crossfade policies convert --from aws-vpc. Reboot each node after Calico is deleted, or replace it. Then accept this finding with a waiver.",
);

pub(super) const FEATURES: &[Feature] = &[
    Feature {
        rule: &FEATURE_AWS_CUSTOM_NETWORKING,
        find: |scene| {
            let on = find_enabled(scene, "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG");
            let configs = scene.snapshot.objects(Kind::ENI_CONFIG).iter().filter(|_| !on.is_empty());
            let configs: Vec<Subject> = configs.map(|config| subject(Kind::ENI_CONFIG, config)).collect();
            on.into_iter().chain(configs).collect()
        },
        what: None,
        fixes: &[],
    },
    Feature {
        rule: &FEATURE_AWS_SECURITY_GROUPS,
        find: |scene| {
            let on = find_enabled(scene, "ENABLE_POD_ENI");
            let pods = if on.is_empty() {
                Vec::new()
            } else {
                pods_with_annotation(scene, |key| key == "vpc.amazonaws.com/pod-eni")
            };
            on.into_iter().chain(pods).collect()
        },
        what: None,
        fixes: &[],
    },
    Feature {
        rule: &FEATURE_POLICY_ENGINE,
        find: |scene| {
            let node = calico::policy_engine(scene.snapshot, scene.from);
            node.map(|node| Subject::from_meta(Kind::DAEMON_SET, &node.metadata)).into_iter().collect()
        },
        what: None,
        fixes: &[(
            Cni::Calico,
            "Calico runs for policies alone (CALICO_NETWORKING_BACKEND: none), so there is no network to move to. Install Calico with a network of its own first (Calico's documentation, \"Install Calico with Calico networking on EKS\"), and try that on a copy of the cluster.",
        )],
    },
];

fn find_enabled(scene: &Scene<'_>, name: &str) -> Vec<Subject> {
    let node = agent(scene.snapshot, &["aws-node"]).filter(|node| variable(node, name).is_some_and(is_yes));
    node.map(|node| Subject::from_meta(Kind::DAEMON_SET, &node.metadata).detail(format!("{name}: true")))
        .into_iter()
        .collect()
}
