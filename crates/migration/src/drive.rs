//! Drives a run: looks at the cluster, takes up what people wish, decides, and acts. It is the only one that acts on a cluster, and it acts on nothing but
//! what [`step`](crate::roll::step::step) decided and [`hold`](crate::roll::invariant::hold) let pass.
//!
//! A holder that ends in the middle leaves nothing behind that the next one needs: every act is on the Node, on the pod or in the run's ConfigMap.

pub mod decisions;
pub mod event;
pub mod gate;
mod news;
pub mod objects;
pub mod permit;
pub mod status;

use std::sync::Arc;
use std::time::Duration;
use types::api::eviction::Answer;

use decisions::Decisions;
pub use event::Event;
use futures_util::stream::{self, StreamExt};
use news::News;
use reachability::report::ClassCounts;

use self::status::{Status, status};
use crate::plan::Plan;
use crate::roll::invariant::{self, Violation};
use crate::roll::memory::Memory;
use crate::roll::run::{Run, Wish};
use crate::roll::step::{Act, Decision, End, step};
use crate::roll::view::Nodes;
use crate::roll::view::Order;
use crate::roll::view::View;
use crate::roll::world::World;

/// How many calls are under way at once: one that the API server leaves waiting does not keep the others.
const AT_ONCE: usize = 8;

/// What the driver needs of a cluster.
pub trait Cluster {
    /// Waits until something changed, or for a moment, and says what is known.
    ///
    /// # Errors
    /// Why the run cannot go on: another holder has it, or it is gone.
    fn look(&mut self, run: &Run, plan: &Plan) -> impl Future<Output = Result<Observation, EndReason>>;

    /// Makes one call when it is driven. Several may be under way.
    fn act(&self, act: &Act) -> impl Future<Output = Outcome> + 'static;

    /// How long this thread has worked, without the time in which other programs had its core. Nothing is decided by it.
    fn cpu_time(&self) -> Duration;

    /// Writes an event down. A journal is a history: nothing is decided by it, so that a failure to write it stops nothing.
    fn note(&mut self, event: &Event) -> impl Future<Output = ()>;
}

/// What the driver knows of the cluster and of the run.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    /// The cluster. The writer goes on with a copy, and only if a change comes while this one is in use.
    pub world: Arc<World>,
    /// The run as the cluster has it.
    pub run: Option<Run>,
    /// Wishes that the run has not taken up, in order.
    pub wishes: Vec<Wish>,
    /// What the agents of the run's gates measured since the last look.
    pub measured: Vec<ClassCounts>,
    /// The operator asked this holder to end: no new act.
    pub is_interrupted: bool,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Another client changed the object since it was read. The next look decides anew.
    Conflict,
    /// What the API server says of an eviction or a deletion.
    Answered(Answer),
    /// It failed, or its answer was lost; in words.
    Failed(String),
}

/// How a holder's part of a run ended.
#[derive(Debug, Clone)]
pub struct DriveEnd {
    /// The run as it is now.
    pub run: Run,
    pub reason: EndReason,
    /// How far the run is.
    pub status: Option<Status>,
    /// How long this holder's decisions took.
    pub decisions: Decisions,
}

/// Why a holder's part of a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// The run decided so.
    End(End),
    /// The operator asked this holder to end.
    Interrupted,
    /// A decision would have broken an invariant: a fault of this program. Nothing was done of it.
    Broken(Violation),
    /// Another holder has the run; in words.
    Gone(String),
    /// The object that keeps the run is gone or cannot be read, so that nothing that people ask is heard; in words, and what helps.
    Unreadable(String, String),
}

/// Drives a run until it ends for this holder.
pub async fn drive<C: Cluster>(
    cluster: &mut C,
    mut run: Run,
    plan: &Plan,
    hash: &str,
    tell: &mut dyn FnMut(&Event),
) -> DriveEnd {
    let order = Order::new(plan);
    let mut memory = Memory::default();
    let mut news = News::default();
    let mut decisions = Decisions::default();
    let mut last = None;
    loop {
        let observation = match cluster.look(&run, plan).await {
            Ok(observation) => observation,
            Err(why) => return DriveEnd { run, reason: why, status: last, decisions },
        };
        news.measure(&observation.measured);
        if observation.is_interrupted {
            let counted = last.as_ref().and_then(|last| news.count(last, observation.world.now, true));
            if let Some(event) = counted {
                cluster.note(&event).await;
            }
            return DriveEnd { run, reason: EndReason::Interrupted, status: last, decisions };
        }
        let world = &*observation.world;
        if let Some(written) =
            memory.unwritten_run().filter(|written| observation.run.as_ref() == Some(written))
        {
            // Its answer was lost, and it was written.
            run = written.clone();
            memory.confirm_write();
        }
        // What people wish is taken up by the run that the cluster has.
        let is_new = |wish: &&Wish| wish.seq > run.wish && memory.unwritten_run().is_none();
        if let Some(wish) = observation.wishes.iter().find(is_new) {
            run = apply_wish(cluster, run, wish, &order, world, &mut memory, tell).await;
            continue;
        }
        let before = cluster.cpu_time();
        memory.observe(world, &run);
        let mut nodes = Nodes::new(world, &run, &order);
        let Decision { acts, waits, end } = step(&View::new(world, &memory, &run, &nodes));
        let now = status(&View::new(world, &memory, &run, &nodes), &waits);
        decisions.add(cluster.cpu_time().saturating_sub(before));
        let counted = news.count(&now, world.now, end.is_some());
        for event in news.select(&waits, world.now).into_iter().chain(counted) {
            cluster.note(&event).await;
            tell(&event);
        }
        tell(&Event::Status(Box::new(now.clone())));
        last = Some(now);
        for group in acts.chunk_by(|item, next| may_run_concurrently(item) && may_run_concurrently(next)) {
            for act in group {
                if let Err(broken) = check_invariants(act, &View::new(world, &memory, &run, &nodes), hash) {
                    let event = Event::Broken { act: act.clone().into(), broken: broken.clone() };
                    cluster.note(&event).await;
                    tell(&event);
                    return DriveEnd { run, reason: EndReason::Broken(broken), status: last, decisions };
                }
                match act {
                    Act::Patch(patch) => memory.record_patch(patch, world),
                    Act::Census => memory.begin_census(world),
                    Act::Hook(_) | Act::Evict(_) | Act::Delete(_) | Act::Record(_) => {}
                }
            }
            let calls: Vec<_> = group.iter().map(|act| (act, cluster.act(act))).collect();
            let calls = calls.into_iter().map(|(act, call)| async move { (act, call.await) });
            let mut under_way = stream::iter(calls).buffer_unordered(AT_ONCE);
            while let Some((act, outcome)) = under_way.next().await {
                let is_silent = is_silent(act, &outcome, &run);
                remember(&mut memory, &mut run, act, &outcome, world);
                if matches!(act, Act::Record(_)) {
                    nodes = Nodes::new(world, &run, &order);
                }
                if !is_silent {
                    let event = Event::Acted { act: act.clone().into(), outcome };
                    cluster.note(&event).await;
                    tell(&event);
                }
            }
        }
        if let Some(end) = end {
            return DriveEnd { run, reason: EndReason::End(end), status: last, decisions };
        }
    }
}

/// Whether a call is no event: a count, conditions that follow from a step that is one, and the end of a run whose last pass ended, as an event, before it gave
/// back what it kept nodes with.
fn is_silent(act: &Act, outcome: &Outcome, run: &Run) -> bool {
    let is_done = matches!(outcome, Outcome::Done | Outcome::Conflict);
    match act {
        Act::Census => true,
        Act::Patch(patch) => !patch.lifecycle.is_empty() && is_done,
        Act::Record(_) => run.target().is_none() && is_done,
        Act::Hook(_) | Act::Evict(_) | Act::Delete(_) => false,
    }
}

/// Whether a call may be under way beside others: it changes an object of its own. The run is written when they have ended.
const fn may_run_concurrently(act: &Act) -> bool {
    matches!(act, Act::Patch(_) | Act::Hook(_) | Act::Evict(_) | Act::Delete(_))
}

/// A run that is over is written as it is.
fn check_invariants(act: &Act, view: &View<'_>, hash: &str) -> Result<(), Violation> {
    if view.run.target().is_none() { Ok(()) } else { invariant::hold(act, view, hash) }
}

/// Takes up what became of a call.
fn remember(memory: &mut Memory, run: &mut Run, act: &Act, outcome: &Outcome, world: &World) {
    match (act, outcome) {
        (Act::Evict(pod) | Act::Delete(pod), Outcome::Answered(answer)) => {
            memory.record_answer(pod, answer.clone(), world.now);
        }
        (Act::Evict(pod) | Act::Delete(pod), Outcome::Failed(why)) => {
            memory.record_answer(pod, Answer::Failed(why.clone()), world.now);
        }
        (Act::Patch(patch), Outcome::Conflict) => memory.reject_patch(patch),
        (Act::Patch(patch), Outcome::Done) => memory.confirm_patch(patch, world),
        (Act::Record(next), Outcome::Done) => {
            memory.confirm_write();
            run.clone_from(next);
        }
        (Act::Record(next), Outcome::Failed(_)) => memory.record_unconfirmed_write(next),
        (Act::Evict(_) | Act::Delete(_), Outcome::Done | Outcome::Conflict)
        | (Act::Patch(_), Outcome::Answered(_) | Outcome::Failed(_))
        | (Act::Record(_), Outcome::Answered(_) | Outcome::Conflict)
        | (Act::Hook(_) | Act::Census, _) => {}
    }
}

/// Takes up a wish, and writes the run with it. A wish that cannot be met is answered aloud and not asked again.
async fn apply_wish<C: Cluster>(
    cluster: &mut C,
    run: Run,
    wish: &Wish,
    order: &Order<'_>,
    world: &World,
    memory: &mut Memory,
    tell: &mut dyn FnMut(&Event),
) -> Run {
    let is_bridged = is_bridged(world, memory, &run, order);
    let (next, refused) = match run.apply_wish(wish, order.plan, is_bridged) {
        Ok(next) => (next, None),
        Err(why) => (Run { wish: wish.seq, ..run.clone() }, Some(why)),
    };
    let act = Act::Record(Box::new(next));
    let outcome = cluster.act(&act).await;
    if outcome != Outcome::Conflict {
        let event = Event::Wished { wish: wish.clone(), refused };
        cluster.note(&event).await;
        tell(&event);
    }
    let mut run = run;
    remember(memory, &mut run, &act, &outcome, world);
    run
}

/// Whether nodes forward between both networks, also after the last pass: a run that is over can be asked to go back.
fn is_bridged(world: &World, memory: &Memory, run: &Run, order: &Order<'_>) -> bool {
    View::new(world, memory, run, &Nodes::new(world, run, order)).is_bridged()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roll::run::RunRequest;
    use futures_util::FutureExt as _;
    use serde_json::json;
    use types::policy::Phase;

    #[test]
    fn a_run_that_is_over_goes_back_over_the_bridge() {
        let plan: Plan = serde_json::from_value(json!({
            "version": 1, "cluster": "c", "from": "calico", "to": "cilium", "strategy": "bridge", "settings": "s", "start": "old",
            "passes": ["new"], "bridge": {"accepted": "it is known"}, "waves": [], "leftOut": [], "pools": [], "limits": {}, "pods": {}, "gates": [],
            "dns": {"namespace": "kube-system", "labels": {}}, "policies": [], "networks": {"old": [], "new": []}, "agents": [], "unenforced": [], "waivers": [],
        }))
        .expect("a plan");
        let done = Run::new("r-1", "4be1".repeat(16), &plan).next_pass();
        assert_eq!(done.target(), None);
        let (world, memory) = (World::default(), Memory::default());
        let abort =
            Wish { seq: 1, operator: "bob".into(), reason: "so".into(), what: RunRequest::Abort(Phase::Old) };
        let back = done
            .apply_wish(&abort, &plan, is_bridged(&world, &memory, &done, &Order::new(&plan)))
            .expect("a run");
        assert_eq!(back.targets, [Phase::Old]);
    }

    /// A cluster of which one look is known before its operator interrupts.
    #[derive(Default)]
    struct InterruptedCluster {
        looks: u32,
        events: Vec<Event>,
    }

    impl Cluster for InterruptedCluster {
        async fn look(&mut self, run: &Run, _: &Plan) -> Result<Observation, EndReason> {
            self.looks += 1;
            let row = json!({"class": {"from": "old", "to": "service", "place": "any", "family": "IPv4", "packet": "udp"}, "counts": {"answered": 9}});
            let measured = vec![serde_json::from_value(row).expect("a row")];
            let is_interrupted = self.looks > 1;
            Ok(Observation { run: Some(run.clone()), measured, is_interrupted, ..Observation::default() })
        }

        fn act(&self, _: &Act) -> impl Future<Output = Outcome> + 'static {
            std::future::ready(Outcome::Conflict)
        }

        fn cpu_time(&self) -> Duration {
            Duration::ZERO
        }

        async fn note(&mut self, event: &Event) {
            self.events.push(event.clone());
        }
    }

    #[test]
    fn what_agents_measured_is_noted_when_the_holder_is_interrupted() {
        let plan: Plan = serde_json::from_value(json!({
            "version": 1, "cluster": "c", "from": "calico", "to": "cilium", "strategy": "double", "settings": "s", "start": "old",
            "passes": ["both-old"], "waves": [], "leftOut": [], "pools": [], "limits": {}, "pods": {}, "gates": [],
            "dns": {"namespace": "kube-system", "labels": {}}, "policies": [], "networks": {"old": [], "new": []}, "agents": [], "unenforced": [], "waivers": [],
        }))
        .expect("a plan");
        let hash = "4be1".repeat(16);
        let mut cluster = InterruptedCluster::default();
        let ended = drive(&mut cluster, Run::new("r-1", hash.clone(), &plan), &plan, &hash, &mut |_| {})
            .now_or_never()
            .expect("nothing waits");
        assert_eq!((ended.reason, cluster.looks), (EndReason::Interrupted, 2));
        let measured = cluster.events.iter().filter_map(|event| match event {
            Event::Counted(count) => Some(count.measured.iter().map(|class| class.sent).collect::<Vec<_>>()),
            _ => None,
        });
        assert_eq!(measured.collect::<Vec<_>>(), [[9], [9]]);
    }

    /// A rotation gives back what it kept nodes with between both.
    #[test]
    fn the_end_of_the_last_pass_is_one_event() {
        let plan: Plan = serde_json::from_value(json!({
            "version": 1, "cluster": "c", "from": "calico", "to": "cilium", "strategy": "rotation", "settings": "s", "start": "old",
            "passes": ["new"], "image": "new", "ways": ["replace"], "bridge": {"accepted": "it is known"}, "waves": [], "leftOut": [], "pools": [],
            "limits": {}, "pods": {}, "gates": [], "dns": {"namespace": "kube-system", "labels": {}}, "policies": [],
            "networks": {"old": [], "new": []}, "agents": [], "unenforced": [], "waivers": [],
        }))
        .expect("a plan");
        let run = Run::new("r-1", "4be1".repeat(16), &plan);
        let over = Run { state: crate::roll::run::State::Running, ..run.next_pass() };
        let done = Run { state: crate::roll::run::State::Done, ..over.clone() };
        let is_silent = |next: &Run, outcome: &Outcome, run: &Run| {
            super::is_silent(&Act::Record(Box::new(next.clone())), outcome, run)
        };
        assert!(!is_silent(&over, &Outcome::Done, &run));
        assert!(is_silent(&done, &Outcome::Done, &over));
        assert!(!is_silent(&done, &Outcome::Failed("no answer".into()), &over));
    }
}
