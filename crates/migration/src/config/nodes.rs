//! Pools of nodes, the nodes to come and their taints.

use serde::{Deserialize, Serialize};
use snapshot::model::Labels;

use super::ObjectRef;
use crate::workload::{AKS_POOL, EKS_NODE_GROUP, GKE_POOL, KARPENTER_POOL};

/// Pools and nodes to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Nodes {
    /// Labels that name a node's pool; the first one that a node has counts.
    pub pool_labels: Vec<String>,
    /// Pools of which more nodes may come, with what these nodes register with. NodePools of Karpenter are known without it.
    pub templates: Vec<Template>,
}

/// The nodes that a pool, an autoscaling group or an image gives the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Template {
    /// The pool.
    pub name: String,
    /// Labels of the nodes.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "std::collections::BTreeMap<String, String>"))]
    pub labels: Labels,
    /// Taints of the nodes, the start-up taints among them.
    #[serde(default)]
    pub taints: Vec<TemplateTaint>,
}

/// A taint that a node bears until its network is ready, and the program that removes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StartupTaint {
    /// The key: `crossfade/not-ready`.
    pub key: String,
    /// `NoSchedule` or `NoExecute`.
    #[serde(default = "default_effect")]
    pub effect: String,
    /// The Deployment that removes the taint, if it is neither the new CNI's operator nor the Node Readiness Controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifter: Option<ObjectRef>,
}

/// A taint with which the nodes of a pool register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TemplateTaint {
    /// The key.
    pub key: String,
    /// The value.
    #[serde(default)]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    #[serde(default = "default_effect")]
    pub effect: String,
}

impl Default for Nodes {
    fn default() -> Self {
        let labels = [
            KARPENTER_POOL,
            EKS_NODE_GROUP,
            "alpha.eksctl.io/nodegroup-name",
            GKE_POOL,
            AKS_POOL,
            "kops.k8s.io/instancegroup",
        ];
        Self { pool_labels: labels.map(Into::into).into(), templates: Vec::new() }
    }
}

fn default_effect() -> String {
    "NoSchedule".into()
}
