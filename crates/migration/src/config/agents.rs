//! The DaemonSets of both CNIs, where checks do not find them by themselves.

use serde::{Deserialize, Serialize};

use super::ObjectRef;

/// The agents of both CNIs. Without names, checks find agents by the names of their containers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Agents {
    /// DaemonSets of the CNI to move from.
    pub old: Vec<ObjectRef>,
    /// DaemonSets of the CNI to move to.
    pub new: Vec<ObjectRef>,
}
