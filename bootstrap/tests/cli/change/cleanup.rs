//! `cleanup`, on trees: what Crossfade knows of attachments, the files of a CNI, and how it answers. What it does to a kernel is tested on one
//! (`tests/tests/node/cleanup`): a tree has none.

use std::fs;

use serde_json::{Value, json};
use shim::node::inventory::{self, Deleter, Entry};

use crate::node::{Node, Run, now};

/// A node that has moved from Calico to Cilium, with the files of both.
fn node() -> Node {
    let node = Node::new("calico");
    node.policy(|policy| drop(policy.insert("attach".into(), json!("new"))));
    let calico = fs::read_to_string(node.path("net.d/10-calico.conflist")).expect("conf");
    let types = r#"{"cniVersion":"0.3.1","name":"cilium","plugins":[{"type":"cilium-cni"}]}"#;
    node.write("net.d/05-cilium.conflist", types);
    node.write("net.d/10-calico.conflist.cilium_bak", &calico);
    node.write("var/lib/calico/nodename", "n1");
    node.write("var/lib/calicosomething/x", "another program's");
    node.write("etc/cni/net.d/calico-kubeconfig", "a secret");
    node.write("opt/cni/bin/calico", "a program");
    node.write("opt/cni/bin/portmap", "a program");
    node
}

fn cleanup(node: &Node, arguments: &[&str]) -> Run {
    cleanup_of(node, "calico", arguments)
}

fn cleanup_of(node: &Node, profile: &str, arguments: &[&str]) -> Run {
    let root = node.path("").display().to_string();
    let all = [&["cleanup", profile, "--root", root.trim_end_matches('/')], arguments].concat();
    node.run(&all)
}

fn document(run: &Run) -> Value {
    serde_json::from_str(&run.out).unwrap_or_else(|e| panic!("{e}: {run:?}"))
}

#[test]
fn the_files_of_a_cni_go_and_those_of_others_stay() {
    let node = node();
    let before = node.files();
    let planned = cleanup(&node, &[]);
    assert_eq!((planned.status, node.files()), (0, before), "{planned:?}");
    let done = cleanup(&node, &["--apply", "-o", "json"]);
    assert_eq!(done.status, 0, "{done:?}");
    let output = document(&done);
    for gone in [
        "var/lib/calico",
        "etc/cni/net.d/calico-kubeconfig",
        "opt/cni/bin/calico",
        "net.d/10-calico.conflist",
        "net.d/10-calico.conflist.cilium_bak",
    ] {
        assert!(!node.path(gone).exists(), "{gone}: {output}");
        assert!(planned.out.contains(gone), "{gone}: {}", planned.out);
    }
    for stays in ["var/lib/calicosomething/x", "opt/cni/bin/portmap", "net.d/05-cilium.conflist"] {
        assert!(node.path(stays).exists(), "{stays}: {output}");
    }
    let path = node.path("net.d/10-calico.conflist");
    let aside = node.path("state/set-aside/cleanup/calico").join(path.strip_prefix("/").expect("absolute"));
    assert!(aside.is_file(), "{}", aside.display());
    let journal = node.read("state/set-aside/cleanup/calico.jsonl");
    assert!(!journal.contains("a secret") && journal.contains("calico-kubeconfig"), "{journal}");
    let again = cleanup(&node, &["--apply"]);
    assert!(again.status == 0 && again.out.contains("nothing of calico is left"), "{again:?}");
}

#[test]
fn what_crossfade_knows_of_attachments_refuses_all_at_once() {
    let refused = |node: &Node, why: &[&str]| {
        let before = node.files();
        for arguments in [&["-o", "json"][..], &["--apply", "-o", "json"]] {
            let run = cleanup(node, arguments);
            assert_eq!(run.status, 3, "{run:?}");
            let problems = document(&run)["problems"].as_array().cloned().unwrap_or_default();
            let text: Vec<_> = problems.iter().filter_map(|problem| problem["what"].as_str()).collect();
            assert_eq!(text.len(), why.len(), "{text:?}");
            assert!(why.iter().zip(&text).all(|(why, text)| text.contains(why)), "{why:?}: {text:?}");
        }
        // The lock of a clean-up that was refused stays, as every lock does.
        let changed: Vec<_> = node
            .files()
            .into_iter()
            .filter(|(path, print)| before.get(path) != Some(print))
            .map(|(path, _)| path)
            .collect();
        assert!(changed.iter().all(|path| path == "run/locks/cleanup.lock"), "{changed:?}");
        assert!(before.keys().all(|path| node.path(path).exists()), "something is gone");
    };
    let own = node();
    own.attach("r1", now(), &["10-calico.conflist"]);
    refused(&own, &["attachments of calico are on record: r1 eth0"]);
    let listed = node();
    let entry = Entry {
        container_id: "c1".into(),
        ifname: "eth0".into(),
        network: "old".into(),
        conf: None,
        prev_result: None,
        runtime_config: None,
        cni_args: None,
        listed_at: None,
        deleted_by: Deleter::Crossfade,
    };
    shim::host::file::create_private_dir(&listed.path("state")).expect("directory");
    inventory::change(&listed.layout(), |inventory| inventory.attachments.push(entry)).expect("inventory");
    refused(&listed, &["sandboxes from before Crossfade are on calico: c1 eth0"]);
    let flipped = node();
    flipped.policy(|policy| drop(policy.insert("attach".into(), json!("both"))));
    refused(&flipped, &["the policy attaches pods to the network old"]);
    let ruled = node();
    let rule = json!([{"namespace": "kube-system", "attach": "old"}]);
    ruled.policy(|policy| drop(policy.insert("rules".into(), rule)));
    refused(&ruled, &["the policy attaches pods to the network old"]);
    let annotated = node();
    let annotation = json!({"key": "crossfade/attach", "allow": ["both"]});
    annotated.policy(|policy| drop(policy.insert("podAnnotation".into(), annotation)));
    refused(&annotated, &["the policy attaches pods to the network old"]);
    let first = node();
    fs::remove_file(first.path("net.d/05-cilium.conflist")).expect("conf");
    first.attach("r1", now(), &["10-calico.conflist"]);
    refused(&first, &["are on record", "10-calico.conflist is the conf that the runtime uses"]);
    // Canal has Calico's plugin and Calico's chains, under a conf's name of its own.
    let canal = node();
    let conf = fs::read_to_string(canal.path("net.d/10-calico.conflist")).expect("conf");
    canal.write("net.d/10-canal.conflist", &conf.replace("k8s-pod-network", "canal"));
    refused(&canal, &["10-canal.conflist is of canal and has what calico leaves"]);
    let whole = cleanup_of(&canal, "canal", &["--apply"]);
    let commands = "crossfade-bootstrap cleanup calico; then crossfade-bootstrap cleanup flannel";
    assert!(whole.status == 3 && whole.err.contains(commands), "{whole:?}");
    let other = node();
    other.attach("r1", now(), &["05-cilium.conflist"]);
    assert_eq!(cleanup(&other, &["--apply"]).status, 0, "another network's attachments are none of Calico's");
}

#[test]
fn a_policy_that_cannot_be_read_might_name_the_cni() {
    let node = node();
    node.write("etc/policy.json", "{");
    let run = cleanup(&node, &["--apply"]);
    assert_eq!(run.status, 78, "{run:?}");
    fs::remove_file(node.path("etc/policy.json")).expect("policy");
    assert_eq!(cleanup(&node, &["--apply"]).status, 0, "without a policy no pod is attached to it");
}

#[test]
fn renamed_confs_and_confs_of_an_unknown_owner_are_for_the_operator() {
    let node = node();
    node.policy(|policy| drop(policy.insert("attach".into(), json!("old"))));
    fs::remove_file(node.path("net.d/05-cilium.conflist")).expect("conf");
    node.write("net.d/87-podman.conflist.cilium_bak", "{}");
    node.write("net.d/10-cilium-cni.conf", r#"{"cniVersion":"0.3.1","name":"mine","type":"ptp"}"#);
    node.write("net.d/05-cilium.conf", "{");
    let run = cleanup_of(&node, "cilium", &["-o", "json"]);
    let output = document(&run);
    let look: Vec<_> = output["look"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|item| item["target"].as_str().unwrap_or_default())
        .collect();
    for file in ["87-podman.conflist.cilium_bak", "10-cilium-cni.conf", "05-cilium.conf"] {
        assert_eq!(look.iter().filter(|target| target.ends_with(file)).count(), 1, "{file}: {output}");
    }
    assert_eq!(output["changes"], json!([]), "{output}");
}
