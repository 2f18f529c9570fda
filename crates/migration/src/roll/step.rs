//! One step of a run: the acts that are done now, one API call each, and why the rest waits. Acts of several parts that cannot be done together are sorted out
//! here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use snapshot::model::Text;
use types::api::step::{Cordon, State as NodeState, Step};
use types::policy::Phase;

use super::barrier::{Barrier, barrier};
use super::replacement::pipeline::cluster_api;
use super::replacement::{self, Turnover, arrival};
use super::run::{NodeRequest, Run, State};
use super::start::{self, places};
use super::view::{NodeStatus, Standing, View, foreign_step, is_later, is_of_run};
use super::wait::{Reason, Subject, Wait};
use super::world::{Availability, Lifecycle, Machine, Node, Owner, Pod, Trait};
use super::{budget, transit};
use crate::cni::reach::{self, Way};

/// Nothing is done with a Lease that was renewed longer ago: another holder may take it after 60 s.
pub const FRESH: Duration = Duration::from_secs(40);

/// So long after an eviction the status of its workload tells of it.
const SETTLED: Duration = Duration::from_mins(2);

/// What a step decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// What is done, in this order.
    pub acts: Vec<Act>,
    /// Why the rest waits.
    pub waits: Vec<Wait>,
    /// How the run ends for this holder; none if it goes on.
    pub end: Option<End>,
}

/// How a run ends for its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Every pass is done.
    Done,
    /// Everything within its bounds is done.
    Bounded,
    /// It is paused, and nothing is in transit any more.
    Paused,
    /// Nothing goes on until a person acts.
    Held,
}

/// One API call of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Patches a Node, if it has not changed since it was read.
    Patch(Box<Patch>),
    /// Sets Crossfade's pre-drain hook of a Machine of Cluster API, or takes it away, if the Machine has not changed since it was read.
    Hook(Box<Hook>),
    /// Evicts a pod by its UID.
    Evict(PodId),
    /// Deletes a pod by its UID: no controller makes it again, and the operator accepted that by name.
    Delete(PodId),
    /// Counts all pods.
    Census,
    /// Writes the run, if it has not changed since it was read.
    Record(Box<Run>),
}

/// A change of a Machine's pre-drain hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The name of its Node.
    pub node: Text,
    /// The Machine as the decision was made on it.
    pub machine: Machine,
    /// The run that holds it from now on; none if it may be drained.
    pub run: Option<Text>,
}

/// A patch of one Node. What it does not name stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// The Node's name.
    pub node: Text,
    /// The Node's UID.
    pub uid: Text,
    /// The `resourceVersion` that the decision was made on.
    pub version: Text,
    /// The annotation `crossfade/step`.
    pub step: Change<Step>,
    /// The annotation `crossfade/desired`, to be set.
    pub desired: Option<Phase>,
    /// `spec.unschedulable`.
    pub cordon: Option<bool>,
    /// The taint `crossfade/earlier:PreferNoSchedule`.
    pub fence: Option<bool>,
    /// Whether the taint `readiness.k8s.io/crossfade:NoSchedule` is removed.
    pub lifts_readiness: bool,
    /// The annotation `karpenter.sh/do-not-disrupt`.
    pub undisturbed: Option<bool>,
    /// Conditions of the Node's lifecycle: true for one that is set, false for one that is removed. They are part of the Node's status, so that a patch with
    /// them changes nothing else.
    pub lifecycle: BTreeMap<Lifecycle, bool>,
}

impl Patch {
    /// A patch of this Node, as it was read, that changes nothing yet.
    #[must_use]
    pub fn new(name: &Text, node: &Node) -> Self {
        Self {
            node: name.clone(),
            uid: node.uid.clone(),
            version: node.version.clone(),
            step: Change::Keep,
            desired: None,
            cordon: None,
            fence: None,
            lifts_readiness: false,
            undisturbed: None,
            lifecycle: BTreeMap::new(),
        }
    }

    /// Whether it takes this Node anew: it sets a claim that the Node does not bear, or lets a pipeline take the Node away.
    #[must_use]
    pub fn claims(&self, node: &Node) -> bool {
        let Change::Set(step) = &self.step else { return false };
        match step.state {
            NodeState::Claimed => node.step.as_ref().is_none_or(|borne| borne.claim != step.claim),
            NodeState::Permitted => {
                node.step.as_ref().is_none_or(|borne| borne.state != NodeState::Permitted)
            }
            NodeState::Flipped
            | NodeState::Moving
            | NodeState::Proving
            | NodeState::Settling
            | NodeState::Done
            | NodeState::Held
            | NodeState::Waiting => false,
        }
    }

    /// Whether it lets a pipeline take the node away.
    #[must_use]
    pub fn permits(&self) -> bool {
        matches!(&self.step, Change::Set(step) if step.state == NodeState::Permitted)
    }
}

/// What becomes of a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It stays.
    #[default]
    Keep,
    Set(T),
    /// It is taken away.
    Remove,
}

/// A pod, as a call names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodId {
    pub namespace: Text,
    pub name: Text,
    pub uid: Text,
    pub node: Text,
    pub owner: Option<Owner>,
}

impl PodId {
    /// The pod as a call names it.
    #[must_use]
    pub fn new(pod: &Pod) -> Self {
        Self {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            node: pod.node.clone(),
            owner: pod.owner.clone(),
        }
    }
}

/// Decides what comes next.
#[must_use]
pub fn step(view: &View<'_>) -> Decision {
    let View { world, memory, run, .. } = *view;
    let waits_for_lease = |what: String| Decision {
        waits: vec![Wait::new("Lease/crossfade/crossfade-run", Reason::LeaseStale, what)],
        ..Decision::default()
    };
    if let Some(name) = memory.later_node(world.renewed_at) {
        return waits_for_lease(format!(
            "Node {name} bears a step of a later holder; nothing is done until the Lease is renewed, which shows whether there is one"
        ));
    }
    let is_fresh = world.now.saturating_sub(world.renewed_at) < FRESH;
    if run.state == State::Done {
        return finish(view, is_fresh);
    }
    if !is_fresh {
        return waits_for_lease("the Lease was not renewed in time; nothing is done until it is".into());
    }
    if memory.unwritten_run().is_some() {
        // The API server takes this only if nothing was written since: then what was to be written was not, and never will be.
        return Decision { acts: vec![Act::Record(Box::new(run.clone()))], ..Decision::default() };
    }
    if run.target().is_none() {
        return finish(view, is_fresh);
    }
    if let State::Stopped(pause) = &run.state {
        let mut acts = replacement::hold_all(view);
        retain_compatible(view, &mut acts);
        let end = acts.is_empty().then_some(End::Paused);
        return Decision { acts, waits: vec![paused_wait(&pause.operator, &pause.why)], end };
    }
    if let Some(tidied) = without_met_requests(view) {
        return Decision { acts: vec![Act::Record(Box::new(tidied))], ..Decision::default() };
    }
    let mut decided = decide(view);
    record_moved(view, &mut decided.acts);
    deduplicate_waits(&mut decided.waits);
    decided
}

/// The end of a run: it gives back what it keeps nodes with, and is done then. A holder that ends before leaves the rest to the next one.
fn finish(view: &View<'_>, is_fresh: bool) -> Decision {
    let View { world, memory, run, .. } = *view;
    let mut acts = Vec::new();
    if is_fresh {
        acts.extend(replacement::give_back(view));
        acts.extend(publish_lifecycle(view));
    }
    retain_compatible(view, &mut acts);
    let waits: Vec<Wait> = cluster_api::wait_of_end(view).into_iter().collect();
    // What was sent before the run was turned may have to be given back, once its Node shows it.
    let is_settled = memory.pending_patches().are_settled(world.now);
    let is_clear = acts.is_empty() && waits.is_empty() && (is_settled || !is_fresh);
    if is_clear && run.state != State::Done {
        let done = Run { state: State::Done, ..run.clone() };
        return Decision { acts: vec![Act::Record(Box::new(done))], ..Decision::default() };
    }
    Decision { acts, waits, end: is_clear.then_some(End::Done) }
}

/// The run in its next pass. One that may keep nodes from their pipelines is not done with its last pass: it has still to give them back.
fn next_pass(view: &View<'_>) -> Run {
    let mut next = view.run.next_pass();
    if next.state == State::Done && view.plan.image.is_some() {
        next.state = State::Running;
    }
    next
}

/// Pods go once the run names their workloads as moved, so that the next holder waits for them as well. Those that have all their pods again are named no more.
///
/// The pods of a node that its pipeline may drain go by themselves, so their workloads are named as soon as they are known.
fn record_moved(view: &View<'_>, acts: &mut Vec<Act>) {
    let new = |act: &Act| match act {
        Act::Evict(pod) | Act::Delete(pod) => {
            let owner = pod.owner.clone().filter(|owner| !owner.is_daemon_set())?;
            (!view.run.moved_owners.contains_key(&owner.title())).then_some(owner)
        }
        Act::Patch(_) | Act::Hook(_) | Act::Census | Act::Record(_) => None,
    };
    let drained = owners_drained_by_pipelines(view);
    let unnamed = drained.iter().filter(|owner| !view.run.moved_owners.contains_key(&owner.title()));
    let owners: BTreeSet<Owner> = acts.iter().filter_map(new).chain(unnamed.cloned()).collect();
    if owners.is_empty() {
        return;
    }
    let mut run = view.run.clone();
    // What the status of a workload says may be older than its last eviction.
    let is_late = |owner: &Owner| {
        let moved = view.memory.last_move(owner).map(|(_, time)| *time).or_else(|| view.memory.pass_since());
        moved.is_some_and(|time| view.ago(time) > SETTLED)
    };
    let is_over = |(owner, now): &(&Owner, &Availability)| {
        !now.is_short(0) && is_late(owner) && !drained.contains(*owner)
    };
    for (owner, _) in view.world.owners.iter().filter(is_over) {
        run.moved_owners.remove(&owner.title());
    }
    let desired = |owner: &Owner| view.world.owners.get(owner).map(|now| now.desired);
    run.moved_owners.extend(owners.iter().map(|owner| (owner.title(), desired(owner))));
    if run.moved_owners.keys().map(String::len).sum::<usize>() > Run::MOVED_BYTES {
        return;
    }
    acts.retain(|act| new(act).is_none());
    acts.push(Act::Record(Box::new(run)));
}

/// What makes the pods on nodes that their pipelines may take away, and that come back elsewhere.
fn owners_drained_by_pipelines(view: &View<'_>) -> BTreeSet<Owner> {
    let is_permitted = |status: &&NodeStatus<'_>| {
        status.turnover == Turnover::Leaves
            && matches!(status.standing, Standing::Transit(step) if step.state == NodeState::Permitted)
    };
    let stays = |pod: &Pod| {
        [Trait::HostNetwork, Trait::Finished, Trait::Static].into_iter().any(|what| pod.has_trait(what))
    };
    let pods = view.nodes().filter(is_permitted).flat_map(|status| view.pods_on(status.name));
    let owners = pods.filter(|pod| !stays(pod)).filter_map(|pod| pod.owner.clone());
    owners.filter(|owner| !owner.is_daemon_set()).collect()
}

fn decide(view: &View<'_>) -> Decision {
    let mut decided = Decision { acts: replacement::acts(view), ..Decision::default() };
    decided.waits.extend(arrival::waits(view));
    decided.acts.extend(lift_readiness(view));
    decided.acts.extend(disown_cordons(view));
    let (mut moving, mut room) = (0, places::places_for_held(view));
    for &NodeStatus { name, node, standing, .. } in view.nodes() {
        let Standing::Transit(step) = standing else {
            // It was claimed, and does not show it yet.
            moving += usize::from(view.memory.pending_patches().has_claimed(name));
            if let Standing::Foreign(step) = standing
                && is_of_run(step, view.run)
            {
                decided.waits.push(start::later_holder_wait(view, name, step));
            }
            continue;
        };
        let mut next = transit::decide_next(view, name, node, step);
        if step.state == NodeState::Held && !next.acts.is_empty() {
            if room == 0 {
                next = transit::NextStep {
                    acts: Vec::new(),
                    waits: vec![places::no_place_wait(Subject::node(name))],
                };
            }
            room = room.saturating_sub(1);
        }
        moving += usize::from(step.state != NodeState::Held || !next.acts.is_empty());
        decided.acts.extend(next.acts);
        decided.waits.extend(next.waits);
    }
    let mut places = places::count_places(view, None);
    decided.acts.extend(start::claim_intruders(view, &mut places));
    let (acts, waits) = start::claim_rollbacks(view, &mut places);
    decided.acts.extend(acts);
    decided.waits.extend(waits);
    if let State::Paused(pause) = &view.run.state {
        decided.waits.push(paused_wait(&pause.operator, &pause.why));
        decided.acts.extend(publish_lifecycle(view));
        retain_compatible(view, &mut decided.acts);
        decided.end = (moving == 0 && decided.acts.is_empty()).then_some(End::Paused);
        return decided;
    }
    match barrier(view) {
        Barrier::Over => decided.acts.push(Act::Record(Box::new(next_pass(view)))),
        Barrier::Almost(acts, waits) => {
            decided.acts.extend(acts);
            decided.waits.extend(waits);
        }
        Barrier::NotYet => {
            let starts = start::start_nodes(view, places, &decided.acts);
            decided.acts.extend(starts.acts);
            decided.waits.extend(starts.waits);
            decided.acts.extend(publish_lifecycle(view));
            let is_still = moving == 0 && replacement::open_places(view) == 0;
            if starts.is_bounded && is_still && decided.acts.is_empty() {
                decided.end = Some(End::Bounded);
                return decided;
            }
        }
    }
    if decided.waits.iter().any(|wait| wait.reason == Reason::WouldPart) {
        let foreign = start::foreign_phase_waits(view);
        // Where a person has to act on each of these nodes, the run waits for a person as well.
        let is_held = !foreign.is_empty() && foreign.iter().all(|wait| wait.is_held);
        let of_run = decided
            .waits
            .iter_mut()
            .filter(|wait| wait.reason == Reason::WouldPart && wait.object == Subject::Run);
        of_run.for_each(|wait| wait.is_held |= is_held);
        decided.waits.extend(foreign);
    }
    decided.waits.extend(start::workload_obstacles(view, &decided.waits, moving > 0));
    retain_compatible(view, &mut decided.acts);
    if decided.acts.is_empty() {
        decided.acts = fence_patches(view);
        decided.acts.retain(|act| is_up_to_date(view, act));
    }
    let is_held = |wait: &Wait| wait.is_held || wait.reason == Reason::InTransit;
    let has_hold = decided.waits.iter().any(|wait| wait.is_held);
    if decided.acts.is_empty() && moving == 0 && has_hold && decided.waits.iter().all(is_held) {
        decided.end = Some(End::Held);
    }
    // They keep nothing from going on.
    decided.waits.extend(replacement::held_waits(view));
    decided
}

/// Leaves out what cannot be done together with what is done before it, or on what is known by now.
fn retain_compatible(view: &View<'_>, acts: &mut Vec<Act>) {
    acts.retain(|act| is_up_to_date(view, act) && !is_of_later(view, act));
    budget::retain_one_per_owner(view, acts);
    retain_one_patch_per_node(acts);
    retain_connected(view, acts);
}

/// A Node that this holder has just patched is known as it was before: a patch of that would be a conflict.
fn is_up_to_date(view: &View<'_>, act: &Act) -> bool {
    !matches!(act, Act::Patch(patch) if view.memory.pending_patches().is_outdated(&patch.node))
}

/// A Node whose step no holder up to this one wrote is left as it is.
fn is_of_later(view: &View<'_>, act: &Act) -> bool {
    let Act::Patch(patch) = act else { return false };
    let node = view.world.nodes.get(&patch.node);
    node.is_some_and(|node| is_later(node, view.run, view.world.epoch))
}

/// Of several patches of a Node the first stays: the others were made for what it was before.
fn retain_one_patch_per_node(acts: &mut Vec<Act>) {
    let mut nodes = BTreeMap::new();
    acts.retain(|act| match act {
        Act::Patch(patch) => nodes.insert(patch.node.clone(), ()).is_none(),
        Act::Hook(_) | Act::Evict(_) | Act::Delete(_) | Act::Census | Act::Record(_) => true,
    });
}

/// What several parts of the decision wait for is told once.
fn deduplicate_waits(waits: &mut Vec<Wait>) {
    let mut keys = BTreeSet::new();
    waits.retain(|wait| keys.insert((wait.object.clone(), wait.reason)));
}

fn paused_wait(operator: &str, why: &str) -> Wait {
    Wait::new_held(
        Subject::Run,
        Reason::Paused,
        format!("{operator} paused the run: {why}"),
        "kubectl crossfade roll resume",
    )
}

/// The run without what the operator asked of single nodes and what is met by now; none if nothing is.
fn without_met_requests(view: &View<'_>) -> Option<Run> {
    let is_met = |name: &Text, request: &NodeRequest| {
        let Some(node) = view.world.nodes.get(name) else { return true };
        let step = node.step.as_ref().filter(|step| is_of_run(step, view.run) && step.state.is_in_transit());
        match request {
            NodeRequest::Retry => step.is_none_or(|step| step.state != NodeState::Held),
            NodeRequest::Rollback => match step {
                Some(step) => step.to == view.run.from && step.state != NodeState::Held,
                None => start::is_back(view, name, node),
            },
        }
    };
    if !view.run.requests.iter().any(|(name, request)| is_met(name, request)) {
        return None;
    }
    let mut run = view.run.clone();
    run.requests.retain(|name, request| !is_met(name, request));
    Some(run)
}

/// Patches that take the readiness taint from nodes whose network works in this boot, where the plan has the run do that.
#[must_use]
fn lift_readiness(view: &View<'_>) -> Vec<Act> {
    let is_due = |status: &&NodeStatus<'_>| {
        let node = status.node;
        node.awaits_readiness && node.has_working_network() && foreign_step(node, view.run).is_none()
    };
    let due = view.nodes().filter(|_| view.plan.limits.lift_readiness).filter(is_due);
    due.map(|status| {
        Act::Patch(Box::new(Patch { lifts_readiness: true, ..Patch::new(status.name, status.node) }))
    })
    .collect()
}

/// Patches of Nodes whose cordon of this run was taken away: from then on a cordon is not of this run.
#[must_use]
fn disown_cordons(view: &View<'_>) -> Vec<Act> {
    let mut acts = Vec::new();
    for status in view.nodes().filter(|status| !status.node.is_cordoned) {
        let (name, node) = (status.name, status.node);
        let step =
            node.step.as_ref().filter(|step| is_of_run(step, view.run) && step.cordon == Some(Cordon::Ours));
        let Some(mut step) = step.cloned() else { continue };
        (step.cordon, step.epoch) = (None, view.world.epoch);
        let mut patch = Patch::new(name, node);
        patch.step = Change::Set(step);
        acts.push(Act::Patch(Box::new(patch)));
    }
    acts
}

/// How many Nodes get or lose the taint in one step.
const FENCES: usize = 20;

/// Patches that set the taint on nodes that have not moved, and take it from those that have. Where networks join or leave, no pod looks for another node.
#[must_use]
fn fence_patches(view: &View<'_>) -> Vec<Act> {
    let needs_fence = |status: &NodeStatus<'_>| {
        let restarts = matches!(view.way(status.node, view.target), Way::Restart | Way::Replace);
        view.plan.limits.fence && restarts && status.turnover != Turnover::Arrives
    };
    let is_wrong = |status: &&NodeStatus<'_>| match status.standing {
        Standing::Pending => status.node.is_fenced != needs_fence(status) && !status.node.is_going,
        Standing::Done => status.node.is_fenced,
        Standing::Skipped => status.node.is_fenced && foreign_step(status.node, view.run).is_none(),
        Standing::LeftOut | Standing::Transit(_) | Standing::Foreign(_) => false,
    };
    let patches = view.nodes().filter(is_wrong).map(|status| {
        let mut patch = Patch::new(status.name, status.node);
        patch.fence = Some(!status.node.is_fenced);
        Act::Patch(Box::new(patch))
    });
    patches.take(FENCES).collect()
}

/// How many Nodes get or lose conditions of their lifecycle in one step: other acts come first.
const LIFECYCLES: usize = 8;

/// Patches of Nodes whose conditions are not those of their steps.
///
/// They matter less than all else that is done to a Node: where the answer to an earlier patch is still open, none is made.
fn publish_lifecycle(view: &View<'_>) -> Vec<Act> {
    let patch = |status: &NodeStatus<'_>| {
        let NodeStatus { name, node, standing, .. } = *status;
        let is_free = !matches!(standing, Standing::Foreign(_))
            && foreign_step(node, view.run).is_none()
            && !view.memory.pending_patches().has(name);
        // One that the run only keeps from its pipeline, and does not have replaced, is not to be maintained.
        let is_kept =
            |step: &Step| step.state == NodeState::Waiting && replacement::keeps_lever(view, status);
        let step = node.step.as_ref().filter(|step| is_of_run(step, view.run) && !is_kept(step));
        let lifecycle = lifecycle_changes(node, step.map_or(&[][..], lifecycle_conditions));
        let is_wrong = !lifecycle.is_empty();
        (is_free && is_wrong).then(|| Act::Patch(Box::new(Patch { lifecycle, ..Patch::new(name, node) })))
    };
    view.nodes().filter_map(patch).take(LIFECYCLES).collect()
}

/// The conditions of a Node's lifecycle that are to be true while it bears this step, so that other programs keep off a Node that the run drains, or that a
/// pipeline replaces. A condition that another program has set stays as it is.
///
/// | the node's step | conditions that are true |
/// |---|---|
/// | `waiting` | `MaintenancePlanned` |
/// | `permitted`; `claimed`, `flipped` and `held` under the run's cordon | `MaintenanceInProgress` |
/// | `moving` under the run's cordon | `MaintenanceInProgress`, `DrainInProgress` |
/// | `proving` under the run's cordon | `MaintenanceInProgress`, `Drained` |
/// | any other, or none | none |
///
/// *Source*: Kubernetes, KEP-5683 (kubernetes/kubernetes#139993).
fn lifecycle_conditions(step: &Step) -> &'static [Lifecycle] {
    use Lifecycle::{DrainInProgress, Drained, MaintenanceInProgress, MaintenancePlanned};
    match step.state {
        NodeState::Waiting => &[MaintenancePlanned],
        NodeState::Permitted => &[MaintenanceInProgress],
        _ if step.cordon != Some(Cordon::Ours) => &[],
        NodeState::Claimed | NodeState::Flipped | NodeState::Held => &[MaintenanceInProgress],
        NodeState::Moving => &[MaintenanceInProgress, DrainInProgress],
        NodeState::Proving => &[MaintenanceInProgress, Drained],
        NodeState::Settling | NodeState::Done => &[],
    }
}

/// What has to change: true for a condition that is to be set, false for one that is to be removed.
fn lifecycle_changes(node: &Node, desired: &[Lifecycle]) -> BTreeMap<Lifecycle, bool> {
    let change = |kind: Lifecycle| match (node.lifecycle.get(&kind), desired.contains(&kind)) {
        (None, true) => Some((kind, true)),
        (Some(true), false) => Some((kind, false)),
        (None, false) | (Some(true), true) | (Some(false), _) => None,
    };
    Lifecycle::ALL.into_iter().filter_map(change).collect()
}

/// Of nodes that are asked for a phase in the same step, leaves out those that would part pods from those of a node before them: each was decided as if it were
/// the only one. They are decided anew with the next look.
fn retain_connected(view: &View<'_>, acts: &mut Vec<Act>) {
    if view.is_bridged() {
        return;
    }
    let mut requested: Vec<Phase> = Vec::new();
    acts.retain(|act| {
        let Act::Patch(patch) = act else { return true };
        let Some(to) = patch.desired else { return true };
        if requested.iter().any(|other| reach::is_parted(*other, to)) {
            return false;
        }
        requested.push(to);
        true
    });
}

#[cfg(test)]
mod tests;
