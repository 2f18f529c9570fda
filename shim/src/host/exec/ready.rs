//! A plugin that has everything it starts with, and was not started yet.
//!
//! An ADD prepares its plugins while the disk is busy with the record of the attachment. Nothing of a plugin runs before the record is durable.

use std::fs::File;
use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::program::Program;
use super::running::{RunningPlugin, end_all, wait_any};
use super::{PluginCall, PluginEnd, PluginOutcome};
use crate::host::lock::Lock;
use crate::host::process::Process;
use crate::host::signal::Signals;

/// How long the shim waits for a binary that is being written. Agents overwrite theirs in place.
const BUSY_PATIENCE: Duration = Duration::from_secs(3);

/// A plugin with its environment, its stdin and the pipes for its output.
#[derive(Debug)]
pub struct ReadyPlugin<'a> {
    program: Program<'a>,
    /// What the plugin gets as stdin, stdout and stderr.
    streams: [OwnedFd; 3],
    stdout: PipeReader,
    stderr: PipeReader,
}

impl<'a> ReadyPlugin<'a> {
    /// Prepares the call of a plugin.
    ///
    /// # Errors
    /// The error of the kernel, for example that there are no descriptors left, or that a variable holds a NUL byte.
    pub fn new(call: &PluginCall<'a>) -> io::Result<Self> {
        let (stdout, plugins_stdout) = io::pipe()?;
        let (stderr, plugins_stderr) = io::pipe()?;
        // The other ends are descriptions of their own, so the plugin's writes wait as usual.
        for ours in [&stdout, &stderr] {
            fcntl(ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        let streams = [filled_stdin(&call.stdin)?, plugins_stdout.into(), plugins_stderr.into()];
        Ok(Self { program: Program::prepare(call)?, streams, stdout, stderr })
    }

    /// Starts the plugin. The plugin inherits `lock`, and the lock file gets its process group.
    ///
    /// # Errors
    /// The error of the kernel; then nothing of the plugin runs. If a program is writing the binary, the shim waits for it until `deadline` at most.
    pub fn start(
        self,
        lock: Option<&mut Lock>,
        deadline: Instant,
        signals: &Signals,
    ) -> io::Result<RunningPlugin> {
        let patience = (Instant::now() + BUSY_PATIENCE).min(deadline);
        if let Some(lock) = &lock {
            lock.inherit(true)?;
        }
        let spawned = loop {
            match self.program.spawn(&self.streams) {
                Err(Errno::ETXTBSY) if Instant::now() < patience => signals.pause(Duration::from_millis(20)),
                other => break other,
            }
        };
        if let Some(lock) = lock {
            if let Ok(pid) = spawned {
                lock.note_group(Process::seen_now(pid.as_raw()).ok());
            }
            // If this fails, only further delegates of the same attachment can inherit the lock.
            let _ = lock.inherit(false);
        }
        Ok(RunningPlugin::new(spawned?, self.stdout, self.stderr))
    }

    /// Runs the plugin to its end. After its deadline, or a signal that asks the shim to stop, the plugin does not start at all, since killing it at
    /// once would leave its work half done.
    ///
    /// # Errors
    /// The error of the kernel if the plugin cannot be started or waited for.
    pub fn run(
        self,
        lock: Option<&mut Lock>,
        deadline: Instant,
        signals: &Signals,
    ) -> io::Result<PluginOutcome> {
        if signals.stop_requested() {
            return Ok(PluginOutcome::without_output(PluginEnd::Stopped));
        }
        if Instant::now() >= deadline {
            return Ok(PluginOutcome::without_output(PluginEnd::Late));
        }
        let mut running = self.start(lock, deadline, signals)?;
        let waited = wait_any(&mut [&mut running], deadline, signals);
        if !matches!(waited, Ok(Some(_))) {
            // Also if the wait fails: a plugin that still ran after the error would work against the rollback.
            end_all(&mut [&mut running], signals);
        }
        waited.map(|_| running.into_outcome())
    }
}

/// A stdin that holds `bytes` and then ends, whenever the plugin reads it and whatever happens to this process.
fn filled_stdin(bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = File::from(memfd_create(c"cni-stdin", MFdFlags::MFD_CLOEXEC)?);
    // The plugin shares the position, which this does not move.
    file.write_all_at(bytes, 0)?;
    Ok(file.into())
}
