//! A node's files below a directory: kubelet's unit, node.json, a policy with two networks, as `--root` takes them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use lab::host::command::run;
use lab::host::scratch::install;
use lab::install::crossfade::{BIN_DIR, CONF_DIR};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Where a node's policy is.
pub(crate) const POLICY: &str = "etc/crossfade/policy.json";
const KUBELET_CONFIG: &str = "var/lib/kubelet/config.yaml";

/// What is here outlives a reboot, which the lab's other places do not: a flip is refused there. It is swept by the machine
/// should this program not come to it.
const ON_DISK: &str = "/var/tmp";

/// The tree.
pub(crate) struct Tree {
    root: TempDir,
}

impl Tree {
    /// A node whose kubelet is told labels and taints in all of its places.
    pub(crate) fn new(node: &str, settings: &Value) -> Result<Self> {
        let open = Permissions::from_mode(0o755);
        let root = tempfile::Builder::new().prefix("node-").permissions(open).tempdir_in(ON_DISK)?;
        let tree = Self { root };
        tree.write(
            "usr/lib/systemd/system/kubelet.service",
            &format!(
                "[Service]\nEnvironmentFile=-/etc/default/kubelet\nExecStart=/usr/bin/kubelet --hostname-override={node} \
                 --config=/{KUBELET_CONFIG} --node-labels=site=lab $KUBELET_EXTRA_ARGS\n"
            ),
        )?;
        tree.write(
            "etc/default/kubelet",
            "KUBELET_EXTRA_ARGS=--register-with-taints=karpenter.sh/unregistered:NoExecute\n",
        )?;
        let config = json!({ "kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "registerWithTaints": [{ "key": "example.com/from-config", "value": "x", "effect": "NoSchedule" }] });
        tree.write(KUBELET_CONFIG, &config.to_string())?;
        tree.settings(settings)?;
        Ok(tree)
    }

    /// The command line of its kubelet, with what systemd adds to it of ours.
    pub(crate) fn kubelet(&self, node: &str, ours: &[String]) -> Vec<String> {
        let config = format!("--config={}", self.path(KUBELET_CONFIG).display());
        let own = [
            format!("--hostname-override={node}"),
            config,
            "--node-labels=site=lab".to_owned(),
            "--register-with-taints=karpenter.sh/unregistered:NoExecute".to_owned(),
        ];
        own.into_iter().chain(ours.iter().cloned()).collect()
    }

    /// Two networks, each ready when its file is there, and a `boot` that has succeeded.
    pub(crate) fn networks(&self, old: &str, new: &str, attach: &str) -> Result<()> {
        let network = |name: &str, profile: &str| -> Result<Value> {
            let conf = format!("{CONF_DIR}/10-{name}.conflist");
            let text = json!({ "cniVersion": "1.0.0", "name": name, "plugins": [{ "type": "stand-in" }] });
            self.write(&conf[1..], &text.to_string())?;
            Ok(
                json!({ "profile": profile, "conf": [self.path(&conf[1..])], "ready": [{ "file": self.ready(name) }],
                        "secondary": "works" }),
            )
        };
        let policy = json!({ "version": 1, "attach": attach,
            "networks": { "old": network("old", old)?, "new": network("new", new)? } });
        self.write(POLICY, &policy.to_string())?;
        for program in ["stand-in", "crossfade"] {
            install("/bin/true".as_ref(), &self.path(&BIN_DIR[1..]).join(program))?;
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let booted = json!({ "version": 1, "kind": "first", "bootID": boot.trim() });
        self.write("run/crossfade/boot.json", &booted.to_string())
    }

    /// The file that says that a network is ready.
    pub(crate) fn ready(&self, network: &str) -> PathBuf {
        self.path(&format!("run/{network}-is-ready"))
    }

    /// Writes node.json; plugins are where [`Tree::networks`] puts them.
    pub(crate) fn settings(&self, settings: &Value) -> Result<()> {
        let mut settings = settings.clone();
        settings["version"] = json!(1);
        settings["runtime"] = json!({ "binDirs": [self.path(&BIN_DIR[1..])] });
        self.write("etc/crossfade/node.json", &settings.to_string())
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.path(path);
        let above = path.parent().context("a file below the tree")?;
        fs::create_dir_all(above)?;
        for made in above.ancestors().take_while(|made| *made != self.root.path()) {
            // Whatever the umask: nothing below what others may write to is trusted.
            fs::set_permissions(made, Permissions::from_mode(0o755))?;
        }
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }

    pub(crate) fn read(&self, path: &str) -> Result<String> {
        fs::read_to_string(self.path(path)).with_context(|| format!("read {path}"))
    }

    /// `crossfade-bootstrap` on this tree.
    pub(crate) fn bootstrap(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(lab::build::dist::bootstrap()?);
        command.args(arguments).arg("--root").arg(self.root.path());
        Ok(command)
    }

    /// What `render` tells kubelet.
    pub(crate) fn render(&self) -> Result<String> {
        run(&mut self.bootstrap(&["unit", "render"])?)?;
        self.read("run/crossfade/kubelet.env")
    }

    /// What `render --check` has against it.
    pub(crate) fn check(&self) -> Result<Vec<String>> {
        let output = self.bootstrap(&["unit", "render", "--check", "--output", "json"])?.output()?;
        let answer: Value = serde_json::from_slice(&output.stdout).context("render --check")?;
        let findings = answer["problems"].as_array().context("problems")?;
        Ok(findings.iter().filter_map(|finding| finding["what"].as_str().map(str::to_owned)).collect())
    }
}
