//! The result of the last pass of the sweep, kept for `watch`, which starts a pass as a unit and does not wait for it.
//!
//! *Shape* of `RUN/sweep.json`: `{"version":1,"turn":2,"bootID":"..","failed":"list the sandboxes of ..: .."}`, without `failed` where
//! the pass closed what it had to. It names attachments and quotes no delegate, because every user may read what `watch` publishes of it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use shim::file::read_bounded;
use shim::layout::Layout;
use shim::trust;

/// After how many seconds systemd ends the unit of a pass that `watch` has started.
pub const LIMIT_SECS: u64 = 900;
/// File name of the result, in the run directory.
const FILE: &str = "sweep.json";

const MAX_BYTES: usize = 64 << 10;

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

/// The path of the result.
#[must_use]
pub fn place(layout: &Layout) -> PathBuf {
    layout.run_dir.join(FILE)
}

/// Reads a result of this boot.
#[must_use]
pub fn read(layout: &Layout, boot_id: &str) -> Option<SweepResult> {
    let bytes = read_bounded(&mut trust::open(&place(layout)).ok()?, MAX_BYTES).ok()?;
    let swept: SweepResult = serde_json::from_slice(&bytes).ok()?;
    (swept.version == 1 && swept.boot_id == boot_id).then_some(swept)
}
