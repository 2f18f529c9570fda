//! The archive that `report` writes, and reports without names.

use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::answers::schema;
use crate::kept::{KeptRun, RUN, in_dir};
use crate::run::{stderr, stdout};

/// The files of an archive, without the directory that they are in.
fn files(kept: &KeptRun, name: &str) -> BTreeMap<String, Vec<u8>> {
    let bytes = std::fs::read(kept.dir.path().join(name)).expect("an archive");
    let mut archive = tar::Archive::new(GzDecoder::new(bytes.as_slice()));
    let mut files = BTreeMap::new();
    for entry in archive.entries().expect("an archive") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").to_string_lossy().into_owned();
        assert_eq!(
            (entry.header().mtime().expect("a time"), entry.header().mode().expect("a mode")),
            (0, 0o600),
            "{path}"
        );
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("a file");
        files.insert(path.strip_prefix("crossfade-evidence/").expect("the directory").to_owned(), content);
    }
    files
}

fn archive(kept: &KeptRun, name: &str, more: &[&str]) -> (Value, BTreeMap<String, Vec<u8>>) {
    let output = kept.call(&[&["report", "--archive", name, "-o", "json"], more].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let answer = serde_json::from_str(stdout(&output)).expect("JSON");
    let wrong: Vec<String> = schema("report").iter_errors(&answer).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    (answer, files(kept, name))
}

fn json(files: &BTreeMap<String, Vec<u8>>, name: &str) -> Value {
    serde_json::from_slice(&files[name]).expect("JSON")
}

/// The names of the run that a text has.
fn names_in(text: &str) -> Vec<&'static str> {
    let names = ["edge-1", "alice", "laptop", "bob", "shop", "db-0", "eu-1a", "gpu1"];
    names.into_iter().filter(|name| text.contains(name)).collect()
}

#[test]
fn an_archive_has_what_there_is_and_says_what_there_is_not() {
    let kept = KeptRun::new("edge-1");
    let config = in_dir(kept.dir.path(), "crossfade.yaml", "version: 1\n");
    let (answer, files) = archive(&kept, "a.tar.gz", &["--config", &config]);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let expected = [
        "SHA256SUMS",
        "errors.json",
        "gates.json",
        "journal/0001.jsonl",
        "journal/0002.jsonl",
        "journal/0003.jsonl",
        "plan.json",
        "report.html",
        "report.json",
        "run.json",
        "settings.json",
    ];
    assert_eq!(names, expected);
    assert_eq!(json(&files, "errors.json")[0]["item"], "policies-backup");
    assert_eq!(json(&files, "report.json")["run"], RUN);
    // The plan has the hash that was approved.
    assert_eq!(answer["archive"]["items"]["plan.json"], kept.hash.as_str());
    let sums = String::from_utf8(files["SHA256SUMS"].clone()).expect("UTF-8");
    assert_eq!(sums.lines().count(), names.len() - 1);
    assert!(sums.contains(&format!("{}  plan.json\n", kept.hash)), "{sums}");
    let journal: Vec<u8> =
        (1..=3).flat_map(|part| files[&format!("journal/{part:04}.jsonl")].clone()).collect();
    assert_eq!(String::from_utf8(journal).expect("UTF-8"), kept.lines.concat());
    let (again, _) = archive(&kept, "b.tar.gz", &["--config", &config]);
    assert_eq!(answer["archive"]["hash"], again["archive"]["hash"], "the same run gives the same bytes");
    kept.remove("crossfade-run");
    let (answer, files) = archive(&kept, "c.tar.gz", &["--run", RUN]);
    assert!(!files.contains_key("run.json") && files.contains_key("journal/0001.jsonl"));
    let items: Vec<&str> = answer["lacking"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|item| item["item"].as_str())
        .collect();
    assert_eq!(items, ["run", "settings", "policies-backup"]);
}

#[test]
fn a_redacted_archive_has_no_name() {
    let kept = KeptRun::new("edge-1");
    let config = in_dir(kept.dir.path(), "crossfade.yaml", "version: 1\n");
    let (answer, files) = archive(&kept, "a.tar.gz", &["--redact", "--config", &config]);
    assert_eq!(answer["archive"]["isRedacted"], true);
    assert!(!files.contains_key("settings.json"));
    for (name, content) in &files {
        assert_eq!(names_in(&String::from_utf8_lossy(content)), [""; 0], "{name}");
    }
    assert_eq!(names_in(&answer.to_string()), [""; 0], "the answer");
    let report = json(&files, "report.json");
    assert_eq!(
        (&report["times"]["moves"], &report["plan"]["hash"]),
        (&48.into(), &kept.hash.as_str().into())
    );
    let node = report["nodes"][0]["node"].as_str().expect("a name").to_owned();
    assert!(node.starts_with("node-"), "{node}");
    assert_eq!(
        json(&files, "plan.json")["waves"][0]["nodes"][0]["name"],
        node.as_str(),
        "one name everywhere"
    );
    let journal = String::from_utf8_lossy(&files["journal/0001.jsonl"]).into_owned();
    assert!(journal.contains(&format!("\"{node}\"")), "{node}");
}

#[test]
fn an_archive_is_written_beside_the_other_files() {
    let kept = KeptRun::new("edge-1");
    let output = kept.call(&["report", "--archive", "a.tar.gz", "--out", "a.html", "--out", "a.json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let files = files(&kept, "a.tar.gz");
    for name in ["html", "json"] {
        let report = String::from_utf8(files[&format!("report.{name}")].clone()).expect("UTF-8");
        assert_eq!(report, kept.text(&format!("a.{name}")), "{name}");
    }
    let text = stdout(&output);
    for words in ["nodes: 16", "a.tar.gz: It has names of the cluster", "SHA-256", "Written: a.html, a.json"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn a_redacted_report_has_no_name() {
    let kept = KeptRun::new("edge-1");
    let output = kept.call(&["report", "--redact", "--out", "a.html"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(names_in(stdout(&output)), [""; 0]);
    assert_eq!(names_in(&kept.text("a.html")), [""; 0]);
    assert!(stdout(&output).contains("node-"), "{}", stdout(&output));
    assert!(!names_in(stdout(&kept.call(&["report"]))).is_empty());
}

#[test]
fn a_backup_without_an_archive_is_an_argument_error() {
    let kept = KeptRun::new("edge-1");
    let output = kept.call(&["report", "--backup", "policies.json"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("--archive"), "{}", stderr(&output));
}
