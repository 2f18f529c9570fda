//! Reads all policies of a cluster, whole.

use std::collections::BTreeSet;

use kube::Client;
use migration::backup::decide::LiveState;
use migration::backup::file::{ClusterId, Reading};
use migration::backup::hidden::find_hidden;
use migration::backup::{Id, KINDS, Row};
use serde_json::Value;
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::discover::{ServedResources, discover};
use super::{Failures, POLICIES, PolicyEvent, Versions, request_failure};
use crate::live::api::error::Meaning;
use crate::live::api::list::{ask, list_objects};
use crate::live::api::server;

/// The APIService that says who serves Calico's API.
const CALICO: &str = "/apis/apiregistration.k8s.io/v1/apiservices/v3.projectcalico.org";

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All policies, for a backup: it must be complete.
    Backup,
    /// All policies and the names of namespaces, to compare them with a backup that was taken from these versions.
    Compare(Versions),
}

/// Reads them.
///
/// # Errors
/// Every reason.
pub(super) async fn gather(
    client: &Client,
    scope: &Scope,
    progress: &mut dyn FnMut(&PolicyEvent<'_>),
) -> Result<LiveState, Failures> {
    let alone = |what: &str, meaning| {
        let (exit, problem) = request_failure(what, meaning);
        (exit, vec![problem])
    };
    let mut live = LiveState { cluster: cluster_id(client).await?, ..LiveState::default() };
    let served = discover(client, &KINDS).await;
    let served = served.map_err(|(path, meaning)| alone(&format!("ask for {path}"), meaning))?;
    let mut problems = Vec::new();
    for row in &KINDS {
        let resource = row.resource();
        let kinds = match scope {
            Scope::Backup => None,
            Scope::Compare(versions) => versions.get(&resource).map(String::as_str),
        };
        let Some(version) = served.version(row, kinds) else {
            live.kinds.insert(resource, Reading::NotServed {});
            continue;
        };
        match objects(client, row, &version, progress).await {
            Ok(listed_objects) => {
                progress(&PolicyEvent::Listed(&resource, listed_objects.len()));
                if *scope == Scope::Backup {
                    problems.extend(
                        hidden_objects(client, &served, row, &version, &listed_objects, progress).await?,
                    );
                }
                live.kinds
                    .insert(resource, Reading::Read { api_version: version, objects: listed_objects.len() });
                live.objects.extend(listed_objects);
            }
            // All of them are named at once: a person asks for rights once.
            Err(meaning @ Meaning::Forbidden(_)) => {
                problems.push(request_failure(&format!("list {resource}"), meaning).1.with_place(resource))
            }
            Err(meaning) => return Err(alone(&format!("list {resource}"), meaning)),
        }
    }
    if matches!(scope, Scope::Compare(_)) {
        match list_objects(client, "/api/v1/namespaces", &mut |_| {}).await {
            Ok(all) => {
                live.namespaces = all
                    .iter()
                    .filter_map(|object| object["metadata"]["name"].as_str())
                    .map(str::to_owned)
                    .collect()
            }
            Err(meaning @ Meaning::Forbidden(_)) => {
                problems.push(request_failure("list namespaces", meaning).1.with_place("namespaces"))
            }
            Err(meaning) => return Err(alone("list namespaces", meaning)),
        }
    }
    if problems.is_empty() { Ok(live) } else { Err((Exit::Failed, problems)) }
}

/// Which cluster it is. Without its UID, a backup could be brought back into another one.
async fn cluster_id(client: &Client) -> Result<ClusterId, Failures> {
    let alone = |what: &str, meaning| {
        let (exit, problem) = request_failure(what, meaning);
        (exit, vec![problem])
    };
    let describe = |what: &str, answer: Result<Option<String>, Meaning>| {
        let no_answer = || Meaning::Failed("the answer does not say it".into());
        answer.and_then(|answer| answer.ok_or_else(no_answer)).map_err(|meaning| alone(what, meaning))
    };
    let api_server = describe("ask the API server for its version", server::version(client).await)?;
    let what = "read the UID of the namespace kube-system, which tells one cluster from another";
    Ok(ClusterId { uid: describe(what, server::uid(client).await)?, api_server })
}

/// The objects of a kind, each with its `apiVersion` and `kind`, which lists leave out.
async fn objects(
    client: &Client,
    row: &Row,
    version: &str,
    progress: &mut dyn FnMut(&PolicyEvent<'_>),
) -> Result<Vec<Value>, Meaning> {
    let resource = row.resource();
    let mut again = |why| progress(&PolicyEvent::Again(&resource, why));
    let mut all = list_objects(client, &row.path(version, None), &mut again).await?;
    for object in &mut all {
        let map = object.as_object_mut().ok_or_else(|| Meaning::Failed("an object that is none".into()))?;
        map.insert("apiVersion".into(), version.into());
        map.insert("kind".into(), row.kind.into());
    }
    Ok(all)
}

/// Objects that Calico's own API server keeps to itself, since the caller may not read their tiers. Where projectcalico.org/v3 are
/// CustomResourceDefinitions, objects of the older group are those of before, and say nothing.
async fn hidden_objects(
    client: &Client,
    served: &ServedResources,
    row: &Row,
    version: &str,
    shown: &[Value],
    progress: &mut dyn FnMut(&PolicyEvent<'_>),
) -> Result<Option<Problem>, Failures> {
    let Some(twin) = served.twin(row, version).filter(|_| version.starts_with("projectcalico.org/")) else {
        return Ok(None);
    };
    let resource = row.resource();
    let alone = |what: &str, meaning| {
        let (exit, problem) = request_failure(what, meaning);
        (exit, vec![problem.with_place(&resource)])
    };
    let service = ask(client, CALICO, &mut |_| {}).await;
    let what = "read the APIService v3.projectcalico.org";
    let service: Value = serde_json::from_str(&service.map_err(|meaning| alone(what, meaning))?)
        .map_err(|e| alone(what, Meaning::Failed(e.to_string())))?;
    if service.pointer("/spec/service").is_none_or(Value::is_null) {
        return Ok(None);
    }
    let stored = objects(client, row, &twin, progress).await;
    let stored = stored.map_err(|meaning| alone(&format!("list {} as {twin}", row.plural), meaning))?;
    let ids = |all: &[Value]| -> Vec<Id> { all.iter().filter_map(|object| Id::read(object).ok()).collect() };
    let names: BTreeSet<String> =
        find_hidden(&ids(shown), &ids(&stored)).iter().map(ToString::to_string).collect();
    let Some(first) = names.first() else { return Ok(None) };
    let problem = Problem::new(format!(
        "Calico's API server does not show {} of {} {resource}, such as {first}",
        names.len(),
        stored.len()
    ));
    Ok(Some(problem.with_place(&resource).fix(format!("grant the rights on tiers of {POLICIES}; if the object was made a moment ago, run the same command again"))))
}
