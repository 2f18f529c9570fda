//! The end of a migration on a live cluster: what is there of the old CNI, the fence, and the removal, object by object.

mod gather;

use std::time::Duration;

use migration::backup::file::Backup;
use migration::check::Scene;
use migration::cni::footprint::{Part, Target};
use migration::finish::lines::{self, Facts, Line, LineName, LineState, PolicyComparison};
use migration::finish::removal::{self, Removal};
use migration::finish::{CLOSED, FENCE, FinishPlan, Inventory, Pin, Record, backup};
use migration::plan::canon::{self, Prefix, sha256};
use serde::Serialize;
use serde_json::{Value, json};
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::conduct::{runtime, untaken, waits_for};
use super::interrupt::Interrupt;
use super::lease::{AcquireError, Patience};
use super::rights;
use super::session::calls::{LeasedCaller, Outcome};
use super::session::{Session, Settings};
use super::store::{Journal, Store};
use crate::cli::access::Access;
use crate::live::api::call::{ApiRequest, Caller};
use crate::live::api::failure::{Failure, interrupted, refused};
use crate::live::api::path::{MANAGER, with_query};
use crate::live::session::clock::Clock;

/// The manifest with the rights.
const RIGHTS: &str = "deploy/cluster/rbac-finish.yaml";
/// How often the cluster is looked at while something has to go.
const LOOK: Duration = Duration::from_secs(2);
/// How many looks in a row may show the same before the command ends and says what it waits for.
const LOOKS: u32 = 90;
/// What helps where another program holds the Lease.
const TAKE_OVER: &str = "wait until it has ended; if it is gone, call the same command with --take-over, which waits for a minute without a renewal";
/// The journal of an end without a run.
const WITHOUT_RUN: &str = "finish";

/// Files of backups: where they are, the command knows.
pub(crate) trait BackupFiles {
    /// The bytes of a file; none if it is not there.
    fn load(&self, name: &str) -> Option<Vec<u8>>;
    /// Writes a file as a whole.
    ///
    /// # Errors
    /// It cannot be written.
    fn save(&self, name: &str, bytes: &[u8]) -> Result<(), Problem>;
}

/// What is known before the objects of the old CNI are read.
#[derive(Clone, Copy)]
pub(crate) struct FinishScene<'a> {
    /// The cluster and the migration.
    pub scene: &'a Scene<'a>,
    /// How the policies of both CNIs compare.
    pub policies: &'a PolicyComparison,
    /// The last run, and whether it is over; none if there was none.
    pub run: Option<(&'a str, bool)>,
    /// The files of backups.
    pub files: &'a dyn BackupFiles,
}

/// How far the end of a migration is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FinishView {
    /// The lines.
    pub lines: Vec<Line>,
    /// What would be removed of what is there.
    pub plan: FinishPlan,
    /// What was approved; none if nothing was.
    pub record: Option<Record>,
}

/// What a person approved on the command line.
#[derive(Debug, Clone)]
pub(crate) struct Approval {
    /// The plan.
    pub hash: Prefix,
    /// The command line names the cluster from which the old CNI is to be removed.
    pub removes: bool,
    /// What to do about the Lease of another holder.
    pub patience: Patience,
}

/// One line of the journal.
#[derive(Debug, Serialize)]
struct JournalLine<'a> {
    at: String,
    event: &'static str,
    line: &'a str,
    object: &'a str,
    outcome: &'a str,
}

impl FinishScene<'_> {
    fn open_run(&self) -> Option<&str> {
        self.run.filter(|(_, is_over)| !is_over).map(|(id, _)| id)
    }

    /// The backup that a record names, if its file is at hand and is what was written.
    fn backup(&self, record: Option<&Record>, inventory: &Inventory) -> Option<Backup> {
        let hash = record?.backup.as_deref()?;
        let bytes = self.files.load(&backup::file_name(hash))?;
        backup::read(&bytes, hash, &inventory.cluster).ok()
    }

    fn lines(
        &self,
        inventory: &Inventory,
        plan: &FinishPlan,
        record: Option<&Record>,
        clock: &Clock,
    ) -> Vec<Line> {
        let backup = self.backup(record, inventory);
        lines::lines(&Facts {
            scene: self.scene,
            inventory,
            plan,
            record,
            backup: backup.as_ref(),
            policies: self.policies,
            open_run: self.open_run(),
            now: Some(clock.wall()),
        })
    }
}

/// Says how far it is. Nothing is changed.
///
/// # Errors
/// A request failed.
pub(crate) fn view_finish(access: &Access, scene: &FinishScene<'_>) -> Result<FinishView, Failure> {
    runtime()?.block_on(async {
        let session = Session::connect(access, Settings::default()).await?;
        let stored = session.store().finish().await?;
        let record = stored.map(|(record, _)| record);
        let approved = match &record {
            Some(record) => Some(approved(session.store(), record).await?),
            None => None,
        };
        let inventory = gather::inventory(session.caller(), scene.scene, approved.as_ref()).await?;
        let plan = FinishPlan::new(scene.scene, &inventory);
        let decided = approved.as_ref().unwrap_or(&plan);
        let lines = scene.lines(&inventory, decided, record.as_ref(), session.clock());
        Ok(FinishView { lines, plan, record })
    })
}

/// Carries the next lines out, until one waits or is refused.
///
/// # Errors
/// The plan is another one, rights are missing, another holder has the Lease, or a request failed. What was done before stays done.
pub(crate) fn carry_out_finish(
    access: &Access,
    scene: &FinishScene<'_>,
    approval: &Approval,
    tell: &mut dyn FnMut(&str),
) -> Result<FinishView, Failure> {
    with_lease(access, scene, approval.patience, tell, async |held, tell| {
        held.carry_out(approval, tell).await
    })
}

/// Lets the old agents run again.
///
/// # Errors
/// The removal has begun, another holder has the Lease, or a request failed.
pub(crate) fn undo_finish(
    access: &Access,
    scene: &FinishScene<'_>,
    patience: Patience,
    tell: &mut dyn FnMut(&str),
) -> Result<FinishView, Failure> {
    with_lease(access, scene, patience, tell, async |holder, tell| holder.undo(tell).await)
}

fn with_lease<W>(
    access: &Access,
    scene: &FinishScene<'_>,
    patience: Patience,
    tell: &mut dyn FnMut(&str),
    work: W,
) -> Result<FinishView, Failure>
where
    W: AsyncFnOnce(&mut FinishHolder<'_>, &mut dyn FnMut(&str)) -> Result<FinishView, Failure>,
{
    runtime()?.block_on(async {
        let mut session = Session::connect(access, Settings::default()).await?;
        with_session(&mut session, scene, patience, tell, work).await
    })
}

/// Takes the Lease, works, and gives it back.
async fn with_session<W>(
    session: &mut Session,
    scene: &FinishScene<'_>,
    patience: Patience,
    tell: &mut dyn FnMut(&str),
    work: W,
) -> Result<FinishView, Failure>
where
    W: AsyncFnOnce(&mut FinishHolder<'_>, &mut dyn FnMut(&str)) -> Result<FinishView, Failure>,
{
    let interrupt = Interrupt::new();
    let mut waiting = |holder: &_, remaining| tell(&waits_for(holder, remaining).what);
    let lease_taken = session.take_lease(patience, interrupt.wait(), &mut waiting).await;
    lease_taken.map_err(|why| {
        let is_held = matches!(why, AcquireError::Held(_));
        let (exit, problem) = untaken(why);
        (exit, if is_held { problem.fix(TAKE_OVER) } else { problem })
    })?;
    let worked = match FinishHolder::new(session, scene, interrupt).await {
        Ok(mut holder) => {
            let worked = work(&mut holder, tell).await;
            // A journal is a history: what was done is done without it.
            if let Err((_, problem)) = holder.journal.flush(true).await {
                tell(&problem.to_string());
            }
            worked
        }
        Err(failure) => Err(failure),
    };
    let released = session.release().await;
    let view = worked?;
    released.map(|()| view)
}

/// The one writer.
struct FinishHolder<'a> {
    scene: &'a FinishScene<'a>,
    hand: LeasedCaller,
    store: Store,
    clock: Clock,
    person: String,
    journal: Journal,
    interrupt: Interrupt,
    /// What was recorded, with the version of the ConfigMap.
    stored: Option<(Record, String)>,
}

impl<'a> FinishHolder<'a> {
    async fn new(
        session: &Session,
        scene: &'a FinishScene<'a>,
        interrupt: Interrupt,
    ) -> Result<Self, Failure> {
        let hand = session.hand().ok_or_else(interrupted)?;
        let store = session.held_store();
        let journal = store.journal(scene.run.map_or(WITHOUT_RUN, |(id, _)| id)).await?;
        let stored = store.finish().await?;
        let person = session.person().await;
        Ok(Self { scene, hand, store, clock: session.clock().clone(), person, journal, interrupt, stored })
    }

    fn caller(&self) -> &Caller {
        self.hand.caller()
    }

    fn record(&self) -> Option<&Record> {
        self.stored.as_ref().map(|(record, _)| record)
    }

    async fn write(&mut self, record: Record) -> Result<(), Failure> {
        let version = self.stored.as_ref().map(|(_, version)| version.as_str());
        let version = self.store.record_finish(&record, version).await?;
        self.stored = Some((record, version));
        Ok(())
    }

    async fn note(&mut self, line: LineName, object: &str, outcome: &str, tell: &mut dyn FnMut(&str)) {
        tell(&format!("{line}: {object}: {outcome}"));
        let (at, name) = (self.clock.wall().to_string(), line.to_string());
        let entry = JournalLine { at, event: "finished", line: &name, object, outcome };
        if let Err(problem) = self.journal.note(&entry) {
            tell(&problem.to_string());
        }
        // The next one writes what this one could not.
        drop(self.journal.flush(false).await);
    }

    /// The approved plan: the recorded one, or the one of what is there, which is recorded then.
    async fn approve(&mut self, hash: &Prefix, inventory: &Inventory) -> Result<FinishPlan, Failure> {
        if let Some(record) = self.record().filter(|record| hash.is_of(&record.plan)).cloned() {
            return approved(&self.store, &record).await;
        }
        let plan = FinishPlan::new(self.scene.scene, inventory);
        let own = plan.hash();
        if !hash.is_of(&own) {
            let what = format!(
                "plan {hash} was not approved before, and what would be removed now has the hash {}",
                canon::short(&own)
            );
            let problem = Problem::new(what).with_place("--confirm");
            return Err((
                Exit::No,
                problem.fix("look at what would be removed and at its hash: kubectl crossfade finish"),
            ));
        }
        self.store.save_plan(&plan.bytes()).await?;
        let before = self.record();
        let record = Record {
            version: Record::VERSION,
            plan: own,
            approved_by: self.person.clone(),
            approved_at: self.clock.wall().to_string(),
            backup: before.and_then(|record| record.backup.clone()),
            fenced_at: before.and_then(|record| record.fenced_at.clone()),
            is_one_way: before.is_some_and(|record| record.is_one_way),
        };
        self.write(record).await?;
        Ok(plan)
    }

    async fn carry_out(
        &mut self,
        approval: &Approval,
        tell: &mut dyn FnMut(&str),
    ) -> Result<FinishView, Failure> {
        let known = match self.record().cloned() {
            Some(record) => approved(&self.store, &record).await.ok(),
            None => None,
        };
        let mut inventory = gather::inventory(self.caller(), self.scene.scene, known.as_ref()).await?;
        let plan = self.approve(&approval.hash, &inventory).await?;
        let missing = rights::missing_to_finish(self.caller().client(), &plan).await;
        if !missing.is_empty() {
            let problem = Problem::new(format!("rights are missing: {}", missing.join(", ")))
                .with_place("the API server");
            return Err((
                Exit::Failed,
                problem.fix(format!(
                    "kubectl apply -f {RIGHTS}, and bind its role to yourself as its comments say"
                )),
            ));
        }
        let (mut before, mut looks) = (Vec::new(), 0);
        loop {
            let lines = self.scene.lines(&inventory, &plan, self.record(), &self.clock);
            looks = if lines == before { looks + 1 } else { 0 };
            let next = lines::next(&lines).cloned();
            let is_over = self.interrupt.is_set() || looks >= LOOKS;
            let Some(line) = next.filter(|_| !is_over) else { return Ok(self.view(lines, &inventory)) };
            let is_short = matches!(line.line, LineName::Fence | LineName::Removal);
            match (line.line, line.state) {
                (LineName::Backup, LineState::Ready) => self.back_up(&inventory, tell).await?,
                (LineName::Fence, LineState::Ready) => self.fence(&plan, &inventory, tell).await?,
                (LineName::Soak, LineState::Ready) => self.begin_soak(tell).await?,
                (LineName::Removal, LineState::Ready) if approval.removes => {
                    self.remove(&plan, &inventory, tell).await?;
                }
                (_, LineState::Waits) if is_short => tokio::time::sleep(LOOK).await,
                _ => return Ok(self.view(lines, &inventory)),
            }
            let is_removing = line.line == LineName::Removal;
            before = lines;
            inventory = gather::again(self.caller(), self.scene.scene, &inventory).await?;
            // What is gone is looked for by every name once more: something may have come back.
            if is_removing && removal::next(&plan, &inventory) == Removal::Done {
                inventory = gather::inventory(self.caller(), self.scene.scene, Some(&plan)).await?;
            }
        }
    }

    fn view(&self, lines: Vec<Line>, inventory: &Inventory) -> FinishView {
        FinishView {
            lines,
            plan: FinishPlan::new(self.scene.scene, inventory),
            record: self.record().cloned(),
        }
    }

    /// Writes the backup, reads it back, and records its hash.
    async fn back_up(&mut self, inventory: &Inventory, tell: &mut dyn FnMut(&str)) -> Result<(), Failure> {
        let earlier = self.scene.backup(self.record(), inventory);
        let bytes = backup::backup(inventory, earlier.as_ref()).bytes();
        let hash = sha256(&bytes);
        let name = backup::file_name(&hash);
        self.scene.files.save(&name, &bytes).map_err(|problem| (Exit::Failed, problem))?;
        if self.scene.files.load(&name).is_none_or(|read| read != bytes) {
            let problem = Problem::new(format!("{name} is not what was written")).with_place(&name);
            return Err((
                Exit::Failed,
                problem.fix("name a directory on a disk that keeps what is written: --backup DIR"),
            ));
        }
        let Some(record) = self.record().cloned() else { return Ok(()) };
        self.write(Record { backup: Some(hash), ..record }).await?;
        self.note(LineName::Backup, &name, "written and read back", tell).await;
        Ok(())
    }

    async fn fence(
        &mut self,
        plan: &FinishPlan,
        inventory: &Inventory,
        tell: &mut dyn FnMut(&str),
    ) -> Result<(), Failure> {
        if let Some(record) = self.record().filter(|record| record.fenced_at.is_some()).cloned() {
            self.write(Record { fenced_at: None, ..record }).await?;
        }
        for (target, object) in inventory.in_part(Part::Agent) {
            let uid = object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
            if !plan.delete.iter().chain(&plan.vanish).any(|pin| pin.target == *target && pin.uid == uid) {
                let problem = Problem::new(format!("{target} is not in the approved plan"))
                    .with_place(target.to_string());
                return Err((
                    Exit::No,
                    problem.fix("look at a new plan and approve it: kubectl crossfade finish"),
                ));
            }
            self.select(target, object, &json!(CLOSED)).await?;
            self.note(LineName::Fence, &target.to_string(), "selects no node", tell).await;
        }
        Ok(())
    }

    /// Sets the node selector of the fence, or takes it away, on the DaemonSet as it was read.
    async fn select(&self, target: &Target, object: &Value, value: &Value) -> Result<(), Failure> {
        let meta = |key: &str| object.pointer(&format!("/metadata/{key}")).cloned().unwrap_or_default();
        let change = json!({
            "metadata": { "uid": meta("uid"), "resourceVersion": meta("resourceVersion") },
            "spec": { "template": { "spec": { "nodeSelector": { FENCE: value } } } },
        });
        let path = with_query(&gather::path(target), &[("fieldManager", MANAGER)]);
        self.call(
            &format!("change {target}"),
            &ApiRequest::merge(path, change.to_string().into_bytes()),
            false,
        )
        .await
    }

    async fn begin_soak(&mut self, tell: &mut dyn FnMut(&str)) -> Result<(), Failure> {
        let Some(record) = self.record().cloned() else { return Ok(()) };
        let now = self.clock.wall().to_string();
        self.write(Record { fenced_at: Some(now.clone()), ..record }).await?;
        self.note(LineName::Soak, "the cluster", &format!("begins at {now}"), tell).await;
        Ok(())
    }

    /// Deletes what comes next. That there is no way back is recorded before the first deletion.
    async fn remove(
        &mut self,
        plan: &FinishPlan,
        inventory: &Inventory,
        tell: &mut dyn FnMut(&str),
    ) -> Result<(), Failure> {
        if let Some(record) = self.record().filter(|record| !record.is_one_way).cloned() {
            self.write(Record { is_one_way: true, ..record }).await?;
            self.note(LineName::Removal, "the cluster", "there is no way back from here", tell).await;
        }
        let Removal::Delete(pins) = removal::next(plan, inventory) else { return Ok(()) };
        for pin in pins {
            self.delete(&pin).await?;
            self.note(LineName::Removal, &pin.target.to_string(), "deleted", tell).await;
        }
        Ok(())
    }

    async fn delete(&self, pin: &Pin) -> Result<(), Failure> {
        // What has pods stays until they are gone, so that their network is there to the end.
        let has_pods = matches!(pin.target.part, Part::PodNetwork | Part::Controller | Part::Agent);
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": { "uid": pin.uid },
            "propagationPolicy": if has_pods { "Foreground" } else { "Background" },
        });
        let ask = ApiRequest::delete(gather::path(&pin.target), options.to_string().into_bytes());
        self.call(&format!("delete {}", pin.target), &ask, true).await
    }

    /// Makes a request of the one writer. Of a deletion, an object that is gone or has another UID is no error: the next look decides anew.
    async fn call(&self, what: &str, ask: &ApiRequest, is_deletion: bool) -> Result<(), Failure> {
        let later = |why: String| {
            let problem = Problem::new(format!("{what}: {why}")).with_place("the API server");
            (Exit::TryLater, problem.fix("run the same command again; it goes on where it stopped"))
        };
        let reply = match self.hand.call(ask).await {
            Ok(reply) => reply,
            Err(Outcome::Barred(why) | Outcome::Failed(why)) => return Err(later(why)),
            Err(_) => return Err(later("the Lease is lost".into())),
        };
        let refusal = reply.refusal();
        if reply.is_done() || is_deletion && (refusal.is_not_found() || refusal.is_conflict()) {
            return Ok(());
        }
        let (exit, problem) = refused(what, &refusal);
        Err((
            exit,
            if refusal.code == 403 { problem.fix(format!("grant the rights of {RIGHTS}")) } else { problem },
        ))
    }

    async fn undo(&mut self, tell: &mut dyn FnMut(&str)) -> Result<FinishView, Failure> {
        let record = self.record().cloned();
        if record.as_ref().is_some_and(|record| record.is_one_way) {
            let problem = Problem::new("the removal has begun, and nothing that is deleted comes back")
                .with_place("--undo");
            return Err((
                Exit::No,
                problem.fix(
                    "go on: kubectl crossfade finish says what is left; the backup has what was deleted",
                ),
            ));
        }
        let inventory = gather::inventory(self.caller(), self.scene.scene, None).await?;
        for (target, object) in inventory.in_part(Part::Agent) {
            let selector = object.pointer("/spec/template/spec/nodeSelector");
            if selector.and_then(|selector| selector.get(FENCE)).is_some() {
                self.select(target, object, &Value::Null).await?;
                self.note(LineName::Fence, &target.to_string(), "selects its nodes again", tell).await;
            }
        }
        if let Some(record) = record.filter(|record| record.fenced_at.is_some()) {
            self.write(Record { fenced_at: None, ..record }).await?;
        }
        let inventory = gather::inventory(self.caller(), self.scene.scene, None).await?;
        let plan = FinishPlan::new(self.scene.scene, &inventory);
        let lines = self.scene.lines(&inventory, &plan, self.record(), &self.clock);
        Ok(self.view(lines, &inventory))
    }
}

/// The plan that a record names.
async fn approved(store: &Store, record: &Record) -> Result<FinishPlan, Failure> {
    let wrong = |why: String| {
        let problem = Problem::new(format!("plan {}: {why}", canon::short(&record.plan)));
        (
            Exit::Failed,
            problem
                .with_place("ConfigMap/crossfade/crossfade-finish")
                .fix("make a plan and approve it: kubectl crossfade finish"),
        )
    };
    let prefix: Prefix = record.plan.parse().map_err(wrong)?;
    let (hash, bytes) = store.plan(&prefix).await?;
    if hash != record.plan {
        return Err(wrong("the record names another one".into()));
    }
    FinishPlan::read(&bytes).map_err(wrong)
}

#[cfg(test)]
mod tests;
