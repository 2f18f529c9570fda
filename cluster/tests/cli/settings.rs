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

/// Settings that a page shows are those that the program takes. Names of files that they mention need not be there.
#[test]
fn settings_on_the_pages_are_valid() {
    let pages = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut examples = 0;
    for entry in std::fs::read_dir(pages).expect("docs") {
        let page = entry.expect("an entry").path();
        if page.extension() != Some("md".as_ref()) {
            continue;
        }
        let text = std::fs::read_to_string(&page).expect("a page");
        for block in text.split("\n```yaml").skip(1) {
            let (_, block) = block.split_once('\n').expect("a block");
            let settings = block.split("\n```").next().expect("the block");
            if settings.starts_with("version: 1\n") {
                let (code, answer) = checked(settings);
                assert_eq!(code, Some(0), "{}: {settings}\n{answer}", page.display());
                examples += 1;
            }
        }
    }
    assert!(examples >= 5, "found {examples} examples of settings");
}
