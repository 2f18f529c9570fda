//! A node whose node.json cannot be used: in which mode it is all the same.

use std::fs;

use serde_json::json;

use crate::node::mode;
use crate::tree::{OURS, Tree};

const BROKEN: &str = r#""lables": {}"#;
const ENV: &str = "run/crossfade/runtime.env";

/// The last boot was in this mode.
fn remembered(tree: &Tree, mode: &str) {
    tree.write(
        "var/lib/crossfade/boot.json",
        &json!({"version": 1, "bootID": "zero", "confDir": mode}).to_string(),
    );
}

#[test]
fn it_holds_the_runtime_in_private_mode_and_never_in_shared_mode() {
    type Make = fn(&Tree);
    let cases: [(&str, Make, i32); 9] = [
        ("remembered as shared", |tree| remembered(tree, "shared"), 0),
        ("remembered as private", |tree| remembered(tree, "private"), 78),
        ("remembered as a final image", |tree| remembered(tree, "none"), 0),
        ("nothing is known", |_| {}, 78),
        (
            "a first boot over an image's shared mode",
            |tree| {
                tree.write("usr/lib/crossfade/node.json", r#"{"version": 1, "confDir": "shared"}"#);
            },
            0,
        ),
        (
            "a first boot over an image's private mode",
            |tree| {
                tree.write("usr/lib/crossfade/node.json", r#"{"version": 1, "confDir": "private"}"#);
            },
            78,
        ),
        (
            "installed, and never booted since",
            |tree| {
                let conf =
                    json!({"cniVersion": "1.0.0", "name": "oldnet", "plugins": [{"type": "crossfade"}]});
                tree.write(OURS, &conf.to_string());
            },
            0,
        ),
        (
            "the file itself says private",
            |tree| {
                remembered(tree, "shared");
                tree.node(&format!(r#""confDir": "private", {BROKEN}"#));
            },
            78,
        ),
        (
            "the file itself says shared",
            |tree| {
                remembered(tree, "private");
                tree.node(&format!(r#""confDir": "shared", {BROKEN}"#));
            },
            0,
        ),
    ];
    for (what, make, status) in cases {
        let tree = Tree::new();
        tree.node(BROKEN);
        make(&tree);
        tree.write(ENV, "CROSSFADE_RUNTIME_ARGS=of an earlier start\n");
        let run = tree.run(&["unit", "render", "--runtime"]);
        let text = run.out + &run.err;
        assert_eq!(run.status, status, "{what}: {text}");
        assert!(text.contains("lables"), "{what}: what is wrong is not said: {text}");
        assert_eq!(tree.has(ENV), status != 0, "{what}: {text}");
        // kubelet waits in every mode, and says why.
        assert!(tree.run_expecting(&["unit", "gate", "--dry-run"], 78).contains("lables"), "{what}");
    }
}

#[test]
fn what_others_could_have_written_names_no_mode() {
    let tree = Tree::new();
    remembered(&tree, "private");
    tree.node(r#""confDir": "shared""#);
    mode(&tree.path("etc/crossfade/node.json"), 0o666);
    assert!(tree.run_expecting(&["unit", "render", "--runtime"], 78).contains("chmod"));
}

#[test]
fn every_boot_remembers_its_mode() {
    let tree = Tree::new();
    tree.run_expecting(&["unit", "boot"], 0);
    assert_eq!(tree.json("var/lib/crossfade/boot.json")["confDir"], "shared");
    tree.boots("two");
    tree.node(BROKEN);
    tree.run_expecting(&["unit", "boot"], 78);
    assert!(
        tree.run_expecting(&["unit", "render", "--runtime"], 0).contains("the last boot was in this mode")
    );
}

#[test]
fn what_cannot_be_taken_away_keeps_no_runtime_from_starting_in_shared_mode() {
    let tree = Tree::new();
    fs::create_dir_all(tree.path(ENV)).expect("a directory in its place");
    assert!(tree.run_expecting(&["unit", "render", "--runtime"], 0).contains("runtime.env"));
}

/// A node whose runtime is k3s' by a node.json that has a mistake elsewhere.
fn unusual() -> Tree {
    const CONFIG: &str = "/var/lib/rancher/k3s/agent/etc/containerd/config.toml";
    let tree = Tree::bare();
    tree.write("etc/systemd/system/k3s.service", "[Service]\nExecStart=/usr/local/bin/k3s server\n");
    let imports = r#"imports = ["/run/k3s/containerd/conf.d/*.toml"]"#;
    let cni = "[plugins.\"io.containerd.cri.v1.runtime\".cni]\nconf_dir = \"/var/lib/rancher/k3s/agent/etc/cni/net.d\"\n";
    tree.write(CONFIG.trim_start_matches('/'), &format!("version = 3\n{imports}\n{cni}"));
    tree.node(&format!(r#""runtime": {{"name": "containerd", "config": "{CONFIG}"}}, {BROKEN}"#));
    tree
}

#[test]
fn switching_off_finds_the_conf_of_the_runtime_that_a_broken_one_names() {
    const OF_K3S: &str = "var/lib/rancher/k3s/agent/etc/cni/net.d/01-crossfade.conflist";
    let tree = unusual();
    let conf = json!({"cniVersion": "1.0.0", "name": "oldnet", "plugins": [{"type": "crossfade"}]});
    tree.write(OF_K3S, &conf.to_string());
    tree.write("etc/crossfade/disabled", "");
    let text = tree.run_expecting(&["unit", "boot"], 0);
    assert!(!tree.has(OF_K3S), "{text}");
    assert!(text.contains("lables"), "nothing says that the file is broken: {text}");
}

#[test]
fn no_drop_in_of_private_mode_stays_where_a_broken_one_names_the_runtime() {
    const DROP_IN: &str = "run/k3s/containerd/conf.d/zz-crossfade.toml";
    let tree = unusual();
    remembered(&tree, "shared");
    tree.write(DROP_IN, "version = 3\n");
    tree.run_expecting(&["unit", "render", "--runtime"], 0);
    assert!(!tree.has(DROP_IN), "the next start of the runtime would read Crossfade's directory");
}

#[test]
fn watch_writes_no_conf_into_the_agents_directory_of_a_private_node() {
    let tree = Tree::new();
    tree.conf("10-calico.conflist", "calico", "bridge");
    tree.run_expecting(&["unit", "boot"], 0);
    // It went over to private mode since, and its conf with it.
    fs::remove_file(tree.path(OURS)).expect("not there");
    remembered(&tree, "private");
    tree.node(BROKEN);
    let text = tree.run(&["unit", "watch", "--once", "--dry-run"]);
    let text = text.out + &text.err;
    assert!(text.contains("lables") && !text.contains(OURS), "{text}");
}

/// Every command that acts on node.json, or on what it decides: which directories are in use.
#[test]
fn no_command_guesses_what_a_broken_one_was_to_say() {
    let commands: [&[&str]; 11] = [
        &["policy", "show"],
        &["policy", "check"],
        &["policy", "set", "new", "--dry-run"],
        &["policy", "explain"],
        &["attachments"],
        &["unit", "sweep", "--dry-run", "--listed", "/dev/null"],
        &["uninstall", "--dry-run", "--runtime-endpoint", "none"],
        &["status", "--runtime-endpoint", "none"],
        &["unit", "retract", "--dry-run", "--removed"],
        &["unit", "render"],
        &["unit", "boot"],
    ];
    for known in ["shared", "private"] {
        for command in commands {
            let tree = Tree::new();
            remembered(&tree, known);
            tree.node(BROKEN);
            let before = tree.files();
            let run = tree.run(command);
            let text = run.out + &run.err;
            assert_eq!(run.status, 78, "{command:?}, remembered as {known}: {text}");
            assert!(text.contains("node.json") && text.contains("lables"), "{command:?}: {text}");
            assert_eq!(tree.files(), before, "{command:?} changed something");
        }
    }
}

#[test]
fn the_generator_says_that_it_is_broken_and_continues_units_of_the_usual_names() {
    let tree = Tree::new();
    tree.write("usr/lib/systemd/system/kubelet.service", "[Service]\nExecStart=/usr/bin/kubelet\n");
    let generate = |out: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_crossfade-bootstrap"));
        std::os::unix::process::CommandExt::arg0(&mut command, "crossfade-generator");
        command.arg("--root").arg(tree.path("")).arg(tree.path(out)).output().expect("generator")
    };
    let well = generate("well");
    assert!(well.status.success() && tree.has("well/kubelet.service.d/zz-crossfade.conf"), "{well:?}");
    tree.node(BROKEN);
    let broken = generate("broken");
    let message = String::from_utf8_lossy(&broken.stderr);
    assert_eq!(broken.status.code(), Some(78), "{message}");
    assert!(message.contains("node.json") && message.contains("lables"), "{message}");
    assert!(tree.has("broken/kubelet.service.d/zz-crossfade.conf"), "{message}");
}
