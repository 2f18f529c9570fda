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
mod launch;
mod program;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use program::Program;
use types::quote::quote;

use crate::lock::Lock;
use crate::process::{Process, end_group};
use crate::signal::Signals;
pub use binary::{Binary, NoBinary, explain_start};
pub use launch::{Launch, Launcher, launch_by};

/// Most of a plugin's stdout that is kept, in bytes; more makes its answer invalid.
pub const MAX_STDOUT_BYTES: usize = 8 << 20;
/// The end of a plugin's stderr that is kept, in bytes.
const STDERR_TAIL_BYTES: usize = 4096;
/// The size of one read from a pipe. Most answers fit.
const CHUNK_BYTES: usize = 4096;
/// The time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_millis(500);
/// How often the shim checks whether a plugin has ended, should a SIGCHLD get lost.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long the shim waits for a binary that is being written. Agents overwrite theirs in place.
const BUSY_PATIENCE: Duration = Duration::from_secs(3);

/// A call of a plugin: the program, its input, and how long it may run.
#[derive(Debug)]
pub struct PluginCall<'a> {
    /// The program to run.
    pub binary: &'a Binary,
    /// Variables that are added to this process's environment, or replace its own.
    pub env: Vec<(&'static str, OsString)>,
    /// The bytes that the plugin reads from stdin.
    pub stdin: &'a [u8],
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
    /// Starts a plugin. The plugin inherits `lock`, and the lock file gets its process group.
    ///
    /// # Errors
    /// The error of the kernel. If a program is writing the binary, the shim waits for it until `deadline` at most.
    pub fn start(
        call: &PluginCall<'_>,
        lock: Option<&mut Lock>,
        deadline: Instant,
        signals: &Signals,
    ) -> io::Result<Self> {
        let (stdout, plugins_stdout) = io::pipe()?;
        let (stderr, plugins_stderr) = io::pipe()?;
        let streams = [filled_stdin(call.stdin)?, plugins_stdout.into(), plugins_stderr.into()];
        let program = Program::of(call)?;
        let patience = (Instant::now() + BUSY_PATIENCE).min(deadline);
        if let Some(lock) = &lock {
            lock.inherit(true)?;
        }
        let spawned = loop {
            match program.spawn(&streams) {
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
        let pid = spawned?;
        let outcome = PluginOutcome {
            end: PluginEnd::Stopped,
            stdout: Vec::new(),
            overflow: false,
            stderr: Vec::new(),
        };
        let mut running = Self { pid, stdout: Some(stdout), stderr: Some(stderr), outcome, done: false };
        if let Err(error) = running.read_without_waiting() {
            // The caller relies on an error: after it, nothing of the plugin runs.
            (running.stdout, running.stderr) = (None, None);
            running.abort(PluginEnd::Stopped, signals);
            return Err(error);
        }
        Ok(running)
    }

    /// Makes the plugin's pipes non-blocking.
    fn read_without_waiting(&self) -> io::Result<()> {
        let fds = [self.stdout.as_ref().map(AsFd::as_fd), self.stderr.as_ref().map(AsFd::as_fd)];
        for fd in fds.into_iter().flatten() {
            fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok(())
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

/// A stdin that holds `bytes` and then ends, whenever the plugin reads it and whatever happens to this process.
fn filled_stdin(bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = File::from(memfd_create(c"cni-stdin", MFdFlags::MFD_CLOEXEC)?);
    // The plugin shares the position, which this does not move.
    file.write_all_at(bytes, 0)?;
    Ok(file.into())
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

/// Runs one plugin to its end. After its deadline, or a signal that asks the shim to stop, the plugin does not start at all, since killing it at
/// once would leave its work half done.
///
/// # Errors
/// The error of the kernel if the plugin cannot be started or waited for.
pub fn run(
    call: &PluginCall<'_>,
    lock: Option<&mut Lock>,
    deadline: Instant,
    signals: &Signals,
) -> io::Result<PluginOutcome> {
    let not_started = |end| PluginOutcome { end, stdout: Vec::new(), overflow: false, stderr: Vec::new() };
    if signals.stop_requested() {
        return Ok(not_started(PluginEnd::Stopped));
    }
    if Instant::now() >= deadline {
        return Ok(not_started(PluginEnd::Late));
    }
    let mut running = RunningPlugin::start(call, lock, deadline, signals)?;
    let waited = wait_any(&mut [&mut running], deadline, signals);
    if !matches!(waited, Ok(Some(_))) {
        // Also if the wait fails: a plugin that still ran after the error would work against the rollback.
        end_all(&mut [&mut running], signals);
    }
    waited.map(|_| running.into_outcome())
}

impl PluginOutcome {
    /// The plugin's stderr for a message, one line.
    #[must_use]
    pub fn stderr_text(&self) -> String {
        quote(&self.stderr[self.stderr.len().saturating_sub(512)..], 512)
    }
}
