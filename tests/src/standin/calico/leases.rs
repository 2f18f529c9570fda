//! Leases of host-local, released as Calico's IPAM does it: by container, whatever the interface.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use nix::fcntl::{Flock, FlockArg};

/// Removes the leases of a container from a network's store; their addresses.
///
/// # Errors
/// What the file system says; that there never was a store is no error.
pub fn release(store: &Path, container_id: &str) -> Result<Vec<IpAddr>> {
    release_where(store, container_id, |_| true)
}

/// Removes one lease of a container, if there is one.
///
/// # Errors
/// As [`release`].
pub fn release_one(store: &Path, container_id: &str, address: IpAddr) -> Result<()> {
    release_where(store, container_id, |lease| lease == address).map(drop)
}

fn release_where(
    store: &Path,
    container_id: &str,
    is_released: impl Fn(IpAddr) -> bool,
) -> Result<Vec<IpAddr>> {
    let lock = match File::open(store.join("lock")) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        file => file.with_context(|| format!("open the lock of {}", store.display()))?,
    };
    // host-local's own lock, so that it gives no address away meanwhile.
    let _lock =
        Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| anyhow!("lock a store: {errno}"))?;
    let mut released = Vec::new();
    for entry in fs::read_dir(store).context("list leases")? {
        let entry = entry?;
        // Beside the leases, one file each by address, are the lock and the addresses given last.
        let Ok(address) = entry.file_name().to_string_lossy().parse::<IpAddr>() else { continue };
        let owner = fs::read_to_string(entry.path()).context("read a lease")?;
        if owner.lines().next().is_some_and(|id| id.trim() == container_id) && is_released(address) {
            fs::remove_file(entry.path()).context("remove a lease")?;
            released.push(address);
        }
    }
    Ok(released)
}
