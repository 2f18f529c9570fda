//! Crossfade's entries in the journal of this boot.

use serde::Deserialize;
use types::attachment::CallOutcome;

/// One line of the journal. A field that the line does not have is empty.
///
/// *Source*: man 7 `systemd.journal-fields`; the fields of Crossfade's own are those of the plugin and of `watch`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE", default)]
pub struct Entry {
    /// When the line was written, in microseconds since 1970.
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    pub micros: String,
    /// The user that wrote it, as the kernel says. Every user may write lines with the identifiers of Crossfade.
    #[serde(rename = "_UID")]
    pub uid: String,
    /// The unit that wrote it.
    #[serde(rename = "_SYSTEMD_UNIT")]
    pub unit: String,
    #[serde(deserialize_with = "text")]
    pub message: String,
    /// The event of `watch`.
    pub event: String,
    /// The verb of a call of the plugin.
    pub cni_command: String,
    /// The container of the call.
    pub container_id: String,
    /// The networks that the call used.
    pub network: String,
    /// Why the call failed.
    pub error: String,
}

impl Entry {
    /// Whether the plugin failed in a call of this verb.
    #[must_use]
    pub fn is_failed(&self, verb: &str) -> bool {
        self.cni_command == verb && self.message == CallOutcome::Failed.as_str()
    }

    /// When the line was written, in seconds since 1970.
    #[must_use]
    pub fn wall_secs(&self) -> u64 {
        self.micros.parse::<u64>().unwrap_or_default() / 1_000_000
    }
}

/// journalctl prints bytes that are no text as a list of numbers, and `null` for what is too long.
fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_str().unwrap_or_default().to_owned())
}
