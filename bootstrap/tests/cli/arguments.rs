//! Arguments: which ones a command offers, and how it answers to a wrong one.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::node::{Node, Run};
use crate::tree::Tree;

const ALL: &str = "--conf-dir --state-dir --run-dir --policy";

/// The options under the heading that commands share, besides `--output`.
const OFFERED: [(&[&str], &str); 24] = [
    (&["install"], "--conf-dir --state-dir --run-dir --policy --host --dry-run"),
    (&["uninstall"], "--conf-dir --state-dir --run-dir --policy --host --dry-run"),
    (&["policy", "show"], "--conf-dir --policy --root --host"),
    (&["policy", "check"], "--conf-dir --policy --root --host"),
    (&["policy", "set"], "--conf-dir --state-dir --run-dir --policy --root --host --dry-run"),
    (&["policy", "explain"], "--conf-dir --policy --root --host"),
    (&["attachments"], "--conf-dir --state-dir --run-dir --policy --root --host"),
    (&["unit", "sweep"], "--conf-dir --state-dir --run-dir --policy --host --dry-run"),
    (&["cleanup"], "--conf-dir --state-dir --run-dir --policy --host"),
    (&["graduate"], "--conf-dir --state-dir --run-dir --policy --host"),
    (&["doctor"], "--conf-dir --state-dir --run-dir --policy --root --host"),
    (&["status"], "--conf-dir --state-dir --run-dir --policy --root --host"),
    (&["unit", "boot"], "--state-dir --run-dir --policy --root --dry-run"),
    (&["unit", "gate"], "--state-dir --run-dir --policy --root --dry-run"),
    (&["unit", "render"], "--root --dry-run"),
    (&["unit", "watch"], "--conf-dir --state-dir --run-dir --policy --root --dry-run"),
    (&["unit", "retract"], "--root --host --dry-run"),
    (&["image", "explain"], "--state-dir --run-dir --policy --root --host"),
    (&["image", "bake"], "--root --dry-run"),
    (&["image", "seal"], "--conf-dir --state-dir --run-dir --policy --root --dry-run"),
    (&["image", "selftest"], "--conf-dir --state-dir --run-dir --policy --root --host"),
    (&["unit", "prove"], "--conf-dir --state-dir --run-dir --policy --root"),
    (&["unit", "place"], "--root --dry-run"),
    (&["policy"], ""),
];

fn run_in(dir: &Path, arguments: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossfade-bootstrap"));
    let output = command.current_dir(dir).args(arguments).output().expect("runs");
    let text = |bytes| String::from_utf8(bytes).expect("utf-8");
    let status = output.status.code().expect("no signal");
    Run { status, out: text(output.stdout), err: text(output.stderr) }
}

pub(crate) fn run(arguments: &[&str]) -> Run {
    run_in(Path::new("/"), arguments)
}

fn document(run: &Run) -> Value {
    serde_json::from_str(&run.out).unwrap_or_else(|e| panic!("{e}: {run:?}"))
}

/// The long options that a help page lists under a heading.
fn listed(help: &str, heading: &str) -> Vec<String> {
    let below = help.split(&format!("\n{heading}:\n")).nth(1).unwrap_or_default();
    let lines = below.lines().take_while(|line| line.is_empty() || line.starts_with(' '));
    let options = lines.filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")));
    let named = |line: &&str| !line.is_empty();
    options.filter(named).map(|word| word.trim_end_matches(',').to_owned()).collect()
}

#[test]
fn a_command_offers_the_options_that_it_uses_and_no_others() {
    let every: Vec<&str> = ALL.split(' ').chain(["--root", "--host", "--dry-run"]).collect();
    for (command, offered) in OFFERED {
        let help = run(&[command, &["--help"]].concat());
        assert_eq!(help.status, 0, "{command:?}");
        let mut offered: Vec<&str> = offered.split_whitespace().collect();
        for option in &every {
            assert_eq!(
                help.out.contains(&format!(" {option} ")) || help.out.contains(&format!(" {option}\n")),
                offered.contains(option),
                "{command:?} {option}: {}",
                help.out
            );
        }
        offered.push("--output");
        let mut listed = listed(&help.out, "Common options");
        listed.sort_unstable();
        offered.sort_unstable();
        assert_eq!(listed, offered, "{command:?}: {}", help.out);
    }
}

#[test]
fn an_option_that_a_command_does_not_use_is_refused() {
    for line in [
        "policy check --dry-run",
        "policy show --state-dir /x",
        "status --dry-run",
        "image bake --image final --policy /x",
        "unit render --conf-dir /x",
        "image explain --dry-run",
        "unit watch --host /",
        "--root / status",
    ] {
        let run = run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!((run.status, run.out.as_str()), (2, ""), "{line}: {}", run.err);
        assert!(run.err.contains("--help"), "{line} says what to do next: {}", run.err);
    }
}

#[test]
fn the_format_of_the_answer_has_a_short_name_and_stands_anywhere() {
    let tree = Tree::new();
    let root = tree.path("").display().to_string();
    for line in [
        "image explain --root ROOT -o json",
        "image explain --root ROOT -ojson",
        "image explain --root ROOT --output json",
        "-o json image explain --root ROOT",
        "--output=json image explain --root ROOT",
    ] {
        let words: Vec<&str> =
            line.split(' ').map(|word| if word == "ROOT" { &root } else { word }).collect();
        let run = run(&words);
        assert!(run.status != 2 && document(&run)["version"] == 1, "{line}: {run:?}");
    }
}

#[test]
fn a_wrong_argument_is_answered_in_the_format_that_was_asked_for() {
    for line in [
        "status --sideways -o json",
        "-o json policy set sideways",
        "--output=json instal",
        "unit boot -ojson --root /nonexistent",
    ] {
        let run = run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(run.status, 2, "{line}: {run:?}");
        let report = document(&run);
        assert_eq!((&report["version"], &report["ok"]), (&1.into(), &false.into()), "{line}: {report}");
        says_what_where_and_fix(&run);
    }
}

#[test]
fn a_root_that_is_not_there_is_refused_by_every_command_that_has_it() {
    let dir = tempfile::tempdir().expect("tempdir");
    fs::write(dir.path().join("file"), "").expect("file");
    for (command, _) in OFFERED {
        let more: &[&str] = match command {
            ["policy"] => continue,
            ["policy", "set"] => &["new"],
            ["image", "bake"] => &["--image", "final"],
            ["unit", "prove"] => &["new"],
            ["unit", "place"] => &["--bin-dir", "/x"],
            _ => &[],
        };
        for root in ["missing", "file"] {
            let run = run_in(dir.path(), &[command, more, &["--root", root]].concat());
            assert_eq!((run.status, run.out.as_str()), (2, ""), "{command:?} {root}: {}", run.err);
            assert!(run.err.contains("--root") && run.err.contains("directory"), "{command:?}: {}", run.err);
        }
    }
}

#[test]
fn a_relative_path_starts_at_the_working_directory() {
    let tree = Tree::new();
    tree.conf("10-calico.conflist", "k8s-pod-network", "calico");
    let above = tree.path("").parent().expect("above").to_path_buf();
    let name = tree.path("").file_name().expect("name").to_string_lossy().into_owned();
    let absolute = tree.run_expecting(&["image", "explain"], 0);
    for root in [name.clone(), format!("./{name}/"), format!("{name}/etc/..")] {
        let relative = run_in(&above, &["image", "explain", "--root", &root]);
        assert_eq!(
            (relative.status, relative.out.as_str()),
            (0, absolute.as_str()),
            "{root}: {}",
            relative.err
        );
    }
    fs::remove_file(tree.path("etc/crossfade/policy.json")).expect("policy");
    // What is written is the same, too.
    let written = run_in(
        &above,
        &["image", "bake", "--image", "final", "--new", "cilium", "--root", &name, "--dry-run"],
    );
    let expected =
        tree.run_expecting(&["image", "bake", "--image", "final", "--new", "cilium", "--dry-run"], 0);
    assert_eq!(written.out, expected, "{}", written.err);

    let node = Node::new("bridge");
    let report =
        run_in(&node.path("etc"), &["policy", "check", "--conf-dir", "../net.d", "--policy", "policy.json"]);
    assert_eq!(report.status, 0, "{}", report.err);
    assert!(report.out.contains(&node.path("etc/policy.json").display().to_string()), "{}", report.out);
}

/// Typos: in the name of a thing, in a path, in a format.
#[test]
fn a_typo_in_an_argument_is_usage_in_every_command() {
    let node = Node::new("bridge");
    for line in [
        "install --runtime-endpoint containerd",
        "install --bring /nonexistent",
        "install --uncached older",
        "uninstall --runtime-endpoint run/containerd.sock",
        "policy check /nonexistent/policy.json",
        "policy set bothold",
        "policy explain --annotation word",
        "unit sweep --listed /nonexistent/list.json",
        "unit sweep --every 0",
        "status --wait --timeout soon",
        "attachments --on nowhere",
        "attachments --for 60",
        "attachments --connections --for 0",
        "attachments --connections --leaks",
        "attachments --connections --root /",
        "policy explain web/",
        "unit render --print eksctrl",
        "unit retract --timeout soon",
        "image bake --image finale",
        "image bake --image migration --old calicoo --new cilium",
        "image bake --image final --new cilium --from-node /nonexistent/node.json",
        "image seal --allow relative",
        "image seal --allow-file /nonexistent/list",
        "unit prove older",
        "unit watch --dry-run",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let run = match words[0] {
            "install" | "uninstall" => run(&words),
            "policy" | "status" | "attachments" => node.run(&words),
            _ => Tree::new().run(&words),
        };
        assert_eq!(run.status, 2, "{line}: {run:?}");
        assert!(run.out.is_empty() && !run.err.is_empty(), "{line}: {run:?}");
        let words = [words, vec!["-o", "json"]].concat();
        says_what_where_and_fix(&match words[0] {
            "install" | "uninstall" => self::run(&words),
            "policy" | "status" | "attachments" => node.run(&words),
            _ => Tree::new().run(&words),
        });
    }
}

/// Every problem of an answer names its object and the next step, and does not say the step twice.
fn says_what_where_and_fix(run: &Run) {
    let report = document(run);
    let problems = report["problems"].as_array().expect("problems");
    assert!(!problems.is_empty(), "{report}");
    for problem in problems {
        let [what, place, fix] = ["what", "where", "fix"].map(|key| problem[key].as_str().unwrap_or(""));
        assert!(!what.is_empty() && !place.is_empty() && !fix.is_empty(), "{report}");
        assert!(!what.contains(fix), "the fix is said twice: {report}");
    }
}

#[test]
fn bad_settings_are_78_in_every_command_that_needs_them() {
    let tree = Tree::new();
    tree.node(r#""lables": {}"#);
    for line in [
        "unit boot",
        "unit boot --dry-run",
        "unit gate --dry-run",
        "unit render",
        "unit render --runtime",
        "unit render --check",
        "image explain",
    ] {
        let words = line.split(' ').collect::<Vec<_>>();
        let run = tree.run(&words);
        assert_eq!(run.status, 78, "node.json, {line}: {run:?}");
        says_what_where_and_fix(&tree.run(&[words, vec!["-o", "json"]].concat()));
    }
    let tree = Tree::new();
    tree.policy(r#""newer": {}"#);
    for line in [
        "unit boot",
        "unit gate --dry-run",
        "image explain",
        "status",
        "policy show",
        "policy check",
        "policy set old",
        "policy explain",
    ] {
        let words = line.split(' ').collect::<Vec<_>>();
        let run = tree.run(&words);
        assert_eq!(run.status, 78, "policy, {line}: {run:?}");
        says_what_where_and_fix(&tree.run(&[words, vec!["-o", "json"]].concat()));
    }
    let node = Node::new("bridge");
    node.write("etc/policy.json", "{");
    node.write("list.json", "[]");
    let list = node.path("list.json").display().to_string();
    for words in
        [&["install"][..], &["install", "--dry-run"], &["unit", "sweep", "--listed", &list], &["status"]]
    {
        let run = node.run(words);
        assert_eq!(run.status, 78, "{words:?}: {run:?}");
    }
}
