//! Lock files that nobody needs: left by calls that were killed, for attachments that nobody may ever ask about again.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::Flock;

use super::holder::Holder;
use super::{Attempt, SHARED_END, is_named, take_name_away, try_flock};
use crate::layout::Layout;
use crate::trust;

/// The abandoned lock files.
///
/// # Errors
/// When the directory is not trusted or cannot be listed; an absent one is empty.
pub fn abandoned(layout: &Layout) -> io::Result<Vec<PathBuf>> {
    let dir = layout.locks();
    match trust::check_dir(&dir) {
        Err(why) if why.is_absent() => return Ok(Vec::new()),
        other => other.map_err(io::Error::other)?,
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        // The lock of a shared file stays: it is one, not one per attachment.
        if path.extension().is_none_or(|end| end != SHARED_END) && inspect(&path)?.is_some() {
            found.push(path);
        }
    }
    Ok(found)
}

/// Removes a lock file of [`abandoned`]; false when somebody holds it by now.
///
/// # Errors
/// When it cannot be opened or removed; that it is gone is fine.
pub fn remove_abandoned(path: &Path) -> io::Result<bool> {
    match inspect(path)? {
        Some(left) => {
            take_name_away(left.file(), path, &Holder::read(left.file()))?;
            Ok(!is_named(left.file(), path))
        }
        None => Ok(!path.exists()),
    }
}

/// A lock that nobody needs any more.
enum AbandonedLock {
    /// It was free, and is ours as long as this is there.
    Free(Flock<File>),
    /// Daemons of a dead holder's delegates have it open.
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

/// The lock file at `path`, if it is there and nobody who holds it, or held it, works any more.
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
