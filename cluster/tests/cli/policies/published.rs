//! Policies like those on which published converters and published migrations went wrong, as they are converted here.
//!
//! A directory has `input.yaml`, and for each target `KIND.md`, the golden output: the report, and what is written. `UPDATE_GOLDEN=1` writes it anew.

use std::fs;
use std::path::{Path, PathBuf};

use crate::policies::conversions::{TARGETS, Target, conversions, policies};
use crate::run::{stderr, stdout};

fn published() -> Vec<PathBuf> {
    let dirs = fs::read_dir(conversions().join("published")).expect("examples");
    let mut dirs: Vec<_> = dirs.map(|entry| entry.expect("entry").path()).collect();
    dirs.sort();
    dirs
}

/// The report and the policies. Without a proof there are no policies.
fn converted(dir: &Path, target: &Target) -> String {
    let checked = policies(dir, "check", target, &["--snapshot", "input.yaml", "-o", "markdown"]);
    let written = policies(dir, "convert", target, &["--snapshot", "input.yaml", "--out", "-"]);
    assert_eq!(stderr(&checked), "", "{}", dir.display());
    assert_eq!(checked.status.code(), written.status.code(), "{}", dir.display());
    let report = stdout(&checked);
    match written.status.code() {
        Some(0) => format!("{report}\n```yaml\n{}```\n", stdout(&written)),
        Some(3) => {
            assert_eq!(stdout(&written), "", "{}", dir.display());
            report.to_owned()
        }
        other => panic!("{}: {other:?}: {}", dir.display(), stderr(&written)),
    }
}

#[test]
fn each_published_example_has_its_policies_and_its_report() {
    let dirs = published();
    assert_eq!(dirs.len(), 14, "{dirs:?}");
    let mut wrong = Vec::new();
    for dir in &dirs {
        for target in &TARGETS {
            let text = converted(dir, target);
            let golden = dir.join(format!("{}.md", target.kind));
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                fs::write(&golden, &text).expect("written");
            }
            if fs::read_to_string(&golden).unwrap_or_default() != text {
                wrong.push(format!("{}:\n{text}", golden.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "look at the reports, then UPDATE_GOLDEN=1:\n{}", wrong.join("\n"));
}
