//! The page about findings.

use std::path::Path;

use migration::check::finding::Rule;
use migration::cni::reach;
use migration::roll::wait::Reason;
use types::command::rule::Explanation;
use types::policy::Phase;

/// The chapters of docs/check.md, and the checks whose codes each explains. The one without a check has those of all others.
const CHAPTERS: [(&str, &[&str]); 9] = [
    ("Address ranges", &["cidr", "gateway", "masquerade"]),
    ("Tunnels, MTU and interfaces", &["tunnel", "mtu", "autodetection"]),
    ("Settings of the new CNI", &["values", "cilium-nodes", "chaining"]),
    ("Features of the old CNI", &["features"]),
    ("References and meanings", &["references", "meaning"]),
    ("Policies", &["policies"]),
    ("Any check", &["any"]),
    ("Nodes and workloads", &[]),
    ("Requirements", &["requirements"]),
];

/// The explanations of a chapter, by their codes.
fn explain_codes(checks: &[&str]) -> String {
    let named: Vec<&str> = CHAPTERS.iter().flat_map(|(_, checks)| *checks).copied().collect();
    let is_here =
        |check: &str| if checks.is_empty() { !named.contains(&check) } else { checks.contains(&check) };
    let lists = migration::check::rule_lists().filter(|(check, _)| is_here(check));
    let mut rules: Vec<&Rule> = lists.flat_map(|(_, rules)| rules).copied().collect();
    rules.sort_unstable();
    let explain = |rule: &Rule| {
        let Explanation { code, what, why, fix } = rule.into();
        format!("### `{code}`\n\n{what}\n\n- Why it matters: {why}\n- Fix: {fix}\n")
    };
    rules.into_iter().map(explain).collect::<Vec<_>>().join("\n")
}

/// What docs/check.md says of codes is what their rules say. `UPDATE_GOLDEN=1` writes it anew; the head of the page and those of its chapters are kept.
#[test]
fn every_code_is_explained() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/check.md");
    let text = std::fs::read_to_string(&page).expect("the page");
    assert_eq!(text.matches("\n## ").count(), CHAPTERS.len(), "a chapter that CHAPTERS does not have");
    let mut parts = text.split("\n## ");
    let mut written = parts.next().expect("the head").to_owned();
    for ((title, checks), part) in CHAPTERS.iter().zip(parts) {
        let head = part.split("### ").next().expect("a head");
        assert!(head.starts_with(&format!("{title}\n")), "the chapter {title:?} is {head:?}");
        written += &format!("\n## {head}{}", explain_codes(checks));
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&page, &written).expect("written");
    }
    let text = std::fs::read_to_string(&page).expect("the page");
    assert!(text == written, "docs/check.md is not what the rules say: UPDATE_GOLDEN=1");
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
