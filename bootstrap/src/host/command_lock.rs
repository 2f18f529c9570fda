//! The lock that keeps two commands of a kind from running on a node at the same time.

use std::io;

use shim::host::lock;
use shim::node::layout::Layout;

use convergence::failure::Failure;
use types::command::exit::Exit;

/// The lock of a command, and how messages speak of the command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CommandLock {
    /// The name of the lock.
    pub lock: &'static str,
    /// The command in a message: `the clean-up`.
    pub command: &'static str,
    /// Another one like it: `another clean-up`.
    pub another: &'static str,
}

impl CommandLock {
    /// Runs `act` while no other process on this node holds the lock.
    ///
    /// # Errors
    /// The failure of `act`; 75 while another one runs; 1 if the lock cannot be taken for another reason.
    pub(crate) fn run<T>(
        &self,
        layout: &Layout,
        act: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        lock::exclusively(layout, self.lock, || Ok(act())).unwrap_or_else(|why| {
            if why.kind() == io::ErrorKind::WouldBlock {
                return Err(Failure::try_later(format!("{} runs on this node", self.another)));
            }
            Err(Failure::new(Exit::Failed, format!("lock {}: {why}", self.command)))
        })
    }
}
