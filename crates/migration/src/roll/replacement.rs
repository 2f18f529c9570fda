//! Nodes that are replaced: a pipeline outside of this program takes nodes of the old image away and brings nodes of the new one, and the run keeps it to the
//! plan's order, budgets and gates.
//!
//! | state | what holds the node | it leaves the state when |
//! |---|---|---|
//! | `waiting` | what its [`pipeline`] has for that | it is its turn, as a node starts that moves in place, and its pipeline asks for it where that asks for nodes |
//! | `permitted` | nothing: its pipeline drains it | its Node is gone, or its pipeline takes its request back |
//!
//! Which new node replaces which old one is not known, and does not matter: each pool has as many places as it had nodes. A node that has gone leaves its place
//! open until one more node of the image is proven. An open place counts as a node in transit.
//!
//! A pool that an autoscaler makes larger has new nodes for which none has gone. These fill the next places, as the nodes do that a pipeline starts before it drains
//! an old one: nothing tells the two apart. So a pool never has fewer proven and old nodes than the plan counted, but for those on their way; what more load needs is
//! kept by the room for pods, by the gates, and by pods that find no node.
//!
//! A pipeline that asks, or that cannot be held, takes nodes in an order of its own. The waves of its pool say how many go, and not which ones.
//!
//! A run that turns back from the phase of the image moves the nodes of the image back in place, where these follow the old phase. The others are replaced again,
//! by nodes of the earlier image: these have no trace of Crossfade. So that no node parts pods that need each other, the only such pass leads from the phase of the
//! image to `old`.
//!
//! The images of two pools may be in different phases: each pool is replaced in the pass to the phase of its own image, and moves in place in the others.

pub(super) mod arrival;
pub(crate) mod pipeline;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use snapshot::model::Text;
use types::api::observed::NodeObservation;
use types::api::step::{State, Step};
use types::policy::Phase;

pub use self::arrival::arriving;
use self::arrival::{arrival_limit, is_arriving, is_proven, shortfall};
use self::pipeline::{PipelineRules, cluster_api};
use super::budget::turn_wait;
use super::run::Run;
use super::step::{Act, Change, Patch};
use super::view::{
    NodeStatus, Nodes, Place, Standing, View, foreign_step, is_of_pass, is_of_run, is_ours, set_state,
};
use super::wait::{Reason, Subject, Wait};
use super::world::{Node, Trait, World};
use crate::cni::reach::Way;
use crate::config::roll::Method;
use crate::plan::{Plan, PlannedNode, Pool, Wave, WaveKind, canon};

/// How many nodes are kept from their pipelines in one step, and how many are named that a pipeline has still to ask for.
pub(super) const LEVERS: usize = 50;
const NAMED: usize = 3;

/// Which nodes come in a pass that replaces nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Those of the new image.
    Forth,
    /// Those of the earlier image, without Crossfade.
    Back,
    /// Those of the final image, without Crossfade.
    Final,
}

/// Which nodes come to a pool in a pass of a run of this plan; none if it replaces none of the pool.
pub(crate) fn direction(plan: &Plan, pool: &str, from: Phase, to: Phase) -> Option<Direction> {
    let image = plan.image_phase(pool)?;
    if plan.is_final() {
        return ((from, to) == (plan.start, image)).then_some(Direction::Final);
    }
    let is_forth = to == image && plan.steps().any(|pass| pass == (from, to, Way::Replace));
    let back = ((from, to) == (image, Phase::Old)).then_some(Direction::Back);
    if is_forth { Some(Direction::Forth) } else { back }
}

/// Which nodes come to each of the pools whose nodes the present pass of a run replaces.
pub(super) fn directions<'p>(plan: &'p Plan, run: &Run) -> HashMap<&'p str, Direction> {
    let direction =
        |pool: &'p Pool| Some((&*pool.name, direction(plan, &pool.name, run.from, run.target()?)?));
    plan.pools.iter().filter_map(direction).collect()
}

/// Whether a node is of an image that does not follow the phase `old`, so that nothing but its replacement brings it back.
pub(crate) fn cannot_return(node: &Node) -> bool {
    let is_beyond = |observation: &NodeObservation| {
        observation.phase.is_some_and(|phase| phase != Phase::Old)
            && !observation.follows.contains(&Phase::Old)
    };
    node.observed.as_ref().is_some_and(is_beyond)
}

/// What becomes of a node in a pass that replaces nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turnover {
    /// It stays, and moves in place.
    Stays,
    /// It is to be replaced.
    Leaves,
    /// It is of the new image.
    Arrives,
}

/// The places of a pool whose nodes are replaced.
#[derive(Debug)]
pub struct Exchange<'a> {
    pub(crate) pool: &'a Text,
    pub(super) pipeline: &'static dyn PipelineRules,
    /// How many nodes have gone, by their waves.
    pub(super) gone_by_wave: Vec<u32>,
    /// One of those that went last.
    pub(super) last_gone: Option<&'a Text>,
    /// Nodes of the new image that are proven.
    pub(crate) proven: u32,
    /// Nodes of the new image that are not proven yet.
    pub(crate) arriving: u32,
}

impl Exchange<'_> {
    /// Places that no proven node fills, or new nodes that are not proven, whichever are more.
    fn open(&self) -> u32 {
        self.count_unfilled().max(self.arriving)
    }

    /// How many nodes have gone.
    pub(crate) fn gone(&self) -> u32 {
        self.gone_by_wave.iter().sum()
    }

    pub(super) fn count_unfilled(&self) -> u32 {
        self.gone().saturating_sub(self.proven)
    }
}

/// Whether a node of a pool that is replaced has no trace of Crossfade: its pods have the network of [`Plan::plain_phase`].
pub(super) fn is_plain(plan: &Plan, node: &Node, place: Option<Place>) -> bool {
    node.is_silent() && (place.is_some() || node.is_ready) && plan.rotates(&node.pool)
}

/// What becomes of a node of a pool that this pass replaces. One that joined without a word is new as long as it is not Ready: kubelet waits for a network. If
/// it has waited for its turn, it was Ready before.
///
/// One that its pipeline takes away whatever becomes of it leaves as well, in its turn, instead of at once: a person has brought it to the phase of the image, or
/// the run goes back and it could stay.
pub(super) fn turnover(
    direction: Direction,
    node: &Node,
    target: Phase,
    place: Option<Place>,
    is_lost: bool,
) -> Turnover {
    let is_nameless = place.is_none() && node.is_silent();
    let has_turn = node.step.as_ref().is_some_and(|step| step.state.is_left_to_pipeline());
    match direction {
        Direction::Forth | Direction::Final | Direction::Back if is_lost => Turnover::Leaves,
        Direction::Forth if node.phase() == Some(target) || is_nameless && !node.is_ready && !has_turn => {
            Turnover::Arrives
        }
        Direction::Forth => Turnover::Leaves,
        Direction::Final if node.is_silent() => Turnover::Arrives,
        Direction::Final => Turnover::Leaves,
        Direction::Back if is_nameless => Turnover::Arrives,
        Direction::Back if cannot_return(node) => Turnover::Leaves,
        Direction::Back => Turnover::Stays,
    }
}

/// Whether a pipeline takes a node away whatever becomes of the run and of the node: it has begun with one that it may have, or it has decided for good, and the
/// node waits for its turn or has had it.
pub(super) fn is_lost(plan: &Plan, world: &World, run: &Run, name: &Text, node: &Node) -> bool {
    let Some(pipeline) = pipeline::for_method(plan.method(&node.pool)) else { return false };
    is_begun(node, run)
        || pipeline.is_final(world, name) && (has_turn(node, run) || pipeline.is_held(world, name, node))
}

/// Whether a pipeline may take a node away in this pass.
pub(super) fn has_turn(node: &Node, run: &Run) -> bool {
    let may_go = |step: &Step| step.state == State::Permitted && is_of_pass(step, run);
    node.step.as_ref().is_some_and(may_go)
}

/// Whether a pipeline has begun with a node that it may take away in this pass, or may have.
pub(crate) fn is_begun(node: &Node, run: &Run) -> bool {
    has_turn(node, run) && has_begun(node)
}

/// Whether a node that is to be replaced may hold a place that the plan has for another one of its pool.
pub(super) fn goes_in_own_order(view: &View<'_>, status: &NodeStatus<'_>) -> bool {
    let order = |direction| has_own_order(direction, view.pipeline(status.node));
    status.turnover == Turnover::Leaves && view.nodes.direction().is_some_and(order)
}

/// Whether the plan's places of a pool say how many nodes go, and not which ones: its pipeline chooses, or the plan does not know the nodes.
fn has_own_order(direction: Direction, pipeline: &dyn PipelineRules) -> bool {
    direction == Direction::Back || pipeline.has_own_order()
}

/// Gives the places of such pools to their nodes: those that have gone hold the first ones, then come nodes that may go, nodes that the pipeline asks for,
/// those first with which it has begun, and all others in the plan's order. Of the nodes that it asks for, those with DNS pods come last: such a pod may be
/// needed until another node has gone, which must not wait for that place. On the way back, nodes of the earlier image that never went keep their own places.
pub(super) fn take_places(
    directions: &HashMap<&str, Direction>,
    all: &mut [NodeStatus<'_>],
    plan: &Plan,
    run: &Run,
    world: &World,
) {
    let dns_nodes = world.pods.dns_nodes();
    for pool in &plan.pools {
        let direction = directions.get(&*pool.name).copied();
        let Some((direction, pipeline)) = direction.zip(pipeline::for_method(pool.method)) else { continue };
        if !has_own_order(direction, pipeline) {
            continue;
        }
        let is_back = direction == Direction::Back;
        let stay = all.iter().filter(|status| is_back && status.turnover == Turnover::Stays);
        let stay: HashSet<Place> = stay.filter_map(|status| status.place).collect();
        let is_of_pool =
            |planned: &PlannedNode| planned.pool == pool.name && !run.skipped.contains_key(&planned.name);
        let of_wave = |(wave, planned): (usize, &Wave)| {
            let indices = planned.nodes.iter().enumerate().filter(|(_, planned)| is_of_pool(planned));
            let places = indices.map(|(index, _)| Place { wave, index });
            places.filter(|place| !stay.contains(place)).collect::<Vec<_>>()
        };
        let places: Vec<Place> = plan.waves.iter().enumerate().flat_map(of_wave).collect();
        let is_member = |status: &&mut NodeStatus<'_>| {
            status.turnover == Turnover::Leaves
                && status.node.pool == pool.name
                && !run.skipped.contains_key(status.name)
        };
        let turn = |status: &&mut NodeStatus<'_>| {
            let may_go = matches!(status.standing, Standing::Transit(step) if step.state == State::Permitted);
            let is_requested = pipeline.asks(world, run, status.name, status.node) == Some(true);
            let is_begun = is_requested && status.node.is_going && pipeline.has_begun(world, status.node);
            let goes_late = is_requested && dns_nodes.contains(status.name);
            (!may_go, !is_begun, !is_requested, goes_late, status.place.is_none(), status.place)
        };
        let mut members: Vec<&mut NodeStatus<'_>> = all.iter_mut().filter(is_member).collect();
        members.sort_by_key(turn);
        // One that joined later has no place of its own, and may take that of another one. All that find none are of the pool's last wave,
        // or of the plan's where all that the plan names are skipped: in waves of their zones they would wait for each other.
        let planned = members.iter().filter(|status| is_back || status.place.is_some()).count();
        let end = || plan.waves.len().checked_sub(1).map(|wave| Place { wave, index: usize::MAX });
        let last = places.last().copied().or_else(end);
        let mut places = places.iter().copied().skip(places.len().saturating_sub(planned));
        for status in members {
            status.place = places.next().or(last).or(status.place);
        }
    }
}

/// The places of all pools whose nodes this pass replaces.
pub(super) fn exchanges<'a>(direction: Direction, nodes: &Nodes<'a>, run: &Run) -> Vec<Exchange<'a>> {
    let plan = nodes.plan;
    let empty = |pool: &'a Pool| {
        Some(Exchange {
            pool: &pool.name,
            pipeline: pipeline::for_method(pool.method)?,
            gone_by_wave: vec![0; plan.waves.len()],
            last_gone: None,
            proven: 0,
            arriving: 0,
        })
    };
    let is_replaced = |pool: &&Pool| nodes.direction_of(&pool.name).is_some();
    let mut all: Vec<Exchange<'a>> = plan.pools.iter().filter(is_replaced).filter_map(empty).collect();
    let index: HashMap<&str, usize> =
        all.iter().enumerate().map(|(index, exchange)| (&**exchange.pool, index)).collect();
    let mut sizes = vec![vec![0_u32; plan.waves.len()]; all.len()];
    for (wave, planned) in plan
        .waves
        .iter()
        .enumerate()
        .flat_map(|(wave, wave_nodes)| wave_nodes.nodes.iter().map(move |node| (wave, node)))
    {
        let Some(index) = index.get(&*planned.pool).filter(|_| !run.skipped.contains_key(&planned.name))
        else {
            continue;
        };
        let is_there =
            |status: &&NodeStatus<'_>| status.node.uid == planned.uid && status.turnover != Turnover::Arrives;
        sizes[*index][wave] += 1;
        if nodes.get(&planned.name).filter(is_there).is_none() {
            all[*index].gone_by_wave[wave] += 1;
            all[*index].last_gone = Some(&planned.name);
        }
    }
    if direction == Direction::Back {
        // Nodes of the new image hold the places of those that have gone, as long as they are there.
        let planned: HashSet<&Text> =
            plan.waves.iter().flat_map(|wave| &wave.nodes).map(|node| &node.uid).collect();
        let holds_place = |status: &&NodeStatus<'_>| {
            status.turnover != Turnover::Arrives && !planned.contains(&status.node.uid)
        };
        for status in nodes.all().iter().filter(holds_place) {
            let Some(index) = index.get(&*status.node.pool) else { continue };
            if let Some(gone) = all[*index].gone_by_wave.iter_mut().rev().find(|gone| **gone > 0) {
                *gone -= 1;
            }
        }
    }
    let has_own_order = |exchange: &Exchange<'_>| has_own_order(direction, exchange.pipeline);
    for (exchange, sizes) in all.iter_mut().zip(sizes).filter(|(exchange, _)| has_own_order(exchange)) {
        let mut remaining: u32 = exchange.gone_by_wave.iter().sum();
        for (gone, size) in exchange.gone_by_wave.iter_mut().zip(sizes) {
            *gone = size.min(remaining);
            remaining -= *gone;
        }
    }
    for status in nodes.all().iter().filter(|status| status.turnover == Turnover::Arrives) {
        let Some(index) = index.get(&*status.node.pool) else { continue };
        if is_proven(status, run) {
            all[*index].proven += 1;
        } else if is_arriving(status, run) {
            all[*index].arriving += 1;
        }
    }
    all
}

/// Whether a node is on its way already.
pub(super) fn is_going(view: &View<'_>, status: &NodeStatus<'_>) -> bool {
    let NodeStatus { node, turnover, .. } = *status;
    node.is_going && (turnover != Turnover::Leaves || view.pipeline(node).has_begun(view.world, node))
}

/// How many nodes are drained without any of them showing it: a pipeline that cannot be held marks all nodes of its pool at once, and drains one after the other.
pub(super) fn hidden_drains(view: &View<'_>) -> u32 {
    let is_hidden = |exchange: &&Exchange<'_>| {
        let is_marked = |status: &&NodeStatus<'_>| {
            status.turnover == Turnover::Leaves && status.node.is_going && status.node.pool == *exchange.pool
        };
        let mut marked = view.nodes().filter(is_marked).peekable();
        !exchange.pipeline.can_hold(view.world)
            && marked.peek().is_some()
            && !marked.any(|status| is_going(view, status))
    };
    u32::try_from(view.nodes.exchanges().iter().filter(is_hidden).count()).unwrap_or(u32::MAX)
}

/// How many places of all pools are open.
pub(super) fn open_places(view: &View<'_>) -> u32 {
    view.nodes.exchanges().iter().map(Exchange::open).sum()
}

/// Whether the run keeps the pipeline from a node, or has nothing to do that with.
fn has_lever(view: &View<'_>, status: &NodeStatus<'_>) -> bool {
    let NodeStatus { name, node, .. } = *status;
    let pipeline = view.pipeline(node);
    !pipeline.can_hold(view.world) || waits_in_pass(view, node) && pipeline.is_held(view.world, name, node)
}

/// Whether a node bears a step that waits.
pub(super) fn is_waiting(node: &Node) -> bool {
    node.step.as_ref().is_some_and(|step| step.state == State::Waiting)
}

fn waits_in_pass(view: &View<'_>, node: &Node) -> bool {
    is_waiting(node) && node.step.as_ref().is_some_and(|step| is_of_pass(step, view.run))
}

/// A node whose Machine the run holds, where no Machines are known; none if the run holds none.
#[must_use]
pub fn without_machines<'a>(world: &'a World, run: &Run, plan: &Plan) -> Option<&'a Text> {
    let is_held = |(name, node): &(&Text, &std::sync::Arc<Node>)| {
        let step = node.step.as_ref().filter(|step| is_of_run(step, run) && !run.skipped.contains_key(*name));
        plan.method(&node.pool) == Method::ClusterApi
            && step.is_some_and(|step| step.state.is_left_to_pipeline())
    };
    let is_unknown = world.machines.is_none();
    world.nodes.iter().find(is_held).map(|(name, _)| name).filter(|_| is_unknown)
}

/// Whether a node waits for its turn in a run that goes on.
pub(super) fn is_kept(view: &View<'_>, status: &NodeStatus<'_>) -> bool {
    status.turnover == Turnover::Leaves
        && status.standing == Standing::Pending
        && waits_in_pass(view, status.node)
}

/// Whether the run goes on keeping a pipeline from a node that it does not have replaced any more: the run was turned or the node is skipped, and the pipeline
/// may still want the new image. It would take all such nodes at once.
pub(super) fn keeps_lever(view: &View<'_>, status: &NodeStatus<'_>) -> bool {
    let is_of_run = status.node.step.as_ref().is_some_and(|step| is_of_run(step, view.run));
    is_of_run && is_left_alone(view, status)
}

/// The same of a node that does not say that the run has kept a pipeline from it.
pub(super) fn is_left_alone(view: &View<'_>, status: &NodeStatus<'_>) -> bool {
    let NodeStatus { name, node, turnover, .. } = *status;
    let pipeline = view.pipeline(node);
    (turnover == Turnover::Stays || view.run.skipped.contains_key(name))
        && view.run.target().is_some()
        && view.plan.rotates(&node.pool)
        && pipeline.acts_alone()
        && pipeline.can_hold(view.world)
}

/// Whether a pipeline that was let have a node has begun with it, or may have.
fn has_begun(node: &Node) -> bool {
    node.is_cordoned || node.is_going || !node.is_ready
}

/// Holds a node again that a pipeline may take and has not begun with. None if the run has nothing to hold it with.
fn hold_again(view: &View<'_>, status: &NodeStatus<'_>) -> Option<Patch> {
    let NodeStatus { name, node, .. } = *status;
    let pipeline = view.pipeline(node);
    let may_go = |step: &Step| step.state == State::Permitted && is_of_run(step, view.run);
    if !node.step.as_ref().is_some_and(may_go)
        || has_begun(node)
        || !pipeline.acts_alone()
        || !pipeline.can_hold(view.world)
    {
        return None;
    }
    let (mut patch, mut step) = (Patch::new(name, node), step_of(view, node, State::Waiting));
    pipeline.hold(node, &mut patch, &mut step);
    patch.step = Change::Set(step);
    Some(patch)
}

/// What is done once everything is stopped: nodes that may go are held again, as long as their pipelines have not begun with them.
pub(super) fn hold_all(view: &View<'_>) -> Vec<Act> {
    let is_kept = |status: &&NodeStatus<'_>| status.turnover == Turnover::Leaves || keeps_lever(view, status);
    let kept = view.nodes().filter(is_kept);
    let mut acts: Vec<Act> = kept.filter_map(|status| hold_again(view, status)).map(act).collect();
    let sets = |act: &Act| matches!(act, Act::Hook(hook) if hook.run.is_some());
    acts.extend(cluster_api::hooks(view).into_iter().filter(sets));
    acts
}

/// How the pipelines of nodes that are skipped, and that the run still holds, get them.
pub(super) fn held_waits(view: &View<'_>) -> Vec<Wait> {
    let wait = |status: &NodeStatus<'_>| {
        let NodeStatus { name, node, standing, .. } = *status;
        let pipeline = view.pipeline(node);
        let is_held = standing == Standing::Skipped
            && keeps_lever(view, status)
            && pipeline.is_held(view.world, name, node);
        let release = pipeline.release(view.world, name);
        let what = "it is skipped, and the run keeps its pipeline from it";
        (is_held && !release.is_empty()).then(|| {
            Wait::new(Subject::node(name), Reason::Undisturbed, what).help(format!("to let it go: {release}"))
        })
    };
    view.nodes().filter_map(wait).take(NAMED).collect()
}

/// Nodes that are to be kept from their pipelines before the first of them may go, and are not.
fn without_lever<'v, 'a: 'v>(view: &'v View<'a>) -> impl Iterator<Item = &'a NodeStatus<'a>> + use<'v, 'a> {
    let is_waiting_to_go = |status: &&NodeStatus<'_>| {
        status.turnover == Turnover::Leaves && status.standing == Standing::Pending && !is_going(view, status)
    };
    view.nodes().filter(is_waiting_to_go).filter(|status| !has_lever(view, status))
}

/// What is done about nodes that are replaced, beside letting them go: they are kept from their pipelines and given back, and new ones are proven.
pub(super) fn acts(view: &View<'_>) -> Vec<Act> {
    let mut acts = give_back(view);
    acts.extend(without_lever(view).take(LEVERS).filter_map(|status| keep(view, status)).map(act));
    let proven = view.nodes().filter(|status| is_arriving(status, view.run));
    acts.extend(
        proven.filter(|status| shortfall(view, status).is_none()).map(|status| act(prove(view, status))),
    );
    acts
}

fn act(patch: Patch) -> Act {
    Act::Patch(Box::new(patch))
}

/// A step of this run's pass in this state; what an earlier step of the node remembers stays.
fn step_of(view: &View<'_>, node: &Node, state: State) -> Step {
    let borne = node.step.as_ref();
    Step {
        run: view.run.id.clone(),
        plan: canon::shorten_hash(&view.run.plan).to_owned(),
        epoch: view.world.epoch,
        claim: view.run.claim(1),
        to: view.target,
        state,
        cordon: borne.filter(|step| is_of_run(step, view.run)).and_then(|step| step.cordon),
        since: Some(view.world.since()),
        r#try: 1,
        why: None,
        undisturbed: borne.is_some_and(|step| step.undisturbed),
    }
}

/// Keeps a pipeline from a node, and the scheduler, too: pods that move must not move there, since they would move twice. None if the Node says so already.
fn keep(view: &View<'_>, status: &NodeStatus<'_>) -> Option<Patch> {
    let NodeStatus { name, node, .. } = *status;
    let mut patch = Patch::new(name, node);
    let mut step = step_of(view, node, State::Waiting);
    view.pipeline(node).hold(node, &mut patch, &mut step);
    patch.step = Change::Set(step);
    patch.fence = (view.plan.limits.fence && !node.is_fenced).then_some(true);
    // What else holds it may be no part of the Node.
    (!waits_in_pass(view, node) || patch.undisturbed.is_some()).then_some(patch)
}

/// Gives back what the run has no right to keep any more: it is over, or the node is skipped or stays and no pipeline would take it at once.
pub(super) fn give_back(view: &View<'_>) -> Vec<Act> {
    let mut acts = Vec::new();
    for status in view.nodes() {
        let NodeStatus { name, node, standing, turnover, .. } = *status;
        let is_free = !matches!(standing, Standing::Foreign(_)) && foreign_step(node, view.run).is_none();
        let Some(step) = node.step.as_ref().filter(|_| is_free) else {
            continue;
        };
        if let Some(patch) = release_held(view, status, step) {
            acts.push(act(patch));
            continue;
        }
        let is_lever = step.state.is_left_to_pipeline() || step.undisturbed && !step.state.is_in_transit();
        let is_wanted = turnover == Turnover::Leaves
            && is_of_pass(step, view.run)
            && !view.run.skipped.contains_key(name)
            && view.run.target().is_some();
        // The run leaves nothing on nodes without Crossfade that no later run needs.
        let is_trace = step.state == State::Done
            && view.run.target().is_none()
            && view.plan.is_final()
            && status.is_plain
            && is_of_run(step, view.run);
        // A step of another run that waits is taken over.
        if !(is_lever || is_trace)
            || is_wanted
            || (turnover == Turnover::Leaves && standing == Standing::Pending)
        {
            continue;
        }
        let keeps = keeps_lever(view, status);
        if keeps && step.state != State::Permitted {
            continue;
        }
        let is_held_on = keeps || turnover == Turnover::Leaves && view.run.target().is_some();
        if let Some(patch) = hold_again(view, status).filter(|_| is_held_on) {
            acts.push(act(patch));
            continue;
        }
        let mut patch = Patch::new(name, node);
        patch.step = Change::Remove;
        patch.undisturbed = (step.undisturbed && node.is_undisturbed).then_some(false);
        patch.fence = node.is_fenced.then_some(false);
        patch.cordon = (is_of_run(step, view.run) && is_ours(node, step)).then_some(false);
        acts.push(act(patch));
    }
    acts.extend(cluster_api::hooks(view));
    acts
}

/// Gives back what keeps the pipeline from a node that is held when the run is over. Its step stays: a person has still to look at it.
fn release_held(view: &View<'_>, status: &NodeStatus<'_>, step: &Step) -> Option<Patch> {
    if view.run.target().is_some() || step.state != State::Held || !step.undisturbed {
        return None;
    }
    let mut patch = Patch::new(status.name, status.node);
    patch.undisturbed = status.node.is_undisturbed.then_some(false);
    patch.step = Change::Set(Step { undisturbed: false, epoch: view.world.epoch, ..step.clone() });
    Some(patch)
}

/// The patch that lets a pipeline take a node away.
pub(super) fn permit(view: &View<'_>, status: &NodeStatus<'_>) -> Patch {
    let NodeStatus { name, node, .. } = *status;
    let mut patch = Patch::new(name, node);
    let mut step = step_of(view, node, State::Permitted);
    patch.undisturbed = (step.undisturbed && node.is_undisturbed).then_some(false);
    step.undisturbed = false;
    patch.step = Change::Set(step);
    patch
}

/// The patch that counts a new node as one that fills a place.
fn prove(view: &View<'_>, status: &NodeStatus<'_>) -> Patch {
    let mut patch = Patch::new(status.name, status.node);
    let step = step_of(view, status.node, State::Done);
    // One that was held before it came to the image's phase still bears what kept its pipeline from it.
    patch.undisturbed = (step.undisturbed && status.node.is_undisturbed).then_some(false);
    patch.step = Change::Set(Step { undisturbed: false, ..step });
    patch.fence = status.node.is_fenced.then_some(false);
    patch
}

/// Whether a node is to be replaced, and its pipeline asks for it.
pub(super) fn is_requested(view: &View<'_>, status: &NodeStatus<'_>) -> bool {
    let asks = || view.pipeline(status.node).asks(view.world, view.run, status.name, status.node);
    status.turnover == Turnover::Leaves && asks() == Some(true)
}

/// A wait for a node that has reported nothing in this boot, so that it may be of the image that comes: another machine may be under its Node by now. None if its
/// pipeline takes it away whatever it is.
pub(super) fn unknown_image_wait(view: &View<'_>, status: &NodeStatus<'_>) -> Option<Wait> {
    if view.pipeline(status.node).is_final(view.world, status.name) {
        return None;
    }
    let (now, limit) = (view.world.now, arrival_limit(view));
    let since = view.memory.unreported_for(status.name, now);
    arrival::outdated_report(view, status).map(|wait| wait.limited(since, limit, now))
}

/// Why a node that is to be replaced may not go yet, beside what keeps every node from starting; none if it is its turn.
pub(super) fn turn_of_node(
    view: &View<'_>,
    status: &NodeStatus<'_>,
    unasked: &mut usize,
) -> Result<(), Option<Wait>> {
    let NodeStatus { name, node, .. } = *status;
    if let Some(wait) = view.pipeline(node).obstacle(view.world, view.run, name, node) {
        if wait.is_held {
            return Err(Some(wait));
        }
        *unasked += 1;
        return Err((*unasked <= NAMED).then_some(wait));
    }
    if let Some(wait) = unknown_image_wait(view, status) {
        return Err(Some(wait));
    }
    if without_lever(view).next().is_some() {
        let what =
            "all nodes that are to be replaced are kept from their pipelines before the first one goes";
        return Err(Some(Wait::new(Subject::Run, Reason::Leaving, what)));
    }
    if let Some(other) = other_member(view, status) {
        let what = format!("node {other} has pods of the same group, and is not replaced yet");
        return Err(Some(Wait::new(Subject::node(name), Reason::OneAtATime, what)));
    }
    let dns = view.pods_on(name).filter(|pod| pod.has_trait(Trait::Dns) && !view.is_leaving(pod));
    match dns.filter_map(|pod| turn_wait(view, pod)).next() {
        Some(wait) => Err(Some(wait)),
        None => Ok(()),
    }
}

/// The wave of the stateful group of which a node has pods, as the plan has it: a pipeline that chooses its order takes nodes in the places of others.
pub(super) fn group_of<'a>(plan: &'a Plan, node: &Node) -> Option<&'a Wave> {
    let has = |wave: &&Wave| wave.nodes.iter().any(|planned| planned.uid == node.uid);
    plan.waves.iter().filter(|wave| wave.kind == WaveKind::Stateful).find(has)
}

/// Another node with pods of the same stateful group that may go, or that has gone while a place of its pool is open.
fn other_member<'a>(view: &View<'a>, status: &NodeStatus<'_>) -> Option<&'a Text> {
    // On the way back, nodes that joined later have the pods.
    view.nodes.direction().filter(|direction| *direction != Direction::Back)?;
    let group = group_of(view.plan, status.node)?;
    let mut others = group.nodes.iter().filter(|planned| planned.uid != status.node.uid);
    let is_away = |planned: &&PlannedNode| {
        let known = view.nodes.get(&planned.name).filter(|other| other.node.uid == planned.uid);
        match known {
            Some(other) if other.turnover == Turnover::Arrives => false,
            Some(other) => {
                matches!(other.standing, Standing::Transit(step) if step.state == State::Permitted)
                    || view.memory.pending_patches().has_permitted(other.name)
            }
            None => {
                let is_of_pool = |exchange: &&Exchange<'_>| *exchange.pool == planned.pool;
                view.nodes.exchanges().iter().find(is_of_pool).is_some_and(|exchange| exchange.open() > 0)
            }
        }
    };
    others.find(is_away).map(|planned| &planned.name)
}

/// What comes next for a node that its pipeline may take away.
pub(super) fn decide_permitted(
    view: &View<'_>,
    name: &Text,
    node: &Node,
    step: &Step,
) -> (Option<Act>, Option<Wait>) {
    let is_wanted = view.nodes.get(name).is_some_and(|status| status.turnover == Turnover::Leaves);
    if !is_wanted || !is_of_pass(step, view.run) || view.run.skipped.contains_key(name) {
        return (None, None);
    }
    let pipeline = view.pipeline(node);
    let has_begun = node.is_cordoned || !node.is_ready;
    if pipeline.asks(view.world, view.run, name, node) == Some(false) && !has_begun {
        let mut patch = Patch::new(name, node);
        patch.step = Change::Set(set_state(step, State::Waiting, view.world));
        return (Some(act(patch)), None);
    }
    let limit = Duration::from_secs(view.plan.limits.move_seconds.into());
    let since = view.memory.since(name, view.world.now);
    let (what, help) = pipeline.departure(view.world, name);
    let wait = Wait::new(Subject::node(name), Reason::Leaving, what).help(help);
    (None, Some(wait.limited(since, limit, view.world.now)))
}

/// R15: a node of a pool that is replaced goes only if all such nodes are kept from their pipelines, and no more are on their way than its wave allows, those
/// included that this step has let go before it.
pub(super) fn too_many_reason(view: &View<'_>, status: &NodeStatus<'_>, decided: usize) -> Option<String> {
    if let Some(other) = without_lever(view).next() {
        return Some(format!("node {} is not kept from its pipeline yet", other.name));
    }
    if let Some(other) = other_member(view, status) {
        return Some(format!("node {other} has pods of the same group, and is not replaced yet"));
    }
    // One that does not show it yet holds its place already.
    let is_permitted = |other: &&NodeStatus<'_>| {
        let may_go = matches!(other.standing, Standing::Transit(step) if step.state == State::Permitted);
        other.name != status.name && (may_go || view.memory.pending_patches().has_permitted(other.name))
    };
    let permitted = view.nodes().filter(is_permitted).count() + decided;
    let open = open_places(view) as usize;
    let wave = status.place.and_then(|place| view.plan.waves.get(place.wave)).or(view.plan.waves.last());
    let most = wave.map_or(1, |wave| wave.at_once) as usize;
    (permitted + open >= most)
        .then(|| format!("{permitted} nodes may go, {open} places are open, and its wave has {most} at once"))
}
