//! The end of a migration on a live cluster: what is there of the old CNI, the fence, and the removal, object by object.

mod act;
mod gather;

use std::time::Duration;

use jiff::Timestamp;
use migration::backup::file::Backup;
use migration::check::Scene;
use migration::cni::footprint::Part;
use migration::cni::support::{Cni, Strategy};
use migration::config::Config;
use migration::finish::lines::{self, Change, Facts, Line, LineName, LineState, PolicyComparison};
use migration::finish::managed_objects::managers;
use migration::finish::removal::{self, Removal};
use migration::finish::{CLOSED, FENCE, FinishPlan, Inventory, Record, backup};
use migration::plan::Plan;
use migration::plan::canon::{self, Prefix, sha256};
use migration::roll::run::{Run, State};
use serde::Serialize;
use serde_json::{Value, json};
use snapshot::model::Snapshot;
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::conduct::{runtime, untaken, waits_for};
use super::interrupt::Interrupt;
use super::lease::{AcquireError, Patience};
use super::rights;
use super::session::calls::LeasedCaller;
use super::session::{Session, Settings};
use super::store::{Journal, Store};
use crate::cli::access::Access;
use crate::live::api::call::Caller;
use crate::live::api::failure::{Failure, interrupted_failure, missing_rights_of};
use crate::live::session::clock::Clock;

/// The manifest with the rights.
const RIGHTS: &str = "deploy/cluster/rbac-finish.yaml";
/// How often the cluster is looked at while something has to go.
const LOOK: Duration = Duration::from_secs(2);
/// How many looks in a row may show the same before the command ends and says what it waits for.
const LOOKS: u32 = 90;
/// How often an act is tried that changes nothing.
const TRIES: u32 = 5;
/// What makes a plan of finish shorter.
const SHORTER: &str = "delete resources of the old CNI that nothing needs any more, such as converted policies, once kubectl crossfade policies backup has them; then look at a new plan: kubectl crossfade finish";
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

/// What is read of the settings and the cluster before the objects of the old CNI.
pub(crate) struct FinishInputs {
    pub config: Config,
    pub snapshot: Snapshot,
    /// The CNI that goes.
    pub from: Cni,
    /// The CNI that stays.
    pub to: Cni,
    /// How the policies of both CNIs compare.
    pub policies: PolicyComparison,
    /// The last run with its plan; none if there was none.
    pub last_run: Option<(Run, Plan)>,
}

impl FinishInputs {
    /// The cluster and the migration.
    pub(crate) fn scene(&self) -> Scene<'_> {
        let strategy = self.last_run.as_ref().map_or(Strategy::Double, |(_, plan)| plan.strategy);
        Scene { snapshot: &self.snapshot, config: &self.config, from: self.from, to: self.to, strategy }
    }
}

/// The same, with where backups are.
#[derive(Clone, Copy)]
struct FinishScene<'a> {
    /// The cluster and the migration.
    scene: &'a Scene<'a>,
    /// How the policies of both CNIs compare.
    policies: &'a PolicyComparison,
    /// The last run, and whether it is over; none if there was none.
    run: Option<(&'a str, bool)>,
    /// The plan of that run.
    run_plan: Option<&'a Plan>,
    files: &'a dyn BackupFiles,
}

/// How far the end of a migration is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FinishView {
    pub lines: Vec<Line>,
    /// The settings of the new CNI that may change now; none after an act.
    pub changes: Vec<Change>,
    /// What would be removed of what is there.
    pub plan: FinishPlan,
    /// What was approved; none if nothing was.
    pub record: Option<Record>,
}

/// What a person asks for on the command line.
#[derive(Debug, Clone)]
pub(crate) struct FinishRequest {
    pub act: FinishAct,
    /// What to do about the Lease of another holder.
    pub patience: Patience,
}

#[derive(Debug, Clone)]
pub(crate) enum FinishAct {
    /// Carries the next lines out, until one waits or is refused.
    CarryOut(Approval),
    /// Lets the old agents run again.
    Undo,
}

/// What a person approved on the command line.
#[derive(Debug, Clone)]
pub(crate) struct Approval {
    /// The plan.
    pub hash: Prefix,
    /// The command line names the cluster from which the old CNI is to be removed.
    pub removes: bool,
}

/// One line of the journal.
#[derive(Debug, Serialize)]
struct JournalLine<'a> {
    #[serde(rename = "at")]
    time: String,
    event: &'static str,
    line: &'a str,
    object: &'a str,
    outcome: &'a str,
}

impl<'a> FinishScene<'a> {
    fn new(inputs: &'a FinishInputs, scene: &'a Scene<'a>, files: &'a dyn BackupFiles) -> Self {
        let last = inputs.last_run.as_ref();
        let run = last.map(|(run, _)| (run.id.as_str(), run.state == State::Done));
        Self { scene, policies: &inputs.policies, run, run_plan: last.map(|(_, plan)| plan), files }
    }

    fn open_run(&self) -> Option<&str> {
        self.run.filter(|(_, is_over)| !is_over).map(|(id, _)| id)
    }

    /// The backup that a record names, if its file is at hand and is what was written.
    fn backup(&self, record: Option<&Record>, inventory: &Inventory) -> Option<Backup> {
        let hash = record?.backup.as_deref()?;
        let bytes = self.files.load(&backup::file_name(hash))?;
        backup::read(&bytes, hash, &inventory.cluster).ok()
    }

    fn decide<T>(
        &self,
        inventory: &Inventory,
        plan: &FinishPlan,
        record: Option<&Record>,
        caller: &Caller,
        decide: fn(&Facts<'_>) -> T,
    ) -> T {
        let backup = self.backup(record, inventory);
        decide(&Facts {
            scene: self.scene,
            inventory,
            plan,
            record,
            backup: backup.as_ref(),
            policies: self.policies,
            run_plan: self.run_plan,
            open_run: self.open_run(),
            // A machine whose clock is wrong must not shorten the soak.
            now: caller.server_time(),
        })
    }
}

/// Says how far it is. Nothing is changed.
///
/// # Errors
/// A request failed.
pub(crate) fn view_finish(
    access: &Access,
    inputs: &FinishInputs,
    files: &dyn BackupFiles,
    tell: &mut dyn FnMut(&str),
) -> Result<FinishView, Failure> {
    runtime()?.block_on(async {
        let session = Session::connect(access, Settings::default()).await?;
        view_session(&session, &FinishScene::new(inputs, &inputs.scene(), files), tell).await
    })
}

async fn view_session(
    session: &Session,
    scene: &FinishScene<'_>,
    tell: &mut dyn FnMut(&str),
) -> Result<FinishView, Failure> {
    let (record, _) = stored(session.store(), session.caller(), scene.scene).await?;
    let approved = recorded_plan(session.store(), record.as_ref(), tell).await?;
    let inventory = gather::inventory(session.caller(), scene.scene, approved.as_ref()).await?;
    let plan = FinishPlan::new(scene.scene, &inventory);
    let decided = approved.as_ref().unwrap_or(&plan);
    let decide = |facts: &Facts<'_>| (lines::lines(facts), lines::changes(facts));
    let (lines, changes) = scene.decide(&inventory, decided, record.as_ref(), session.caller(), decide);
    Ok(FinishView { lines, changes, plan, record })
}

/// Does what is asked for. The inputs are gathered once the Lease is held: no run changes them then.
///
/// # Errors
/// The inputs cannot be read, the plan is another one, the removal has begun, rights are missing, another holder has the Lease, or a request failed. What was
/// done before stays done.
pub(crate) fn apply_finish(
    access: &Access,
    gather: impl FnOnce() -> Result<FinishInputs, Failure> + Send + 'static,
    files: &dyn BackupFiles,
    request: &FinishRequest,
    tell: &mut dyn FnMut(&str),
) -> Result<FinishView, Failure> {
    runtime()?.block_on(async {
        let mut session = Session::connect(access, Settings::default()).await?;
        let lease = FinishLease { session: &mut session, patience: request.patience, files };
        let work = async |holder: &mut FinishHolder<'_>, tell: &mut dyn FnMut(&str)| match &request.act {
            FinishAct::CarryOut(approval) => holder.apply(approval, tell).await,
            FinishAct::Undo => holder.undo(tell).await,
        };
        lease.hold(gather, tell, work).await
    })
}

/// What is needed to take the Lease and to work under it.
struct FinishLease<'a> {
    session: &'a mut Session,
    patience: Patience,
    files: &'a dyn BackupFiles,
}

impl FinishLease<'_> {
    /// Takes the Lease, gathers, works, and gives the Lease back.
    async fn hold<W>(
        self,
        gather: impl FnOnce() -> Result<FinishInputs, Failure> + Send + 'static,
        tell: &mut dyn FnMut(&str),
        work: W,
    ) -> Result<FinishView, Failure>
    where
        W: AsyncFnOnce(&mut FinishHolder<'_>, &mut dyn FnMut(&str)) -> Result<FinishView, Failure>,
    {
        let Self { session, patience, files } = self;
        let interrupt = Interrupt::new();
        let mut waiting = |holder: &_, remaining| tell(&waits_for(holder, remaining).what);
        let lease_taken = session.take_lease(patience, interrupt.wait(), &mut waiting).await;
        lease_taken.map_err(|why| {
            let is_held = matches!(why, AcquireError::Held(_));
            let (exit, problem) = untaken(why);
            (exit, if is_held { problem.fix(TAKE_OVER) } else { problem })
        })?;
        // In a thread of its own: the Lease is renewed meanwhile.
        let gathered = tokio::task::spawn_blocking(gather).await;
        let worked = match gathered.unwrap_or_else(|e| Err(unread(&e))) {
            Ok(inputs) => {
                let scene = inputs.scene();
                let scene = FinishScene::new(&inputs, &scene, files);
                work_as_holder(session, &scene, interrupt, tell, work).await
            }
            Err(failure) => Err(failure),
        };
        let released = session.release().await;
        let view = worked?;
        released.map(|()| view)
    }
}

async fn work_as_holder<W>(
    session: &Session,
    scene: &FinishScene<'_>,
    interrupt: Interrupt,
    tell: &mut dyn FnMut(&str),
    work: W,
) -> Result<FinishView, Failure>
where
    W: AsyncFnOnce(&mut FinishHolder<'_>, &mut dyn FnMut(&str)) -> Result<FinishView, Failure>,
{
    let mut holder = FinishHolder::new(session, scene, interrupt).await?;
    let worked = work(&mut holder, tell).await;
    // A journal is a history: what was done is done without it.
    if let Err((_, problem)) = holder.journal.flush(true).await {
        tell(&problem.to_string());
    }
    worked
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
    /// What was recorded of this migration.
    record: Option<Record>,
    /// The version of the ConfigMap that has a record, maybe of another migration.
    version: Option<String>,
}

impl<'a> FinishHolder<'a> {
    async fn new(
        session: &Session,
        scene: &'a FinishScene<'a>,
        interrupt: Interrupt,
    ) -> Result<Self, Failure> {
        let hand = session.hand().ok_or_else(interrupted_failure)?;
        let store = session.held_store();
        // The Lease may have been lost while the inputs were gathered.
        let run = store.run().await?.map(|stored| stored.run);
        if run.as_ref().map(|run| (run.id.as_str(), run.state == State::Done)) != scene.run {
            return Err(outrun(run.map(|run| run.id)));
        }
        let journal = store.journal(scene.run.map_or(WITHOUT_RUN, |(id, _)| id)).await?;
        let (record, version) = stored(&store, hand.caller(), scene.scene).await?;
        let person = session.person().await;
        let clock = session.clock().clone();
        Ok(Self { scene, hand, store, clock, person, journal, interrupt, record, version })
    }

    fn caller(&self) -> &Caller {
        self.hand.caller()
    }

    async fn write(&mut self, record: Record) -> Result<(), Failure> {
        let version = self.store.record_finish(&record, self.version.as_deref()).await?;
        (self.record, self.version) = (Some(record), Some(version));
        Ok(())
    }

    async fn note(&mut self, line: LineName, object: &str, outcome: &str, tell: &mut dyn FnMut(&str)) {
        tell(&format!("{line}: {object}: {outcome}"));
        let (time, name) = (self.clock.wall().to_string(), line.to_string());
        let entry = JournalLine { time, event: "finished", line: &name, object, outcome };
        if let Err(problem) = self.journal.note(&entry) {
            tell(&problem.to_string());
        }
        // The next one writes what this one could not.
        drop(self.journal.flush(false).await);
    }

    /// The approved plan: the recorded one, or the one of what is there, which is recorded then.
    async fn approve(&mut self, hash: &Prefix, inventory: &Inventory) -> Result<FinishPlan, Failure> {
        let recorded = self.record.clone().filter(|record| hash.is_of(&record.plan));
        let unreadable = match &recorded {
            Some(record) => match approved(&self.store, record).await {
                Ok(plan) => return Ok(plan),
                Err(failure) => Some(failure),
            },
            None => None,
        };
        let plan = FinishPlan::new(self.scene.scene, inventory);
        let own = plan.hash();
        if !hash.is_of(&own) {
            let what = format!(
                "plan {hash} was not approved before, and what would be removed now has the hash {}",
                canon::shorten_hash(&own)
            );
            let problem = Problem::new(what).with_place("--confirm");
            return Err(unreadable.unwrap_or_else(|| {
                (
                    Exit::No,
                    problem.fix("look at what would be removed and at its hash: kubectl crossfade finish"),
                )
            }));
        }
        self.store.save_plan(&plan.bytes(), SHORTER).await?;
        let before = self.record.as_ref();
        let record = Record {
            version: Record::VERSION,
            cluster: plan.cluster.clone(),
            from: plan.from,
            to: plan.to,
            plan: own,
            approved_by: self.person.clone(),
            approved_at: self.clock.wall().to_string(),
            backup: before.and_then(|record| record.backup.clone()),
            fenced_at: before.and_then(|record| record.fenced_at.clone()),
            agents: before.map(|record| record.agents.clone()).unwrap_or_default(),
            is_one_way: before.is_some_and(|record| record.is_one_way),
        };
        self.write(record).await?;
        Ok(plan)
    }

    async fn apply(
        &mut self,
        approval: &Approval,
        tell: &mut dyn FnMut(&str),
    ) -> Result<FinishView, Failure> {
        let known = recorded_plan(&self.store, self.record.as_ref(), tell).await?;
        let mut inventory = gather::inventory(self.caller(), self.scene.scene, known.as_ref()).await?;
        let plan = self.approve(&approval.hash, &inventory).await?;
        let missing = rights::missing_to_finish(self.caller(), &plan).await;
        if !missing.is_empty() {
            return Err(missing_rights_of(RIGHTS, &lines::first_few(missing).join(", ")));
        }
        let (mut before, mut last, mut looks) = (Vec::new(), None, 0);
        loop {
            let lines =
                self.scene.decide(&inventory, &plan, self.record.as_ref(), self.caller(), lines::lines);
            let next = lines::next(&lines).cloned();
            let act = next.as_ref().map(|line| (line.line, line.state));
            // The removal goes on from object to object, the clean-up from node to node; every other act is done once.
            let is_stepwise = |line| matches!(line, LineName::Removal | LineName::Nodes);
            let is_again = act == last && act.is_some_and(|(line, _)| !is_stepwise(line));
            let is_ready = act.is_some_and(|(_, state)| state == LineState::Ready);
            looks = if lines == before || is_again && is_ready { looks + 1 } else { 0 };
            let is_over = self.interrupt.is_set() || looks >= LOOKS;
            let Some(line) = next.filter(|_| !is_over) else { return Ok(self.view(lines, &inventory)) };
            let is_short = matches!(line.line, LineName::Fence | LineName::Removal | LineName::Nodes);
            if is_ready && looks > 0 {
                if looks >= TRIES {
                    return Ok(self.view(without_effect(lines, line.line), &inventory));
                }
                tokio::time::sleep(LOOK).await;
            }
            match (line.line, line.state) {
                (LineName::Backup, LineState::Ready) => self.back_up(&inventory, tell).await?,
                (LineName::Fence, LineState::Ready) => self.fence(&plan, &inventory, tell).await?,
                (LineName::Soak, LineState::Ready) => self.begin_soak(&inventory, tell).await?,
                (LineName::Removal, LineState::Ready) if approval.removes => {
                    self.remove(&plan, &inventory, tell).await?;
                }
                (LineName::Nodes, LineState::Ready) => self.clean(&inventory, tell).await?,
                (_, LineState::Waits) if is_short => tokio::time::sleep(LOOK).await,
                (_, LineState::Done | LineState::Ready | LineState::Waits | LineState::Refused) => {
                    return Ok(self.view(lines, &inventory));
                }
            }
            let is_removing = line.line == LineName::Removal;
            (before, last) = (lines, act);
            inventory = gather::again(self.caller(), self.scene.scene, inventory).await?;
            // Agents write into their Nodes when they end.
            if matches!(line.line, LineName::Fence | LineName::Nodes) {
                inventory.nodes = Some(gather::nodes(self.caller()).await?);
            }
            if line.line == LineName::Nodes {
                inventory.cleanup = gather::cleanup_pods(self.caller()).await?;
            }
            // What is gone is looked for by every name once more: something may have come back.
            if is_removing && removal::next(&plan, &inventory) == Removal::Done {
                inventory = gather::inventory(self.caller(), self.scene.scene, Some(&plan)).await?;
                inventory.nodes = Some(gather::nodes(self.caller()).await?);
            }
        }
    }

    fn view(&self, lines: Vec<Line>, inventory: &Inventory) -> FinishView {
        let plan = FinishPlan::new(self.scene.scene, inventory);
        FinishView { lines, changes: Vec::new(), plan, record: self.record.clone() }
    }

    /// Writes the backup, reads it back, and records its hash.
    async fn back_up(&mut self, inventory: &Inventory, tell: &mut dyn FnMut(&str)) -> Result<(), Failure> {
        let earlier = self.scene.backup(self.record.as_ref(), inventory);
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
        let Some(record) = self.record.clone() else { return Ok(()) };
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
        if let Some(record) = self.record.clone().filter(|record| record.fenced_at.is_some()) {
            self.write(opened(record)).await?;
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

    async fn begin_soak(&mut self, inventory: &Inventory, tell: &mut dyn FnMut(&str)) -> Result<(), Failure> {
        let Some(record) = self.record.clone() else { return Ok(()) };
        let now = self.caller().server_time().ok_or_else(timeless)?;
        // The header Date has whole seconds, so a later answer may seem to come a part of one earlier.
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
        self.write(Record { fenced_at: Some(now.clone()), agents: inventory.agents(), ..record }).await?;
        self.note(LineName::Soak, "the cluster", &format!("begins at {now}"), tell).await;
        Ok(())
    }

    /// Lets the agents run again, while all that the removal would delete is there.
    async fn undo(&mut self, tell: &mut dyn FnMut(&str)) -> Result<FinishView, Failure> {
        let scene = self.scene.scene;
        let known = recorded_plan(&self.store, self.record.as_ref(), tell).await?;
        let inventory = gather::inventory(self.caller(), scene, known.as_ref()).await?;
        let record = self.record.clone();
        let has_begun = known.as_ref().map_or_else(
            || record.as_ref().is_some_and(|record| record.is_one_way),
            |plan| lines::has_begun(record.as_ref(), plan, &inventory),
        );
        if has_begun {
            let problem = Problem::new("the removal has begun, and nothing that is deleted comes back")
                .with_place("--undo");
            let fix = "go on: kubectl crossfade finish says what is left; the backup has what was deleted";
            return Err((Exit::No, problem.fix(fix)));
        }
        let closed = |object: &Value| {
            object.pointer("/spec/template/spec/nodeSelector").is_some_and(|all| all.get(FENCE).is_some())
        };
        let agents: Vec<_> = inventory.in_part(Part::Agent).filter(|(_, object)| closed(object)).collect();
        let names: Vec<String> = agents.iter().map(|(target, _)| target.to_string()).collect();
        let managed = managers(scene.snapshot, scene.from, &inventory, &scene.config.finish.managers_off);
        let managed =
            managed.into_iter().find(|item| item.manager.undoes_a_fence() && names.contains(&item.object));
        if let Some(managed) = managed {
            // What fences off through a manager opens with null in the same place.
            let inverse = managed.help.replace(&format!("\"{CLOSED}\""), "null");
            let what = format!(
                "{} has the fence of {}, and would bring it back",
                managed.manager.name(),
                managed.object
            );
            let fix = format!(
                "take the node selector {FENCE} away where the manager has it, then call finish --undo again: {inverse}"
            );
            return Err((Exit::No, Problem::new(what).with_place("--undo").fix(fix)));
        }
        // First: a program that ends in between must not leave agents open in a soak that goes on.
        if let Some(record) = record.filter(|record| record.fenced_at.is_some() || record.is_one_way) {
            self.write(Record { is_one_way: false, ..opened(record) }).await?;
        }
        for (target, object) in agents {
            self.select(target, object, &Value::Null).await?;
            self.note(LineName::Fence, &target.to_string(), "selects its nodes again", tell).await;
        }
        let inventory = gather::inventory(self.caller(), scene, None).await?;
        let plan = FinishPlan::new(scene, &inventory);
        let lines = self.scene.decide(&inventory, &plan, self.record.as_ref(), self.caller(), lines::lines);
        Ok(self.view(lines, &inventory))
    }
}

/// A record without a soak.
fn opened(record: Record) -> Record {
    Record { fenced_at: None, agents: std::collections::BTreeMap::new(), ..record }
}

/// The lines where acting on one of them changes nothing.
fn without_effect(mut lines: Vec<Line>, name: LineName) -> Vec<Line> {
    for line in lines.iter_mut().filter(|line| line.line == name) {
        line.state = LineState::Refused;
        line.evidence.push(format!("it was done {TRIES} times, and nothing has changed"));
        line.help = "another program changes these objects, or a Node has the label of the fence: kubectl get OBJECT -o yaml --show-managed-fields says who does; switch that off".into();
    }
    lines
}

fn outrun(run: Option<String>) -> Failure {
    let run = run.map_or_else(|| "the run".to_owned(), |id| format!("run {id}"));
    let what = format!("{run} began, went on or ended after the cluster was read");
    let problem = Problem::new(what).with_place("ConfigMap/crossfade/crossfade-run");
    (
        Exit::TryLater,
        problem.fix("run the same command again; it reads the cluster anew, and nothing was changed"),
    )
}

fn unread(error: &tokio::task::JoinError) -> Failure {
    let problem = Problem::new(format!("the cluster was not read to its end: {error}"));
    (Exit::Failed, problem.with_place("the cluster").fix("run the same command again; nothing was changed"))
}

fn timeless() -> Failure {
    let what = "the API server does not say what time it is: its answers have no header Date, so nothing shows how long the soak lasts";
    let problem = Problem::new(what).with_place("the API server");
    (Exit::Failed, problem.fix("reach it without the proxy that takes this header away"))
}

/// What was recorded of this migration, and the version of the ConfigMap. The record of another migration counts as none.
async fn stored(
    store: &Store,
    caller: &Caller,
    scene: &Scene<'_>,
) -> Result<(Option<Record>, Option<String>), Failure> {
    let Some((record, version)) = store.finish().await? else { return Ok((None, None)) };
    let cluster = gather::cluster_uid(caller).await?;
    Ok((Some(record).filter(|record| record.is_of(&cluster, scene.from, scene.to)), Some(version)))
}

/// The plan that a record names. One that cannot be read counts as none: a person approves a new one.
async fn recorded_plan(
    store: &Store,
    record: Option<&Record>,
    tell: &mut dyn FnMut(&str),
) -> Result<Option<FinishPlan>, Failure> {
    let Some(record) = record else { return Ok(None) };
    match approved(store, record).await {
        Ok(plan) => Ok(Some(plan)),
        Err((Exit::TryLater, problem)) => Err((Exit::TryLater, problem)),
        Err((_, problem)) => {
            tell(&problem.to_string());
            Ok(None)
        }
    }
}

/// The plan that a record names.
async fn approved(store: &Store, record: &Record) -> Result<FinishPlan, Failure> {
    let wrong = |why: String| {
        let problem = Problem::new(format!("plan {}: {why}", canon::shorten_hash(&record.plan)));
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
    let plan = FinishPlan::read(&bytes).map_err(wrong)?;
    if !record.is_of(&plan.cluster, plan.from, plan.to) {
        let FinishPlan { cluster, from, to, .. } = plan;
        return Err(wrong(format!(
            "it removes {from} for {to} from the cluster {cluster}, and the record is of another migration"
        )));
    }
    Ok(plan)
}

#[cfg(test)]
mod tests;
