//! `plan`.

use std::fs;
use std::path::{Path, PathBuf};

use migration::plan::canon::sha256;
use serde_json::Value;

use crate::run::{fixtures, run_in, stderr, stdout};

/// The clusters that have a plan.
fn planned() -> Vec<PathBuf> {
    let dirs = fs::read_dir(fixtures()).expect("fixtures").map(|entry| entry.expect("entry").path());
    let mut dirs: Vec<_> = dirs.filter(|dir| dir.join("plan.json").exists()).collect();
    dirs.sort();
    dirs
}

/// The arguments of `plan` in a directory of fixtures, with more of them.
fn arguments(dir: &Path, more: &[&str]) -> Vec<String> {
    let line = fs::read_to_string(dir.join("arguments")).expect("arguments");
    let first = ["plan", "--config", "config.yaml"].into_iter().chain(line.split_whitespace());
    first.chain(more.iter().copied()).map(str::to_owned).collect()
}

fn plan(dir: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let arguments = arguments(dir, more);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = run_in(dir, &arguments);
    (output.status.code(), stdout(&output).to_owned(), stderr(&output).to_owned())
}

/// `plan.json` has the bytes of the plan, and `plan.md` what people read of it. `UPDATE_GOLDEN=1` writes both anew where they are.
#[test]
fn each_cluster_has_the_plan_that_is_expected() {
    let dirs = planned();
    assert_eq!(dirs.len(), 3, "{dirs:?}");
    let mut wrong = Vec::new();
    for dir in dirs {
        for (file, more) in [("plan.json", ["--out", "-"]), ("plan.md", ["-o", "markdown"])] {
            let (status, text, complaint) = plan(&dir, &[&["--snapshot", "cluster"], &more[..]].concat());
            assert_eq!((status, complaint.as_str()), (Some(0), ""), "{}", dir.display());
            let golden = dir.join(file);
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                fs::write(&golden, &text).expect("written");
            }
            if fs::read_to_string(&golden).unwrap_or_default() != text {
                wrong.push(format!("{}:\n{text}", golden.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "look at the plans, then UPDATE_GOLDEN=1:\n{}", wrong.join("\n"));
}

#[test]
fn the_hash_is_that_of_the_bytes_and_the_order_of_files_makes_no_difference() {
    for dir in planned() {
        let kept = fs::read(dir.join("plan.json")).expect("plan.json");
        let mut files: Vec<String> = fs::read_dir(dir.join("cluster"))
            .expect("files")
            .map(|entry| format!("cluster/{}", entry.expect("entry").file_name().to_string_lossy()))
            .collect();
        files.sort();
        files.reverse();
        let backwards: Vec<&str> = files.iter().flat_map(|file| ["--snapshot", file.as_str()]).collect();
        let (_, text, _) = plan(&dir, &[&backwards[..], &["-o", "json"]].concat());
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(answer["hash"], sha256(&kept));
        let written: Value = serde_json::from_slice(&kept).expect("JSON");
        assert_eq!((&answer["plan"], &answer["ok"]), (&written, &true.into()));
        assert!(answer["etaSeconds"].as_u64().is_some_and(|seconds| seconds > 0));
    }
}

#[test]
fn a_plan_is_compared_with_an_earlier_one() {
    let dir = fixtures().join("plan-zones");
    let temporary = tempfile::tempdir().expect("a directory");
    let (file, other) = (temporary.path().join("a.json"), temporary.path().join("other.yaml"));
    let (file, other) = (file.to_str().expect("UTF-8"), other.to_str().expect("UTF-8"));
    let (status, text, _) = plan(&dir, &["--snapshot", "cluster", "--out", file]);
    assert!(status == Some(0) && text.contains(&format!("Written to {file}.")), "{text}");
    assert_eq!(fs::read(file).ok(), fs::read(dir.join("plan.json")).ok());

    let (status, text, _) = plan(&dir, &["--snapshot", "cluster", "--diff", file]);
    assert!(status == Some(0) && text.contains(&format!("It is the plan of {file}")), "{text}");

    let settings = fs::read_to_string(dir.join("config.yaml")).expect("settings");
    fs::write(other, settings.replace("zonePercent: 50", "zonePercent: 25")).expect("written");
    let line = fs::read_to_string(dir.join("arguments")).expect("arguments");
    let arguments: Vec<&str> = ["plan", "--config", other, "--snapshot", "cluster", "--diff", file]
        .into_iter()
        .chain(line.split_whitespace())
        .collect();
    let output = run_in(&dir, &arguments);
    assert_eq!(output.status.code(), Some(3));
    for line in ["limits.zonePercent: 25, was 50", "waves[zone eu-1a].atOnce: 1, was 3"] {
        assert!(stdout(&output).contains(line), "{line}: {}", stdout(&output));
    }
    let output = run_in(&dir, &[&arguments[..], &["-o", "json"]].concat());
    let answer: Value = serde_json::from_str(stdout(&output)).expect("JSON");
    assert_eq!(answer["ok"], false);
    assert_eq!(answer["problems"].as_array().map(Vec::len), Some(1));
    assert!(answer["compared"]["differences"].as_array().is_some_and(|lines| lines.len() >= 3), "{answer}");
}

#[test]
fn an_earlier_plan_that_cannot_be_read_is_named() {
    let dir = fixtures().join("plan-three");
    for (old, words) in [("none.json", "none.json"), ("config.yaml", "this is no plan")] {
        let (status, _, text) = plan(&dir, &["--snapshot", "cluster", "--diff", old]);
        assert!(status == Some(1) && text.contains(words) && text.contains("--out"), "{text}");
    }
    let (status, _, text) = plan(&dir, &["--snapshot", "cluster", "--diff", "plan.json", "--out", "-"]);
    assert!(status == Some(2) && text.contains("--out"), "{text}");
}

#[test]
fn without_a_plan_every_blocker_is_said_and_nothing_is_written() {
    let dir = fixtures().join("plan-three");
    let temporary = tempfile::tempdir().expect("a directory");
    let file = temporary.path().join("plan.json");
    // Without its settings nothing proves that nodes forward, and without its nodes' file there is none.
    let bare = [
        "plan",
        "--from",
        "flannel",
        "--to",
        "cilium",
        "--strategy",
        "bridge",
        "--dumped",
        "all",
        "--snapshot",
        "cluster",
    ];
    let output = run_in(&dir, &[&bare[..], &["--out", file.to_str().expect("UTF-8")]].concat());
    assert_eq!(output.status.code(), Some(3));
    let text = stdout(&output);
    assert!(
        text.contains("There is no plan: one thing stands in the way.")
            && text.contains("bridge: {accept: WHY}"),
        "{text}"
    );
    assert!(!file.exists());

    let output = run_in(&dir, &[&bare[..], &["--out", "-"]].concat());
    assert_eq!((output.status.code(), stdout(&output)), (Some(3), ""));
    assert!(stderr(&output).contains("nothing proves that they do"), "{}", stderr(&output));

    let json = run_in(&dir, &[&bare[..], &["-o", "json"]].concat());
    let answer: Value = serde_json::from_str(stdout(&json)).expect("JSON");
    assert_eq!(
        (&answer["ok"], &answer["plan"], &answer["from"]),
        (&false.into(), &Value::Null, &"flannel".into())
    );
    assert_eq!(answer["problems"][0]["where"], "roll.bridge");
}

#[test]
fn findings_of_check_keep_a_plan_from_being_made() {
    let dir = fixtures().join("antrea-5578-few");
    let output = run_in(
        &dir,
        &["plan", "--from", "calico", "--to", "antrea", "--dumped", "all", "--snapshot", "cluster"],
    );
    assert_eq!(output.status.code(), Some(3));
    let text = stdout(&output);
    for words in [
        "cidr-overlap-block",
        "kubectl crossfade check --from calico --to antrea --strategy double",
        "no Crossfade reports",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}
