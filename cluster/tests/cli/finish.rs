//! `finish` against an API server that has no object, and on a snapshot.

use std::process::Output;

use serde_json::Value;

use crate::flags::output_and_requests;
use crate::run::{fixtures, run_in, stderr, stdout};

/// Taking the Lease would be a write.
#[test]
fn a_migration_that_is_not_known_is_refused_before_anything_is_written() {
    for act in [&["--confirm", "0123456789ab"][..], &["--undo"]] {
        let (output, heads) = output_and_requests("finish", act);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{act:?}: {text}");
        assert!(
            text.contains("no run that says between which CNIs") && text.contains("--from CNI"),
            "{text}"
        );
        let is_run = |head: &String| head.starts_with("get ") && head.contains("/configmaps/crossfade-run ");
        assert!(heads.iter().any(is_run), "{act:?}: {heads:?}");
        assert!(heads.iter().all(|head| head.starts_with("get ")), "{act:?}: {heads:?}");
    }
}

fn finish_on_snapshot(more: &[&str]) -> Output {
    let finish =
        ["finish", "--from", "flannel", "--to", "cilium", "--snapshot", "cluster", "--dumped", "all"];
    run_in(&fixtures().join("flannel-cilium-guide"), &[&finish[..], more].concat())
}

/// A snapshot shows how far a cluster is, and says what it does not have.
#[test]
fn a_snapshot_shows_every_line_and_what_it_does_not_know() {
    let output = finish_on_snapshot(&["-o", "json"]);
    let answer: Value = serde_json::from_str(stdout(&output)).expect("JSON");
    assert_eq!(output.status.code(), Some(75), "{}", stdout(&output));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let lines = answer["lines"].as_array().expect("lines");
    let states: Vec<String> =
        lines.iter().map(|line| format!("{} {}", text(&line["line"]), text(&line["state"]))).collect();
    assert_eq!(
        states,
        [
            "moved waits",
            "backup ready",
            "values waits",
            "policies waits",
            "fence ready",
            "node-state done",
            "soak ready",
            "removal refused",
            "nodes done",
            "absence waits",
            "leave waits"
        ],
        "{answer:#}"
    );
    assert!(lines[7]["evidence"].to_string().contains("a snapshot does not have them"), "{}", lines[7]);
    let problem = &answer["problems"][0];
    assert_eq!(problem["where"], "the line moved", "{problem}");
    assert!(text(&problem["fix"]).contains("kubectl crossfade roll stragglers"), "{problem}");
    let pins = answer["plan"]["delete"].as_array().expect("objects");
    assert!(pins.iter().any(|pin| pin["name"] == "kube-flannel-ds"), "{pins:?}");
}

#[test]
fn nothing_is_carried_out_or_undone_in_a_snapshot() {
    for act in
        [&["--confirm", "0123456789ab"][..], &["--confirm", "0123456789ab", "--remove", "blue"], &["--undo"]]
    {
        let output = finish_on_snapshot(act);
        assert_eq!((output.status.code(), stdout(&output)), (Some(2), ""), "{act:?}");
        let text = stderr(&output);
        assert!(
            text.contains("nothing is changed in a file") && text.contains("leave --snapshot out"),
            "{text}"
        );
    }
}
