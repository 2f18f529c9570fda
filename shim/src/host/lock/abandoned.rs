//! Abandoned lock files: killed calls left them, for attachments that no later call may ever be about.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::Flock;

use super::attempt::{Attempt, take_name_away, try_flock};
use super::holder::Holder;
use super::shared::is_shared;
use crate::host::file::is_at;
use crate::host::trust;
use crate::node::layout::Layout;

/// The abandoned lock files.
///
/// # Errors
/// The directory is not trusted, or it cannot be listed. An absent directory is empty.
pub fn list_abandoned(layout: &Layout) -> io::Result<Vec<PathBuf>> {
    let dir = layout.locks();
    match trust::check_dir(&dir) {
        Err(why) if why.is_absent() => return Ok(Vec::new()),
        other => other.map_err(io::Error::other)?,
    }
    let mut locks = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        // Shared locks stay, because there are only a few of them.
        if !is_shared(&path) && inspect(&path)?.is_some() {
            locks.push(path);
        }
    }
    Ok(locks)
}

/// Removes a lock file of [`list_abandoned`]. Returns false if a process holds the lock by now.
///
/// # Errors
/// The file cannot be opened or removed. A file that is already gone is no error.
pub fn remove_abandoned(path: &Path) -> io::Result<bool> {
    match inspect(path)? {
        Some(lock_file) => {
            take_name_away(lock_file.file(), path, &Holder::read(lock_file.file()))?;
            Ok(!is_at(lock_file.file(), path))
        }
        None => Ok(!path.exists()),
    }
}

enum AbandonedLock {
    /// The lock was free. This process holds it until the value is dropped.
    Free(Flock<File>),
    /// Daemons of a dead holder's delegates hold the lock.
    Inherited(File),
}

impl AbandonedLock {
    fn file(&self) -> &File {
        match self {
            Self::Free(file) => file,
            Self::Inherited(file) => file,
        }
    }
}

/// The lock file at `path`; none if it is gone, or if its holder or a process of a dead holder still runs.
fn inspect(path: &Path) -> io::Result<Option<AbandonedLock>> {
    let file = match trust::open_regular(File::options().read(true).write(true), path) {
        Err(why) if why.is_absent() => return Ok(None),
        other => other?.0,
    };
    Ok(match try_flock(file, path)? {
        Attempt::Taken(file) => (!Holder::read(&file).has_groups()).then_some(AbandonedLock::Free(file)),
        Attempt::Busy(file) => {
            let holder = Holder::read(&file);
            (holder.is_dead() && holder.work_is_over(&file)).then_some(AbandonedLock::Inherited(file))
        }
        Attempt::Replaced => None,
    })
}
