//! Snapshot files.

use std::fs;

use crate::run::{fixtures, run_in, stderr, stdout};

#[test]
fn a_snapshot_has_the_findings_of_the_dumps_that_it_was_made_of() {
    let dir = tempfile::tempdir().expect("a directory");
    let cluster = fixtures().join("antrea-5578-few/cluster");
    let cluster = cluster.to_str().expect("UTF-8");
    let check = |file: &str| {
        let output = run_in(dir.path(), &["check", "--from", "calico", "--to", "antrea", "--snapshot", file]);
        stdout(&output).to_owned()
    };
    for file in ["a.jsonl", "b.jsonl.gz", "c.jsonl.gz"] {
        let output = run_in(dir.path(), &["snapshot", "--snapshot", cluster, "--out", file, "-o", "json"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let answer: serde_json::Value = serde_json::from_str(stdout(&output)).expect("JSON");
        assert_eq!((&answer["nodes"], &answer["kinds"]["Node"]), (&21.into(), &"read".into()));
        assert_eq!(check(file), check(cluster), "{file}");
    }
    let read = |file: &str| fs::read(dir.path().join(file)).expect("the file");
    assert_eq!(read("b.jsonl.gz"), read("c.jsonl.gz"), "the same cluster gives the same bytes");
    let printed = run_in(dir.path(), &["snapshot", "--snapshot", cluster]);
    assert_eq!(printed.stdout, read("a.jsonl"));
}

#[test]
fn a_snapshot_that_cannot_be_written_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let cluster = fixtures().join("apart/cluster");
    let arguments = ["snapshot", "--snapshot", cluster.to_str().expect("UTF-8"), "--out", "none/a.jsonl"];
    let output = run_in(dir.path(), &arguments);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("none/a.jsonl"), "{}", stderr(&output));
    assert_eq!(fs::read_dir(dir.path()).expect("the directory").count(), 0);
}
