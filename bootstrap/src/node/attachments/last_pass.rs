//! The file with the result of a unit that `watch` starts and does not wait for.

use std::path::PathBuf;

use convergence::change::Write;
use convergence::failure::Failure;
use convergence::node::attachments::last_pass::{Pass, PassResult, PodsResult};
use shim::host::file::read_bounded;
use shim::host::{boot, file, trust};
use shim::node::layout::Layout;
use types::command::exit::Exit;

use crate::change;

/// The largest file that is read.
const MAX_BYTES: usize = 64 << 10;
/// The longest reason that is kept, in bytes.
const MAX_WHY_BYTES: usize = 1024;

/// The path of the result.
#[must_use]
pub(crate) fn place(layout: &Layout, pass: Pass) -> PathBuf {
    layout.run_dir.join(pass.file())
}

/// Reads a result of this boot.
#[must_use]
pub(crate) fn read(layout: &Layout, pass: Pass, boot_id: &str) -> Option<PassResult> {
    let bytes = read_bounded(&mut trust::open(&place(layout, pass)).ok()?, MAX_BYTES).ok()?;
    let result: PassResult = serde_json::from_slice(&bytes).ok()?;
    (result.version == 1 && result.boot_id == boot_id).then_some(result)
}

/// Writes the result of the pass with the number `turn`.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(
    layout: &Layout,
    pass: Pass,
    turn: u64,
    (failed, pods): (Option<String>, Option<PodsResult>),
) -> Result<(), Failure> {
    let failed = failed.map(|why| why[..why.floor_char_boundary(MAX_WHY_BYTES)].to_owned());
    let boot_id = boot::boot_id().unwrap_or_default().to_owned();
    let result = PassResult { version: 1, turn, boot_id, failed, pods };
    let bytes = serde_json::to_vec(&result).unwrap_or_default();
    let write = Write { path: place(layout, pass), bytes, mode: file::PRIVATE, nudge: false };
    let written = file::create_private_dir(&layout.run_dir).and_then(|()| change::write(&write));
    written.map(drop).map_err(|e| {
        Failure::new(Exit::Failed, format!("write {}: {e}", write.path.display()))
            .with_place(write.path.display())
    })
}
