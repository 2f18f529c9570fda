//! `uninstall`.

use std::fs;

use crate::node::{Node, now};
use crate::tree::{CRIO, Tree};

#[test]
fn it_is_refused_while_anything_is_attached() {
    let node = Node::new("bridge");
    node.run_expecting(&["install"], 0);
    let before = node.files();
    let output = node.run_expecting(&["uninstall"], 3);
    assert!(output.contains("2 attachments") && output.contains("c1 eth0 is inventory"), "{output}");
    assert_eq!(node.files(), before);

    fs::remove_file(node.path("state/inventory.json")).expect("remove");
    node.attach("r1", now(), &["10-old.conflist"]);
    let output = node.run_expecting(&["uninstall"], 3);
    assert!(output.contains("r1 eth0 is attached"), "{output}");

    let shard = node.shard();
    fs::write(shard.join("r1@eth0"), "torn").expect("write");
    assert!(node.run_expecting(&["uninstall"], 3).contains("is damaged"));
    assert!(node.conf().exists());
}

#[test]
fn a_refusal_names_ten_at_most() {
    let node = Node::new("bridge");
    for at in 0..14 {
        node.attach(&format!("r{at}"), now(), &["10-old.conflist"]);
    }
    let output = node.document(&["uninstall"], 3);
    let findings = output["problems"].as_array().expect("problems");
    assert_eq!(findings.len(), 12, "{output}");
    assert!(findings[11]["what"].as_str().expect("text").contains("and 4 more"), "{output}");
}

#[test]
fn it_takes_the_conf_and_leaves_the_plugin_unless_told_to() {
    let node = Node::new("bridge");
    fs::remove_dir_all(node.path("cache")).expect("nothing is attached");
    let before = node.files();
    node.run_expecting(&["install"], 0);
    let installed = node.files();
    let planned = node.run_expecting(&["uninstall", "--dry-run"], 0);
    assert_eq!(node.files(), installed);
    assert_eq!(node.run_expecting(&["uninstall"], 0), planned);
    assert!(!node.conf().exists() && !node.path("state/name").exists());
    assert!(node.path("bin/crossfade").exists(), "a cached conf may still call it");
    let output = node.run_expecting(&["uninstall"], 0);
    assert!(output.lines().all(|line| line.starts_with("keep")), "{output}");

    node.run_expecting(&["install"], 0);
    node.run_expecting(&["uninstall", "--purge"], 0);
    let mut after = node.files();
    after.retain(|name, _| !name.starts_with("run/"));
    assert_eq!(after, before, "nothing of ours is left, and nothing of others was touched");
}

#[test]
fn it_is_refused_while_the_runtime_reads_our_directory() {
    let tree = Tree::bare();
    tree.write(CRIO, "[Service]\nExecStart=/usr/bin/crio\n");
    tree.run_expecting(&["uninstall"], 0);
    tree.write("run/crossfade/runtime.env", "CROSSFADE_RUNTIME_ARGS=--cni-config-dir=/run/crossfade/net.d\n");
    let message = tree.run_expecting(&["uninstall"], 3);
    assert!(message.contains("touch /etc/crossfade/disabled, reboot"), "{message}");
    // Switched off and booted: /run is empty.
    tree.boots("two");
    tree.run_expecting(&["uninstall"], 0);
}
