//! Platforms that bring their own operating system, or their own kubelet.

use serde::Serialize;
use serde_json::{Map, Value, json};
use toml_edit::{Array, DocumentMut, Item, Table, value};
use types::node::Node;

use super::{Format, Platform, pairs, spelt, yaml};

const RANCHER: &str = "\
Labels and taints count at the first registration of the Node only; to apply them again, delete the Node object first.
A key with `+` is added to the lists of files that sort before; without it the list would replace theirs.
kubelet is part of the program, so neither gate nor render runs: nothing holds kubelet back, and node.json says
kubelet.register: false. Its CNI directories lie below its own data directory; watch and boot take them from containerd's
configuration, which node.json names (runtime.config).";

pub(super) const K3S: Platform = Platform {
    name: "k3s",
    format: Format::Yaml,
    file: "/etc/rancher/k3s/config.yaml.d/90-crossfade.yaml on every node",
    words: RANCHER,
    settings: rancher,
};

pub(super) const RKE2: Platform = Platform {
    name: "rke2",
    format: Format::Yaml,
    file: "/etc/rancher/rke2/config.yaml.d/90-crossfade.yaml on every node",
    words: RANCHER,
    settings: rancher,
};

/// *Source*: k3s, `docs/installation/configuration`, "Multiple Config Files".
fn rancher(node: &Node) -> Result<String, String> {
    let mut lists = Map::new();
    if !node.labels.is_empty() {
        lists.insert("node-label+".into(), json!(pairs(node)));
    }
    if !node.taints.is_empty() {
        lists.insert("node-taint+".into(), json!(spelt(node)));
    }
    yaml(&Value::Object(lists))
}

pub(super) const BOTTLEROCKET: Platform = Platform {
    name: "bottlerocket",
    format: Format::Toml,
    file: "the instance's user data (TOML), merged with what is there",
    words: "\
A key of node-taints has a list of \"value:Effect\"; older releases take one string in its place.
Where Karpenter starts the node it sets its own taints in the same table: merge, never replace, or
karpenter.sh/unregistered is lost and Karpenter gives the node up.
The root is read-only and takes no package: shim and boot come as a bootstrap container (settings.bootstrap-containers), and
there is no gate.",
    settings: bottlerocket,
};

/// *Source*: Bottlerocket, `settings.kubernetes.node-labels`, `settings.kubernetes.node-taints`.
fn bottlerocket(node: &Node) -> Result<String, String> {
    let implicit = || {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    };
    let mut document = DocumentMut::new();
    document["settings"] = implicit();
    document["settings"]["kubernetes"] = implicit();
    let settings = &mut document["settings"]["kubernetes"];
    if !node.labels.is_empty() {
        settings["node-labels"] = Item::Table(Table::new());
        for (key, text) in &node.labels {
            settings["node-labels"][key.as_str()] = value(text.as_str());
        }
    }
    if !node.taints.is_empty() {
        settings["node-taints"] = Item::Table(Table::new());
        for taint in &node.taints {
            let list = settings["node-taints"].as_table_mut().ok_or("no table")?;
            let list =
                list.entry(&taint.key).or_insert(value(Array::new())).as_array_mut().ok_or("no list")?;
            list.push(format!("{}:{}", taint.value, taint.effect.as_str()));
        }
    }
    Ok(document.to_string())
}

pub(super) const TALOS: Platform = Platform {
    name: "talos",
    format: Format::Yaml,
    file: "a machine configuration patch (talosctl apply-config --config-patch @FILE)",
    words: "\
Labels are set by the node itself, and NodeRestriction is always on: a worker may not set what `render --check` refuses.
nodeTaints of a worker are registered by kubelet and count when the Node is made; on a machine that has registered before, add
them from the cluster.
Talos has no shell and takes no unit: kubelet is neither gated nor continued, and node.json does not apply there.",
    settings: talos,
};

/// *Source*: Talos, `v1alpha1.MachineConfig`: `nodeLabels`, `nodeTaints` (key -> `value:Effect`).
fn talos(node: &Node) -> Result<String, String> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Machine<'n> {
        node_labels: &'n std::collections::BTreeMap<String, String>,
        node_taints: Map<String, Value>,
    }
    let mut taints = Map::new();
    for taint in &node.taints {
        let text = match taint.value.as_str() {
            "" => taint.effect.as_str().to_owned(),
            value => format!("{value}:{}", taint.effect.as_str()),
        };
        if taints.insert(taint.key.clone(), text.into()).is_some() {
            return Err(format!(
                "{}: Talos takes one effect of a key; expected a key of its own per effect",
                taint.key
            ));
        }
    }
    #[derive(Serialize)]
    struct Patch<'n> {
        machine: Machine<'n>,
    }
    yaml(&Patch { machine: Machine { node_labels: &node.labels, node_taints: taints } })
}

pub(super) const NODEADM: Platform = Platform {
    name: "nodeadm",
    format: Format::Yaml,
    file: "/etc/eks/nodeadm.d/90-crossfade.yaml, or a part of the user data's MIME document (EKS, AL2023)",
    words: "\
Only where render cannot run: on AL2023 with our package it adds both, and knows what others said.
The flags of several NodeConfigs are appended, and kubelet merges labels, so the label is safe. Taints are not: a flag replaces
registerWithTaints of every configuration. So this fragment has none where node.json has none, and where it has some, the user
data must have no other: Karpenter puts karpenter.sh/unregistered into the configuration, and gives up a node that lost it.
Images from before autumn 2025 have no /etc/eks/nodeadm.d; use the user data there.",
    settings: nodeadm,
};

/// *Source*: awslabs/amazon-eks-ami, `nodeadm/api/v1alpha1`, `NodeConfigSpec.Kubelet.Flags`.
fn nodeadm(node: &Node) -> Result<String, String> {
    let mut flags = Vec::new();
    if !node.labels.is_empty() {
        flags.push(format!("--node-labels={}", pairs(node).join(",")));
    }
    if !node.taints.is_empty() {
        flags.push(format!("--register-with-taints={}", spelt(node).join(",")));
    }
    yaml(&json!({
        "apiVersion": "node.eks.aws/v1alpha1",
        "kind": "NodeConfig",
        "spec": {"kubelet": {"flags": flags}},
    }))
}
