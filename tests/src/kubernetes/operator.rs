//! An operator who runs `kubectl crossfade` with the rights of `deploy/cluster/rbac-operator.yaml` and no other.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::{ControlPlane, User};
use crate::build::dist;
use crate::host::deadline::until;
use crate::host::scratch::Scratch;

/// The user's name in the cluster.
pub const USER: &str = "operator";
/// The name of a colleague, who has the same rights.
const COLLEAGUE: &str = "colleague";
/// The name of a pipeline that replaces nodes.
const PIPELINE: &str = "pipeline";

/// An operator at a machine of their own, with the settings of a migration.
#[derive(Debug)]
pub struct Operator {
    kubectl: PathBuf,
    /// The plugin, `kubectl-crossfade`.
    program: PathBuf,
    /// From and to which CNI, and how.
    migration: Vec<String>,
    settings: Value,
    /// User and host, as a Lease names them.
    person: (String, String),
    /// The kubeconfig, the settings, and what the program keeps between two calls.
    home: Scratch,
}

/// How a command ended.
#[derive(Debug)]
pub struct CommandOutcome {
    /// The exit status; none if a signal ended it.
    pub status: Option<i32>,
    /// The document on stdout.
    pub answer: Value,
    /// The lines on stderr.
    pub stderr: String,
}

/// A command that goes on; killed on drop.
#[derive(Debug)]
pub struct Running {
    child: Child,
    answer: PathBuf,
    stderr_path: PathBuf,
}

impl Operator {
    /// Grants the user [`USER`] and a colleague an operator's rights, and writes `settings`, an object with sections of `crossfade.yaml`.
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
            crate::host::command::run(&mut plane.kubectl(&[
                "apply",
                "-f",
                file.to_str().context("a path")?,
            ])?)?;
        }
        write("kubeconfig", &plane.kubeconfig(User::Component(USER))?)?;
        settings["version"] = json!(1);
        let words = ["--from", "flannel", "--to", "cilium", "--strategy", strategy];
        let operator = Self {
            kubectl: plane.programs().path("kubectl"),
            program: dist::kubectl()?,
            migration: words.map(str::to_owned).to_vec(),
            settings,
            person: ("alice".into(), "laptop".into()),
            home,
        };
        operator.write_settings()?;
        Ok(operator)
    }

    /// The operator of a migration to another CNI.
    pub fn towards(mut self, cni: &str) -> Self {
        let names = self.migration.iter_mut();
        names.skip_while(|word| *word != "--to").skip(1).take(1).for_each(|name| *name = cni.to_owned());
        self
    }

    /// Another operator with the same settings and rights, at another machine, who is another user in the cluster.
    ///
    /// # Errors
    /// What the file system says.
    pub fn colleague(&self, plane: &ControlPlane, user: &str, host: &str) -> Result<Self> {
        let home = Scratch::new("operator")?;
        let kubeconfig = plane.kubeconfig(User::Component(COLLEAGUE))?;
        fs::write(home.join("kubeconfig"), kubeconfig.to_string()).context("the kubeconfig")?;
        let colleague = Self {
            kubectl: self.kubectl.clone(),
            program: self.program.clone(),
            migration: self.migration.clone(),
            settings: self.settings.clone(),
            person: (user.into(), host.into()),
            home,
        };
        colleague.write_settings()?;
        Ok(colleague)
    }

    /// A pipeline that asks before it takes a node away, with the rights of `deploy/cluster/rbac-permit.yaml` and no other.
    ///
    /// # Errors
    /// The API server refuses the rights.
    pub fn pipeline(&self, plane: &ControlPlane) -> Result<Self> {
        let user = format!("--user={PIPELINE}");
        let file = dist::workspace().join("deploy/cluster/rbac-permit.yaml");
        for words in [
            vec!["apply", "-f", file.to_str().context("a path")?],
            vec!["create", "clusterrolebinding", "crossfade-permit", "--clusterrole=crossfade-permit", &user],
            vec![
                "-n",
                "crossfade",
                "create",
                "rolebinding",
                "crossfade-permit",
                "--role=crossfade-permit",
                &user,
            ],
        ] {
            crate::host::command::run(&mut plane.kubectl(&words)?)?;
        }
        let pipeline = self.colleague(plane, PIPELINE, "runner")?;
        let kubeconfig = plane.kubeconfig(User::Component(PIPELINE))?;
        fs::write(pipeline.home.join("kubeconfig"), kubeconfig.to_string()).context("the kubeconfig")?;
        Ok(pipeline)
    }

    /// Brings agents that probe to the cluster, with the rights of `deploy/cluster/rbac-probe.yaml`. They stay. What they saw until now is no matter: a run goes
    /// by what they see while it goes on.
    ///
    /// # Errors
    /// The API server refuses the rights, or agents do not report; the message has everything that it said.
    pub fn bring_agents(&self, plane: &ControlPlane) -> Result<Value> {
        self.grant_probes(plane)?;
        let ended = self.run(&self.about(&["probe", "--keep", "--baseline", "10", "--for", "10"]))?;
        ensure!(matches!(ended.status, Some(0 | 3)), "{ended:#?}");
        Ok(ended.answer)
    }

    /// Grants the rights of `deploy/cluster/rbac-probe.yaml`.
    ///
    /// # Errors
    /// The API server refuses them.
    pub fn grant_probes(&self, plane: &ControlPlane) -> Result<()> {
        let file = dist::workspace().join("deploy/cluster/rbac-probe.yaml");
        let (name, user) = ("crossfade-probe", format!("--user={USER}"));
        let role = format!("--role={name}");
        for words in [
            &["apply", "-f", file.to_str().context("a path")?][..],
            &["-n", name, "delete", "rolebinding", name, "--ignore-not-found"],
            &["-n", name, "create", "rolebinding", name, &role, &user],
        ] {
            crate::host::command::run(&mut plane.kubectl(words)?)?;
        }
        Ok(())
    }

    /// Waives everything that `check` finds to block: the lab's networks are neither of the CNIs that the migration names.
    ///
    /// # Errors
    /// `check` does not answer.
    pub fn waiving_what_blocks(mut self) -> Result<Self> {
        let waive = |code: &String| json!({ "finding": code, "reason": "the lab has neither CNI" });
        self.settings["waivers"] = self.blocking()?.iter().map(waive).collect();
        self.write_settings()?;
        Ok(self)
    }

    /// Changes the settings.
    ///
    /// # Errors
    /// What the file system says.
    pub fn change_settings(&mut self, change: impl FnOnce(&mut Value)) -> Result<()> {
        change(&mut self.settings);
        self.write_settings()
    }

    /// JSON is YAML.
    fn write_settings(&self) -> Result<()> {
        fs::write(self.home.join("crossfade.yaml"), self.settings.to_string()).context("the settings")
    }

    /// `kubectl crossfade` with these words, these settings and JSON answers; it inherits stderr.
    pub fn command(&self, words: &[&str]) -> Command {
        let plugins = self.program.parent().unwrap_or(Path::new("/"));
        let mut command = self.at_home(&self.kubectl, &[&["crossfade"], words].concat());
        command.env("PATH", format!("{}:{}", plugins.display(), crate::host::node::PATH));
        command
    }

    /// The same without kubectl, for what is measured of the program alone.
    pub fn program(&self, words: &[&str]) -> Command {
        self.at_home(&self.program, words)
    }

    fn at_home(&self, program: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", crate::host::node::PATH).env("HOME", self.home.path());
        command.env("KUBECONFIG", self.home.join("kubeconfig")).env("XDG_STATE_HOME", self.home.path());
        command.env("USER", &self.person.0).env("HOSTNAME", &self.person.1);
        // What stands behind -- is another program's.
        let end = words.iter().position(|word| *word == "--").unwrap_or(words.len());
        let (own, others) = words.split_at(end);
        command
            .args(own)
            .arg("--config")
            .arg(self.home.join("crossfade.yaml"))
            .args(["-o", "json"])
            .args(others);
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
    pub fn run(&self, words: &[&str]) -> Result<CommandOutcome> {
        let output = self.command(words).output().context("kubectl")?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let answer =
            serde_json::from_slice(&output.stdout).with_context(|| format!("{words:?}: {stderr}"))?;
        Ok(CommandOutcome { status: output.status.code(), answer, stderr })
    }

    /// Runs a command that must end with this exit status.
    ///
    /// # Errors
    /// It ends with another one; the message has everything that it said.
    pub fn ends(&self, words: &[&str], status: i32) -> Result<CommandOutcome> {
        let ended = self.run(words)?;
        ensure!(ended.status == Some(status), "{words:?}, expected {status}: {ended:#?}");
        Ok(ended)
    }

    /// What stands in the migration's way.
    ///
    /// # Errors
    /// `check` does not answer.
    pub fn check(&self) -> Result<CommandOutcome> {
        self.run(&self.about(&["check"]))
    }

    /// The codes of what `check` finds to block and no waiver covers.
    ///
    /// # Errors
    /// `check` does not answer.
    pub fn blocking(&self) -> Result<Vec<String>> {
        let check = self.check()?;
        let findings = check.answer["findings"].as_array().with_context(|| format!("{check:#?}"))?;
        let blocking =
            findings.iter().filter(|finding| finding["severity"] == "blocks" && finding["waived"].is_null());
        Ok(blocking.filter_map(|finding| finding["code"].as_str().map(str::to_owned)).collect())
    }

    /// Saves a plan in the cluster, and gives its hash.
    ///
    /// # Errors
    /// Something stands in the way of a plan.
    pub fn plan(&self) -> Result<String> {
        let ended = self.run(&self.about(&["plan", "--save"]))?;
        ensure!(ended.status == Some(0), "plan --save: {} {}", ended.stderr, ended.answer["problems"]);
        ended.answer["hash"].as_str().map(str::to_owned).context("a hash")
    }

    /// Writes the report of the run to `target/reports/NAME`, as a page, as Markdown and as JSON, and gives the JSON. `probes` are those that were
    /// sent between pods during the run, and those that were lost.
    ///
    /// # Errors
    /// `report` cannot write it.
    pub fn report(&self, name: &str, probes: Option<[u64; 2]>) -> Result<Value> {
        let directory = dist::workspace().join("target/reports");
        fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
        let mut words = vec!["report".to_owned()];
        for ending in ["html", "md", "json"] {
            let file = directory.join(format!("{name}.{ending}"));
            words.extend(["--out".to_owned(), file.display().to_string()]);
        }
        if let Some([sent, lost]) = probes {
            let classes = json!([{ "from": "pod", "to": "pod", "sent": sent, "lost": lost }]);
            let file = self.home.join("measured.json");
            fs::write(&file, json!({ "version": 1, "classes": classes }).to_string()).context("probes")?;
            words.extend(["--measured".to_owned(), file.display().to_string()]);
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Ok(self.ends(&words, 0)?.answer)
    }

    /// Starts a command without output.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(&self, words: &[&str]) -> Result<Child> {
        self.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("kubectl")
    }

    /// Starts a command whose words are kept.
    ///
    /// # Errors
    /// It does not start.
    pub fn begin(&self, words: &[&str]) -> Result<Running> {
        let [answer, stderr_path] = ["answer", "said"].map(|name| self.home.join(name));
        let file = |path: &Path| File::create(path).with_context(|| path.display().to_string());
        let mut command = self.command(words);
        command.stdout(file(&answer)?).stderr(file(&stderr_path)?);
        // kubectl becomes its plugin, so the child is the plugin.
        Ok(Running { child: command.spawn().context("kubectl")?, answer, stderr_path })
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

impl Running {
    /// Sends the plugin a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).with_context(|| signal.to_string())
    }

    /// The lines on stderr until now.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn stderr_text(&self) -> Result<String> {
        fs::read_to_string(&self.stderr_path).with_context(|| self.stderr_path.display().to_string())
    }

    /// Fails if the command has ended.
    ///
    /// # Errors
    /// It has; the message has everything that it said.
    pub fn goes_on(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("it ended with {status}: {}", self.stderr_text()?),
        }
    }

    /// Whether the command has ended, and well.
    ///
    /// # Errors
    /// It has failed; the message has its stderr.
    pub fn has_ended(&mut self) -> Result<bool> {
        match self.child.try_wait()? {
            None => Ok(false),
            Some(status) if status.success() => Ok(true),
            Some(status) => bail!("it ended with {status}: {}", self.stderr_text()?),
        }
    }

    /// Waits until the command has ended.
    ///
    /// # Errors
    /// It does not end, or does not answer with JSON; the message has everything that it said.
    pub fn ends(mut self, within: Duration) -> Result<CommandOutcome> {
        let ended = until("the end of the command", within, || Ok(self.child.try_wait()?));
        let stderr = self.stderr_text()?;
        let status = ended.with_context(|| stderr.clone())?.code();
        let answer = fs::read_to_string(&self.answer).with_context(|| self.answer.display().to_string())?;
        let answer = serde_json::from_str(&answer).with_context(|| stderr.clone())?;
        Ok(CommandOutcome { status, answer, stderr })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The bindings that the head of `rbac-operator.yaml` asks an administrator to make.
fn bindings() -> Value {
    let api = "rbac.authorization.k8s.io";
    let subjects = [USER, COLLEAGUE].map(|name| json!({ "apiGroup": api, "kind": "User", "name": name }));
    let binding = |kind: &str, role: &str, metadata: Value| {
        json!({
            "apiVersion": format!("{api}/v1"), "kind": kind, "metadata": metadata,
            "roleRef": { "apiGroup": api, "kind": role, "name": "crossfade-operator" },
            "subjects": subjects,
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
