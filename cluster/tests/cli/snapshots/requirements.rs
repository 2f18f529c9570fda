//! The requirements of a migration.

use crate::run::{fixtures, run_in, stdout};

#[test]
fn each_row_says_what_was_seen_and_what_to_do() {
    let dir = fixtures().join("cilium-default-pool");
    let migration = ["--from", "calico", "--to", "cilium"];
    let arguments =
        [&["check", "--requirements", "--snapshot", "cluster", "--dumped", "all"], &migration[..]].concat();
    let output = run_in(&dir, &[&arguments[..], &["-o", "json"]].concat());
    assert_eq!(output.status.code(), Some(3));
    let answer: serde_json::Value = serde_json::from_str(stdout(&output)).expect("JSON");
    let rows = answer["requirements"].as_array().expect("rows");
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).expect("the row");
    assert_eq!(row("pair")["state"], "met");
    assert_eq!(row("kubelet-version")["state"], "met");
    assert_eq!(row("calico-version")["state"], "unknown");
    assert_eq!(row("distinct-ranges")["state"], "not-met");
    assert!(
        row("distinct-ranges")["fix"].as_str().is_some_and(|fix| fix.contains("kubectl crossfade check"))
    );
    let table = run_in(&dir, &arguments);
    assert!(stdout(&table).contains("distinct-ranges"), "{}", stdout(&table));
}
