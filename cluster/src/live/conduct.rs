//! Conducts a run: takes the Lease, begins the run or takes it up, drives it, and gives the Lease back.

mod hand;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use types::exit::Exit;
use types::problem::Problem;

use super::act::Outcome as Done;
use super::clock::Clock;
use super::failure::Failed;
use super::health::Blind;
use super::interrupt::Interrupt;
use super::lease::{self, Patience, Untaken};
use super::plans::{SavedPlan, plan_of, planned};
use super::session::{Session, Settings};
use super::store::{Recorded, Stored, last_verdict};
use super::unseen::Unseen;
use crate::cli::access::Access;
use crate::drive::event::Told;
use crate::drive::{Cluster as _, Ended, Event, drive};
use crate::plan::canon::{self, Prefix};
use crate::plan::{GateSource, Plan};
use crate::roll::act::Act;
use crate::roll::memory::Memory;
use crate::roll::nodes::Nodes;
use crate::roll::order::Order;
use crate::roll::run::{Bounds, Run, State};
use crate::roll::step::{Decided, step};
use crate::roll::view::View;
use crate::roll::wait::{Reason, Wait};
use crate::roll::wish::What;
use crate::roll::world::{Color, Verdict, World};
use crate::status::{Holder, Status, status};
use hand::Hand;

/// How long one look waits for a change.
const LOOK: Duration = Duration::from_secs(2);
/// How long the first look may take: large clusters are listed for a while.
const FIRST_LOOK: Duration = Duration::from_secs(120);
/// How long a later look at the status waits for a change: no watch tells of recorded verdicts.
const NEXT_LOOK: Duration = Duration::from_secs(30);

/// What is wanted of a run.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The plan that was approved, or that of the run that is to go on, as it was compared with the cluster and the settings.
    pub plan: SavedPlan,
    /// The run that the cluster has goes on by its own plan.
    pub is_resumed: bool,
    /// What this part of the run is limited to.
    pub bounds: Bounds,
    /// Pods without an owner that may be deleted: those of this command line alone, whatever the run says.
    pub delete: BTreeSet<String>,
    /// What to do about somebody else's Lease.
    pub patience: Patience,
}

/// What would be done next.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// How far the run is.
    pub status: Status,
    /// The calls that would be made now, in order.
    pub acts: Vec<Told>,
}

/// A run and its plan, as the cluster keeps them.
struct Loaded {
    run: Run,
    plan: Plan,
    hash: String,
    /// The plan that this one replaces.
    replaced: Option<String>,
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|e| (Exit::Failed, Problem::new(format!("start the client: {e}"))))
}

/// Begins a run, or goes on with it, until it ends for this program. Gives how it ended, and what the journal in the cluster lacks.
///
/// # Errors
/// Rights are missing, there is no such plan or run, somebody else holds it, or a request failed.
pub fn conduct(
    access: &Access,
    settings: Settings,
    wanted: &Wanted,
    tell: &mut dyn FnMut(&Event),
) -> Result<(Ended, Option<Problem>), Failed> {
    runtime()?.block_on(async {
        let mut session = Session::connect(access, settings).await?;
        let missing = session.missing_rights().await;
        if !missing.is_empty() {
            return Err(no_rights(&missing));
        }
        let interrupt = Interrupt::new();
        let mut is_told = false;
        let mut waiting = |holder: &Holder, left: Duration| {
            if !std::mem::replace(&mut is_told, true) {
                tell(&Event::Waits(waits_for(holder, left)));
            }
        };
        session.take_lease(wanted.patience, interrupt.wait(), &mut waiting).await.map_err(untaken)?;
        let driven = driven(&mut session, wanted, interrupt, tell).await;
        let released = session.release().await;
        let (mut ended, lacking) = driven?;
        if let Some(status) = ended.status.take() {
            // Where another holder took the Lease, the answer names it.
            let holder = session.holder().await.ok().flatten().map(|(holder, _)| holder);
            ended.status = Some(status.held_by(holder));
        }
        released.map(|()| (ended, lacking))
    })
}

async fn driven(
    session: &mut Session,
    wanted: &Wanted,
    interrupt: Interrupt,
    tell: &mut dyn FnMut(&Event),
) -> Result<(Ended, Option<Problem>), Failed> {
    let loaded = tokio::select! {
        loaded = loaded(session, wanted) => loaded?,
        () = interrupt.wait() => return Err(interrupted()),
    };
    let Loaded { run, plan, hash, replaced } = loaded;
    let journal = session.store().journal(&run.id).await?;
    let tell = RefCell::new(|event: &Event| tell(event));
    let mut hand = Hand {
        verdicts: session.store().verdicts_of(&run.id),
        session,
        journal,
        interrupt,
        is_unwritten: false,
        unseen: Unseen::default(),
        own: RefCell::new(vec![run.clone()]),
        has_seen_own: false,
        tell: &tell,
    };
    if let Some(before) = replaced {
        let event = Event::Replanned { before, plan: hash.clone() };
        hand.note(&event).await;
        (tell.borrow_mut())(&event);
    }
    let ended = drive(&mut hand, run, &plan, &hash, &mut |event| (tell.borrow_mut())(event)).await;
    let lacking = hand.flush(true).await;
    Ok((ended, lacking))
}

/// The run that is begun, or that goes on.
async fn loaded(session: &mut Session, wanted: &Wanted) -> Result<Loaded, Failed> {
    if wanted.is_resumed { taken_up(session, wanted).await } else { begun(session, wanted).await }
}

/// A new run of the plan; or the run that goes on, by this plan from now on.
async fn begun(session: &mut Session, wanted: &Wanted) -> Result<Loaded, Failed> {
    let SavedPlan { plan, hash } = wanted.plan.clone();
    let stored = session.store().run().await?;
    if stored.is_some_and(|stored| stored.run.state != State::Done && stored.run.plan != hash) {
        return taken_up(session, wanted).await;
    }
    let mut run = Run::new(id(&Clock::of_machine()), hash.clone(), &plan);
    run.bounds = wanted.bounds.clone();
    run.delete = wanted.delete.clone();
    looked(session, &run, &plan).await?;
    run.short = session.short();
    let store = session.held_store();
    store.begin(&run).await?;
    // The run has begun, whether or not what others have left can be deleted; the next one tries it again.
    drop(store.prune(&run.id).await);
    Ok(Loaded { run, plan, hash, replaced: None })
}

/// The run that the cluster has, going on, maybe by another plan.
async fn taken_up(session: &mut Session, wanted: &Wanted) -> Result<Loaded, Failed> {
    let mut has_looked = false;
    loop {
        let Stored { run: before, version, .. } = session.store().run().await?.ok_or_else(no_run)?;
        if wanted.is_resumed && before.plan != wanted.plan.hash {
            return Err(other_plan(&before));
        }
        let Loaded { mut run, plan, hash, replaced } =
            by_plan(session, &before, Some(wanted.plan.clone())).await?;
        if !std::mem::replace(&mut has_looked, true) {
            looked(session, &run, &plan).await?;
        }
        if run.state != State::Done {
            run.state = State::Running;
        }
        run.authorize(wanted.bounds.clone(), wanted.delete.clone(), &session.short());
        // Somebody may wish for something at this very moment, and wishes are in the same object: then it is read again.
        if run == before || session.held_store().record(&run, &version).await? != Recorded::Changed {
            if replaced.is_some() {
                drop(session.held_store().label_plan(&run).await);
            }
            return Ok(Loaded { run, plan, hash, replaced });
        }
    }
}

/// A run by its own plan, or by another one.
async fn by_plan(session: &Session, run: &Run, wanted: Option<SavedPlan>) -> Result<Loaded, Failed> {
    let (SavedPlan { plan, hash }, own) = match wanted {
        Some(wanted) if wanted.hash != run.plan => (wanted, Some(plan_of(session, run).await?)),
        Some(own) => (own, None),
        None => (plan_of(session, run).await?, None),
    };
    let Some(SavedPlan { plan: own, hash: own_hash }) = own else {
        return Ok(Loaded { run: run.clone(), plan, hash, replaced: None });
    };
    let run = run.replanned(&own, &plan, &hash).map_err(|why| {
        let what = format!("run {} goes on, and cannot by plan {}: {why}", run.id, canon::short(&hash));
        let fix = "end it first: kubectl crossfade roll --resume; or bring its nodes back: kubectl crossfade abort --to PHASE";
        (Exit::No, Problem::new(what).at("ConfigMap/crossfade/crossfade-run").fix(fix))
    })?;
    Ok(Loaded { run, plan, hash, replaced: Some(own_hash) })
}

/// Looks until something is known.
async fn looked(session: &mut Session, run: &Run, plan: &Plan) -> Result<Arc<World>, Failed> {
    session.look(run, plan, FIRST_LOOK).await.map_err(|blind| unseen(&blind))
}

/// What the next step of a run would be, without anything being done. Nothing is written, no Lease is taken, and no command of a gate is started: where no
/// holder has recorded a verdict, the step is that of a green gate.
///
/// # Errors
/// There is no such plan or run, or a request failed.
pub fn preview(
    access: &Access,
    settings: Settings,
    plan: Option<&Prefix>,
    bounds: &Bounds,
    delete: &BTreeSet<String>,
) -> Result<Preview, Failed> {
    runtime()?.block_on(async {
        let mut session = Session::connect(access, settings).await?;
        let stored = session.store().run().await?;
        let other = match plan {
            Some(prefix) => Some(planned(&session, prefix).await?),
            None => None,
        };
        let Loaded { mut run, plan, .. } = match (other, stored) {
            (other, Some(Stored { run, .. })) if other.is_none() || run.state != State::Done => {
                by_plan(&session, &run, other).await?
            }
            (Some(SavedPlan { plan, hash }), _) => {
                let run = Run::new("preview", hash.clone(), &plan);
                Loaded { run, plan, hash, replaced: None }
            }
            (None, _) => return Err(no_run()),
        };
        let world = looked(&mut session, &run, &plan).await?;
        run.authorize(bounds.clone(), delete.clone(), &session.short());
        let mut now = decided(&session, world, &run, &plan, Color::Green).await?;
        // A run counts before it drains a node; what it does then is what people want to see.
        if now.1.acts.contains(&Act::Census) && matches!(session.act(&Act::Census).await, Done::Counted(_)) {
            let world = looked(&mut session, &run, &plan).await?;
            now = decided(&session, world, &run, &plan, Color::Green).await?;
        }
        let (status, decided) = now;
        Ok(Preview { status, acts: decided.acts.into_iter().map(Told::from).collect() })
    })
}

/// How far the run is, and what it waits for; what gates say that are commands is what the holder recorded. `tell` says whether to go on with the next look.
///
/// # Errors
/// There is no run, or a request failed.
pub fn watch_status(
    access: &Access,
    settings: Settings,
    tell: &mut dyn FnMut(&Status) -> bool,
) -> Result<Status, Failed> {
    runtime()?.block_on(async {
        let mut session = Session::connect(access, settings).await?;
        let mut before: Option<Status> = None;
        let mut at_most = FIRST_LOOK;
        loop {
            let stored = session.store().run().await?.ok_or_else(no_run)?;
            let SavedPlan { plan, .. } = plan_of(&session, &stored.run).await?;
            let world = session.look(&stored.run, &plan, at_most).await.map_err(|blind| unseen(&blind))?;
            let (now, _) = decided(&session, world, &stored.run, &plan, Color::Unknown).await?;
            // Each renewal changes the time of the last one, and that is no news.
            let news = Status { renewed: None, ..now.clone() };
            if before.as_ref() != Some(&news) && !tell(&now) || now.to.is_none() {
                return Ok(now);
            }
            before = Some(news);
            at_most = NEXT_LOOK;
            tokio::time::sleep(LOOK).await;
        }
    })
}

/// What a holder would decide who has just looked. `unasked` is how a gate counts of whose command no holder has recorded a verdict lately.
async fn decided(
    session: &Session,
    world: Arc<World>,
    run: &Run,
    plan: &Plan,
    unasked: Color,
) -> Result<(Status, Decided), Failed> {
    let mut world = Arc::unwrap_or_clone(world);
    // A holder that has just seen this, and has renewed the Lease since.
    world.renewed = world.now + Duration::from_nanos(1);
    let holder = session.holder().await?;
    world.epoch = holder.as_ref().map_or(u64::MAX, |(_, epoch)| *epoch);
    let recorded = session.store().verdicts(&run.id).await;
    let mut unknown = BTreeSet::new();
    for gate in plan.gates.iter().filter(|gate| matches!(gate.source, GateSource::Command(_))) {
        let (color, why) = last_verdict(recorded.get(&gate.name), gate, session.clock().wall());
        if color.is_none() {
            unknown.insert(gate.name.as_str());
        }
        let verdict = Verdict { color: color.unwrap_or(unasked), at: world.now, why };
        world.verdicts.insert(gate.name.clone(), verdict);
    }
    let mut memory = Memory::default();
    memory.observe(&world, run);
    let order = Order::of(plan);
    let nodes = Nodes::of(&world, run, &order);
    let view = View::of(&world, &memory, run, &nodes);
    let decided = step(&view);
    let mut now = status(&view, &decided.waits).held_by(holder.map(|(holder, _)| holder));
    for gate in now.gates.iter_mut().filter(|gate| unknown.contains(gate.name.as_str())) {
        gate.is = Color::Unknown.as_str();
    }
    Ok((now, decided))
}

/// The run goes by another plan than the one that was compared with the settings.
fn other_plan(run: &Run) -> Failed {
    let plan = canon::short(&run.plan);
    let problem =
        Problem::new(format!("run {} goes by plan {plan}, and went by another one a moment ago", run.id));
    let fix = "look at that plan, then run the same command again: kubectl crossfade status";
    (Exit::TryLater, problem.at("ConfigMap/crossfade/crossfade-run").fix(fix))
}

/// Asks something of the run, and says who will take it up; none if nobody holds the run.
///
/// # Errors
/// There is no run, or a request failed.
pub fn ask(access: &Access, reason: &str, what: &What) -> Result<Option<Holder>, Failed> {
    runtime()?.block_on(async {
        let session = Session::connect(access, Settings::default()).await?;
        session.store().wish(&session.person().await, reason, what).await?;
        Ok(session.holder().await?.map(|(holder, _)| holder))
    })
}

/// `r-261122-0912-7k2m`: short, for claims and names of objects, and in the order of time.
fn id(clock: &Clock) -> String {
    let at = clock.wall().strftime("%y%m%d-%H%M").to_string();
    let end: String = lease::random().chars().take(4).collect();
    format!("r-{at}-{end}")
}

fn unseen(blind: &Blind) -> Failed {
    let problem = Problem::new(blind.to_string()).at("the API server");
    (
        Exit::TryLater,
        problem.fix(
            "check that kubectl get nodes,pods works with the same flags, then run the same command again",
        ),
    )
}

pub(super) fn no_run() -> Failed {
    let problem = Problem::new("the cluster has no run").at("ConfigMap/crossfade/crossfade-run");
    (
        Exit::No,
        problem.fix("begin one: kubectl crossfade plan --save, then kubectl crossfade roll --plan HASH"),
    )
}

fn no_rights(missing: &[String]) -> Failed {
    let problem = Problem::new(format!("rights are missing: {}", missing.join(", "))).at("the API server");
    (Exit::Failed, problem.fix("kubectl apply -f deploy/cluster/rbac-operator.yaml, and bind its roles to yourself as its comments say"))
}

/// Whose Lease has to expire before the run is taken over.
fn waits_for(holder: &Holder, left: Duration) -> Wait {
    let what = format!(
        "the run is held by {holder}; it is taken over if the Lease is not renewed within {} s",
        left.as_secs()
    );
    Wait::new("Lease/crossfade/crossfade-run", Reason::LeaseHeld, what)
}

fn untaken(why: Untaken) -> Failed {
    match why {
        Untaken::Failed(exit, problem) => (exit, problem),
        Untaken::Interrupted => interrupted(),
        Untaken::Held(holder) => {
            let problem =
                Problem::new(format!("the run is held by {holder}")).at("Lease/crossfade/crossfade-run");
            (Exit::TryLater, problem.fix("ask it: kubectl crossfade pause --reason TEXT; or, if its holder is gone: kubectl crossfade roll --resume takes the run over once the Lease has not been renewed for a minute"))
        }
    }
}

fn interrupted() -> Failed {
    let problem =
        Problem::new("it was interrupted before it did anything").at("ConfigMap/crossfade/crossfade-run");
    (Exit::TryLater, problem.fix("run the same command again"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::live::in_tests::{Answer, Server, run};

    fn plan() -> Plan {
        serde_json::from_value(json!({
            "version": 1, "cluster": "c", "from": "calico", "to": "cilium", "strategy": "double", "settings": "s", "start": "old",
            "passes": ["both-old", "both-new", "new"], "leftOut": [], "limits": {}, "pods": {},
            "waves": [{"name": "zone", "kind": "zone", "atOnce": 1, "soakSeconds": 0, "nodes": [{"name": "a", "uid": "uid-a", "why": "so"}]}],
            "pools": [{"name": "", "nodes": 1, "zones": [""], "method": "drain"}],
            "gates": [{"name": "smoke", "source": {"command": ["/bin/true"]}, "everySeconds": 30, "freshSeconds": 60}],
            "dns": {"namespace": "kube-system", "labels": {}}, "policies": [],
            "agents": [], "unenforced": [], "networks": {"old": [], "new": []}, "waivers": [],
        }))
        .expect("a plan")
    }

    /// A cluster with this run. One workload misses one pod.
    fn cluster(stored: Run, verdicts: Option<Value>) -> Server {
        Server::by(move |asked| {
            let map = json!({"metadata": {"name": "crossfade-run", "resourceVersion": "7"},
                "data": {"run.json": serde_json::to_string(&stored).expect("JSON")}});
            let list = |items: &[Value]| {
                Answer::json(200, &json!({"metadata": {"resourceVersion": "10"}, "items": items}))
            };
            let workload = json!({"metadata": {"name": "web", "namespace": "x", "uid": "u"},
                "spec": {"replicas": 3}, "status": {"readyReplicas": 2, "replicas": 3}});
            let maps = "/api/v1/namespaces/crossfade/configmaps";
            match asked.line.as_str() {
                line if line.contains("watch=true") => Answer::stream(&[]),
                "GET /api/v1" => Answer::json(200, &json!({"resources": []})),
                line if line == format!("GET {maps}/crossfade-run") => Answer::json(200, &map),
                line if line.starts_with(&format!("GET {maps}/crossfade-gates-")) => match &verdicts {
                    Some(verdicts) => Answer::json(
                        200,
                        &json!({"metadata": {}, "data": {"verdicts.json": verdicts.to_string()}}),
                    ),
                    None => Answer::refusal(404, "NotFound", "not found"),
                },
                line if line.starts_with("PATCH") => Answer::json(200, &map),
                line if line.starts_with("GET /api/v1/nodes") => list(&[json!({
                    "metadata": {"name": "a", "uid": "uid-a", "resourceVersion": "5", "labels": {"crossfade/phase": "old"}},
                })]),
                line if line.starts_with("GET /apis/apps/v1/deployments") => list(&[workload]),
                line if line.starts_with(&format!("GET {maps}?")) => list(&[map]),
                _ => list(&[]),
            }
        })
    }

    async fn session(server: &Server) -> Session {
        let caller = server.caller();
        let watcher = caller.beside(server.client());
        Session::over(caller, watcher, Settings::default()).await.expect("a session")
    }

    fn resumed(plan: SavedPlan, delete: &[&str]) -> Wanted {
        let delete = delete.iter().map(|pod| (*pod).to_owned()).collect();
        Wanted { plan, is_resumed: true, bounds: Bounds::default(), delete, patience: Patience::None }
    }

    fn saved(plan: &Plan) -> SavedPlan {
        SavedPlan { plan: plan.clone(), hash: canon::hash(plan) }
    }

    #[test]
    fn what_others_wrote_into_a_run_deletes_no_pod_and_excuses_no_workload() {
        run(async {
            let SavedPlan { plan, hash } = saved(&plan());
            let mut stored = Run::new("r-1", hash.clone(), &plan);
            stored.delete = ["kube-system/etcd".to_owned()].into();
            stored.short = [("Deployment/x/web".to_owned(), 100), ("Deployment/x/db".to_owned(), 100)].into();
            let server = cluster(stored, None);
            let mut session = session(&server).await;
            let wanted = resumed(SavedPlan { plan, hash }, &["x/debug"]);
            let loaded = taken_up(&mut session, &wanted).await.expect("taken up");
            assert_eq!(loaded.run.delete, ["x/debug".to_owned()].into());
            assert_eq!(loaded.run.short, [("Deployment/x/web".to_owned(), 1)].into());
            let patch =
                server.asked().into_iter().find(|asked| asked.line.starts_with("PATCH")).expect("a record");
            let written: Run = serde_json::from_str(patch.json()["data"]["run.json"].as_str().expect("text"))
                .expect("a run");
            assert_eq!(written, loaded.run, "and so it is recorded");
        });
    }

    #[test]
    fn a_run_whose_plan_was_exchanged_after_it_was_compared_is_not_resumed() {
        run(async {
            let compared = saved(&plan());
            let other = saved(&Plan { gates: Vec::new(), ..plan() });
            let server = cluster(Run::new("r-1", other.hash, &other.plan), None);
            let mut session = session(&server).await;
            let (exit, problem) =
                taken_up(&mut session, &resumed(compared, &[])).await.map(|_| ()).expect_err("refused");
            assert_eq!(exit, Exit::TryLater);
            assert!(problem.what.contains("goes by plan"), "{problem:?}");
            let writes = server.lines().into_iter().filter(|line| !line.starts_with("GET"));
            assert_eq!(writes.collect::<Vec<_>>(), [""; 0]);
        });
    }

    /// Each row: what the holder recorded; how the gate is, and whether the run waits for it, in a status and in a preview.
    #[test]
    fn status_and_preview_tell_the_verdict_that_the_holder_recorded() {
        let verdict = |is: &str, at: &str| json!({"smoke": {"is": is, "at": at, "why": "so"}});
        for (recorded, is, status_waits, preview_waits) in [
            (Some(verdict("red", "2026-01-01T00:00:00Z")), "red", true, true),
            (Some(verdict("green", "2026-01-01T00:00:00Z")), "green", false, false),
            (Some(verdict("green", "2025-01-01T00:00:00Z")), "unknown", true, false),
            (None, "unknown", true, false),
        ] {
            run(async {
                let plan = plan();
                let going = Run::new("r-1", canon::hash(&plan), &plan);
                let server = cluster(going.clone(), recorded.clone());
                let mut session = session(&server).await;
                for (unasked, waits) in [(Color::Unknown, status_waits), (Color::Green, preview_waits)] {
                    let world = session.look(&going, &plan, LOOK).await.expect("a world");
                    let (status, _) =
                        decided(&session, world, &going, &plan, unasked).await.expect("a status");
                    assert_eq!(
                        status.gates.iter().map(|gate| gate.is).collect::<Vec<_>>(),
                        [is],
                        "{recorded:?}"
                    );
                    let waits_for_gate = status.waits.iter().any(|wait| wait.object == "Gate/smoke");
                    assert_eq!(waits_for_gate, waits, "{recorded:?} {unasked:?}: {:?}", status.waits);
                }
            });
        }
    }

    #[test]
    fn a_wait_and_a_refusal_name_the_holder_as_status_does() {
        let bob = "bob@desk:7:0123456789abcdef";
        let holder = Holder { name: bob.into(), since: "12:00".into(), renewed: "12:01".into() };
        let wait = waits_for(&holder, Duration::from_secs(60));
        assert_eq!((wait.reason, wait.is_held), (Reason::LeaseHeld, false));
        let held_by = format!("{bob} since 12:00, renewed last at 12:01");
        assert_eq!(
            wait.what,
            format!("the run is held by {held_by}; it is taken over if the Lease is not renewed within 60 s")
        );
        let (exit, problem) = untaken(Untaken::Held(holder.clone()));
        assert_eq!((exit, problem.what), (Exit::TryLater, format!("the run is held by {held_by}")));
        assert_eq!(holder.to_string(), held_by);
    }
}
