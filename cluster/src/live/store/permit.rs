//! The stored requests of pipelines that take nodes away, and the Node that each names.

use std::collections::BTreeMap;

use migration::drive::objects;
use migration::drive::permit::{self, NAME, Request};
use migration::roll::world::{Node, Permits};
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::Store;
use super::object::{self, ConfigMap, bytes, change_path, create_path};
use crate::live::api::call::ApiRequest;
use crate::live::api::failure::{Failure, lost_failure, refused_failure};
use crate::live::api::path::{WISHER, node};

/// How often a request is written anew because another pipeline wrote the ConfigMap at the same time, or because an answer was lost.
const TRIES: u32 = 10;

/// The requests in the ConfigMap; none where it cannot be read, which is named.
pub(in crate::live) fn permits(json: &str) -> Permits {
    match serde_json::from_str::<ConfigMap>(json) {
        Ok(map) => permit::read(&map.data),
        Err(e) => Permits { unreadable: vec![e.to_string()], ..Permits::default() },
    }
}

impl Store {
    /// A Node as a run reads it; none if there is none.
    ///
    /// # Errors
    /// A request failed, or the API server's answer is no Node.
    pub async fn node(&self, name: &str, pool_labels: &[String]) -> Result<Option<Node>, Failure> {
        let what = format!("read Node {name}");
        let reply =
            self.caller.call(&ApiRequest::get(node(name))).await.map_err(|why| lost_failure(&what, &why))?;
        if reply.is_done() {
            let text = String::from_utf8_lossy(&reply.body);
            return objects::node(&text, pool_labels)
                .map(|request| Some(request.node))
                .map_err(|why| lost_failure(&what, &why));
        }
        match reply.refusal() {
            refusal if refusal.is_not_found() => Ok(None),
            refusal => Err(refused_failure(&what, &refusal)),
        }
    }

    /// Makes the ConfigMap that pipelines write requests into, so that they need no right to make one. One that is there stays as it is.
    ///
    /// # Errors
    /// A request failed.
    pub async fn open_permits(&self) -> Result<(), Failure> {
        let what = "make the ConfigMap for the requests of pipelines";
        let ask = ApiRequest::post(create_path(), bytes(&object::new(NAME, &[], &[])));
        let reply = self.caller.call(&ask).await.map_err(|why| lost_failure(what, &why))?;
        if reply.is_done() || reply.refusal().is_conflict() {
            return Ok(());
        }
        Err(refused_failure(what, &reply.refusal()))
    }

    /// Asks to take a Node away, or takes that back. A request that is there already stays as it is.
    ///
    /// # Errors
    /// A request failed, the run has not made the ConfigMap yet, or others wrote it again and again.
    pub async fn ask_permit(&self, uid: &str, request: Option<&Request>) -> Result<(), Failure> {
        let what = "ask to take the node away";
        let mut failed = None;
        for _ in 0..TRIES {
            let Some(ConfigMap { metadata, data, .. }) = self.requests().await? else {
                return if request.is_some() { Err(unopened()) } else { Ok(()) };
            };
            let changes = match request {
                Some(request) => permit::add_request(&data, uid, request),
                None if data.contains_key(uid) => BTreeMap::from([(uid.to_owned(), None)]),
                None => BTreeMap::new(),
            };
            if changes.is_empty() {
                return Ok(());
            }
            let pairs: Vec<(&str, Option<&str>)> =
                changes.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
            let change = object::change_object(&metadata.resource_version, &[], &pairs);
            let ask = ApiRequest::merge(change_path(NAME, WISHER), bytes(&change));
            failed = match self.caller.call(&ask).await {
                Ok(reply) if reply.is_done() => return Ok(()),
                Ok(reply) if reply.refusal().is_conflict() || reply.refusal().is_not_found() => {
                    Some(refused_failure(what, &reply.refusal()))
                }
                Ok(reply) => return Err(refused_failure(what, &reply.refusal())),
                Err(why) => Some(lost_failure(what, &why)),
            };
        }
        Err(failed.unwrap_or_else(|| (Exit::TryLater, Problem::new(what))))
    }

    /// The ConfigMap with the requests; none before the first one.
    async fn requests(&self) -> Result<Option<ConfigMap>, Failure> {
        let what = "read what pipelines ask for";
        let reply = self.read(what, NAME).await?;
        reply.map(|reply| reply.object().map_err(|why| lost_failure(what, &why))).transpose()
    }
}

/// The run makes the ConfigMap before it answers any request.
fn unopened() -> Failure {
    let what = format!("there is no ConfigMap crossfade/{NAME} yet; a run makes it when it begins");
    let fix =
        "ask again; if the ConfigMap was deleted, the run makes it anew: kubectl crossfade roll --resume";
    (Exit::TryLater, Problem::new(what).with_place(format!("ConfigMap/crossfade/{NAME}")).fix(fix))
}

#[cfg(test)]
mod tests {
    use migration::roll::world::PermitRequest;
    use serde_json::{Value, json};
    use types::policy::Phase;

    use super::*;
    use crate::live::api::test_server::{Answer, Server, run};

    const MAP: &str = "/api/v1/namespaces/crossfade/configmaps/crossfade-permits";

    fn store(server: &Server) -> Store {
        Store::new(server.caller())
    }

    fn request() -> Request {
        let permit = PermitRequest { node: "b7".into(), run: "r-1".into(), to: Phase::New };
        Request { permit, time: "2026-11-20T15:00:00Z".into() }
    }

    fn map(version: &str, data: &Value) -> Answer {
        Answer::json(200, &json!({"metadata": {"name": NAME, "resourceVersion": version}, "data": data}))
    }

    fn missing() -> Answer {
        Answer::refusal(404, "NotFound", "configmaps \"crossfade-permits\" not found")
    }

    fn conflict() -> Answer {
        Answer::refusal(409, "Conflict", "the object has been modified")
    }

    fn value() -> String {
        serde_json::to_string(&request()).expect("JSON")
    }

    #[test]
    fn the_run_makes_the_object_and_pipelines_write_into_it() {
        run(async {
            let post = "POST /api/v1/namespaces/crossfade/configmaps?fieldManager=crossfade";
            for there in [map("1", &json!({})), conflict()] {
                let server = Server::new(vec![there]);
                store(&server).open_permits().await.expect("it is there");
                assert_eq!(server.lines(), [post]);
            }
            let forbidden = Answer::refusal(403, "Forbidden", "configmaps is forbidden");
            let (exit, _) = store(&Server::new(vec![forbidden])).open_permits().await.expect_err("refused");
            assert_eq!(exit, Exit::Failed);
            let server = Server::new(vec![map("4", &json!({"x": "y"})), map("5", &json!({}))]);
            store(&server).ask_permit("u", Some(&request())).await.expect("asked");
            assert_eq!(server.lines()[1], format!("PATCH {MAP}?fieldManager=crossfade-wish"));
            let change = json!({"metadata": {"resourceVersion": "4"}, "data": {"u": value()}});
            assert_eq!(server.requests()[1].json(), change, "what others ask for stays");
            let server = Server::new(vec![missing()]);
            let (exit, problem) =
                store(&server).ask_permit("u", Some(&request())).await.expect_err("no run has begun");
            assert_eq!((exit, server.lines().len()), (Exit::TryLater, 1));
            assert!(problem.fix.contains("roll --resume"), "{problem:?}");
        });
    }

    #[test]
    fn a_request_is_written_once_and_taken_back_once() {
        run(async {
            let there = || map("4", &json!({"u": value()}));
            let server = Server::new(vec![there()]);
            store(&server).ask_permit("u", Some(&request())).await.expect("asked");
            assert_eq!(server.lines(), [format!("GET {MAP}")], "it is there");
            let server = Server::new(vec![there(), conflict(), there(), there()]);
            store(&server).ask_permit("u", None).await.expect("taken back");
            assert_eq!(
                server.requests()[3].json(),
                json!({"metadata": {"resourceVersion": "4"}, "data": {"u": null}})
            );
            for nothing in [map("4", &json!({})), missing()] {
                let server = Server::new(vec![nothing]);
                store(&server).ask_permit("u", None).await.expect("taken back");
                assert_eq!(server.lines().len(), 1);
            }
        });
    }

    #[test]
    fn a_right_that_is_missing_ends_it_at_once() {
        run(async {
            let forbidden = || Answer::refusal(403, "Forbidden", "configmaps is forbidden");
            let server = Server::new(vec![map("4", &json!({})), forbidden()]);
            let (exit, problem) =
                store(&server).ask_permit("u", Some(&request())).await.expect_err("refused");
            assert_eq!((exit, server.lines().len()), (Exit::Failed, 2));
            assert!(problem.fix.contains("rbac-operator.yaml"), "{problem:?}");
        });
    }

    #[test]
    fn a_node_is_read_with_its_step() {
        run(async {
            let step = json!({"run": "r-1", "plan": "p", "epoch": 1, "claim": "r-1.1.1", "to": "new", "state": "permitted"});
            let node = json!({"metadata": {"name": "b7", "uid": "u", "labels": {"pool": "blue"},
                "annotations": {"crossfade/step": step.to_string()}}});
            let server = Server::new(vec![Answer::json(200, &node), missing()]);
            let node = store(&server).node("b7", &["pool".into()]).await.expect("an answer").expect("a node");
            assert_eq!((&*node.uid, &*node.pool), ("u", "blue"));
            assert_eq!(node.step.map(|step| step.state.as_str()), Some("permitted"));
            assert!(store(&server).node("b8", &[]).await.expect("an answer").is_none());
        });
    }

    #[test]
    fn an_object_that_cannot_be_read_asks_for_nothing() {
        let read = permits("{");
        assert_eq!((read.requested.len(), read.unreadable.len()), (0, 1));
    }
}
