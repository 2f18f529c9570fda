//! `attachments`: what was made in a phase, what is left, and the ledger; and pods that `policy explain` finds by their records.

use std::fs;

use serde_json::{Value, json};

use crate::node::{Node, attach_pod, now};

fn installed() -> Node {
    let node = Node::new("bridge");
    node.write("new-is-ready", "");
    node.run_expecting(&["install"], 0);
    node
}

/// The container ids of an answer, those of the inventory left out.
fn ids(output: &Value) -> Vec<String> {
    let all = output["attachments"].as_array().expect("attachments").iter();
    let recorded = all.filter(|line| line["life"] != "inventory");
    recorded.map(|line| line["containerID"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn stragglers_are_listed_by_phase_and_by_network() {
    let node = installed();
    node.attach("on-old", now(), &["10-old.conflist"]);
    node.attach("on-both", now(), &["10-old.conflist", "20-new.conflist"]);
    node.attach("on-new", now(), &["20-new.conflist"]);
    let name = |file: &str| node.json(&format!("net.d/{file}"))["name"].as_str().expect("a name").to_owned();
    let (old, new) = (name("10-old.conflist"), name("20-new.conflist"));
    for (on, expected) in [
        ("old", vec!["on-old"]),
        ("both-old", vec!["on-both"]),
        ("both-new", vec![]),
        ("new", vec!["on-new"]),
        (&old, vec!["on-both", "on-old"]),
        (&new, vec!["on-both", "on-new"]),
    ] {
        let mut listed = ids(&node.document(&["attachments", "--on", on], 0));
        listed.sort();
        assert_eq!(listed, expected, "{on}");
    }
    let output = node.run_expecting(&["attachments", "--on", "nowhere"], 2);
    assert!(
        output.contains("--on nowhere") && output.contains(&old) && output.contains("both-new"),
        "{output}"
    );
    assert_eq!(node.run_expecting(&["attachments", "--on", "both-new"], 0), "no attachment is like that\n");
}

#[test]
fn the_ledger_is_printed_with_what_is_left() {
    let node = installed();
    assert!(node.run_expecting(&["attachments", "--ledger"], 0).ends_with("ledger: empty\n"));
    let line = json!({"version": 1, "wallSecs": 1_790_000_000, "containerID": "c9", "ifname": "eth0", "network": "oldnet",
        "addresses": ["10.1.0.5/32"], "reason": "code 100", "removed": [], "left": ["endpoint of the pod"], "unknown": ["lease"]});
    fs::write(node.path("state/ledger.jsonl"), format!("{line}\n")).expect("ledger");
    let output = node.run_expecting(&["attachments", "--ledger"], 0);
    for words in [
        "ledger: c9 eth0  network oldnet  10.1.0.5/32  code 100",
        "  left: endpoint of the pod",
        "  may be left: lease",
    ] {
        assert!(output.contains(words), "{words}: {output}");
    }
    let output = node.document(&["attachments", "--ledger"], 0);
    assert_eq!(output["ledger"][0]["addresses"], json!(["10.1.0.5/32"]));
    assert!(node.document(&["attachments"], 0).get("ledger").is_none());
}

#[test]
fn what_is_left_needs_a_runtime_that_answers() {
    let node = installed();
    let output = node.run_expecting(&["attachments", "--leaks", "--runtime-endpoint", "none"], 2);
    assert!(output.contains("--leaks") && output.contains("--runtime-endpoint"), "{output}");
    let output =
        node.run_expecting(&["attachments", "--leaks", "--runtime-endpoint", "/nonexistent/r.sock"], 75);
    assert!(output.contains("/nonexistent/r.sock"), "{output}");
}

#[test]
fn a_pod_of_the_node_is_explained_with_what_it_has() {
    let node = installed();
    attach_pod(&node.layout(), ("c7", "web-0"), now(), &[node.path("net.d/10-old.conflist")]);
    node.policy(|policy| {
        policy["attach"] = json!("new");
        policy.insert("podAnnotation".into(), json!({"key": "crossfade/attach", "allow": ["both"]}));
    });
    for arguments in
        [&["policy", "explain", "n/web-0"][..], &["policy", "explain", "web-0", "--namespace", "n"]]
    {
        let output = node.document(arguments, 0);
        assert_eq!(output["attach"], "new", "{output}");
        assert_eq!(output["live"]["attachments"][0]["containerID"], "c7", "{output}");
        let doubt = output["warnings"].to_string();
        assert!(doubt.contains("annotations are not known"), "{output}");
    }
    let output =
        node.run_expecting(&["policy", "explain", "n/web-0", "--annotation", "crossfade/attach=both"], 0);
    assert!(
        output.starts_with("both: its annotation says so") && output.contains("now: n/web-0 is attached to"),
        "{output}"
    );
    let output = node.run_expecting(&["policy", "explain", "n/web-1"], 3);
    assert!(output.contains("pod n/web-1"), "{output}");
}

#[test]
fn a_flip_to_a_network_that_is_not_ready_is_warned_of_or_refused() {
    let node = installed();
    let policy = node.read("etc/policy.json");
    let file = node.path("new-is-ready").display().to_string();
    assert!(!node.run_expecting(&["policy", "set", "both-old", "--require-ready"], 0).contains("not ready"));
    fs::remove_file(node.path("new-is-ready")).expect("probe");
    let refused = node.run_expecting(&["policy", "set", "new", "--require-ready"], 3);
    assert!(refused.contains("network new is not ready") && refused.contains(&file), "{refused}");
    assert!(node.read("etc/policy.json").contains("both"), "it was flipped all the same");
    assert!(
        !node.run_expecting(&["policy", "set", "old", "--require-ready"], 0).contains("not ready"),
        "old is"
    );
    let warned = node.run_expecting(&["policy", "set", "new"], 0);
    assert!(warned.contains("network new is not ready, so new pods wait"), "{warned}");
    assert_ne!(node.read("etc/policy.json"), policy);
}
