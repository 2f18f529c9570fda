//! The ledger's file on this node. Its lines are [`types::attachment::ledger`].
//!
//! If the file cannot be written, the line goes to the journal, because a missing ledger line must not fail a DEL.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

pub use types::attachment::ledger::Line;

use crate::host::file::{self, PRIVATE};
use crate::host::lock;
use crate::host::trust;
use crate::node::layout::Layout;

/// Appends a line to the ledger, or writes it to the journal if that fails.
pub fn enter(layout: &Layout, line: &Line) {
    let Err(error) = append(layout, line) else { return };
    tracing::warn!(
        container_id = line.container_id,
        ifname = line.ifname,
        network = line.network,
        addresses = line.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        reason = line.reason,
        removed = line.removed.join("; "),
        left = line.leftovers.join("; "),
        unknown = line.unknown.join("; "),
        error = error.to_string(),
        "the ledger cannot be written; this line stands for its own"
    );
}

/// The largest ledger that Crossfade reads, in bytes.
const MAX_BYTES: usize = 64 << 20;

/// Reads the lines of the ledger, without torn or unknown ones.
///
/// # Errors
/// Any I/O error, except that there is no ledger.
pub fn read(layout: &Layout) -> io::Result<Vec<Line>> {
    let mut file = match trust::open_regular(File::options().read(true), &layout.ledger()) {
        Ok((file, _)) => file,
        Err(why) if why.is_absent() => return Ok(Vec::new()),
        Err(why) => return Err(why.into()),
    };
    let bytes = file::read_bounded(&mut file, MAX_BYTES)?;
    Ok(types::attachment::ledger::parse(&bytes))
}

/// Appends a line, durably, or not at all.
///
/// # Errors
/// Any I/O error.
fn append(layout: &Layout, line: &Line) -> io::Result<()> {
    lock::exclusively(layout, "ledger", || {
        file::create_private_dir(&layout.state_dir)?;
        let mut bytes = types::json::raw::to_raw(line).get().as_bytes().to_vec();
        bytes.push(b'\n');
        let mut options = File::options();
        options.append(true).create(true).mode(PRIVATE);
        let (mut file, meta) = trust::open_regular(&mut options, &layout.ledger())?;
        if let Err(error) = file.write_all(&bytes) {
            // Without this, a half-written line would make the next line unreadable too.
            let _ = file.set_len(meta.len());
            return Err(error);
        }
        file.sync_data()?;
        file::sync_dir(&layout.state_dir)
    })
}
