//! The end of a migration.

use serde::{Deserialize, Serialize};

use crate::finish::Manager;

/// How a migration ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Finish {
    /// Hours for which the old CNI's agents are fenced off before anything of the old CNI is deleted.
    pub soak_hours: u32,
    /// Managers of the old CNI's objects that do not bring them back any more, since you have switched them off: `helm`, `eks` and so on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub managers_off: Vec<Manager>,
}

impl Finish {
    /// Nothing is set.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Finish {
    fn default() -> Self {
        Self { soak_hours: 24, managers_off: Vec::new() }
    }
}
