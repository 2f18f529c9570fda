//! The bootstrap container of Bottlerocket (`packer/examples/bottlerocket`): its script has the program prepare a node. A link stands for a bind mount.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::node::mode;
use crate::tree::{OURS, Tree};

/// The root of the node in the container.
const HOST: &str = ".bottlerocket/rootfs";

/// As Bottlerocket renders it, as far as CNI goes.
const CONTAINERD: &str = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".cni]\nbin_dir = \"/opt/cni/bin\"\nconf_dir = \"/etc/cni/net.d\"\n";

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packer/examples/bottlerocket").join(name)
}

/// A container with its image's files, on a node that has just been started.
fn container() -> Tree {
    let tree = Tree::bare();
    fs::rename(tree.path("etc/crossfade/policy.json"), tree.path("policy.json")).expect("the policy");
    let policy = fs::read_to_string(tree.path("policy.json")).expect("the policy");
    tree.write("usr/lib/crossfade/policy.json", &policy);
    tree.write("usr/lib/crossfade/node.json", &fs::read_to_string(example("node.json")).expect("node.json"));
    tree.write(&format!("{HOST}/etc/machine-id"), "fedcba9876543210fedcba9876543210\n");
    tree.write(&format!("{HOST}/etc/containerd/config.toml"), CONTAINERD);
    let program = env!("CARGO_BIN_EXE_crossfade-bootstrap");
    for (name, text) in [
        ("mount", "[ \"$1 $2\" = '-o bind' ] && rmdir \"$4\" && ln -s --relative \"$3\" \"$4\"".to_owned()),
        ("crossfade-bootstrap", format!("exec {program} \"$@\" --root \"$TOP\"")),
    ] {
        tree.write(&format!("bin/{name}"), &format!("#!/bin/sh\n{text}\n"));
        mode(&tree.path(&format!("bin/{name}")), 0o755);
    }
    tree
}

/// Runs the script; what it printed, and whether it succeeded.
fn start(tree: &Tree) -> (bool, String) {
    let path = format!("{}:{}", tree.path("bin").display(), std::env::var("PATH").expect("PATH"));
    let top = tree.path("bin").with_file_name("").components().collect::<PathBuf>();
    let output = Command::new(example("bootstrap.sh")).env("PATH", path).env("TOP", top).output();
    let output = output.expect("the script runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).expect("UTF-8"))
}

/// A reboot: what Bottlerocket keeps is below /var and /opt, and the container starts anew.
fn reboot(tree: &Tree) -> Tree {
    let next = container();
    for kept in ["var", "opt"] {
        fs::rename(tree.path(&format!("{HOST}/{kept}")), next.path(&format!("{HOST}/{kept}"))).expect(kept);
    }
    next.boots("two");
    // The container's own, of which the program must not take notice.
    next.machine("00112233445566778899aabbccddeeff");
    next
}

#[test]
fn bottlerocket_has_the_plugin_and_its_conf_before_kubelet_starts_in_each_boot() {
    let first = container();
    let (is_done, text) = start(&first);
    assert!(is_done, "{text}");
    let second = reboot(&first);
    assert!(!second.path(&format!("{HOST}/{OURS}")).exists(), "/etc is new");
    let (is_done, text) = start(&second);
    assert!(is_done, "{text}");
    let (plugin, reboot) = ("/opt/cni/bin/crossfade  (as it should be)", "a reboot of this machine");
    assert!(text.contains(plugin) && text.contains(reboot), "{text}");
    for file in [
        OURS,
        "opt/cni/bin/crossfade",
        "run/crossfade/policy.json",
        "run/crossfade/node.json",
        "var/lib/crossfade/boot.json",
    ] {
        assert!(second.path(&format!("{HOST}/{file}")).is_file(), "{file}: {text}");
    }
    let policy =
        fs::read_to_string(second.path(&format!("{HOST}/run/crossfade/policy.json"))).expect("the policy");
    assert!(policy.contains("\"calico\""), "{policy}");
}

#[test]
fn bottlerocket_does_not_boot_where_the_settings_cannot_be_used() {
    let tree = container();
    tree.write("usr/lib/crossfade/policy.json", "{}");
    let (is_done, text) = start(&tree);
    assert!(!is_done && !tree.path(&format!("{HOST}/{OURS}")).exists(), "{text}");
    assert!(text.contains("version"), "{text}");
    let tree = container();
    fs::remove_file(tree.path("usr/lib/crossfade/node.json")).expect("node.json");
    let (is_done, text) = start(&tree);
    assert!(!is_done && text.contains("node.json"), "{text}");
    // A mount that fails.
    let tree = container();
    symlink("/nowhere", tree.path("etc/cni")).expect("a link");
    let (is_done, text) = start(&tree);
    assert!(!is_done && text.contains("etc/cni"), "{text}");
}
