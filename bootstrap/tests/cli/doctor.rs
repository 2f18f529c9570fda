//! `doctor`, on trees of files that stand for a node: what it finds, and that it changes nothing.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::node::{attach_pod, earlier_boot, mode};
use crate::tree::{OURS, Tree};
use crate::unit::watch::node;

/// A node in shared mode that `boot` has prepared, with a network that is there.
fn booted() -> Tree {
    let tree = Tree::new();
    tree.policy(r#""new": {"profile": "generic", "conf": ["/etc/cni/net.d/10-calico.conflist"]}"#);
    tree.conf("10-calico.conflist", "k8s-pod-network", "calico");
    tree.write("opt/cni/bin/calico", "#!/bin/sh\n");
    mode(&tree.path("opt/cni/bin/calico"), 0o755);
    tree.run_expecting(&["unit", "boot"], 0);
    assert!(tree.has(OURS));
    tree
}

/// The findings of a tree, in which nothing changes meanwhile.
fn findings(tree: &Tree, status: i32) -> BTreeSet<String> {
    let before = tree.files();
    let output = tree.run_expecting(&["doctor", "-o", "json"], status);
    assert_eq!(tree.files(), before, "doctor changed something");
    let answer: Value = serde_json::from_str(&output).unwrap_or_else(|e| panic!("{e}: {output}"));
    let all = answer["findings"].as_array().expect("findings").iter();
    all.map(|finding| finding["code"].as_str().expect("a code").to_owned()).collect()
}

fn only(codes: &[&str]) -> BTreeSet<String> {
    codes.iter().map(|code| (*code).to_owned()).collect()
}

#[test]
fn a_prepared_node_has_no_findings_and_what_is_broken_is_found_alone() {
    let tree = booted();
    assert_eq!(findings(&tree, 0), only(&[]));
    assert!(tree.run_expecting(&["doctor"], 0).starts_with("This node is all right"));

    tree.conf("00-a.conflist", "a", "bridge");
    assert_eq!(findings(&tree, 3), only(&["conf-not-first"]));
    fs::remove_file(tree.path("etc/cni/net.d/00-a.conflist")).expect("conf");

    fs::remove_file(tree.path("opt/cni/bin/crossfade")).expect("plugin");
    assert_eq!(findings(&tree, 3), only(&["plugin-missing"]));
    tree.run_expecting(&["unit", "place", "--bin-dir", &tree.path("opt/cni/bin").display().to_string()], 0);
    assert_eq!(findings(&tree, 0), only(&[]));

    fs::remove_file(tree.path("etc/cni/net.d/10-calico.conflist")).expect("conf");
    assert_eq!(findings(&tree, 3), only(&["network-without-conf"]));
    tree.conf("10-calico.conflist", "k8s-pod-network", "calico");

    fs::remove_file(tree.path("opt/cni/bin/calico")).expect("plugin");
    assert_eq!(findings(&tree, 3), only(&["network-plugin-missing"]));
    tree.write("opt/cni/bin/calico", "#!/bin/sh\n");
    mode(&tree.path("opt/cni/bin/calico"), 0o755);

    tree.write("etc/cni/net.d/05-cilium.conflist.cilium_bak", "{}");
    assert_eq!(findings(&tree, 3), only(&["agent-takes-conf"]));
    fs::remove_file(tree.path("etc/cni/net.d/05-cilium.conflist.cilium_bak")).expect("file");

    tree.write("etc/crossfade/disabled", "");
    assert_eq!(findings(&tree, 3), only(&["switched-off"]));
    fs::remove_file(tree.path("etc/crossfade/disabled")).expect("file");
    assert_eq!(findings(&tree, 0), only(&[]));
}

#[test]
fn settings_that_cannot_be_used_are_findings_and_no_failure_of_doctor() {
    let tree = booted();
    let policy = tree.read("etc/crossfade/policy.json");
    tree.write("etc/crossfade/policy.json", "{");
    assert_eq!(findings(&tree, 3), only(&["policy-unusable"]));
    tree.write("etc/crossfade/policy.json", &policy);
    tree.node(r#""lables": {}"#);
    let codes = findings(&tree, 3);
    assert!(codes.contains("node-json-unusable"), "{codes:?}");
}

#[test]
fn what_an_earlier_boot_left_is_found_with_its_pod() {
    let tree = booted();
    let layout = shim::node::layout::Layout {
        state_dir: tree.path("var/lib/crossfade"),
        run_dir: tree.path("run/crossfade"),
        policy: None,
    };
    let conf = [tree.path("etc/cni/net.d/10-calico.conflist")];
    attach_pod(&layout, ("c1", "web-0"), earlier_boot(), &conf);
    assert_eq!(findings(&tree, 3), only(&["sandbox-forgotten"]));
    let output = tree.run_expecting(&["doctor"], 3);
    assert!(output.contains("its sandbox ended with an earlier boot"), "{output}");
    assert!(output.contains("crossfade-bootstrap unit sweep"), "{output}");
    // The first line of the record is torn.
    let shard = tree.path("var/lib/crossfade/attachments");
    let shard = fs::read_dir(shard).expect("shards").next().expect("one").expect("entry").path();
    let record = fs::read_dir(shard).expect("records").next().expect("one").expect("entry").path();
    fs::write(&record, "torn").expect("record");
    assert_eq!(findings(&tree, 3), only(&["record-damaged"]));
}

#[test]
fn a_private_node_before_its_networks_are_ready_says_what_it_waits_for() {
    let tree = node("private");
    let codes = findings(&tree, 3);
    assert!(codes.contains("conf-waits") && codes.contains("network-not-ready"), "{codes:?}");
    assert!(!codes.contains("conf-missing"), "{codes:?}");
    tree.write(
        "run/crossfade/net.d/10-containerd-net.conflist",
        r#"{"name":"x","plugins":[{"type":"bridge"}]}"#,
    );
    assert!(findings(&tree, 3).contains("conf-of-others"));
}

#[test]
fn a_final_image_has_only_what_concerns_it() {
    let tree = booted();
    tree.node(r#""confDir": "none""#);
    assert_eq!(findings(&tree, 3), only(&["earlier-image"]), "the conf of the earlier image is still there");
    fs::remove_file(tree.path(OURS)).expect("conf");
    assert_eq!(findings(&tree, 0), only(&[]));
}
