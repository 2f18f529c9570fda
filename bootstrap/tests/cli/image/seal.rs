//! `seal`: what is removed from the tree of an image, what is refused, and what may stay.

mod credentials;
mod image;
mod refused;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Command;

use serde_json::{Value, json};

use self::image::{DIRT, image, manifest, used};
use self::refused::finding;
use crate::node::{changes, mode};
use crate::tree::Tree;

const CLEAN: &str = "nothing is in the way of an image";

fn document(tree: &Tree, arguments: &[&str], status: i32) -> Value {
    let mut all = arguments.to_vec();
    all.extend(["--output", "json"]);
    let output = tree.run_expecting(&all, status);
    let document: Value = serde_json::from_str(&output).unwrap_or_else(|e| panic!("{output}: {e}"));
    assert_eq!(document["version"], 1, "{document}");
    document
}

fn texts<'a>(document: &'a Value, list: &str, key: &str) -> Vec<&'a str> {
    let all = document[list].as_array().unwrap_or_else(|| panic!("{document}"));
    all.iter().map(|item| item[key].as_str().expect("text")).collect()
}

#[test]
fn an_image_as_it_should_be_is_sealed_already() {
    let tree = image();
    let before = tree.files();
    for arguments in [&["image", "seal"][..], &["image", "seal", "--check"], &["image", "seal", "--dry-run"]]
    {
        assert_eq!(tree.run_expecting(arguments, 0), format!("note: {CLEAN}\n"), "{arguments:?}");
    }
    let report = document(&tree, &["image", "seal", "--check"], 0);
    assert_eq!(
        report,
        json!({"version":1,"ok":true,"problems":[],"sealed":true,"dryRun":true,"findings":[],"changes":[],"notes":[CLEAN]})
    );
    assert_eq!(tree.files(), before);
}

#[test]
fn what_a_used_machine_generated_is_removed_and_nothing_else() {
    let (tree, clean) = (used(), manifest(&image()));
    let before = manifest(&tree);
    let checked = document(&tree, &["image", "seal", "--check"], 3);
    assert_eq!((&checked["sealed"], &checked["findings"]), (&json!(false), &json!([])));
    let targets = texts(&checked, "changes", "target");
    for (path, target) in DIRT {
        assert!(targets.contains(&target), "{path}: {targets:?}");
    }
    let planned = tree.run_expecting(&["image", "seal", "--dry-run"], 0);
    assert!(planned.contains("remove   /var/lib/cni/networks/cbr0  (leases"), "{planned}");
    assert!(planned.contains("; 2 files)") && planned.contains("empty    /etc/machine-id  ("), "{planned}");
    assert_eq!(manifest(&tree), before, "nothing is changed by looking");

    let inode = tree.path("etc/machine-id").metadata().expect("machine-id").ino();
    let done = tree.run_expecting(&["image", "seal"], 0);
    assert_eq!(done, planned, "a dry run says what is done");
    assert_eq!(manifest(&tree), clean);
    assert_eq!(tree.path("etc/machine-id").metadata().expect("machine-id").ino(), inode);

    assert_eq!(tree.run_expecting(&["image", "seal"], 0), format!("note: {CLEAN}\n"));
    tree.run_expecting(&["image", "seal", "--check"], 0);
}

#[test]
fn a_machine_id_that_is_not_initialized_stays() {
    let tree = image();
    tree.write("etc/machine-id", "uninitialized\n");
    tree.run_expecting(&["image", "seal", "--check"], 0);
    fs::remove_file(tree.path("etc/machine-id")).expect("remove");
    tree.run_expecting(&["image", "seal", "--check"], 0);
    symlink("../run/machine-id", tree.path("etc/machine-id")).expect("link");
    assert!(tree.run_expecting(&["image", "seal"], 3).contains("no regular file"));
}

#[test]
fn what_may_stay_is_named_on_the_command_line_and_in_the_image() {
    let tree = used();
    tree.write("usr/lib/crossfade/seal.allow", "# the provider's\n/etc/ssh/ssh_host_*\n");
    tree.write("etc/crossfade/seal.allow", "/var/lib/cni/networks/cbr0/last_reserved_ip.0 # why not\n");
    tree.write("list", "/var/lib/cloud/*\n/nothing/of/this\n");
    let list = tree.path("list").display().to_string();
    let done = tree.run_expecting(&["image", "seal", "--allow", "/var/crash", "--allow-file", &list], 0);
    for stays in [
        "etc/ssh/ssh_host_ed25519_key",
        "var/lib/cni/networks/cbr0/last_reserved_ip.0",
        "var/lib/cloud/data/instance-id",
        "var/crash/x.crash",
    ] {
        assert!(tree.has(stays), "{stays}: {done}");
    }
    // A directory in which something may stay is taken apart.
    assert!(!tree.has("var/lib/cni/networks/cbr0/10.244.0.2") && !tree.has("core.17"), "{done}");
    assert!(done.contains("keep     /etc/ssh/ssh_host_ed25519_key  (allowed by /etc/ssh/ssh_host_* (/usr/lib/crossfade/seal.allow, line 2)"), "{done}");
    assert!(
        done.contains(&format!("note: nothing had to be allowed by /nothing/of/this ({list}, line 2)")),
        "{done}"
    );
    let again =
        tree.run_expecting(&["image", "seal", "--check", "--allow", "/var/crash", "--allow-file", &list], 0);
    assert!(changes(&again).iter().all(|line| line.starts_with("keep ")), "{again}");

    for (arguments, status) in
        [(["image", "seal", "--allow", "var/x"], 2), (["image", "seal", "--allow-file", "/nowhere"], 2)]
    {
        let before = tree.files();
        tree.run_expecting(&arguments, status);
        assert_eq!(tree.files(), before);
    }
    tree.write("etc/crossfade/seal.allow", "/a/../b\n");
    assert!(
        tree.run_expecting(&["image", "seal"], 78)
            .contains("/etc/crossfade/seal.allow, line 1: expected an absolute path")
    );
    tree.write("etc/crossfade/seal.allow", "/a\n");
    mode(&tree.path("etc/crossfade/seal.allow"), 0o666);
    assert!(tree.run_expecting(&["image", "seal"], 78).contains("writable by others"));
}

#[test]
fn no_link_leads_out_of_the_tree() {
    let (tree, outside) = (used(), image());
    outside.write("results/precious", "precious");
    outside.write("etc/ssh/ssh_host_rsa_key", "precious");
    let before = outside.files();
    let away = |path: &str, to: &str| {
        let _ = fs::remove_dir_all(tree.path(path));
        symlink(outside.path(to), tree.path(path)).expect("link");
    };
    // In the place of a directory that goes, in the place of one above what goes, and below what goes.
    away("var/lib/cni/results", "results");
    away("etc/ssh", "etc/ssh");
    away("var/lib/kubelet/pods/u1", "results");
    away("var/lib/cloud/instances", "results");
    tree.run_expecting(&["image", "seal"], 0);
    assert_eq!(outside.files(), before);
    assert!(!tree.has("var/lib/cni/results") && !tree.has("var/lib/kubelet/pods"));
    assert!(tree.has("etc/ssh"), "what lies above stays, and nothing is found behind it");
}

#[test]
fn a_link_within_the_tree_is_followed_as_the_node_does() {
    let tree = image();
    tree.write("data/cni/networks/cbr0/10.244.0.2", "");
    fs::remove_dir_all(tree.path("var/lib/cni")).expect("remove");
    symlink("/data/cni", tree.path("var/lib/cni")).expect("link");
    assert!(tree.run_expecting(&["image", "seal"], 0).contains("remove   /var/lib/cni/networks/cbr0  ("));
    assert!(!tree.has("data/cni/networks/cbr0") && tree.has("data/cni/networks") && tree.has("var/lib/cni"));
}

#[test]
fn what_is_mounted_is_not_touched() {
    let (tree, outside) = (used(), image());
    outside.write("live/precious", "precious");
    let before = outside.files();
    let seal = |target: &str| {
        let script = "mount --bind \"$1\" \"$2\" && shift 2 && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
        command.arg(outside.path("live")).arg(tree.path(target));
        command.arg(env!("CARGO_BIN_EXE_crossfade-bootstrap"));
        command.args(["image", "seal", "--output", "json", "--root"]).arg(tree.path(""));
        let output = command.output().expect("unshare");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let report: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        (output.status.code(), report)
    };
    // At what goes, below it, and above it.
    for (target, path) in [
        ("var/lib/cni/results", "/var/lib/cni/results"),
        ("var/lib/kubelet/pods/u1", "/var/lib/kubelet/pods"),
    ] {
        let files = tree.files();
        let (status, report) = seal(target);
        let (why, fix) = finding(&report, path);
        assert!(status == Some(3) && why.contains("nothing that is mounted is touched"), "{report}");
        assert!(fix.starts_with("umount ") && fix.ends_with(target), "{fix}");
        assert_eq!((tree.files(), outside.files()), (files, before.clone()), "{target}");
    }
    outside.write("live/random-seed", "precious");
    let before = outside.files();
    let (status, report) = seal("var/lib/systemd");
    let (why, _) = finding(&report, "/var/lib/systemd/random-seed");
    assert!(status == Some(3) && why.contains("is mounted there"), "{report}");
    assert_eq!(outside.files(), before);
}
