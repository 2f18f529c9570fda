//! Which nodes start next, and why none does.

use std::time::Duration;

use snapshot::model::Text;
use types::policy::Phase;
use types::quote::quote;
use types::step::{Cordon, State, Step};

use super::act::{Act, Change, Patch};
use super::capacity::{self, Guard};
use super::memory::is_of;
use super::nodes::{NodeStatus, Standing, foreign as foreign_step};
use super::places::{Places, full, full_by, is_asked_back, unfit};
use super::transit::disconnection_wait;
use super::view::{View, is_done, is_ours, is_unheard, patch};
use super::wait::{Reason, Wait};
use super::waves::{bounded, is_within, wave};
use super::world::Node;
use super::{gates, soak, workload};
use crate::plan::canon;

/// How many Nodes get or lose the taint in one step.
const FENCES: usize = 20;
/// Longest name of a pool or zone in words, in bytes.
const NAMED: usize = 64;
/// Seconds of an hour: the pace is per hour.
const HOUR: Duration = Duration::from_hours(1);

/// What starts, and why no more does.
#[derive(Debug, Default)]
pub(super) struct Starts {
    /// Claims.
    pub(super) acts: Vec<Act>,
    /// Why no more nodes start.
    pub(super) waits: Vec<Wait>,
    /// Everything within the run's bounds is done.
    pub(super) is_bounded: bool,
}

/// Nodes in a phase that this pass forbids: new ones of an image that is too far, or flipped by hand.
///
/// They are taken at once: nothing lands on them any more, and they are brought to a phase that other nodes have.
#[must_use]
pub(super) fn intruders(view: &View<'_>, places: &mut Places) -> Vec<Act> {
    let is_intruder = |status: &&NodeStatus<'_>| {
        status.standing == Standing::Pending
            && view.is_foreign(status)
            && !status.node.is_going
            && status.node.is_ready
    };
    let is_moving = |status: &NodeStatus<'_>| {
        matches!(status.standing, Standing::Transit(step) if step.state != State::Held)
            || view.memory.pending_patches().has_claimed(status.name)
    };
    // One at a time goes also where no place is left: each of them parts pods as long as it is there.
    let has_other = view.nodes().any(|status| is_moving(status) && view.is_foreign(status));
    let mut room = places.most.saturating_sub(places.taken).max(u32::from(!has_other));
    let mut acts = Vec::new();
    for status in view.nodes().filter(is_intruder) {
        let (name, node) = (status.name, status.node);
        // One whose claim's answer was lost has its place, and is asked once more.
        let has_place = view.memory.pending_patches().has_claimed(name);
        if !has_place && room == 0 {
            continue;
        }
        room -= u32::from(!has_place);
        if let Some(to) = permitted(view, name, node) {
            if !has_place {
                places.add(status);
            }
            acts.push(Act::Patch(Box::new(claim(view, name, node, to))));
        }
    }
    acts
}

/// The phase of this pass that a node may go to, since that parts nobody: where it leads, or where it begins.
#[must_use]
pub(super) fn permitted(view: &View<'_>, name: &str, node: &Node) -> Option<Phase> {
    [view.target, view.run.from].into_iter().find(|to| view.lost_connectivity(name, node, *to).is_none())
}

/// Nodes that somebody asked to bring back, and that no step is doing yet.
#[must_use]
pub(super) fn rollbacks(view: &View<'_>, places: &mut Places) -> (Vec<Act>, Vec<Wait>) {
    let (mut acts, mut waits) = (Vec::new(), Vec::new());
    let to = view.run.from;
    for status in view.nodes() {
        let NodeStatus { name, node, standing, .. } = *status;
        if !is_asked_back(view, name) || standing != Standing::Skipped || is_back(view, node) {
            continue;
        }
        if let Some(step) = foreign_step(node, view.run) {
            waits.push(foreign_run(name, step));
            continue;
        }
        let has_place = view.memory.pending_patches().has_claimed(name);
        let has_room = if has_place { places.is_within(status) } else { places.has_room(status) };
        if !has_room {
            waits.push(full(format!("Node/{name}")));
            continue;
        }
        let mut to = to;
        if let Some((client, server)) = view.lost_connectivity(name, node, to) {
            // It may have pods that have to go first, in a phase that parts nobody.
            let Some(other) = permitted(view, name, node) else {
                waits.push(disconnection_wait(format!("Node/{name}"), client, server));
                continue;
            };
            to = other;
        }
        if !has_place {
            places.add(status);
        }
        acts.push(Act::Patch(Box::new(claim(view, name, node, to))));
    }
    (acts, waits)
}

/// Whether a node is back where this pass began, and nobody is moving it.
#[must_use]
pub(super) fn is_back(view: &View<'_>, node: &Node) -> bool {
    let is_moving = |step: &Step| is_of(step, view.run) && step.state.is_in_transit();
    is_done(node, view.run.from) && !node.step.as_ref().is_some_and(is_moving)
}

/// The patch that takes a node.
fn claim(view: &View<'_>, name: &Text, node: &Node, to: Phase) -> Patch {
    let mut patch = patch(name, node);
    let tried = next_try(view, node);
    let sets = capacity::takes_room(view, node);
    patch.cordon = sets.then_some(true);
    let is_ours = sets || node.step.as_ref().is_some_and(|step| is_of(step, view.run) && is_ours(node, step));
    patch.step = Change::Set(Step {
        run: view.run.id.clone(),
        plan: canon::short(&view.run.plan).to_owned(),
        epoch: view.world.epoch,
        claim: view.run.claim(tried),
        to,
        state: State::Claimed,
        cordon: if is_ours { Some(Cordon::Ours) } else { node.is_cordoned.then_some(Cordon::Theirs) },
        since: Some(view.world.since()),
        r#try: tried,
        why: None,
    });
    patch
}

/// The number of a node's next try in this pass.
pub(super) fn next_try(view: &View<'_>, node: &Node) -> u32 {
    // Where somebody took the step away, the node still repeats its claim: another one must not be answered by that.
    let before = node.step.as_ref().map(|step| step.claim.as_str());
    let echo = node.observed.as_ref().and_then(|seen| seen.echo.as_deref());
    let tries = before.into_iter().chain(echo).filter_map(|claim| view.run.tried(claim));
    tries.max().unwrap_or(0).checked_add(1).unwrap_or(1)
}

/// Nodes that start now, after what is done before in the same step.
#[must_use]
pub(super) fn starts(view: &View<'_>, mut places: Places, before: &[Act]) -> Starts {
    let held = unstartable(view, &mut places);
    let Some((index, nodes)) = wave(view) else {
        return Starts { is_bounded: bounded(view) && held.is_empty(), waits: held, ..Starts::default() };
    };
    if !nodes.iter().any(|status| status.standing == Standing::Pending) {
        return Starts { waits: held, ..Starts::default() };
    }
    let wave = &view.plan.waves[index];
    let mut starts = Starts { waits: obstacles(view, index), ..Starts::default() };
    let pending = nodes.iter().copied().filter(|status| status.standing == Standing::Pending);
    if !starts.waits.is_empty() {
        // What keeps the nodes themselves is told as well: it may be the cause.
        starts.waits.extend(pending.filter_map(|status| unfit(view, status.name, status.node)));
        starts.waits.extend(held);
        return starts;
    }
    starts.waits = held;
    let has_place = |status: &NodeStatus<'_>| view.memory.pending_patches().has_claimed(status.name);
    let takes =
        |status: &&&NodeStatus<'_>| matches!(status.standing, Standing::Transit(_)) || has_place(status);
    let mut in_wave = nodes.iter().filter(takes).count();
    let mut left = match view.plan.limits.per_hour {
        0 => usize::MAX,
        most => (most as usize).saturating_sub(view.memory.starts()),
    };
    let (mut is_full, mut kept, mut guard) = (false, 0, Guard::after(view, before));
    for status in pending {
        if let Some(wait) = unfit(view, status.name, status.node) {
            starts.waits.push(wait);
            keeps(view, &mut places, status);
            continue;
        }
        if view.is_foreign(status) {
            // It is taken before all others, to a phase that parts no pods.
            continue;
        }
        if has_place(status) {
            if !places.is_within(status) {
                is_full = true;
                continue;
            }
            if !guard.admit(view, status.name, status.node) {
                continue;
            }
            // Its answer was lost: it is asked once more.
            starts.acts.push(Act::Patch(Box::new(claim(view, status.name, status.node, view.target))));
            continue;
        }
        if !places.has_room(status) || in_wave >= wave.at_once as usize {
            is_full |= kept == 0;
            keeps(view, &mut places, status);
            continue;
        }
        if left == 0 {
            let what = format!("{} nodes started within the hour", view.memory.starts());
            starts.waits.push(Wait::new("Run", Reason::Pace, what).until(view.world.now + HOUR / 60));
            break;
        }
        if !guard.admit(view, status.name, status.node) {
            // It is its turn, so its place stays free: it may start before this holder sees what the nodes after it did.
            places.add(status);
            (in_wave, kept) = (in_wave + 1, kept + 1);
            continue;
        }
        places.add(status);
        (in_wave, left) = (in_wave + 1, left - 1);
        starts.acts.push(Act::Patch(Box::new(claim(view, status.name, status.node, view.target))));
    }
    let (count, wait) = guard.into_act_and_wait();
    starts.acts.extend(count);
    starts.waits.extend(wait);
    if is_full {
        starts.waits.extend(full_by(view, format!("Wave/{}", wave.name)));
    }
    starts
}

/// A node that was left behind, and does not start now, bears the run's cordon: the nodes after it have one place less.
fn keeps(view: &View<'_>, places: &mut Places, status: &NodeStatus<'_>) {
    if view.is_held_since_earlier_pass(status.node) && status.node.is_cordoned {
        places.add(status);
    }
}

/// What keeps every node from starting.
fn obstacles(view: &View<'_>, wave: usize) -> Vec<Wait> {
    let mut waits = Vec::new();
    if !view.world.is_open {
        waits.push(Wait::new("Run", Reason::WindowClosed, "no window of the plan is open"));
    }
    // Stragglers are parted from the others already, and moving them ends that.
    let is_new_phase = !view.run.fixes_stragglers();
    if let Some((client, server)) = view.lost_connectivity_of_pass().filter(|_| is_new_phase) {
        waits.push(disconnection_wait("Run".into(), client, server));
    }
    waits.extend(gates::unmet(view));
    waits.extend(gates::pending(view));
    let is_moving = view.nodes().any(|status| matches!(status.standing, Standing::Transit(_)));
    if !is_moving {
        waits.extend(workload::short(view));
    }
    waits.extend(soak::remaining_soak(view, wave));
    waits
}

/// A wait for a node that another run moves, or says so.
fn foreign_run(name: &str, step: &Step) -> Wait {
    let run = &step.run;
    let help = format!(
        "kubectl annotate node {name} crossfade/step- once nobody works with run {run}; or leave it out: kubectl crossfade skip {name}"
    );
    Wait::held(format!("Node/{name}"), Reason::ForeignRun, format!("it bears a step of run {run}"), help)
}

/// Waits for nodes that the run must not start, each by name. None of them keeps the others from starting.
fn unstartable(view: &View<'_>, places: &mut Places) -> Vec<Wait> {
    let mut waits = Vec::new();
    for status in view.nodes().filter(|status| is_within(view, status.name, status.node)) {
        // One of this run that no holder wrote is told with the nodes in transit.
        if let Standing::Foreign(step) = status.standing
            && !is_of(step, view.run)
        {
            waits.push(foreign_run(status.name, step));
        } else if status.standing == Standing::Pending {
            let unplaced = unplaced(view, status.name, status.node);
            unplaced.iter().for_each(|_| keeps(view, places, status));
            waits.extend(unplaced);
        }
    }
    waits
}

/// A node in a pool or zone that the plan does not know, or in the wave of another zone: a label that changed, a node that joined, or a plan that another
/// program wrote. The plan says nothing of it.
#[must_use]
pub(super) fn unplaced(view: &View<'_>, name: &str, node: &Node) -> Option<Wait> {
    let pools = &view.plan.pools;
    let place = view.nodes.get(name).and_then(|status| status.place);
    let wave = place.and_then(|place| view.plan.waves.get(place.wave));
    let named = |value: &Text| quote(value.as_bytes(), NAMED);
    let what = if !pools.iter().any(|pool| pool.name == node.pool) {
        format!("it is of pool {:?}, which the plan does not know", named(&node.pool))
    } else if !pools.iter().any(|pool| pool.zones.contains(&node.zone)) {
        format!("it is of zone {:?}, which the plan does not know", named(&node.zone))
    } else if let Some(wave) = wave.filter(|wave| !wave.takes(&node.zone)) {
        format!("it is of zone {:?}, and the plan moves it in the wave {}", named(&node.zone), wave.name)
    } else {
        return None;
    };
    let help = format!(
        "correct its label, or make a new plan: kubectl crossfade plan --save; or leave it out: kubectl crossfade skip {name}"
    );
    Some(Wait::held(format!("Node/{name}"), Reason::PlaceUnknown, what, help))
}

/// A wait for each node with pods of a phase that this pass forbids, or may have some, which keeps all others.
pub(super) fn foreign(view: &View<'_>) -> Vec<Wait> {
    let mut waits = Vec::new();
    for &NodeStatus { name, standing, .. } in view.nodes().filter(|node_status| view.is_foreign(node_status))
    {
        let mut wait = Wait::new(
            format!("Node/{name}"),
            Reason::WouldPart,
            "it has pods of a phase that this pass forbids, or hands it out",
        );
        wait.help = format!("kubectl crossfade retry {name}; or: kubectl drain {name} --ignore-daemonsets");
        wait.is_held = match standing {
            Standing::Skipped => true,
            Standing::Transit(step) => step.state == State::Held,
            Standing::LeftOut | Standing::Done | Standing::Foreign(_) | Standing::Pending => false,
        };
        waits.push(wait);
    }
    for name in
        view.nodes().filter(|node_status| is_unheard(node_status.node)).map(|node_status| node_status.name)
    {
        let what = "it is new or was rebooted, and has not said yet which phase its pods have";
        let help = "on the node: systemctl status crossfade-watch";
        waits.push(Wait::new(format!("Node/{name}"), Reason::WouldPart, what).help(help));
    }
    waits
}

/// A wait for a node whose step says that a later holder wrote it, although this one holds the Lease: the node alone is left as it is.
pub(super) fn later(view: &View<'_>, name: &Text, step: &Step) -> Wait {
    let what = format!(
        "its step has epoch {}, and this holder of the Lease has {}: no holder wrote it, so nothing is done with the node",
        step.epoch, view.world.epoch
    );
    let help = format!(
        "find out who writes annotations of the Node, then: kubectl annotate node {name} {}-",
        types::step::KEY
    );
    Wait::held(format!("Node/{name}"), Reason::ForeignRun, what, help)
}

/// Patches that set the taint on nodes that have not moved, and take it from those that have.
#[must_use]
pub(super) fn fences(view: &View<'_>) -> Vec<Act> {
    let is_wrong = |status: &&NodeStatus<'_>| match status.standing {
        Standing::Pending => status.node.is_fenced != view.plan.limits.fence && !status.node.is_going,
        Standing::Done => status.node.is_fenced,
        Standing::Skipped => status.node.is_fenced && foreign_step(status.node, view.run).is_none(),
        Standing::LeftOut | Standing::Transit(_) | Standing::Foreign(_) => false,
    };
    let patches = view.nodes().filter(is_wrong).map(|status| {
        let mut patch = patch(status.name, status.node);
        patch.fence = Some(!status.node.is_fenced);
        Act::Patch(Box::new(patch))
    });
    patches.take(FENCES).collect()
}
