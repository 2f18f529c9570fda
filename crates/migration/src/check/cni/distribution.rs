//! The distribution of a cluster, where it installs the agent of the old CNI again.
//!
//! *Source*: kOps, `upup/pkg/fi/cloudup/bootstrapchannelbuilder` (the label `addon.kops.k8s.io/name`), kubernetes/kops#16766; k3s-io/helm-controller
//! (`helmcharts.helm.cattle.io/unmanaged`); RKE2 and k3s, "Basic Network Options"; kubespray, `roles/kubernetes/control-plane` (`certificatesDir`); Talos,
//! "cluster.network.cni"; Amazon EKS user guide, "Delete an Amazon EKS add-on" (`--preserve`), cilium/cilium#25131.

use snapshot::model::{Kind, Object};

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::network::subject;
use crate::cni::support::Cni;
use crate::workload::agents;

pub(in crate::check) const CHECK: Check = Check {
    name: "distribution",
    rules: &[&AGENT_REINSTALLED],
    needs: &[
        Need::Always(Kind::NODE),
        Need::Always(Kind::DAEMON_SET),
        Need::Always(Kind::CONFIG_MAP),
        Need::Always(Kind::HELM_CHART),
    ],
    run,
};

/// Labels with which others mark the DaemonSets that they apply: the value that counts, if not every one does, whose it is, and the setting that ends it.
const LABELS: [(&str, Option<&str>, &str, &str); 2] = [
    (
        "addon.kops.k8s.io/name",
        None,
        "kOps applies it",
        "write networking: {cni: {}} into the cluster's spec (kops edit cluster; kops update cluster --yes)",
    ),
    (
        "app.kubernetes.io/instance",
        Some("aws-vpc-cni"),
        "EKS applies it, as the add-on vpc-cni or at the start of the cluster",
        "aws eks delete-addon --cluster-name CLUSTER --addon-name vpc-cni --preserve",
    ),
];
/// The annotation of a HelmChart that its controller leaves alone, as a JSON pointer has it.
const UNMANAGED: &str = "/metadata/annotations/helmcharts.helm.cattle.io~1unmanaged";
/// The directory of kubeadm's certificates in clusters of kubespray.
const KUBESPRAY: &str = "certificatesDir: /etc/kubernetes/ssl";

const AGENT_REINSTALLED: Rule = Severity::Risk.rule(
    "agent-reinstalled",
    "The distribution of the cluster installs the old CNI's agent again.\n\n\
     | distribution | found by | what ends it |\n\
     |---|---|---|\n\
     | kOps | label `addon.kops.k8s.io/name` of the agent | `networking: {cni: {}}` in the cluster's spec |\n\
     | EKS | label `app.kubernetes.io/instance: aws-vpc-cni` of the agent | `aws eks delete-addon --cluster-name CLUSTER --addon-name vpc-cni --preserve` |\n\
     | RKE2 | HelmChart of the old CNI | annotation `helmcharts.helm.cattle.io/unmanaged=true` of the HelmChart, then `cni: none` in config.yaml |\n\
     | k3s | version of kubelet, with Flannel | `--flannel-backend=none` |\n\
     | kubespray | `certificatesDir` in kubeadm-config | `kube_network_plugin: cni` |\n\
     | Talos | osImage of a node, with Flannel | `cluster: {network: {cni: {name: none}}}` in the machine configuration |",
    "At its next update or restart it brings back the agent that the migration has removed, with its conf and its rules. On a node without Crossfade, new pods then get the old network.",
    "Before the old agent is deleted at the end, let the distribution forget it, by the setting of the table. Where no object shows that it does, accept this finding with a waiver.",
);

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let marks = [labelled_objects(scene), charts(scene), unmarked_nodes(scene)].concat();
    let (objects, ways): (Vec<Subject>, Vec<String>) = marks.into_iter().unzip();
    let fix = format!(
        "Before the old agent is deleted at the end, let the distribution forget it: {}. Where no object shows that it does, accept this finding with a waiver.",
        ways.join("; ")
    );
    let reinstalled = (!objects.is_empty()).then(|| {
        Finding::new(&AGENT_REINSTALLED)
            .what(format!("The distribution of this cluster installs the agent of {} again.", scene.from))
            .fix(fix)
            .with_objects(objects)
    });
    reinstalled.into_iter().collect()
}

/// The agents that bear a mark, each with what removes it. A mark that comes back shows that the agent is still applied.
fn labelled_objects(scene: &Scene<'_>) -> Vec<(Subject, String)> {
    let mut marks = Vec::new();
    for agent in agents(scene, scene.from) {
        let meta = &agent.daemon_set.metadata;
        for (key, expected, words, way) in LABELS {
            let value = meta.label(key).filter(|value| expected.is_none_or(|expected| *value == expected));
            if value.is_some() {
                let unlabel = format!("kubectl -n {} label daemonset {} {key}-", meta.namespace, meta.name);
                let way =
                    format!("{way}, then remove its mark and see that it does not come back: {unlabel}");
                marks.push((Subject::from_meta(Kind::DAEMON_SET, meta).detail(words), way));
            }
        }
    }
    marks
}

/// The HelmChart of the old CNI, which RKE2's and k3s' controller installs.
fn charts(scene: &Scene<'_>) -> Vec<(Subject, String)> {
    let is_cni_chart = |chart: &&Object| {
        let name = chart.name().strip_prefix("rke2-").unwrap_or(chart.name());
        name == scene.from.to_string() && chart.pointer(UNMANAGED).is_none()
    };
    let mark = |chart: &Object| {
        let (namespace, name) = (chart.namespace(), chart.name());
        let way = format!(
            "kubectl -n {namespace} annotate helmchart {name} helmcharts.helm.cattle.io/unmanaged=true; then write cni: none into /etc/rancher/rke2/config.yaml of each server"
        );
        (subject(Kind::HELM_CHART, chart).detail("the controller of HelmCharts installs it"), way)
    };
    scene.snapshot.objects(Kind::HELM_CHART).iter().filter(is_cni_chart).map(mark).collect()
}

/// Distributions that mark no object of theirs.
fn unmarked_nodes(scene: &Scene<'_>) -> Vec<(Subject, String)> {
    let mut marks = Vec::new();
    let mut add =
        |subject: Subject, words: &str, way: &str| marks.push((subject.detail(words), way.to_owned()));
    let flannel = scene.from == Cni::Flannel;
    let talos = scene.snapshot.nodes.iter().find(|node| node.status.node_info.os_image.starts_with("Talos"));
    if let Some(node) = talos.filter(|_| flannel) {
        let way = r#"talosctl patch machineconfig --patch '{"cluster":{"network":{"cni":{"name":"none"}}}}' for each node of the control plane"#;
        add(
            Subject::new(Kind::NODE, node.name()),
            "Talos installs Flannel unless its configuration names none",
            way,
        );
    }
    let k3s = scene.snapshot.nodes.iter().find(|node| node.status.node_info.kubelet_version.contains("+k3s"));
    if let Some(node) = k3s.filter(|_| flannel && agents(scene, scene.from).is_empty()) {
        let way =
            "start k3s with --flannel-backend=none on each server once no pod has an address of Flannel";
        add(Subject::new(Kind::NODE, node.name()), "k3s runs Flannel within its own process", way);
    }
    let kubeadm = scene.snapshot.config_map("kubeadm-config");
    let is_kubespray = |config: &&Object| {
        config
            .data("ClusterConfiguration")
            .is_some_and(|text| text.lines().any(|line| line.trim() == KUBESPRAY))
    };
    if let Some(config) = kubeadm.filter(is_kubespray) {
        let way = "write kube_network_plugin: cni into the inventory of kubespray";
        add(subject(Kind::CONFIG_MAP, config), "kubespray, by its certificatesDir", way);
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, objects};

    fn agent(name: &str, labels: &str, container: &str) -> String {
        format!(
            "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: {name}, namespace: kube-system, labels: {{{labels}}}}}\nspec: {{template: {{spec: {{containers: [{{name: {container}}}]}}}}}}\n---\n"
        )
    }

    fn chart(name: &str, annotations: &str) -> String {
        format!(
            "apiVersion: helm.cattle.io/v1\nkind: HelmChart\nmetadata: {{name: {name}, namespace: kube-system, annotations: {{{annotations}}}}}\n---\n"
        )
    }

    fn node(info: &str) -> String {
        format!("apiVersion: v1\nkind: Node\nmetadata: {{name: a}}\nstatus: {{nodeInfo: {{{info}}}}}\n---\n")
    }

    fn kubeadm(directory: &str) -> String {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: kubeadm-config, namespace: kube-system}}\ndata: {{ClusterConfiguration: \"certificatesDir: {directory}\\nclusterName: a\"}}\n---\n"
        )
    }

    #[test]
    fn each_distribution_is_known_by_its_mark() {
        let flannel = agent("kube-flannel", "", "kube-flannel");
        for (cluster, from, detail) in [
            (
                agent("calico-node", "addon.kops.k8s.io/name: networking.projectcalico.org", "calico-node"),
                Cni::Calico,
                Some("DaemonSet/kube-system/calico-node: kOps applies it"),
            ),
            (agent("coredns", "addon.kops.k8s.io/name: coredns", "coredns"), Cni::Calico, None),
            (
                agent("aws-node", "app.kubernetes.io/instance: aws-vpc-cni", "aws-node"),
                Cni::AwsVpcCni,
                Some(
                    "DaemonSet/kube-system/aws-node: EKS applies it, as the add-on vpc-cni or at the start of the cluster",
                ),
            ),
            (agent("aws-node", "app.kubernetes.io/instance: mine", "aws-node"), Cni::AwsVpcCni, None),
            (
                chart("rke2-canal", ""),
                Cni::Canal,
                Some("HelmChart/kube-system/rke2-canal: the controller of HelmCharts installs it"),
            ),
            (chart("rke2-coredns", ""), Cni::Canal, None),
            (chart("rke2-canal", "helmcharts.helm.cattle.io/unmanaged: \"true\""), Cni::Canal, None),
            (
                [node("osImage: Talos (v1.9.0)"), flannel.clone()].concat(),
                Cni::Flannel,
                Some("Node/a: Talos installs Flannel unless its configuration names none"),
            ),
            (node("osImage: Talos (v1.9.0)"), Cni::Calico, None),
            (
                node("kubeletVersion: v1.33.1+k3s1"),
                Cni::Flannel,
                Some("Node/a: k3s runs Flannel within its own process"),
            ),
            ([node("kubeletVersion: v1.33.1+k3s1"), flannel].concat(), Cni::Flannel, None),
            (
                kubeadm("/etc/kubernetes/ssl"),
                Cni::Calico,
                Some("ConfigMap/kube-system/kubeadm-config: kubespray, by its certificatesDir"),
            ),
            (kubeadm("/etc/kubernetes/pki"), Cni::Calico, None),
        ] {
            let findings = Case::from_yaml(&cluster).pair(from, Cni::Antrea).findings(&CHECK);
            let named = findings.first().map(|finding| (finding.rule.code, objects(finding)));
            assert_eq!(
                named,
                detail.map(|detail| ("agent-reinstalled", vec![detail.to_owned()])),
                "{cluster}"
            );
        }
    }
}
