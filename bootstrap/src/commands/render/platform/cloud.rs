//! Node groups of clouds.

use serde_json::{Value, json};
use types::api::taint::{Effect, Taint};
use types::node::Node;

use super::{Format, Platform, entries, pairs, spelt, yaml};

pub(super) const EKSCTL: Platform = Platform {
    name: "eksctl",
    format: Format::Yaml,
    file: "the ClusterConfig (merge into the node group)",
    words: "\
For managedNodeGroups; nodeGroups take the same keys. A managed node group with an image of its own needs overrideBootstrapCommand.
EKS hands both to the node in its user data, so they are there from the first registration. Where the image has our package and node.json
says the same, render joins them.
The group's taints are EKS's to keep for new nodes: what a lifter removes from a running Node stays removed.",
    settings: eksctl,
};

/// *Source*: eksctl, `ClusterConfig`, `ManagedNodeGroup`.
fn eksctl(node: &Node) -> Result<String, String> {
    let mut group = json!({"name": "workers"});
    if !node.labels.is_empty() {
        group["labels"] = json!(node.labels);
    }
    if !node.taints.is_empty() {
        group["taints"] = json!(entries(node));
    }
    yaml(&json!({
        "apiVersion": "eksctl.io/v1alpha5",
        "kind": "ClusterConfig",
        "managedNodeGroups": [group],
    }))
}

pub(super) const MANAGED_NODEGROUP: Platform = Platform {
    name: "managed-nodegroup",
    format: Format::Yaml,
    file: "the input of `aws eks create-nodegroup --cli-input-yaml file://FILE` (merge)",
    words: "\
The API spells effects NO_SCHEDULE, PREFER_NO_SCHEDULE and NO_EXECUTE; update-nodegroup-config changes the taints for
new nodes (addOrUpdateTaints).
A launch template with an image of its own replaces EKS's user data, and with it what EKS would have handed to kubelet: there node.json is
the place, and the group should list the same taints, since autoscalers read them there.
EKS calls a node of the group healthy when it is Ready, and looks at nothing else.",
    settings: managed_nodegroup,
};

/// *Source*: Amazon EKS API, `CreateNodegroup`: `labels`, `taints`.
fn managed_nodegroup(node: &Node) -> Result<String, String> {
    let effect = |taint: &Taint| match taint.effect {
        Effect::NoSchedule => "NO_SCHEDULE",
        Effect::PreferNoSchedule => "PREFER_NO_SCHEDULE",
        Effect::NoExecute => "NO_EXECUTE",
    };
    let taints = node.taints.iter().map(|taint| {
        let mut entry = json!({"key": taint.key});
        if !taint.value.is_empty() {
            entry["value"] = json!(taint.value);
        }
        entry["effect"] = json!(effect(taint));
        entry
    });
    let mut input = json!({});
    if !node.labels.is_empty() {
        input["labels"] = json!(node.labels);
    }
    if !node.taints.is_empty() {
        input["taints"] = Value::Array(taints.collect());
    }
    yaml(&input)
}

pub(super) const GKE: Platform = Platform {
    name: "gke",
    format: Format::Shell,
    file: "the node pool",
    words: "\
kubelet's files are Google's on GKE; labels and taints come through the node pool alone. A taint of the pool is put on new nodes, and is not
put back at a reboot. GKE's own network is not meant to be replaced: this is for clusters made without Dataplane V2.",
    settings: gke,
};

fn gke(node: &Node) -> Result<String, String> {
    let mut command = String::from("gcloud container node-pools create POOL --cluster=CLUSTER");
    if !node.labels.is_empty() {
        command.push_str(&format!(" \\\n    --node-labels={}", pairs(node).join(",")));
    }
    if !node.taints.is_empty() {
        command.push_str(&format!(" \\\n    --node-taints={}", spelt(node).join(",")));
    }
    command.push('\n');
    Ok(command)
}

pub(super) const AKS: Platform = Platform {
    name: "aks",
    format: Format::Yaml,
    file: "the properties of an agent pool (Microsoft.ContainerService/managedClusters/agentPools), by whatever writes them",
    words: "\
A start-up taint belongs into nodeInitializationTaints: AKS puts those on new nodes and leaves them to the program that lifts them. What is in
nodeTaints is put back whenever it is removed, so a start-up taint there never goes.
The network of an AKS cluster can be yours only where it was made with network plugin none.",
    settings: aks,
};

/// *Source*: Azure, `ManagedClusterAgentPoolProfileProperties`.
fn aks(node: &Node) -> Result<String, String> {
    let mut properties = json!({});
    if !node.labels.is_empty() {
        properties["nodeLabels"] = json!(node.labels);
    }
    if !node.taints.is_empty() {
        properties["nodeInitializationTaints"] = json!(spelt(node));
    }
    yaml(&json!({"properties": properties}))
}
