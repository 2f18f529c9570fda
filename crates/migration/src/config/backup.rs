//! The proof of a backup.

use serde::{Deserialize, Serialize};

/// When the cluster's state was last backed up, and how old a backup may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Backup {
    /// What the backup is: an etcd snapshot's file, a Velero backup's name, or who makes it. Empty for none.
    #[serde(rename = "of")]
    pub source: String,
    /// When it was taken, in RFC 3339: `2026-03-01T02:00:00Z`. None if the provider of the control plane makes backups by itself.
    #[serde(rename = "taken", skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<String>,
    /// How many hours old it may be when the migration starts.
    pub max_age_hours: u32,
}

impl Default for Backup {
    fn default() -> Self {
        Self { source: String::new(), taken_at: None, max_age_hours: 24 }
    }
}
