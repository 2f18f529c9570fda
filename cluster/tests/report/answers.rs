//! The answers of `report`.

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::kept::{KeptRun, RUN, in_dir};
use crate::run::{run_in, stderr, stdout};

pub(crate) fn schema(name: &str) -> Validator {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schema/{name}.schema.json"));
    let text = std::fs::read_to_string(file).expect("a schema");
    jsonschema::validator_for(&serde_json::from_str(&text).expect("JSON")).expect("a schema")
}

#[test]
fn a_run_that_is_over_is_told_as_a_whole() {
    let kept = KeptRun::new("edge-1");
    let report = kept.report(&[]);
    let wrong: Vec<String> = schema("report").iter_errors(&report).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(
        (&report["ok"], &report["run"], &report["state"]),
        (&true.into(), &RUN.into(), &"done".into())
    );
    assert_eq!(report["missing"], Value::Array(Vec::new()));
    assert_eq!(report["lacking"], Value::Array(Vec::new()));
    assert_eq!(report["plan"]["hash"], kept.hash.as_str());
    assert_eq!(report["nodes"].as_array().map(Vec::len), Some(16));
    assert_eq!(report["times"]["moves"], 48);
    assert_eq!(
        (&report["times"]["seconds"]["median"], &report["times"]["beyondMoving"]["median"]),
        (&110.into(), &55.into())
    );
    assert_eq!(
        (&report["evictions"]["evicted"], &report["evictions"]["refusedByBudgets"]),
        (&64.into(), &16.into())
    );
    assert_eq!(report["evictions"]["restartsPerPod"], 0.4);
    assert_eq!(
        (&report["holders"][0]["by"], &report["holders"][0]["isApproved"]),
        (&"alice@laptop:4711:00ff".into(), &true.into())
    );
    assert_eq!(
        (&report["reasons"][0]["reason"], &report["reasons"][0]["longest"]),
        (&"BudgetBlocks".into(), &30.into())
    );
    assert_eq!(report["gates"]["smoke"]["is"], "green");
    assert_eq!(report["attached"].as_array().map(Vec::len), Some(48));
    // Without a file of measurements and without agents, nothing is 0.
    let probes = report["probes"].as_array().expect("classes");
    assert!(
        !probes.is_empty()
            && probes.iter().all(|class| class["measured"].is_null() && class["gates"].is_null()),
        "{probes:?}"
    );
}

#[test]
fn tables_and_markdown_say_what_was_not_measured() {
    let kept = KeptRun::new("edge-1");
    for format in ["table", "markdown"] {
        let output = kept.call(&["report", "-o", format]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let text = stdout(&output);
        for words in ["not measured", "alice@laptop", "BudgetBlocks", "both-new", "StatefulSet/shop/db-0"] {
            assert!(text.replace('\\', "").contains(words), "{words}: {text}");
        }
    }
    let file = r#"{"version":1,"classes":[{"from":"old","to":"both-old","sent":1000,"lost":3,"longestGapMillis":1200}]}"#;
    let file = in_dir(kept.dir.path(), "probe.json", file);
    let text = stdout(&kept.call(&["report", "--measured", &file])).to_owned();
    assert!(text.contains("lost probes: 3 of 1000"), "{text}");
    let classes = json!([{"from": "old", "to": "both-old", "sent": 70, "lost": 1, "longestGapMillis": 4000}, {"from": "old", "to": "dns", "sent": 7, "lost": 0}]);
    let count = json!({"pass": 3, "to": "new", "attached": {}, "silent": 0, "measured": classes});
    let line = json!({"at": "2026-11-20T11:30:00Z", "event": "counted", "count": count});
    let journal = in_dir(kept.dir.path(), "journal.jsonl", &format!("{line}\n"));
    let text = stdout(&kept.call(&["report", "--journal", &journal])).to_owned();
    assert!(text.contains("lost probes: 1 of 77"), "{text}");
    let text = stdout(&kept.call(&["report", "--journal", &journal, "--measured", &file])).to_owned();
    assert!(text.contains("lost probes: 3 of 1000 by files, 1 of 77 by gates"), "{text}");
    let begin = text.find("Lost probes").expect("a heading");
    let rows = text[begin..].lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let rows: Vec<String> = rows.filter(|row| row.starts_with("old ")).collect();
    let expected =
        ["old both-old file 1000 3 1200", "old both-old gates 70 1 4000", "old dns gates 7 0 not measured"];
    assert_eq!(rows, expected, "{text}");
    let output = kept.call(&["report", "--measured", "configmaps.json"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("docs/report.md"), "{}", stderr(&output));
}

/// The lines of a report from `nodes` to `lost probes`.
fn figures(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim).skip_while(|line| !line.starts_with("nodes:"));
    lines.take_while(|line| !line.is_empty()).collect()
}

#[test]
fn a_rotation_has_no_zero_for_what_its_pipelines_do() {
    let kept = KeptRun::rotation();
    let report = kept.report(&[]);
    let wrong: Vec<String> = schema("report").iter_errors(&report).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let seconds = json!({"median": 240, "most": 240});
    assert_eq!(report["replaced"], json!({"permitted": 6, "proven": 6, "seconds": seconds}));
    assert_eq!(
        (&report["times"], &report["evictions"]["restartsPerPod"]),
        (&Value::Null, &Value::Null),
        "{report:#}"
    );
    let text = stdout(&kept.call(&["report"])).to_owned();
    let expected = [
        "nodes: 12",
        "nodes left to a pipeline: 6",
        "new nodes proven: 6",
        "seconds from a node's turn to the proof of a new one: 240 in the middle, 240 at most",
        "waits for a person: 0",
        "restarts per pod: by the pipeline, not measured",
        "evictions: by the pipeline, not measured",
        "refused by budgets: by the pipeline, not measured",
        "lost probes: not measured",
    ];
    assert_eq!(figures(&text), expected);
    let row = text.lines().find(|line| line.starts_with("edge-1-0 ")).expect("a new node");
    assert!(row.contains("not measured") && !row.contains(" 0  "), "{row}");
    assert!(text.contains("is left to its pipeline") && !text.contains("evicted: 0"), "{text}");
    kept.call(&["report", "--out", "a.html", "--out", "a.md"]);
    for file in ["a.html", "a.md"] {
        let text = kept.text(file);
        for words in ["nodes left to a pipeline", "by the pipeline, not measured"] {
            assert!(text.contains(words), "{file}: {text}");
        }
    }
}

#[test]
fn without_its_journal_a_report_has_no_zero() {
    for (kept, replacements) in [(KeptRun::new("edge-1"), 0), (KeptRun::rotation(), 3)] {
        for part in 1..=3 {
            kept.remove(&format!("crossfade-journal-{RUN}-{part:04}"));
        }
        let report = kept.report(&[]);
        assert_eq!((&report["times"], &report["evictions"]), (&Value::Null, &Value::Null), "{report:#}");
        let text = stdout(&kept.call(&["report"])).to_owned();
        let figures = figures(&text);
        assert_eq!(figures.len(), if replacements > 0 { 9 } else { 8 }, "{figures:?}");
        assert!(figures.iter().all(|line| line.contains(": not ") || line.contains(": by ")), "{figures:?}");
        assert!(!text.lines().any(|line| line.ends_with(": 0")) && !text.contains("Not touched"), "{text}");
    }
}

#[test]
fn what_is_missing_is_named_and_all_else_is_told() {
    let kept = KeptRun::new("edge-1");
    kept.remove(&format!("crossfade-journal-{RUN}-0002"));
    kept.remove(&format!("crossfade-plan-{}", &kept.hash[..12]));
    let report = kept.report(&[]);
    assert_eq!(report["missing"][0]["why"], "part 2 of the journal");
    assert!(report["missing"][0]["after"].is_string() && report["missing"][0]["before"].is_string());
    assert_eq!((&report["plan"], &report["lacking"][0]["item"]), (&Value::Null, &"plan".into()));
    assert!(report["times"]["moves"].as_u64().is_some_and(|moves| moves > 10));
    let text = stdout(&kept.call(&["report"])).to_owned();
    assert!(text.contains("The journal lacks lines") && text.contains("part 2 of the journal"), "{text}");
    // The file that the holder has kept has the lines.
    let file = in_dir(kept.dir.path(), "kept.jsonl", &kept.lines.concat());
    let report = kept.report(&["--journal", &file]);
    assert_eq!((&report["missing"], &report["times"]["moves"]), (&Value::Array(Vec::new()), &48.into()));
    // Without the run, its id has to be named.
    kept.remove("crossfade-run");
    let output = kept.call(&["report"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("--run ID"), "{}", stderr(&output));
    let report = kept.report(&["--run", RUN]);
    assert_eq!((&report["state"], &report["lacking"][0]["item"]), (&Value::Null, &"run".into()));
}

#[test]
fn files_have_the_format_of_their_names() {
    let kept = KeptRun::new("edge-1");
    let out = ["report", "--out", "a.html", "--out", "a.md", "--out", "a.json"];
    let output = kept.call(&out);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(kept.text("a.html").starts_with("<!doctype html>"));
    assert!(kept.text("a.md").starts_with(&format!("# Run {RUN}: flannel to cilium, double\n")));
    let json: Value = serde_json::from_str(&kept.text("a.json")).expect("JSON");
    assert_eq!(json, kept.report(&[]));
    let first = kept.text("a.html");
    kept.call(&out);
    assert_eq!(kept.text("a.html"), first, "the same run gives the same bytes");
    let output = kept.call(&["report", "--out", "a.pdf"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains(".html, .md or .json"), "{}", stderr(&output));
}

#[test]
fn a_run_that_goes_on_is_told_up_to_now_and_a_cluster_without_one_has_none() {
    let kept = KeptRun::new("edge-1");
    let text = std::fs::read_to_string(kept.file()).expect("a file");
    let going = text.replace(r#"\"state\":\"done\""#, r#"\"state\":\"running\""#);
    std::fs::write(kept.file(), going).expect("written");
    assert_eq!(kept.report(&[])["state"], "running");
    std::fs::write(kept.file(), r#"{"kind":"List","items":[]}"#).expect("written");
    let output = kept.call(&["report"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let output = run_in(kept.dir.path(), &["report"]);
    assert_eq!(output.status.code(), Some(78), "{}", stderr(&output));
}

#[test]
fn names_of_others_are_shown_on_a_terminal_and_in_markdown_as_what_they_are() {
    let kept = KeptRun::new("<b>x\u{1b}[2J\u{202e}`|*");
    let table = stdout(&kept.call(&["report"])).to_owned();
    assert!(table.contains("<b>x\\u{1b}[2J\\u{202e}") && !table.contains('\u{1b}'), "{table}");
    let markdown = stdout(&kept.call(&["report", "-o", "markdown"])).to_owned();
    assert!(markdown.contains("\\<b>x") && !markdown.contains(" <b>") && !markdown.contains('\u{202e}'));
}

/// docs/report.md shows this run. `UPDATE_GOLDEN=1` writes it anew, which a change of plans makes necessary.
#[test]
fn the_run_of_the_page_is_this_one() {
    let file = crate::run::fixtures().join("run-over/configmaps.json");
    let of_today = std::fs::read_to_string(KeptRun::new("edge-1").file()).expect("a file") + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(file.parent().expect("a directory")).expect("made");
        std::fs::write(&file, &of_today).expect("written");
    }
    assert!(std::fs::read_to_string(&file).is_ok_and(|kept| kept == of_today), "UPDATE_GOLDEN=1");
}
