//! Policies of a live cluster: all of them as the API server has them, and the hand that writes some.

mod apply;
mod attempt;
mod discover;
mod gather;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::conduct::runtime;
use crate::cli::access::Access;
use crate::live::api::call::Caller;
use crate::live::api::connect::connect;
use crate::live::api::error;
use crate::live::api::failure::Failure;
use crate::live::session::clock::Clock;

pub(crate) use gather::Scope;
use migration::backup::decide::LiveState;
use migration::backup::{Id, Step};

/// The manifest that has the rights.
pub(super) const POLICIES: &str = "deploy/cluster/rbac-policies.yaml";

/// The exit status, and everything that is wrong.
pub(super) type Failures = (Exit, Vec<Problem>);

/// What happens while policies are read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyEvent<'a> {
    /// All objects of a kind are here: what `kubectl get` calls it, and how many.
    Listed(&'a str, usize),
    /// A request is made again; for what, and why.
    Again(&'a str, String),
    /// The API server has tried an object and would take it.
    Tried(&'a Id),
    /// An object is written, and was read back.
    Wrote(&'a Id),
}

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Became"))]
#[serde(rename_all = "camelCase")]
pub enum WriteOutcome {
    /// The API server would create it.
    WouldCreate,
    /// The API server would replace it.
    WouldReplace,
    /// Before the tier is there, it is not known that it is in; a dry run does not make that tier.
    AwaitsTier,
    /// It is there as it is to be, at the latest after the API server has filled in its defaults.
    Unchanged,
    /// It was created.
    Created,
    /// It was replaced.
    Replaced,
    /// Nothing was written.
    NotWritten,
    /// The answer was lost, so that it may have been written.
    Unknown,
}

/// One object, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Written"))]
#[serde(rename_all = "camelCase")]
pub struct WriteReport {
    /// The object.
    pub object: Id,
    /// What became of it.
    #[serde(rename = "became")]
    pub outcome: WriteOutcome,
    /// Fields that the API server adds, such as defaults.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
}

/// What became of all objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyReport {
    /// Each object, in the order in which they are written.
    pub objects: Vec<WriteReport>,
    /// Everything that stood in the way. If it came up before anything was written, no object is [`Became::Created`] or [`Became::Replaced`].
    pub problems: Vec<Problem>,
    /// [`Exit::Done`] exactly if nothing stood in the way; [`Exit::No`] if the API server would not take an object, [`Exit::TryLater`] if another client
    /// changed an object meanwhile or the API server did not answer, [`Exit::Failed`] if a write went wrong.
    pub exit: Exit,
}

/// Reads all policies.
///
/// # Errors
/// A kind may not be read or an API group does not answer, an API server keeps policies to itself, or the cluster has no UID: every reason.
pub(crate) fn gather_policies(
    access: &Access,
    scope: &Scope,
    progress: &mut dyn FnMut(&PolicyEvent<'_>),
) -> Result<LiveState, Failures> {
    let alone = |(exit, problem): Failure| (exit, vec![problem]);
    runtime().map_err(alone)?.block_on(async {
        let client = connect(access).await.map_err(|problem| (Exit::BadSettings, vec![problem]))?;
        gather::gather(&client, scope, progress).await
    })
}

/// Carries steps out, or lets the API server try them alone. Before anything is written, the API server tries all of it, and a warning counts as an error.
///
/// # Errors
/// The kubeconfig cannot be used. What the API server refuses is in the answer.
pub(crate) fn apply_steps(
    access: &Access,
    steps: &[Step],
    dry_run: bool,
    progress: &mut dyn FnMut(&PolicyEvent<'_>),
) -> Result<ApplyReport, Failure> {
    runtime()?.block_on(async {
        let caller = caller(access).await?;
        Ok(apply::apply_steps(&caller, steps, dry_run, progress).await)
    })
}

/// Writes objects that this program has made: creates them, or replaces those of the same name that have the annotation `ours`.
///
/// # Errors
/// An object of such a name is there and has no such annotation, two objects have one name, or they cannot be read: every reason. Nothing is written
/// then. What the API server refuses is in the answer.
pub fn apply(
    access: &Access,
    objects: &[Value],
    ours: &str,
    dry_run: bool,
    progress: &mut dyn FnMut(&PolicyEvent<'_>),
) -> Result<ApplyReport, Failures> {
    let alone = |(exit, problem): Failure| (exit, vec![problem]);
    runtime().map_err(alone)?.block_on(async {
        let caller = caller(access).await.map_err(alone)?;
        apply::apply(&caller, objects, ours, dry_run, progress).await
    })
}

async fn caller(access: &Access) -> Result<Caller, Failure> {
    let client = connect(access).await.map_err(|problem| (Exit::BadSettings, problem))?;
    Ok(Caller::new(client, Clock::from_machine()))
}

/// The problem of a request that failed for good, with the rights of policies.
fn request_failure(what: &str, meaning: error::Meaning) -> Failure {
    let is_right = matches!(meaning, error::Meaning::Forbidden(_));
    let (exit, problem) = error::problem(what, meaning);
    (exit, if is_right { problem.fix(format!("grant the rights of {POLICIES}")) } else { problem })
}

/// The versions from which a backup was taken: `tiers.projectcalico.org` from `projectcalico.org/v3`.
pub(super) type Versions = BTreeMap<String, String>;

#[cfg(test)]
mod tests;
