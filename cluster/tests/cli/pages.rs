//! The page about findings.

use std::collections::BTreeSet;
use std::path::Path;

use cluster::roll::wait::Reason;

/// docs/check.md explains each code once, and no other.
#[test]
fn every_code_is_explained() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/check.md");
    let text = std::fs::read_to_string(page).expect("the page");
    let mut explained = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("### `")) {
        let code = line.trim_end_matches('`');
        assert!(explained.insert(code), "{code} twice");
    }
    let codes: BTreeSet<&str> = cluster::check::codes().into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes.symmetric_difference(&explained).collect::<Vec<_>>(), Vec::<&&str>::new());
}

/// docs/roll.md says of each reason what it means and what helps, and of no other.
#[test]
fn every_reason_to_wait_is_explained() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/roll.md");
    let text = std::fs::read_to_string(page).expect("the page");
    let (_, table) = text.split_once("## What it waits for").expect("the chapter");
    let row = |line: &str| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned());
    let explained: Vec<String> = table.lines().filter_map(row).collect();
    let reasons: Vec<String> = Reason::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(explained, reasons);
}
