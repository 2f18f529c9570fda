//! `boot` in private mode.

use crate::tree::{CRIO, OURS, Tree};
use std::fs;
use std::os::unix::fs::MetadataExt;

use super::*;

#[test]
fn private_mode_starts_with_an_empty_directory_and_leaves_no_trace_elsewhere() {
    let tree = private();
    tree.conf("10-calico.conflist", "k8s-pod-network", "calico");
    let before = tree.files();
    tree.run_expecting(&["unit", "boot"], 0);
    let dir = tree.path("run/crossfade/net.d");
    assert_eq!(
        (fs::read_dir(&dir).expect("made").count(), dir.metadata().expect("made").mode() & 0o777),
        (0, 0o755)
    );
    let written: Vec<_> = tree.files().into_keys().filter(|name| !before.contains_key(name)).collect();
    let ours = [
        "opt/cni/bin/crossfade",
        "run/crossfade/boot.json",
        "run/crossfade/locks/policy.lock",
        "var/lib/crossfade/boot.json",
        "var/lib/crossfade/name",
    ];
    assert_eq!(written, ours);
    assert_eq!(tree.read("var/lib/crossfade/name"), "crossfade\n", "no pod lived on the other one");

    // Within the boot the conf is in force.
    tree.write("run/crossfade/net.d/01-crossfade.conflist", r#"{"plugins":[{"type":"crossfade"}]}"#);
    tree.run_expecting(&["unit", "boot"], 0);
    assert!(tree.has("run/crossfade/net.d/01-crossfade.conflist"));
    // Should a tmpfs have outlived a boot, no node was ready before it.
    tree.write("proc/sys/kernel/random/boot_id", "two\n");
    tree.run_expecting(&["unit", "boot"], 0);
    assert!(!tree.has("run/crossfade/net.d/01-crossfade.conflist"));
}

#[test]
fn in_private_mode_the_name_is_that_of_the_network_whose_results_the_runtime_has() {
    let tree = private();
    tree.conf("10-calico.conflist", "k8s-pod-network", "calico");
    tree.write("var/lib/cni/results/k8s-pod-network-0123-eth0", "{}");
    tree.run_expecting(&["unit", "boot"], 0);
    assert_eq!(tree.read("var/lib/crossfade/name"), "k8s-pod-network\n");
}

#[test]
fn going_over_to_private_mode_takes_our_conf_away_at_the_next_boot() {
    let tree = Tree::new();
    tree.run_expecting(&["unit", "boot"], 0);
    tree.node(PRIVATE);
    continued(&tree, "containerd.service", "/usr/bin/containerd", "CROSSFADE_RUNTIME_ARGS");
    let output = tree.run_expecting(&["unit", "boot"], 0);
    assert!(tree.has(OURS) && output.contains("reboot to go over"), "{output}");
    // A first boot.service in the middle of a boot: the runtime reads it now, whatever we remember.
    reboots(&tree, "two");
    tree.write("run/containerd/containerd.sock", "");
    let output = tree.run_expecting(&["unit", "boot"], 0);
    assert!(tree.has(OURS) && output.contains("reboot to go over"), "{output}");
    reboots(&tree, "three");
    tree.run_expecting(&["unit", "boot"], 0);
    assert!(!tree.has(OURS));
}

/// Its own network's name as well, so that no restart of CRI-O takes the pods of now for garbage.
#[test]
fn crio_is_told_our_directory_and_our_name_in_private_mode() {
    let tree = Tree::bare();
    tree.write(CRIO, "[Service]\nExecStart=/usr/bin/crio\n");
    tree.node(r#""confDir": "private""#);
    tree.run_expecting(&["unit", "render", "--runtime"], 0);
    let dir = "CROSSFADE_RUNTIME_ARGS=--cni-config-dir=/run/crossfade/net.d";
    assert_eq!(tree.read("run/crossfade/runtime.env"), format!("{dir}\n"), "no name was given yet");
    tree.write("var/lib/crossfade/name", "k8s-pod-network\n");
    tree.run_expecting(&["unit", "render", "--runtime"], 0);
    let output = tree.read("run/crossfade/runtime.env");
    assert_eq!(output, format!("{dir} --cni-default-network=k8s-pod-network\n"));
}
