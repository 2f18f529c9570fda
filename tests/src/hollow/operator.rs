//! The operator of a hollow cluster: `kubectl-crossfade` with the rights of `deploy/cluster/rbac-operator.yaml` and no other.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::cluster::OPERATOR;
use super::fleet::POOL;
use crate::kubernetes::{ControlPlane, User};
use crate::scratch::Scratch;

/// What the migration of hollow nodes is called: their networks are neither CNI's.
const MIGRATION: [&str; 6] = ["--from", "flannel", "--to", "cilium", "--strategy", "bridge"];

/// The program, and a directory for its settings and its journals.
#[derive(Debug)]
pub struct Operator {
    program: PathBuf,
    scratch: Scratch,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status; none after a signal.
    pub status: Option<i32>,
    /// The document on its stdout.
    pub answer: Value,
    /// Its stderr.
    pub said: String,
}

impl Operator {
    /// Gives the user [`OPERATOR`] the rights of an operator, and writes settings: `limits` of `roll` in YAML, and a waiver for everything that
    /// blocks, since hollow nodes have neither CNI.
    ///
    /// # Errors
    /// The API server refuses something, or the program does not answer.
    pub fn new(plane: &ControlPlane, program: &Path, limits: &str) -> Result<Self> {
        let deploy = crate::dist::workspace().join("deploy/cluster/rbac-operator.yaml");
        let deploy = deploy.to_str().context("a path")?;
        let binding = |kind: &'static str, role: &'static str| {
            vec!["create", kind, "crossfade-operator", role, "--user", OPERATOR, "--namespace", "crossfade"]
        };
        for words in [
            vec!["apply", "-f", deploy],
            binding("clusterrolebinding", "--clusterrole=crossfade-operator"),
            binding("rolebinding", "--role=crossfade-operator"),
        ] {
            crate::node::run(&mut plane.kubectl(&words)?)?;
        }
        let operator = Self { program: program.to_path_buf(), scratch: Scratch::new("operator")? };
        let kubeconfig = plane.kubeconfig(User::Component(OPERATOR))?;
        fs::write(operator.scratch.join("kubeconfig"), kubeconfig.to_string()).context("a kubeconfig")?;
        operator.settle(limits)?;
        Ok(operator)
    }

    fn settle(&self, limits: &str) -> Result<()> {
        let file = self.scratch.join("crossfade.yaml");
        let mut text = format!(
            "version: 1\nnodes: {{poolLabels: [{POOL}]}}\nroll:\n  limits: {limits}\n  bridge: {{accept: hollow nodes have no network}}\n"
        );
        fs::write(&file, &text)?;
        let found = self.run(&[&["check"][..], &MIGRATION].concat())?;
        let findings = found.answer["findings"].as_array().with_context(|| format!("{found:#?}"))?;
        text.push_str("waivers:\n");
        let blocking = findings.iter().filter(|finding| finding["severity"] == "blocks");
        for code in blocking.filter_map(|finding| finding["code"].as_str()) {
            writeln!(text, "  - {{finding: {code}, reason: hollow nodes have neither CNI}}")?;
        }
        fs::write(&file, text).context("the settings")
    }

    /// Makes a plan, saves it, and gives its hash.
    ///
    /// # Errors
    /// Something stands in the way of a plan.
    pub fn plan(&self) -> Result<String> {
        let planned = self.ends(&[&["plan", "--save"][..], &MIGRATION].concat(), 0)?;
        planned.answer["hash"].as_str().map(str::to_owned).context("a hash")
    }

    /// The program with these words; it writes its journal into [`Self::journals`].
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().env("PATH", crate::node::PATH).env("HOME", self.scratch.path());
        command.env("KUBECONFIG", self.scratch.join("kubeconfig"));
        command.env("XDG_STATE_HOME", self.scratch.path());
        command.env("USER", "alice").env("HOSTNAME", "laptop");
        command.args(words).arg("--config").arg(self.scratch.join("crossfade.yaml"));
        command.args(["-o", "json"]).stdin(Stdio::null());
        command
    }

    /// The directory of its journals.
    pub fn journals(&self) -> PathBuf {
        self.scratch.join("crossfade")
    }

    /// A file of its own.
    pub fn file(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// It does not answer.
    pub fn run(&self, words: &[&str]) -> Result<Ended> {
        let output = self.command(words).output().context("kubectl-crossfade")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let answer = serde_json::from_slice(&output.stdout).with_context(|| format!("{words:?}: {said}"))?;
        Ok(Ended { status: output.status.code(), answer, said })
    }

    /// Runs a command that must end so.
    ///
    /// # Errors
    /// It ends otherwise.
    pub fn ends(&self, words: &[&str], status: i32) -> Result<Ended> {
        let ended = self.run(words)?;
        ensure!(ended.status == Some(status), "{words:?}, expected {status}: {ended:#?}");
        Ok(ended)
    }
}
