//! A pipeline asks whether it may take a node away, waits for the answer, or takes its request back.

use std::time::Duration;

use migration::drive::permit::{Answer, answer, request, run_over_answer};
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
            let remaining = end.saturating_duration_since(tokio::time::Instant::now());
            if is_settled || remaining.is_zero() {
                return answered.map_err(with_rights);
            }
            tokio::time::sleep(remaining.min(LOOK)).await;
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
        Some(stored) => {
            if let Some(node) = store.node(name, &[]).await? {
                store.ask_permit(&node.uid, None).await?;
            }
            return Ok(run_over_answer(&stored.run));
        }
        None => None,
    };
    // A pipeline does not have the settings of the plan.
    let labels = match &run {
        Some((_, plan)) if !plan.pool_labels.is_empty() => &plan.pool_labels,
        Some(_) | None => &settings.pool_labels,
    };
    let node = store.node(name, labels).await?;
    let answer = answer(run.as_ref().map(|(run, plan)| (run, plan)), name, node.as_ref());
    match (&answer, &node, &run) {
        (Answer::Later(_), Some(node), Some((run, plan))) => {
            let new = request(run, plan, name, node, format!("{:.0}", session.clock().wall()));
            if new.is_some() {
                store.ask_permit(&node.uid, new.as_ref()).await?;
            }
        }
        // What an earlier answer left would be taken for a request once the node may go.
        (Answer::Never(..), Some(node), _) => store.ask_permit(&node.uid, None).await?,
        (Answer::Later(_) | Answer::Go | Answer::Never(..), ..) => {}
    }
    Ok(answer)
}

/// The same failure; a pipeline needs fewer rights than an operator.
fn with_rights((exit, mut problem): Failure) -> Failure {
    problem.fix = problem.fix.replace(OPERATOR, RIGHTS);
    (exit, problem)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::live::api::test_server::{Answer as Reply, Server, run};

    const MAPS: &str = "/api/v1/namespaces/crossfade/configmaps";

    /// What is left of requests is no request of the next run.
    #[test]
    fn a_node_that_never_goes_leaves_no_request() {
        let over = json!({"version": 1, "id": "r-1", "plan": "4b", "from": "new", "targets": [], "pass": 2, "state": "done"});
        let ended = json!({"metadata": {"name": "crossfade-run", "resourceVersion": "3"}, "data": {"run.json": over.to_string()}});
        for stored in [None, Some(ended)] {
            let is_over = stored.is_some();
            let server = Server::by_rule(move |request| {
                let line = request.line.split('?').next().unwrap_or_default();
                match line.split_once(' ').unwrap_or_default() {
                    ("GET", "/api/v1") => Reply::json(200, &json!({"resources": []})),
                    ("GET", "/api/v1/nodes/b7") => {
                        Reply::json(200, &json!({"metadata": {"name": "b7", "uid": "u"}}))
                    }
                    ("GET", path) if path == format!("{MAPS}/crossfade-run") => match &stored {
                        Some(stored) => Reply::json(200, stored),
                        None => Reply::refusal(404, "NotFound", "not found"),
                    },
                    (_, path) if path == format!("{MAPS}/crossfade-permits") => Reply::json(
                        200,
                        &json!({"metadata": {"resourceVersion": "9"}, "data": {"u": "of r-0", "v": "w"}}),
                    ),
                    _ => Reply::refusal(404, "NotFound", "not found"),
                }
            });
            run(async {
                let caller = server.caller();
                let session =
                    Session::open(caller.clone(), caller.with_client(server.client()), Settings::default());
                let mut session = Some(session.await.expect("a session"));
                let access = crate::cli::access::Access::default();
                let answer =
                    ask_once(&access, &Settings::default(), &mut session, "b7").await.expect("an answer");
                assert!(matches!(answer, Answer::Never(..)), "{answer:?}");
            });
            let last = server.requests().pop().expect("a request");
            assert!(
                last.line.starts_with(&format!("PATCH {MAPS}/crossfade-permits")),
                "over: {is_over}: {}",
                last.line
            );
            let body: Value = last.json();
            assert_eq!(body["data"], json!({"u": null}), "over: {is_over}");
        }
    }
}
