//! The end of a migration.

use serde::{Deserialize, Serialize};

use crate::finish::Manager;

const DAY: u32 = 24;

/// How a migration ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Finish {
    /// Hours for which the old CNI's agents are fenced off before anything of the old CNI is deleted.
    pub soak_hours: u32,
    /// Hours of recorded flows of which the policies may deny none, before `finish` names the setting with which the new CNI enforces policies; 24 by default. 0 asks for none.
    #[serde(skip_serializing_if = "is_day")]
    pub observation_hours: u32,
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
        // A day has the jobs of the night.
        Self { soak_hours: DAY, observation_hours: DAY, managers_off: Vec::new() }
    }
}

/// The default is not written, so that plans of earlier releases stay what was approved.
fn is_day(hours: &u32) -> bool {
    *hours == DAY
}
