//! The lock of the one `watch` that may run on a node.
//!
//! Whoever can open a file can hold a lock on it, for reading only as well (man 2 `flock`). So the lock is a file of mode 0600 in a
//! directory of mode 0700, and no other user of the node can keep `watch` from starting.
//!
//! Earlier releases locked [`WATCH_LOCK_BEFORE`], which every user could open. A `watch` of this release takes that lock as well where
//! it is free, so that an earlier release does not start beside it. Where it is not free, whoever holds it proves nothing: what counts
//! is whether the `watch` that wrote status.json runs.

use std::fmt::Display;
use std::fs::{File, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use shim::{file, trust};

use crate::cli::exit::{Exit, Failure};
use crate::node::paths::{Root, STATUS, WATCH_LOCK, WATCH_LOCK_BEFORE};
use crate::node::status_file::{self, StatusFile};

/// The right to be the node's `watch`; it ends with the process.
#[derive(Debug)]
pub struct Alone {
    _own: Flock<File>,
    _before: Option<Flock<File>>,
}

/// Takes the lock.
///
/// # Errors
/// 75 when another `watch` runs here; 1 when the lock's file cannot be used.
pub fn hold(root: &Root) -> Result<Alone, Failure> {
    let path = root.at(WATCH_LOCK);
    let failed = |why: &dyn Display| Failure::new(Exit::Failed, format!("lock {}: {why}", path.display()));
    if let Some(dir) = path.parent() {
        close(dir).map_err(|e| failed(&e))?;
    }
    let Some(own) = take(&path).map_err(|e| failed(&e))? else {
        // Opening the earlier place wakes a `watch` of a pod, which looks into that directory and gives way to the unit; this directory
        // of locks is nobody's to look into.
        let _ = take(&root.at(WATCH_LOCK_BEFORE));
        return Err(Failure::later(format!("another watch runs here: {} is locked", path.display())));
    };
    // A file there that cannot be locked was none that an earlier release could lock either.
    let before = take(&root.at(WATCH_LOCK_BEFORE)).ok().flatten();
    match status_file::read(&root.at(STATUS)) {
        StatusFile::Fresh(document)
            if before.is_none() && document.watch.pid.unsigned_abs() != std::process::id() =>
        {
            let pid = document.watch.pid;
            Err(Failure::later(format!(
                "another watch runs here: process {pid}, of another release; end it first"
            )))
        }
        _ => Ok(Alone { _own: own, _before: before }),
    }
}

/// Makes the directory of locks, and keeps everybody but its owner out of it.
fn close(dir: &Path) -> std::io::Result<()> {
    file::create_private_dir(dir)?;
    let mode = dir.metadata()?.permissions().mode();
    if mode & 0o077 == 0 { Ok(()) } else { std::fs::set_permissions(dir, Permissions::from_mode(0o700)) }
}

/// The lock on a file of ours, made where it is absent; none where somebody holds it.
fn take(path: &Path) -> std::io::Result<Option<Flock<File>>> {
    let mut options = File::options();
    let options = options.write(true).create(true).truncate(false).mode(file::PRIVATE);
    let (file, meta) = trust::open_regular(options, path)?;
    if meta.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(file::PRIVATE))?;
    }
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(held) => Ok(Some(held)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
}
