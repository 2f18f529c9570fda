//! A CNI runtime of ours: calls plugins directly, and networks as libcni does.
//!
//! [`Plugin`] is one execution of one plugin binary: environment, stdin, and what came of it ([`Outcome`]). On top,
//! [`runtime::Runtime`] runs a conflist the way libcni runs it, result cache included.

pub mod runtime;

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::case::oracle;
use crate::standin::stub::PATIENCE;

/// Between two looks at a condition.
const GLANCE: Duration = Duration::from_millis(2);

/// What a plugin finds on its stdin.
#[derive(Debug, Clone)]
pub enum Stdin {
    /// These bytes, then the end.
    Bytes(Vec<u8>),
    /// Nothing, and no end either for as long as the plugin runs.
    LeftOpen,
}

/// One execution of a plugin binary.
#[derive(Debug, Clone)]
pub struct Plugin {
    program: PathBuf,
    wrapper: Vec<String>,
    env: BTreeMap<String, String>,
    stdin: Stdin,
    patience: Duration,
    oracle: bool,
}

impl Plugin {
    /// This binary, with an empty environment and an empty stdin.
    pub fn new(program: &Path) -> Self {
        Self {
            program: program.to_owned(),
            wrapper: Vec::new(),
            env: BTreeMap::new(),
            stdin: Stdin::Bytes(Vec::new()),
            patience: PATIENCE,
            oracle: false,
        }
    }

    /// Has every reply read by [`crate::case::oracle`] as well: for our own plugin, whose errors have all of the specification's keys.
    pub fn read_by_the_oracle(mut self) -> Self {
        self.oracle = true;
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets many environment variables.
    pub fn envs(mut self, variables: &BTreeMap<String, String>) -> Self {
        self.env.extend(variables.iter().map(|(name, value)| (name.clone(), value.clone())));
        self
    }

    /// Takes an environment variable away.
    pub fn env_remove(mut self, name: &str) -> Self {
        self.env.remove(name);
        self
    }

    /// The environment as it stands.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// Puts this text on stdin.
    pub fn stdin(mut self, text: &str) -> Self {
        self.stdin = Stdin::Bytes(text.as_bytes().to_vec());
        self
    }

    /// Leaves stdin open and empty.
    pub fn stdin_left_open(mut self) -> Self {
        self.stdin = Stdin::LeftOpen;
        self
    }

    /// Runs `wrapper... PROGRAM` instead of `PROGRAM`; the wrapper must execute in place, so that the pid is the plugin's.
    pub fn wrapped(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&part| part.to_owned()).collect();
        self
    }

    /// How long [`Running::wait`] waits before it calls the plugin hung.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Runs it to the end.
    ///
    /// # Errors
    /// When it cannot be started or does not end; a failing plugin is no error here.
    pub fn run(&self) -> Result<Outcome> {
        self.spawn()?.wait()
    }

    /// Starts it, in a process group of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self) -> Result<Running> {
        let mut argv = self.wrapper.clone();
        argv.push(self.program.display().to_string());
        let mut child = Command::new(&argv[0])
            .args(&argv[1..])
            .env_clear()
            .envs(&self.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", argv.join(" ")))?;
        let stdout = drain(child.stdout.take().context("stdout is piped")?);
        let stderr = drain(child.stderr.take().context("stderr is piped")?);
        let open_stdin = feed(child.stdin.take().context("stdin is piped")?, &self.stdin);
        Ok(Running {
            child,
            stdout,
            stderr,
            _open_stdin: open_stdin,
            patience: self.patience,
            oracle: self.oracle,
        })
    }
}

/// Reads a pipe to its end in a thread, so that no plugin blocks on a full one.
fn drain(mut pipe: impl Read + Send + 'static) -> Receiver<std::io::Result<Vec<u8>>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = pipe.read_to_end(&mut bytes).map(|_| bytes);
        // The test does not listen any more when the plugin was given up.
        drop(sender.send(read));
    });
    receiver
}

/// Writes stdin in a thread; a plugin that does not read it has its reasons.
fn feed(mut pipe: ChildStdin, stdin: &Stdin) -> Option<ChildStdin> {
    match stdin {
        Stdin::LeftOpen => Some(pipe),
        Stdin::Bytes(bytes) => {
            let bytes = bytes.clone();
            thread::spawn(move || drop(pipe.write_all(&bytes)));
            None
        }
    }
}

/// A plugin that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Receiver<std::io::Result<Vec<u8>>>,
    stderr: Receiver<std::io::Result<Vec<u8>>>,
    _open_stdin: Option<ChildStdin>,
    patience: Duration,
    oracle: bool,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(i32::MAX)
    }

    /// Sends a signal to it alone, not to what it started.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.pid()), signal).with_context(|| format!("send {signal} to {}", self.pid()))
    }

    /// Whether it has not ended yet.
    ///
    /// # Errors
    /// When its state cannot be asked.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Paths of the files it has open now.
    pub fn open_files(&self) -> Vec<PathBuf> {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .into_iter()
            .flatten()
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .collect()
    }

    /// Waits for its end, and for the end of both output pipes: like libcni's, this caller waits for every process that holds them.
    ///
    /// # Errors
    /// When it, or a process with its stdout or stderr, is still there when the patience ends.
    pub fn wait(mut self) -> Result<Outcome> {
        let deadline = Instant::now() + self.patience;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "the plugin hangs: no end after {:?}", self.patience);
            thread::sleep(GLANCE);
        }
        let status = self.child.wait()?;
        let grace = deadline.saturating_duration_since(Instant::now()).min(Duration::from_secs(10));
        let stdout = self
            .stdout
            .recv_timeout(grace)
            .context("the plugin ended but another process keeps its stdout open")??;
        let stderr = self
            .stderr
            .recv_timeout(grace)
            .context("the plugin ended but another process keeps its stderr open")??;
        Ok(Outcome {
            status,
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            oracle: self.oracle,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already reaped after `wait`; both calls then say so and nothing is lost.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// How a plugin ended and what it said.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Exit code or signal.
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    oracle: bool,
}

/// An error object as the specification has it.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// `cniVersion`, empty if absent.
    pub cni_version: String,
    /// `code`.
    pub code: u64,
    /// `msg`.
    pub msg: String,
    /// `details`, empty if absent.
    pub details: String,
}

impl Refusal {
    /// `msg` and `details` in one text.
    pub fn text(&self) -> String {
        format!("{}; {}", self.msg, self.details)
    }
}

impl Outcome {
    /// The one JSON document on stdout of a plugin that succeeded.
    ///
    /// # Errors
    /// When it failed, or stdout holds anything else.
    pub fn result(&self) -> Result<Value> {
        self.succeeded()?;
        let result: Value = serde_json::from_str(&self.stdout)
            .with_context(|| format!("stdout is not one JSON document: {self:?}"))?;
        if self.oracle && ["0.4.0", "1.0.0"].iter().any(|known| result["cniVersion"] == **known) {
            self.hold_to_the_oracle(&result)?;
        }
        Ok(result)
    }

    /// The oracle must read the addresses that are there, and attribute each to the interface it names.
    fn hold_to_the_oracle(&self, result: &Value) -> Result<()> {
        let read = match oracle::read_reply(self.stdout.as_bytes())? {
            oracle::Reply::Success(read) => read,
            oracle::Reply::Version(_) if result.get("supportedVersions").is_some() => return Ok(()),
            other => bail!("the oracle reads no result but {other:?}"),
        };
        let written = result["ips"].as_array().map(Vec::as_slice).unwrap_or_default();
        ensure!(read.ips.len() == written.len(), "the oracle reads other addresses: {read:?}");
        for (read, written) in read.ips.iter().zip(written) {
            let same = written["address"] == read.address.to_string()
                && written["interface"].as_u64() == read.interface.map(|index| index as u64);
            ensure!(same, "the oracle reads {read:?} for {written}");
        }
        Ok(())
    }

    /// Holds when the plugin succeeded without a word on stdout.
    ///
    /// # Errors
    /// When it failed or said something.
    pub fn silent(&self) -> Result<()> {
        self.succeeded()?;
        ensure!(self.stdout.is_empty(), "stdout should be empty: {self:?}");
        Ok(())
    }

    /// Holds when the plugin exited with 0.
    ///
    /// # Errors
    /// When it did not.
    pub fn succeeded(&self) -> Result<()> {
        ensure!(self.status.success(), "should have succeeded: {self:?}");
        Ok(())
    }

    /// The error object of a plugin that exited with 1.
    ///
    /// # Errors
    /// When it ended otherwise, or stdout is not one error object.
    pub fn error(&self) -> Result<Refusal> {
        if let Some(signal) = self.status.signal() {
            bail!("ended by signal {signal}: {self:?}");
        }
        ensure!(self.status.code() == Some(1), "should have exited with 1: {self:?}");
        let object: Value = serde_json::from_str(&self.stdout)
            .with_context(|| format!("stdout is not one JSON document: {self:?}"))?;
        let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
        ensure!(object["msg"].is_string(), "an error needs a `msg`: {object}");
        if self.oracle {
            let read = oracle::read_reply(self.stdout.as_bytes())?;
            let same = matches!(&read, oracle::Reply::Error { code, .. } if object["code"] == *code);
            ensure!(same, "the oracle reads {read:?} for {object}");
        }
        Ok(Refusal {
            cni_version: text("cniVersion"),
            code: object["code"].as_u64().with_context(|| format!("an error needs a `code`: {object}"))?,
            msg: text("msg"),
            details: text("details"),
        })
    }

    /// [`Outcome::error`] with this code.
    ///
    /// # Errors
    /// Also when the code is another.
    pub fn refused(&self, code: u64) -> Result<Refusal> {
        let refusal = self.error()?;
        ensure!(refusal.code == code, "expected code {code}: {refusal:?}");
        Ok(refusal)
    }
}
