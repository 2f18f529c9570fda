//! `stragglers --fix`, as far as it needs no cluster.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::run::{fixtures, run_in, stderr, stdout};

/// The cluster of three nodes, at the end of its migration: all nodes are in phase `new`. `late` is what node n2 says of its attachments.
fn arrived(late: &str) -> tempfile::TempDir {
    let (from, to) = (fixtures().join("plan-three"), tempfile::tempdir().expect("a directory"));
    fs::create_dir(to.path().join("cluster")).expect("a directory");
    fs::copy(from.join("config.yaml"), to.path().join("config.yaml")).expect("settings");
    for file in fs::read_dir(from.join("cluster")).expect("files").map(|file| file.expect("a file")) {
        fs::copy(file.path(), to.path().join("cluster").join(file.file_name())).expect("a copy");
    }
    let nodes = to.path().join("cluster/nodes.yaml");
    let text = fs::read_to_string(&nodes).expect("nodes");
    let text = text
        .replace("crossfade/phase: old", "crossfade/phase: new")
        .replace(r#""phase":"old""#, r#""phase":"new""#)
        .replace(r#""mints":["old"]"#, r#""mints":["new"]"#)
        .replace(r#""attached":{"old""#, r#""attached":{"new""#);
    let said = |text: &str| text.find(r#""bootId":"boot-n2""#).expect("node n2");
    let (before, after) = text.split_at(said(&text));
    let (mine, rest) = after.split_once("}'").expect("the end of what it says");
    let at = mine.find(r#""attached":"#).expect("its attachments");
    let text = format!(r#"{before}{}"attached":{late}}}'{rest}"#, &mine[..at]);
    fs::write(nodes, text).expect("written");
    to
}

const FIX: [&str; 12] = [
    "stragglers",
    "--fix",
    "--from",
    "flannel",
    "--to",
    "cilium",
    "--strategy",
    "bridge",
    "--config",
    "config.yaml",
    "--dumped",
    "all",
];

fn fix(dir: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let output = run_in(dir, &[&FIX[..], &["--snapshot", "cluster"], more].concat());
    (output.status.code(), stdout(&output).to_owned(), stderr(&output).to_owned())
}

fn answer(dir: &Path) -> (Option<i32>, Value) {
    let (status, said, complaint) = fix(dir, &["-o", "json"]);
    (status, serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}{complaint}")))
}

/// How the UID of the first pod on n2 that a ReplicaSet makes begins, and its name.
fn first(dir: &Path) -> (String, String) {
    let pods = fs::read_to_string(dir.join("cluster/pods.yaml")).expect("pods");
    let of_node = |pod: &&str| pod.contains("nodeName: n2") && pod.contains("kind: ReplicaSet");
    let pod = pods.split("\n---\n").find(of_node).expect("a pod");
    let value = |key: &str| {
        let rest = pod.split_once(&format!("{key}: ")).expect("a key").1;
        rest.split([',', '}', '\n']).next().unwrap_or_default().to_owned()
    };
    (value("uid")[..8].to_owned(), format!("{}/{}", value("namespace"), value("name")))
}

#[test]
fn one_straggler_is_one_eviction_and_the_same_plan_each_time() {
    let (uid, name) = first(arrived(r#"{"new":3}"#).path());
    let dir = arrived(&format!(r#"{{"old":1,"new":2,"others":["{uid}"]}}"#));
    let (status, planned) = answer(dir.path());
    assert_eq!((status, &planned["phase"], &planned["saved"]), (Some(0), &"new".into(), &false.into()));
    let pods = planned["pods"].as_array().expect("pods");
    assert!(pods.len() == 1 && pods[0]["pod"] == *name && pods[0]["becomes"] == "evicted", "{planned:#}");
    assert_eq!(
        (&planned["plan"]["start"], &planned["plan"]["passes"]),
        (&"new".into(), &serde_json::json!(["new"]))
    );
    assert_eq!(answer(dir.path()).1["hash"], planned["hash"]);
    let (status, said, _) = fix(dir.path(), &[]);
    assert_eq!(status, Some(0));
    for words in [&*name, "evicted", "Nodes in their order", planned["hash"].as_str().expect("a hash")] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn without_stragglers_there_is_no_plan() {
    let (status, planned) = answer(arrived(r#"{"new":3}"#).path());
    assert_eq!((status, &planned["ok"], &planned["hash"]), (Some(0), &true.into(), &Value::Null));
}

/// A person is named for what cannot be moved, and the exit status says that something is left.
#[test]
fn what_cannot_be_moved_is_left_for_a_person() {
    let dir = arrived(r#"{"old":1,"new":2,"others":[]}"#);
    let (status, planned) = answer(dir.path());
    assert_eq!((status, &planned["hash"]), (Some(3), &Value::Null), "{planned:#}");
    assert_eq!(planned["nodes"][0]["node"], "n2");
    let (_, said, _) = fix(dir.path(), &[]);
    assert!(said.contains("There is no plan") && said.contains("Left for a person"), "{said}");
}

/// Each row: the words, and a word of what is said.
#[test]
fn what_makes_no_sense_is_refused() {
    for (words, said) in [
        (&["stragglers", "--save"][..], "--fix"),
        (&["stragglers", "--plan", "4be1"], "--fix"),
        (&["stragglers", "--fix", "--plan", "4be1", "--save"], "--save"),
        (&["stragglers", "--fix", "--plan", "4be1", "--phase", "new"], "--phase"),
        (&["stragglers", "--fix", "--from", "flannel"], "--to"),
        (&["stragglers", "--from", "flannel", "--to", "cilium"], "--fix"),
        (&["stragglers", "--fix", "--snapshot", "plan-three/cluster", "--dumped", "all"], "--from CNI"),
    ] {
        let output = run_in(&fixtures(), words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(said), "{words:?}: {}", stderr(&output));
    }
    for words in [&["stragglers", "--fix"][..], &["stragglers", "--fix", "--plan", "4be1"]] {
        let output = run_in(&fixtures(), words);
        assert_eq!(output.status.code(), Some(78), "{words:?}: {}", stderr(&output));
    }
}
