use super::*;

/// A line that says no flow to judge.
const EVENT: &str = r#"{"node_status":{"state_change":"NODE_CONNECTED"},"node_name":"n1"}"#;

#[test]
fn a_bad_line_is_named_and_ends_the_reading() {
    let mut records = Vec::new();
    let text = format!("{EVENT}\n\nhello\n{EVENT}\n");
    let error = read(text.as_bytes(), &mut |record| records.push(record)).expect_err("a bad line");
    assert_eq!(error, format!("line 3: {EXPECTED}"));
    assert_eq!(records.len(), 1);
    read(&b"\xff\n"[..], &mut |_| {}).expect_err("no UTF-8");
}

#[test]
fn a_line_without_an_end_is_not_kept() {
    let long = "x".repeat(3 << 20);
    let error = read(long.as_bytes(), &mut |_| {}).expect_err("too long");
    assert!(error.starts_with("line 1: it has more than 1 MiB; expected a flow"), "{error}");
}
