//! Answers: one shape of JSON for every command, and errors that say what to do next.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::arguments::run;
use crate::node::{Node, Run, attach, mode, now};
use crate::tree::Tree;

/// The document of a run, which has the shape that all have.
fn answer(run: &Run) -> Value {
    let answer: Value = serde_json::from_str(&run.out).unwrap_or_else(|e| panic!("{e}: {run:?}"));
    assert_eq!(answer["version"], 1, "{answer}");
    assert_eq!(answer["ok"], run.status == 0, "{answer}");
    let problems = answer["problems"].as_array().unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(problems.is_empty(), run.status == 0, "{run:?}");
    for problem in problems {
        let keys: Vec<&String> = problem.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["fix", "what", "where"], "{problem}");
        for key in keys {
            assert!(problem[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {problem}");
        }
        let [what, fix] = ["what", "fix"].map(|key| problem[key].as_str().unwrap_or_default());
        assert!(!what.contains(fix), "the fix is said twice: {problem}");
    }
    answer
}

/// The published schema of a command holds for its answer.
fn fits_its_schema(arguments: &[&str], answer: &Value) {
    let name = match arguments {
        ["policy", verb, ..] => format!("policy-{verb}"),
        ["status", "--reported", ..] => "status-reported".to_owned(),
        ["doctor", "--explain", ..] => "doctor-explain".to_owned(),
        ["unit" | "image", command, ..] | [command, ..] => (*command).to_owned(),
        [] => panic!("no command"),
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schema/{name}.schema.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let wrong: Vec<String> = validator.iter_errors(answer).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{arguments:?}: {wrong:?}: {answer}");
    // A report without its own keys is none.
    let mut less = answer.clone();
    less.as_object_mut().expect("an object").remove("problems");
    assert!(!validator.is_valid(&less), "{arguments:?}: the schema asks for nothing");
}

fn on_node(node: &Node, arguments: &[&str]) -> (i32, Value) {
    let run = node.run(&[arguments, &["-o", "json"]].concat());
    let printed = answer(&run);
    fits_its_schema(arguments, &printed);
    (run.status, printed)
}

fn on_tree(tree: &Tree, arguments: &[&str]) -> (i32, Value) {
    let run = tree.run(&[arguments, &["-o", "json"]].concat());
    let printed = answer(&run);
    fits_its_schema(arguments, &printed);
    (run.status, printed)
}

#[test]
fn every_command_answers_in_one_shape() {
    let node = Node::new("bridge");
    node.write("list.json", "[]");
    let list = node.path("list.json").display().to_string();
    for (arguments, status) in [
        (&["status"][..], 3),
        (&["attachments"], 0),
        (&["attachments", "--ledger"], 0),
        (&["policy", "show"], 0),
        (&["policy", "check"], 0),
        (&["policy", "explain"], 0),
        (&["policy", "set", "both-new", "--dry-run"], 0),
        (&["install", "--dry-run"], 0),
        (&["install"], 0),
        (&["install"], 0),
        (&["unit", "sweep", "--listed", &list, "--dry-run"], 0),
        (&["unit", "sweep", "--listed", &list], 0),
        (&["status"], 0),
        (&["uninstall", "--dry-run"], 0),
        (&["uninstall"], 0),
    ] {
        assert_eq!(on_node(&node, arguments).0, status, "{arguments:?}");
    }
    let tree = Tree::new();
    let mut wrong = Vec::new();
    for (arguments, status) in [
        (&["unit", "gate", "--dry-run"][..], 3),
        (&["unit", "boot", "--dry-run"], 0),
        (&["unit", "boot"], 0),
        (&["unit", "gate", "--dry-run"], 0),
        (&["unit", "render"], 0),
        (&["unit", "render", "--runtime"], 0),
        (&["unit", "render", "--check"], 0),
        (&["unit", "render", "--print", "talos"], 0),
        (&["image", "explain"], 0),
        (&["unit", "watch", "--once", "--dry-run"], 3),
        (&["status"], 0),
        (&["status", "--reported"], 3),
        (&["cleanup", "flannel"], 0),
        (&["cleanup", "calico"], 3),
        (&["cleanup", "weave"], 3),
        (&["cleanup", "flanel"], 2),
        (&["graduate"], 3),
        (&["doctor"], 3),
        (&["unit", "retract", "--dry-run"], 3),
        (&["image", "bake", "--image", "final", "--new", "cilium", "--dry-run"], 3),
        (&["image", "seal", "--check"], 3),
        (&["image", "selftest", "--image"], 3),
        (&["unit", "place", "--bin-dir", "/nonexistent"], 3),
        (&["unit", "prove", "old"], 78),
    ] {
        let (ended, printed) = on_tree(&tree, arguments);
        if ended != status {
            wrong.push(format!("{arguments:?} ended with {ended}: {printed}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// A pod of a DaemonSet comes to such nodes as well. A policy says that Crossfade is to be there, and a record that it was: only it knows whose DEL is owed.
#[test]
fn a_node_without_crossfade_has_nothing_to_leave() {
    let tree = Tree::bare();
    assert_eq!(on_tree(&tree, &["graduate"]).0, 3);
    fs::remove_file(tree.path("etc/crossfade/policy.json")).expect("the policy");
    let (status, answer) = on_tree(&tree, &["graduate"]);
    assert!(status == 0 && answer["notes"][0].to_string().contains("nothing to leave"), "{status}: {answer}");
    tree.conf("20-new.conflist", "newnet", "bridge");
    attach(&tree.layout(), "c1", now(), &[tree.path("etc/cni/net.d/20-new.conflist")]);
    let (status, answer) = on_tree(&tree, &["graduate"]);
    assert!(
        status == 78 && answer["problems"][0]["what"].to_string().contains("policy"),
        "{status}: {answer}"
    );
}

#[test]
fn a_code_is_explained_without_a_node() {
    let gate = ["doctor", "--explain", "gate-shut"];
    let known = run(&[&gate[..], &["-o", "json"]].concat());
    let printed = answer(&known);
    fits_its_schema(&gate, &printed);
    assert_eq!((known.status, &printed["code"]), (0, &json!("gate-shut")));
    assert!(
        printed["what"].as_str().is_some_and(|what| what.ends_with("since. Severity: error.")),
        "{printed}"
    );
    let lines = run(&gate).out;
    assert!(lines.starts_with("gate-shut\n  The gate ") && lines.contains("\n  fix   The `seen`"), "{lines}");
    let unknown = run(&["doctor", "--explain", "gate-shot"]);
    assert_eq!((unknown.status, unknown.out.as_str()), (2, ""));
    assert!(unknown.err.contains("did you mean gate-shut?"), "{}", unknown.err);
    let both = run(&[&gate[..], &["--root", "/"]].concat());
    assert_eq!(both.status, 2, "{}", both.err);
}

#[test]
fn a_problem_names_its_object_and_the_next_step() {
    let node = Node::new("bridge");
    let file = node.path("etc/policy.json").display().to_string();
    node.write("etc/policy.json", r#"{"version":1,"attech":"new"}"#);
    let (_, printed) = on_node(&node, &["policy", "check"]);
    let problem = &printed["problems"][0];
    assert_eq!(problem["where"], json!(file), "{printed}");
    assert!(problem["fix"].as_str().is_some_and(|fix| fix.contains("policy check")), "{printed}");
    let printed = node.run(&["policy", "check"]);
    assert!(printed.err.lines().any(|line| line.starts_with("  fix: ")), "{}", printed.err);

    fs::remove_file(node.path("etc/policy.json")).expect("policy");
    let (status, printed) = on_node(&node, &["policy", "show"]);
    let problem = &printed["problems"][0];
    assert_eq!((status, &problem["where"]), (78, &json!(file)), "{printed}");
}

#[test]
fn a_watch_that_goes_on_answers_no_program_and_says_who_does() {
    let tree = Tree::new();
    // On such a node a watch that is not refused ends at once, and this test with it.
    tree.node(r#""confDir": "none""#);
    for arguments in [&["unit", "watch"][..], &["unit", "watch", "--pod"]] {
        let run = tree.run(&[arguments, &["-o", "json"]].concat());
        let printed = answer(&run);
        assert_eq!((run.status, &printed["problems"][0]["where"]), (2, &json!("--output")), "{printed}");
        let fix = printed["problems"][0]["fix"].as_str().expect("text");
        assert!(fix.contains("--once") && fix.contains("status --follow"), "{printed}");
    }
    let printed = answer(&tree.run(&["unit", "watch", "--once", "-o", "json"]));
    assert_eq!(printed["ok"], json!(true), "{printed}");
}

#[test]
fn what_a_person_may_not_do_is_for_root() {
    let node = Node::new("bridge");
    // Only root may read it: the test is for all other users.
    if nix::unistd::geteuid().is_root() {
        return;
    }
    let dir = node.path("state/attachments");
    fs::create_dir_all(&dir).expect("state");
    mode(&node.path("state"), 0o700);
    mode(&dir, 0o000);
    let (status, printed) = on_node(&node, &["attachments"]);
    assert_ne!(status, 0, "{printed}");
    assert!(printed["problems"][0]["what"].to_string().contains("ermission denied"), "{printed}");
    assert!(printed["problems"][0]["fix"].to_string().contains("as root"), "{printed}");
    let run = node.run(&["attachments"]);
    assert!(run.err.contains("fix: run the command as root"), "{}", run.err);
}

/// A policy names an unknown CNI.
#[test]
fn a_profile_that_is_not_known_is_an_error_with_what_was_meant() {
    let node = Node::new("bridge");
    let known = node.read("etc/policy.json");
    let named = |profile: &str| node.policy(|policy| policy["networks"]["new"]["profile"] = json!(profile));
    named("cillium");
    for arguments in [&["policy", "check"][..], &["install"], &["install", "--dry-run"]] {
        let printed = node.run_expecting(arguments, 78);
        assert!(
            printed.contains("\"cillium\"") && printed.contains("did you mean \"cilium\"?"),
            "{arguments:?}: {printed}"
        );
        assert!(printed.contains("networks.new.profile"), "{arguments:?}: {printed}");
    }
    named("zzz");
    let printed = node.run_expecting(&["policy", "check"], 78);
    assert!(
        printed.contains("\"zzz\"") && printed.contains("generic") && !printed.contains("did you mean"),
        "{printed}"
    );
    node.write("etc/policy.json", &known);
    node.run_expecting(&["policy", "check"], 0);

    let tree = Tree::new();
    tree.policy(r#""new": {"profile": "calicoo", "conf": ["/etc/cni/net.d/10-calico.conflist"]}"#);
    for arguments in [&["unit", "boot"][..], &["unit", "boot", "--dry-run"], &["policy", "check"]] {
        let printed = tree.run_expecting(arguments, 78);
        assert!(printed.contains("did you mean \"calico\"?"), "{arguments:?}: {printed}");
    }
    tree.write("p.json", &tree.read("etc/crossfade/policy.json"));
    fs::remove_file(tree.path("etc/crossfade/policy.json")).expect("policy");
    let file = tree.path("p.json").display().to_string();
    let printed = tree.run_expecting(&["image", "bake", "--image", "migration", "--from-policy", &file], 78);
    assert!(printed.contains("did you mean \"calico\"?"), "{printed}");
}
