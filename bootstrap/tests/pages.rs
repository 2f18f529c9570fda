//! The pages for people: their commands and policies are those of this release.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bootstrap::Cli;
use clap::{Command, CommandFactory};
use convergence::doctor::decide;
use convergence::doctor::rule::Symptom;
use types::command::rule::Explanation;
use types::policy::{Phase, Policy};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
}

fn page(name: &str) -> String {
    std::fs::read_to_string(path(name)).expect("the page")
}

/// The entries of docs/troubleshooting.md are what the rules of `doctor` say. `UPDATE_GOLDEN=1` writes them anew; the head of the page, those of the
/// symptoms, and chapters of no symptom are kept.
#[test]
fn each_code_has_an_entry_below_its_symptom() {
    let text = page("troubleshooting.md");
    let mut chapters = text.split("\n## ");
    let mut written = chapters.next().expect("the head").to_owned();
    let mut titles = Vec::new();
    for chapter in chapters {
        let title = chapter.lines().next().unwrap_or_default();
        let rules = decide::rules().into_iter().filter(|rule| rule.grade.symptom.title() == title);
        let entries: Vec<String> = rules
            .map(|rule| {
                let Explanation { code, what, why, fix } = rule.into();
                format!("### {code}\n\n{what}\n\n- Why: {why}.\n- Fix: {fix}\n")
            })
            .collect();
        let kept = chapter.split("### ").next().filter(|_| !entries.is_empty()).unwrap_or(chapter);
        titles.extend((!entries.is_empty()).then_some(title));
        written += &format!("\n## {kept}{}", entries.join("\n"));
    }
    assert_eq!(
        titles,
        Symptom::ALL.map(Symptom::title),
        "the chapters of symptoms, in the order of the report"
    );
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path("troubleshooting.md"), &written).expect("written");
    }
    assert!(
        page("troubleshooting.md") == written,
        "docs/troubleshooting.md is not what the rules say: UPDATE_GOLDEN=1"
    );
}

/// The exit statuses that a command's help names, by its words: `policy set`.
fn by_help(command: &Command, words: &str, documented: &mut BTreeMap<String, BTreeSet<u8>>) {
    let shown = |command: &&Command| !command.is_hide_set() && command.get_name() != "help";
    for command in command.get_subcommands().filter(shown) {
        let words = format!("{words} {}", command.get_name()).trim_start().to_owned();
        if command.get_subcommands().any(|command| shown(&command)) {
            by_help(command, &words, documented);
            continue;
        }
        assert!(
            command.get_before_help().is_some_and(|help| help.to_string().contains("Example: ")),
            "{words} --help has no example"
        );
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        documented.insert(words, statuses(help.split("Exit status:").nth(1).unwrap_or_default()));
    }
}

/// The numbers of a text that are exit statuses: each begins a part of the sentence.
fn statuses(text: &str) -> BTreeSet<u8> {
    let parts = text.lines().next().unwrap_or_default().split([',', ';']);
    parts.filter_map(|part| part.split_whitespace().next()?.parse().ok()).collect()
}

/// The statuses of the page, by command.
fn by_page(page: &str) -> BTreeMap<String, BTreeSet<u8>> {
    let table =
        page.split("## Every command").nth(1).expect("the table").split("\n## ").next().expect("text");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(words, rest)| {
        let numbers = rest.rsplit('|').nth(1).expect("the last column");
        let numbers = numbers.split([',', ' ']).filter(|number| !number.is_empty());
        (words.to_owned(), numbers.map(|number| number.parse().expect("a status")).collect())
    })
    .collect()
}

#[test]
fn the_page_has_every_command_with_its_exit_statuses_and_every_help_has_an_example() {
    let page = page("operations.md");
    let mut expected = BTreeMap::new();
    by_help(&Cli::command(), "", &mut expected);
    for (words, statuses) in &mut expected {
        assert!(statuses.is_empty() || statuses.remove(&0), "{words}: the help does not say what 0 means");
    }
    assert!(expected.len() > 15, "{expected:?}");
    assert_eq!(by_page(&page), expected);
    // What the text names is a command.
    let text: String = page.split("```").step_by(2).collect();
    let is_word = |words: &&str| {
        words.starts_with(|c: char| c.is_ascii_lowercase()) && !words.contains(['/', ':', '.'])
    };
    for words in text.split('`').skip(1).step_by(2).filter(is_word) {
        let first = words.split_whitespace().next().unwrap_or_default();
        let known = expected.keys().any(|words| words.split(' ').next() == Some(first));
        let other = ["crossfade-bootstrap", "ok", "problems", "what", "where", "fix"];
        assert!(known || other.contains(&first), "`{words}` is no command");
    }
}

#[test]
fn a_command_that_the_page_says_can_list_its_changes_has_that_option() {
    let page = page("operations.md");
    let (all, mut seen) = (Cli::command(), 0);
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, words, changes, ..] = columns.as_slice() else { continue };
        let mut command = &all;
        for word in words.trim_matches('`').split(' ') {
            let Some(subcommand) = command.find_subcommand(word) else { break };
            command = subcommand;
        }
        for option in changes.split([' ', '`']).filter_map(|word| word.strip_prefix("--")) {
            seen += 1;
            let has = |argument: &clap::Arg| argument.get_long() == Some(option);
            assert!(command.get_arguments().any(has), "{words} has no --{option}");
        }
    }
    assert!(seen > 10, "{seen} options");
}

/// The blocks of JSON of docs/policy.md.
fn policies() -> Vec<String> {
    let page = page("policy.md");
    let blocks = page.split("```json\n").skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn each_policy_of_the_page_can_be_used() {
    let policies = policies();
    assert!(policies.len() >= 5, "{} policies", policies.len());
    for text in policies {
        let policy = Policy::parse(text.as_bytes()).unwrap_or_else(|why| panic!("{why}: {text}"));
        let keys = [!policy.rules.is_empty(), policy.pod_annotation.is_some(), !policy.retired.is_empty()];
        assert!(keys.iter().filter(|has| **has).count() <= 1, "one thing at a time: {text}");
    }
}

#[test]
fn the_page_says_what_each_phase_means() {
    let page = page("policy.md");
    let table = page.split("## Phases").nth(1).expect("the phases").split("\n## ").next().expect("text");
    let networks = r#""version": 1, "networks": {"old": {"conf": ["/o"]}, "new": {"conf": ["/n"]}}"#;
    let mut seen = Vec::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let parts: Vec<&str> = row.split('`').collect();
        let policy = Policy::parse(format!("{{{networks}, {}}}", parts[3]).as_bytes()).expect(row);
        assert_eq!(policy.phase().as_str(), parts[1], "{row}");
        seen.push(policy.phase());
    }
    assert_eq!(seen, Phase::ALL);
}
