//! One command of a kind at a time on a node.

use std::io;

use shim::layout::Layout;
use shim::lock;

use crate::cli::exit::{Exit, Failure};

/// The lock of a command, and how messages speak of the command.
#[derive(Debug, Clone, Copy)]
pub struct CommandLock {
    /// The name of the lock.
    pub lock: &'static str,
    /// The command: `the clean-up`.
    pub this: &'static str,
    /// Another one like it: `another clean-up`.
    pub another: &'static str,
}

impl CommandLock {
    /// Does `act` while nobody else on this node does the same.
    ///
    /// # Errors
    /// The failure of `act`; 75 while another one runs; 1 if the lock cannot be taken for another reason.
    pub fn does<T>(&self, layout: &Layout, act: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        lock::exclusively(layout, self.lock, || Ok(act())).unwrap_or_else(|why| {
            if why.kind() == io::ErrorKind::WouldBlock {
                return Err(Failure::later(format!("{} runs on this node", self.another)));
            }
            Err(Failure::new(Exit::Failed, format!("lock {}: {why}", self.this)))
        })
    }
}
