//! `check --settings`.

use crate::run::{run_in, stderr, stdout};

fn checked(settings: &str) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("c.yaml"), settings).expect("written");
    let output = run_in(dir.path(), &["check", "--settings", "--config", "c.yaml"]);
    (output.status.code(), format!("{}{}", stdout(&output), stderr(&output)))
}

#[test]
fn settings_are_printed_with_their_defaults() {
    let (code, text) = checked("version: 1\n");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("drainAtMostPercent: 10"), "{text}");
}

#[test]
fn what_is_wrong_is_named_with_what_was_meant() {
    for (settings, meant) in [
        (
            "version: 1\nwaivers: [{finding: cidr-overlap-pools, reason: known}]",
            "did you mean cidr-overlap-pool?",
        ),
        ("version: 1\ncidrs: {service: []}", "services"),
        ("version: 1\nnetworks: {old: {cidrs: [10.0.0.1/8]}}", "10.0.0.0/8"),
        (
            "version: 1\nroll: {limits: {windows: [{from: '22:00', to: '04:00', zone: Europe/Berln}]}}",
            "roll.limits.windows[0].zone",
        ),
        ("[", "c.yaml"),
    ] {
        let (code, text) = checked(settings);
        assert_eq!(code, Some(78), "{settings}: {text}");
        assert!(text.contains(meant), "{settings}: {text}");
    }
    let output = run_in(std::path::Path::new("/"), &["check", "--settings"]);
    assert_eq!(output.status.code(), Some(2));
}
