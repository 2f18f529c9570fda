//! Cilium's settings: ConfigMap `cilium-config`, and `CiliumNodeConfig` for some nodes.
//!
//! *Source*: Cilium's documentation, "Per-node configuration"; install/kubernetes/cilium/templates/cilium-configmap.yaml.

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
    Some(Setting::of(config.data(key)?, subject(Kind::CONFIG_MAP, config), key))
}

/// The nodes that a `CiliumNodeConfig` selects.
#[must_use]
pub fn selected<'n>(config: &Object, nodes: &'n [Node]) -> Vec<&'n Node> {
    // A selector that cannot be read selects nothing here; the API server has checked it.
    let selector = config
        .at("/spec/nodeSelector")
        .and_then(|value| serde_json::from_value::<Selector>(value.clone()).ok());
    let Some(selector) = selector else { return Vec::new() };
    nodes.iter().filter(|node| selector.selects(&node.metadata.labels)).collect()
}

/// A setting that a `CiliumNodeConfig` gives to its nodes.
#[must_use]
pub fn default<'c>(config: &'c Object, key: &str) -> Option<&'c str> {
    config.at("/spec/defaults")?.get(key)?.as_str()
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
