//! What ended without its network's own word: one JSON line each.
//!
//! A retired network's attachment is cleaned locally when its own DEL keeps failing; and a DEL whose delegate failed on nothing
//! but a netns that is gone counts as done. What only that CNI could have undone (an address in a cluster-wide pool, a policy
//! entry) is told here, for the clean-up after the migration. Where the file cannot be written the journal takes the line:
//! an account must not keep a pod from ending.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use serde::{Deserialize, Serialize};

use crate::file::{self, PRIVATE};
use crate::layout::Layout;
use crate::lock;
use crate::trust;

/// One leg that was closed without its network's own word. No text of a delegate is in it: that may hold a token.
///
/// *Shape*: `{"version":1,"wallSecs":1790000000,"containerID":"..","ifname":"eth0","network":"oldnet","addresses":["10.1.0.5/32"],
/// "reason":"..","removed":[".."],"left":[".."],"unknown":[".."]}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    /// 1.
    pub version: u32,
    /// Seconds since 1970.
    #[serde(rename = "wallSecs")]
    pub wall_secs: u64,
    /// Container id.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// The network's interface in the pod.
    pub ifname: String,
    /// The network's own name.
    pub network: String,
    /// Addresses the network may still think are in use.
    pub addresses: Vec<ipnetwork::IpNetwork>,
    /// Why its DEL failed.
    pub reason: String,
    /// What was removed on the node.
    pub removed: Vec<String>,
    /// What is certainly left, on the node or cluster-side: nobody who could remove it was asked.
    pub left: Vec<String>,
    /// What may be left: the plugin that keeps it was asked, and failed.
    #[serde(default)]
    pub unknown: Vec<String>,
}

/// Appends a line, or has the journal take it where the ledger cannot.
pub fn enter(layout: &Layout, line: &Line) {
    let Err(error) = append(layout, line) else { return };
    tracing::warn!(
        container_id = line.container_id,
        ifname = line.ifname,
        network = line.network,
        addresses = line.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        reason = line.reason,
        removed = line.removed.join("; "),
        left = line.left.join("; "),
        unknown = line.unknown.join("; "),
        error = error.to_string(),
        "the ledger cannot be written; this line stands for its own"
    );
}

/// Largest ledger that is read, in bytes.
const MAX_BYTES: usize = 64 << 20;

/// The lines that are there; a torn or unknown one is left out.
///
/// # Errors
/// Any I/O error but that there is no ledger.
pub fn read(layout: &Layout) -> io::Result<Vec<Line>> {
    let mut file = match trust::open_regular(File::options().read(true), &layout.ledger()) {
        Ok((file, _)) => file,
        Err(why) if why.is_absent() => return Ok(Vec::new()),
        Err(why) => return Err(why.into()),
    };
    let bytes = file::read_bounded(&mut file, MAX_BYTES)?;
    let lines = bytes.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// Appends a line, durably, or not at all.
///
/// # Errors
/// Any I/O error.
fn append(layout: &Layout, line: &Line) -> io::Result<()> {
    lock::exclusively(layout, "ledger", || {
        file::create_private_dir(&layout.state_dir)?;
        let mut bytes = types::raw::to_raw(line).get().as_bytes().to_vec();
        bytes.push(b'\n');
        let mut options = File::options();
        options.append(true).create(true).mode(PRIVATE);
        let (mut file, meta) = trust::open_regular(&mut options, &layout.ledger())?;
        if let Err(error) = file.write_all(&bytes) {
            // Half a line would spoil the next one as well.
            let _ = file.set_len(meta.len());
            return Err(error);
        }
        file.sync_data()?;
        file::sync_dir(&layout.state_dir)
    })
}
