//! Numbers of a policy: deadlines, graces, and when a network counts as gone.

use serde::{Deserialize, Deserializer, Serialize};

use super::Side;
use crate::json::whole_number::deserialize_within;

/// Longest deadline, in seconds: an hour, far beyond any runtime's own.
const MAX_DEADLINE_SECS: u64 = 3600;
/// Longest grace, in seconds: a year.
const MAX_GRACE_SECS: u64 = 366 * 24 * 3600;

/// A network that may be gone: its attachments are cleaned locally when its DEL keeps failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Retired"))]
pub struct RetiredNetwork {
    /// The network that may be gone.
    pub network: Side,
    /// Seconds since the first failed DEL before the shim cleans by itself.
    #[serde(rename = "forceAfterSeconds", deserialize_with = "grace")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = MAX_GRACE_SECS)))]
    pub force_after_secs: u64,
}

/// How GC treats records that the runtime does not list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Gc {
    /// Seconds since a record was begun before it is closed without a DEL from the runtime.
    #[serde(rename = "graceSeconds", deserialize_with = "grace")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = MAX_GRACE_SECS)))]
    pub grace_secs: u64,
    /// Whether the delegates get GC at all.
    pub forward: bool,
}

impl Default for Gc {
    fn default() -> Self {
        Self { grace_secs: 600, forward: true }
    }
}

impl Gc {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How long a verb may take, rollback included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Deadlines {
    /// Seconds for ADD, rollback included.
    #[serde(rename = "addSeconds", deserialize_with = "deadline")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = MAX_DEADLINE_SECS)))]
    pub add_secs: u64,
    /// Seconds for DEL.
    #[serde(rename = "delSeconds", deserialize_with = "deadline")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = MAX_DEADLINE_SECS)))]
    pub del_secs: u64,
    /// Seconds for CHECK.
    #[serde(rename = "checkSeconds", deserialize_with = "deadline")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = MAX_DEADLINE_SECS)))]
    pub check_secs: u64,
    /// Milliseconds for STATUS.
    #[serde(rename = "statusMillis", deserialize_with = "millis")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = MAX_DEADLINE_SECS * 1000)))]
    pub status_millis: u64,
    /// Seconds for GC.
    #[serde(rename = "gcSeconds", deserialize_with = "deadline")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = MAX_DEADLINE_SECS)))]
    pub gc_secs: u64,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { add_secs: 90, del_secs: 50, check_secs: 20, status_millis: 800, gc_secs: 25 }
    }
}

impl Deadlines {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn grace<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserialize_within(deserializer, 0, MAX_GRACE_SECS)
}

fn deadline<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserialize_within(deserializer, 1, MAX_DEADLINE_SECS)
}

fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserialize_within(deserializer, 1, MAX_DEADLINE_SECS * 1000)
}
