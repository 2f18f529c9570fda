//! One run of Packer against a machine of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{base, parts};
use crate::boot::Machine;
use crate::host::scratch::Scratch;
use crate::{build::dist, host::command};

/// The template, with the bundle's variables beside it.
const TEMPLATE: &str = "tests/packer";
/// Where Packer puts what it fetches and what its post-processors write, below the build's directory.
const ARTIFACTS: &str = "artifacts";

/// A machine that waits to be provisioned: booted, with sshd up and a key of its own for root.
#[derive(Debug)]
pub struct Build {
    machine: Machine,
    scratch: Scratch,
    variables: Value,
}

#[derive(Debug)]
pub struct BuildResult {
    machine: Machine,
    scratch: Scratch,
    /// Packer's exit status.
    pub status: i32,
    /// All that Packer said.
    pub output: String,
}

impl Build {
    /// Boots a machine of the base; `variables` are the template's.
    ///
    /// # Errors
    /// Something is not built or not fetched, or the machine does not come up.
    pub fn new(variables: Value) -> Result<Self> {
        let scratch = Scratch::new("build")?;
        scratch.dir(ARTIFACTS)?;
        let mut machine = Machine::of_image(base::directory()?)?;
        let key = scratch.join("key");
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "packer", "-f"]).arg(&key);
        command::run(&mut keygen)?;
        let authorized = Path::new("/root/.ssh/authorized_keys");
        machine.write(authorized, fs::read(key.with_extension("pub")).context("the public key")?)?;
        // As sshd insists.
        let directory = machine.disk("/root/.ssh");
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).context("mode of /root/.ssh")?;
        machine.boot()?;
        machine.until("sshd", |machine| Ok(machine.show("ssh.service", "ActiveState") == "active"))?;
        Ok(Self { machine, scratch, variables })
    }

    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Runs Packer to its end and switches the machine off.
    ///
    /// # Errors
    /// Packer cannot be started, or the machine does not go down. That Packer fails is no error: [`Built::status`].
    pub fn run(mut self) -> Result<BuildResult> {
        let file = self.scratch.join("build.pkrvars.json");
        fs::write(&file, self.all_variables()?.to_string()).context("the variables")?;
        let mut packer = self.machine.in_its_network("packer")?;
        packer.args(["build", "-color=false", "-var-file"]).arg(&file);
        packer.arg(dist::workspace().join(TEMPLATE)).current_dir(dist::workspace());
        // Nothing of it goes to a home directory, nothing of it asks the world.
        let own = self.scratch.dir("packer")?;
        for variable in ["HOME", "TMPDIR", "PACKER_CONFIG_DIR", "PACKER_CACHE_DIR"] {
            packer.env(variable, &own);
        }
        packer.env("CHECKPOINT_DISABLE", "1");
        let output = packer.output().context("starting packer")?;
        let output_text = [output.stdout, output.stderr].concat();
        let output_text = String::from_utf8_lossy(&output_text).into_owned();
        self.machine.halt().with_context(|| output_text.clone())?;
        let status = output.status.code().unwrap_or(-1);
        Ok(BuildResult { machine: self.machine, scratch: self.scratch, status, output: output_text })
    }

    fn all_variables(&self) -> Result<Value> {
        let mut all = json!({
            "lab_key": self.scratch.join("key"),
            "lab_parts": parts()?,
            "crossfade_artifacts": self.scratch.join(ARTIFACTS),
            "crossfade_bundle": dist::workspace().join("packer/bundle"),
            "crossfade_packages": dist::packages()?,
        });
        if let (Some(all), Value::Object(own)) = (all.as_object_mut(), &self.variables) {
            all.extend(own.clone());
        }
        Ok(all)
    }
}

impl BuildResult {
    /// The image's root directory.
    pub fn root(&self) -> PathBuf {
        self.machine.disk("/")
    }

    /// A machine of the image.
    ///
    /// # Errors
    /// Packer failed, or what the file system says.
    pub fn machine(&self) -> Result<Machine> {
        ensure!(self.status == 0, "packer: exit status {}\n{}", self.status, self.output);
        Machine::of_image(&self.root())
    }

    /// A file that Packer fetched or wrote.
    ///
    /// # Errors
    /// There is none; the message has what Packer said.
    pub fn artifact(&self, name: &str) -> Result<String> {
        let path = self.scratch.join(ARTIFACTS).join(name);
        fs::read_to_string(&path).with_context(|| format!("reading {}\n{}", path.display(), self.output))
    }

    pub fn artifacts(&self) -> PathBuf {
        self.scratch.join(ARTIFACTS)
    }
}

/// Puts the parts of a template beside Crossfade into a machine that is off: kubelet, the agents' program, the runtime's settings, the plugins.
///
/// # Errors
/// A part is missing, or cannot be copied.
pub fn furnish(machine: &Machine) -> Result<()> {
    let root = parts()?.join("root/.");
    command::run(Command::new("cp").arg("-a").arg(root).arg(machine.disk("/")))?;
    command::run(&mut machine.chrooted(&[
        "chown",
        "-R",
        "root:root",
        "/usr/bin/kubelet",
        "/etc/containerd",
    ]))?;
    command::run(&mut machine.chrooted(&["systemctl", "enable", "kubelet"])).map(drop)
}

/// The parts of this process.
fn parts() -> Result<&'static Path> {
    static PARTS: OnceLock<Result<Scratch, String>> = OnceLock::new();
    let made = PARTS.get_or_init(|| {
        let made = Scratch::new("parts").and_then(|parts| parts::lay_out(&parts).map(|()| parts));
        made.map_err(|error| format!("{error:#}"))
    });
    made.as_ref().map(Scratch::path).map_err(|error| anyhow::anyhow!("{error}"))
}
