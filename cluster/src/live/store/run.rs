//! The run: it begins, is read, and is recorded.

use migration::plan::canon;
use migration::roll::run::{Run, State, Wish, sort_new_wishes};
use serde_json::Value;
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::Store;
use super::object::{self, ConfigMap, RUN, RUN_KEY, RUN_LABEL, WISH_KEY, bytes, change_path, create_path};
use super::plan::name as plan_name;
use crate::live::api::call::ApiRequest;
use crate::live::api::failure::{Failure, lost_failure, refused_failure};
use crate::live::api::path::MANAGER;

/// What helps where wishes cannot be read.
const DROP_WISHES: &str = "use one version of kubectl-crossfade everywhere; what was asked is dropped by: kubectl -n crossfade patch configmap crossfade-run --type merge --patch '{\"data\":{\"wish.json\":null}}'";
/// What helps where another program wrote the run.
pub(in crate::live) const NEW_RUN: &str = "if another program wrote it, keep a copy, and begin anew: kubectl -n crossfade get configmap crossfade-run -o yaml > crossfade-run.yaml; kubectl -n crossfade delete configmap crossfade-run; kubectl crossfade plan --save; kubectl crossfade roll --plan HASH";
/// Longest id of a run: it is part of names and labels.
const MAX_ID: usize = 32;

/// The run as its ConfigMap has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRun {
    pub run: Run,
    /// What people ask of it, the oldest first. The run says which of them it has taken up.
    pub wishes: Vec<Wish>,
    /// The `resourceVersion` of the ConfigMap.
    pub version: String,
}

/// The ConfigMap of a run in which something is not what this program writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableRun {
    /// Its `resourceVersion`.
    pub version: String,
    /// What is wrong with it, and what helps.
    pub problem: Problem,
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordOutcome {
    /// It is written; the new version.
    Written(String),
    /// Another client wrote the ConfigMap since it was read, or deleted it: read it again.
    Changed,
}

impl StoredRun {
    /// Reads the ConfigMap `crossfade-run`.
    pub(in crate::live) fn read(json: &str) -> Result<Self, Failure> {
        let wrong = |what: String, fix: &str| {
            let problem = Problem::new(what).with_place(format!("ConfigMap/crossfade/{RUN}"));
            (Exit::Failed, problem.fix(fix.to_owned()))
        };
        let newer = "use the version of kubectl-crossfade that began the run";
        let newer_or_new = format!("{newer}; {NEW_RUN}");
        let map: ConfigMap =
            serde_json::from_str(json).map_err(|e| wrong(format!("the run: {e}"), &newer_or_new))?;
        let text = map.data.get(RUN_KEY).map_or("", String::as_str);
        let run: Run = serde_json::from_str(text)
            .map_err(|e| wrong(format!("the run's key {RUN_KEY}: {e}"), &newer_or_new))?;
        if run.version != Run::VERSION {
            let what =
                format!("the run is of version {}, and this program reads {}", run.version, Run::VERSION);
            return Err(wrong(what, newer));
        }
        run.require_bounded().map_err(|why| wrong(format!("the run's key {RUN_KEY}: {why}"), NEW_RUN))?;
        let wishes = map.data.get(WISH_KEY).map_or("[]", String::as_str);
        let wishes = serde_json::from_str(wishes).map_err(|e| e.to_string());
        let wishes = wishes.and_then(|wishes| sort_new_wishes(wishes, run.wish));
        let wishes = wishes.map_err(|why| wrong(format!("the run's key {WISH_KEY}: {why}"), DROP_WISHES))?;
        Ok(Self { run, wishes, version: map.metadata.resource_version })
    }

    /// The same for a watch, which has to know of a run that it cannot read.
    pub(in crate::live) fn parse(json: &str) -> Result<Self, UnreadableRun> {
        Self::read(json).map_err(|(_, problem)| {
            let map: ConfigMap = serde_json::from_str(json).unwrap_or_default();
            UnreadableRun { version: map.metadata.resource_version, problem }
        })
    }

    /// What people ask that the run has not taken up yet.
    pub fn new_wishes(&self) -> impl Iterator<Item = &Wish> {
        self.wishes.iter().filter(|wish| wish.seq > self.run.wish)
    }
}

impl Store {
    /// The run; none if none was begun.
    ///
    /// # Errors
    /// It cannot be read, or is of another version.
    pub async fn run(&self) -> Result<Option<StoredRun>, Failure> {
        let what = "read the run";
        let Some(reply) = self.read(what, RUN).await? else { return Ok(None) };
        let text = String::from_utf8(reply.body).map_err(|e| lost_failure(what, &e.to_string()))?;
        StoredRun::read(&text).map(Some)
    }

    /// Begins a run. The one before it must be done; it is kept under its own id.
    ///
    /// # Errors
    /// Another run goes on, or a request failed.
    pub async fn begin(&self, run: &Run) -> Result<StoredRun, Failure> {
        valid(&run.id)?;
        let text = text(run)?;
        let labels = [(RUN_LABEL, run.id.as_str())];
        let written = match self.run().await? {
            None => {
                self.write(&ApiRequest::post(
                    create_path(),
                    bytes(&object::new(RUN, &labels, &[(RUN_KEY, &text)])),
                ))
                .await?
            }
            Some(before) if before.run.state == State::Done => {
                self.archive(&before).await?;
                let change = object::change_object(
                    &before.version,
                    &labels,
                    &[(RUN_KEY, Some(&text)), (WISH_KEY, None)],
                );
                self.write(&ApiRequest::merge(change_path(RUN, MANAGER), bytes(&change))).await?
            }
            Some(other) => return Err(another_run_goes_on(&other.run)),
        };
        match written {
            RecordOutcome::Written(version) => {
                // The run has begun, whatever becomes of the label.
                drop(self.label_plan(run).await);
                Ok(StoredRun { run: run.clone(), wishes: Vec::new(), version })
            }
            RecordOutcome::Changed => {
                let what = format!("begin run {}: another process began one at the same time", run.id);
                Err((
                    Exit::TryLater,
                    Problem::new(what)
                        .with_place(format!("ConfigMap/crossfade/{RUN}"))
                        .fix("kubectl crossfade status shows it"),
                ))
            }
        }
    }

    /// Records the run, if its ConfigMap has not changed since it was read. It is never tried twice.
    ///
    /// # Errors
    /// The request failed. Where its answer was lost, it may have been done.
    pub async fn record(&self, run: &Run, version: &str) -> Result<RecordOutcome, Failure> {
        // Without a version, the API server would write over whatever is there.
        if version.is_empty() {
            return Ok(RecordOutcome::Changed);
        }
        let labels = [(RUN_LABEL, run.id.as_str())];
        let change = object::change_object(version, &labels, &[(RUN_KEY, Some(&text(run)?))]);
        self.write(&ApiRequest::merge(change_path(RUN, MANAGER), bytes(&change))).await
    }

    async fn write(&self, ask: &ApiRequest) -> Result<RecordOutcome, Failure> {
        let what = "write the run";
        let reply = self.caller.call(ask).await.map_err(|why| lost_failure(what, &why))?;
        if reply.is_done() {
            let map: ConfigMap = reply.object().map_err(|why| lost_failure(what, &why))?;
            return Ok(RecordOutcome::Written(map.metadata.resource_version));
        }
        match reply.refusal() {
            refusal if refusal.is_conflict() || refusal.is_not_found() && refusal.kind != "namespaces" => {
                Ok(RecordOutcome::Changed)
            }
            refusal => Err(refused_failure(what, &refusal)),
        }
    }

    /// Keeps a run that is over under its own id. It is no error if that is done already.
    async fn archive(&self, before: &StoredRun) -> Result<(), Failure> {
        let name = format!("{RUN}-{}", before.run.id);
        let wishes = serde_json::to_string(&before.wishes)
            .map_err(|e| lost_failure("keep the last run", &e.to_string()))?;
        let run = text(&before.run)?;
        let labels = [(RUN_LABEL, before.run.id.as_str())];
        let copy = object::new(&name, &labels, &[(RUN_KEY, &run), (WISH_KEY, &wishes)]);
        self.write(&ApiRequest::post(create_path(), bytes(&copy))).await.map(drop)
    }

    /// The plan bears the run's label, too, by which it is deleted with the run.
    ///
    /// # Errors
    /// The request failed, in words; the plan then stays when its run is deleted.
    pub async fn label_plan(&self, run: &Run) -> Result<(), String> {
        let label: Value = serde_json::json!({ "metadata": { "labels": { RUN_LABEL: run.id } } });
        let ask = ApiRequest::merge(change_path(&plan_name(&run.plan), MANAGER), bytes(&label));
        self.caller.call(&ask).await.map(drop)
    }
}

fn text(run: &Run) -> Result<String, Failure> {
    serde_json::to_string(run).map_err(|e| (Exit::Failed, Problem::new(format!("write the run: {e}"))))
}

fn another_run_goes_on(other: &Run) -> Failure {
    let problem =
        Problem::new(format!("run {} of plan {} is not done", other.id, canon::shorten_hash(&other.plan)));
    let fix = "go on with it by this plan: kubectl crossfade roll --resume; or bring its nodes back: kubectl crossfade roll abort --to PHASE";
    (Exit::No, problem.with_place(format!("ConfigMap/crossfade/{RUN}")).fix(fix))
}

/// An id is part of the names and labels of objects.
pub(super) fn valid(id: &str) -> Result<(), Failure> {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = [id.bytes().next(), id.bytes().last()];
    let is_valid = id.len() <= MAX_ID
        && ends.iter().all(|end| end.is_some_and(is_inner))
        && id.bytes().all(|byte| is_inner(byte) || byte == b'-');
    if is_valid {
        return Ok(());
    }
    let what = format!(
        "{id:?} cannot name a run: expected at most {MAX_ID} lower-case letters, digits and dashes, no dash at either end"
    );
    Err((Exit::Failed, Problem::new(what).fix("name it like r-7k2m")))
}
