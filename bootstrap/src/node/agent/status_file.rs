//! status.json on this node: whether a running `watch` wrote it, and its bytes. Its types are [`types::status`].

use std::path::Path;

use convergence::node::agent::status_file::StatusFile;
use shim::host::boot;
use shim::host::file::read_bounded;
use shim::host::process::Process;
use types::status::{Document, Watch};

/// Largest status.json, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// Reads a status.json and finds out whether the `watch` that wrote it still runs.
#[must_use]
pub(crate) fn read(path: &Path) -> StatusFile {
    let file = std::fs::File::open(path);
    let bytes = match file.and_then(|mut file| read_bounded(&mut file, MAX_BYTES)) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return StatusFile::Absent,
        Err(e) => return StatusFile::Unreadable(format!("{}: {e}", path.display())),
    };
    let document: Document = match serde_json::from_slice(&bytes) {
        Ok(document) => document,
        Err(e) => return StatusFile::Unreadable(format!("{}: {e}", path.display())),
    };
    let boot_id = boot::boot_id().unwrap_or_default();
    if document.boot_id != boot_id {
        StatusFile::Stale(document, "it is of another boot".into())
    } else if is_alive(&document.watch) {
        StatusFile::Fresh(document)
    } else {
        let why = format!("watch (pid {}), which wrote it, has ended", document.watch.pid);
        StatusFile::Stale(document, why)
    }
}

/// The report of the last `watch` of this boot, whether that `watch` still runs or not.
#[must_use]
pub(crate) fn read_of_this_boot(path: &Path) -> Option<Document> {
    match read(path) {
        StatusFile::Fresh(document) => Some(document),
        StatusFile::Stale(document, _)
            if boot::boot_id().is_ok_and(|boot_id| boot_id == document.boot_id) =>
        {
            Some(document)
        }
        StatusFile::Absent | StatusFile::Stale(..) | StatusFile::Unreadable(_) => None,
    }
}

/// Whether the `watch` that wrote a status.json runs.
fn is_alive(watch: &Watch) -> bool {
    Process { pid: watch.pid, start: watch.start }.is_alive()
}

/// The bytes of a status.json.
#[must_use]
pub(crate) fn bytes(document: &Document) -> Vec<u8> {
    // The report always serialises. It is indented for people who read it.
    let mut text = types::text::escape::json(&serde_json::to_string_pretty(document).unwrap_or_default());
    text.push('\n');
    text.into_bytes()
}
