//! The result of the last pass of the sweep, kept for `watch`, which starts a pass as a unit and does not wait for it.
//!
//! *Shape* of `RUN/sweep.json`: `{"version":1,"turn":2,"bootID":"..","failed":"list the sandboxes of ..: .."}`, without `failed` where
//! the pass closed what it had to. It names attachments and quotes no delegate, because every user may read what `watch` publishes of it.

use convergence::node::attachments::last_sweep::SweepResult;

use std::path::PathBuf;

use shim::host::file::read_bounded;
use shim::host::trust;
use shim::node::layout::Layout;

/// File name of the result, in the run directory.
const FILE: &str = "sweep.json";

const MAX_BYTES: usize = 64 << 10;

/// The path of the result.
#[must_use]
pub(crate) fn place(layout: &Layout) -> PathBuf {
    layout.run_dir.join(FILE)
}

/// Reads a result of this boot.
#[must_use]
pub(crate) fn read(layout: &Layout, boot_id: &str) -> Option<SweepResult> {
    let bytes = read_bounded(&mut trust::open(&place(layout)).ok()?, MAX_BYTES).ok()?;
    let swept: SweepResult = serde_json::from_slice(&bytes).ok()?;
    (swept.version == 1 && swept.boot_id == boot_id).then_some(swept)
}
