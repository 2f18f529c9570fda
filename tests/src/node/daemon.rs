//! A program that runs in a node until it is told to end.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::deadline;

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

impl Daemon {
    pub(super) fn start(label: &str, mut command: Command, log: PathBuf) -> Result<Daemon> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .context("the daemon's log")?;
        // A group of its own: Ctrl-C on the terminal is for the lab, which ends its daemons in order.
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0);
        let mut enterer = command
            .spawn()
            .with_context(|| format!("starting {label}"))?;
        let pid = match super::only_child(enterer.id()) {
            Ok(pid) => pid,
            Err(error) => {
                let _already_gone = enterer.kill();
                let status = enterer.wait()?;
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                bail!(
                    "{label} did not start: {error:#}: {status}: {}",
                    text.trim()
                );
            }
        };
        Ok(Daemon {
            label: label.to_owned(),
            enterer,
            pid,
            log,
        })
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

    /// Whether it has ended, and how.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.enterer
            .try_wait()
            .with_context(|| format!("asking for {}", self.label))
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// It did not within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        deadline::until(&format!("the end of {}", self.label), limit, || {
            Ok(self.enterer.try_wait()?)
        })
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
