//! The nodes that start next, and the reasons why the others do not.
//!
//! | what keeps a node from starting | reason | decided in |
//! |---|---|---|
//! | the Lease is old, or the run is paused or over | `LeaseStale`, `Paused` | [`step`](super::step) |
//! | no window of the plan is open | `WindowClosed` | [`run_obstacles`] |
//! | pods that reach each other would not any more | `WouldPart` | [`run_obstacles`], [`foreign_phase_waits`] |
//! | a gate is red, or has no fresh verdict | `GateRed`, `GateUnknown` | [`unmet_gates`] |
//! | pods of moved workloads find no node, or workloads miss pods | `PodsPending`, `OwnersShort` | [`unschedulable_pods`], [`short_workloads`] |
//! | an earlier wave soaks, or is not done | `Soak`, none | [`remaining_soak`], [`current_wave`] |
//! | it bears a step of another run or of a later holder | `ForeignRun` | [`foreign_run_wait`], [`later_holder_wait`] |
//! | its pool or zone is none of the plan's | `PlaceUnknown` | [`unplaced_wait`] |
//! | it is going, not Ready, or cordoned by another actor | `NodeGoing`, `NodeNotReady`, `ForeignCordon` | [`places`](places) |
//! | as many nodes as may be are in transit or in trouble | `InTransit` | [`places`](places) |
//! | as many nodes as may be started within the hour | `Pace` | [`start_nodes`] |
//! | the other nodes have no room for its pods | `NoCapacity`, `Census` | [`Guard`] |
//! | it is to be replaced, and its pipeline has not asked for it, or new nodes are late | `NotAsked`, `NotDrifted`, `Leaving`, `Arriving`, `ReplacementMissing` | [`replacement`] |

pub(super) mod places;
pub(super) mod wave;

use std::collections::BTreeSet;
use std::time::Duration;

use snapshot::model::Text;
use types::api::step::{Cordon, State, Step};
use types::policy::Phase;

use self::places::{Places, is_begun, no_place_wait, no_place_waits, takes_place, trouble_wait};
use self::wave::{current_wave, has_bounds, is_within_bounds, remaining_soak, unplaced_wait};
use super::budget::{Guard, needs_cordon};
use super::replacement::{self, Turnover, arrival};
use super::run::NodeRequest;
use super::step::{Act, Change, Patch};
use super::transit::disconnection_wait;
use super::view::{NodeStatus, Standing, View, foreign_step, is_done, is_of_run, is_ours, is_unheard};
use super::wait::{Reason, Subject, Wait};
use super::world::{Availability, Color, Node, Owner, Pod, Trait};
use crate::cni::reach::Way;
use crate::plan::{Gate, GateSource, canon};

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
pub(super) fn claim_intruders(view: &View<'_>, places: &mut Places) -> Vec<Act> {
    let is_intruder = |status: &&NodeStatus<'_>| {
        status.standing == Standing::Pending
            && view.is_foreign(status)
            && status.turnover != Turnover::Leaves
            && !status.node.is_going
            && status.node.is_ready
    };
    let is_moving = |status: &NodeStatus<'_>| {
        matches!(status.standing, Standing::Transit(step) if step.state != State::Held)
            || view.memory.pending_patches().has_claimed(status.name)
    };
    // One at a time goes also where no place is left: each of them parts pods as long as it is there.
    let has_other = view.nodes().any(|status| is_moving(status) && view.is_foreign(status));
    let mut room = places.most.saturating_sub(places.occupied).max(u32::from(!has_other));
    let mut acts = Vec::new();
    for status in view.nodes().filter(is_intruder) {
        let (name, node) = (status.name, status.node);
        // One whose claim's answer was lost has its place, and is asked once more.
        let has_place = view.memory.pending_patches().has_claimed(name);
        if !has_place && room == 0 {
            continue;
        }
        room -= u32::from(!has_place);
        if let Some(to) = connected_phase(view, name, node) {
            if !has_place {
                places.add(status);
            }
            acts.push(Act::Patch(Box::new(claim(view, name, node, to))));
        }
    }
    acts
}

/// The phase of this pass that a node may go to, since that parts no pods: where it leads, or where it begins.
#[must_use]
pub(super) fn connected_phase(view: &View<'_>, name: &str, node: &Node) -> Option<Phase> {
    [view.target, view.run.from].into_iter().find(|to| view.lost_connectivity(name, node, *to).is_none())
}

/// Nodes that an operator asked to bring back, and that no step is doing yet.
#[must_use]
pub(super) fn claim_rollbacks(view: &View<'_>, places: &mut Places) -> (Vec<Act>, Vec<Wait>) {
    let (mut acts, mut waits) = (Vec::new(), Vec::new());
    let to = view.run.from;
    for status in view.nodes() {
        let NodeStatus { name, node, standing, .. } = *status;
        if !is_recalled(view, name) || standing != Standing::Skipped || is_back(view, name, node) {
            continue;
        }
        if let Some(step) = foreign_step(node, view.run) {
            waits.push(foreign_run_wait(name, step));
            continue;
        }
        if status.turnover == Turnover::Arrives && replacement::cannot_return(node) {
            let what =
                format!("it is of an image that does not follow phase {to}, so no flip brings it back");
            let help = format!(
                "for another node in its place: {}; or let it take part again: kubectl crossfade roll retry {name}",
                view.pipeline(node).replace(view.world, name)
            );
            waits.push(Wait::new_held(Subject::node(name), Reason::PhaseNotFollowed, what, help));
            continue;
        }
        let has_place = view.memory.pending_patches().has_claimed(name);
        let has_room = if has_place { places.is_within(status) } else { places.has_room(status) };
        if !has_room {
            // The place of a new node is open as long as that is left out, so that several of them may keep each other.
            let help = format!("to let it take part again: kubectl crossfade roll retry {name}");
            waits.push(no_place_wait(Subject::node(name)).help(help));
            continue;
        }
        let mut to = to;
        if let Some((client, server)) = view.lost_connectivity(name, node, to) {
            // It may have pods that have to go first, in a phase that parts no pods.
            let Some(other) = connected_phase(view, name, node) else {
                waits.push(disconnection_wait(Subject::node(name), client, server));
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

/// Whether a node is back where this pass began, and no step is moving it.
#[must_use]
pub(super) fn is_back(view: &View<'_>, name: &str, node: &Node) -> bool {
    let is_moving = |step: &Step| is_of_run(step, view.run) && step.state.is_in_transit();
    let is_plain = view.nodes.get(name).is_some_and(|status| status.is_plain);
    let is_there = is_done(node, view.run.from) || is_plain && view.run.from == view.plan.plain_phase();
    is_there && !node.step.as_ref().is_some_and(is_moving)
}

/// The patch that takes a node.
fn claim(view: &View<'_>, name: &Text, node: &Node, to: Phase) -> Patch {
    let mut patch = Patch::new(name, node);
    let tried = next_try(view, node);
    let sets = needs_cordon(view, node, to);
    patch.cordon = sets.then_some(true);
    let is_ours =
        sets || node.step.as_ref().is_some_and(|step| is_of_run(step, view.run) && is_ours(node, step));
    patch.step = Change::Set(Step {
        run: view.run.id.clone(),
        plan: canon::shorten_hash(&view.run.plan).to_owned(),
        epoch: view.world.epoch,
        claim: view.run.claim(tried),
        to,
        state: State::Claimed,
        cordon: if is_ours { Some(Cordon::Ours) } else { node.is_cordoned.then_some(Cordon::Theirs) },
        since: Some(view.world.since()),
        r#try: tried,
        why: None,
        undisturbed: node.step.as_ref().is_some_and(|step| step.undisturbed),
    });
    patch
}

/// The patch with which a node starts: it is taken, or its pipeline may take it away.
fn start(view: &View<'_>, status: &NodeStatus<'_>) -> Act {
    let patch = match status.turnover {
        Turnover::Leaves => replacement::permit(view, status),
        Turnover::Stays | Turnover::Arrives => claim(view, status.name, status.node, view.target),
    };
    Act::Patch(Box::new(patch))
}

/// The number of a node's next try in this pass.
pub(super) fn next_try(view: &View<'_>, node: &Node) -> u32 {
    // Where another actor removed the step, the node still repeats its claim: another one must not be answered by that.
    let before = node.step.as_ref().map(|step| step.claim.as_str());
    let echo = node.observed.as_ref().and_then(|observation| observation.echo.as_deref());
    let tries = before.into_iter().chain(echo).filter_map(|claim| view.run.tries(claim));
    tries.max().unwrap_or(0).checked_add(1).unwrap_or(1)
}

/// Nodes that start now, after what is done before in the same step.
#[must_use]
pub(super) fn start_nodes(view: &View<'_>, mut places: Places, before: &[Act]) -> Starts {
    let blocked = unstartable_waits(view, &mut places);
    let Some((index, nodes)) = current_wave(view) else {
        return Starts {
            is_bounded: has_bounds(view) && blocked.is_empty(),
            waits: blocked,
            ..Starts::default()
        };
    };
    if !nodes.iter().any(|status| status.standing == Standing::Pending) {
        return Starts { waits: blocked, ..Starts::default() };
    }
    let wave = &view.plan.waves[index];
    let mut starts = Starts { waits: run_obstacles(view, index, Way::Restart), ..Starts::default() };
    let pending = nodes.iter().copied().filter(|status| status.standing == Standing::Pending);
    let restarts =
        |status: &NodeStatus<'_>| matches!(view.way(status.node, view.target), Way::Restart | Way::Replace);
    let is_kept = !starts.waits.is_empty();
    // Some of it keeps no node whose pods run on.
    let is_over = || pending.clone().all(restarts) || !run_obstacles(view, index, Way::Join).is_empty();
    if is_kept && is_over() {
        // What keeps the nodes themselves is told as well: it may be the cause.
        starts.waits.extend(pending.filter_map(|status| trouble_wait(view, status)));
        starts.waits.extend(blocked);
        return starts;
    }
    starts.waits.extend(blocked);
    let has_place = |status: &NodeStatus<'_>| view.memory.pending_patches().has_claimed(status.name);
    let takes =
        |status: &&&NodeStatus<'_>| matches!(status.standing, Standing::Transit(_)) || has_place(status);
    let mut in_wave = nodes.iter().filter(takes).count() + replacement::open_places(view) as usize;
    let mut remaining = match view.plan.limits.per_hour {
        0 => usize::MAX,
        most => (most as usize).saturating_sub(view.memory.starts()),
    };
    let (mut is_full, mut waiting_count, mut guard) = (false, 0, Guard::new_after(view, before));
    let (mut unasked, mut permits, mut has_dns, mut groups) = (0, 0, false, BTreeSet::new());
    for status in pending {
        // Its pipeline may take away what is broken or cordoned, too: that has its place already.
        let is_requested = replacement::is_requested(view, status);
        if let Some(wait) = trouble_wait(view, status).filter(|_| !is_requested) {
            starts.waits.push(wait);
            keep_place(view, &mut places, status);
            continue;
        }
        if view.is_foreign(status) && status.turnover != Turnover::Leaves {
            // It is taken before all others, to a phase that parts no pods, if there is one.
            if connected_phase(view, status.name, status.node).is_none() {
                starts.waits.extend(foreign_phase_waits(view));
            }
            continue;
        }
        if is_kept && restarts(status) {
            continue;
        }
        if status.turnover == Turnover::Leaves {
            if let Err(wait) = replacement::turn_of_node(view, status, &mut unasked) {
                starts.waits.extend(wait);
                continue;
            }
            // Of nodes with DNS pods one goes at a time: the others are decided anew when its pods are known to leave.
            if has_dns && serves_dns(view, status) {
                continue;
            }
            // The same of a stateful group.
            if replacement::group_of(view.plan, status.node).is_some_and(|group| groups.contains(&group.name))
            {
                continue;
            }
        }
        if status.turnover == Turnover::Leaves
            && replacement::too_many_reason(view, status, permits).is_some()
        {
            // Nodes of other waves are on their way as well.
            is_full = true;
            continue;
        }
        let (is_begun, is_in_trouble) = (is_begun(view, status), is_requested && takes_place(view, status));
        if has_place(status) {
            if !places.is_within(status) {
                is_full = true;
                continue;
            }
            if !guard.admit(view, status.name, status.node, view.target) {
                continue;
            }
            // Its answer was lost: it is asked once more.
            starts.acts.push(start(view, status));
            continue;
        }
        let has_room = match (is_begun, is_in_trouble) {
            (true, _) => places.has_room_beside_begun(status),
            (false, true) => places.is_within(status),
            (false, false) => places.has_room(status),
        };
        if !has_room || in_wave >= wave.at_once as usize {
            is_full |= waiting_count == 0;
            keep_place(view, &mut places, status);
            continue;
        }
        if remaining == 0 {
            let what = format!("{} nodes started within the hour", view.memory.starts());
            starts
                .waits
                .push(Wait::new(Subject::Run, Reason::Pace, what).with_time(view.world.now + HOUR / 60));
            break;
        }
        if !guard.admit(view, status.name, status.node, view.target) {
            // It is its turn, so its place stays free: it may start before this holder sees what the nodes after it did.
            places.add(status);
            (in_wave, waiting_count) = (in_wave + 1, waiting_count + 1);
            continue;
        }
        if is_begun {
            places.let_begun_go(status);
        } else if !is_in_trouble {
            places.add(status);
        }
        (in_wave, remaining) = (in_wave + 1, remaining - 1);
        if status.turnover == Turnover::Leaves {
            permits += 1;
            has_dns |= serves_dns(view, status);
            groups.extend(replacement::group_of(view.plan, status.node).map(|group| &group.name));
        }
        starts.acts.push(start(view, status));
    }
    let (count, wait) = guard.into_act_and_wait();
    starts.acts.extend(count);
    starts.waits.extend(wait);
    if is_full {
        starts.waits.extend(no_place_waits(view, Subject::Wave(wave.name.to_string().into())));
    }
    starts
}

fn serves_dns(view: &View<'_>, status: &NodeStatus<'_>) -> bool {
    view.pods_on(status.name).any(|pod| pod.has_trait(Trait::Dns))
}

/// A node that was left behind, and does not start now, bears the run's cordon: the nodes after it have one place less.
fn keep_place(view: &View<'_>, places: &mut Places, status: &NodeStatus<'_>) {
    if view.is_held_since_earlier_pass(status.node) && status.node.is_cordoned {
        places.add(status);
    }
}

/// What keeps every node from starting whose pods come to the phase in this way.
fn run_obstacles(view: &View<'_>, wave: usize, way: Way) -> Vec<Wait> {
    let mut waits = Vec::new();
    if !view.world.is_open {
        waits.push(Wait::new(Subject::Run, Reason::WindowClosed, "no window of the plan is open"));
    }
    // Stragglers are parted from the others already, and moving them ends that.
    let is_new_phase = !view.run.fixes_stragglers();
    if let Some((client, server)) = view.lost_connectivity_of_pass().filter(|_| is_new_phase) {
        waits.push(disconnection_wait(Subject::Run, client, server));
    }
    waits.extend(unmet_gates(view, way));
    waits.extend(arrival::obstacles(view, wave));
    if way == Way::Restart {
        waits.extend(unschedulable_pods(view));
        let is_moving = view.nodes().any(|status| matches!(status.standing, Standing::Transit(_)));
        if !is_moving {
            waits.extend(short_workloads(view));
        }
    }
    waits.extend(remaining_soak(view, wave));
    waits
}

/// A wait for a node that another run moves, or says so.
fn foreign_run_wait(name: &str, step: &Step) -> Wait {
    let run = &step.run;
    let help = format!(
        "kubectl annotate node {name} crossfade/step- once no process works with run {run}; or leave it out: kubectl crossfade roll skip {name}"
    );
    Wait::new_held(Subject::node(name), Reason::ForeignRun, format!("it bears a step of run {run}"), help)
}

/// Waits for nodes that the run must not start, each by name. None of them keeps the others from starting.
fn unstartable_waits(view: &View<'_>, places: &mut Places) -> Vec<Wait> {
    let mut waits = Vec::new();
    for status in view.nodes().filter(|status| is_within_bounds(view, status.name, status.node)) {
        // One of this run that no holder wrote is told with the nodes in transit.
        if let Standing::Foreign(step) = status.standing
            && !is_of_run(step, view.run)
        {
            waits.push(foreign_run_wait(status.name, step));
        } else if status.standing == Standing::Pending {
            let unplaced = unplaced_wait(view, status.name, status.node);
            unplaced.iter().for_each(|_| keep_place(view, places, status));
            waits.extend(unplaced);
        }
    }
    waits
}

/// A wait for each node with pods of a phase that this pass forbids, or may have some, which keeps all others.
pub(super) fn foreign_phase_waits(view: &View<'_>) -> Vec<Wait> {
    let mut waits = Vec::new();
    for status in view.nodes().filter(|status| view.is_foreign(status)) {
        let NodeStatus { name, standing, turnover, .. } = *status;
        let mut wait = Wait::new(
            Subject::node(name),
            Reason::WouldPart,
            "it has pods of a phase that this pass forbids, or hands it out",
        );
        // The run moves no pods of a node that is to be replaced, and lets no pipeline drain one as long as these pods are there.
        let is_left = standing == Standing::Pending && turnover == Turnover::Leaves;
        wait.help = if is_left {
            let from = view.run.from;
            let hands_out = status.node.phase().is_some_and(|phase| phase != from && phase != view.target);
            let flip = if hands_out {
                format!("on the node: crossfade-bootstrap policy set {from}; then: ")
            } else {
                String::new()
            };
            format!(
                "{flip}kubectl drain {name} --ignore-daemonsets, and delete its pods that kubectl crossfade stragglers still names"
            )
        } else {
            format!("kubectl crossfade roll retry {name}; or: kubectl drain {name} --ignore-daemonsets")
        };
        wait.is_held = match standing {
            Standing::Skipped => true,
            Standing::Transit(step) => step.state == State::Held,
            Standing::Pending => is_left,
            Standing::LeftOut | Standing::Done | Standing::Foreign(_) => false,
        };
        waits.push(wait);
    }
    for name in
        view.nodes().filter(|status| is_unheard(status.node) && !status.is_plain).map(|status| status.name)
    {
        let what = "it is new or was rebooted, and has not said yet which phase its pods have";
        let help = "on the node: systemctl status crossfade-watch";
        waits.push(Wait::new(Subject::node(name), Reason::WouldPart, what).help(help));
    }
    waits
}

/// A wait for a node whose step says that a later holder wrote it, although this one holds the Lease: the node alone is left as it is.
pub(super) fn later_holder_wait(view: &View<'_>, name: &Text, step: &Step) -> Wait {
    let what = format!(
        "its step has epoch {}, and this holder of the Lease has {}: no holder wrote it, so nothing is done with the node",
        step.epoch, view.world.epoch
    );
    let help = format!(
        "find out who writes annotations of the Node, then: kubectl annotate node {name} {}-",
        types::api::step::KEY
    );
    Wait::new_held(Subject::node(name), Reason::ForeignRun, what, help)
}

/// An operator asked to bring this node back.
#[must_use]
fn is_recalled(view: &View<'_>, name: &str) -> bool {
    view.run.requests.get(name) == Some(&NodeRequest::Rollback)
}

/// A wait for each gate that is red, or not known. What was not asked lately is not known. Networks join and leave pods whatever the workloads lack.
#[must_use]
pub(super) fn unmet_gates(view: &View<'_>, way: Way) -> Vec<Wait> {
    let mut waits = Vec::new();
    let restarts = matches!(way, Way::Restart | Way::Replace);
    let counts = |gate: &&Gate| restarts || gate.source != GateSource::Workload;
    for gate in view.plan.gates.iter().filter(counts) {
        let object = Subject::Gate(gate.name.as_str().into());
        match view.verdict(&gate.name) {
            Some(verdict) if verdict.color <= Color::Amber => {}
            Some(verdict) if verdict.color == Color::Red => {
                waits.push(Wait::new(object, Reason::GateRed, verdict.why.clone()));
            }
            Some(verdict) => waits.push(Wait::new(object, Reason::GateUnknown, verdict.why.clone())),
            None => {
                let what = format!("it was not asked within {} s", gate.fresh_seconds);
                waits.push(Wait::new(object, Reason::GateUnknown, what));
            }
        }
    }
    waits
}

/// Pods that no node takes, of workloads whose pods the run has moved and that miss some since. Other pods do not count here: their authors may ask
/// for a node that does not exist.
#[must_use]
fn unschedulable_pods(view: &View<'_>) -> Vec<Wait> {
    let is_moved = |owner: &Owner| match view.world.owners.get(owner) {
        Some(now) => now.is_short_beyond(|| view.run.missing_replicas(owner)),
        // Of a kind that nothing counts.
        None => {
            let is_moved = || {
                view.memory.last_move(owner).is_some() || view.run.moved_owners.contains_key(&owner.title())
            };
            view.run.missing_replicas(owner) == 0 && is_moved()
        }
    };
    let counts = |pod: &&Pod| pod.has_trait(Trait::Unschedulable) && pod.owner.as_ref().is_some_and(is_moved);
    view.world.pods.values().filter(counts).map(unschedulable_wait).collect()
}

fn unschedulable_wait(pod: &Pod) -> Wait {
    let help = format!("kubectl -n {} describe pod {}", pod.namespace, pod.name);
    Wait::new(Subject::Pod(pod.title().into()), Reason::PodsPending, "the scheduler finds no node for it")
        .help(help)
}

/// A wait for each workload that has fewer ready pods than it wants, apart from those that were missing at the start.
#[must_use]
pub(super) fn short_workloads(view: &View<'_>) -> Vec<Wait> {
    let is_short =
        |(owner, now): &(&Owner, &Availability)| now.is_short_beyond(|| view.run.missing_replicas(owner));
    let wait = |(owner, now): (&Owner, &Availability)| {
        let title = owner.title();
        let what = format!("{} of {} pods are ready", now.ready, now.desired);
        let help = format!(
            "kubectl -n {} describe {} {}; not to wait for it: kubectl crossfade roll skip {title}",
            owner.namespace,
            owner.kind.to_lowercase(),
            owner.name
        );
        Wait::new(Subject::Object(title.into()), Reason::OwnersShort, what).help(help)
    };
    view.world.owners.iter().filter(is_short).map(wait).collect()
}

/// Why workloads stay short, where the waits say that something waits for them: pods that no node takes, and nodes that another actor cordoned meanwhile.
///
/// If nothing moves any more, a person has to end these.
#[must_use]
pub(super) fn workload_obstacles(view: &View<'_>, waits: &[Wait], is_moving: bool) -> Vec<Wait> {
    let is_for_pods = |wait: &Wait| {
        matches!(
            wait.reason,
            Reason::BudgetBlocks
                | Reason::DnsNeeded
                | Reason::OneAtATime
                | Reason::OwnersShort
                | Reason::OwnersTimeout
        )
    };
    if !waits.iter().any(is_for_pods) {
        return Vec::new();
    }
    let mut pending = unschedulable_pods(view);
    if waits.iter().any(|wait| wait.reason == Reason::DnsNeeded) {
        let is_pending = |pod: &&Pod| pod.has_trait(Trait::Dns) && pod.has_trait(Trait::Unschedulable);
        let dns = view.world.pods.values().filter(is_pending).map(unschedulable_wait);
        let new: Vec<Wait> =
            dns.filter(|wait| pending.iter().all(|other| other.object != wait.object)).collect();
        pending.extend(new);
    }
    if pending.is_empty() {
        return pending;
    }
    for wait in &mut pending {
        wait.is_held = !is_moving;
    }
    let cordoned = view.nodes().filter_map(|status| trouble_wait(view, status));
    pending.extend(cordoned.filter(|wait| wait.reason == Reason::ForeignCordon));
    pending
}
