//! Obstacles of `install`: all are reported at once, nothing is touched.

use std::fs;

use serde_json::json;

use crate::node::{Node, mode};

/// Prepares a node, and what the refusal must say.
type Case = (&'static str, fn(&Node), i32, &'static str);

const CASES: &[Case] = &[
    (
        "policy absent",
        |node| fs::remove_file(node.path("etc/policy.json")).expect("remove"),
        78,
        "read policy",
    ),
    ("policy invalid", |node| node.write("etc/policy.json", r#"{"version":1}"#), 78, "networks: missing"),
    ("policy of others", |node| mode(&node.path("etc/policy.json"), 0o666), 78, "writable by others"),
    (
        "conf of the attached network absent",
        |node| fs::remove_file(node.path("net.d/10-old.conflist")).expect("remove"),
        3,
        "network old: no conf yet",
    ),
    (
        "conf of the other network invalid",
        |node| node.write("net.d/20-new.conflist", r#"{"cniVersion":"1.0.0","name":"newnet"}"#),
        3,
        "network new: invalid conf",
    ),
    (
        "binary missing",
        |node| fs::remove_file(node.path("bin/bridge")).expect("remove"),
        3,
        "plugin \"bridge\": no such binary",
    ),
    (
        "address manager missing",
        |node| fs::remove_file(node.path("bin/host-local")).expect("remove"),
        3,
        "plugin \"host-local\": no such binary",
    ),
    (
        "a conf before ours",
        |node| node.write("net.d/00-first.conf", r#"{"cniVersion":"1.0.0","name":"n","type":"bridge"}"#),
        3,
        "00-first.conf sorts before 01-crossfade.conflist",
    ),
    (
        "a hidden conf before ours",
        |node| node.write("net.d/.swp.conflist", "torn"),
        3,
        ".swp.conflist sorts before 01-crossfade.conflist",
    ),
    (
        "a meta-plugin that leads elsewhere",
        |node| {
            node.write("net.d/00-multus.conf", r#"{"name":"m","type":"multus","clusterNetwork":"elsewhere"}"#)
        },
        3,
        "does not delegate to Crossfade",
    ),
    (
        "an exclusive agent",
        |node| node.write("net.d/10-other.conflist.cilium_bak", "{}"),
        3,
        "set Cilium's cni.exclusive to false",
    ),
    ("conf dir of others", |node| mode(&node.path("net.d"), 0o777), 3, "conf dir: "),
    ("bin dir of others", |node| mode(&node.path("bin"), 0o775), 3, "bin dir: "),
    (
        "state of others",
        |node| {
            fs::create_dir(node.path("state")).expect("directory");
            mode(&node.path("state"), 0o777);
        },
        3,
        "state dir: ",
    ),
    (
        "one name for both networks",
        |node| {
            let conf = node.read("net.d/20-new.conflist").replace("newnet", "oldnet");
            node.write("net.d/20-new.conflist", &conf);
        },
        3,
        "both networks are called \"oldnet\"",
    ),
    (
        "a folder called like our network",
        |node| fs::create_dir(node.path("net.d/oldnet")).expect("directory"),
        3,
        "is a folder called like Crossfade's network",
    ),
    (
        "another conf of our type",
        |node| {
            node.write(
                "net.d/90-x.conflist",
                r#"{"cniVersion":"1.0.0","name":"x","plugins":[{"type":"crossfade"}]}"#,
            )
        },
        3,
        "90-x.conflist has a plugin of type crossfade",
    ),
    (
        "a network that is us",
        |node| {
            node.policy(|policy| {
                policy["networks"]["new"]["conf"] = json!([node.path("net.d/90-x.conflist")])
            })
        },
        3,
        "leads back to Crossfade",
    ),
    (
        "the node's network cannot be read",
        |node| node.write("net.d/05-torn.conflist", "{"),
        3,
        "05-torn.conflist is the network of this node and cannot be read",
    ),
    (
        "the name file is nonsense",
        |node| {
            node.write("state/name", "../evil\n");
            mode(&node.path("state"), 0o700);
        },
        3,
        "Crossfade's network cannot be called \"../evil\"",
    ),
    (
        "nothing to install",
        |node| fs::remove_file(node.path("package/crossfade")).expect("remove"),
        3,
        "plugin to install",
    ),
    ("the cache is open to others", |node| mode(&node.path("cache"), 0o777), 3, "runtime's cache"),
    (
        "the inventory is damaged",
        |node| {
            node.write("state/inventory.json", "{");
            mode(&node.path("state"), 0o700);
        },
        3,
        "inventory ",
    ),
];

/// The one case that needs another one's file.
fn prepare(node: &Node, case: &Case) {
    if case.0 == "a network that is us" {
        let conf = r#"{"cniVersion":"1.0.0","name":"x","plugins":[{"type":"crossfade"}]}"#;
        node.write("net.d/90-x.conflist", conf);
    }
    case.1(node);
}

#[test]
fn install_is_for_a_node_that_runs_and_not_for_an_image() {
    let tree = crate::tree::Tree::new();
    tree.write(
        "etc/cni/net.d/10-old.conflist",
        r#"{"cniVersion":"1.0.0","name":"old","plugins":[{"type":"ptp"}]}"#,
    );
    let before = tree.files();
    let answer = tree.run_expecting(&["install"], 2);
    assert!(answer.contains("bake") && answer.contains("--host"), "{answer}");
    assert_eq!(tree.files(), before);
}

#[test]
fn each_finding_is_told_and_nothing_is_touched() {
    for case in CASES {
        let (name, _, status, words) = case;
        let node = Node::new("bridge");
        prepare(&node, case);
        let before = node.files();
        let run = node.run(&["install"]);
        assert_eq!(run.status, *status, "{name}: {}{}", run.out, run.err);
        assert!(run.err.contains(words), "{name}: expected {words:?} in {}", run.err);
        assert!(run.out.is_empty(), "{name}: {}", run.out);
        assert_eq!(node.files(), before, "{name}");
    }
}

#[test]
fn all_findings_are_told_at_once() {
    let node = Node::new("bridge");
    let together: Vec<&Case> = CASES
        .iter()
        .filter(|case| {
            ["binary missing", "a conf before ours", "bin dir of others", "an exclusive agent"]
                .contains(&case.0)
        })
        .collect();
    assert_eq!(together.len(), 4);
    together.iter().for_each(|case| prepare(&node, case));
    let answer = node.document(&["install"], 3);
    let findings: Vec<String> = answer["problems"]
        .as_array()
        .expect("findings")
        .iter()
        .map(|problem| ["what", "fix"].map(|key| problem[key].as_str().expect("text")).join("; "))
        .collect();
    for (name, _, _, words) in together {
        assert!(findings.iter().any(|finding| finding.contains(words)), "{name}: {findings:#?}");
    }
}

#[test]
fn the_other_network_may_come_later_but_not_the_attached_one() {
    let node = Node::new("bridge");
    fs::remove_file(node.path("bin/ptp")).expect("remove");
    assert!(node.run_expecting(&["install"], 0).contains("note: network new: plugin \"ptp\""));
    node.policy(|policy| policy["attach"] = "both".into());
    assert!(node.run_expecting(&["install"], 3).contains("network new: plugin \"ptp\""));
    node.policy(|policy| {
        policy["attach"] = "old".into();
        policy.insert("rules".into(), json!([{"namespace": "x", "attach": "new"}]));
    });
    assert!(
        node.run_expecting(&["install"], 3).contains("network new: plugin \"ptp\""),
        "a rule attaches it, too"
    );
}

#[test]
fn private_mode_is_not_for_a_running_node() {
    let node = Node::new("bridge");
    let answer = node.run_expecting(&["install", "--mode", "private"], 3);
    assert!(answer.contains("install in shared mode; then set confDir to private"), "{answer}");
}

#[test]
fn a_runtime_that_does_not_answer_is_a_finding() {
    let node = Node::new("bridge");
    let socket = node.path("r.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("bind");
    drop(_listener);
    let mut command = node.command(&["install"]);
    // The last one counts.
    let arguments: Vec<_> = command.get_args().map(std::ffi::OsStr::to_owned).collect();
    let mut other_endpoint = std::process::Command::new(command.get_program());
    other_endpoint.args(&arguments[..arguments.len() - 1]).arg(format!("unix://{}", socket.display()));
    let output = other_endpoint.output().expect("runs");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{err}");
    assert!(err.contains("--runtime-endpoint none"), "{err}");
    assert!(command.output().expect("runs").status.success(), "no runtime is asked");
}

#[test]
fn a_runtime_that_is_not_there_is_a_finding_and_nothing_is_touched() {
    let node = Node::new("bridge");
    let install = |endpoint: &str, bin_dir: bool| {
        let mut command = node.command(&["install"]);
        let arguments: Vec<_> = command.get_args().map(std::ffi::OsStr::to_owned).collect();
        // The last two are those of the runtime, and the two before name the plugins' directory.
        let kept = arguments.len() - if bin_dir { 2 } else { 4 };
        command = std::process::Command::new(command.get_program());
        let output =
            command.args(&arguments[..kept]).args(["--runtime-endpoint", endpoint]).output().expect("runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let before = node.files();
    let (status, answer) = install("unix:///nonexistent/r.sock", true);
    assert!(
        status == Some(3) && answer.contains("no runtime listens at unix:///nonexistent/r.sock"),
        "{answer}"
    );
    let (status, answer) = install("none", false);
    assert!(status == Some(3) && answer.contains("name it with --bin-dir"), "{answer}");
    assert_eq!(node.files(), before);
    let (status, answer) = install("none", true);
    assert_eq!(status, Some(0), "{answer}");
}

#[test]
fn a_wrong_command_line_is_usage() {
    let node = Node::new("bridge");
    for arguments in [&["instal"][..], &["policy", "set", "sideways"], &["install", "--cni-version", "0.4.0"]]
    {
        assert_eq!(node.run(arguments).status, 2, "{arguments:?}");
    }
}
