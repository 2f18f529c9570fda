//! Who asked our plugin for its versions last.
//!
//! CRI-O tells nobody which conf it has loaded. But it loads none before each of its plugins has said which versions it speaks, and
//! asks for them at no other time (ocicni, `loadNetworks`: `ValidateNetworkList`). So VERSION leaves a mark: one that is younger than
//! our conf, and made for the runtime's own process, proves that the runtime has read our conf.
//!
//! *Shape*: `/run/crossfade/asked`, `{"pid":812,"start":73021}`, the caller's process; the file's time says when. VERSION gets no conf, so it
//! is this directory and no other, and only where somebody else has made it.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use nix::unistd::{Uid, getppid};

use crate::file;
use crate::layout::Layout;
use crate::process::Process;
use crate::trust;

/// Longest mark, in bytes.
const MAX_BYTES: usize = 256;

/// Leaves the mark, where we are root and the run directory is there. Whoever asks is answered whatever comes of it.
pub fn mark() {
    let layout = Layout::default();
    if !Uid::effective().is_root() || trust::check_dir(&layout.run_dir).is_err() {
        return;
    }
    // Without a mark the runtime counts as one that has not asked, which is said.
    let _ = leave(&layout.version_query());
}

fn leave(path: &Path) -> io::Result<()> {
    let Some(caller) = Process::of(getppid().as_raw()) else { return Ok(()) };
    let json = types::raw::to_raw(&caller);
    file::write_durable(path, json.get().as_bytes(), file::PRIVATE).map(drop)
}

/// When the process `of` asked last; none where it did not, or somebody else did after it.
#[must_use]
pub fn last_by(layout: &Layout, of: Process) -> Option<SystemTime> {
    let mut file = trust::open(&layout.version_query()).ok()?;
    let bytes = file::read_bounded(&mut file, MAX_BYTES).ok()?;
    let caller: Process = serde_json::from_slice(&bytes).ok()?;
    (caller == of).then(|| file.metadata().and_then(|meta| meta.modified()).ok()).flatten()
}
