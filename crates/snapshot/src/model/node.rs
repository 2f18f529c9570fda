//! Nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::meta::{is_key, is_word, or_default};
use super::{Meta, Text};

/// Annotations with the addresses of a node's tunnels. *Source*: Calico, `libcalico-go/lib/backend/k8s/resources/node.go`.
pub const TUNNELS: [&str; 5] = [
    "projectcalico.org/IPv4IPIPTunnelAddr",
    "projectcalico.org/IPv4VXLANTunnelAddr",
    "projectcalico.org/IPv6VXLANTunnelAddr",
    "projectcalico.org/IPv4WireguardInterfaceAddr",
    "projectcalico.org/IPv6WireguardInterfaceAddr",
];

/// The label of a node's zone. *Source*: Kubernetes, "Well-Known Labels, Annotations and Taints".
pub const ZONE: &str = "topology.kubernetes.io/zone";

/// Quantities by resource: `cpu` to `4`, `memory` to `16Gi`, `pods` to `110`.
pub type Resources = BTreeMap<Text, Text>;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Name, labels, annotations.
    pub metadata: Meta,
    /// What the cluster wants of the node.
    pub spec: NodeSpec,
    /// What kubelet reports.
    pub status: NodeStatus,
}

/// `spec` of a Node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    /// The node's pod CIDR, if the controller manager assigns one.
    #[serde(rename = "podCIDR", skip_serializing_if = "Option::is_none")]
    pub pod_cidr: Option<Text>,
    /// One pod CIDR for each family.
    #[serde(rename = "podCIDRs", deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub pod_cidrs: Vec<Text>,
    /// `aws:///eu-west-1a/i-0abc`.
    #[serde(rename = "providerID", skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<Text>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
    /// The node is cordoned.
    pub unschedulable: bool,
}

/// A taint. Two taints are the same taint if key and effect are equal.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Taint {
    pub key: Text,
    /// The value; empty if it has none.
    pub value: Text,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: Text,
}

/// `status` of a Node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Address>,
    /// What pods may request in sum.
    pub allocatable: Arc<Resources>,
    /// `Ready`, `NetworkUnavailable`, `CrossfadeReady` and others.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Versions of its programs.
    pub node_info: NodeInfo,
}

/// An address of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Address {
    /// `InternalIP`, `ExternalIP`, `Hostname`.
    #[serde(rename = "type")]
    pub kind: Text,
    pub address: Text,
}

/// A condition of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// `Ready`.
    #[serde(rename = "type")]
    pub kind: Text,
    /// `True`, `False` or `Unknown`.
    pub status: Text,
    /// Why, in one word.
    pub reason: Text,
    /// Why, in words.
    pub message: Text,
    /// When the writer of the condition was last heard of, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_heartbeat_time: Option<Text>,
    /// When `status` changed, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Text>,
}

/// Versions of a node's programs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeInfo {
    /// `amd64`.
    pub architecture: Text,
    /// Differs after each boot.
    #[serde(rename = "bootID")]
    pub boot_id: Text,
    /// `containerd://1.7.20`.
    pub container_runtime_version: Text,
    /// `6.1.0-25-amd64`.
    pub kernel_version: Text,
    /// `v1.31.2`.
    pub kubelet_version: Text,
    /// `linux` or `windows`.
    pub operating_system: Text,
    /// `Bottlerocket OS 1.20.0 (aws-k8s-1.29)`.
    pub os_image: Text,
}

impl Node {
    /// Whether the API server could have taken its name, its labels and its taints.
    ///
    /// # Errors
    /// What could not be.
    pub fn check_names(&self) -> Result<(), &'static str> {
        let is_taint = |item: &Taint| is_key(&item.key) && (item.value.is_empty() || is_word(&item.value));
        if !self.spec.taints.iter().all(|candidate| is_taint(candidate) && is_word(&candidate.effect)) {
            return Err("spec.taints: the API server takes no such taint");
        }
        self.metadata.check_names()
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// Its zone; empty if it has none.
    #[must_use]
    pub fn zone(&self) -> &str {
        self.metadata.label(ZONE).unwrap_or_default()
    }

    /// It is one of the control plane.
    ///
    /// *Source*: kubeadm, `cmd/kubeadm/app/constants`: the label, and that of releases before 1.24.
    #[must_use]
    pub fn is_control_plane(&self) -> bool {
        let labels = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];
        labels.iter().any(|label| self.metadata.label(label).is_some())
    }

    /// Its pod CIDRs, of every family, as the API has them.
    #[must_use]
    pub fn pod_cidrs(&self) -> Vec<&str> {
        match (self.spec.pod_cidrs.as_slice(), &self.spec.pod_cidr) {
            ([], Some(item)) => vec![item],
            (all, _) => all.iter().map(AsRef::as_ref).collect(),
        }
    }

    /// The condition of this type.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status.conditions.iter().find(|condition| condition.kind.as_ref() == kind)
    }

    /// Its addresses of a type.
    pub fn addresses<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a str> {
        let is_of = move |address: &&Address| address.kind.as_ref() == kind;
        self.status.addresses.iter().filter(is_of).map(|address| address.address.as_ref())
    }
}
