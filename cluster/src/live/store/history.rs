//! The stored parts of one run, for its history: read from the cluster, or from the same ConfigMaps in files. Each part is read
//! by itself, and what cannot be read is named.

use std::collections::BTreeMap;

use migration::plan::Plan;
use migration::plan::canon::{self, Prefix};
use migration::report::{GateVerdict, Piece};
use migration::roll::run::Run;
use serde_json::Value;
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::Store;
use super::journal::{self, part_number};
use super::object::{ConfigMap, PART_LABEL, RUN, RUN_LABEL};
use super::plan;
use super::run::{StoredRun, valid};
use super::saved_plans::no_run_failure;
use super::verdicts;
use crate::cli::access::Access;
use crate::live::api::call::{ApiRequest, Reply};
use crate::live::api::failure::{Failure, lost_failure};
use crate::live::api::path::NAMESPACE;
use crate::live::conduct::runtime;
use crate::live::session::{Session, Settings};

/// How many parts of a journal are read: 128 MiB.
const PARTS: usize = 2_000;
/// Where the version of an API server is.
const VERSION: &str = "/version";

/// What is kept of a run.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub id: String,
    pub run: Option<Run>,
    /// The plan with its whole hash.
    pub plan: Option<(String, Plan)>,
    /// The parts of its journal.
    pub journal: Vec<Piece>,
    /// What gates said last.
    pub gates: BTreeMap<String, GateVerdict>,
    /// The version of the API server.
    pub kubernetes: Option<String>,
    /// What could not be read, by what it is.
    pub lacking: Vec<(&'static str, Problem)>,
}

/// The history of a run, of the last one without an id, from the cluster.
///
/// # Errors
/// There is no such run, or the API server does not answer.
pub(crate) fn history(access: &Access, id: Option<&str>) -> Result<History, Failure> {
    runtime()?.block_on(async {
        let session = Session::connect(access, Settings::default()).await?;
        session.store().history(id).await
    })
}

impl Store {
    async fn history(&self, id: Option<&str>) -> Result<History, Failure> {
        id.map_or(Ok(()), valid)?;
        let mut history = History::default();
        let current = self.text(RUN).await?;
        let is_of = |text: &str| StoredRun::read(text).is_ok_and(|stored| id == Some(&stored.run.id));
        let text = match (current, id) {
            (Some(text), None) => Some(text),
            (Some(text), Some(_)) if is_of(&text) => Some(text),
            (_, Some(id)) => self.text(&format!("{RUN}-{id}")).await?,
            (None, None) => return Err(no_run_failure()),
        };
        history.add_run(text.as_deref(), id);
        if history.id.is_empty() {
            return Err(unnamed(history));
        }
        if let Some(prefix) = history.plan_prefix() {
            match self.plan(&prefix).await {
                Ok((hash, bytes)) => history.add_plan(&hash, &bytes),
                Err((_, problem)) => history.lacking.push(("plan", problem)),
            }
        }
        let selector = format!("{RUN_LABEL}={},{PART_LABEL}={}", history.id, journal::PART);
        match self.list_meta("read the journal", &selector).await {
            Ok(list) => {
                let mut names: Vec<String> = list.names().collect();
                names.sort_unstable();
                if names.len() > PARTS {
                    let what = format!("the journal has {} parts; the last {PARTS} are read", names.len());
                    history.lacking.push(("journal", Problem::new(what)));
                    names.drain(..names.len() - PARTS);
                }
                for name in names {
                    match self.text(&name).await {
                        Ok(text) => history.add_part(&name, text.as_deref()),
                        Err((_, problem)) => history.lacking.push(("journal", problem)),
                    }
                }
            }
            Err((_, problem)) => history.lacking.push(("journal", problem)),
        }
        match self.text(&verdicts::name(&history.id)).await {
            Ok(text) => history.add_gates(text.as_deref()),
            Err((_, problem)) => history.lacking.push(("gates", problem)),
        }
        let version = self.caller.call(&ApiRequest::get(VERSION)).await;
        let version = version.ok().filter(|reply| reply.is_done());
        let version = version.and_then(|reply| serde_json::from_slice::<Value>(&reply.body).ok());
        history.kubernetes = version.and_then(|version| Some(version["gitVersion"].as_str()?.to_owned()));
        Ok(history)
    }

    /// A ConfigMap as the API server has it; none if it is not there.
    async fn text(&self, name: &str) -> Result<Option<String>, Failure> {
        let what = format!("read ConfigMap {NAMESPACE}/{name}");
        let reply = self.read(&what, name).await?;
        let text =
            |reply: Reply| String::from_utf8(reply.body).map_err(|e| lost_failure(&what, &e.to_string()));
        reply.map(text).transpose()
    }
}

impl History {
    /// The history of a run, of the last one without an id, from ConfigMaps that `kubectl get -o json` wrote. Others are not looked at.
    ///
    /// # Errors
    /// They have no such run.
    pub(crate) fn of_objects(objects: &[Value], id: Option<&str>) -> Result<Self, Failure> {
        id.map_or(Ok(()), valid)?;
        let mut maps: BTreeMap<&str, &Value> = BTreeMap::new();
        for object in objects {
            let metadata = &object["metadata"];
            if object["kind"] == "ConfigMap" && metadata["namespace"] == NAMESPACE {
                maps.extend(metadata["name"].as_str().map(|name| (name, object)));
            }
        }
        let text = |name: &str| maps.get(name).map(|object| object.to_string());
        let mut history = Self::default();
        let is_of = |text: &String| StoredRun::read(text).is_ok_and(|stored| id == Some(&stored.run.id));
        let current = text(RUN).filter(|text| id.is_none() || is_of(text));
        history.add_run(current.or_else(|| text(&format!("{RUN}-{}", id?))).as_deref(), id);
        if history.id.is_empty() {
            return Err(unnamed(history));
        }
        if let Some(prefix) = history.plan_prefix() {
            let name = plan::name(prefix.shorten_hash());
            let map = text(&name).and_then(|text| serde_json::from_str::<ConfigMap>(&text).ok());
            match map.map(|map| plan::of_map(&map, &prefix)) {
                Some(Ok((hash, bytes))) => history.add_plan(&hash, &bytes),
                Some(Err((_, problem))) => history.lacking.push(("plan", problem)),
                None => history.lacking.push(("plan", absent(&name))),
            }
        }
        let id = history.id.clone();
        for name in maps.keys().filter(|name| part_number(name, &id).is_some()).take(PARTS) {
            history.add_part(name, text(name).as_deref());
        }
        history.add_gates(text(&verdicts::name(&id)).as_deref());
        Ok(history)
    }

    /// The plan that the run goes by.
    fn plan_prefix(&self) -> Option<Prefix> {
        self.run.as_ref()?.plan.parse().ok()
    }

    fn add_run(&mut self, text: Option<&str>, id: Option<&str>) {
        self.id = id.unwrap_or_default().to_owned();
        match text.map(StoredRun::read) {
            Some(Ok(stored)) => {
                self.id.clone_from(&stored.run.id);
                self.run = Some(stored.run);
            }
            Some(Err((_, problem))) => self.lacking.push(("run", problem)),
            None => self.lacking.push(("run", absent(RUN))),
        }
    }

    fn add_plan(&mut self, hash: &str, bytes: &[u8]) {
        match canon::read(bytes) {
            Ok(plan) => self.plan = Some((hash.to_owned(), plan)),
            Err(why) => self.lacking.push(("plan", Problem::new(format!("plan {hash}: {why}")))),
        }
    }

    fn add_part(&mut self, name: &str, text: Option<&str>) {
        let number = part_number(name, &self.id);
        let map = text.and_then(|text| serde_json::from_str::<ConfigMap>(text).ok());
        match (number, map.and_then(|mut map| map.data.remove(journal::KEY))) {
            (Some(_), Some(lines)) => self.journal.push(Piece { number, lines }),
            _ => self.lacking.push(("journal", absent(name))),
        }
    }

    fn add_gates(&mut self, text: Option<&str>) {
        let Some(text) = text else { return };
        match verdicts::parse(text) {
            Some(all) => {
                let verdict = |(name, verdict): (String, verdicts::RecordedVerdict)| {
                    let verdicts::RecordedVerdict { color, time, why } = verdict;
                    (name, GateVerdict { color, time, why })
                };
                self.gates = all.into_iter().map(verdict).collect();
            }
            None => self.lacking.push(("gates", absent(&verdicts::name(&self.id)))),
        }
    }
}

/// Nothing says which run it is.
fn unnamed(history: History) -> Failure {
    let (exit, problem) = no_run_failure();
    match history.lacking.into_iter().next() {
        Some((_, mut problem)) => {
            problem.fix =
                "name the run: --run ID; kubectl -n crossfade get configmaps -l crossfade/run shows the ids"
                    .into();
            (Exit::No, problem)
        }
        None => (exit, problem),
    }
}

fn absent(name: &str) -> Problem {
    Problem::new(format!("ConfigMap {NAMESPACE}/{name} is not there, or cannot be read"))
        .with_place(format!("ConfigMap/{NAMESPACE}/{name}"))
        .fix("what is made without it says what is missing; a backup of the namespace may have it")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::live::api::test_server::{Answer, Server, run};

    const MAPS: &str = "/api/v1/namespaces/crossfade/configmaps";

    fn stored(id: &str) -> Value {
        let run = json!({"version": 1, "id": id, "plan": "4be1".repeat(16), "from": "old", "targets": [], "pass": 1, "state": "done"});
        json!({"kind": "ConfigMap", "metadata": {"name": "crossfade-run", "namespace": "crossfade"}, "data": {"run.json": run.to_string()}})
    }

    /// The run r-2 is the last one, and r-1 the one before. One of two parts of the journal cannot be read.
    fn server() -> Server {
        Server::by_rule(|request| match request.line.strip_prefix("GET ").unwrap_or_default() {
            "/version" => Answer::json(200, &json!({"gitVersion": "v1.33.1"})),
            path if path == format!("{MAPS}/crossfade-run") => Answer::json(200, &stored("r-2")),
            path if path == format!("{MAPS}/crossfade-run-r-1") => Answer::json(200, &stored("r-1")),
            path if path.starts_with(&format!("{MAPS}?labelSelector=")) => {
                let run = if path.contains("r-1") { "r-1" } else { "r-2" };
                let name = |part| json!({"metadata": {"name": format!("crossfade-journal-{run}-{part}")}});
                Answer::json(200, &json!({"items": [name("0002"), name("0001")]}))
            }
            path if path.starts_with(&format!("{MAPS}/crossfade-journal-r-")) && path.ends_with("-0001") => {
                Answer::json(200, &json!({"data": {"journal.jsonl": format!("{path}\n")}}))
            }
            path if path.ends_with("-0002") => Answer::refusal(403, "Forbidden", "cannot get configmaps"),
            _ => Answer::refusal(404, "NotFound", "configmaps not found"),
        })
    }

    #[test]
    fn each_part_of_a_history_is_read_by_itself() {
        run(async {
            let server = server();
            let store = Store::new(server.caller());
            for (id, expected) in [(None, "r-2"), (Some("r-2"), "r-2"), (Some("r-1"), "r-1")] {
                let history = store.history(id).await.expect("a history");
                assert_eq!((history.id.as_str(), history.kubernetes.as_deref()), (expected, Some("v1.33.1")));
                assert_eq!(history.run.map(|run| run.id).as_deref(), Some(expected));
                let parts: Vec<_> = history.journal.iter().map(|piece| piece.number).collect();
                assert_eq!(parts, [Some(1)]);
                assert!(history.journal[0].lines.contains(expected));
                let items: Vec<&str> = history.lacking.iter().map(|(item, _)| *item).collect();
                assert_eq!(items, ["plan", "journal"]);
            }
            let history = store.history(Some("r-0")).await.expect("what there is");
            assert_eq!((history.run.is_none(), history.lacking[0].0), (true, "run"));
            let (exit, _) = store.history(Some("../x")).await.expect_err("no id");
            assert_eq!(exit, Exit::Failed);
        });
    }

    #[test]
    fn without_a_run_nothing_is_told() {
        run(async {
            let server = Server::by_rule(|_| Answer::refusal(404, "NotFound", "configmaps not found"));
            let (exit, _) = Store::new(server.caller()).history(None).await.expect_err("no run");
            assert_eq!(exit, Exit::No);
        });
    }
}
