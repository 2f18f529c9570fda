//! The output of programs with `-o json`, held to the published schemas.

use std::path::Path;

use jsonschema::Validator;
use serde_json::Value;

use crate::policies::conversions::{TARGETS, conversions, policies};
use crate::run::{clusters, fixtures, run_in, stderr, stdout};

fn schema(name: &str) -> Validator {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(format!("{name}.schema.json"));
    let text = std::fs::read_to_string(&file).expect("a schema");
    jsonschema::validator_for(&serde_json::from_str(&text).expect("JSON")).expect("a schema")
}

/// Holds a document to a schema.
fn hold(name: &str, document: &Value) {
    let wrong: Vec<String> = schema(name)
        .iter_errors(document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{name}: {wrong:#?}\n{document:#}");
}

fn answer(dir: &Path, arguments: &[&str]) -> Value {
    let output = run_in(dir, &[arguments, &["-o", "json"]].concat());
    serde_json::from_str(stdout(&output))
        .unwrap_or_else(|e| panic!("{arguments:?}: {e}: {}", stderr(&output)))
}

#[test]
fn every_cluster_is_answered_as_the_schemas_say() {
    for dir in clusters() {
        let line = std::fs::read_to_string(dir.join("arguments")).expect("arguments");
        let mut arguments = vec!["--snapshot", "cluster"];
        arguments.extend(line.split_whitespace());
        if dir.join("config.yaml").exists() {
            arguments.extend(["--config", "config.yaml"]);
            hold("check-settings", &answer(&dir, &["check", "--settings", "--config", "config.yaml"]));
        }
        let commands: [(&str, &[&str]); 3] =
            [("check", &["check"]), ("requirements", &["check", "--requirements"]), ("plan", &["plan"])];
        for (schema, command) in commands {
            hold(schema, &answer(&dir, &[command, &arguments[..]].concat()));
        }
        if dir.join("plan.json").exists() {
            hold("simulate", &answer(&dir, &[&["plan", "--simulate", "1"], &arguments[..]].concat()));
        }
    }
}

#[test]
fn answers_about_policies_are_as_the_schemas_say() {
    let published = std::fs::read_dir(conversions().join("published")).expect("examples");
    for dir in published.map(|entry| entry.expect("entry").path()) {
        let output = policies(&dir, "check", &TARGETS[0], &["--snapshot", "input.yaml", "-o", "json"]);
        hold("policies-check", &serde_json::from_str(stdout(&output)).expect("JSON"));
    }
    let dir = conversions().join("published/deny-blue");
    for file in ["../../by-hand.yaml", "none.yaml"] {
        let arguments = ["policies", "diff", "--from", "calico", "--to", "aws-vpc", "--dumped", "all"];
        let files = ["--snapshot", "../../cluster.yaml", "--snapshot", "input.yaml", "--policies", file];
        hold("policies-diff", &answer(&dir, &[&arguments[..], &files].concat()));
    }
    let flow = "tcp 6 1 src=10.244.2.3 dst=10.244.1.2 sport=1 dport=80 src=10.244.1.2 dst=10.244.2.3 sport=80 dport=1\n";
    let temporary = tempfile::tempdir().expect("a directory");
    let (flows, closed) = (temporary.path().join("flows"), temporary.path().join("closed.yaml"));
    let policy = std::fs::read_to_string(conversions().join("by-hand.yaml")).expect("a policy");
    std::fs::write(&closed, policy.replace("ingress: [{}]", "ingress: []")).expect("written");
    std::fs::write(&flows, flow.to_owned() + &flow.replace("10.244.1.2", "10.244.9.9")).expect("written");
    let arguments = ["policies", "observe", "--from", "calico", "--to", "cilium", "--dumped", "all"];
    let [flows, closed] = [&flows, &closed].map(|file| file.to_str().expect("UTF-8"));
    let files = ["--snapshot", "../../cluster.yaml", "--policies", closed, "--flows", flows];
    let observed = answer(&dir, &[&arguments[..], &files].concat());
    assert!(!observed["denied"].as_array().expect("flows").is_empty(), "{observed:#}");
    hold("policies-observe", &observed);
}

#[test]
fn files_are_as_their_schemas_say() {
    let dir = tempfile::tempdir().expect("a directory");
    let cluster = fixtures().join("plan-three");
    let (taken, plan) = (dir.path().join("taken.jsonl"), dir.path().join("plan.json"));
    let (taken_name, plan_name) = (taken.to_str().expect("UTF-8"), plan.to_str().expect("UTF-8"));
    hold("snapshot", &answer(&cluster, &["snapshot", "--snapshot", "cluster", "--out", taken_name]));
    let text = std::fs::read_to_string(&taken).expect("a snapshot");
    hold("snapshot-header", &serde_json::from_str(text.lines().next().expect("a header")).expect("JSON"));

    let line = std::fs::read_to_string(cluster.join("arguments")).expect("arguments");
    let mut arguments = vec!["plan", "--snapshot", "cluster", "--config", "config.yaml"];
    arguments.extend(line.split_whitespace());
    let written = answer(&cluster, &[&arguments[..], &["--out", plan_name]].concat());
    hold("plan", &written);
    hold("plan-file", &serde_json::from_slice(&std::fs::read(&plan).expect("a plan")).expect("JSON"));
    let compared = answer(&cluster, &[&arguments[..], &["--diff", plan_name]].concat());
    assert_eq!(compared["compared"]["hash"], written["hash"]);
    hold("plan", &compared);
}

#[test]
fn refusals_are_as_every_schema_says() {
    let dir = fixtures();
    for arguments in
        [&["check", "-n", "x"][..], &["check", "--from", "x"], &["status", "--kubeconfig", "none"]]
    {
        let refusal = answer(&dir, arguments);
        let reports = ["check", "requirements", "status", "roll", "stragglers", "ask", "snapshot"];
        for name in reports.into_iter().chain(["policies-backup", "policies-restore"]) {
            hold(name, &refusal);
        }
    }
}

/// A schema that takes anything proves nothing.
#[test]
fn a_wrong_answer_is_noticed() {
    let dir = fixtures().join("antrea-5578-few");
    let line = std::fs::read_to_string(dir.join("arguments")).expect("arguments");
    let mut arguments = vec!["check", "--snapshot", "cluster"];
    arguments.extend(line.split_whitespace());
    let good = answer(&dir, &arguments);
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut document = good.clone();
        change(&mut document);
        !schema("check").is_valid(&document)
    };
    assert!(!broken(&|_| {}));
    assert!(broken(&|document| document["version"] = 2.into()));
    assert!(broken(&|document| document["findings"][0]["severity"] = "bad".into()));
    assert!(broken(&|document| document["findings"][0]["objects"] = Value::Null));
    assert!(broken(&|document| document["from"] = "weave".into()));
    assert!(broken(&|document| {
        document.as_object_mut().expect("an object").remove("findings");
    }));
}
