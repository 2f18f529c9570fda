//! What a forced DEL left behind, one JSON line each.
//!
//! A retired network's attachment is cleaned locally when its own DEL keeps failing; what only that CNI could have undone
//! (an address in a cluster-wide pool, a policy entry) is told here, for the clean-up after the migration.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use serde::{Deserialize, Serialize};

use crate::file::{self, PRIVATE};
use crate::layout::Layout;
use crate::lock;
use crate::trust;

/// One forced DEL.
///
/// *Shape*: `{"version":1,"wallSecs":1790000000,"containerID":"..","ifname":"eth0","network":"oldnet","addresses":["10.1.0.5/32"],
/// "reason":"..","removed":[".."],"left":[".."]}`.
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
    /// What is left, on the node or cluster-side.
    pub left: Vec<String>,
}

/// Appends a line, durably.
///
/// # Errors
/// Any I/O error.
pub fn append(layout: &Layout, line: &Line) -> io::Result<()> {
    lock::exclusively(layout, "ledger", || {
        file::create_private_dir(&layout.state_dir)?;
        let mut bytes = crate::raw::to_raw(line).get().as_bytes().to_vec();
        bytes.push(b'\n');
        let mut options = File::options();
        options.append(true).create(true).mode(PRIVATE);
        let (mut file, _) = trust::open_regular(&mut options, &layout.ledger())?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        file::sync_dir(&layout.state_dir)
    })
}
