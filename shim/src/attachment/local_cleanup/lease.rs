//! Releases leases of the standard IPAM plugin `host-local`, as that plugin does.
//!
//! *Shape*: a directory per network has one file per address, with the address as its name. The first line of a file is the container id, the second
//! line the interface (absent before 0.8.0 of the plugins). A change needs an flock on the file `lock` in that directory.
//! *Source*: containernetworking/plugins, plugins/ipam/host-local/backend/disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

/// The longest wait for the lock. host-local holds it for a scan of its directory.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_RETRY: Duration = Duration::from_millis(5);
/// The largest lease that is read, in bytes: more than an id and an interface name can have.
const LEASE_BYTES: u64 = 4096;

/// The outcome for the leases of one attachment.
#[derive(Debug, Default)]
pub(super) struct ReleasedLeases {
    pub(super) addresses: Vec<IpAddr>,
    /// The leases that could not be released, and why.
    pub(super) failures: Vec<String>,
}

/// Removes the leases in `directory` that `container_id` holds for `ifname`, except for addresses of another attachment (`is_anothers`), because a
/// lease of an old plugin names no interface. An absent directory has no leases.
pub(super) fn release(
    directory: &Path,
    container_id: &str,
    ifname: &str,
    is_anothers: impl Fn(IpAddr) -> bool,
) -> ReleasedLeases {
    let mut released = ReleasedLeases::default();
    if let Err(error) = release_into(&mut released, directory, (container_id, ifname), is_anothers) {
        released.failures.push(format!("leases in {}: {error}", directory.display()));
    }
    released
}

fn release_into(
    released: &mut ReleasedLeases,
    directory: &Path,
    (container_id, ifname): (&str, &str),
    is_anothers: impl Fn(IpAddr) -> bool,
) -> io::Result<()> {
    let is_held = |path: &Path| holds(path, container_id, ifname);
    let held_leases: Vec<_> = leases(directory)?.into_iter().filter(|(_, path)| is_held(path)).collect();
    if held_leases.is_empty() {
        return Ok(());
    }
    let _lock = lock(&directory.join("lock"))?;
    for (address, path) in held_leases {
        if is_anothers(address) {
            released.failures.push(format!("lease {}: another attachment has the address", path.display()));
            continue;
        }
        // The lease is read again, because before the lock was taken it may have been released and given to another pod.
        if !is_held(&path) {
            continue;
        }
        match std::fs::remove_file(&path) {
            Ok(()) => released.addresses.push(address),
            Err(error) => released.failures.push(format!("lease {}: {error}", path.display())),
        }
    }
    Ok(())
}

/// One lease of host-local.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The address, which is the name of the file.
    pub address: IpAddr,
    /// The lease's file.
    pub path: PathBuf,
    /// The container that has the address.
    pub container_id: String,
    /// Its interface; empty in leases of old plugins.
    pub ifname: String,
}

/// Reads all leases of a directory. Nothing is locked: a lease that comes or goes meanwhile may be among them or not. An absent directory has
/// none, and neither has a file that names no container.
///
/// # Errors
/// The directory cannot be listed.
pub fn list_held(directory: &Path) -> io::Result<Vec<Lease>> {
    let lease = |(address, path): (IpAddr, PathBuf)| {
        let (container_id, ifname) = holder(&path)?;
        Some(Lease { address, path, container_id, ifname })
    };
    Ok(leases(directory)?.into_iter().filter_map(lease).collect())
}

/// All leases of a directory.
fn leases(directory: &Path) -> io::Result<Vec<(IpAddr, PathBuf)>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut leases = Vec::new();
    for entry in entries {
        let entry = entry?;
        let address = entry.file_name().to_str().and_then(|name| name.parse().ok());
        leases.extend(address.map(|address: IpAddr| (address, entry.path())));
    }
    Ok(leases)
}

fn holds(lease: &Path, container_id: &str, ifname: &str) -> bool {
    holder(lease)
        .is_some_and(|(id, interface)| id == container_id && (interface.is_empty() || interface == ifname))
}

/// The container and the interface that a lease names; none if it cannot be read or names no container.
fn holder(lease: &Path) -> Option<(String, String)> {
    let mut text = String::new();
    // The flags follow no link and wait for no FIFO, since host-local creates neither.
    let plain = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let file = OpenOptions::new().read(true).custom_flags(plain).open(lease).ok()?;
    file.take(LEASE_BYTES).read_to_string(&mut text).ok()?;
    let mut lines = text.lines().map(|line| line.trim().to_owned());
    let id = lines.next().filter(|id| !id.is_empty())?;
    Some((id, lines.next().unwrap_or_default()))
}

fn lock(path: &Path) -> io::Result<Flock<File>> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o750);
    let mut file = options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits()).open(path)?;
    let started = Instant::now();
    loop {
        // flock(2) has no time limit, so it is called repeatedly without waiting.
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((again, Errno::EAGAIN)) if started.elapsed() < LOCK_WAIT => file = again,
            Err((_, Errno::EAGAIN)) => {
                let waited = format!("locked by another process for {} s", LOCK_WAIT.as_secs());
                return Err(io::Error::new(io::ErrorKind::WouldBlock, waited));
            }
            Err((_, errno)) => return Err(errno.into()),
        }
        std::thread::sleep(LOCK_RETRY);
    }
}
