//! Runs one plugin binary under a deadline, in a process group of its own.
//!
//! - The shim finds the binary as the reference library does ([`Binary::find`]), and checks its owner and mode.
//! - The shim executes the descriptor that it checked, so that a file that replaced the binary since does not run. A script is executed by its
//!   path, because its interpreter opens it once more and would find the descriptor's name in `$0`.
//! - Stdin is a memfd, so a plugin that does not read it, or reads it late, cannot block the shim, and a plugin that waits for its end cannot wait for
//!   a descriptor of the shim. Stdout and stderr are pipes of the shim, never the runtime's: a daemon that a plugin leaves behind would hold those open and
//!   stall the runtime.
//! - Output ends when the plugin ends, not when the last holder of its pipes does.
//! - At the deadline, or at a signal that asks the shim to stop, the whole process group ends.

mod binary;
mod program;
mod ready;
mod running;

use std::ffi::OsString;

use types::text::quote::quote;

pub use binary::{Binary, BinaryError, explain_start};
pub use ready::ReadyPlugin;
pub use running::{RunningPlugin, end_all, wait_any};

/// Most of a plugin's stdout that is kept, in bytes; more makes its answer invalid.
pub const MAX_STDOUT_BYTES: usize = 8 << 20;

/// A call of a plugin: the program, its input, and how long it may run.
#[derive(Debug)]
pub struct PluginCall<'a> {
    /// The program to run.
    pub binary: &'a Binary,
    /// Variables that are added to this process's environment, or replace its own.
    pub env: Vec<(&'static str, OsString)>,
    /// The bytes that the plugin reads from stdin.
    pub stdin: Vec<u8>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginEnd {
    /// The plugin exited with this status.
    Exited(i32),
    /// A signal that the shim did not send killed the plugin.
    Signalled(i32),
    /// The shim killed the plugin at its deadline.
    Deadline,
    /// The shim did not start the plugin, because its deadline had already passed.
    Late,
    /// The shim killed the plugin after a signal that asks the shim to stop.
    Stopped,
}

/// The outcome of a call.
#[derive(Debug)]
pub struct PluginOutcome {
    /// How the plugin ended.
    pub end: PluginEnd,
    /// The plugin's stdout, up to [`MAX_STDOUT_BYTES`].
    pub stdout: Vec<u8>,
    /// Whether stdout was longer than [`MAX_STDOUT_BYTES`].
    pub overflow: bool,
    /// The end of the plugin's stderr.
    pub stderr: Vec<u8>,
}

impl PluginOutcome {
    /// The outcome of a call that has no output.
    const fn without_output(end: PluginEnd) -> Self {
        Self { end, stdout: Vec::new(), overflow: false, stderr: Vec::new() }
    }

    /// The plugin's stderr for a message, one line.
    #[must_use]
    pub fn stderr_text(&self) -> String {
        quote(&self.stderr[self.stderr.len().saturating_sub(512)..], 512)
    }
}
