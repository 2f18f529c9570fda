//! `sweep`.

use std::fs;

use serde_json::json;
use shim::host::file::create_private_dir;
use shim::node::store::Store;
use shim::node::store::StoredRecord;

use crate::node::{Node, changes, earlier_boot, key, now};

/// A node that is installed; its grace is 0, so that no age stands in the way.
fn node() -> Node {
    let node = Node::new("bridge");
    node.run_expecting(&["install"], 0);
    node
}

fn sweep(node: &Node, listed: &str) -> String {
    node.write("listed.json", listed);
    node.run_expecting(&["unit", "sweep", "--listed", &node.path("listed.json").display().to_string()], 0)
}

fn dels(node: &Node) -> Vec<String> {
    let calls = node.calls();
    calls.iter().filter(|call| call.contains(" DEL ")).map(|call| call.replace(" DEL", "")).collect()
}

#[test]
fn what_is_not_listed_is_closed_by_the_network_that_attached_it() {
    let node = node();
    node.attach("r1", now(), &["10-old.conflist"]);
    node.attach("r2", now(), &["10-old.conflist"]);
    node.attach("r3", now(), &["20-new.conflist"]);
    node.write("new-is-ready", "");
    let listed = r#"[{"containerID":"c1"},{"containerID":"r2","ifname":"eth0"}]"#;
    node.write("listed.json", listed);
    let list = node.path("listed.json").display().to_string();
    let before = node.files();
    let planned = node.run_expecting(&["unit", "sweep", "--listed", &list, "--dry-run"], 0);
    assert_eq!(node.files(), before);
    let output = sweep(&node, listed);
    assert_eq!(planned, output);
    let mut closed: Vec<_> =
        changes(&output).iter().map(|line| line.split_whitespace().nth(1).expect("id")).collect();
    closed.sort_unstable();
    assert_eq!(closed, ["c2", "r1", "r3"], "{output}");
    let mut calls = dels(&node);
    calls.sort();
    assert_eq!(
        calls,
        ["bridge c2 eth0", "bridge r1 eth0", "portmap c2 eth0", "portmap r1 eth0", "ptp r3 eth0"],
        "each by its own network"
    );
    let left: Vec<_> = node.records().into_iter().map(|record| record.intent.container_id).collect();
    assert_eq!(left, ["r2"]);
    assert_eq!(node.inventory(), [("c1".to_owned(), "old".to_owned())]);
}

#[test]
fn an_entry_is_closed_with_what_its_add_was_told() {
    let node = node();
    sweep(&node, r#"[{"containerID":"c1"}]"#);
    let stdin = node.read("stdin");
    let portmap = stdin.lines().find(|line| line.contains("portmap")).expect("portmap was called");
    let portmap: serde_json::Value = serde_json::from_str(portmap).expect("json");
    assert_eq!(portmap["runtimeConfig"]["portMappings"][0]["HostPort"], 80, "or it takes nothing away");
    assert_eq!(portmap["prevResult"]["ips"][0]["address"], "10.1.0.5/24");
}

#[test]
fn what_is_young_waits_and_an_earlier_boot_does_not() {
    let node = node();
    node.policy(|policy| policy["gc"] = json!({"graceSeconds": 600}));
    node.attach("r1", now(), &["10-old.conflist"]);
    node.attach("r2", earlier_boot(), &["10-old.conflist"]);
    let output = sweep(&node, r#"[{"containerID":"c1"},{"containerID":"c2"}]"#);
    assert!(
        output.contains(
            "wait     r1 eth0  (the runtime does not list the sandbox, but the grace period is not over"
        ),
        "{output}"
    );
    assert!(output.contains("close    r2 eth0"), "{output}");
    assert_eq!(dels(&node), ["portmap r2 eth0", "bridge r2 eth0"]);
}

#[test]
fn an_owner_that_is_not_ready_is_waited_for_unless_it_is_retired() {
    let node = node();
    node.attach("r1", now(), &["20-new.conflist"]);
    let all = r#"[{"containerID":"c1"},{"containerID":"c2"}]"#;
    let output = sweep(&node, all);
    assert!(
        output.contains(
            "wait     r1 eth0  (the runtime does not list the sandbox, but network newnet is not ready)"
        ),
        "{output}"
    );
    assert!(dels(&node).is_empty(), "a probe does not hold");

    node.write("new-is-ready", "");
    fs::rename(node.path("net.d/20-new.conflist"), node.path("net.d/20-new.away")).expect("rename");
    assert!(sweep(&node, all).contains("wait     r1"), "its conf is gone");
    assert!(dels(&node).is_empty());

    node.policy(|policy| {
        policy.insert("retired".into(), json!([{"network": "new", "forceAfterSeconds": 0}]));
    });
    let output = sweep(&node, all);
    assert!(output.contains("close    r1 eth0") && output.contains("retired"), "{output}");
    assert_eq!(dels(&node), ["ptp r1 eth0"], "the real DEL is tried first");
    assert!(node.records().is_empty());
}

#[test]
fn a_retired_network_that_fails_is_cleaned_locally() {
    let node = node();
    node.attach("r1", now(), &["20-new.conflist"]);
    node.write("bin/ptp.fails", "");
    node.policy(|policy| {
        policy.insert("retired".into(), json!([{"network": "new", "forceAfterSeconds": 0}]));
    });
    let output = sweep(&node, r#"[{"containerID":"c1"},{"containerID":"c2"}]"#);
    assert!(output.contains("close    r1 eth0"), "{output}");
    assert!(node.records().is_empty());
    let status = node.document(&["status"], 0);
    assert_eq!(status["ledgerLines"], 1, "what is left is told");
}

#[test]
fn a_del_that_fails_stays_owed() {
    let node = node();
    node.attach("r1", now(), &["10-old.conflist"]);
    node.write("bin/bridge.fails", "");
    node.write("listed.json", r#"[{"containerID":"c1"},{"containerID":"c2"}]"#);
    let list = node.path("listed.json").display().to_string();
    let output = node.document(&["unit", "sweep", "--listed", &list], 1);
    let outcome = output["changes"][0]["outcome"]["failed"].as_str().expect("failed");
    assert!(outcome.contains("the agent is away"), "{output}");
    // The grace of this policy is over at once.
    let status = node.document(&["status"], 3);
    assert_eq!(status["pendingDels"], 1);
    assert!(status["problems"][0]["what"].to_string().contains("owed for longer than the grace"), "{status}");
    assert!(node.run_expecting(&["attachments"], 0).contains("detaching"));
    fs::remove_file(node.path("bin/bridge.fails")).expect("remove");
    sweep(&node, r#"[{"containerID":"c1"},{"containerID":"c2"}]"#);
    assert_eq!(
        dels(&node),
        ["portmap r1 eth0", "bridge r1 eth0", "bridge r1 eth0"],
        "only what failed is retried"
    );
    assert!(node.records().is_empty());
}

#[test]
fn what_another_process_has_locked_is_left_alone() {
    let node = node();
    node.attach("r1", now(), &["10-old.conflist"]);
    create_private_dir(&node.layout().locks()).expect("lock directory");
    // Its holder has left no name, so its death cannot be known.
    let in_hand = |name: &str| {
        let file = fs::File::create(node.layout().locks().join(name)).expect("lock file");
        file.lock().expect("free");
        file
    };
    let (lock, entry) = (in_hand("r1@eth0"), in_hand("c1@eth0"));
    let output = sweep(&node, r#"[{"containerID":"c2"}]"#);
    assert_eq!(output.matches(": busy").count(), 2, "{output}");
    assert!(dels(&node).is_empty());
    drop((lock, entry));
    sweep(&node, r#"[{"containerID":"c2"}]"#);
    assert_eq!(dels(&node).len(), 4);
}

#[test]
fn an_entry_whose_network_fails_becomes_a_record() {
    let node = node();
    node.write("bin/portmap.fails", "");
    node.write("listed.json", r#"[{"containerID":"c2"}]"#);
    node.run_expecting(&["unit", "sweep", "--listed", &node.path("listed.json").display().to_string()], 1);
    let record = Store::new(&node.layout()).find(&key("c1")).expect("store");
    assert!(matches!(record, StoredRecord::Sound(_)), "so that it is retried as any other");
    assert_eq!(node.inventory().len(), 2, "and the entry stays until it is closed");
    let output = node.run_expecting(&["attachments"], 0);
    assert_eq!(output.lines().filter(|line| line.starts_with("c1 ")).count(), 1, "{output}");
}

#[test]
fn without_a_list_nothing_is_swept() {
    let node = node();
    node.attach("r1", earlier_boot(), &["10-old.conflist"]);
    let before = node.files();
    for (arguments, status) in [
        (&["unit", "sweep", "--runtime-endpoint", "unix:///nonexistent/r.sock"][..], 75),
        (&["unit", "sweep", "--runtime-endpoint", "none"], 2),
        (&["unit", "sweep", "--listed", "/nonexistent/list"], 2),
    ] {
        node.run_expecting(arguments, status);
    }
    node.write("list", r#"{"containerID":"c1"}"#);
    let list = node.path("list").display().to_string();
    assert!(node.run_expecting(&["unit", "sweep", "--listed", &list], 78).contains("expected [{"));
    fs::remove_file(node.path("list")).expect("remove");
    assert_eq!(node.files(), before);
}

#[test]
fn an_empty_list_from_a_file_is_the_truth() {
    let node = node();
    sweep(&node, "[]");
    assert!(node.inventory().is_empty());
    assert_eq!(dels(&node).len(), 4);
}

#[test]
fn abandoned_temporary_files_are_removed_and_others_are_not() {
    let node = node();
    node.attach("r1", now(), &["10-old.conflist"]);
    let shard = node.shard();
    // No process has a pid beyond the kernel's limit of 4194304.
    let ours = [
        shard.join(".tmp-4999999-0"),
        node.path("state/.tmp-4999999-1"),
        node.path("net.d/.tmp-4999999-nudge"),
        node.path("run/ready/.tmp-4999999-0"),
    ];
    fs::create_dir_all(node.path("run/ready")).expect("directory");
    let others = [node.path("net.d/.tmp-agent"), shard.join(format!(".tmp-{}-0", std::process::id()))];
    ours.iter().chain(&others).for_each(|path| fs::write(path, "x").expect("write"));
    let output = sweep(&node, r#"[{"containerID":"c1"},{"containerID":"c2"},{"containerID":"r1"}]"#);
    assert_eq!(changes(&output).len(), 4, "{output}");
    assert!(ours.iter().all(|path| !path.exists()) && others.iter().all(|path| path.exists()));
}

#[test]
fn locks_of_killed_calls_are_removed_and_held_ones_are_not() {
    let node = node();
    let locks = node.layout().locks();
    create_private_dir(&locks).expect("lock directory");
    let held = fs::File::create(locks.join("c1@eth0")).expect("lock file");
    held.lock().expect("free");
    let dead = r#"{"holder":{"pid":4999999,"start":1},"verb":"ADD","groups":[]}"#;
    for name in ["gone@eth0", "inventory.lock"] {
        fs::write(locks.join(name), dead).expect("write");
    }
    let all = r#"[{"containerID":"c1"},{"containerID":"c2"}]"#;
    let list = node.path("listed.json").display().to_string();
    fs::write(&list, all).expect("write");
    let planned = node.run_expecting(&["unit", "sweep", "--listed", &list, "--dry-run"], 0);
    assert!(planned.contains("gone@eth0") && locks.join("gone@eth0").exists(), "{planned}");
    let output = sweep(&node, all);
    assert_eq!(changes(&output).len(), 1, "{output}");
    let mut left: Vec<_> =
        fs::read_dir(&locks).expect("list").map(|entry| entry.expect("entry").file_name()).collect();
    left.sort();
    // The lock under which a dead holder's lock is taken away is one for all, and stays like the inventory's.
    assert_eq!(left, ["c1@eth0", "inventory.lock", "takeover.lock"]);
    drop(held);
}

#[test]
fn a_damaged_record_is_told_and_left_for_a_del() {
    let node = node();
    node.attach("r1", earlier_boot(), &["10-old.conflist"]);
    let shard = node.shard();
    fs::write(shard.join("r1@eth0"), "torn").expect("write");
    let output = sweep(&node, r#"[{"containerID":"c1"},{"containerID":"c2"}]"#);
    assert!(output.contains("is damaged") && output.contains("r1@eth0"), "{output}");
    assert!(shard.join("r1@eth0").exists() && dels(&node).is_empty());
}

#[test]
fn a_pass_begins_behind_what_the_one_before_tried_last() {
    let node = node();
    for id in ["r1", "r2", "r3", "r4", "r5"] {
        node.attach(id, now(), &["10-old.conflist"]);
    }
    let living = |ids: &[&str]| {
        let all = ids.iter().chain(&["c1", "c2"]).map(|id| json!({"containerID": id}));
        serde_json::Value::from_iter(all).to_string()
    };
    // Where a DEL hangs, the pass may be ended in its midst.
    node.write("bin/bridge.fails", "");
    node.write("listed.json", &living(&["r1", "r2", "r4", "r5"]));
    let list = node.path("listed.json").display().to_string();
    node.run_expecting(&["unit", "sweep", "--listed", &list], 1);
    node.write("listed.json", &living(&[]));
    let order = |output: &str| -> Vec<String> {
        changes(output).iter().filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned).collect()
    };
    let planned = node.run_expecting(&["unit", "sweep", "--listed", &list, "--dry-run"], 0);
    assert_eq!(order(&planned), ["r4", "r5", "r1", "r2", "r3"]);
    let output = node.run_expecting(&["unit", "sweep", "--listed", &list], 1);
    assert_eq!(order(&output), order(&planned), "a dry run is no pass");
}

#[test]
fn an_entry_that_the_runtime_deletes_itself_is_struck_out_without_a_del() {
    let node = node();
    let mut inventory = node.json("state/inventory.json");
    for entry in inventory["attachments"].as_array_mut().expect("entries") {
        entry["deletedBy"] = json!("runtime");
    }
    node.write("state/inventory.json", &inventory.to_string());
    crate::node::mode(&node.path("state/inventory.json"), 0o600);
    // No plugin is needed for it: its network's conf is gone.
    fs::remove_file(node.path("net.d/10-old.conflist")).expect("remove");
    let output = sweep(&node, r#"[{"containerID":"c2"}]"#);
    assert!(
        output.contains("close    c1 eth0") && output.contains("the runtime has sent its DEL itself"),
        "{output}"
    );
    assert!(dels(&node).is_empty(), "{:?}", node.calls());
    assert!(node.records().is_empty());
    assert_eq!(node.inventory(), [("c2".to_owned(), "old".to_owned())]);
}
