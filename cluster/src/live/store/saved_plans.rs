//! Plans that the cluster keeps, and the run that it had last.

use migration::plan::Plan;
use migration::plan::canon::{self, Prefix};
use migration::roll::run::Run;
use types::command::exit::Exit;
use types::command::problem::Problem;

use crate::cli::access::Access;
use crate::live::api::failure::Failure;
use crate::live::conduct::runtime;
use crate::live::session::{Session, Settings};
use crate::live::store::{NEW_RUN, RUN_KEY};

/// What makes a plan shorter.
pub(in crate::live) const POOL_BY_POOL: &str = "migrate the cluster in parts: plan one pool at a time";

/// A plan as the cluster keeps it. It is read once: what compares it with the settings and what carries it out get the same value, since others may write
/// the ConfigMaps of plan and run in between.
#[derive(Debug, Clone)]
pub(crate) struct SavedPlan {
    pub plan: Plan,
    /// Its whole hash.
    pub hash: String,
}

/// The plan whose hash begins so.
pub(in crate::live) async fn find_plan(session: &Session, prefix: &Prefix) -> Result<SavedPlan, Failure> {
    let (hash, bytes) = session.store().plan(prefix).await?;
    let plan =
        canon::read(&bytes).map_err(|why| (Exit::Failed, Problem::new(format!("plan {prefix}: {why}"))))?;
    Ok(SavedPlan { plan, hash })
}

/// The plan of a run, which names it by its whole hash.
pub(in crate::live) async fn plan_of(session: &Session, run: &Run) -> Result<SavedPlan, Failure> {
    let nameless = |why: String| {
        let problem = Problem::new(format!("the run's key plan: {why}"));
        let fix = "approve a plan for it: kubectl crossfade roll --plan HASH";
        (Exit::Failed, problem.with_place("ConfigMap/crossfade/crossfade-run").fix(fix))
    };
    let prefix: Prefix = run.plan.parse().map_err(nameless)?;
    let saved = find_plan(session, &prefix).await?;
    if saved.hash != run.plan {
        return Err(nameless(format!("expected the whole hash of a plan, found {:?}", run.plan)));
    }
    check_passes(run, &saved.plan)?;
    Ok(saved)
}

/// Refuses a run that leads nodes further than its plan.
pub(in crate::live) fn check_passes(run: &Run, plan: &Plan) -> Result<(), Failure> {
    run.keeps_to(plan).map_err(|why| {
        let problem = Problem::new(format!("the run's key {RUN_KEY}: {why}"));
        (Exit::Failed, problem.with_place("ConfigMap/crossfade/crossfade-run").fix(NEW_RUN))
    })
}

/// The plan with this hash, or that of the run that is there.
///
/// # Errors
/// There is no such plan or run, or a request failed.
pub(crate) fn saved_plan(access: &Access, prefix: Option<&Prefix>) -> Result<SavedPlan, Failure> {
    runtime()?.block_on(async {
        let session = Session::connect(access, Settings::default()).await?;
        match prefix {
            Some(prefix) => find_plan(&session, prefix).await,
            None => {
                let stored = session.store().run().await?.ok_or_else(no_run_failure)?;
                plan_of(&session, &stored.run).await
            }
        }
    })
}

/// Saves a plan in the cluster, and gives its hash.
///
/// # Errors
/// The plan is too large, or a request failed.
pub(crate) fn save_plan(access: &Access, canonical: &[u8]) -> Result<String, Failure> {
    runtime()?.block_on(async {
        let session = Session::connect(access, Settings::default()).await?;
        session.store().save_plan(canonical, POOL_BY_POOL).await
    })
}

/// The run that the cluster had last, or has, with its plan; none if it never had one.
///
/// # Errors
/// They cannot be read, or a request failed.
pub(crate) fn last_run(access: &Access) -> Result<Option<(Run, Plan)>, Failure> {
    runtime()?.block_on(async {
        let session = Session::connect(access, Settings::default()).await?;
        let Some(stored) = session.store().run().await? else { return Ok(None) };
        let SavedPlan { plan, .. } = plan_of(&session, &stored.run).await?;
        Ok(Some((stored.run, plan)))
    })
}

/// The run goes by another plan than the one that was compared with the settings.
pub(in crate::live) fn other_plan(run: &Run) -> Failure {
    let plan = canon::shorten_hash(&run.plan);
    let problem =
        Problem::new(format!("run {} goes by plan {plan}, and went by another one a moment ago", run.id));
    let fix = "look at that plan, then run the same command again: kubectl crossfade status";
    (Exit::TryLater, problem.with_place("ConfigMap/crossfade/crossfade-run").fix(fix))
}

/// The cluster never had a run.
pub(in crate::live) fn no_run_failure() -> Failure {
    let problem = Problem::new("the cluster has no run").with_place("ConfigMap/crossfade/crossfade-run");
    (
        Exit::No,
        problem.fix("begin one: kubectl crossfade plan --save, then kubectl crossfade roll --plan HASH"),
    )
}
