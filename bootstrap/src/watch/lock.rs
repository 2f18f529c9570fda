//! The lock of the one `watch` that may run on a node.
//!
//! A process that can open a file can hold a lock on it, for reading only as well (man 2 `flock`). So the lock is a file of mode 0600 in a
//! directory of mode 0700, and no other user of the node can keep `watch` from starting.

use std::fmt::Display;
use std::fs::{File, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use shim::host::{file, trust};

use crate::host::root::Root;
use convergence::failure::Failure;
use convergence::node::paths::{WATCH_LOCK, WATCH_REFUSED};
use types::command::exit::Exit;

/// The right to be the node's `watch`; it ends with the process.
#[derive(Debug)]
pub(crate) struct WatchLock(#[expect(dead_code, reason = "held, and never read")] Flock<File>);

/// Takes the lock.
///
/// # Errors
/// 75 when another `watch` runs here; 1 when the lock's file cannot be used.
pub(crate) fn hold(root: &Root) -> Result<WatchLock, Failure> {
    let path = root.join(WATCH_LOCK);
    let failed = |why: &dyn Display| {
        Failure::new(Exit::Failed, format!("lock {}: {why}", path.display())).with_place(path.display())
    };
    if let Some(dir) = path.parent() {
        close(dir).map_err(|e| failed(&e))?;
    }
    if let Some(lock) = take(&path).map_err(|e| failed(&e))? {
        return Ok(WatchLock(lock));
    }
    // The `watch` of a pod finds this file in a directory that it observes, and gives way to the unit. It cannot observe the directory of
    // locks, which only root may read.
    let _ = open(&root.join(WATCH_REFUSED));
    let why = format!("another watch runs here: {} is locked", path.display());
    Err(Failure::try_later(why).with_place(path.display()))
}

/// Makes the directory of locks, and keeps every user but its owner out of it.
fn close(dir: &Path) -> std::io::Result<()> {
    file::create_private_dir(dir)?;
    let mode = dir.metadata()?.permissions().mode();
    if mode & 0o077 == 0 { Ok(()) } else { std::fs::set_permissions(dir, Permissions::from_mode(0o700)) }
}

/// Locks a file of Crossfade, which is made if it is absent; `None` while another process holds the lock.
fn take(path: &Path) -> std::io::Result<Option<Flock<File>>> {
    match Flock::lock(open(path)?, FlockArg::LockExclusiveNonblock) {
        Ok(flock) => Ok(Some(flock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
}

/// Opens a file of Crossfade that no other user can open; the file is made if it is absent.
fn open(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    let options = options.write(true).create(true).truncate(false).mode(file::PRIVATE);
    let (file, meta) = trust::open_regular(options, path)?;
    if meta.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(file::PRIVATE))?;
    }
    Ok(file)
}
