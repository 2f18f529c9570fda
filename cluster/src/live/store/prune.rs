//! The removal of stored runs that are over, but for the newest ones.

use std::collections::BTreeSet;

use serde_json::json;

use super::Store;
use super::object::{self, RUN, RUN_LABEL};
use crate::live::api::call::ApiRequest;
use crate::live::api::failure::{Failure, lost_failure, refused_failure};
use crate::live::api::path::config_map;

/// Runs that are kept beside the newest one.
const KEPT: usize = 10;

/// An object of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RunObject {
    name: String,
    uid: String,
    run: String,
}

impl Store {
    /// Deletes the plans, journals and copies of runs that are over, but for the newest ten. `current` is the run that has just begun. It gives the
    /// names of the objects that it deleted.
    ///
    /// # Errors
    /// A request failed. What was deleted before stays deleted.
    pub async fn prune(&self, current: &str) -> Result<Vec<String>, Failure> {
        let what = "list what earlier runs have left";
        let listed = self.list_meta(what, RUN_LABEL).await?;
        let run_objects = listed.all().map(|meta| {
            let run = meta.labels.get(RUN_LABEL).cloned().unwrap_or_default();
            RunObject { name: meta.name, uid: meta.uid, run }
        });
        let mut gone = Vec::new();
        for RunObject { name, uid, .. } in surplus_objects(run_objects.collect(), current) {
            let what = format!("delete ConfigMap {name} of an earlier run");
            let options =
                json!({ "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": { "uid": uid } });
            let ask = ApiRequest::delete(config_map(&name), object::bytes(&options));
            let reply = self.caller.call(&ask).await.map_err(|why| lost_failure(&what, &why))?;
            let is_gone = reply.is_done() || {
                let refusal = reply.refusal();
                refusal.is_not_found() || refusal.is_conflict()
            };
            if !is_gone {
                return Err(refused_failure(&what, &reply.refusal()));
            }
            gone.push(name);
        }
        Ok(gone)
    }
}

/// Everything of the runs before the newest ones. An id begins with the time at which its run began, so that ids sort as runs do.
fn surplus_objects(mut objects: Vec<RunObject>, current: &str) -> Vec<RunObject> {
    objects.retain(|object| object.run != current && !object.run.is_empty() && object.name != RUN);
    let runs: BTreeSet<String> = objects.iter().map(|object| object.run.clone()).collect();
    let old: BTreeSet<String> = runs.into_iter().rev().skip(KEPT).collect();
    objects.retain(|object| old.contains(&object.run));
    objects
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::api::test_server::{Answer, Server, run};
    use serde_json::Value;

    fn stored_run(name: &str, run: &str) -> RunObject {
        RunObject { name: name.into(), uid: format!("uid-{name}"), run: run.into() }
    }

    fn id(index: usize) -> String {
        format!("r-261122-{index:04}-aaaa")
    }

    #[test]
    fn the_newest_ten_and_the_one_that_goes_on_stay() {
        let objects: Vec<RunObject> = (0..13)
            .flat_map(|index| {
                [
                    stored_run(&format!("crossfade-run-{}", id(index)), &id(index)),
                    stored_run(&format!("crossfade-journal-{}-0001", id(index)), &id(index)),
                ]
            })
            .chain([
                stored_run(RUN, &id(13)),
                stored_run("crossfade-plan-4be1", &id(0)),
                stored_run("crossfade-plan-5ce2", &id(13)),
            ])
            .collect();
        let gone: BTreeSet<String> =
            surplus_objects(objects, &id(13)).into_iter().map(|object| object.name).collect();
        let expected: BTreeSet<String> = (0..3)
            .flat_map(|index| {
                [format!("crossfade-run-{}", id(index)), format!("crossfade-journal-{}-0001", id(index))]
            })
            .chain(["crossfade-plan-4be1".to_owned()])
            .collect();
        assert_eq!(gone, expected);
    }

    #[test]
    fn few_runs_all_stay() {
        let objects =
            (0..10).map(|index| stored_run(&format!("crossfade-run-{}", id(index)), &id(index))).collect();
        assert_eq!(surplus_objects(objects, &id(13)), []);
    }

    #[test]
    fn what_goes_is_named_by_its_uid() {
        run(async {
            let items: Vec<Value> = (0..12)
                .map(|index| json!({ "metadata": { "name": format!("crossfade-run-{}", id(index)), "uid": format!("u{index}"), "labels": { "crossfade/run": id(index) } } }))
                .collect();
            let gone = Answer::json(200, &json!({}));
            let server = Server::new(vec![
                Answer::json(200, &json!({ "items": items })),
                gone,
                Answer::refusal(404, "NotFound", "gone"),
            ]);
            let pruned = Store::new(server.caller()).prune("r-261122-9999-aaaa").await.expect("pruned");
            assert_eq!(pruned, [format!("crossfade-run-{}", id(0)), format!("crossfade-run-{}", id(1))]);
            let requests = server.requests();
            assert!(
                requests[0].line.ends_with("configmaps?labelSelector=crossfade%2Frun"),
                "{}",
                requests[0].line
            );
            assert_eq!(requests[1].json()["preconditions"], json!({ "uid": "u0" }));
        });
    }
}
