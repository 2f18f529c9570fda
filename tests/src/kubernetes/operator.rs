//! Somebody who runs `kubectl crossfade` with the rights of `deploy/cluster/rbac-operator.yaml` and no other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{ControlPlane, User};
use crate::dist;
use crate::scratch::Scratch;

/// The user's name in the cluster.
pub const USER: &str = "operator";

/// Somebody at a machine of their own, with the settings of a migration.
#[derive(Debug)]
pub struct Operator {
    kubectl: PathBuf,
    /// The plugin, `kubectl-crossfade`.
    program: PathBuf,
    /// From and to which CNI, and how.
    migration: Vec<String>,
    settings: Value,
    /// The kubeconfig, the settings, and what the program keeps between two calls.
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

impl Operator {
    /// Grants the user [`USER`] an operator's rights, and writes `settings`, an object with sections of `crossfade.yaml`.
    ///
    /// # Errors
    /// A program is not built, or the API server refuses the rights.
    pub fn new(plane: &ControlPlane, strategy: &str, mut settings: Value) -> Result<Self> {
        let home = Scratch::new("operator")?;
        let write = |name: &str, what: &Value| {
            fs::write(home.join(name), what.to_string()).with_context(|| format!("the operator's {name}"))
        };
        write("bindings.json", &bindings())?;
        for file in [dist::workspace().join("deploy/cluster/rbac-operator.yaml"), home.join("bindings.json")]
        {
            crate::node::run(&mut plane.kubectl(&["apply", "-f", file.to_str().context("a path")?])?)?;
        }
        write("kubeconfig", &plane.kubeconfig(User::Component(USER))?)?;
        settings["version"] = json!(1);
        let words = ["--from", "flannel", "--to", "cilium", "--strategy", strategy];
        let operator = Self {
            kubectl: plane.programs().path("kubectl"),
            program: dist::kubectl()?,
            migration: words.map(str::to_owned).to_vec(),
            settings,
            home,
        };
        operator.write_settings()?;
        Ok(operator)
    }

    /// Waives everything that `check` finds to block: the lab's networks are neither of the CNIs that the migration names.
    ///
    /// # Errors
    /// `check` does not answer.
    pub fn waiving_what_blocks(mut self) -> Result<Self> {
        let found = self.check()?;
        let findings = found.answer["findings"].as_array().with_context(|| format!("{found:#?}"))?;
        let blocking = findings.iter().filter(|finding| finding["severity"] == "blocks");
        let waivers: Vec<Value> = blocking
            .map(|finding| json!({ "finding": finding["code"], "reason": "the lab has neither CNI" }))
            .collect();
        self.settings["waivers"] = waivers.into();
        self.write_settings()?;
        Ok(self)
    }

    /// JSON is YAML.
    fn write_settings(&self) -> Result<()> {
        fs::write(self.home.join("crossfade.yaml"), self.settings.to_string()).context("the settings")
    }

    /// `kubectl crossfade` with these words, these settings and JSON answers; it inherits stderr.
    pub fn command(&self, words: &[&str]) -> Command {
        let plugins = self.program.parent().unwrap_or(Path::new("/"));
        let mut command = self.at_home(&self.kubectl, &[&["crossfade"], words].concat());
        command.env("PATH", format!("{}:{}", plugins.display(), crate::node::PATH));
        command
    }

    /// The same without kubectl, for what is measured of the program alone.
    pub fn program(&self, words: &[&str]) -> Command {
        self.at_home(&self.program, words)
    }

    fn at_home(&self, program: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", crate::node::PATH).env("HOME", self.home.path());
        command.env("KUBECONFIG", self.home.join("kubeconfig")).env("XDG_STATE_HOME", self.home.path());
        command.env("USER", "alice").env("HOSTNAME", "laptop");
        command.args(words).arg("--config").arg(self.home.join("crossfade.yaml")).args(["-o", "json"]);
        command.stdin(Stdio::null());
        command
    }

    /// The words of a command about the migration: `command`, both CNIs and the strategy.
    pub fn about<'a>(&'a self, command: &[&'a str]) -> Vec<&'a str> {
        command.iter().copied().chain(self.migration.iter().map(String::as_str)).collect()
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// It does not answer with JSON.
    pub fn run(&self, words: &[&str]) -> Result<Ended> {
        let output = self.command(words).output().context("kubectl")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let answer = serde_json::from_slice(&output.stdout).with_context(|| format!("{words:?}: {said}"))?;
        Ok(Ended { status: output.status.code(), answer, said })
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

    /// What stands in the migration's way.
    ///
    /// # Errors
    /// `check` does not answer.
    pub fn check(&self) -> Result<Ended> {
        self.run(&self.about(&["check"]))
    }

    /// Saves a plan in the cluster, and gives its hash.
    ///
    /// # Errors
    /// Something stands in the way of a plan.
    pub fn plan(&self) -> Result<String> {
        let ended = self.ends(&self.about(&["plan", "--save"]), 0)?;
        ended.answer["hash"].as_str().map(str::to_owned).context("a hash")
    }

    /// Starts a command of which nobody hears.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(&self, words: &[&str]) -> Result<Child> {
        self.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("kubectl")
    }

    /// The directory in which the program keeps its journals.
    pub fn journals(&self) -> PathBuf {
        self.home.join("crossfade")
    }

    /// A file of the operator's own.
    pub fn file(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }
}

/// The bindings that the head of `rbac-operator.yaml` asks an administrator to make.
fn bindings() -> Value {
    let api = "rbac.authorization.k8s.io";
    let binding = |kind: &str, role: &str, metadata: Value| {
        json!({
            "apiVersion": format!("{api}/v1"), "kind": kind, "metadata": metadata,
            "roleRef": { "apiGroup": api, "kind": role, "name": "crossfade-operator" },
            "subjects": [{ "apiGroup": api, "kind": "User", "name": USER }],
        })
    };
    let name = "crossfade-operator";
    json!({
        "apiVersion": "v1", "kind": "List", "items": [
            binding("ClusterRoleBinding", "ClusterRole", json!({ "name": name })),
            binding("RoleBinding", "Role", json!({ "name": name, "namespace": "crossfade" })),
        ],
    })
}
