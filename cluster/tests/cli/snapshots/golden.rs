//! Each fixture is a cluster as `kubectl get -o yaml` dumps it, with the findings that `check` must report.
//!
//! A directory has `arguments` (the arguments of `check`, one line), YAML files, maybe `config.yaml`, and `expected.md`, the golden output.
//! `UPDATE_GOLDEN=1` writes the golden outputs anew.

use std::fs;
use std::path::Path;

use crate::run::{clusters, run_in, stderr, stdout};

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
    let mut wrong = Vec::new();
    for dir in clusters() {
        let (status, report) = checked(&dir);
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

/// A code that no test expects may have stopped to be found long ago. It stands in the report of a cluster here, or in a test beside its check.
#[test]
fn every_code_is_expected_of_some_cluster() {
    let mut expected = String::new();
    for dir in clusters() {
        let report = fs::read_to_string(dir.join("expected.md")).expect("a report");
        expected.extend(
            report.lines().filter_map(|line| line.strip_prefix("## ")?.split(": ").nth(1)).map(quoted),
        );
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/migration/src");
    for dir in ["check", "cni"] {
        tests_below(&src.join(dir), &mut expected);
    }
    let codes = migration::check::rules().into_iter().map(|rule| rule.code);
    let missing: Vec<&str> = codes.filter(|code| !expected.contains(&quoted(code))).collect();
    assert_eq!(missing, [""; 0], "add a cluster that has the finding, and a nearest one that has not");
}

fn quoted(code: &str) -> String {
    format!("{code:?}")
}

/// Adds the sources of all tests below a directory.
fn tests_below(dir: &Path, text: &mut String) {
    for path in fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("entry").path()) {
        if path.is_dir() {
            tests_below(&path, text);
            continue;
        }
        let source = fs::read_to_string(&path).expect("a source");
        let is_all_tests =
            path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests");
        match source.split_once("mod tests {") {
            _ if is_all_tests => *text += &source,
            Some((_, tests)) => *text += tests,
            None => {}
        }
    }
}

#[test]
fn every_finding_has_a_code_that_its_check_names() {
    let codes: Vec<&str> = migration::check::rules().iter().map(|rule| rule.code).collect();
    for dir in clusters() {
        let (_, report) = checked(&dir);
        for line in report.lines().filter_map(|line| line.strip_prefix("## ")) {
            let code = line.split_once(": ").expect("severity and code").1;
            assert!(codes.contains(&code), "{}: {code}", dir.display());
        }
    }
}
