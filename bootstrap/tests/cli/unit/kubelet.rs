//! Nodes as they start kubelet: fixture trees with our package on them, and what comes out of each.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::node::{Print, Run, collect, mode};

/// What stands for the tree's place in expected output.
const ROOT: &str = "@ROOT@";

/// The kinds of nodes, in the words of their directories.
pub(crate) const FAMILIES: [&str; 8] = [
    "plain-variable",
    "plain-braced",
    "plain-bare",
    "plain-script",
    "kubeadm-deb",
    "kubeadm-rpm",
    "eks-al2023",
    "eks-al2023-karpenter",
];

/// A copy of a family's tree, with what the package brings.
pub(crate) struct Tree {
    root: TempDir,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kubelet")
}

impl Tree {
    pub(crate) fn new(family: &str) -> Tree {
        let root = tempfile::Builder::new().prefix("crossfade-").tempdir_in("/var/tmp").expect("tempdir");
        mode(root.path(), 0o755);
        copy(&fixtures().join(family).join("tree"), root.path());
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd"), root.path());
        let tree = Tree { root };
        tree.write("usr/bin/crossfade-bootstrap", "");
        mode(&tree.path("usr/bin/crossfade-bootstrap"), 0o755);
        tree
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("below the root")).expect("directory");
        fs::write(&path, text).expect("write");
        mode(&path, 0o644);
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    }

    pub(crate) fn replace(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(path)).expect(path);
        assert!(text.contains(from), "{path} has no {from}");
        self.write(path, &text.replace(from, to));
    }

    /// Every file below the root.
    pub(crate) fn files(&self) -> BTreeMap<String, Print> {
        let mut files = BTreeMap::new();
        collect(self.root.path(), self.root.path(), &mut files);
        files
    }

    pub(crate) fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok()
    }

    /// Runs the program on this tree; its place is taken out of what it says.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crossfade-bootstrap"));
        command.args(arguments).arg("--root").arg(self.root.path());
        self.finish(&mut command)
    }

    /// Runs what must end with `status`.
    pub(crate) fn run_expecting(&self, arguments: &[&str], status: i32) -> String {
        let run = self.run(arguments);
        assert_eq!(run.status, status, "{arguments:?}: {}{}", run.out, run.err);
        run.out + &run.err
    }

    /// Runs the generator as systemd does, and hands back what it says.
    pub(crate) fn generate(&self) -> String {
        let link = self.path("crossfade-generator");
        if !link.exists() {
            symlink(env!("CARGO_BIN_EXE_crossfade-bootstrap"), &link).expect("link");
        }
        let dirs =
            ["generator", "generator.early", "generator.late"].map(|dir| self.path("run/systemd").join(dir));
        for dir in &dirs {
            // As systemd does before it runs any of them.
            let _ = fs::remove_dir_all(dir);
            fs::create_dir_all(dir).expect("directory");
        }
        let mut command = Command::new(&link);
        command.arg("--root").arg(self.root.path()).args(&dirs);
        let run = self.finish(&mut command);
        assert_eq!((run.status, run.out.as_str()), (0, ""), "{}", run.err);
        run.err
    }

    fn finish(&self, command: &mut Command) -> Run {
        let output = command.output().expect("runs");
        let place = self.root.path().to_string_lossy().into_owned();
        let text = |bytes| String::from_utf8(bytes).expect("utf-8").replace(&place, ROOT);
        let status = output.status.code().expect("no signal");
        Run { status, out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Copies a tree with its links, so that others than we cannot write it whatever the umask.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display())) {
        let entry = entry.expect("entry");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().expect("kind");
        if kind.is_symlink() {
            symlink(fs::read_link(&from).expect("link"), &to).expect("link");
        } else if kind.is_dir() {
            fs::create_dir_all(&to).expect("directory");
            mode(&to, 0o755);
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).expect("copy");
            mode(&to, 0o644);
        }
    }
}

/// Compares with the file that was reviewed; `UPDATE_GOLDEN=1` writes it anew.
pub(crate) fn golden(family: &str, file: &str, answer: Option<&str>) -> Option<String> {
    let path = fixtures().join(family).join("expected").join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().expect("expected")).expect("directory");
        match answer {
            Some(text) => fs::write(&path, text).expect("golden"),
            None => drop(fs::remove_file(&path)),
        }
    }
    let expected = fs::read_to_string(&path).ok();
    (expected.as_deref() != answer).then(|| format!("{}:\n{}", path.display(), answer.unwrap_or("(nothing)")))
}

#[test]
fn every_family_is_told_what_was_reviewed() {
    let mut wrong = Vec::new();
    for family in FAMILIES {
        let tree = Tree::new(family);
        let message = tree.generate();
        let drop_in = |unit: &str| tree.read(&format!("run/systemd/generator/{unit}.d/zz-crossfade.conf"));
        let kubelet = drop_in("kubelet.service").or((!message.is_empty()).then_some(message));
        wrong.extend(golden(family, "generated-kubelet.conf", kubelet.as_deref()));
        let runtime = drop_in("containerd.service").or_else(|| drop_in("crio.service"));
        wrong.extend(golden(family, "generated-runtime.conf", runtime.as_deref()));
        tree.run_expecting(&["unit", "render"], 0);
        wrong.extend(golden(family, "kubelet.env", tree.read("run/crossfade/kubelet.env").as_deref()));
        let check = tree.run(&["unit", "render", "--check"]);
        wrong.extend(golden(
            family,
            "check.txt",
            Some(&format!("exit {}\n{}{}", check.status, check.out, check.err)),
        ));
        let explained = tree.run(&["image", "explain"]).out;
        // What boot would do has tests of its own.
        let (ours, _) = explained.split_once("\nboot\n").expect("boot's part comes after ours");
        wrong.extend(golden(family, "explain.txt", Some(&format!("{ours}\n"))));
    }
    assert!(wrong.is_empty(), "look at them, then UPDATE_GOLDEN=1:\n{}", wrong.join("\n"));
    let kinds = fs::read_dir(fixtures()).expect("fixtures").count();
    assert_eq!(kinds, FAMILIES.len(), "every family is run");
}

/// What was written is no source: however often kubelet starts, and whatever systemd has read since, it is told the same.
#[test]
fn a_second_start_changes_nothing() {
    for family in FAMILIES {
        let tree = Tree::new(family);
        tree.generate();
        tree.run_expecting(&["unit", "render"], 0);
        let file = tree.path("run/crossfade/kubelet.env");
        let print = || {
            let meta = std::os::unix::fs::MetadataExt::ino(&file.metadata().expect("there"));
            (meta, fs::read(&file).expect("there"))
        };
        let first = print();
        tree.generate();
        assert!(tree.run_expecting(&["unit", "render"], 0).starts_with("keep "), "{family}");
        assert_eq!(print(), first, "{family}");
    }
}

/// Taints that one source would wipe are all there, once.
#[test]
fn karpenter_s_taint_is_never_lost() {
    let tree = Tree::new("eks-al2023-karpenter");
    tree.run_expecting(&["unit", "render"], 0);
    let file = tree.read("run/crossfade/kubelet.env").expect("written");
    for taint in [
        "karpenter.sh/unregistered:NoExecute",
        "example.com/startup:NoSchedule",
        "node.cilium.io/agent-not-ready:NoExecute",
    ] {
        assert_eq!(file.matches(taint).count(), 1, "{taint} in {file}");
    }
    assert_eq!(file.matches("--register-with-taints").count(), 1, "{file}");
}
