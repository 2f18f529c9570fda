//! A plugin that runs: reads its output, waits for its end, and ends it if that does not come in time.

use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{MAX_STDOUT_BYTES, PluginEnd, PluginOutcome};
use crate::host::process::end_group;
use crate::host::signal::Signals;

/// The end of a plugin's stderr that is kept, in bytes.
const STDERR_TAIL_BYTES: usize = 4096;
/// The size of one read from a pipe. Most answers fit.
const CHUNK_BYTES: usize = 4096;
/// The time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_millis(500);
/// How often the shim checks whether a plugin has ended, should a SIGCHLD get lost.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A running plugin.
#[derive(Debug)]
pub struct RunningPlugin {
    pid: Pid,
    stdout: Option<PipeReader>,
    stderr: Option<PipeReader>,
    outcome: PluginOutcome,
    done: bool,
}

impl RunningPlugin {
    /// A plugin that was just started, and the ends of its pipes, which do not block.
    pub(super) const fn new(pid: Pid, stdout: PipeReader, stderr: PipeReader) -> Self {
        let outcome = PluginOutcome::without_output(PluginEnd::Stopped);
        Self { pid, stdout: Some(stdout), stderr: Some(stderr), outcome, done: false }
    }

    /// The descriptors to poll.
    fn fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let stdout = self.stdout.as_ref().map(AsFd::as_fd);
        let stderr = self.stderr.as_ref().map(AsFd::as_fd);
        [stdout, stderr].into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::POLLIN))
    }

    /// Reads what the pipes hold. Returns true once the plugin has ended and all its output is read.
    ///
    /// # Errors
    /// An error of `wait`.
    fn advance(&mut self) -> io::Result<bool> {
        if self.done {
            return Ok(true);
        }
        // The check comes before the reads, because the pipes of an ended plugin hold all of its output.
        let status = waitpid(self.pid, Some(WaitPidFlag::WNOHANG))?;
        self.drain();
        self.outcome.end = match status {
            WaitStatus::Exited(_, code) => PluginEnd::Exited(code),
            WaitStatus::Signaled(_, signal, _) => PluginEnd::Signalled(signal as i32),
            _ => return Ok(false),
        };
        self.close();
        Ok(true)
    }

    fn drain(&mut self) {
        let mut chunk = [0; CHUNK_BYTES];
        let outcome = &mut self.outcome;
        let open = read_all(self.stdout.as_mut(), &mut chunk, |bytes| {
            let room = MAX_STDOUT_BYTES - outcome.stdout.len();
            outcome.overflow |= bytes.len() > room;
            outcome.stdout.extend_from_slice(&bytes[..bytes.len().min(room)]);
        });
        if !open {
            self.stdout = None;
        }
        let open = read_all(self.stderr.as_mut(), &mut chunk, |bytes| {
            outcome.stderr.extend_from_slice(bytes);
            let excess = outcome.stderr.len().saturating_sub(STDERR_TAIL_BYTES);
            outcome.stderr.drain(..excess);
        });
        if !open {
            self.stderr = None;
        }
    }

    fn close(&mut self) {
        self.stdout = None;
        self.stderr = None;
        self.done = true;
    }

    /// Ends the plugin and everything it started.
    fn abort(&mut self, end: PluginEnd, signals: &Signals) {
        // This reaps the plugin, too.
        end_group(self.pid.as_raw(), GRACE, signals);
        self.drain();
        self.outcome.end = end;
        self.close();
    }

    /// The outcome of a plugin that has ended.
    #[must_use]
    pub fn into_outcome(self) -> PluginOutcome {
        self.outcome
    }
}

/// Reads everything that a pipe holds. Returns false at the end of the stream.
fn read_all(from: Option<&mut impl Read>, chunk: &mut [u8], mut take: impl FnMut(&[u8])) -> bool {
    let Some(from) = from else { return false };
    loop {
        match from.read(chunk) {
            Ok(0) => return false,
            Ok(read) => take(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

/// Waits until one of several plugins has ended or `until` has passed; returns the index of one that ended.
///
/// # Errors
/// An error of `poll` or `wait`.
pub fn wait_any(
    running: &mut [&mut RunningPlugin],
    until: Instant,
    signals: &Signals,
) -> io::Result<Option<usize>> {
    loop {
        for (index, plugin) in running.iter_mut().enumerate() {
            if plugin.advance()? {
                return Ok(Some(index));
            }
        }
        if signals.stop_requested() || Instant::now() >= until {
            return Ok(None);
        }
        let mut fds: Vec<PollFd<'_>> = running.iter().flat_map(|plugin| plugin.fds()).collect();
        signals.wait(&mut fds, until.min(Instant::now() + LOOK_AGAIN))?;
    }
}

/// Kills those of several plugins that still run, after the deadline or a signal that asks the shim to stop.
pub fn end_all(running: &mut [&mut RunningPlugin], signals: &Signals) {
    let end = if signals.stop_requested() { PluginEnd::Stopped } else { PluginEnd::Deadline };
    for plugin in running.iter_mut().filter(|plugin| !plugin.done) {
        plugin.abort(end, signals);
    }
}
