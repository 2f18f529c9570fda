//! `policies backup` and `restore`, as far as they say no before they ask an API server. `tests/tests/migration/kubernetes/cluster/policies.rs` has the rest.

use std::fs;

use crate::run::{run_in, stderr};

/// Each row: arguments, the exit status, and what is said. No server listens on port 1.
#[test]
fn what_cannot_be_right_is_refused_before_anything_is_asked() {
    let dir = tempfile::tempdir().expect("a directory");
    let hash = "0".repeat(64);
    let changed = format!("policies-{hash}.json");
    fs::write(dir.path().join(&changed), "{\"version\":1}").expect("written");
    fs::write(dir.path().join("other.json"), "{\"version\":1,\"kind\":\"List\"}").expect("written");
    fs::write(dir.path().join("later.json"), "{\"version\":2}").expect("written");
    for (arguments, exit, says) in [
        (&["backup", "--out", ".", "--snapshot", "x.jsonl"][..], 2, "no backup can be made of it"),
        (&["backup", "--out", "none"], 2, "--out none: there is no such directory"),
        (&["backup"], 2, "--out"),
        (&["restore", "none.json"], 2, "none.json: No such file"),
        (&["restore", &changed], 3, "the file was changed: its name says 0000"),
        (&["restore", "other.json"], 3, "other.json: the backup cannot be read"),
        (&["restore", "later.json", "--dry-run"], 3, "has version 2"),
        (&["restore", "later.json", "--snapshot", "x.jsonl"], 2, "a live cluster"),
        (&["backup", "--out", "."], 75, "ask the API server for its version"),
    ] {
        let all = [&["policies"], arguments, &["--server", "http://127.0.0.1:1"]].concat();
        let output = run_in(dir.path(), &all);
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
    assert_eq!(fs::read_dir(dir.path()).expect("the directory").count(), 3, "a file was written");
}
