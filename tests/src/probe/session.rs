//! The library's end of one agent: its process, its stdin, and the thread that reads its stdout.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::ledger::{AgentReport, Ledger, Life, SharedLedger};
use super::speech::{Action, Order};
use crate::build::dist;

/// One agent. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Session {
    pod: String,
    life: Life,
    shared: Arc<SharedLedger>,
    silence: Duration,
    child: Child,
    stdin: Option<ChildStdin>,
    stderr: File,
    last_order: u64,
}

/// What makes one agent's session.
#[derive(Debug)]
pub(super) struct Birth<'a> {
    /// The pod's name.
    pub(super) pod: &'a str,
    /// The pod's netns.
    pub(super) netns: &'a Path,
    /// A number no other agent of this mesh has had.
    pub(super) life: Life,
    /// How long it may say nothing.
    pub(super) silence: Duration,
    /// How often it probes each target, in milliseconds.
    pub(super) every_ms: u64,
}

impl Session {
    /// Starts the agent and waits until it answers probes.
    ///
    /// # Errors
    /// It is not built, or ends or says nothing; with what it wrote to stderr.
    pub(super) fn start(birth: &Birth<'_>, shared: &Arc<SharedLedger>) -> Result<Self> {
        let program = dist::lab_bin("lab-probe")?;
        let stderr = tempfile::tempfile().context("file for an agent's stderr")?;
        let mut child = Command::new(&program)
            .arg("--name")
            .arg(birth.pod)
            .arg("--netns")
            .arg(birth.netns)
            .arg(format!("--every-ms={}", birth.every_ms))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr.try_clone().context("file for an agent's stderr")?)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let life = birth.life;
        shared.write(|ledger| {
            ledger.heard.insert(life, AgentReport::new(birth.pod));
        });
        if let Some(stdout) = child.stdout.take() {
            let shared = Arc::clone(shared);
            thread::spawn(move || listen(stdout, life, &shared));
        }
        let session = Self {
            pod: birth.pod.to_owned(),
            life,
            shared: Arc::clone(shared),
            silence: birth.silence,
            stdin: child.stdin.take(),
            child,
            stderr,
            last_order: 0,
        };
        session.wait_for(|heard| heard.ready.then_some(Ok(())))?;
        Ok(session)
    }

    /// The agent's process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives an order; its number.
    ///
    /// # Errors
    /// The agent is gone.
    pub(super) fn order(&mut self, action: Action) -> Result<u64> {
        self.last_order += 1;
        let id = self.last_order;
        let mut line = serde_json::to_vec(&Order { id, action }).context("write an order")?;
        line.push(b'\n');
        let written = match &mut self.stdin {
            Some(stdin) => stdin.write_all(&line),
            None => bail!("the probe agent of {} is leaving", self.pod),
        };
        if let Err(error) = written {
            bail!("{}: {error}", self.fault("cannot be told anything"));
        }
        Ok(id)
    }

    /// Waits until an order is carried out.
    ///
    /// # Errors
    /// The agent refuses, is gone, or is silent.
    pub(super) fn done(&self, id: u64) -> Result<()> {
        self.wait_for(|heard| heard.orders.remove(&id))
            .with_context(|| format!("order {id} to the probe agent of {}", self.pod))
    }

    /// What is wrong with the agent, if anything.
    pub(super) fn trouble(&self) -> Option<String> {
        let trouble = self.look(&mut self.shared.lock());
        trouble.map(|what| self.fault(&what))
    }

    /// Ends the agent in an orderly manner and waits for it.
    ///
    /// # Errors
    /// It does not end by itself, or ends with an error.
    pub(super) fn end(mut self) -> Result<()> {
        self.stdin = None;
        self.shared.wait_for(|ledger| {
            let heard = ledger.heard.get(&self.life)?;
            (heard.ended || heard.last.elapsed() > self.silence).then_some(())
        });
        if !self.has_ended() {
            // Dropping the session kills it.
            bail!("{}", self.fault("does not end when told to"));
        }
        let status = self.child.wait().context("wait for a probe agent")?;
        ensure!(status.success(), "{}", self.fault(&format!("ended with {status}")));
        Ok(())
    }

    fn has_ended(&self) -> bool {
        let ledger = self.shared.lock();
        ledger.heard.get(&self.life).is_some_and(|heard| heard.ended)
    }

    fn look(&self, ledger: &mut Ledger) -> Option<String> {
        let heard = ledger.heard.get(&self.life)?;
        if heard.ended {
            return Some("has ended by itself".to_owned());
        }
        if let Some(nonsense) = &heard.nonsense {
            return Some(format!("says what is no event: {nonsense}"));
        }
        let silent = heard.last.elapsed();
        (silent > self.silence).then(|| format!("has said nothing for {} ms", silent.as_millis()))
    }

    /// Waits for an answer out of what was heard, as long as the agent is well.
    fn wait_for(&self, answer: impl Fn(&mut AgentReport) -> Option<Result<(), String>>) -> Result<()> {
        let outcome = self.shared.wait_for(|ledger| {
            let heard = ledger.heard.get_mut(&self.life)?;
            if let Some(outcome) = answer(heard) {
                return Some(outcome);
            }
            let what = self.look(ledger)?;
            Some(Err(self.fault(&what)))
        });
        outcome.map_err(anyhow::Error::msg)
    }

    /// A message about the agent, with the last of what it wrote to stderr.
    fn fault(&self, what: &str) -> String {
        let mut text = vec![0; 4096];
        let length = self.stderr.read_at(&mut text, 0).unwrap_or(0);
        let text = String::from_utf8_lossy(&text[..length]);
        let printed = match text.trim() {
            "" => "it wrote nothing to stderr".to_owned(),
            text => format!("it wrote to stderr: {text}"),
        };
        format!("the probe agent of {} (pid {}) {what}; {printed}", self.pod, self.pid())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stdin = None;
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
        self.shared.write(|ledger| {
            ledger.heard.remove(&self.life);
        });
    }
}

/// Reads an agent's events to the end.
fn listen(stdout: ChildStdout, life: Life, shared: &SharedLedger) {
    for line in BufReader::new(stdout).split(b'\n') {
        let Ok(line) = line else { break };
        shared.write(|ledger| ledger.hear(life, &line));
    }
    shared.write(|ledger| {
        if let Some(heard) = ledger.heard.get_mut(&life) {
            heard.ended = true;
        }
    });
}
