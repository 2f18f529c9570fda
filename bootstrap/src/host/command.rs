//! The runner of other programs: with a deadline, a bound on what it writes, and a process group of its own that ends as a whole.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use shim::host::process::Process;

/// How long the kernel may take to end a process that was killed.
const KILLED_WITHIN: Duration = Duration::from_secs(5);

/// The limits of one run of a program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunLimits {
    /// The program has ended by then, or is killed with everything it started.
    pub timeout: Duration,
    /// The largest stdout, and the largest stderr, in bytes.
    pub max_bytes: usize,
}

/// What becomes of a program's stderr.
#[derive(Debug)]
pub(crate) enum StderrTo {
    /// Stderr becomes a part of [`CommandOutput`].
    Output,
    /// Nowhere: it may hold a secret, however long it is.
    Nowhere,
    /// The program writes its stderr into this file.
    File(File),
}

/// What a program wrote, and how the program ended.
#[derive(Debug)]
pub(crate) struct CommandOutput {
    /// The exit status, or the signal that ended the program.
    pub status: ExitStatus,
    /// The bytes that the program wrote to stdout.
    pub stdout: Vec<u8>,
    /// Its stderr; empty unless it went to [`StderrTo::Output`].
    pub stderr: Vec<u8>,
}

impl CommandOutput {
    /// Its stdout as text; what is not UTF-8 is replaced.
    #[must_use]
    pub(crate) fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The text that the program wrote to stderr, trimmed in the same way.
    #[must_use]
    pub(crate) fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Why the program failed, for a person: how it ended, and the first line of its stderr.
    ///
    /// # Errors
    /// Always, unless it succeeded.
    pub(crate) fn check_success(&self) -> Result<(), String> {
        if self.status.success() {
            return Ok(());
        }
        let stderr = self.stderr_text();
        Err(format!("{}: {}", self.status, stderr.lines().next().unwrap_or("it says nothing")))
    }
}

/// Why a program gave no output. What it wrote is not in the error: it may be a secret.
#[derive(Debug)]
pub enum CommandError {
    /// The program did not start.
    NotStarted(io::Error),
    /// The program did not end within this time, and Crossfade killed it.
    TimedOut(Duration),
    /// It wrote more than the limit, or its pipe could not be read.
    Unreadable,
    /// The kernel does not say how the program ended.
    Unknown(io::Error),
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(error) | Self::Unknown(error) => error.fmt(f),
            Self::TimedOut(within) => write!(f, "no answer within {} s", within.as_secs()),
            Self::Unreadable => f.write_str("its answer cannot be read"),
        }
    }
}

impl std::error::Error for CommandError {}

impl From<CommandError> for io::Error {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::NotStarted(error) | CommandError::Unknown(error) => error,
            CommandError::TimedOut(_) => Self::new(io::ErrorKind::TimedOut, error.to_string()),
            CommandError::Unreadable => Self::other(error.to_string()),
        }
    }
}

/// Runs a program with an empty stdin and returns what it wrote.
///
/// # Errors
/// [`CommandError`]; a program that ends with another status than 0 is no error.
pub(crate) fn run(command: &mut Command, limits: RunLimits) -> Result<CommandOutput, CommandError> {
    run_with(command, limits, Vec::new(), StderrTo::Output)
}

/// [`run`] for a program that gets `stdin`, and whose stderr may go elsewhere.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_with(
    command: &mut Command,
    limits: RunLimits,
    stdin: Vec<u8>,
    stderr: StderrTo,
) -> Result<CommandOutput, CommandError> {
    let deadline = Instant::now() + limits.timeout;
    let keeps_stderr = matches!(stderr, StderrTo::Output);
    // What a program says to its own service manager would come from a process that is not this unit's main one.
    for variable in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
        command.env_remove(variable);
    }
    // Not /dev/null: the chroot of an image build may have no /dev.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
    command.stderr(match stderr {
        StderrTo::Output | StderrTo::Nowhere => Stdio::piped(),
        StderrTo::File(file) => Stdio::from(file),
    });
    let mut child = command.spawn().map_err(CommandError::NotStarted)?;
    let pid = child.id().cast_signed();
    let group = Process::read(pid);
    if let Some(mut pipe) = child.stdin.take().filter(|_| !stdin.is_empty()) {
        // A program need not read its stdin, and says by its status what it makes of that.
        std::thread::spawn(move || pipe.write_all(&stdin));
    }
    let stdout = read_in_thread(child.stdout.take(), Some(limits.max_bytes));
    let stderr = read_in_thread(child.stderr.take(), keeps_stderr.then_some(limits.max_bytes));
    let exit = wait_in_thread(child);
    let remaining = || deadline.saturating_duration_since(Instant::now());
    let outputs = [stdout, stderr].map(|pipe| pipe.recv_timeout(remaining()));
    let status = exit.recv_timeout(remaining());
    let ([Ok(stdout), Ok(stderr)], Ok(status)) = (outputs, status) else {
        match group {
            Some(group) => group.kill_group(),
            // The chroot of an image build may have no /proc to tell processes apart by.
            None => drop(killpg(Pid::from_raw(pid), Signal::SIGKILL)),
        }
        // Nothing but an uninterruptible sleep in the kernel survives this for long.
        let _ = exit.recv_timeout(KILLED_WITHIN);
        return Err(CommandError::TimedOut(limits.timeout));
    };
    let status = status.map_err(CommandError::Unknown)?;
    match (stdout, stderr) {
        (Some(stdout), Some(stderr)) => Ok(CommandOutput { status, stdout, stderr }),
        _ => Err(CommandError::Unreadable),
    }
}

/// All that comes out of a pipe; none if that is more than `max_bytes` or cannot be read. Without `max_bytes` nothing of it is kept.
fn read_in_thread(
    pipe: Option<impl Read + Send + 'static>,
    max_bytes: Option<usize>,
) -> Receiver<Option<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = pipe.map_or(Ok(true), |mut pipe| match max_bytes {
            Some(max) => pipe.take(max as u64 + 1).read_to_end(&mut bytes).map(|_| bytes.len() <= max),
            None => io::copy(&mut pipe, &mut io::sink()).map(|_| true),
        });
        // The caller has stopped receiving once the deadline has passed.
        let _ = sender.send(matches!(read, Ok(true)).then_some(bytes));
    });
    receiver
}

fn wait_in_thread(mut child: Child) -> Receiver<io::Result<ExitStatus>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait()));
    receiver
}

#[cfg(test)]
mod tests;
