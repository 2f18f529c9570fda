//! The writes that bring a cluster the policies of a backup again.
//!
//! Nothing is ever deleted: an object that the backup does not have is named, and stays.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::compare::is_equal;
use super::file::{Backup, ClusterId, Reading};
use super::makers::maker;
use super::object::{Id, user_fields};
use super::step::{Act, Step, await_tiers, order};

/// A cluster as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LiveState {
    pub cluster: ClusterId,
    /// How each kind was read.
    pub kinds: BTreeMap<String, Reading>,
    /// The objects of all kinds, as the API server has them.
    pub objects: Vec<Value>,
    /// The namespaces that are there.
    pub namespaces: BTreeSet<String>,
}

/// How an object of the cluster differs from the backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It is not there.
    Missing,
    /// It says something else.
    Different,
}

/// An object of the backup that is not written, although the cluster does not have it as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Left"))]
#[serde(rename_all = "camelCase")]
pub struct SkippedObject {
    /// The object.
    pub object: Id,
    /// How it differs.
    pub state: State,
    /// Why it is not written.
    pub why: String,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct RestorePlan {
    /// What to write, in this order.
    pub steps: Vec<Step>,
    /// How many objects are as they were.
    pub equal: usize,
    /// What is not written, and why.
    pub skipped: Vec<SkippedObject>,
    /// What is there and not in the backup. It stays.
    pub extra: Vec<Id>,
}

/// Compares a backup with a cluster.
///
/// # Errors
/// The cluster is another one, or it cannot take the objects of a kind: every reason.
pub fn decide(backup: &Backup, live: &LiveState) -> Result<RestorePlan, Vec<String>> {
    if backup.cluster.uid != live.cluster.uid {
        let (expected, actual) = (&backup.cluster.uid, &live.cluster.uid);
        return Err(vec![format!(
            "the backup is of another cluster: of the one with the UID {expected}, and this one has the UID {actual}"
        )]);
    }
    let backup_objects = backup.index_by_name().map_err(|why| vec![why])?;
    let mut there = BTreeMap::new();
    for object in &live.objects {
        there.insert(Id::read(object).map_err(|why| vec![why])?, object);
    }
    let mut wrong = unserved_kinds(&backup_objects, live);
    let mut decided = RestorePlan::default();
    for (id, object) in &backup_objects {
        let now = there.remove(id);
        if now.is_some_and(|now| is_equal(object, now)) {
            decided.equal += 1;
            continue;
        }
        let state = if now.is_some() { State::Different } else { State::Missing };
        let origin = maker(id, object).or_else(|| now.and_then(|now| maker(id, now)));
        let gone = id.namespace.as_ref().filter(|namespace| !live.namespaces.contains(*namespace));
        let why = origin
            .map(|maker| maker.to_string())
            .or_else(|| gone.map(|name| format!("there is no namespace {name}")));
        if let Some(why) = why {
            decided.skipped.push(SkippedObject { object: id.clone(), state, why });
            continue;
        }
        if let Some(now) = now.filter(|now| now.pointer("/metadata/deletionTimestamp").is_some()) {
            let since = now["metadata"]["deletionTimestamp"].as_str().unwrap_or_default();
            wrong.push(format!(
                "{id}: it was deleted at {since}, and finalizers keep it; wait until it is gone"
            ));
            continue;
        }
        let act = now.map_or(Act::Create, |now| Act::Replace(now.clone()));
        decided.steps.push(Step { id: id.clone(), act, object: user_fields(object), awaits: None });
    }
    decided.extra =
        there.into_iter().filter(|(id, object)| maker(id, object).is_none()).map(|(id, _)| id).collect();
    order(&mut decided.steps);
    await_tiers(&mut decided.steps);
    if wrong.is_empty() { Ok(decided) } else { Err(wrong) }
}

/// Kinds that the backup has objects of and the cluster does not serve, at least not in the version of the backup.
fn unserved_kinds(backup_objects: &BTreeMap<Id, &Value>, live: &LiveState) -> Vec<String> {
    let mut counted: BTreeMap<(String, &str), usize> = BTreeMap::new();
    for id in backup_objects.keys() {
        if let Some(row) = id.row() {
            *counted.entry((row.resource(), &id.api_version)).or_default() += 1;
        }
    }
    let mut wrong = Vec::new();
    for ((resource, version), count) in counted {
        let served = match live.kinds.get(&resource) {
            Some(Reading::Read { api_version, .. }) if api_version == version => continue,
            Some(Reading::Read { api_version, .. }) => format!("only as {api_version}"),
            Some(Reading::NotServed {}) | None => "not at all".into(),
        };
        wrong.push(format!(
            "the backup has {count} {resource} as {version}, and the API server serves them {served}; install the CustomResourceDefinitions or the API server that the backup was taken with"
        ));
    }
    wrong
}

#[cfg(test)]
mod tests;
