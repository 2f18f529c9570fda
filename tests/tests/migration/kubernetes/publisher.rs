//! The publisher of `crossfade-bootstrap`, driven by a case.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lab::host::scratch::Scratch;
use lab::kubernetes::PORT;
use serde_json::{Value, json};

use crate::server::Server;

/// Ten times what it takes with a pause after an outage in it.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

/// A kubelet's kubeconfig and what belongs to it.
pub(crate) struct Credential {
    pub(crate) dir: Scratch,
}

impl Credential {
    /// With this user, for the API server at `address`.
    pub(crate) fn new(server: &Server, user: &Value, address: &str) -> Result<Self> {
        let dir = Scratch::new("credential")?;
        fs::write(dir.join("ca.pem"), server.authority.certificate())?;
        let credential = Self { dir };
        credential.write(user, address)?;
        Ok(credential)
    }

    /// A kubelet's own, as kubeadm leaves it: a file that rotation replaces.
    pub(crate) fn of_kubelet(server: &Server, node: &str) -> Result<Self> {
        Self::of_kubelet_at(server, node, &format!("https://127.0.0.1:{PORT}"))
    }

    pub(crate) fn of_kubelet_at(server: &Server, node: &str, address: &str) -> Result<Self> {
        let credential = Self::new(server, &json!({}), address)?;
        server.authority.kubelet(node)?.write(&credential.certificate())?;
        credential.write(&by_certificate(), address)?;
        Ok(credential)
    }

    fn write(&self, user: &Value, address: &str) -> Result<()> {
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "default",
            "contexts": [{ "name": "default", "context": { "cluster": "lab", "user": "kubelet" } }],
            "clusters": [{ "name": "lab", "cluster": { "server": address, "certificate-authority": "ca.pem" } }],
            "users": [{ "name": "kubelet", "user": user }],
        });
        fs::write(self.kubeconfig(), text.to_string()).context("kubeconfig")
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.dir.join("kubelet-client-current.pem")
    }
}

/// The user of a kubeconfig that names kubelet's rotating certificate.
pub(crate) fn by_certificate() -> Value {
    json!({ "client-certificate": "kubelet-client-current.pem", "client-key": "kubelet-client-current.pem" })
}

/// A running publisher; ended on drop.
pub(crate) struct Publisher {
    child: Child,
    lines: Receiver<String>,
    log: PathBuf,
    _dir: Scratch,
}

impl Publisher {
    /// Starts one with this credential, and with a name for its Node if it was told one.
    pub(crate) fn start(kubeconfig: &Path, node: Option<&str>) -> Result<Self> {
        let own = std::env::current_exe()?;
        let program = own.ancestors().nth(2).context("the target directory")?.join("examples/publish");
        let dir = Scratch::new("publisher")?;
        let log = dir.join("log");
        let mut child = Command::new(&program)
            .arg(kubeconfig)
            .args(node)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| {
                format!("{}: run `cargo build -p bootstrap --example publish`", program.display())
            })?;
        let stdout = child.stdout.take().context("stdout")?;
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines, log, _dir: dir })
    }

    /// Tells it the truth.
    pub(crate) fn report(&mut self, report: &Value) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("stdin")?;
        writeln!(stdin, "{report}").context("the publisher has ended")
    }

    /// Tells it the truth, and waits until it is on the Node.
    pub(crate) fn publish(&mut self, report: &Value) -> Result<()> {
        self.report(report)?;
        self.settle()
    }

    /// Waits until all that it was told is on the Node.
    pub(crate) fn settle(&mut self) -> Result<()> {
        self.report(&json!({ "settle": WITHIN.as_secs() }))?;
        let settled = self.next("settled")?;
        ensure!(settled == "true", "not published: {}", self.journal());
        Ok(())
    }

    /// The next desired phase that it hands on.
    pub(crate) fn desired(&mut self) -> Result<String> {
        self.next("desired")
    }

    /// Waits until it hands on that there is no desired phase any more.
    pub(crate) fn withdrawn(&mut self) -> Result<()> {
        self.next("withdrawn").map(drop)
    }

    fn next(&mut self, word: &str) -> Result<String> {
        match self.lines.recv_timeout(WITHIN * 2) {
            Ok(line) => match line.split_once(' ') {
                Some((first, rest)) if first == word => Ok(rest.to_owned()),
                _ => bail!("expected {word}, got {line:?}"),
            },
            Err(error) => bail!("expected {word}: {error}; {}", self.journal()),
        }
    }

    /// All that was logged, also by the libraries at their most talkative.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What it would say in the journal.
    pub(crate) fn journal(&self) -> String {
        let log = self.log();
        log.lines().filter(|line| line.contains(" bootstrap::")).collect::<Vec<_>>().join("\n")
    }

    /// How often its journal says this kind of trouble.
    pub(crate) fn count_in_journal(&self, kind: &str) -> usize {
        let kind = format!("kind={kind:?}");
        self.journal().lines().filter(|line| line.contains(&kind)).count()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A report of a node that is ready in a phase.
pub(crate) fn ready(phase: &str) -> Value {
    json!({ "ready": true, "reason": "NetworkReady", "message": format!("pods get {phase}"), "phase": phase, "policySha256": "5f" })
}

/// A report of one that is not.
pub(crate) fn waiting(phase: &str) -> Value {
    json!({ "ready": false, "reason": "WaitingForNetwork", "message": "new: no conf yet", "phase": phase, "policySha256": "5f" })
}
