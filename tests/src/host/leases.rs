//! The addresses that host-local has given away, by its own files.

use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result};

/// An address that is given away.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lease {
    pub address: IpAddr,
    /// Container id.
    pub id: String,
    pub ifname: String,
}

/// The leases of a network, by address; `directory` has the network's name, below the plugin's `dataDir`.
///
/// # Errors
/// They cannot be read; that there never were any is no error.
pub fn leases(directory: &Path) -> Result<Vec<Lease>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("reading {}", directory.display()))?,
    };
    let mut leases = Vec::new();
    for entry in entries {
        let path = entry?.path();
        // Beside the leases, one file each by address, are a lock and the last address given.
        let Some(Ok(address)) = path.file_name().map(|name| name.to_string_lossy().parse()) else { continue };
        let text = match fs::read_to_string(&path) {
            // Taken back meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            text => text.with_context(|| format!("lease {}", path.display()))?,
        };
        // The container id and the ifname, a line each.
        let mut lines = text.lines().map(|line| line.trim().to_owned());
        let (id, ifname) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        leases.push(Lease { address, id, ifname });
    }
    leases.sort();
    Ok(leases)
}
