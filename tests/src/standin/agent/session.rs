//! The library's end of one agent: its process, orders and answers.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Spec;
use super::speech::{Action, Event};
use crate::build::dist;

/// An agent that does not answer within so many milliseconds hangs; it takes some ten.
const ANSWER_MS: u16 = 10_000;

/// One agent's process. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Session {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    stderr: File,
    up: bool,
}

impl Session {
    /// Starts the agent and waits until it is up or waits at its gate.
    ///
    /// # Errors
    /// It is not built, cannot enter the node, or cannot do what its spec says.
    pub(super) fn start(spec: &Spec, node: Option<u32>) -> Result<Self> {
        let program = dist::lab_bin("lab-agent")?;
        let stderr = tempfile::tempfile().context("file for an agent's stderr")?;
        let mut command = Command::new(&program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(stderr.try_clone().context("file for an agent's stderr")?);
        if let Some(node) = node {
            command.arg("--node").arg(node.to_string());
        }
        let mut child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("an agent's stdout")?;
        let mut session =
            Self { name: spec.name.clone(), child, stdin, stdout: BufReader::new(stdout), stderr, up: false };
        session.write(&serde_json::to_vec(spec).context("write a spec")?)?;
        session.up = match session.read()? {
            Event::Waiting => false,
            Event::Up => true,
            other => bail!("{} says {other:?} to its spec", session.name),
        };
        Ok(session)
    }

    /// Waits until it is up.
    ///
    /// # Errors
    /// It died or does not come up in time.
    pub(super) fn wait_up(&mut self) -> Result<()> {
        if !self.up {
            let event = self.read().context("waiting for an agent to come up")?;
            ensure!(event == Event::Up, "{} says {event:?}, expected to be up", self.name);
            self.up = true;
        }
        Ok(())
    }

    /// Gives an order that is answered by its being done.
    ///
    /// # Errors
    /// The agent refuses or is gone.
    pub(super) fn order(&mut self, action: &Action) -> Result<()> {
        let event = self.ask(action)?;
        ensure!(event == Event::Done, "{} says {event:?} to {action:?}", self.name);
        Ok(())
    }

    /// Gives an order that is answered with something.
    ///
    /// # Errors
    /// The agent refuses or is gone.
    pub(super) fn ask(&mut self, action: &Action) -> Result<Event> {
        self.wait_up()?;
        self.write(&serde_json::to_vec(action).context("write an order")?)?;
        self.read().with_context(|| format!("order {action:?}"))
    }

    /// Waits for an agent that was told to leave.
    ///
    /// # Errors
    /// It ends with an error.
    pub(super) fn end(&mut self) -> Result<()> {
        self.stdin = None;
        let mut rest = String::new();
        self.wait_readable()?;
        self.stdout.read_line(&mut rest).context("read the end")?;
        ensure!(rest.is_empty(), "{} says {rest:?} when leaving", self.name);
        let status = self.child.wait().context("wait for an agent")?;
        ensure!(status.success(), "{} ended with {status}; {}", self.name, self.stderr());
        Ok(())
    }

    /// Kills it.
    ///
    /// # Errors
    /// It had ended by itself.
    pub(super) fn kill(&mut self) -> Result<()> {
        let ended = self.child.try_wait().context("look at an agent")?;
        if let Some(status) = ended {
            bail!("{} had ended by itself with {status}; {}", self.name, self.stderr());
        }
        self.child.kill().context("kill an agent")?;
        self.child.wait().context("wait for an agent")?;
        Ok(())
    }

    fn write(&mut self, line: &[u8]) -> Result<()> {
        let stdin = self.stdin.as_mut().context("an agent that is leaving")?;
        let written = stdin.write_all(line).and_then(|()| stdin.write_all(b"\n"));
        written.with_context(|| format!("{} is gone; {}", self.name, self.stderr()))
    }

    fn read(&mut self) -> Result<Event> {
        self.wait_readable()?;
        let mut line = String::new();
        let length = self.stdout.read_line(&mut line).context("read an answer")?;
        ensure!(length > 0, "{} has ended; {}", self.name, self.stderr());
        match serde_json::from_str(&line).with_context(|| format!("parse the answer {line:?}"))? {
            Event::Refused { error } => bail!("{}: {error}", self.name),
            event => Ok(event),
        }
    }

    /// One answer is one line, so nothing is left in the buffer that the kernel would not tell of.
    fn wait_readable(&self) -> Result<()> {
        let mut fds = [PollFd::new(self.stdout.get_ref().as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut fds, PollTimeout::from(ANSWER_MS)).context("wait for an answer")?;
        ensure!(ready > 0, "{} does not answer within {ANSWER_MS} ms; {}", self.name, self.stderr());
        Ok(())
    }

    fn stderr(&self) -> String {
        let mut text = vec![0; 4096];
        let length = self.stderr.read_at(&mut text, 0).unwrap_or(0);
        format!("its stderr: {}", String::from_utf8_lossy(&text[..length]).trim())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
    }
}
