//! Each fixture is a cluster as `kubectl get -o yaml` dumps it, with the findings that `check` must report.
//!
//! A directory has `arguments` (the arguments of `check`, one line), YAML files, maybe `config.yaml`, and `expected.md`, the golden output.
//! `UPDATE_GOLDEN=1` writes the golden outputs anew.

use std::fs;
use std::path::Path;

use super::run::{fixtures, run_in, stderr, stdout};

fn checked(dir: &Path) -> (i32, String) {
    let line = fs::read_to_string(dir.join("arguments")).expect("arguments");
    let mut arguments = vec!["check", "-o", "markdown", "--snapshot", "cluster"];
    arguments.extend(line.split_whitespace());
    if dir.join("config.yaml").exists() {
        arguments.extend(["--config", "config.yaml"]);
    }
    let output = run_in(dir, &arguments);
    assert_eq!(stderr(&output), "", "{}", dir.display());
    (output.status.code().expect("a status"), stdout(&output).to_owned())
}

#[test]
fn each_cluster_has_the_findings_that_are_expected() {
    let mut dirs: Vec<_> =
        fs::read_dir(fixtures()).expect("fixtures").map(|entry| entry.expect("entry").path()).collect();
    dirs.sort();
    assert!(dirs.len() >= 3, "{dirs:?}");
    let mut wrong = Vec::new();
    for dir in dirs.iter().filter(|dir| dir.is_dir()) {
        let (status, report) = checked(dir);
        let blocks = report.contains("## blocks:");
        assert_eq!(status, if blocks { 3 } else { 0 }, "{}", dir.display());
        let golden = dir.join("expected.md");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &report).expect("written");
        }
        if fs::read_to_string(&golden).unwrap_or_default() != report {
            wrong.push(format!("{}:\n{report}", golden.display()));
        }
    }
    assert!(wrong.is_empty(), "look at the reports, then UPDATE_GOLDEN=1:\n{}", wrong.join("\n"));
}

#[test]
fn every_finding_has_a_code_that_its_check_names() {
    let codes: Vec<&str> = cluster::check::codes().into_iter().map(|(code, _)| code).collect();
    for dir in fs::read_dir(fixtures()).expect("fixtures").map(|entry| entry.expect("entry").path()) {
        let (_, report) = checked(&dir);
        for line in report.lines().filter_map(|line| line.strip_prefix("## ")) {
            let code = line.split_once(": ").expect("severity and code").1;
            assert!(codes.contains(&code), "{}: {code}", dir.display());
        }
    }
}
