//! A node of a final image (`confDir: none`): no plugin, no policy; labels and taints alone.

use std::fs;
use std::os::unix::fs::symlink;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use shim::host::boot::Moment;

use crate::node::{attach, changes, now};
use crate::tree::{CRIO, OURS, Tree};
use crate::unit::gate::continued_kubelet;

const FINAL: &str = r#""confDir": "none", "labels": {"pool": "new"}"#;
const PLUGIN: &str = "opt/cni/bin/crossfade";
const MARKER: &str = "run/crossfade/without-plugin";

/// A node of a final image; no image before it, and nothing in /etc but node.json.
fn final_node() -> Tree {
    let tree = Tree::new();
    fs::remove_file(tree.path("etc/crossfade/policy.json")).expect("no policy");
    tree.node(FINAL);
    tree
}

/// A node that an image with the plugin has prepared in shared mode, and that is of a final image now.
fn migrated() -> Tree {
    let tree = Tree::new();
    tree.conf("20-new.conflist", "newnet", "bridge");
    tree.run_expecting(&["unit", "boot"], 0);
    assert!(tree.has(OURS) && tree.has(PLUGIN));
    tree.node(FINAL);
    tree
}

/// Something that was attached through us in the boot `boot`.
fn attached(tree: &Tree, boot: &str) {
    let begun = Moment { boot_id: boot.into(), ..now() };
    attach(&tree.layout(), "c1", begun, &[tree.path("etc/cni/net.d/20-new.conflist")]);
}

#[test]
fn where_we_never_were_a_boot_only_remembers_itself() {
    let tree = final_node();
    fs::remove_file(tree.path("usr/libexec/crossfade/crossfade")).expect("no plugin in the image");
    tree.conf("10-new.conflist", "newnet", "bridge");
    let before = tree.files();
    let answer = tree.run_expecting(&["unit", "boot"], 0);
    assert!(answer.contains("pods get the network newnet: 10-new.conflist"), "{answer}");
    let written: Vec<_> = tree.files().into_keys().filter(|name| !before.contains_key(name)).collect();
    assert_eq!(written, ["run/crossfade/boot.json", MARKER, "var/lib/crossfade/boot.json"]);
    assert_eq!(tree.run_expecting(&["unit", "boot"], 0).matches("keep ").count(), 2, "again");
}

#[test]
fn what_an_earlier_image_left_goes_out_of_the_way_at_the_next_boot() {
    let tree = migrated();
    tree.write("etc/cni/net.d/20-new.conflist.old", "kept");
    attached(&tree, "one");
    tree.boots("two");
    let before = tree.files();
    let planned = tree.run_expecting(&["unit", "boot", "--dry-run"], 0);
    assert_eq!(tree.files(), before);
    assert_eq!(tree.run_expecting(&["unit", "boot"], 0), planned);
    assert!(!tree.has(OURS) && !tree.has(PLUGIN), "{planned}");
    assert_eq!(tree.set_aside("two"), ["attachments", "name"]);
    assert!(tree.has("etc/cni/net.d/20-new.conflist") && tree.has("etc/cni/net.d/20-new.conflist.old"));
    let order: Vec<_> =
        changes(&planned).iter().map(|line| line.split_whitespace().next().expect("word")).collect();
    assert_eq!(
        order,
        ["remove", "write", "move", "move", "remove", "write", "write", "write"],
        "the conf first, and the ledger before what it tells of: {planned}"
    );
    // What it remembers of the state is nothing: the next boot has nothing to do.
    tree.boots("three");
    tree.run_expecting(&["unit", "boot"], 0);
    assert!(tree.set_aside("three").is_empty());
}

const LEDGER: &str = "var/lib/crossfade/ledger.jsonl";

fn ledger(tree: &Tree) -> Vec<Value> {
    tree.read(LEDGER).lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[test]
fn the_ledger_stays_and_tells_of_everything_that_ended_without_its_del() {
    let tree = migrated();
    let answer = r#"{"version":1,"wallSecs":1,"containerID":"c0","ifname":"eth0","network":"oldnet","addresses":[],"reason":"x","removed":[],"left":[]}"#;
    tree.write(LEDGER, &format!("{answer}\n"));
    crate::node::mode(&tree.path(LEDGER), 0o600);
    attached(&tree, "one");
    // One that was there before us, and a record that cannot be read.
    let before_us = json!({"version": 1, "attachments": [
        {"containerID": "c2", "ifname": "eth0", "network": "old", "taken": {"bootID": "one", "boottimeMs": 1, "wallSecs": 1},
         "conf": {"cniVersion": "1.0.0", "name": "oldnet", "plugins": [{"type": "bridge", "ipam": {"type": "host-local"}}]},
         "prevResult": {"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.7/24"}]}}]});
    tree.write("var/lib/crossfade/inventory.json", &before_us.to_string());
    crate::node::mode(&tree.path("var/lib/crossfade/inventory.json"), 0o600);
    tree.write("var/lib/crossfade/attachments/0/c3@eth0", "torn");
    tree.boots("two");
    let planned = tree.run_expecting(&["unit", "boot", "--dry-run"], 0);
    assert!(planned.contains("3 attachments that ended without their DEL"), "{planned}");
    // A boot that is interrupted before it has set anything aside tells everything once.
    let attachments = tree.path("var/lib/crossfade/attachments");
    let kept = tree.path("var/lib/kept");
    fs::create_dir(&kept).expect("directory");
    let identity = tree.read("var/lib/crossfade/boot.json");
    assert!(
        std::process::Command::new("cp")
            .arg("-a")
            .arg(&attachments)
            .arg(&kept)
            .status()
            .expect("cp")
            .success()
    );
    assert_eq!(tree.run_expecting(&["unit", "boot"], 0), planned);
    assert_eq!(tree.set_aside("two"), ["attachments", "inventory.json", "name"], "the ledger stays");
    let lines = ledger(&tree);
    let short: Vec<_> = lines
        .iter()
        .map(|line| {
            format!(
                "{} {}",
                line["containerID"].as_str().expect("id"),
                line["network"].as_str().expect("name")
            )
        })
        .collect();
    assert_eq!(short, ["c0 oldnet", "c1 newnet", "c2 old", "c3 unknown"]);
    assert!(lines[1]["reason"].as_str().expect("text").contains("final image"), "{}", lines[1]);
    assert_eq!(lines[2]["addresses"], json!(["10.1.0.7/24"]));
    assert!(lines[2]["left"].to_string().contains("/var/lib/cni/networks/oldnet"), "{}", lines[2]);
    fs::rename(kept.join("attachments"), &attachments).expect("back");
    fs::remove_dir_all(tree.path("var/lib/crossfade/set-aside")).expect("gone");
    tree.write("var/lib/crossfade/boot.json", &identity);
    tree.boots("two");
    tree.run_expecting(&["unit", "boot"], 0);
    assert_eq!(ledger(&tree).len(), 4, "told twice");
    // It keeps nothing from being done at a later boot either.
    tree.boots("three");
    tree.write("etc/containerd/config.toml", "[");
    tree.run_expecting(&["unit", "boot"], 0);
    assert!(tree.set_aside("three").is_empty() && ledger(&tree).len() == 4);
}

#[test]
fn a_clone_of_a_migrated_machine_is_left_nothing_either() {
    let tree = migrated();
    attached(&tree, "one");
    tree.boots("two");
    tree.machine("ffffffffffffffffffffffffffffffff");
    tree.write(LEDGER, "");
    let answer = tree.run_expecting(&["unit", "boot"], 0);
    assert!(answer.contains("another machine's"), "{answer}");
    assert_eq!(tree.set_aside("two"), ["attachments", "ledger.jsonl", "name"]);
    assert!(!tree.has(LEDGER), "nothing was attached on this machine");
}

#[test]
fn what_is_attached_in_this_boot_keeps_everything() {
    let of_now = json!({"version": 1, "attachments": [
        {"containerID": "c1", "ifname": "eth0", "network": "old", "taken": {"bootID": "one", "boottimeMs": 1, "wallSecs": 1}}]});
    let undated =
        json!({"version": 1, "attachments": [{"containerID": "c1", "ifname": "eth0", "network": "old"}]});
    type Attach<'a> = &'a dyn Fn(&Tree);
    let cases: [(&str, Attach); 4] = [
        ("a record", &|tree| attached(tree, "one")),
        ("an entry", &|tree| tree.write("var/lib/crossfade/inventory.json", &of_now.to_string())),
        ("an entry that says nothing", &|tree| {
            tree.write("var/lib/crossfade/inventory.json", &undated.to_string())
        }),
        ("an inventory that cannot be read", &|tree| tree.write("var/lib/crossfade/inventory.json", "{")),
    ];
    for (what, attach) in cases {
        let tree = migrated();
        attach(&tree);
        let before = tree.files();
        let answer = tree.run_expecting(&["unit", "boot"], 3);
        assert!(answer.contains("c1 eth0") || answer.contains("inventory"), "{what}: {answer}");
        assert_eq!(tree.files(), before, "{what}");
        // With the boot its sandbox goes.
        tree.boots("two");
        tree.run_expecting(&["unit", "boot"], 0);
        assert!(!tree.has(OURS) && !tree.set_aside("two").is_empty(), "{what}");
    }
}

#[test]
fn a_runtime_that_runs_keeps_what_it_has_loaded() {
    let tree = migrated();
    tree.boots("two");
    tree.write("run/containerd/containerd.sock", "");
    let answer = tree.run_expecting(&["unit", "boot"], 0);
    assert!(answer.contains("in force until the runtime is restarted"), "{answer}");
    assert!(!answer.contains("pods get the network"), "not yet: {answer}");
    assert!(tree.has(OURS) && tree.has(PLUGIN) && tree.set_aside("two").is_empty());
    tree.boots("three");
    tree.run_expecting(&["unit", "boot"], 0);
    assert!(!tree.has(OURS));
}

#[test]
fn nothing_that_could_be_another_program_s_is_touched() {
    let tree = final_node();
    let theirs = r#"{"cniVersion": "1.0.0", "name": "theirs", "plugins": [{"type": "bridge"}]}"#;
    tree.write(OURS, theirs);
    tree.write(PLUGIN, "a plugin of the same name");
    let answer = tree.run_expecting(&["unit", "boot"], 0);
    assert!(answer.contains("is not known as Crossfade's"), "{answer}");
    assert_eq!((tree.read(OURS).as_str(), tree.read(PLUGIN).as_str()), (theirs, "a plugin of the same name"));
    // One of another release than the package's is known by what each of them holds.
    tree.write(PLUGIN, "\x7fELF.. /var/lib/crossfade ..");
    tree.run_expecting(&["unit", "boot"], 0);
    assert!(!tree.has(PLUGIN));
}

#[test]
fn cri_o_keeps_the_plugin_that_it_will_call_again() {
    let tree = migrated();
    fs::remove_file(tree.path(crate::tree::CONTAINERD)).expect("another runtime");
    tree.write(CRIO, "[Service]\nExecStart=/usr/bin/crio\n");
    let cached = |plugin: &str| {
        let conf =
            json!({"cniVersion": "1.0.0", "name": "crossfade", "plugins": [{"type": plugin}]}).to_string();
        json!({"kind": "cniCacheV1", "containerId": "c1", "ifName": "eth0", "networkName": "crossfade", "config": STANDARD.encode(conf)})
            .to_string()
    };
    tree.write("var/lib/cni/results/crossfade-c1-eth0", &cached("crossfade"));
    tree.boots("two");
    let answer = tree.run_expecting(&["unit", "boot"], 0);
    assert!(answer.contains("CRI-O remembers") && tree.has(PLUGIN) && !tree.has(OURS), "{answer}");
    tree.write("var/lib/cni/results/crossfade-c1-eth0", &cached("bridge"));
    tree.boots("three");
    tree.run_expecting(&["unit", "boot"], 0);
    assert!(!tree.has(PLUGIN));
}

#[test]
fn a_runtime_that_cannot_be_read_matters_only_where_we_were() {
    let broken = |tree: &Tree| tree.write("etc/containerd/config.toml", "[");
    let tree = final_node();
    broken(&tree);
    assert!(tree.run_expecting(&["unit", "boot"], 0).contains("no valid TOML"));
    let tree = migrated();
    tree.boots("two");
    broken(&tree);
    let answer = tree.run_expecting(&["unit", "boot"], 3);
    assert!(
        answer.contains("no valid TOML") && answer.contains("conf from before") && tree.has(OURS),
        "{answer}"
    );
}

#[test]
fn the_gate_asks_for_a_boot_and_for_kubelet_s_command_line_alone() {
    let tree = final_node();
    tree.node(&format!(r#"{FINAL}, "gate": {{"trySeconds": 1}}"#));
    continued_kubelet(&tree);
    assert!(tree.run_expecting(&["unit", "gate", "--dry-run"], 3).contains("boot has not succeeded"));
    tree.run_expecting(&["unit", "boot"], 0);
    tree.run_expecting(&["unit", "gate"], 0);
    fs::remove_dir_all(tree.path("run/systemd")).expect("no generator");
    assert!(tree.run_expecting(&["unit", "gate", "--dry-run"], 3).contains("crossfade-generator"));
}

#[test]
fn kubelet_is_told_its_labels_and_the_runtime_nothing() {
    let tree = final_node();
    tree.write("usr/lib/systemd/system/kubelet.service", "[Service]\nExecStart=/usr/bin/kubelet\n");
    let link = tree.path("crossfade-generator");
    symlink(env!("CARGO_BIN_EXE_crossfade-bootstrap"), &link).expect("link");
    let out = tree.path("generated");
    let mut generator = std::process::Command::new(&link);
    assert!(generator.arg("--root").arg(tree.path("")).arg(&out).status().expect("runs").success());
    let units: Vec<_> =
        fs::read_dir(&out).expect("units").map(|entry| entry.expect("unit").file_name()).collect();
    assert_eq!(units, ["kubelet.service.d"]);
    tree.run_expecting(&["unit", "render"], 0);
    assert!(tree.read("run/crossfade/kubelet.env").ends_with("=--node-labels=pool=new\n"));
    tree.write("run/crossfade/runtime.env", "CROSSFADE_RUNTIME_ARGS=x\n");
    assert!(tree.run_expecting(&["unit", "render", "--runtime"], 0).contains("confDir none"));
    assert!(!tree.has("run/crossfade/runtime.env"));
}

#[test]
fn who_asks_is_told_that_there_is_nothing_of_ours() {
    let tree = final_node();
    let answer = tree.run_expecting(&["status"], 3);
    assert!(answer.contains("boot has not succeeded"), "{answer}");
    tree.run_expecting(&["unit", "boot"], 0);
    let status: Value =
        serde_json::from_str(&tree.run_expecting(&["status", "--wait", "--output", "json"], 0))
            .expect("JSON");
    assert_eq!(
        (&status["confDir"], &status["phase"], &status["watch"], &status["problems"]),
        (&json!("none"), &Value::Null, &Value::Null, &json!([]))
    );
    assert!(tree.run_expecting(&["status"], 0).contains("confDir none"));
    tree.write("etc/crossfade/policy.json", "{");
    let answer = tree.run_expecting(&["image", "explain"], 0);
    assert!(answer.contains("confDir  none") && answer.contains("no program reads it"), "{answer}");
    for arguments in [
        &["policy", "show"][..],
        &["policy", "check"],
        &["policy", "set", "new"],
        &["policy", "explain"],
        &["install"],
    ] {
        assert!(tree.run_expecting(arguments, 3).contains("final image"), "{arguments:?}");
    }
    let elsewhere = tree.path("elsewhere.json");
    tree.write("elsewhere.json", r#"{"version":1,"networks":{"new":{"conf":["/n"]}},"attach":"new"}"#);
    tree.run_expecting(&["policy", "check", elsewhere.to_str().expect("UTF-8")], 0);
}

#[test]
fn watch_ends_at_once_and_its_unit_is_told_why() {
    let tree = final_node();
    let answer = tree.run_expecting(&["unit", "watch"], 3);
    assert!(answer.contains("final image") && tree.has(MARKER), "{answer}");
    assert!(!tree.has("run/crossfade/status.json"));
    assert!(tree.run_expecting(&["unit", "watch", "--once", "--dry-run"], 0).contains("keep "));
    // Back to a plugin, there is something to watch again.
    tree.policy(r#""new": {"conf": ["/etc/cni/net.d/20-new.conflist"]}"#);
    tree.node(r#""confDir": "shared""#);
    tree.run_expecting(&["unit", "boot"], 0);
    assert!(!tree.has(MARKER) && tree.has(OURS));
}
