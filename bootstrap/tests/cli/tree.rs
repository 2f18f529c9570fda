//! A whole node as a tree, which the program is told of with `--root`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use shim::node::layout::Layout;
use tempfile::TempDir;

use crate::node::{Print, Run, collect, mode};

pub(crate) const CONTAINERD: &str = "usr/lib/systemd/system/containerd.service";
pub(crate) const CRIO: &str = "usr/lib/systemd/system/crio.service";
pub(crate) const OURS: &str = "etc/cni/net.d/01-crossfade.conflist";
const BOOT_ID: &str = "proc/sys/kernel/random/boot_id";

/// A node of one network, `10-calico.conflist`, whose agent has not come yet.
pub(crate) struct Tree {
    root: TempDir,
}

impl Tree {
    /// A containerd node: units, package, a policy in /etc.
    pub(crate) fn new() -> Tree {
        let tree = Tree::bare();
        tree.write(CONTAINERD, "[Service]\nExecStart=/usr/bin/containerd\n");
        tree
    }

    /// The same without a runtime.
    pub(crate) fn bare() -> Tree {
        let root = tempfile::Builder::new().prefix("crossfade-").tempdir_in("/var/tmp").expect("tempdir");
        mode(root.path(), 0o755);
        let tree = Tree { root };
        tree.boots("one");
        tree.machine("0123456789abcdef0123456789abcdef");
        tree.write("usr/libexec/crossfade/crossfade", "the plugin");
        tree.policy(r#""new": {"profile": "calico", "conf": ["/etc/cni/net.d/10-calico.conflist"]}"#);
        fs::DirBuilder::new().recursive(true).mode(0o755).create(tree.path("opt/cni/bin")).expect("bin");
        tree
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub(crate) fn layout(&self) -> Layout {
        Layout {
            state_dir: self.path("var/lib/crossfade"),
            run_dir: self.path("run/crossfade"),
            policy: None,
        }
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        let dir = path.parent().expect("below the root");
        fs::DirBuilder::new().recursive(true).mode(0o755).create(dir).expect("directory");
        fs::write(&path, text).expect("write");
        mode(&path, 0o644);
    }

    /// A conf of the usual directory.
    pub(crate) fn conf(&self, file: &str, name: &str, plugin: &str) {
        let conf = serde_json::json!({"cniVersion": "1.0.0", "name": name, "plugins": [{"type": plugin, "capabilities": {"portMappings": true}}]});
        self.write(&format!("etc/cni/net.d/{file}"), &conf.to_string());
    }

    /// A policy with these networks, new pods on the new one.
    pub(crate) fn policy(&self, networks: &str) {
        let text = format!(r#"{{"version": 1, "networks": {{{networks}}}, "attach": "new"}}"#);
        self.write("etc/crossfade/policy.json", &text);
    }

    /// node.json with these keys.
    pub(crate) fn node(&self, keys: &str) {
        self.write("etc/crossfade/node.json", &format!(r#"{{"version": 1, {keys}}}"#));
    }

    /// A reboot: another boot id, and an empty tmpfs.
    pub(crate) fn boots(&self, id: &str) {
        let _ = fs::remove_dir_all(self.path("run"));
        fs::DirBuilder::new().mode(0o755).create(self.path("run")).expect("run");
        self.write(BOOT_ID, &format!("{id}\n"));
    }

    pub(crate) fn machine(&self, id: &str) {
        self.write("etc/machine-id", &format!("{id}\n"));
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.path(path).symlink_metadata().is_ok()
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.read(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crossfade-bootstrap"));
        command.args(arguments).arg("--root").arg(self.root.path());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        let output = self.command(arguments).output().expect("runs");
        let text = |bytes| String::from_utf8(bytes).expect("utf-8");
        let status = output.status.code().expect("no signal");
        Run { status, out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs what must end with `status`.
    pub(crate) fn run_expecting(&self, arguments: &[&str], status: i32) -> String {
        let run = self.run(arguments);
        assert_eq!(run.status, status, "{arguments:?}: {}{}", run.out, run.err);
        run.out + &run.err
    }

    /// Every file below the root.
    pub(crate) fn files(&self) -> BTreeMap<String, Print> {
        let mut files = BTreeMap::new();
        collect(self.root.path(), self.root.path(), &mut files);
        files
    }

    /// The names of what was set aside in a boot.
    pub(crate) fn set_aside(&self, boot: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path("var/lib/crossfade/set-aside").join(boot));
        let mut names: Vec<_> = entries
            .into_iter()
            .flatten()
            .map(|entry| entry.expect("entry").file_name().into_string().expect("name"))
            .collect();
        names.sort();
        names
    }
}
