//! The process that called the plugin with VERSION last. It proves which conf CRI-O has read.
//!
//! CRI-O does not report which conf it has loaded. But before CRI-O loads a conf, it asks each plugin of the conf for its CNI versions, and
//! it asks at no other time (ocicni, `loadNetworks`: `ValidateNetworkList`). So each VERSION call writes a mark with its caller's process.
//! A mark of CRI-O's process that is younger than Crossfade's conf proves that CRI-O has read that conf.
//!
//! *Shape*: `/run/crossfade/asked`, `{"pid":812,"start":73021}`, the caller's process; the file's modification time is the time of the call.
//! VERSION receives no conf, so the mark is always in the default run directory, and only if another program has made that directory.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use nix::unistd::{Uid, getppid};

use crate::host::process::Process;
use crate::host::{file, trust};
use crate::node::layout::Layout;

/// Longest mark, in bytes.
const MAX_BYTES: usize = 256;

/// Writes the mark if this process is root and the run directory exists. An error does not matter to the caller of VERSION.
pub fn mark() {
    let layout = Layout::default();
    if !Uid::effective().is_root() || trust::check_dir(&layout.run_dir).is_err() {
        return;
    }
    // Without a mark, `crossfade-bootstrap` reports that the runtime has not asked.
    let _ = leave(&layout.version_query());
}

fn leave(path: &Path) -> io::Result<()> {
    let Some(caller) = Process::read(getppid().as_raw()) else { return Ok(()) };
    let json = types::json::raw::to_raw(&caller);
    file::write_durable(path, json.get().as_bytes(), file::PRIVATE).map(drop)
}

/// The time of the last VERSION call if `process` made it; none if another process or no process did.
#[must_use]
pub fn last_by(layout: &Layout, process: Process) -> Option<SystemTime> {
    let mut file = trust::open(&layout.version_query()).ok()?;
    let bytes = file::read_bounded(&mut file, MAX_BYTES).ok()?;
    let caller: Process = serde_json::from_slice(&bytes).ok()?;
    (caller == process).then(|| file.metadata().and_then(|meta| meta.modified()).ok()).flatten()
}
