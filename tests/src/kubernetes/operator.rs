//! Somebody who runs `kubectl crossfade`: the program as a plugin of the cluster's kubectl.

use std::fs;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::ControlPlane;
use crate::scratch::Scratch;

/// Somebody at a machine of their own, with the settings of a migration.
#[derive(Debug)]
pub struct Operator<'a> {
    plane: &'a ControlPlane,
    migration: Vec<String>,
    /// What the program keeps between two calls, and the settings.
    home: Scratch,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit status; none if a signal ended it.
    pub status: Option<i32>,
    /// The document on stdout.
    pub answer: Value,
    /// The lines on stderr.
    pub said: String,
}

impl<'a> Operator<'a> {
    /// Somebody who may do what a migration needs, with this section `roll` of the settings.
    ///
    /// Everything that `check` finds to block is waived: the lab's networks are neither of the CNIs that the migration names.
    ///
    /// # Errors
    /// The operator's rights are not granted, or `check` does not answer.
    pub fn new(plane: &'a ControlPlane, strategy: &str, roll: &Value) -> Result<Operator<'a>> {
        let rights = crate::dist::workspace().join("deploy/cluster/rbac-operator.yaml");
        let apply = ["apply", "-f", rights.to_str().context("a path")?];
        crate::node::run(&mut plane.kubectl(&apply)?)?;
        let words = ["--from", "flannel", "--to", "cilium", "--strategy", strategy];
        let migration = words.map(str::to_owned).to_vec();
        let operator = Operator { plane, migration, home: Scratch::new("operator")? };
        operator.write(&json!({ "version": 1 }))?;
        let found = operator.run_about("check", &[])?;
        let findings = found.answer["findings"].as_array().context("findings")?.iter();
        let waivers: Vec<Value> = findings
            .filter(|one| one["severity"] == "blocks")
            .map(|one| json!({ "finding": one["code"], "reason": "the lab has neither CNI" }))
            .collect();
        operator.write(&json!({ "version": 1, "roll": roll, "waivers": waivers }))?;
        Ok(operator)
    }

    /// Writes the settings; JSON is YAML.
    fn write(&self, settings: &Value) -> Result<()> {
        fs::write(self.home.join("crossfade.yaml"), settings.to_string()).context("the settings")
    }

    /// The command with its settings and JSON answers; it inherits stderr.
    ///
    /// # Errors
    /// The program is not built.
    pub fn command(&self, words: &[&str]) -> Result<Command> {
        let settings = self.home.join("crossfade.yaml");
        let settings = settings.to_str().context("a path")?;
        let program = crate::dist::kubectl()?;
        let dir = program.parent().context("the program's directory")?;
        let line = [&["crossfade"], words, &["--config", settings, "-o", "json"]].concat();
        let mut kubectl = self.plane.kubectl(&line)?;
        kubectl.env("PATH", format!("{}:{}", dir.display(), crate::node::PATH));
        kubectl.env("XDG_STATE_HOME", self.home.path());
        kubectl.env("USER", "alice").env("HOSTNAME", "laptop");
        Ok(kubectl)
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// It does not answer with JSON.
    pub fn run(&self, words: &[&str]) -> Result<Ended> {
        let output = self.command(words)?.output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let answer = serde_json::from_slice(&output.stdout).with_context(|| format!("{words:?}: {said}"))?;
        Ok(Ended { status: output.status.code(), answer, said })
    }

    /// Runs a command about the migration, which names both CNIs and the strategy.
    fn run_about(&self, command: &str, words: &[&str]) -> Result<Ended> {
        let migration: Vec<&str> = self.migration.iter().map(String::as_str).collect();
        self.run(&[&[command], words, &migration].concat())
    }

    /// Runs a command that must end with this exit status.
    ///
    /// # Errors
    /// It ends with another one; the message has everything that it said.
    pub fn ends(&self, words: &[&str], status: i32) -> Result<Ended> {
        let ended = self.run(words)?;
        ensure!(ended.status == Some(status), "{words:?}, expected {status}: {ended:#?}");
        Ok(ended)
    }

    /// Saves a plan in the cluster, and gives its hash.
    ///
    /// # Errors
    /// Something stands in the way of a plan.
    pub fn plan(&self) -> Result<String> {
        let ended = self.run_about("plan", &["--save"])?;
        ensure!(ended.status == Some(0), "plan: {ended:#?}");
        Ok(ended.answer["hash"].as_str().context("a hash")?.to_owned())
    }

    /// Starts a command of which nobody hears.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(&self, words: &[&str]) -> Result<Child> {
        let silent = || Stdio::null();
        Ok(self.command(words)?.stdin(silent()).stdout(silent()).stderr(silent()).spawn()?)
    }
}
