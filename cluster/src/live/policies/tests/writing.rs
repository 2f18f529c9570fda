//! Writing policies, to an API server that answers as it is told.

use std::collections::BTreeMap;

use migration::backup::Act;
use serde_json::{Value, json};
use types::command::exit::Exit;

use super::super::*;
use crate::live::api::test_server::{Answer, RecordedRequest, Server, run};

const OURS: &str = "crossfade/converted-from";

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn create(kind: &str, name: &str) -> Step {
    let object = object(kind, name, &json!({"order": 1}));
    Step { id: Id::read(&object).expect("an object"), act: Act::Create, object, awaits: None }
}

fn replace(name: &str) -> Step {
    let mut live = object("GlobalNetworkPolicy", name, &json!({"order": 2}));
    live["metadata"]["resourceVersion"] = "41".into();
    Step { act: Act::Replace(live), ..create("GlobalNetworkPolicy", name) }
}

/// Answers a write with the object itself, and a read with what was written last under that path.
///
/// What is replaced is there from the start, at the version that steps have seen.
fn keeping(mut change: impl FnMut(&RecordedRequest) -> Option<Answer> + Send + 'static) -> Server {
    let mut kept: BTreeMap<String, Value> = BTreeMap::new();
    Server::by_rule(move |request| {
        if let Some(answer) = change(request) {
            return answer;
        }
        let (method, path) = request.line.split_once(' ').expect("a line");
        let path = path.split('?').next().expect("a path").to_owned();
        if method == "GET" {
            return kept.get(&path).map_or_else(
                || Answer::refusal(404, "NotFound", "not found"),
                |value| Answer::json(200, value),
            );
        }
        let object = request.json();
        if method == "PUT" {
            kept.entry(path.clone()).or_insert_with(|| object.clone());
        }
        let path = if method == "PUT" {
            path
        } else {
            format!("{path}/{}", object["metadata"]["name"].as_str().expect("a name"))
        };
        if !request.line.contains("dryRun") {
            kept.insert(path, object.clone());
        }
        Answer::json(200, &object)
    })
}

fn carried(server: &Server, steps: &[Step], dry_run: bool) -> (ApplyReport, Vec<String>) {
    let server = server.clone();
    run(async {
        let applied = apply::apply_steps(&server.caller(), steps, dry_run, &mut |_| {}).await;
        let short = |line: String| {
            line.replace("/apis/projectcalico.org/v3/globalnetwork", "")
                .replace("fieldManager=crossfade&fieldValidation=Strict", "strict")
        };
        (applied, server.lines().into_iter().map(short).collect())
    })
}

fn became(applied: &ApplyReport) -> Vec<WriteOutcome> {
    applied.objects.iter().map(|report| report.outcome).collect()
}

#[test]
fn all_is_tried_before_one_is_written_and_each_is_read_back() {
    let steps = [create("GlobalNetworkPolicy", "a"), replace("b")];
    let (applied, lines) = carried(&keeping(|_| None), &steps, false);
    assert_eq!(
        lines,
        [
            "POST policies?strict&dryRun=All",
            "GET policies/a",
            "PUT policies/b?strict&dryRun=All",
            "POST policies?strict",
            "GET policies/a",
            "PUT policies/b?strict",
            "GET policies/b",
        ]
    );
    assert_eq!(became(&applied), [WriteOutcome::Created, WriteOutcome::Replaced]);
    assert_eq!((applied.exit, applied.problems.len()), (Exit::Done, 0));
}

#[test]
fn a_dry_run_writes_nothing() {
    let (applied, lines) =
        carried(&keeping(|_| None), &[create("GlobalNetworkPolicy", "a"), replace("b")], true);
    assert_eq!(
        lines,
        ["POST policies?strict&dryRun=All", "GET policies/a", "PUT policies/b?strict&dryRun=All"]
    );
    assert_eq!(became(&applied), [WriteOutcome::WouldCreate, WriteOutcome::WouldReplace]);
}

/// Each row: what the API server does when it tries the policy b, how the command ends, and what it says.
#[test]
fn what_is_wrong_with_one_object_keeps_all_from_being_written() {
    let dropping = |request: &RecordedRequest| {
        let mut object = request.json();
        object["spec"] = json!({});
        Answer::json(201, &object)
    };
    let warning =
        |request: &RecordedRequest| Answer::json(201, &request.json()).warning("299 - \"v3 is deprecated\"");
    type Rule = Box<dyn Fn(&RecordedRequest) -> Answer + Send>;
    let rows: [(Rule, Exit, &str); 6] = [
        (Box::new(dropping), Exit::No, "the API server drops the field spec.order"),
        (Box::new(warning), Exit::No, "the API server warns: v3 is deprecated"),
        (
            Box::new(|_| Answer::refusal(422, "Invalid", "spec.order: no")),
            Exit::No,
            "422 Invalid: spec.order: no",
        ),
        (
            Box::new(|_| Answer::refusal(409, "AlreadyExists", "it exists")),
            Exit::TryLater,
            "409 AlreadyExists",
        ),
        (
            Box::new(|_| Answer::refusal(503, "ServiceUnavailable", "no")),
            Exit::TryLater,
            "503 ServiceUnavailable",
        ),
        (Box::new(|_| Answer::lost()), Exit::TryLater, "no answer"),
    ];
    for (rule, exit, says) in rows {
        for dry_run in [false, true] {
            let count = std::sync::Arc::new(std::sync::Mutex::new(0));
            let steps =
                [create("GlobalNetworkPolicy", "a"), create("GlobalNetworkPolicy", "b"), replace("c")];
            let server = Server::by_rule({
                let answers = [
                    Answer::json(201, &steps[0].object),
                    rule(&RecordedRequest {
                        line: String::new(),
                        content: String::new(),
                        accept: String::new(),
                        encoding: String::new(),
                        body: steps[1].object.to_string(),
                    }),
                    Answer::json(200, &steps[2].object),
                ];
                move |request| {
                    if request.line.starts_with("GET ") {
                        return Answer::refusal(404, "NotFound", "not found");
                    }
                    let mut calls = count.lock().expect("a count");
                    *calls += 1;
                    answers[*calls - 1].clone()
                }
            });
            let (applied, mut lines) = carried(&server, &steps, dry_run);
            lines.retain(|line| !line.starts_with("GET "));
            assert!(lines.iter().all(|line| line.ends_with("dryRun=All")), "{lines:?}");
            assert_eq!(applied.exit, exit, "{says}");
            assert_eq!(became(&applied), [WriteOutcome::NotWritten; 3]);
            let texts: Vec<&str> = applied.problems.iter().map(|problem| problem.what.as_str()).collect();
            assert!(texts.len() == 1 && texts[0].contains(says) && texts[0].contains("/b: "), "{texts:?}");
            let is_lost = says == "no answer";
            assert_eq!(
                lines.len(),
                if is_lost { 2 } else { 3 },
                "all are listed, but for a server that is away"
            );
        }
    }
}

#[test]
fn another_clients_change_in_the_middle_stops_all_and_says_what_is_done() {
    let steps = [replace("a"), replace("b"), replace("c")];
    let server = keeping(|recorded| {
        let is_it = recorded.line.starts_with("PUT /apis/projectcalico.org/v3/globalnetworkpolicies/b?")
            && !recorded.line.contains("dryRun");
        is_it.then(|| Answer::refusal(409, "Conflict", "the object has been modified"))
    });
    let (applied, lines) = carried(&server, &steps, false);
    assert_eq!(
        became(&applied),
        [WriteOutcome::Replaced, WriteOutcome::NotWritten, WriteOutcome::NotWritten]
    );
    assert_eq!(applied.exit, Exit::TryLater);
    assert_eq!(lines.last().map(String::as_str), Some("PUT policies/b?strict"), "nothing after it");
    assert!(applied.problems[0].what.contains("/b: 409 Conflict"), "{:?}", applied.problems);
    let requests = server.requests();
    let body = requests.last().expect("a request").json();
    assert_eq!(body["metadata"]["resourceVersion"], "41", "the version that was compared");
}

#[test]
fn a_lost_answer_may_have_been_a_write() {
    let is_write =
        |request: &RecordedRequest| request.line.starts_with("PUT") && !request.line.contains("dryRun");
    let server = keeping(move |request| is_write(request).then(Answer::lost));
    let (applied, _) = carried(&server, &[replace("a"), replace("b")], false);
    assert_eq!(became(&applied), [WriteOutcome::Unknown, WriteOutcome::NotWritten]);
    assert_eq!(applied.exit, Exit::TryLater);
}

#[test]
fn what_another_stores_instead_is_found_when_it_is_read_back() {
    let mut is_written = false;
    let server = keeping(move |request| {
        is_written |= request.line.starts_with("PUT") && !request.line.contains("dryRun");
        let other = object("GlobalNetworkPolicy", "a", &json!({"order": 9}));
        (is_written && request.line.starts_with("GET")).then(|| Answer::json(200, &other))
    });
    let (applied, _) = carried(&server, &[replace("a"), replace("b")], false);
    assert_eq!(became(&applied), [WriteOutcome::Replaced, WriteOutcome::NotWritten]);
    assert_eq!(applied.exit, Exit::Failed);
    assert!(
        applied.problems[0].what.ends_with("stores something else in the field spec.order"),
        "{applied:?}"
    );
}

/// An API server that stores what it should only try is found with its first object, and gets no other.
#[test]
fn an_api_server_that_ignores_dry_runs_is_found_with_the_first_object() {
    for step in [create("GlobalNetworkPolicy", "a"), replace("a")] {
        let mut stored = None;
        let server = Server::by_rule(move |request| {
            if !request.line.starts_with("GET ") {
                let mut object = request.json();
                object["metadata"]["resourceVersion"] = "42".into();
                stored = Some(object);
            }
            stored.as_ref().map_or_else(Answer::lost, |object| Answer::json(200, object))
        });
        let (applied, lines) = carried(&server, &[step, create("GlobalNetworkPolicy", "b")], true);
        assert_eq!(became(&applied), [WriteOutcome::Unknown, WriteOutcome::NotWritten], "{lines:?}");
        assert_eq!((applied.exit, lines.len()), (Exit::Failed, 2));
        assert!(applied.problems[0].what.contains("has stored what it should only try"), "{applied:?}");
    }
}

#[test]
fn a_policy_whose_tier_is_made_first_is_tried_after_it() {
    let policy = || Step { awaits: Some(create("Tier", "t").id), ..create("GlobalNetworkPolicy", "a") };
    let steps = [create("Tier", "t"), policy(), create("GlobalNetworkPolicy", "b")];
    // The API server knows the tier once it is written; then it takes the policy, or it does not.
    let webhook = |takes: bool| {
        let mut has_tier = false;
        keeping(move |request| {
            has_tier |= request.line.contains("/tiers?") && !request.line.contains("dryRun");
            let is_it = request.line.starts_with("POST") && request.body.contains("\"name\":\"a\"");
            (is_it && !(has_tier && takes)).then(|| Answer::refusal(422, "Invalid", "there is no tier t"))
        })
    };
    let (applied, lines) = carried(&webhook(true), &steps, false);
    assert_eq!(became(&applied), [WriteOutcome::Created; 3], "{lines:?}");
    let written: Vec<&str> =
        lines.iter().filter(|line| line.starts_with("POST")).map(String::as_str).collect();
    assert_eq!(written.len(), 3 + 1 + 1 + 2, "{lines:?}");
    let (applied, lines) = carried(&webhook(false), &steps, false);
    assert_eq!(
        became(&applied),
        [WriteOutcome::Created, WriteOutcome::NotWritten, WriteOutcome::NotWritten],
        "{lines:?}"
    );
    assert_eq!(applied.exit, Exit::No);
    assert!(!lines.contains(&"POST policies?strict".into()), "a policy was written: {lines:?}");
    let (applied, _) = carried(&webhook(true), &steps, true);
    assert_eq!(
        became(&applied),
        [WriteOutcome::WouldCreate, WriteOutcome::AwaitsTier, WriteOutcome::WouldCreate]
    );
    assert_eq!(applied.exit, Exit::Done);
}

#[test]
fn a_replacement_that_changes_nothing_is_not_written() {
    // The live object has a default that the backup lacks.
    let mut step = replace("a");
    let defaulted = object("GlobalNetworkPolicy", "a", &json!({"order": 1, "types": ["Ingress"]}));
    step.act = Act::Replace(defaulted.clone());
    let server = keeping(move |_| Some(Answer::json(200, &defaulted)));
    for dry_run in [true, false] {
        let (applied, _) = carried(&server, &[step.clone()], dry_run);
        assert_eq!((became(&applied), applied.exit), (vec![WriteOutcome::Unchanged], Exit::Done));
        assert_eq!(applied.objects[0].added, ["spec.types"]);
    }
    let lines = server.lines();
    let tried = lines.iter().filter(|line| line.ends_with("dryRun=All")).count();
    let looked = lines.iter().filter(|line| line.starts_with("GET ")).count();
    assert_eq!((tried, looked, lines.len()), (2, 2, 4), "no write: {lines:?}");
}

#[test]
fn objects_of_ours_are_created_replaced_or_left_as_they_are() {
    let own_object = |name: &str, order: u32| {
        let mut object = object("GlobalNetworkPolicy", name, &json!({"order": order}));
        object["metadata"]["annotations"] = json!({OURS: "{}"});
        object
    };
    let there = move |request: &RecordedRequest, path: &str, object: Value| {
        (request.line == format!("GET /apis/projectcalico.org/v3/globalnetworkpolicies/{path}"))
            .then(|| Answer::json(200, &object))
    };
    let mut is_written = false;
    let server = keeping(move |request| {
        is_written |= request.line.starts_with("PUT");
        there(request, "same", own_object("same", 1))
            .or_else(|| there(request, "edited", own_object("edited", if is_written { 1 } else { 2 })))
    });
    let objects = [own_object("new", 1), own_object("same", 1), own_object("edited", 1)];
    let applied = run(async { apply::apply(&server.caller(), &objects, OURS, false, &mut |_| {}).await })
        .expect("applied");
    assert_eq!(
        became(&applied),
        [WriteOutcome::Replaced, WriteOutcome::Created, WriteOutcome::Unchanged],
        "{applied:?}"
    );
    assert_eq!(applied.exit, Exit::Done);

    let theirs = keeping(move |request| {
        there(request, "edited", object("GlobalNetworkPolicy", "edited", &json!({"order": 2})))
    });
    let (exit, problems) =
        run(async { apply::apply(&theirs.caller(), &objects, OURS, false, &mut |_| {}).await })
            .expect_err("refused");
    assert_eq!((exit, problems.len()), (Exit::No, 1));
    assert!(problems[0].what.contains("Crossfade did not make it"), "{problems:?}");
    assert!(theirs.lines().iter().all(|line| line.starts_with("GET ")), "nothing was tried");
}
