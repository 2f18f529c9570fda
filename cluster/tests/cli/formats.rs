//! The four formats of an answer.

use super::run::{fixtures, run_in, stdout};

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
