//! Findings that the operator accepts.

use crate::run::{fixtures, run_in, stdout};

const CHECK: [&str; 10] = [
    "check",
    "--from",
    "calico",
    "--to",
    "antrea",
    "--dumped",
    "all",
    "--config",
    "waived.yaml",
    "--snapshot",
];

fn status(waivers: &str) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("waived.yaml"), format!("version: 1\nwaivers:\n{waivers}"))
        .expect("written");
    let cluster = fixtures().join("antrea-5578-few/cluster");
    let output = run_in(dir.path(), &[&CHECK[..], &[cluster.to_str().expect("UTF-8")]].concat());
    (output.status.code(), stdout(&output).to_owned())
}

#[test]
fn a_migration_starts_once_every_blocking_finding_is_accepted() {
    let all = "  - {finding: cidr-overlap-block, reason: the nodes are drained}\n  - {finding: cidr-overlap-pool, reason: reserved}\n  - {finding: autodetection-new-interface, reason: no snapshot of it}\n";
    let required = "  - {finding: requirement-not-met, object: Requirement/strategy, reason: tried}\n  - {finding: requirement-unknown, reason: read by hand}\n";
    let (code, text) = status(&format!("{all}{required}"));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("waived: the nodes are drained"), "{text}");
    // Of one block only: the others still block.
    let item = "  - {finding: cidr-overlap-block, object: IPAMBlock/10-10-4-128-26, reason: drained}\n  - {finding: cidr-overlap-pool, reason: reserved}\n";
    let (code, text) = status(&format!("{item}{required}"));
    assert_eq!(code, Some(3), "{text}");
}
