//! The result of the last pass of the sweep, kept for `watch`, which starts a pass as a unit and does not wait for it.
//!
//! *Shape* of `RUN/sweep.json`: `{"version":1,"turn":2,"bootID":"..","failed":"list the sandboxes of ..: .."}`, without `failed` where
//! the pass closed what it had to. It names attachments and quotes no delegate, because every user may read what `watch` publishes of it.

use serde::{Deserialize, Serialize};

/// After how many seconds systemd ends the unit of a pass that `watch` has started.
pub const LIMIT_SECS: u64 = 900;

/// The result of one pass of `sweep`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepResult {
    /// Version of this shape; 1.
    pub version: u32,
    /// The number of the pass within this boot.
    pub turn: u64,
    /// The kernel's id of the boot in which the pass ran.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    /// Why the pass failed; `None` if it succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}
