//! The place of a socket: the node's own network namespace, or that of a scratch attachment.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::thread;

use nix::sched::{CloneFlags, setns};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The node's own, in which this process runs.
    Node,
    /// The one that is pinned at this path.
    Pod(PathBuf),
}

impl Place {
    /// Runs `act` in this namespace. A socket that `act` opens stays in it.
    ///
    /// # Errors
    /// The namespace is gone or cannot be entered, or the error of `act`.
    pub(crate) fn run_inside<T: Send>(&self, act: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let Self::Pod(path) = self else { return act() };
        // A thread of its own enters the namespace and ends there, so that no other thread ever leaves the node's.
        let entered = || {
            setns(File::open(path)?, CloneFlags::CLONE_NEWNET)?;
            act()
        };
        thread::scope(|scope| {
            let thread = thread::Builder::new().name("packets".into()).spawn_scoped(scope, entered)?;
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace ended")))
        })
    }
}
