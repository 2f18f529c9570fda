//! `roll stragglers --fix`, as far as it needs no cluster. The fixture `stragglers` is a cluster whose migration is over, and in which two pods are late.

use std::fs;

use serde_json::{Value, json};

use crate::run::{fixtures, run_in, stderr, stdout};

const FIX: [&str; 13] = [
    "roll",
    "stragglers",
    "--fix",
    "--from",
    "flannel",
    "--to",
    "cilium",
    "--strategy",
    "bridge",
    "--snapshot",
    "cluster",
    "--dumped",
    "all",
];

fn fix(fixture: &str, config: &str, more: &[&str]) -> (Option<i32>, Value) {
    let words = [&FIX[..], &["--config", config, "-o", "json"], more].concat();
    let output = run_in(&fixtures().join(fixture), &words);
    let answer = serde_json::from_str(stdout(&output));
    (output.status.code(), answer.unwrap_or_else(|e| panic!("{e}: {}{}", stdout(&output), stderr(&output))))
}

/// The nodes that have a place in the plan, in order.
fn nodes(answer: &Value) -> Vec<&str> {
    let waves = answer["plan"]["waves"].as_array().map_or(&[][..], Vec::as_slice);
    let nodes = waves.iter().flat_map(|wave| wave["nodes"].as_array().into_iter().flatten());
    nodes.filter_map(|node| node["name"].as_str()).collect()
}

#[test]
fn a_straggler_is_evicted_and_one_without_an_owner_is_left_for_a_person() {
    let (status, answer) = fix("stragglers", "config.yaml", &[]);
    assert_eq!((status, &answer["phase"], &answer["saved"]), (Some(0), &json!("new"), &json!(false)));
    let pods = answer["pods"].as_array().map_or(&[][..], Vec::as_slice);
    let fates: Vec<_> = pods.iter().map(|pod| (&pod["pod"], &pod["becomes"])).collect();
    assert_eq!(
        fates,
        [(&json!("default/web-7f6b-1"), &json!("evicted")), (&json!("default/debug"), &json!("stays")),]
    );
    assert!(pods[1]["help"].as_str().is_some_and(|help| help.contains("--delete-bare default/debug")));
    assert_eq!(nodes(&answer), ["n2"]);
    assert_eq!((&answer["plan"]["start"], &answer["plan"]["passes"]), (&json!("new"), &json!(["new"])));
    assert_eq!(answer["plan"]["leftOut"][0]["name"], "n3");
    assert_eq!(fix("stragglers", "config.yaml", &[]).1["hash"], answer["hash"], "the same cluster");

    let (status, answer) = fix("stragglers", "config.yaml", &["--delete-bare", "default/debug"]);
    assert_eq!((status, nodes(&answer).len()), (Some(0), 2));
    assert_eq!(answer["pods"][1]["becomes"], "deleted");
}

/// Nothing can be moved, and something is left: that is no success.
#[test]
fn without_a_plan_the_answer_is_no_unless_there_are_none() {
    let temporary = tempfile::tempdir().expect("a directory");
    let file = temporary.path().join("config.yaml");
    let kept = fs::read_to_string(fixtures().join("stragglers/config.yaml")).expect("settings");
    fs::write(&file, format!("{kept}  leaveOut: [{{node: n2, reason: it is old}}]\n")).expect("written");
    let (status, answer) = fix("stragglers", file.to_str().expect("UTF-8"), &[]);
    assert_eq!((status, &answer["ok"], &answer["hash"]), (Some(3), &json!(false), &Value::Null));
    assert_eq!(answer["problems"].as_array().map(Vec::len), Some(2), "{answer:#}");

    let (status, answer) = fix("plan-three", "config.yaml", &["--phase", "old"]);
    assert_eq!((status, &answer["pods"], &answer["hash"]), (Some(0), &json!([]), &Value::Null));
    let (status, answer) = fix("plan-three", "config.yaml", &["--phase", "new"]);
    assert_eq!(status, Some(3));
    assert!(answer["problems"].to_string().contains("0 of 3 nodes are in phase new"), "{answer:#}");
}

/// Each row: the words, and a word of what is said.
#[test]
fn what_makes_no_sense_is_refused() {
    let run = |words: &[&str]| run_in(&fixtures(), words);
    for (words, text) in [
        (&["roll", "stragglers", "--save"][..], "--fix"),
        (&["roll", "stragglers", "--plan", "4be14be14be1"], "--fix"),
        (&["roll", "stragglers", "--fix", "--plan", "4be14be14be1", "--save"], "--save"),
        (&["roll", "stragglers", "--fix", "--plan", "4be14be14be1", "--phase", "new"], "--phase"),
        (&["roll", "stragglers", "--fix", "--from", "flannel"], "--to"),
        (&["roll", "stragglers", "--from", "flannel", "--to", "cilium"], "--fix"),
        (
            &["roll", "stragglers", "--fix", "--snapshot", "plan-three/cluster", "--dumped", "all"],
            "--from CNI",
        ),
    ] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(text), "{words:?}: {}", stderr(&output));
    }
    for words in
        [&["roll", "stragglers", "--fix"][..], &["roll", "stragglers", "--fix", "--plan", "4be14be14be1"]]
    {
        assert_eq!(run(words).status.code(), Some(78), "{words:?}");
    }
}
