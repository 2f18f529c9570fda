//! Cilium's settings: ConfigMap `cilium-config`, and `CiliumNodeConfig` for some nodes.
//!
//! *Source*: Cilium's documentation, "Per-node configuration"; install/kubernetes/cilium/templates/cilium-configmap.yaml.

use std::collections::BTreeSet;

use snapshot::model::{Kind, Node, Object, Selector, Snapshot};

use super::{Setting, subject};
use crate::check::finding::Subject;

/// The ConfigMap; none if Cilium is not installed.
#[must_use]
pub fn config(snapshot: &Snapshot) -> Option<&Object> {
    snapshot.object(Kind::CONFIG_MAP, "cilium-config")
}

/// A key of the ConfigMap; none if it is absent or Cilium is not installed.
#[must_use]
pub fn setting(snapshot: &Snapshot, key: &str) -> Option<Setting> {
    let config = config(snapshot)?;
    Some(Setting::new(config.data(key)?, subject(Kind::CONFIG_MAP, config), key))
}

/// The nodes that a `CiliumNodeConfig` selects.
#[must_use]
pub fn selected_nodes<'n>(config: &Object, nodes: &'n [Node]) -> Vec<&'n Node> {
    // A selector that cannot be read selects nothing here; the API server has checked it.
    let selector = config
        .pointer("/spec/nodeSelector")
        .and_then(|value| serde_json::from_value::<Selector>(value.clone()).ok());
    let Some(selector) = selector else { return Vec::new() };
    nodes.iter().filter(|node| selector.selects(&node.metadata.labels)).collect()
}

/// A setting that a `CiliumNodeConfig` gives to its nodes.
#[must_use]
pub fn default<'c>(config: &'c Object, key: &str) -> Option<&'c str> {
    config.pointer("/spec/defaults")?.get(key)?.as_str()
}

/// Cilium's settings on each node.
///
/// *Source*: Cilium's documentation, "Per-node configuration": a `CiliumNodeConfig` counts before the ConfigMap.
#[derive(Debug)]
pub struct NodeSettings<'s> {
    config: &'s Object,
    /// The objects for some nodes, with the names of these nodes.
    node_configs: Vec<(&'s Object, BTreeSet<&'s str>)>,
}

impl<'s> NodeSettings<'s> {
    /// The settings; none if Cilium is not installed.
    #[must_use]
    pub fn read(snapshot: &'s Snapshot) -> Option<Self> {
        let config = config(snapshot)?;
        let objects = snapshot.objects(Kind::CILIUM_NODE_CONFIG).iter();
        let names = |object| selected_nodes(object, &snapshot.nodes).into_iter().map(Node::name).collect();
        let node_configs = objects
            .filter(|object| object.namespace() == config.namespace())
            .map(|object| (object, names(object)))
            .collect();
        Some(Self { config, node_configs })
    }

    /// The values that a key has on a node, each with its object. Where several objects select the node, each of them may be the one that counts.
    #[must_use]
    pub fn values(&self, node: &Node, key: &str) -> Vec<(&'s Object, &'s str)> {
        let selecting = self.node_configs.iter().filter(|(_, names)| names.contains(node.name()));
        let own: Vec<_> =
            selecting.filter_map(|(object, _)| Some((*object, default(object, key)?))).collect();
        if own.is_empty() { vec![(self.config, self.config.data(key).unwrap_or_default())] } else { own }
    }

    /// Whether Cilium replaces kube-proxy on a node.
    #[must_use]
    pub fn replaces_kube_proxy(&self, node: &Node) -> bool {
        let values = self.values(node, "kube-proxy-replacement");
        values.iter().all(|(_, value)| matches!(*value, "true" | "strict"))
    }

    /// Whether the object is the ConfigMap of the whole cluster.
    #[must_use]
    pub fn is_of_cluster(&self, object: &Object) -> bool {
        std::ptr::eq(object, self.config)
    }
}

/// How Cilium reaches other nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// `vxlan`, `geneve`, or empty where the nodes' network routes pods.
    pub protocol: String,
    /// The UDP port.
    pub port: u16,
    /// The ConfigMap.
    pub source: Subject,
}

/// The overlay; none if Cilium is not installed. Before 1.14 the key `tunnel` said all of it.
#[must_use]
pub fn overlay(snapshot: &Snapshot) -> Option<Overlay> {
    let config = config(snapshot)?;
    let old = config.data("tunnel").unwrap_or_default();
    let is_native = config.data("routing-mode") == Some("native") || old == "disabled";
    let named = config.data("tunnel-protocol").filter(|name| !name.is_empty()).unwrap_or(old);
    let protocol = match named {
        _ if is_native => "",
        "geneve" => "geneve",
        _ => "vxlan",
    };
    let default = if protocol == "geneve" { 6081 } else { 8472 };
    let port = config.data("tunnel-port").and_then(|port| port.parse().ok()).filter(|port| *port != 0);
    Some(Overlay {
        protocol: protocol.into(),
        port: port.unwrap_or(default),
        source: subject(Kind::CONFIG_MAP, config),
    })
}
