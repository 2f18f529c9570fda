//! Taints of nodes to come.

use serde::{Deserialize, Serialize};

use super::ObjectRef;

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

fn default_effect() -> String {
    "NoSchedule".into()
}
