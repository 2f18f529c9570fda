//! The page about findings.

use std::collections::BTreeSet;
use std::path::Path;

use migration::cni::reach;
use migration::roll::wait::Reason;
use types::policy::Phase;

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
    let codes: BTreeSet<&str> = migration::check::codes().into_iter().map(|(code, _)| code).collect();
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

/// The drawing of phases in docs/operations.md has the flips that the passes of each strategy make, there and back.
#[test]
fn the_drawing_of_phases_is_what_passes_do() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let text = std::fs::read_to_string(page).expect("the page");
    let (_, chapter) = text.split_once("## Phases").expect("the chapter");
    let drawing = chapter.split("```").nth(1).expect("the drawing");
    for (strategy, is_bridged) in [("double", false), ("bridge", true)] {
        let line = drawing.lines().find_map(|line| line.trim().strip_prefix(strategy)).expect(strategy);
        let (phases, arrows): (Vec<&str>, Vec<&str>) =
            line.split_whitespace().partition(|word| !word.starts_with('<') && !word.ends_with('>'));
        let mut there = vec![Phase::Old];
        there.extend(reach::path(Phase::Old, Phase::New, is_bridged));
        let mut back = vec![Phase::New];
        back.extend(reach::path(Phase::New, Phase::Old, is_bridged));
        assert_eq!(phases, there.iter().map(|phase| phase.as_str()).collect::<Vec<_>>(), "{strategy}");
        assert!(back.iter().eq(there.iter().rev()), "{strategy}");
        assert_eq!(arrows.len(), phases.len() - 1, "{strategy}");
        assert!(arrows.iter().all(|arrow| arrow.starts_with("<-") && arrow.ends_with("->")), "{arrows:?}");
        let parted = |pair: &[Phase]| reach::is_parted(pair[0], pair[1]);
        assert_eq!(there.windows(2).any(parted), is_bridged, "{strategy}");
    }
}
