//! Plans that the cluster keeps, and the run that it had last.

use types::exit::Exit;
use types::problem::Problem;

use super::conduct::{no_run, runtime};
use super::failure::Failed;
use super::session::{Session, Settings};
use crate::cli::access::Access;
use crate::plan::{Plan, canon};
use crate::roll::run::Run;

/// The plan with this hash.
pub(super) async fn planned(session: &Session, prefix: &str) -> Result<(Plan, String), Failed> {
    let (hash, bytes) = session.store().plan(prefix).await?;
    let plan =
        canon::read(&bytes).map_err(|why| (Exit::Failed, Problem::new(format!("plan {prefix}: {why}"))))?;
    Ok((plan, hash))
}

/// The plan with this hash, or that of the run that is there.
///
/// # Errors
/// There is no such plan or run, or a request failed.
pub fn saved_plan(access: &Access, prefix: Option<&str>) -> Result<Plan, Failed> {
    runtime()?.block_on(async {
        let session = Session::connect(access, Settings::default()).await?;
        let hash = match prefix {
            Some(prefix) => prefix.to_owned(),
            None => session.store().run().await?.ok_or_else(no_run)?.run.plan,
        };
        planned(&session, &hash).await.map(|(plan, _)| plan)
    })
}

/// Saves a plan in the cluster, and gives its hash.
///
/// # Errors
/// The plan is too large, or a request failed.
pub fn save_plan(access: &Access, canonical: &[u8]) -> Result<String, Failed> {
    runtime()?.block_on(async {
        let session = Session::connect(access, Settings::default()).await?;
        session.store().save_plan(canonical).await
    })
}

/// The run that the cluster had last, or has, with its plan; none if it never had one.
///
/// # Errors
/// They cannot be read, or a request failed.
pub fn last_run(access: &Access) -> Result<Option<(Run, Plan)>, Failed> {
    runtime()?.block_on(async {
        let session = Session::connect(access, Settings::default()).await?;
        let Some(stored) = session.store().run().await? else { return Ok(None) };
        let (plan, _) = planned(&session, &stored.run.plan).await?;
        Ok(Some((stored.run, plan)))
    })
}
