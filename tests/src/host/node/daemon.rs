//! A program that runs in a node until it is told to end.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::host::deadline;

/// How long a daemon may take to end after SIGTERM.
const END_WITHIN: Duration = Duration::from_secs(60);

/// A daemon in a node; killed on drop.
#[derive(Debug)]
pub struct Daemon {
    label: String,
    /// `nsenter`, which waits for the daemon and ends as it does.
    enterer: Child,
    pid: Pid,
    log: PathBuf,
}

/// Holds the program back until its pid is known, however quickly it would end.
const GATE: &str = r#"read -r _; exec "$@" </dev/null"#;

impl Daemon {
    pub(super) fn start(label: &str, command: &Command, log: PathBuf) -> Result<Daemon> {
        let file = OpenOptions::new().create(true).append(true).open(&log).context("the daemon's log")?;
        // A group of its own: Ctrl-C on the terminal is for the lab, which ends its daemons in order.
        let mut gated = gated(command);
        gated.stdin(Stdio::piped()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let mut enterer = gated.spawn().with_context(|| format!("starting {label}"))?;
        let gate = enterer.stdin.take().context("the gate")?;
        let pid = super::only_child(enterer.id()).with_context(|| format!("starting {label}"))?;
        (&gate).write_all(b"\n").with_context(|| format!("starting {label}"))?;
        Ok(Daemon { label: label.to_owned(), enterer, pid, log })
    }

    /// Pid as the lab sees it.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Where its stdout and stderr go.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid, signal).with_context(|| format!("{signal} to {}", self.label))
    }

    /// Lets it go on that was stopped: `nsenter`, which waits for it, has stopped itself with it.
    ///
    /// # Errors
    /// It has ended.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)?;
        let enterer = Pid::from_raw(self.enterer.id().cast_signed());
        kill(enterer, Signal::SIGCONT).with_context(|| format!("nsenter of {}", self.label))
    }

    /// Whether it has ended, and how.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.enterer.try_wait().with_context(|| format!("asking for {}", self.label))
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// It did not within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        deadline::until(&format!("the end of {}", self.label), limit, || Ok(self.enterer.try_wait()?))
    }

    /// Ends it with SIGTERM and waits for it.
    ///
    /// # Errors
    /// It does not end; it is killed then.
    pub fn terminate(mut self) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.wait(END_WITHIN)
    }

    /// Ends it with SIGKILL and waits for it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn kill(mut self) -> Result<ExitStatus> {
        self.signal(Signal::SIGKILL)?;
        self.wait(END_WITHIN)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(None) = self.enterer.try_wait() {
            let _already_gone = kill(self.pid, Signal::SIGKILL);
            let _status = self.enterer.wait();
        }
    }
}

/// A command made by [`super::Node::command`], with the gate before the program.
fn gated(command: &Command) -> Command {
    let mut gated = Command::new(command.get_program());
    let mut arguments = command.get_args();
    gated.args(arguments.by_ref().take_while(|argument| *argument != "--"));
    gated.args(["--", "sh", "-c", GATE, "gate"]).args(arguments).env_clear();
    gated.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    gated
}
