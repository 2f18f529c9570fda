//! A pipeline asks whether it may take a node away, waits for the answer, or takes its request back.

use std::time::Duration;

use migration::drive::permit::{Answer, Request, answer, over};
use migration::plan::Plan;
use migration::roll::run::Run;
use types::command::exit::Exit;

use super::conduct::runtime;
use super::session::{Session, Settings};
use crate::cli::access::Access;
use crate::live::api::failure::{Failure, OPERATOR};
use crate::live::store::saved_plans::plan_of;

/// How often the Node is looked at while a pipeline waits.
const LOOK: Duration = Duration::from_secs(2);
/// The manifest with the rights of a pipeline.
const RIGHTS: &str = "deploy/cluster/rbac-permit.yaml";

/// Asks for a Node, and waits so long for the answer to be another than "later".
///
/// The request stays, so that a pipeline may end and ask again. Where the API server does not answer, it is asked again as long as there is time.
///
/// # Errors
/// A request failed.
pub(crate) fn permit(
    access: &Access,
    settings: Settings,
    name: &str,
    wait: Duration,
) -> Result<Answer, Failure> {
    runtime()?.block_on(async {
        let end = tokio::time::Instant::now() + wait;
        let mut session = None;
        loop {
            let answered = ask_once(access, &settings, &mut session, name).await;
            let is_settled = match &answered {
                Ok(answer) => !matches!(answer, Answer::Later(_)),
                Err((exit, _)) => *exit != Exit::TryLater,
            };
            let left = end.saturating_duration_since(tokio::time::Instant::now());
            if is_settled || left.is_zero() {
                return answered.map_err(with_rights);
            }
            tokio::time::sleep(left.min(LOOK)).await;
        }
    })
}

/// Takes a request back. The name of a Node that has gone is no error: its request has gone with it.
///
/// # Errors
/// A request failed.
pub(crate) fn release(access: &Access, settings: Settings, name: &str) -> Result<(), Failure> {
    let released = runtime()?.block_on(async {
        let session = Session::connect(access, settings).await?;
        match session.store().node(name, &[]).await? {
            Some(node) => session.store().ask_permit(&node.uid, None).await,
            None => Ok(()),
        }
    });
    released.map_err(with_rights)
}

/// What is answered now. Where that is "later", the request is written before.
async fn ask_once(
    access: &Access,
    settings: &Settings,
    session: &mut Option<Session>,
    name: &str,
) -> Result<Answer, Failure> {
    let session = match session {
        Some(session) => session,
        None => session.insert(Session::connect(access, settings.clone()).await?),
    };
    let store = session.store();
    let run: Option<(Run, Plan)> = match store.run().await? {
        Some(stored) if !stored.run.targets.is_empty() => {
            let plan = plan_of(session, &stored.run).await?.plan;
            Some((stored.run, plan))
        }
        // Its plan may be gone, and does not matter.
        Some(stored) => return Ok(over(&stored.run)),
        None => None,
    };
    let node = store.node(name, &settings.pool_labels).await?;
    let answer = answer(run.as_ref().map(|(run, plan)| (run, plan)), name, node.as_ref());
    if let (Answer::Later(_), Some(node)) = (&answer, &node) {
        let request = Request { node: name.into(), at: format!("{:.0}", session.clock().wall()) };
        store.ask_permit(&node.uid, Some(&request)).await?;
    }
    Ok(answer)
}

/// The same failure; a pipeline needs fewer rights than an operator.
fn with_rights((exit, mut problem): Failure) -> Failure {
    problem.fix = problem.fix.replace(OPERATOR, RIGHTS);
    (exit, problem)
}
