//! `install` where nothing stands in its way.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use serde_json::json;

use crate::node::{Node, changes, key, mode, now};

const COREDNS: &str = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
const WEB: &str = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";

#[test]
fn a_node_with_calico_is_taken_over() {
    let node = Node::new("calico");
    let text = node.run_expecting(&["install"], 0);
    let words: Vec<_> =
        changes(&text).iter().map(|line| line.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(words, ["write", "write", "write", "write", "write", "confirm"], "{text}");
    assert!(text.contains("network new has no conf yet"), "{text}");
    assert!(text.contains("what the profiles know of old (calico) and new (cilium)"), "{text}");
    let policy = node.json("etc/policy.json");
    assert_eq!(policy["networks"]["old"]["ready"], json!([]), "what a person wrote stays");
    assert_eq!(policy["networks"]["new"]["ready"][0], json!({"unix": "/var/run/cilium/cilium.sock"}));

    let root = node.path("");
    let expected = json!({
        "cniVersion": "1.0.0", "name": "k8s-pod-network", "loadOnlyInlinedPlugins": true,
        "plugins": [{
            "type": "crossfade", "policy": root.join("etc/policy.json"), "stateDir": root.join("state"),
            "runDir": root.join("run"),
            "capabilities": {"io.kubernetes.cri.pod-annotations": true, "portMappings": true, "bandwidth": true},
        }],
    });
    assert_eq!(node.json("net.d/01-crossfade.conflist"), expected);
    assert_eq!(node.conf().metadata().expect("conf").mode() & 0o7777, 0o644);
    assert_eq!(node.read("state/name"), "k8s-pod-network\n");
    let plugin = node.path("bin/crossfade");
    assert_eq!(
        fs::read(&plugin).expect("plugin"),
        fs::read(node.path("package/crossfade")).expect("package")
    );
    assert_eq!(plugin.metadata().expect("plugin").mode() & 0o7777, 0o755);
    for private in ["state", "state/inventory.json", "state/name"] {
        let mode = node.path(private).metadata().expect("state").mode();
        assert_eq!(mode & 0o077, 0, "{private}: {mode:o}");
    }
}

#[test]
fn pods_do_not_come_to_wait_for_a_watch_that_is_not_there() {
    let node = Node::new("calico");
    node.policy(|policy| {
        policy["networks"]["old"].as_object_mut().expect("a network").remove("ready");
    });
    let before = node.files();
    for arguments in [&["install"][..], &["install", "--dry-run"]] {
        let text = node.run_expecting(arguments, 3);
        for words in [
            "network old: its pods wait for /run/crossfade/probe/old",
            "no watch runs here",
            "/var/lib/calico/nodename",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert_eq!(node.files(), before, "{arguments:?}");
    }
}

#[test]
fn the_inventory_keeps_what_a_del_needs() {
    let node = Node::new("calico");
    node.run_expecting(&["install"], 0);
    let listed: BTreeSet<_> = node.inventory().into_iter().collect();
    let old = |id: &str| (id.to_owned(), "old".to_owned());
    assert_eq!(listed, [old(COREDNS), old(WEB)].into(), "loopback is no pod network");
    let inventory = node.json("state/inventory.json");
    let web = inventory["attachments"]
        .as_array()
        .expect("list")
        .iter()
        .find(|e| e["containerID"] == WEB)
        .expect("web");
    assert_eq!(web["conf"], node.json("net.d/10-calico.conflist"));
    assert_eq!(web["prevResult"]["ips"][0]["address"], "192.168.77.6/32");
    assert_eq!(web["runtimeConfig"]["portMappings"][0]["HostPort"], 8080);
    let args = web["cniArgs"].as_str().expect("args");
    assert!(
        args.contains(&format!("K8S_POD_INFRA_CONTAINER_ID={WEB}")) && args.contains("K8S_POD_NAME=web-0")
    );
    let shown = node.run_expecting(&["attachments"], 0);
    assert!(shown.contains("old:k8s-pod-network@eth0  default/web-0"), "{shown}");
}

#[test]
fn a_dry_run_says_what_an_apply_does_and_touches_nothing() {
    let node = Node::new("calico");
    let before = node.files();
    let planned = node.run_expecting(&["install", "--dry-run"], 0);
    assert_eq!(node.files(), before);
    let document = node.document(&["install", "--dry-run"], 0);
    assert_eq!(node.files(), before);
    let applied = node.run_expecting(&["install"], 0);
    assert_eq!(changes(&planned), changes(&applied));
    let text = document["changes"].as_array().expect("changes");
    assert_eq!(text.len(), changes(&applied).len());
    for (text, line) in text.iter().zip(changes(&applied)) {
        let expected = format!(
            "{:<8} {}  ({})",
            text["action"].as_str().expect("action"),
            text["target"].as_str().expect("target"),
            text["reason"].as_str().expect("reason")
        );
        assert_eq!(line, expected);
        assert!(text.get("outcome").is_none(), "{text}");
    }
    assert_eq!(document["dryRun"], true);
}

#[test]
fn a_second_run_keeps_everything() {
    let node = Node::new("calico");
    node.run_expecting(&["install"], 0);
    let before = node.files();
    let text = node.run_expecting(&["install"], 0);
    assert!(changes(&text).iter().all(|line| line.starts_with("keep ")), "{text}");
    assert_eq!(node.files(), before);
}

#[test]
fn files_of_others_are_never_touched() {
    let node = Node::new("calico");
    let before = node.files();
    node.run_expecting(&["install"], 0);
    let after = node.files();
    for (name, print) in before.iter().filter(|(name, _)| *name != "etc/policy.json") {
        assert_eq!(after.get(name), Some(print), "{name}");
    }
    let fresh: BTreeSet<_> =
        after.keys().filter(|name| !before.contains_key(*name)).map(String::as_str).collect();
    let ours = [
        "bin/crossfade",
        "net.d/01-crossfade.conflist",
        "run/locks/inventory.lock",
        "run/locks/policy.lock",
        "state/inventory.json",
        "state/name",
    ];
    assert_eq!(fresh, ours.into(), "no temporary file is left either");
}

#[test]
fn what_differs_is_repaired_and_what_was_chosen_is_kept() {
    let node = Node::new("bridge");
    node.run_expecting(&["install", "--cni-version", "1.1.0"], 0);
    let conf = node.read("net.d/01-crossfade.conflist");
    assert!(conf.contains(r#""cniVersion": "1.1.0""#), "{conf}");

    node.write("bin/crossfade", "older");
    fs::remove_file(node.conf()).expect("remove");
    let text = node.run_expecting(&["install", "--cni-version", "1.1.0"], 0);
    let lines = changes(&text);
    // One of an earlier version may not know all that the inventory says.
    assert!(lines[0].starts_with("write") && lines[0].contains("differs; the plugin"), "{text}");
    assert!(lines[1].starts_with("keep") && lines[1].contains("inventory.json"), "{text}");
    assert!(lines[2].starts_with("keep"), "{text}");
    assert!(lines[3].starts_with("write") && lines[3].contains("missing"), "{text}");
    assert_eq!(node.read("net.d/01-crossfade.conflist"), conf);

    node.write("net.d/01-crossfade.conflist", &conf.replace("portMappings", "other"));
    assert!(node.run_expecting(&["install"], 0).contains("differs"));
    assert_eq!(
        node.read("net.d/01-crossfade.conflist"),
        conf,
        "directories and version are those of the conf"
    );
    assert!(node.run_expecting(&["install", "--cni-version", "1.0.0"], 0).contains("differs"));
}

#[test]
fn a_broken_conf_of_ours_is_written_anew() {
    let node = Node::new("bridge");
    node.run_expecting(&["install"], 0);
    let conf = node.read("net.d/01-crossfade.conflist");
    node.write("net.d/01-crossfade.conflist", "{\"cniVersion\":");
    let directories = ["--state-dir", "state", "--run-dir", "run", "--policy", "etc/policy.json"];
    let mut install = vec!["install".to_owned()];
    for pair in directories.chunks(2) {
        install.extend([pair[0].to_owned(), node.path(pair[1]).display().to_string()]);
    }
    let install: Vec<&str> = install.iter().map(String::as_str).collect();
    assert_eq!(node.run(&["attachments"]).status, 78, "it might have named other directories");
    node.run_expecting(&install, 0);
    assert_eq!(node.read("net.d/01-crossfade.conflist"), conf);
}

#[test]
fn another_owners_file_under_the_name_of_our_conf_is_left_alone() {
    let node = Node::new("bridge");
    let directories = ["--state-dir", "state", "--run-dir", "run", "--policy", "etc/policy.json"];
    let run = |words: &[&str], status: i32| {
        let mut arguments: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        for pair in directories.chunks(2) {
            arguments.extend([pair[0].to_owned(), node.path(pair[1]).display().to_string()]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        node.run_expecting(&arguments, status)
    };
    let theirs =
        json!({"cniVersion": "0.4.0", "name": "theirs", "plugins": [{"type": "bridge"}]}).to_string();
    node.write("net.d/01-crossfade.conflist", &theirs);
    let before = node.files();
    let output = run(&["install"], 3);
    assert!(output.contains("01-crossfade.conflist is not Crossfade's\n  fix: move it away\n"), "{output}");
    let output = run(&["status"], 3);
    assert!(output.contains("installed     no"), "{output}");
    assert!(
        output.contains("is not Crossfade's\n  fix: move it away, then run crossfade-bootstrap install\n"),
        "{output}"
    );
    assert_eq!(node.files(), before);
    fs::remove_dir_all(node.path("cache")).expect("nothing is attached");
    let output = run(&["uninstall"], 0);
    assert!(output.contains("(it is not Crossfade's)"), "{output}");
    assert_eq!(node.read("net.d/01-crossfade.conflist"), theirs);
}

#[test]
fn the_name_is_written_once() {
    let node = Node::new("bridge");
    node.run_expecting(&["install"], 0);
    assert_eq!(node.read("state/name"), "oldnet\n");
    // An agent that comes later and sorts first among the others must not rename us.
    node.write("net.d/05-new.conflist", &node.read("net.d/20-new.conflist"));
    fs::remove_file(node.conf()).expect("remove");
    node.run_expecting(&["install"], 0);
    assert_eq!(node.json("net.d/01-crossfade.conflist")["name"], "oldnet");
}

#[test]
fn a_node_without_a_network_gets_our_own_name() {
    let node = Node::new("bridge");
    for file in ["net.d/10-old.conflist", "net.d/20-new.conflist"] {
        fs::rename(node.path(file), node.path(&file.replace("net.d", "etc"))).expect("rename");
    }
    node.policy(|policy| {
        let networks = policy["networks"].to_string().replace("net.d", "etc");
        policy["networks"] = serde_json::from_str(&networks).expect("json");
    });
    fs::remove_dir_all(node.path("cache")).expect("no runtime ran yet");
    node.run_expecting(&["install"], 0);
    assert_eq!(node.json("net.d/01-crossfade.conflist")["name"], "crossfade");
    assert!(node.inventory().is_empty());
}

#[test]
fn an_inventory_is_merged_and_what_has_a_record_is_not_listed() {
    let node = Node::new("bridge");
    node.attach("c2", now(), &["10-old.conflist"]);
    node.write(
        "state/inventory.json",
        r#"{"version":1,"attachments":[{"containerID":"c1","ifname":"eth0","network":"new"}]}"#,
    );
    node.write("cache/oldnet-c3-eth0", &node.read("cache/oldnet-c1-eth0").replace("\"c1\"", "\"c3\""));
    node.write("cache/oldnet-c4-eth0", "");
    let text = node.run_expecting(&["install"], 0);
    assert!(text.contains("note: oldnet-c4-eth0"), "an empty file of a crash is told: {text}");
    let listed: BTreeSet<_> = node.inventory().into_iter().collect();
    let entry = |id: &str, network: &str| (id.to_owned(), network.to_owned());
    assert_eq!(listed, [entry("c1", "new"), entry("c3", "old"), entry("c4", "old")].into());
    let inventory = node.json("state/inventory.json");
    assert!(inventory["attachments"][0].get("conf").is_none(), "an entry that was there is as it was");
    let again = node.run_expecting(&["install"], 0);
    assert!(changes(&again)[0].starts_with("keep"), "{again}");
}

#[test]
fn an_attachment_of_an_unknown_network_needs_a_word() {
    let node = Node::new("bridge");
    let podman =
        node.read("cache/oldnet-c1-eth0").replace("\"c1\"", "\"p1\"").replace("\"oldnet\"", "\"podman\"");
    node.write("cache/podman-p1-eth0", &podman);
    let before = node.files();
    let text = node.run_expecting(&["install"], 3);
    assert!(
        text.contains("1 attachments are of network \"podman\"") && text.contains("--ignore-network"),
        "{text}"
    );
    assert_eq!(node.files(), before);
    node.run_expecting(&["install", "--ignore-network", "podman"], 0);
    assert_eq!(node.inventory().len(), 2);
    node.run_expecting(&["install", "--accept-unknown", "podman"], 0);
    assert!(node.inventory().contains(&("p1".into(), "old".into())));
}

#[test]
fn attachments_through_us_are_never_listed() {
    use base64::Engine;
    let node = Node::new("bridge");
    node.run_expecting(&["install"], 0);
    let conf = base64::engine::general_purpose::STANDARD.encode(node.read("net.d/01-crossfade.conflist"));
    let mut cached = node.json("cache/oldnet-c1-eth0");
    cached["config"] = conf.into();
    cached["containerId"] = "c9".into();
    node.write("cache/oldnet-c9-eth0", &cached.to_string());
    let text = node.run_expecting(&["install"], 0);
    assert!(changes(&text)[0].starts_with("keep"), "{text}");
    assert!(!node.inventory().iter().any(|(id, _)| id == "c9"));
}

#[test]
fn a_meta_plugin_that_delegates_to_us_may_sort_first() {
    let node = Node::new("bridge");
    node.write(
        "net.d/00-multus.conf",
        r#"{"cniVersion":"0.3.1","name":"multus","type":"multus","clusterNetwork":"oldnet"}"#,
    );
    let multus =
        node.read("cache/oldnet-c1-eth0").replace("\"c1\"", "\"m1\"").replace("\"oldnet\"", "\"multus\"");
    node.write("cache/multus-m1-eth0", &multus);
    node.run_expecting(&["install"], 0);
    assert_eq!(node.read("state/name"), "oldnet\n", "ours is the name of the network behind it");
    assert!(!node.inventory().iter().any(|(id, _)| id == "m1"), "a meta-plugin keeps its own records");
    node.run_expecting(&["status"], 0);
}

#[test]
fn the_conf_is_only_ever_the_target_of_a_rename() {
    if Command::new("strace").arg("-V").output().is_err() {
        // What the file system shows is tested elsewhere; this one looks at how.
        eprintln!("not run: strace is not installed");
        return;
    }
    let node = Node::new("bridge");
    let log = node.path("strace.log");
    let install = node.command(&["install"]);
    let traced = Command::new("strace")
        .args(["-f", "-s", "300", "-e", "trace=file", "-o"])
        .arg(&log)
        .arg(install.get_program())
        .args(install.get_args())
        .output()
        .expect("strace");
    assert!(traced.status.success(), "{}", String::from_utf8_lossy(&traced.stderr));
    let trace = fs::read_to_string(&log).expect("trace");
    let dir = node.path("net.d");
    let lines: Vec<&str> = trace.lines().filter(|line| line.contains(&*dir.to_string_lossy())).collect();
    let at = lines
        .iter()
        .position(|line| {
            line.contains("rename")
                && line.trim_end().ends_with("= 0")
                && line.contains("01-crossfade.conflist")
        })
        .unwrap_or_else(|| panic!("no rename in {lines:#?}"));
    for line in &lines {
        let creates = ["O_CREAT", "O_TRUNC", "O_WRONLY", "O_RDWR"].iter().any(|flag| line.contains(flag));
        assert!(!(creates && line.contains("01-crossfade")), "written in place: {line}");
        let visible = [".conf\"", ".conflist\"", ".json\""].iter().any(|end| line.contains(end));
        assert!(!(creates && visible), "a temporary file that a runtime would read: {line}");
    }
    let nudge = |word: &str| {
        lines
            .iter()
            .rposition(|line| line.contains("-nudge") && line.contains(word))
            .unwrap_or_else(|| panic!("{word}: {lines:#?}"))
    };
    assert!(at < nudge("O_CREAT") && nudge("O_CREAT") < nudge("unlink"), "the nudge comes after the rename");
}

#[test]
fn a_plugin_in_use_is_replaced() {
    let node = Node::new("bridge");
    node.write("bin/crossfade", "");
    fs::copy("/bin/cat", node.path("bin/crossfade")).expect("copy");
    mode(&node.path("bin/crossfade"), 0o755);
    let mut running = Command::new(node.path("bin/crossfade"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("runs");
    node.run_expecting(&["install"], 0);
    drop(running.stdin.take());
    assert!(running.wait().expect("ends").success(), "the running one is another file");
    assert_eq!(node.read("bin/crossfade"), node.read("package/crossfade"));
}

#[test]
fn status_counts_both_kinds() {
    let node = Node::new("bridge");
    let text = node.document(&["status"], 3);
    assert!(
        text["problems"][0]["fix"].as_str().expect("fix").contains("crossfade-bootstrap install"),
        "{text}"
    );
    node.run_expecting(&["install"], 0);
    node.attach("c9", now(), &["10-old.conflist", "20-new.conflist"]);
    let text = node.document(&["status"], 0);
    assert_eq!(text["phase"], "old");
    assert_eq!(
        text["networks"],
        json!({"oldnet":{"records":1,"inventory":2},"newnet":{"records":1,"inventory":0}})
    );
    assert_eq!((&text["pendingDels"], &text["ledgerLines"]), (&json!(0), &json!(0)));
    assert_eq!(text["attached"], json!({"old": 2, "both-old": 1}));
    assert_eq!((&text["mints"], &text["follows"]), (&json!(["old"]), &json!([])));
    assert!(text["base"].as_str().is_some_and(|base| base.len() == 64), "{text}");
    node.write("net.d/00-a.conflist", &node.read("net.d/20-new.conflist"));
    assert!(node.run_expecting(&["status"], 3).contains("00-a.conflist sorts before"));
    let listed = node.document(&["attachments"], 0);
    let lines = listed["attachments"].as_array().expect("list");
    let ours = lines.iter().find(|line| line["containerID"] == key("c9").container_id).expect("ours");
    assert_eq!(
        (&ours["life"], &ours["pod"], &ours["namespace"]),
        (&json!("attached"), &json!("p"), &json!("n"))
    );
    assert_eq!(ours["networks"][1]["side"], "new");
}
