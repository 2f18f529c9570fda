//! `--root`: whatever a tree's links say, nothing outside of it is opened, made, changed or removed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tempfile::TempDir;

use crate::node::{Print, collect, mode};
use crate::tree::Tree;

const UNITS: &str = "usr/lib/systemd/system";
const BAKE: [&str; 8] = ["image", "bake", "--image", "migration", "--old", "calico", "--new", "cilium"];

/// Commands that only look (`explain` plans what `boot` and `render` would do), and then those that write.
const COMMANDS: [&[&str]; 9] = [
    &["image", "explain"],
    &["unit", "render", "--check"],
    &["unit", "gate", "--dry-run"],
    &["image", "seal", "--check"],
    &["unit", "render"],
    &["unit", "render", "--runtime"],
    &["unit", "boot"],
    &BAKE,
    &["image", "seal"],
];

/// Everything that a command may look for, in a node's places.
fn tree() -> Tree {
    let tree = Tree::new();
    fs::remove_file(tree.path("etc/crossfade/policy.json")).expect("policy");
    for (path, text) in [
        (
            "usr/lib/crossfade/policy.json",
            r#"{"version":1,"attach":"new","networks":{
                "old":{"profile":"calico","conf":["/etc/cni/net.d/10-calico.conflist"]},
                "new":{"profile":"cilium","conf":["/etc/cni/net.d/20-static.conflist"]}}}"#,
        ),
        (
            "usr/lib/crossfade/node.json",
            r#"{"version":1,"confDir":"shared","labels":{"a":"b"},"gate":{"trySeconds":1}}"#,
        ),
        ("usr/lib/crossfade/release.json", r#"{"version":1,"release":"0","files":{}}"#),
        ("usr/lib/crossfade/seal.allow", "/etc/ssh/*\n"),
        ("usr/bin/crossfade-bootstrap", "program"),
        (
            "usr/lib/systemd/system/kubelet.service",
            "[Service]\nEnvironmentFile=-/etc/default/kubelet\nExecStart=/usr/bin/kubelet --config=/var/lib/kubelet/config.yaml --config-dir=/etc/kubelet.d $KUBELET_ARGS\n",
        ),
        ("etc/systemd/system/kubelet.service.d/10-args.conf", "[Service]\nEnvironment=KUBELET_ARGS=--v=2\n"),
        ("etc/default/kubelet", "KUBELET_ARGS=--v=3\n"),
        ("etc/kubelet.d/10.conf", "kind: KubeletConfiguration\n"),
        ("var/lib/kubelet/config.yaml", "kind: KubeletConfiguration\n"),
        ("var/lib/kubelet/kubeconfig", "users: []\n"),
        ("etc/containerd/config.toml", "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n"),
        ("etc/containerd/conf.d/10.toml", "version = 2\n"),
        ("etc/fstab", "/dev/x / ext4 defaults 0 1\n"),
        ("etc/default/grub", "GRUB_CMDLINE_LINUX=\"quiet\"\n"),
        ("etc/iptables/rules.v4", "*filter\n"),
        ("etc/ssh/ssh_host_rsa_key", "key"),
        ("proc/cmdline", "quiet\n"),
        ("proc/1/cgroup", "0::/\n"),
        ("var/lib/cni/results/n-c1-eth0", "{}"),
        ("var/lib/cni/networks/n/10.0.0.1", "c1"),
        ("var/lib/crossfade/name", "static\n"),
        ("var/lib/crossfade/ledger.jsonl", "{}\n"),
        ("var/lib/crossfade/boot.json", r#"{"version":1,"machineID":"x","bootID":"zero"}"#),
        ("var/lib/crossfade/inventory.json", r#"{"version":1,"attachments":[]}"#),
        ("var/lib/crossfade/attachments/a/c1@eth0", "torn"),
        ("var/lib/crossfade/damaged/c2@eth0", "torn"),
        ("var/lib/crossfade/set-aside/zero/10-x.conflist", "{}"),
        ("run/crossfade/kubelet.env", "CROSSFADE_KUBELET_ARGS=\n"),
        ("run/crossfade/runtime.env", "CROSSFADE_RUNTIME_ARGS=\n"),
        ("run/crossfade/containerd/config.toml", "version = 2\n"),
        ("run/crossfade/gate.json", "{}"),
        ("run/crossfade/boot.json", r#"{"version":1,"kind":"first","bootID":"one"}"#),
        ("run/crossfade/unfit", "x\n"),
        ("run/crossfade/locks/policy", ""),
        ("run/crossfade/net.d/10-x.conflist", r#"{"name":"x","plugins":[{"type":"bridge"}]}"#),
        ("opt/cni/bin/bridge", "program"),
        ("opt/cni/bin/crossfade", "an old plugin"),
        ("etc/cni/net.d/static/10.conf", r#"{"type":"portmap"}"#),
        ("etc/cni/net.d/calico-kubeconfig", "users: []\n"),
        ("var/lib/calico/nodename", "n"),
        ("var/lib/cloud/data/instance-id", "i"),
        ("var/log/pods/p/0.log", "log"),
        ("root/.docker/config.json", "{}"),
    ] {
        tree.write(path, text);
    }
    tree.conf("10-calico.conflist", "k8s-pod-network", "calico");
    tree.conf("20-static.conflist", "static", "bridge");
    tree.conf("01-crossfade.conflist", "crossfade", "crossfade");
    for unit in ["crossfade-boot.service", "crossfade-watch.service"] {
        tree.write(
            &format!("{UNITS}/{unit}"),
            "[Service]\nExecStart=/usr/bin/crossfade-bootstrap unit boot\n",
        );
    }
    for private in ["var/lib/crossfade", "var/lib/crossfade/attachments", "var/lib/crossfade/attachments/a"] {
        mode(&tree.path(private), 0o700);
    }
    tree
}

/// A place outside of every tree, and what touches it.
struct Outside {
    dir: TempDir,
    watcher: Inotify,
    before: BTreeMap<String, Print>,
}

impl Outside {
    /// Moves `path` of the tree there, and puts a link to it in its place.
    fn takes(tree: &Tree, path: &str, climbing: bool) -> Outside {
        let dir = tempfile::Builder::new().prefix("outside-").tempdir_in("/var/tmp").expect("tempdir");
        mode(dir.path(), 0o755);
        let taken = dir.path().join("taken");
        fs::rename(tree.path(path), &taken).expect("moved");
        let target = if climbing {
            Path::new("../../../../../../../../../../../../../..")
                .join(taken.strip_prefix("/").expect("absolute"))
        } else {
            taken
        };
        symlink(target, tree.path(path)).expect("link");
        let mut before = BTreeMap::new();
        collect(dir.path(), dir.path(), &mut before);
        let watcher = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).expect("inotify");
        let outside = Outside { dir, watcher, before };
        outside.watch(outside.dir.path());
        outside.touched();
        outside
    }

    fn watch(&self, path: &Path) {
        let below: Vec<PathBuf> = match fs::read_dir(path) {
            Ok(entries) => entries.map(|entry| entry.expect("entry").path()).collect(),
            Err(_) => Vec::new(),
        };
        below.iter().for_each(|path| self.watch(path));
        // Not the ends of files that are open: a process that another test begins may hold one of ours for a moment.
        let seen = AddWatchFlags::IN_ALL_EVENTS & !AddWatchFlags::IN_CLOSE;
        self.watcher.add_watch(path, seen).expect("watched");
    }

    /// What was opened, read, made, changed or removed since the last call.
    fn touched(&self) -> Vec<String> {
        let mut all = Vec::new();
        while let Ok(events) = self.watcher.read_events() {
            all.extend(events.iter().map(|event| format!("{:?} {:?}", event.mask, event.name)));
        }
        all
    }

    /// What was done to it since the last call; nothing, where all is well.
    fn harm(&self) -> Option<String> {
        let touched = self.touched();
        let mut after = BTreeMap::new();
        collect(self.dir.path(), self.dir.path(), &mut after);
        self.touched();
        let changed = if after == self.before { "as it was" } else { "changed" };
        (!touched.is_empty() || after != self.before).then(|| format!("{changed}, {touched:?}"))
    }
}

/// Every file and directory of a tree, by its path.
fn paths(dir: &Path, root: &Path, all: &mut Vec<String>) {
    for entry in fs::read_dir(dir).expect("list") {
        let path = entry.expect("entry").path();
        all.push(path.strip_prefix(root).expect("below").to_string_lossy().into_owned());
        if path.is_dir() && !path.is_symlink() {
            paths(&path, root, all);
        }
    }
}

fn every_path() -> Vec<String> {
    let tree = tree();
    let mut all = Vec::new();
    paths(&tree.path(""), &tree.path(""), &mut all);
    all.sort();
    assert!(all.len() > 100, "{} places", all.len());
    all
}

/// What every command does to the outside, on a tree in which `path` is a link to it.
fn harm(path: &str, climbing: bool) -> Vec<String> {
    let tree = tree();
    let outside = Outside::takes(&tree, path, climbing);
    let harm_by = |arguments: &&[&str]| {
        let run = tree.run(arguments);
        outside.harm().map(|harm| format!("{path}: {arguments:?} ({}): {harm}", run.status))
    };
    COMMANDS.iter().filter_map(harm_by).collect()
}

fn none(harm: &[String]) {
    assert!(harm.is_empty(), "{} of\n{}", harm.len(), harm.join("\n"));
}

#[test]
fn no_command_follows_an_absolute_link_out_of_its_tree() {
    none(&every_path().iter().flat_map(|path| harm(path, false)).collect::<Vec<_>>());
}

#[test]
fn no_command_follows_a_link_that_climbs_out_of_its_tree() {
    // The commands use one way for both kinds of links, so every third place has to do.
    none(&every_path().iter().step_by(3).flat_map(|path| harm(path, true)).collect::<Vec<_>>());
}

#[test]
fn selftest_follows_no_link_out_of_its_tree() {
    for path in [
        "usr/bin/crossfade-bootstrap",
        "usr/libexec",
        "usr/lib/crossfade",
        "etc/cni/net.d",
        "opt/cni/bin/bridge",
        "var/lib",
    ] {
        let tree = tree();
        let outside = Outside::takes(&tree, path, false);
        let run = tree.run(&["image", "selftest", "--image"]);
        none(
            &outside
                .harm()
                .map(|harm| format!("{path}: {harm}: {}{}", run.out, run.err))
                .into_iter()
                .collect::<Vec<_>>(),
        );
    }
}

/// The links that a node would follow are followed, and what they lead to is what the node will find there.
#[test]
fn a_link_leads_where_it_leads_on_the_node() {
    let baked = |tree: &Tree| tree.run_expecting(&[&BAKE[..], &["--mode", "shared"]].concat(), 0);
    for target in ["/data/crossfade", "../../data/crossfade", "../../../../../../data/crossfade"] {
        let tree = Tree::new();
        fs::remove_file(tree.path("etc/crossfade/policy.json")).expect("policy");
        tree.write("data/crossfade/note", "");
        fs::create_dir_all(tree.path("usr/lib")).expect("directory");
        symlink(target, tree.path("usr/lib/crossfade")).expect("link");
        baked(&tree);
        assert!(tree.has("data/crossfade/policy.json") && tree.has("data/crossfade/node.json"), "{target}");
        assert!(tree.path("usr/lib/crossfade").is_symlink(), "{target}");
        let explained = tree.run_expecting(&["image", "explain"], 0);
        assert!(explained.contains("phase new"), "{target}: {explained}");
        assert!(baked(&tree).lines().all(|line| !line.starts_with("write")), "{target}: it is there already");
    }
    // A file that is a link is replaced, as a rename does on a node; what it led to stays.
    let tree = Tree::new();
    fs::remove_file(tree.path("etc/crossfade/policy.json")).expect("policy");
    tree.write("data/node.json", "precious");
    tree.write("usr/lib/crossfade/note", "");
    symlink("/data/node.json", tree.path("usr/lib/crossfade/node.json")).expect("link");
    baked(&tree);
    assert_eq!(tree.read("data/node.json"), "precious");
    assert!(!tree.path("usr/lib/crossfade/node.json").is_symlink());
}

#[test]
fn links_that_lead_round_in_a_circle_are_an_error() {
    let tree = Tree::new();
    fs::remove_file(tree.path("etc/crossfade/policy.json")).expect("policy");
    fs::create_dir_all(tree.path("usr/lib")).expect("directory");
    symlink("/usr/lib/other", tree.path("usr/lib/crossfade")).expect("link");
    symlink("/usr/lib/crossfade", tree.path("usr/lib/other")).expect("link");
    let output = tree.run_expecting(&BAKE, 1);
    assert!(output.contains("lead round in a circle"), "{output}");
}
