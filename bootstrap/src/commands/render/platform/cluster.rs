//! Platforms whose objects in a cluster describe nodes.

use serde_json::{Value, json};
use types::node::Node;

use super::{Format, Platform, entries, pairs, yaml};

pub(super) const CLUSTER_API: Platform = Platform {
    name: "cluster-api",
    format: Format::Yaml,
    file: "the KubeadmConfigTemplate of a MachineDeployment (merge into spec)",
    words: "\
kubeadm turns nodeRegistration.taints into --register-with-taints of kubeadm-flags.env; where the image has our package, render
reads them there and joins them with node.json's, so say each taint in one place.
No list of taints is kubeadm's default, an empty one is no taints: leave the key out rather than writing [].
Cluster API adds node.cluster.x-k8s.io/uninitialized:NoSchedule itself and takes it away once the Machine's labels are synced.
Labels below node-role.kubernetes.io, node-restriction.kubernetes.io and node.cluster.x-k8s.io come from the Machine's metadata, not from here.
kubeletExtraArgs is a list of {name, value} in Cluster API's v1beta2, and a map of names to values in its v1beta1, which ends with
Cluster API 1.16.
A control plane has the same keys in KubeadmControlPlane (initConfiguration and joinConfiguration).",
    settings: cluster_api,
};

/// *Source*: Cluster API, `api/bootstrap/kubeadm/v1beta2`, `NodeRegistrationOptions` and `Arg`.
fn cluster_api(node: &Node) -> Result<String, String> {
    let mut registration = json!({});
    if !node.taints.is_empty() {
        registration["taints"] = json!(entries(node));
    }
    if !node.labels.is_empty() {
        registration["kubeletExtraArgs"] = json!([{"name": "node-labels", "value": pairs(node).join(",")}]);
    }
    yaml(&json!({
        "apiVersion": "bootstrap.cluster.x-k8s.io/v1beta2",
        "kind": "KubeadmConfigTemplate",
        "metadata": {"name": "workers"},
        "spec": {"template": {"spec": {"joinConfiguration": {"nodeRegistration": registration}}}},
    }))
}

pub(super) const KARPENTER: Platform = Platform {
    name: "karpenter",
    format: Format::Yaml,
    file: "the NodePool (merge into spec.template); the image comes by its EC2NodeClass",
    words: "\
startupTaints and not taints: a taint in `taints` counts as one that stays, and Karpenter goes on starting nodes for pods that never fit.
The list must name every taint that the node registers with beside Karpenter's own, node.json's too, or the NodeClaim is never Initialized.
Karpenter puts them on the Node once more when it registers it, so the program that lifts one must keep watching, not do it once.
karpenter.sh/unregistered:NoExecute must be on the Node from its first moment; it comes through the user data's kubelet configuration, and
render keeps it. Never put --register-with-taints into spec.userData of the EC2NodeClass: it replaces that list.
The new image is chosen by spec.amiSelectorTerms of the EC2NodeClass; changing it is drift, and rotates the nodes.
Keep spec.disruption.budgets small enough for one node after the other.",
    settings: karpenter,
};

/// *Source*: Karpenter, `pkg/apis/v1`, `NodeClaimTemplateSpec`.
fn karpenter(node: &Node) -> Result<String, String> {
    let mut template = json!({});
    if !node.labels.is_empty() {
        template["metadata"] = json!({"labels": node.labels});
    }
    template["spec"] = json!({
        "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"},
        "requirements": Value::Array(Vec::new()),
    });
    if !node.taints.is_empty() {
        template["spec"]["startupTaints"] = json!(entries(node));
    }
    yaml(&json!({
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": "default"},
        "spec": {"template": template},
    }))
}

pub(super) const OPENSHIFT: Platform = Platform {
    name: "openshift",
    format: Format::Yaml,
    file: "the MachineSet (merge into spec.template.spec)",
    words: "\
The machine controllers put labels and taints on the Node after it has registered, from the cluster: they are not there from its first
moment, so they do not close the start-up race. What must be there earlier goes into a KubeletConfig or a MachineConfig, which the Machine
Config Operator rolls out with a reboot.
The network operator owns the CNI of an OpenShift cluster and its conf directory (/etc/kubernetes/cni/net.d); boot takes the directory from
CRI-O's configuration.",
    settings: openshift,
};

/// *Source*: OpenShift, `machine/v1beta1`, `MachineSpec`.
fn openshift(node: &Node) -> Result<String, String> {
    let mut spec = json!({});
    if !node.labels.is_empty() {
        spec["metadata"] = json!({"labels": node.labels});
    }
    if !node.taints.is_empty() {
        spec["taints"] = json!(entries(node));
    }
    yaml(&json!({
        "apiVersion": "machine.openshift.io/v1beta1",
        "kind": "MachineSet",
        "metadata": {"name": "workers", "namespace": "openshift-machine-api"},
        "spec": {"template": {"spec": spec}},
    }))
}
