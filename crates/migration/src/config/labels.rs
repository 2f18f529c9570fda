//! Labels of nodes that show how far a node is, for DaemonSets that select by them.

use serde::{Deserialize, Serialize};

/// Six roles, each a label key, and the one value of all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct NodeLabels {
    /// Both CNIs run on the node.
    pub both: String,
    /// Pods of the node have both networks, and the old one is primary.
    pub old_first: String,
    /// Pods of the node have both networks, and the new one is primary.
    pub new_first: String,
    /// Every pod of the node was restarted in the present phase.
    pub rolled: String,
    /// Pods of the node have the new network only.
    pub new: String,
    /// The node is done.
    pub migrated: String,
    /// The value of each of these labels.
    pub value: String,
    /// kubelet registers the node with these labels, so that they must not be ones that NodeRestriction protects.
    pub set_by_kubelet: bool,
}

impl NodeLabels {
    /// Each role's name in this file and its key.
    #[must_use]
    pub fn roles(&self) -> [(&'static str, &str); 6] {
        [
            ("both", &self.both),
            ("oldFirst", &self.old_first),
            ("newFirst", &self.new_first),
            ("rolled", &self.rolled),
            ("new", &self.new),
            ("migrated", &self.migrated),
        ]
    }
}

impl Default for NodeLabels {
    fn default() -> Self {
        let key = |role: &str| format!("crossfade/{role}");
        Self {
            both: key("both"),
            old_first: key("old-first"),
            new_first: key("new-first"),
            rolled: key("rolled"),
            new: key("new"),
            migrated: key("migrated"),
            value: "true".into(),
            set_by_kubelet: true,
        }
    }
}
