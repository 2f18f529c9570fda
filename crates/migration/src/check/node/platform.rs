//! Platforms on which a CNI cannot be moved, or in one way only.

use std::collections::BTreeMap;

use snapshot::model::{Kind, Node};

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::node::nodes;
use crate::check::{Check, Need};
use crate::cni::support::Strategy;
use crate::workload::{Platform, platform};

pub(in crate::check) const CHECK: Check = Check {
    name: "platform",
    rules: &[
        &PLATFORM_EKS_AUTO_MODE,
        &PLATFORM_FARGATE,
        &PLATFORM_READ_ONLY,
        &PLATFORM_VIRTUAL,
        &PLATFORM_WINDOWS,
    ],
    needs: &[Need::Always(Kind::NODE)],
    run,
};

const PLATFORM_EKS_AUTO_MODE: Rule = Severity::Blocks.rule(
    "platform-eks-auto-mode",
    "Nodes belong to EKS Auto Mode.",
    "Amazon runs the network of these nodes as a part of the machine. It cannot be replaced, and no program can be installed there.",
    "Move their pods to a managed node group or to Karpenter nodes of your own, then delete the Auto Mode node pools: kubectl delete nodepool general-purpose system",
);

const PLATFORM_FARGATE: Rule = Severity::Risk.rule(
    "platform-fargate",
    "Nodes belong to Fargate.",
    "They run no DaemonSet, so their pods keep addresses of the VPC, and the new CNI enforces no policy on them.",
    "Accept it with a waiver, or delete the Fargate profiles, so that these pods move to other nodes: aws eks delete-fargate-profile --cluster-name CLUSTER --fargate-profile-name PROFILE",
);

const PLATFORM_READ_ONLY: Rule = Severity::Note.rule(
    "platform-read-only",
    "The operating system of nodes takes no packages, and has a read-only /usr.\n\n\
     With the strategy `rotation` it is a risk.",
    "Crossfade runs there from a pod, and kubelet's labels and taints come from the system's own settings.",
    r#"Install Crossfade as docs/daemonset.md says, with "kubelet": {"register": false} in node.json, and put labels and taints into the user data or the machine configuration as docs/registration.md shows."#,
);

const PLATFORM_VIRTUAL: Rule = Severity::Risk.rule(
    "platform-virtual",
    "Nodes are virtual kubelets.",
    "They run no DaemonSet; their pods have addresses that their provider gives, and the new CNI enforces no policy on them.",
    "Check that the new network has a route to their pods, and accept it with a waiver.",
);

pub(crate) const PLATFORM_WINDOWS: Rule = Severity::Blocks.rule(
    "platform-windows",
    "Nodes run Windows.",
    "Crossfade does not run on Windows. When the old CNI is removed, the pods of these nodes lose their network.",
    "Move these workloads to a cluster of their own. If the new CNI serves Windows and you replace these nodes yourself, accept the finding with a waiver.",
);

/// How the names of operating systems begin that no package manager changes. *Source*: `PRETTY_NAME` of their os-release files, which kubelet reports.
const READ_ONLY: [&str; 6] = [
    "Bottlerocket",
    "Talos",
    "Flatcar",
    "Fedora CoreOS",
    "Red Hat Enterprise Linux CoreOS",
    "Container-Optimized OS",
];

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    // A node that stays and reports has Crossfade. One that is replaced says nothing of those to come.
    let is_installed = |node: &Node| scene.strategy != Strategy::Rotation && nodes::report(node).is_none();
    let mut subjects_by_rule: BTreeMap<&'static Rule, Vec<Subject>> = BTreeMap::new();
    for node in &scene.snapshot.nodes {
        if let Some((rule, detail)) =
            kind(node).filter(|(rule, _)| *rule != &PLATFORM_READ_ONLY || !is_installed(node))
        {
            subjects_by_rule
                .entry(rule)
                .or_default()
                .push(Subject::new(Kind::NODE, node.name()).detail(detail));
        }
    }
    subjects_by_rule
        .into_iter()
        .map(|(rule, nodes)| finding(rule, scene.strategy).with_objects(nodes))
        .collect()
}

fn kind(node: &Node) -> Option<(&'static Rule, String)> {
    let image = &node.status.node_info.os_image;
    Some(match platform(node) {
        Some(Platform::EksAutoMode) => (&PLATFORM_EKS_AUTO_MODE, String::new()),
        Some(Platform::Fargate) => (&PLATFORM_FARGATE, String::new()),
        Some(Platform::Virtual) => (&PLATFORM_VIRTUAL, String::new()),
        Some(Platform::Windows) => (&PLATFORM_WINDOWS, image.to_string()),
        None if READ_ONLY.iter().any(|name| image.starts_with(name)) => {
            (&PLATFORM_READ_ONLY, image.to_string())
        }
        None => return None,
    })
}

fn finding(rule: &'static Rule, strategy: Strategy) -> Finding {
    let finding = Finding::new(rule);
    if rule != &PLATFORM_READ_ONLY || strategy != Strategy::Rotation {
        return finding;
    }
    let why = "There is no image with Crossfade for them: a new node has none until a pod has installed it, and kubelet's labels and taints come from the system's own settings.";
    finding.severity(Severity::Risk).why(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, objects};

    #[test]
    fn platforms_are_known_by_labels_and_images() {
        for (labels, info, codes) in [
            ("", "osImage: Ubuntu 22.04.4 LTS, operatingSystem: linux", &[][..]),
            ("eks.amazonaws.com/compute-type: auto", "", &["platform-eks-auto-mode"]),
            ("eks.amazonaws.com/compute-type: fargate", "", &["platform-fargate"]),
            ("eks.amazonaws.com/compute-type: ec2", "", &[]),
            ("type: virtual-kubelet", "", &["platform-virtual"]),
            ("kubernetes.io/os: windows", "", &["platform-windows"]),
            ("", "operatingSystem: windows", &["platform-windows"]),
            ("", "osImage: Bottlerocket OS 1.20.0 (aws-k8s-1.29)", &["platform-read-only"]),
            ("", "osImage: Talos (v1.7.0)", &["platform-read-only"]),
        ] {
            let yaml = format!(
                "apiVersion: v1\nkind: Node\nmetadata: {{name: a, labels: {{{labels}}}}}\nstatus: {{nodeInfo: {{{info}}}}}\n"
            );
            let case = Case::from_yaml(&yaml);
            assert_eq!(case.codes(&CHECK), codes, "{labels} {info}");
            if let [code] = codes {
                assert!(objects(&case.finding(&CHECK, code))[0].starts_with("Node/a"));
            }
        }
    }

    #[test]
    fn without_an_image_a_read_only_system_is_a_risk() {
        let yaml = "apiVersion: v1\nkind: Node\nmetadata: {name: a}\nstatus: {nodeInfo: {osImage: Talos (v1.7.0)}}\n";
        assert_eq!(Case::from_yaml(yaml).findings(&CHECK)[0].severity, Severity::Note);
        assert_eq!(
            Case::from_yaml(yaml).strategy(Strategy::Rotation).findings(&CHECK)[0].severity,
            Severity::Risk
        );
    }
}
