//! The four formats of an answer.

use crate::run::{fixtures, run_in, stderr, stdout};

fn printed(format: &str) -> String {
    let dir = fixtures().join("antrea-5578-few");
    let arguments =
        ["check", "--from", "calico", "--to", "antrea", "--snapshot", "cluster", "--dumped", "all"];
    let output = run_in(&dir, &[&arguments[..], &["-o", format]].concat());
    assert_eq!(output.status.code(), Some(3), "{format}");
    stdout(&output).to_owned()
}

#[test]
fn json_and_yaml_are_the_same_document() {
    let json: serde_json::Value = serde_json::from_str(&printed("json")).expect("JSON");
    let yaml: serde_json::Value = serde_saphyr::from_str(&printed("yaml")).expect("YAML");
    assert_eq!(json, yaml);
    assert_eq!(json["version"], 1);
    assert_eq!(json["ok"], false);
    assert_eq!(
        (&json["from"], &json["to"], &json["strategy"]),
        (&"calico".into(), &"antrea".into(), &"double".into())
    );
    let findings = json["findings"].as_array().expect("findings");
    let block = findings.iter().find(|finding| finding["code"] == "cidr-overlap-block").expect("the overlap");
    assert_eq!(block["severity"], "blocks");
    assert_eq!(block["objects"].as_array().map(Vec::len), Some(3));
    let blocking = findings.iter().filter(|finding| finding["severity"] == "blocks").count();
    assert_eq!(json["problems"].as_array().map(Vec::len), Some(blocking));
}

#[test]
fn a_table_names_every_finding_and_its_fix() {
    let table = printed("table");
    for words in
        ["SEVERITY", "cidr-overlap-block", "10.10.6.64/26 on worker11 overlaps 10.10.6.0/24", "  fix: "]
    {
        assert!(table.contains(words), "{words}:\n{table}");
    }
    assert!(!table.contains('\u{1b}'));
    assert!(table.lines().all(|line| line == line.trim_end()), "blanks at the end of a line");
}

/// What `check` prints on a terminal; `script` lends it one.
#[cfg(target_os = "linux")]
fn on_a_terminal(variables: &[(&str, &str)]) -> String {
    let line = format!(
        "{} check --from calico --to antrea --snapshot cluster --dumped all",
        env!("CARGO_BIN_EXE_kubectl-crossfade")
    );
    let mut script = std::process::Command::new("script");
    script.args(["--quiet", "--command", &line, "/dev/null"]).env("TERM", "xterm");
    script.env_remove("NO_COLOR").envs(variables.iter().copied());
    let output = script.current_dir(fixtures().join("antrea-5578-few")).output().expect("script runs");
    stdout(&output).to_owned()
}

#[cfg(target_os = "linux")]
#[test]
fn severities_have_a_colour_on_a_terminal_and_nothing_else_has() {
    let text = on_a_terminal(&[]);
    let coloured: Vec<&str> = text.lines().filter(|line| line.contains('\u{1b}')).collect();
    let severities = ["blocks", "risk", "note"];
    let is_severity =
        |line: &&str| line.starts_with('\u{1b}') && severities.iter().any(|word| line.contains(word));
    assert!(coloured.iter().all(is_severity), "{coloured:?}");
    // Each finding is a line of the table and a heading.
    let findings = text.lines().filter(|line| line.contains("  why: ")).count();
    assert_eq!(coloured.len(), 2 * findings, "{text}");
    let plain = on_a_terminal(&[("NO_COLOR", "1")]);
    assert_eq!(plain.replace('\r', ""), printed("table"));
}

#[test]
fn a_code_is_explained_without_a_migration_or_a_cluster() {
    let explain = |more: &[&str]| run_in(&fixtures(), &[&["check", "--explain"], more].concat());
    let known = explain(&["cidr-too-small", "-o", "json"]);
    assert_eq!((known.status.code(), stderr(&known)), (Some(0), ""));
    let answer: serde_json::Value = serde_json::from_str(stdout(&known)).expect("JSON");
    assert_eq!((&answer["code"], &answer["ok"]), (&"cidr-too-small".into(), &true.into()));
    assert!(answer["fix"].as_str().is_some_and(|fix| fix.contains("or another IPPool")), "{answer}");
    let table = explain(&["cidr-too-small"]);
    let text = stdout(&table);
    assert!(
        text.starts_with("cidr-too-small\n") && text.contains("\n  why: A node without a range"),
        "{text}"
    );
    let unknown = explain(&["cidr-to-small"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("did you mean cidr-too-small?"), "{}", stderr(&unknown));
    let both = explain(&["cidr-too-small", "--from", "calico"]);
    assert_eq!(both.status.code(), Some(2), "{}", stderr(&both));
    let neither = run_in(&fixtures(), &["check"]);
    assert_eq!(neither.status.code(), Some(2));
    assert!(stderr(&neither).contains("--from <FROM>"), "{}", stderr(&neither));
}
