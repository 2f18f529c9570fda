//! Conducts a run: takes the Lease, begins the run or takes it up, drives it, and gives the Lease back.

mod cluster_driver;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use migration::drive::event::ActRecord;
use migration::drive::status::{Holder, Status, status};
use migration::drive::{Cluster as _, DriveEnd, Event, drive};
use migration::plan::Plan;
use migration::plan::canon::{self, Prefix};
use migration::roll::memory::Memory;
use migration::roll::replacement::without_machines;
use migration::roll::run::{Bounds, Run, RunRequest, State, UnenforcedPolicies};
use migration::roll::step::{Act, Decision, step};
use migration::roll::view::Nodes;
use migration::roll::view::Order;
use migration::roll::view::View;
use migration::roll::wait::{Reason, Wait};
use migration::roll::world::{Color, Verdict, World};
use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;
use types::policy::Phase;

use super::interrupt::Interrupt;
use super::lease::{self, AcquireError, Patience};
use super::session::{Session, Settings};
use super::store::{RecordOutcome, StoredRun, last_verdict};
use crate::cli::access::Access;
use crate::live::api::failure::{Failure, blind_spot_failure, interrupted_failure, missing_rights_failure};
use crate::live::session::calls::Outcome as Done;
use crate::live::session::clock::Clock;
use crate::live::session::outage::Outage;
use crate::live::store::saved_plans::{
    SavedPlan, check_passes, find_plan, no_run_failure, other_plan, plan_of,
};
use cluster_driver::{LiveCluster, identity};

/// How long one look waits for a change.
const LOOK: Duration = Duration::from_secs(2);
/// How long the first look may take: large clusters are listed for a while.
const FIRST_LOOK: Duration = Duration::from_secs(120);
/// How long a later look at the status waits for a change: no watch tells of recorded verdicts.
const NEXT_LOOK: Duration = Duration::from_secs(30);

/// What the operator wants of a run.
#[derive(Debug, Clone)]
pub(crate) struct RunOptions {
    /// The plan that was approved, or that of the run that is to go on, as it was compared with the cluster and the settings.
    pub plan: SavedPlan,
    /// The run that the cluster has goes on by its own plan.
    pub is_resumed: bool,
    /// What this part of the run is limited to.
    pub bounds: Bounds,
    /// Pods without an owner that may be deleted: those of this command line alone, whatever the run says.
    pub delete: BTreeSet<String>,
    /// Policies that came after the plan was made, which do not keep a run that has begun from going on.
    pub unenforced: Vec<UnenforcedPolicies>,
    /// What to do about another holder's Lease.
    pub patience: Patience,
    /// The management cluster of Cluster API, if there is one.
    pub management: Option<Access>,
}

/// What would be done next.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct Preview {
    /// How far the run is.
    pub status: Status,
    /// The calls that would be made now, in order.
    pub acts: Vec<ActRecord>,
}

/// A run and its plan, as the cluster keeps them.
struct LoadedRun {
    run: Run,
    plan: Plan,
    hash: String,
    /// The plan that this one replaces.
    replaced: Option<String>,
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|e| (Exit::Failed, Problem::new(format!("start the client: {e}"))))
}

/// Begins a run, or goes on with it, until it ends for this program. Gives how it ended, and what the journal in the cluster lacks.
///
/// # Errors
/// Rights are missing, there is no such plan or run, another holder has it, or a request failed.
pub(crate) fn conduct(
    access: &Access,
    settings: Settings,
    options: &RunOptions,
    report: &mut dyn FnMut(&Event),
) -> Result<(DriveEnd, Option<Problem>), Failure> {
    runtime()?.block_on(async {
        let mut session = Session::connect(access, settings).await?;
        if let Some(access) = &options.management {
            session.manage(access).await?;
        }
        let missing = session.missing_rights().await;
        if !missing.is_empty() {
            return Err(missing_rights_failure(&missing));
        }
        let interrupt = Interrupt::new();
        let mut is_reported = false;
        let mut waiting = |holder: &Holder, remaining: Duration| {
            if !std::mem::replace(&mut is_reported, true) {
                report(&Event::Waits(waits_for(holder, remaining)));
            }
        };
        session.take_lease(options.patience, interrupt.wait(), &mut waiting).await.map_err(untaken)?;
        let driven = driven(&mut session, options, interrupt, report).await;
        let released = session.release().await;
        let (mut ended, lacking) = driven?;
        if let Some(status) = ended.status.take() {
            // Where another holder took the Lease, the answer names it.
            let holder = session.holder().await.ok().flatten().map(|(holder, _)| holder);
            ended.status = Some(status.with_holder(holder));
        }
        released.map(|()| (ended, lacking))
    })
}

async fn driven(
    session: &mut Session,
    options: &RunOptions,
    interrupt: Interrupt,
    report: &mut dyn FnMut(&Event),
) -> Result<(DriveEnd, Option<Problem>), Failure> {
    let LoadedRun { run, plan, hash, replaced } = load_run(session, options, &interrupt).await?;
    let journal = session.store().journal(&run.id).await?;
    let report = RefCell::new(|event: &Event| report(event));
    let mut hand = LiveCluster {
        verdicts: session.store().verdicts_of(&run.id),
        session,
        journal,
        interrupt,
        is_unwritten: false,
        outage: Outage::default(),
        own_hashes: RefCell::new([identity(&run)].into()),
        has_seen_own: false,
        report: &report,
    };
    if let Some(holder) = hand.session.lease().map(|held| held.holder().to_owned()) {
        let event = Event::Holds { holder, plan: hash.clone(), is_approved: !options.is_resumed };
        hand.note(&event).await;
    }
    if let Some(before) = replaced {
        let event = Event::Replanned { before, plan: hash.clone() };
        hand.note(&event).await;
        (report.borrow_mut())(&event);
    }
    let ended = drive(&mut hand, run, &plan, &hash, &mut |event| (report.borrow_mut())(event)).await;
    let lacking = hand.flush(true).await;
    Ok((ended, lacking))
}

/// The run that is begun, or that goes on. Only the first look can be interrupted: what is written is written to its end, and the run then ends in order.
async fn load_run(
    session: &mut Session,
    options: &RunOptions,
    interrupt: &Interrupt,
) -> Result<LoadedRun, Failure> {
    let loaded = if options.is_resumed {
        take_up_run(session, options, interrupt).await?
    } else {
        begin_run(session, options, interrupt).await?
    };
    if loaded.plan.takes_requests() {
        session.held_store().open_permits().await?;
    }
    Ok(loaded)
}

/// A new run of the plan; or the run that goes on, by this plan from now on.
async fn begin_run(
    session: &mut Session,
    options: &RunOptions,
    interrupt: &Interrupt,
) -> Result<LoadedRun, Failure> {
    let SavedPlan { plan, hash } = options.plan.clone();
    let stored = session.store().run().await?;
    if stored.is_some_and(|stored| stored.run.state != State::Done && stored.run.plan != hash) {
        return take_up_run(session, options, interrupt).await;
    }
    keep_off_closed_network(session, &plan, Some(plan.target())).await?;
    let mut run = Run::new(id(&Clock::from_machine()), hash.clone(), &plan);
    run.bounds = options.bounds.clone();
    run.delete = options.delete.clone();
    look_first(session, &run, &plan, interrupt).await?;
    run.short = session.short_workloads();
    let store = session.held_store();
    store.begin(&run).await?;
    // The run has begun, whether or not what others have left can be deleted; the next one tries it again.
    drop(store.prune(&run.id).await);
    Ok(LoadedRun { run, plan, hash, replaced: None })
}

/// The run that the cluster has, going on, maybe by another plan.
async fn take_up_run(
    session: &mut Session,
    options: &RunOptions,
    interrupt: &Interrupt,
) -> Result<LoadedRun, Failure> {
    let mut has_looked = false;
    loop {
        let StoredRun { run: before, version, .. } =
            session.store().run().await?.ok_or_else(no_run_failure)?;
        if options.is_resumed && before.plan != options.plan.hash {
            return Err(other_plan(&before));
        }
        let LoadedRun { mut run, plan, hash, replaced } =
            load_by_plan(session, &before, Some(options.plan.clone())).await?;
        keep_off_closed_network(session, &plan, run.targets.last().copied()).await?;
        if !std::mem::replace(&mut has_looked, true) {
            look_first(session, &run, &plan, interrupt).await?;
        }
        if run.state != State::Done {
            run.state = State::Running;
        }
        run.authorize(options.bounds.clone(), options.delete.clone(), &session.short_workloads());
        run.unenforced.clone_from(&options.unenforced);
        // An operator may write a wish at this very moment, and wishes are in the same object: then it is read again.
        if run == before || session.held_store().record(&run, &version).await? != RecordOutcome::Changed {
            if replaced.is_some() {
                drop(session.held_store().label_plan(&run).await);
            }
            return Ok(LoadedRun { run, plan, hash, replaced });
        }
    }
}

/// Refuses to bring nodes to a network whose agents `finish` has fenced off or removed.
async fn keep_off_closed_network(
    session: &Session,
    plan: &Plan,
    target: Option<Phase>,
) -> Result<(), Failure> {
    let Some(target) = target else { return Ok(()) };
    let record = match session.store().finish().await {
        Ok(stored) => stored.map(|(record, _)| record),
        // It may not be read only where it decides something.
        Err(_) if target == Phase::New => None,
        Err(failure) => return Err(failure),
    };
    let Some(record) = record.filter(|record| record.bars(&plan.cluster, plan.from, plan.to, target)) else {
        return Ok(());
    };
    let (from, is_one_way) = (record.from, record.is_one_way);
    let (what, fix) = if is_one_way {
        let fix = "go on with kubectl crossfade finish, or kubectl crossfade finish --undo if nothing is deleted yet; if it is installed again: kubectl delete configmap crossfade-finish --namespace crossfade";
        ("has begun to remove", fix)
    } else {
        (
            "has fenced off the agents of",
            "kubectl crossfade finish --undo lets them run again; then run the same command",
        )
    };
    let what =
        format!("nodes would get pods on the network of {from}, and kubectl crossfade finish {what} {from}");
    Err((Exit::No, Problem::new(what).with_place("ConfigMap/crossfade/crossfade-finish").fix(fix)))
}

/// A run by its own plan, or by another one.
async fn load_by_plan(
    session: &Session,
    run: &Run,
    saved_plan: Option<SavedPlan>,
) -> Result<LoadedRun, Failure> {
    let (SavedPlan { plan, hash }, own) = match saved_plan {
        Some(saved_plan) if saved_plan.hash != run.plan => (saved_plan, Some(plan_of(session, run).await?)),
        Some(own) => {
            check_passes(run, &own.plan)?;
            (own, None)
        }
        None => (plan_of(session, run).await?, None),
    };
    let Some(SavedPlan { plan: own, hash: own_hash }) = own else {
        return Ok(LoadedRun { run: run.clone(), plan, hash, replaced: None });
    };
    let run = run.replan(&own, &plan, &hash).map_err(|why| {
        let what = format!("run {} goes on, and cannot by plan {}: {why}", run.id, canon::shorten_hash(&hash));
        let fix = "end it first: kubectl crossfade roll --resume; or bring its nodes back: kubectl crossfade roll abort --to PHASE";
        (Exit::No, Problem::new(what).with_place("ConfigMap/crossfade/crossfade-run").fix(fix))
    })?;
    Ok(LoadedRun { run, plan, hash, replaced: Some(own_hash) })
}

/// Looks until something is known.
async fn look_until_known(session: &mut Session, run: &Run, plan: &Plan) -> Result<Arc<World>, Failure> {
    let world = session.look(run, plan, FIRST_LOOK).await.map_err(|blind| blind_spot_failure(&blind))?;
    let has_machines = session.find_machines(run, plan).await?;
    let has_node_claims = session.find_node_claims(plan).await?;
    if !has_machines {
        require_unheld(&world, run, plan)?;
    }
    if has_machines || has_node_claims {
        return session.look(run, plan, FIRST_LOOK).await.map_err(|blind| blind_spot_failure(&blind));
    }
    Ok(world)
}

/// Machines that the run holds cannot be given back without their management cluster.
fn require_unheld(world: &World, run: &Run, plan: &Plan) -> Result<(), Failure> {
    let Some(node) = without_machines(world, run, plan) else { return Ok(()) };
    let what = format!("run {} holds the Machine of Node {node}, and no management cluster is named", run.id);
    let fix = "add --management-context CONTEXT, as the run was begun; or leave the node out: kubectl crossfade roll skip NODE, and remove the hook by hand";
    Err((Exit::BadSettings, Problem::new(what).with_place(format!("Node/{node}")).fix(fix)))
}

/// The same for a holder, which the operator may interrupt before it writes anything.
async fn look_first(
    session: &mut Session,
    run: &Run,
    plan: &Plan,
    interrupt: &Interrupt,
) -> Result<(), Failure> {
    tokio::select! {
        world = look_until_known(session, run, plan) => world.map(drop),
        () = interrupt.wait() => Err(interrupted_failure()),
    }
}

/// What the next step of a run would be, without anything being done. Nothing is written, no Lease is taken, and no command of a gate is started: where no
/// holder has recorded a verdict, the step is that of a green gate.
///
/// # Errors
/// There is no such plan or run, or a request failed.
pub(crate) fn preview(
    access: &Access,
    settings: Settings,
    plan: Option<&Prefix>,
    bounds: &Bounds,
    delete: &BTreeSet<String>,
    management: Option<&Access>,
) -> Result<Preview, Failure> {
    runtime()?.block_on(async {
        let mut session = Session::connect(access, settings).await?;
        if let Some(access) = management {
            session.manage(access).await?;
        }
        let stored = session.store().run().await?;
        let other = match plan {
            Some(prefix) => Some(find_plan(&session, prefix).await?),
            None => None,
        };
        let LoadedRun { mut run, plan, .. } = match (other, stored) {
            (other, Some(StoredRun { run, .. })) if other.is_none() || run.state != State::Done => {
                load_by_plan(&session, &run, other).await?
            }
            (Some(SavedPlan { plan, hash }), _) => {
                let run = Run::new("preview", hash.clone(), &plan);
                LoadedRun { run, plan, hash, replaced: None }
            }
            (None, _) => return Err(no_run_failure()),
        };
        let world = look_until_known(&mut session, &run, &plan).await?;
        run.authorize(bounds.clone(), delete.clone(), &session.short_workloads());
        let mut now = preview_decision(&session, world, &run, &plan, Color::Green).await?;
        // A run counts before it drains a node; what it does then is what people want to see.
        if now.1.acts.contains(&Act::Census) && matches!(session.act(&Act::Census).await, Done::Counted(_)) {
            let world = look_until_known(&mut session, &run, &plan).await?;
            now = preview_decision(&session, world, &run, &plan, Color::Green).await?;
        }
        let (status, decided) = now;
        Ok(Preview { status, acts: decided.acts.into_iter().map(ActRecord::from).collect() })
    })
}

/// How far the run is, and what it waits for; what gates say that are commands is what the holder recorded. `tell` says whether to go on with the next look.
///
/// # Errors
/// There is no run, or a request failed.
pub(crate) fn watch_status(
    access: &Access,
    settings: Settings,
    report: &mut dyn FnMut(&Status) -> bool,
) -> Result<Status, Failure> {
    runtime()?.block_on(async {
        let mut session = Session::connect(access, settings).await?;
        let mut before: Option<Status> = None;
        let mut at_most = FIRST_LOOK;
        loop {
            let stored = session.store().run().await?.ok_or_else(no_run_failure)?;
            let SavedPlan { plan, .. } = plan_of(&session, &stored.run).await?;
            let world = session
                .look(&stored.run, &plan, at_most)
                .await
                .map_err(|blind| blind_spot_failure(&blind))?;
            let (now, _) = preview_decision(&session, world, &stored.run, &plan, Color::Unknown).await?;
            // Each renewal changes the time of the last one, and that is no news.
            let news = Status { renewed_at: None, ..now.clone() };
            if before.as_ref() != Some(&news) && !report(&now) || now.to.is_none() {
                return Ok(now);
            }
            before = Some(news);
            at_most = NEXT_LOOK;
            tokio::time::sleep(LOOK).await;
        }
    })
}

/// What a holder would decide who has just looked. `unasked` is how a gate counts of whose command no holder has recorded a verdict lately.
async fn preview_decision(
    session: &Session,
    world: Arc<World>,
    run: &Run,
    plan: &Plan,
    unasked: Color,
) -> Result<(Status, Decision), Failure> {
    let mut world = Arc::unwrap_or_clone(world);
    // A holder that has just seen this, and has renewed the Lease since.
    world.renewed_at = world.now + Duration::from_nanos(1);
    let holder = session.holder().await?;
    world.epoch = holder.as_ref().map_or(u64::MAX, |(_, epoch)| *epoch);
    let recorded = session.store().verdicts(&run.id).await;
    let mut unknown = BTreeSet::new();
    for gate in plan.gates.iter().filter(|gate| gate.source.is_recorded()) {
        let (color, why) = last_verdict(recorded.get(&gate.name), gate, session.clock().wall());
        if color.is_none() {
            unknown.insert(gate.name.as_str());
        }
        let verdict = Verdict { color: color.unwrap_or(unasked), checked_at: world.now, why };
        world.verdicts.insert(gate.name.clone(), verdict);
    }
    let mut memory = Memory::default();
    memory.observe(&world, run);
    let order = Order::new(plan);
    let nodes = Nodes::new(&world, run, &order);
    let view = View::new(&world, &memory, run, &nodes);
    let decided = step(&view);
    let mut now = status(&view, &decided.waits).with_holder(holder.map(|(holder, _)| holder));
    for gate in now.gates.iter_mut().filter(|gate| unknown.contains(gate.name.as_str())) {
        gate.color = Color::Unknown.into_str();
    }
    Ok((now, decided))
}

/// Asks something of the run, and says who will take it up; none if the run has no holder.
///
/// # Errors
/// There is no run, or a request failed.
pub(crate) fn ask(access: &Access, reason: &str, what: &RunRequest) -> Result<Option<Holder>, Failure> {
    runtime()?.block_on(async {
        let session = Session::connect(access, Settings::default()).await?;
        send_request(&session, reason, what).await
    })
}

async fn send_request(session: &Session, reason: &str, what: &RunRequest) -> Result<Option<Holder>, Failure> {
    if let RunRequest::Abort(phase) = what
        && let Some(stored) = session.store().run().await?
    {
        let SavedPlan { plan, .. } = plan_of(session, &stored.run).await?;
        keep_off_closed_network(session, &plan, Some(*phase)).await?;
    }
    session.store().wish(&session.person().await, reason, what).await?;
    session.holder().await.map(|holder| holder.map(|(holder, _)| holder))
}

/// `r-261122-0912-7k2m`: short, for claims and names of objects, and in the order of time.
fn id(clock: &Clock) -> String {
    let time = clock.wall().strftime("%y%m%d-%H%M").to_string();
    let end: String = lease::random().chars().take(4).collect();
    format!("r-{time}-{end}")
}

/// Whose Lease has to expire before the run is taken over.
pub(super) fn waits_for(holder: &Holder, remaining: Duration) -> Wait {
    let what = format!(
        "the run is held by {holder}; it is taken over if the Lease is not renewed within {} s",
        remaining.as_secs()
    );
    Wait::new("Lease/crossfade/crossfade-run", Reason::LeaseHeld, what)
}

pub(super) fn untaken(why: AcquireError) -> Failure {
    match why {
        AcquireError::Failed(exit, problem) => (exit, problem),
        AcquireError::Interrupted => interrupted_failure(),
        AcquireError::Held(holder) => {
            let problem = Problem::new(format!("the run is held by {holder}"))
                .with_place("Lease/crossfade/crossfade-run");
            (Exit::TryLater, problem.fix("ask it: kubectl crossfade roll pause --reason TEXT; or, if its holder is gone: kubectl crossfade roll --resume takes the run over once the Lease has not been renewed for a minute; where no run has begun: kubectl crossfade roll --plan HASH --take-over"))
        }
    }
}

#[cfg(test)]
mod tests;
