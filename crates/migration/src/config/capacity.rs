//! Settings for the room that a migration needs.

use serde::{Deserialize, Serialize};

/// How many nodes are in transit at once, and which margin stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Capacity {
    /// How many nodes are drained at once. The check takes the fullest ones.
    pub in_transit: usize,
    /// How many percent of what the other nodes offer must stay free. The check asks that before a run, and the run before it drains a node.
    #[cfg_attr(feature = "schema", schemars(range(max = 100)))]
    pub margin_percent: u32,
}

impl Default for Capacity {
    fn default() -> Self {
        Self { in_transit: 1, margin_percent: 10 }
    }
}

impl Capacity {
    /// Whether the values make sense.
    pub(super) fn valid(&self) -> Result<(), String> {
        match self.margin_percent {
            0..=100 => Ok(()),
            percent => Err(format!("capacity.marginPercent: expected at most 100, found {percent}")),
        }
    }
}
