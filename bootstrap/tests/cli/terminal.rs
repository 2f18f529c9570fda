//! Output for people: no name from outside can speak to the terminal, whatever command shows it.

use std::fs;

use crate::node::{Node, Run, attach, attach_pod, now};
use crate::tree::Tree;

/// Moves the cursor, sets a title, goes back, hides, turns the line around, and begins another one.
const HOSTILE: &str =
    "\u{1b}[2Jx\u{1b}]0;t\u{7}\r\u{7f}\u{9b}1A\u{202e}\u{2066}\u{2028}\ncrossfade-bootstrap: fine";
/// The same as far as it may stand in a file's name that is shorter.
const FILE: &str = "\u{1b}[2J\u{9b}\u{202e}\n";
/// How its first character is shown.
const SHOWN: &str = r"\u{1b}";

fn is_safe(what: &str, run: &Run) {
    let answer = format!("{}{}", run.out, run.err);
    for c in answer.chars().filter(|c| *c != '\n') {
        let obeyed =
            c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2066}'..='\u{2069}');
        assert!(!obeyed, "{what} prints {c:?}: {answer:?}");
    }
    assert!(
        !answer.lines().any(|line| line == "crossfade-bootstrap: fine"),
        "{what} lets it begin a line: {answer:?}"
    );
}

/// The command shows the name, and shows it safely; as JSON, too, where a string is a string again.
fn shows(what: &str, run: &dyn Fn(&[&str]) -> Run, arguments: &[&str]) {
    let human = run(arguments);
    is_safe(what, &human);
    assert!(format!("{}{}", human.out, human.err).contains(SHOWN), "{what} shows it: {human:?}");
    let document = run(&[arguments, &["--output", "json"]].concat());
    is_safe(what, &document);
    let _: serde_json::Value =
        serde_json::from_str(&document.out).unwrap_or_else(|e| panic!("{what}: {e}: {document:?}"));
}

fn on_tree(tree: &Tree, what: &str, arguments: &[&str]) {
    shows(what, &|arguments| tree.run(arguments), arguments);
}

fn on_node(node: &Node, what: &str, arguments: &[&str]) {
    shows(what, &|arguments| node.run(arguments), arguments);
}

#[test]
fn records_cannot_control_the_terminal() {
    let node = Node::new("bridge");
    node.run_expecting(&["install"], 0);
    attach_pod(&node.layout(), ("c9", HOSTILE), now(), &[node.path("net.d/10-old.conflist")]);
    on_node(&node, "attachments, a record", &["attachments"]);
    is_safe("uninstall, a record", &node.run(&["uninstall"]));
    node.write("listed.json", "[]");
    let listed = node.path("listed.json").display().to_string();
    is_safe("sweep, a record", &node.run(&["unit", "sweep", "--listed", &listed, "--dry-run"]));
    is_safe("status, a record", &node.run(&["status"]));
}

#[test]
fn damaged_records_and_inventories_cannot_control_the_terminal() {
    let node = Node::new("bridge");
    node.run_expecting(&["install"], 0);
    attach(&node.layout(), "c9", now(), &[node.path("net.d/10-old.conflist")]);
    fs::write(node.shard().join(format!("{FILE}@eth0")), "torn").expect("record");
    on_node(&node, "attachments, a damaged record", &["attachments"]);
    on_node(&node, "uninstall, a damaged record", &["uninstall"]);
    node.write("listed.json", "[]");
    let listed = node.path("listed.json").display().to_string();
    on_node(&node, "sweep, a damaged record", &["unit", "sweep", "--listed", &listed, "--dry-run"]);
    let entry = serde_json::json!({"containerID": "c1", "ifname": "eth0", "network": HOSTILE});
    let inventory = serde_json::json!({"version": 1, "attachments": [entry]});
    node.write("state/inventory.json", &inventory.to_string());
    on_node(&node, "attachments, an inventory", &["attachments"]);
    on_node(&node, "status, an inventory", &["status"]);
    node.write("listed.json", &format!("[{{\"containerID\":{}}}]", serde_json::json!(HOSTILE)));
    is_safe("sweep, a list", &node.run(&["unit", "sweep", "--listed", &listed]));
}

#[test]
fn confs_cannot_control_the_terminal() {
    let node = Node::new("bridge");
    let conf = serde_json::json!({"cniVersion": "1.0.0", "name": HOSTILE, "plugins": [{"type": HOSTILE}]});
    node.write(&format!("net.d/00-{FILE}.conflist"), &conf.to_string());
    on_node(&node, "install, a conf's name", &["install"]);
    fs::remove_file(node.path(&format!("net.d/00-{FILE}.conflist"))).expect("conf");
    node.run_expecting(&["install"], 0);
    node.write(&format!("net.d/00-{FILE}.conflist"), &conf.to_string());
    on_node(&node, "status, a conf's name", &["status"]);
    node.write("net.d/20-new.conflist", &conf.to_string());
    is_safe("install, a network's conf", &node.run(&["install"]));
    node.write(
        "net.d/01-crossfade.conflist",
        &serde_json::json!({"cniVersion": HOSTILE, "name": "x", "plugins": [{}]}).to_string(),
    );
    is_safe("attachments, our conf", &node.run(&["attachments"]));
}

#[test]
fn policies_cannot_control_the_terminal() {
    let node = Node::new("bridge");
    // As bytes that JSON lets stand in a string: a policy is printed as it was written.
    let raw = "\u{7f}\u{9b}1A\u{202e}\u{2028}";
    node.policy(|policy| {
        let key = format!("{raw}/a");
        policy.insert("podAnnotation".into(), serde_json::json!({"key": key, "allow": ["both"]}));
    });
    is_safe("policy show", &node.run(&["policy", "show"]));
    is_safe("policy show", &node.run(&["policy", "show", "--output", "json"]));
    for (name, value) in [
        ("--pod", HOSTILE.to_owned()),
        ("--namespace", HOSTILE.to_owned()),
        ("--annotation", format!("{raw}/a={HOSTILE}")),
    ] {
        is_safe("policy explain", &node.run(&["policy", "explain", name, &value]));
    }
    node.policy(|policy| {
        policy.insert(HOSTILE.into(), serde_json::json!(1));
    });
    on_node(&node, "policy check", &["policy", "check"]);
    on_node(&node, "policy explain, a bad policy", &["policy", "explain"]);
    on_node(&node, "install, a bad policy", &["install"]);
    let elsewhere = node.path(&format!("{FILE}.json"));
    on_node(&node, "policy check, a file's name", &["policy", "check", elsewhere.to_str().expect("UTF-8")]);
}

#[test]
fn node_settings_and_units_cannot_control_the_terminal() {
    let tree = Tree::new();
    tree.node(&format!("{}: 1", serde_json::json!(HOSTILE)));
    for command in
        [["unit", "boot"], ["unit", "render"], ["image", "explain"], ["image", "selftest"], ["image", "seal"]]
    {
        on_tree(&tree, &format!("{command:?}, node.json"), &command);
    }
    on_tree(&tree, "gate, node.json", &["unit", "gate", "--dry-run"]);
    on_tree(&tree, "render --check, node.json", &["unit", "render", "--check"]);
    on_tree(&tree, "render --runtime, node.json", &["unit", "render", "--runtime"]);
    is_safe("watch, node.json", &tree.run(&["unit", "watch", "--once"]));

    let tree = Tree::new();
    let label = "\u{1b}[2J\u{9b}\u{202e}";
    tree.write(
        "usr/lib/systemd/system/kubelet.service",
        &format!(
            "[Service]\nExecStart=/usr/bin/kubelet --node-labels={label}=x --register-with-taints={label}\n"
        ),
    );
    tree.node(r#""labels": {"a": "b"}"#);
    on_tree(&tree, "explain, a unit", &["image", "explain"]);
    is_safe("render, a unit", &tree.run(&["unit", "render"]));
    is_safe("render --check, a unit", &tree.run(&["unit", "render", "--check"]));
    tree.write(
        "usr/lib/systemd/system/containerd.service",
        &format!("[Service]\nExecStart=/usr/bin/{label}\n"),
    );
    on_tree(&tree, "explain, the runtime's unit", &["image", "explain"]);
}

#[test]
fn reports_of_watch_cannot_control_the_terminal() {
    let tree = crate::unit::watch::node("private");
    let conf = serde_json::json!(format!("/etc/cni/net.d/{HOSTILE}.conflist"));
    tree.policy(&format!(r#""new": {{"conf": [{conf}]}}"#));
    tree.run(&["unit", "watch", "--once"]);
    let file = tree.read("run/crossfade/status.json");
    assert!(file.contains("\\u001b"), "the conf that is not there is named in it: {file}");
    is_safe("status.json", &Run { status: 0, out: file, err: String::new() });
    let mut status = tree.json("run/crossfade/status.json");
    for key in ["reason", "message"] {
        status[key] = serde_json::json!(HOSTILE);
    }
    tree.write("run/crossfade/status.json", &status.to_string());
    on_tree(&tree, "status, a report", &["status"]);
}

#[test]
fn names_of_files_cannot_control_the_terminal() {
    let tree = Tree::new();
    tree.write(&format!("var/log/pods/{FILE}/0.log"), "");
    tree.write(&format!("etc/kubernetes/{FILE}.conf"), "users:\n- user: {token: x}\n");
    tree.conf(&format!("05-{FILE}.conflist"), "x", "bridge");
    on_tree(&tree, "seal, names of files", &["image", "seal", "--check"]);
    on_tree(&tree, "boot, a conf's name", &["unit", "boot", "--dry-run"]);
}

#[test]
fn arguments_cannot_control_the_terminal() {
    let tree = Tree::new();
    let bake = |option: &str, value: &str| {
        let run = tree.run(&["image", "bake", "--image", "final", option, value]);
        is_safe(&format!("bake {option}"), &run);
        assert!(run.err.contains(SHOWN), "{option}: {run:?}");
    };
    bake("--new", HOSTILE);
    bake("--label", HOSTILE);
    bake("--taint", HOSTILE);
    let one_line = HOSTILE.replace('\n', "");
    for arguments in
        [&[one_line.as_str()][..], &["policy", "set", &one_line], &["image", "seal", "--allow", &one_line]]
    {
        let run = tree.run(arguments);
        is_safe(&format!("{arguments:?}"), &run);
        // The parser takes escape sequences out before we see them, but not these.
        assert!(run.status == 2 && run.err.contains(r"\u{9b}"), "{run:?}");
    }
    assert!(tree.run_expecting(&["--help"], 0).contains("Usage: crossfade-bootstrap"));
    assert!(tree.run_expecting(&["--version"], 0).starts_with("crossfade-bootstrap "));
}
