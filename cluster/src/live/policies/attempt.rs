//! One object, written or tried once.

use migration::backup::compare::{Difference, differences};
use migration::backup::{Act, Id, Step};
use serde_json::Value;
use types::command::exit::Exit;
use types::command::problem::Problem;

use crate::live::api::call::{ApiRequest, Caller, Reply};
use crate::live::api::path::{MANAGER, encode, with_query};

use super::POLICIES;

/// How it went.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    /// The object as the API server has it, or would have it.
    pub(super) stored: Option<Value>,
    /// Fields that the API server adds.
    pub(super) added: Vec<String>,
    /// What is wrong; nothing, if the object may be written.
    pub(super) problems: Vec<Problem>,
    /// How the command ends that had these problems.
    pub(super) exit: Option<Exit>,
    /// The API server answered, and would not take the object for what it says.
    pub(super) is_refused: bool,
    /// It is not known what the API server has of the object: no answer arrived, or not the one that was expected.
    pub(super) is_lost: bool,
}

/// Lets the API server try a step, or carry it out. A dropped or changed field and a warning are problems, whatever the status says.
///
/// `fieldValidation=Strict` makes API servers from 1.25 refuse unknown fields. Those before ignore it, and the comparison finds what they drop.
/// *Source*: Kubernetes, KEP-2885.
pub(super) async fn attempt(caller: &Caller, step: &Step, dry_run: bool) -> Attempt {
    let ask = request(step, dry_run);
    let verb = match (&step.act, dry_run) {
        (Act::Create, true) => "try to create",
        (Act::Create, false) => "create",
        (Act::Replace(_), true) => "try to replace",
        (Act::Replace(_), false) => "replace",
    };
    match caller.call(&ask).await {
        Ok(reply) => judge(step, verb, &reply),
        Err(why) => lost_attempt(&step.id, verb, &why),
    }
}

/// Reads an object back that was written.
pub(super) async fn read_back(caller: &Caller, step: &Step) -> Attempt {
    let verb = "read back";
    match caller.call(&ApiRequest::get(path(&step.id, true))).await {
        Ok(reply) => judge(step, verb, &reply),
        Err(why) => lost_attempt(&step.id, verb, &why),
    }
}

/// Looks whether an object is as it was after an API server has only tried to write it. One that ignores `dryRun` would store what was not approved;
/// aggregated API servers are other programs.
pub(super) async fn untouched_attempt(caller: &Caller, step: &Step) -> Attempt {
    let verb = "look after a dry run at";
    let id = &step.id;
    let reply = match caller.call(&ApiRequest::get(path(id, true))).await {
        Ok(reply) => reply,
        Err(why) => return lost_attempt(id, verb, &why),
    };
    let version = |object: &Value| object.pointer("/metadata/resourceVersion").cloned();
    let is_untouched = match &step.act {
        Act::Create => reply.refusal().is_not_found(),
        Act::Replace(live) => {
            let now = reply.object::<Value>().ok().filter(|_| reply.is_done());
            now.is_some_and(|now| version(&now) == version(live))
        }
    };
    if is_untouched {
        return Attempt::default();
    }
    let what = format!(
        "{verb} {id}: the API server of {} has stored what it should only try, or another client wrote it just now",
        id.group()
    );
    let problem = Problem::new(what)
        .with_place(id.to_string())
        .fix("look at the object, and at who changed it, before you run the same command again");
    Attempt { problems: vec![problem], exit: Some(Exit::Failed), is_lost: true, ..Attempt::default() }
}

/// The path of an object, or that on which it is created.
pub(super) fn path(id: &Id, is_named: bool) -> String {
    let namespace = id.namespace.as_deref().map(encode);
    // Ids are made from rows.
    let collection = id.row().map(|row| row.path(&id.api_version, namespace.as_deref())).unwrap_or_default();
    if is_named { format!("{collection}/{}", encode(&id.name)) } else { collection }
}

fn request(step: &Step, dry_run: bool) -> ApiRequest {
    let mut query = vec![("fieldManager", MANAGER), ("fieldValidation", "Strict")];
    if dry_run {
        query.push(("dryRun", "All"));
    }
    let body = step.body().to_string().into_bytes();
    match step.act {
        Act::Create => ApiRequest::post(with_query(&path(&step.id, false), &query), body),
        Act::Replace(_) => ApiRequest::put(with_query(&path(&step.id, true), &query), body),
    }
}

fn lost_attempt(id: &Id, verb: &str, why: &str) -> Attempt {
    let problem = Problem::new(format!("{verb} {id}: {why}")).with_place(id.to_string());
    let problem = problem
        .fix("check that kubectl get nodes works with the same flags, then run the same command again");
    Attempt { problems: vec![problem], exit: Some(Exit::TryLater), is_lost: true, ..Attempt::default() }
}

fn judge(step: &Step, verb: &str, reply: &Reply) -> Attempt {
    let id = &step.id;
    let problem = |what: String| Problem::new(format!("{verb} {id}: {what}")).with_place(id.to_string());
    if !reply.is_done() {
        let refusal = reply.refusal();
        let reported = problem(refusal.to_string());
        let (exit, reported) = match refusal.code {
            _ if refusal.is_passing() => (Exit::TryLater, reported.fix("run the same command again in a moment")),
            409 => (Exit::TryLater, reported.fix("another client changed it at the same time; look at it, then run the same command again")),
            403 => (Exit::No, reported.fix(format!("if a right is missing, grant those of {POLICIES}; else remove what the API server names"))),
            _ => (Exit::No, reported.fix("correct the object, or install what the API server misses, then run the same command again")),
        };
        return Attempt {
            problems: vec![reported],
            exit: Some(exit),
            is_refused: exit == Exit::No,
            ..Attempt::default()
        };
    }
    let stored: Value = match reply.object() {
        Ok(stored) => stored,
        Err(why) => return lost_attempt(id, verb, &why),
    };
    let mut attempt = Attempt::default();
    for warning in &reply.warnings {
        let fix = "a warning counts as an error; remove its cause, then run the same command again";
        attempt.problems.push(problem(format!("the API server warns: {warning}")).fix(fix));
    }
    for difference in differences(&step.object, &stored) {
        let fix = "install the release whose schema has the field, or correct the object, then run the same command again";
        match &difference {
            Difference::Dropped(field) => {
                attempt.problems.push(problem(format!("the API server drops the field {field}")).fix(fix))
            }
            Difference::Changed(field) => {
                attempt.problems.push(
                    problem(format!("the API server stores something else in the field {field}")).fix(fix),
                );
            }
            Difference::Added(field) => attempt.added.push(field.clone()),
        }
    }
    attempt.exit = (!attempt.problems.is_empty()).then_some(Exit::No);
    attempt.is_refused = attempt.exit.is_some();
    attempt.stored = Some(stored);
    attempt
}
