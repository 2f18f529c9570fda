//! `gate` on trees of nodes.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::tree::{CRIO, OURS, Tree};

/// One look, and no kubelet of ours to ask about.
const ONE_TRY: &str = r#""kubelet": {"register": false}, "gate": {"trySeconds": 1}"#;

fn prepared() -> Tree {
    let tree = Tree::new();
    tree.node(ONE_TRY);
    crate::node::mode(&tree.path("usr/libexec/crossfade/crossfade"), 0o755);
    tree.run_expecting(&["unit", "boot"], 0);
    tree
}

#[test]
fn it_opens_when_all_is_in_place_and_says_everything_that_is_not() {
    let tree = prepared();
    tree.run_expecting(&["unit", "gate"], 0);
    assert!(!tree.has("run/crossfade/gate.json"));

    let tree = Tree::new();
    tree.node(ONE_TRY);
    let output = tree.run_expecting(&["unit", "gate"], 3);
    for words in ["boot has not succeeded", "plugin \"crossfade\"", "01-crossfade.conflist"] {
        assert!(output.contains(words), "{words}: {output}");
    }
    assert!(tree.has("run/crossfade/gate.json"));
}

#[test]
fn each_thing_that_is_not_as_it_must_be_keeps_it_shut() {
    type Break = fn(&Tree);
    let cases: [(&str, Break, i32, &str); 8] = [
        (
            "another boot",
            |tree| tree.write("proc/sys/kernel/random/boot_id", "two\n"),
            3,
            "boot has not succeeded",
        ),
        (
            "no policy",
            |tree| fs::remove_file(tree.path("etc/crossfade/policy.json")).expect("gone"),
            78,
            "policy.json",
        ),
        ("a broken node.json", |tree| tree.node(r#""gate": {}, "x": 1"#), 78, "node.json"),
        (
            "no plugin",
            |tree| fs::remove_file(tree.path("opt/cni/bin/crossfade")).expect("gone"),
            3,
            "crossfade",
        ),
        (
            "a plugin of others",
            |tree| crate::node::mode(&tree.path("opt/cni/bin/crossfade"), 0o777),
            3,
            "chmod go-w",
        ),
        ("no conf", |tree| fs::remove_file(tree.path(OURS)).expect("gone"), 3, "is missing"),
        ("not our conf", |tree| tree.conf("01-crossfade.conflist", "x", "bridge"), 3, "not Crossfade's"),
        (
            "another conf before ours",
            |tree| tree.conf("00-own.conflist", "x", "bridge"),
            3,
            "00-own.conflist",
        ),
    ];
    for (what, spoil, status, words) in cases {
        let tree = prepared();
        tree.run_expecting(&["unit", "gate", "--dry-run"], 0);
        spoil(&tree);
        let before = tree.files();
        let output = tree.run_expecting(&["unit", "gate", "--dry-run"], status);
        assert!(output.contains(words), "{what}: {output}");
        assert_eq!(tree.files(), before, "{what}");
    }
}

#[test]
fn a_conf_that_sorts_first_matters_only_where_the_runtime_goes_by_the_order() {
    for (network, status) in [("cni_default_network = 'crossfade'", 0), ("", 3)] {
        let tree = Tree::bare();
        crate::node::mode(&tree.path("usr/libexec/crossfade/crossfade"), 0o755);
        tree.write(CRIO, "[Service]\nExecStart=/usr/bin/crio\n");
        tree.write("etc/crio/crio.conf", &format!("[crio.network]\n{network}\n"));
        tree.node(ONE_TRY);
        tree.run_expecting(&["unit", "boot"], 0);
        tree.conf("00-own.conflist", "x", "bridge");
        let output = tree.run_expecting(&["unit", "gate", "--dry-run"], status);
        assert_eq!(output.contains("00-own.conflist sorts before"), status == 3, "{network}: {output}");
    }
}

#[test]
fn an_agent_that_is_not_there_is_not_waited_for() {
    let tree = prepared();
    assert!(!tree.has("etc/cni/net.d/10-calico.conflist"));
    tree.run_expecting(&["unit", "gate"], 0);
}

#[test]
fn private_mode_wants_a_runtime_that_was_told() {
    let tree = Tree::new();
    crate::node::mode(&tree.path("usr/libexec/crossfade/crossfade"), 0o755);
    let private = |tree: &Tree| tree.node(&format!(r#""confDir": "private", {ONE_TRY}"#));
    private(&tree);
    tree.write(
        "run/systemd/generator/containerd.service.d/zz-crossfade.conf",
        "# Written by crossfade-generator: the command of /usr/lib/systemd/system/containerd.service with what crossfade-bootstrap unit render adds to it.\n[Service]\nExecStart=\nExecStart=/usr/bin/containerd $CROSSFADE_RUNTIME_ARGS\n",
    );
    tree.run_expecting(&["unit", "boot"], 0);
    assert!(
        tree.run_expecting(&["unit", "gate", "--dry-run"], 3).contains("not told of /run/crossfade/net.d")
    );
    tree.write(
        "run/crossfade/runtime.env",
        "CROSSFADE_RUNTIME_ARGS=--config /run/crossfade/containerd/config.toml\n",
    );
    assert!(
        tree.run_expecting(&["unit", "gate", "--dry-run"], 3)
            .contains("/run/crossfade/containerd/config.toml is gone")
    );
    tree.write("run/crossfade/containerd/config.toml", "version = 2\n");
    tree.run_expecting(&["unit", "gate", "--dry-run"], 0);
    fs::remove_dir(tree.path("run/crossfade/net.d")).expect("gone");
    assert!(tree.run_expecting(&["unit", "gate", "--dry-run"], 3).contains("net.d is missing"));
}

#[test]
fn a_try_ends_as_soon_as_all_is_well() {
    let tree = prepared();
    tree.node(r#""kubelet": {"register": false}, "gate": {"trySeconds": 60}"#);
    let conf = tree.path(OURS);
    let away = tree.path("etc/away");
    fs::rename(&conf, &away).expect("taken");
    let mut gate =
        tree.command(&["unit", "gate"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
    fs::rename(&away, &conf).expect("back");
    let end = Instant::now() + Duration::from_secs(50);
    let status = loop {
        match gate.try_wait().expect("waits") {
            Some(status) => break status,
            None if Instant::now() > end => {
                gate.kill().expect("ours");
                panic!("it waits for nothing");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    assert_eq!(status.code(), Some(0));
}

/// A kubelet whose command ends in our variable.
pub(crate) fn continued_kubelet(tree: &Tree) {
    tree.write("usr/lib/systemd/system/kubelet.service", "[Service]\nExecStart=/usr/bin/kubelet\n");
    tree.write(
        "run/systemd/generator/kubelet.service.d/zz-crossfade.conf",
        "# Written by crossfade-generator: the command of /usr/lib/systemd/system/kubelet.service with what crossfade-bootstrap unit render adds to it.\n[Service]\nExecStart=\nExecStart=/usr/bin/kubelet $CROSSFADE_KUBELET_ARGS\n",
    );
}

#[test]
fn giving_up_lets_kubelet_through_with_a_reason_until_all_is_well() {
    let tree = prepared();
    continued_kubelet(&tree);
    tree.node(r#""gate": {"trySeconds": 60, "giveUpSeconds": 1}"#);
    let conf = tree.read(OURS);
    fs::remove_file(tree.path(OURS)).expect("gone");
    let output = tree.run_expecting(&["unit", "gate"], 0);
    assert!(output.contains("waiting: Crossfade's conf"), "said before the wait: {output}");
    assert!(output.contains("gives up") && output.contains("is missing"), "{output}");
    assert!(tree.read("run/crossfade/unfit").contains("01-crossfade.conflist"));
    tree.write(OURS, &conf);
    tree.run_expecting(&["unit", "gate"], 0);
    assert!(!tree.has("run/crossfade/unfit"));
}

#[test]
fn kubelet_is_held_back_where_it_would_not_get_the_taint() {
    let tree = prepared();
    tree.write("usr/lib/systemd/system/kubelet.service", "[Service]\nExecStart=/usr/bin/kubelet\n");
    tree.node(r#""gate": {"trySeconds": 60, "giveUpSeconds": 1}"#);
    let output = tree.run_expecting(&["unit", "gate"], 3);
    assert!(
        output.contains("held back beyond gate.giveUpSeconds") && output.contains("crossfade-generator"),
        "{output}"
    );
    assert!(!tree.has("run/crossfade/unfit"));
}

#[test]
fn the_command_line_matters_only_where_there_is_something_to_say() {
    let tree = prepared();
    tree.write("usr/lib/systemd/system/kubelet.service", "[Service]\nExecStart=/usr/bin/kubelet\n");
    tree.run_expecting(&["unit", "gate", "--dry-run"], 0);
    tree.node(r#""labels": {"a": "b"}"#);
    assert!(tree.run_expecting(&["unit", "gate", "--dry-run"], 3).contains("crossfade-generator"));
}

#[test]
fn switched_off_it_is_open() {
    let tree = Tree::new();
    tree.write("run/crossfade/unfit", "x");
    tree.write("etc/crossfade/disabled", "");
    tree.write("etc/crossfade/node.json", "{");
    tree.run_expecting(&["unit", "gate"], 0);
    assert!(!tree.has("run/crossfade/unfit"));
}
