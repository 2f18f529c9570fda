//! The locks that all attachments share: one for each shared file of state, and one for the locks of dead holders.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use super::lock_file::{open, prepare};
use crate::node::layout::Layout;

/// The end of the file name of a shared lock.
const SHARED_END: &str = "lock";

/// The lock under which a dead holder's lock changes hands.
const TAKEOVER: &str = "takeover";

/// Runs `change` under the lock of one shared file of state.
///
/// # Errors
/// The error of `change`, or that another process held the lock for two seconds.
pub fn exclusively<T>(layout: &Layout, name: &str, change: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    with_exclusive_lock(&prepare(layout, &shared_name(name))?, change)
}

/// Runs `change` under the lock under which a dead holder's lock, the file at `path`, changes hands.
///
/// # Errors
/// As [`exclusively`].
pub(super) fn alone_for_takeover<T>(path: &Path, change: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    with_exclusive_lock(&path.with_file_name(shared_name(TAKEOVER)), change)
}

/// Whether the file at `path` is a shared lock.
pub(super) fn is_shared(path: &Path) -> bool {
    path.extension() == Some(OsStr::new(SHARED_END))
}

fn shared_name(name: &str) -> String {
    format!("{name}.{SHARED_END}")
}

fn with_exclusive_lock<T>(path: &Path, change: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let end = Instant::now() + Duration::from_secs(2);
    let mut file = open(path)?;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            // Dropping the descriptor unlocks. The file stays, because there is one for all attachments.
            Ok(_held) => return change(),
            Err((again, _)) if Instant::now() < end => {
                file = again;
                std::thread::sleep(Duration::from_millis(2));
            }
            Err((_, error)) => return Err(error.into()),
        }
    }
}
