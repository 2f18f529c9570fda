//! The cluster's reserves: room for the pods of a node that is to be drained, the next pod of a workload that moves one pod after the
//! other, and DNS pods.
//!
//! What pods request comes from a count of all pods, at most ten minutes old; what nodes offer, and whether they take pods, from the Nodes. Without a count
//! the room is not known, and no node is drained. A node that is cordoned already takes no room away when it starts in place, and pods of one that is not cordoned come back.

use std::collections::BTreeSet;
use std::time::Duration;

use snapshot::model::Text;
use types::api::observed::NAMED;
use types::api::step::State as StepState;
use types::policy::Phase;

use super::replacement::{self, Turnover, pipeline};
use super::step::Act;
use super::transit::DOWN;
use super::view::{NodeStatus, Standing, View, is_unheard};
use super::wait::{Reason, Subject, Wait};
use super::world::{Census, Node, Owner, Pod, RequestSums, Trait};
use crate::cni::reach::{self, Way};
use crate::config::roll::Method;
use crate::workload::capacity::{Place, Request, Room, State};
use crate::workload::{is_startup, marks_going};

/// For so long a count says what pods request. Counting is a list of all pods, which large clusters should not be asked for more often.
pub const CENSUS_FRESH: Duration = Duration::from_mins(10);

/// What all pods request and all nodes offer.
struct Capacity<'a> {
    census: &'a Census,
    room: Room<'a>,
}

/// What keeps nodes from being drained in this step. Nothing is added up before the first node asks.
#[derive(Default)]
pub(super) struct Guard<'a> {
    /// None until then; then none if no count is fresh.
    capacity: Option<Option<Capacity<'a>>>,
    /// Nodes that are taken in this step before any of those that ask.
    reserved: Vec<(&'a Text, &'a Node)>,
    /// It is told once, of the first node that has to wait.
    wait: Option<Wait>,
}

/// Whether a node that starts for a phase takes room from the others: it is cordoned, since its pods go elsewhere.
///
/// Pods that networks join or leave stay. Where the node restarts a few of them after all, these may come back to it. A node that a pipeline drains takes room
/// as well.
#[must_use]
pub(super) fn takes_room(view: &View<'_>, node: &Node, to: Phase) -> bool {
    let is_drained = match (view.method(node), view.way(node, to)) {
        (Method::Churn, _) | (_, Way::Join | Way::Leave) => false,
        (_, Way::Restart) => true,
        (method, Way::Replace) => {
            pipeline::for_method(method).is_some_and(|pipeline| pipeline.drains_first())
        }
    };
    // A pipeline may cordon a node before it asks, and that moves no pod yet.
    is_drained && (!node.is_cordoned || view.way(node, to) == Way::Replace)
}

/// Whether the run cordons a node that it takes for a phase. A cordon that is there already stays with the one who set it.
#[must_use]
pub(super) fn needs_cordon(view: &View<'_>, node: &Node, to: Phase) -> bool {
    !node.is_cordoned && takes_room(view, node, to)
}

/// Why a node must not be drained now; none if the others have room.
#[must_use]
pub(super) fn shortage_wait(view: &View<'_>, name: &Text, node: &Node, to: Phase) -> Option<Wait> {
    let mut guard = Guard::default();
    if guard.admit(view, name, node, to) { None } else { guard.wait }
}

impl<'a> Guard<'a> {
    /// Nodes that these acts drain take no pods any more.
    pub(super) fn new_after(view: &View<'a>, acts: &[Act]) -> Self {
        let drained = |act: &Act| match act {
            Act::Patch(patch) if patch.cordon == Some(true) => {
                view.world.nodes.get_key_value(&patch.node).map(|(name, node)| (name, &**node))
            }
            Act::Patch(_) | Act::Hook(_) | Act::Evict(_) | Act::Delete(_) | Act::Census | Act::Record(_) => {
                None
            }
        };
        Self { reserved: acts.iter().filter_map(drained).collect(), ..Self::default() }
    }

    /// Whether a node may start. One that may counts as no room from then on; after one that may not, room is kept for it.
    pub(super) fn admit(&mut self, view: &View<'a>, name: &'a Text, node: &'a Node, to: Phase) -> bool {
        if !takes_room(view, node, to) {
            return true;
        }
        if self.wait.is_some() {
            return false;
        }
        let reserved = std::mem::take(&mut self.reserved);
        let cached_capacity = self.capacity.get_or_insert_with(|| {
            let mut capacity = Capacity::count(view)?;
            reserved.into_iter().for_each(|(name, node)| capacity.close(view, name, node));
            Some(capacity)
        });
        let wait = match cached_capacity {
            None => Some(Wait::new(
                Subject::Run,
                Reason::Census,
                "what all pods request is counted before a node is drained",
            )),
            Some(capacity) => capacity.take(view, name, node),
        };
        self.wait = wait;
        self.wait.is_none()
    }

    /// What has to be done and waited for, of all nodes that asked.
    pub(super) fn into_act_and_wait(self) -> (Option<Act>, Option<Wait>) {
        let is_unknown = matches!(self.capacity, Some(None));
        (is_unknown.then_some(Act::Census), self.wait)
    }
}

impl<'a> Capacity<'a> {
    fn count(view: &View<'a>) -> Option<Self> {
        let census =
            view.world.census.as_ref().filter(|census| view.ago(census.started_at) < CENSUS_FRESH)?;
        let mut room = Room::default();
        // Both are in the order of names, so that large clusters are gone through once.
        let mut counted = census.requests.iter().peekable();
        for (name, node) in &view.world.nodes {
            // Pods of nodes that went since the count are somewhere by now, or will be.
            while let Some((_, sums)) = counted.next_if(|(on, _)| *on < name) {
                room.add_anywhere(sums.moves);
            }
            let requested = counted.next_if(|(on, _)| *on == name).map(|(_, sums)| *sums).unwrap_or_default();
            let standing = view.decide_standing(name);
            if standing != Standing::LeftOut {
                room.add(place_of(requested, node, place_state(view, name, node, standing)));
            }
        }
        counted.for_each(|(_, sums)| room.add_anywhere(sums.moves));
        Some(Self { census, room })
    }

    fn place(&self, view: &View<'_>, name: &Text, node: &'a Node) -> Place<'a> {
        let state = if takes_pods(view, name, node) { State::Open } else { State::Closed };
        place_of(self.census.requests.get(name).copied().unwrap_or_default(), node, state)
    }

    /// A node takes no pods from now on.
    fn close(&mut self, view: &View<'_>, name: &Text, node: &'a Node) {
        let place = self.place(view, name, node);
        self.room.close(&place);
    }

    /// Takes the room of a node, or says why it has to stay.
    fn take(&mut self, view: &View<'_>, name: &Text, node: &'a Node) -> Option<Wait> {
        let place = self.place(view, name, node);
        let Some(short) = self.room.shortage(&place, view.plan.margin_percent) else {
            self.room.close(&place);
            return None;
        };
        let until = self.census.started_at + CENSUS_FRESH;
        if short.is_passing {
            let what = format!("{short}; other nodes are in transit or not Ready, and offer more later");
            return Some(Wait::new(Subject::node(name), Reason::NoCapacity, what).with_time(until));
        }
        let help = "add nodes; or make a new plan: its pods come back to the node with roll: {methods: {POOL: churn}}, and less stays free with capacity: {marginPercent: PERCENT}";
        Some(
            Wait::new_held(Subject::node(name), Reason::NoCapacity, short.to_string(), help).with_time(until),
        )
    }
}

fn place_of(requested: RequestSums, node: &Node, state: State) -> Place<'_> {
    // Taints that come and go say nothing about which pods belong there: those that are there need room elsewhere like all others.
    let belongs = |key: &&str| !is_startup(key) && !marks_going(key);
    let taints = node.taints.iter().map(|key| &**key).filter(belongs).collect();
    // Pods may name a node whose kubelet never looks at them. What runs on a node is never more than it offers.
    let has_capacity = node.offers != Request::default();
    let moves = if has_capacity { requested.moves.min(node.offers) } else { requested.moves };
    Place { taints, offers: node.offers, moves, stays: requested.stays, state }
}

/// Whether the scheduler gives pods to a node: it does not once the run cordoned it, also if the Node does not show that yet.
fn takes_pods(view: &View<'_>, name: &str, node: &Node) -> bool {
    let is_leaving =
        matches!(view.decide_standing(name), Standing::Transit(step) if step.state == StepState::Permitted);
    let is_cordoned = node.is_cordoned || is_leaving || view.memory.pending_patches().has_cordoned(name);
    let is_barred = node.taints.iter().any(|key| is_startup(key) || marks_going(key));
    node.is_ready && !node.has_no_network && !is_cordoned && !is_barred && !is_going(view, name, node)
}

/// Whether a node is on its way already, and offers nothing any more.
fn is_going(view: &View<'_>, name: &str, node: &Node) -> bool {
    view.nodes.get(name).map_or(node.is_going, |status| replacement::is_going(view, status))
}

fn place_state(view: &View<'_>, name: &str, node: &Node, standing: Standing<'_>) -> State {
    let is_moving = match standing {
        Standing::Transit(step) => step.state != StepState::Held,
        Standing::Pending => view.is_held_since_earlier_pass(node),
        Standing::LeftOut | Standing::Done | Standing::Foreign(_) | Standing::Skipped => false,
    };
    let is_short = || view.memory.down_for(name, view.world.now).is_none_or(|down| down < DOWN);
    if takes_pods(view, name, node) {
        State::Open
    } else if is_going(view, name, node) {
        State::Closed
    } else if is_moving || (!node.is_cordoned && is_short()) {
        State::Returning
    } else {
        State::Closed
    }
}

/// For so long after an eviction no other pod of the same workload moves: the status of the workload may not tell of it yet.
const EVICTION_SPACING: Duration = Duration::from_secs(30);

/// Why a pod waits for others of its workload; none if it is its turn.
#[must_use]
pub(super) fn turn_wait(view: &View<'_>, pod: &Pod) -> Option<Wait> {
    let object = Subject::Pod(pod.title().into());
    if let Some(owner) = pod.owner.as_ref().filter(|_| moves_in_turn(pod)) {
        let what =
            format!("another pod of {} {}/{} is not ready yet", owner.kind, owner.namespace, owner.name);
        let reason = if pod.has_trait(Trait::Dns) { Reason::DnsNeeded } else { Reason::OneAtATime };
        if has_leaving_sibling(view, pod, owner) || misses_sibling(view, pod, owner) {
            return Some(Wait::new(object, reason, what));
        }
    }
    let why = dns_pod_needed(view, pod)?;
    let wait = Wait::new(object, Reason::DnsNeeded, why);
    if let Some(other) = stranded_node(view, pod) {
        let NodeStatus { name, node, .. } = *other;
        let replace = view.pipeline(node).replace(view.world, name);
        return Some(wait.help(format!(
            "node {name} has pods of that phase, which this pass forbids: kubectl drain {name} --ignore-daemonsets; then: {replace}"
        )));
    }
    if let Some(Pod { namespace, name, node, .. }) = unreachable_dns(view, pod) {
        return Some(wait.help(format!(
            "node {node} has a DNS pod that these pods do not reach, in a phase that this pass forbids: kubectl cordon {node}; then: kubectl -n {namespace} delete pod {name}"
        )));
    }
    Some(match &pod.owner {
        Some(Owner { kind, namespace, name }) => {
            let kind = kind.to_lowercase();
            wait.help(format!("wait for the others; if there is no other: kubectl -n {namespace} scale {kind} {name} --replicas=2"))
        }
        None => wait,
    })
}

/// Another node of a pool that is replaced with pods of a phase that this pass forbids, which need the DNS pod. The pipeline may want the node of the DNS pod first,
/// and then only a person can end that.
fn stranded_node<'a>(view: &View<'a>, pod: &Pod) -> Option<&'a NodeStatus<'a>> {
    let is_foreign = |phase: &Phase| *phase != view.run.from && *phase != view.target;
    let phase = phase_without_dns(view, pod).filter(is_foreign)?;
    let has_such = |status: &&NodeStatus<'_>| {
        *status.name != pod.node && view.plan.rotates(&status.node.pool) && status.possible_phases.has(phase)
    };
    view.nodes().find(has_such)
}

/// Another DNS pod, on a node of a pool that is replaced, in a phase that this pass forbids: pods that need this one do not reach it. More replicas may come to such
/// nodes as well, as long as these take pods.
fn unreachable_dns<'a>(view: &View<'a>, pod: &Pod) -> Option<&'a Pod> {
    phase_without_dns(view, pod)?;
    let is_foreign = |phase: &Phase| *phase != view.run.from && *phase != view.target;
    let is_unreachable = |other: &&Pod| {
        let rotates = view.world.nodes.get(&other.node).is_some_and(|node| view.plan.rotates(&node.pool));
        let phases = phases_of_pod(view, other);
        rotates
            && !other.owner.as_ref().is_some_and(Owner::is_daemon_set)
            && !phases.is_empty()
            && phases.iter().all(is_foreign)
    };
    view.ready_dns().find(is_unreachable)
}

/// Whether pods of its workload move one after the other.
fn moves_in_turn(pod: &Pod) -> bool {
    pod.has_trait(Trait::Dns) || pod.owner.as_ref().is_some_and(|owner| &*owner.kind == "StatefulSet")
}

/// Another pod of the workload is on its way.
fn has_leaving_sibling(view: &View<'_>, pod: &Pod, owner: &Owner) -> bool {
    let others =
        view.world.pods.values().filter(|other| other.uid != pod.uid && other.owner.as_ref() == Some(owner));
    let is_recent = |(uid, time): &(Text, Duration)| *uid != pod.uid && view.ago(*time) < EVICTION_SPACING;
    view.memory.last_move(owner).is_some_and(is_recent)
        || others.into_iter().any(|other| view.is_leaving(other))
}

/// Another pod of the workload is missing. It may be on its way on a node that the run does not move any more, whose pods are not watched.
fn misses_sibling(view: &View<'_>, pod: &Pod, owner: &Owner) -> bool {
    // A pod that is not Ready itself is evicted in any case.
    let short = view.run.missing_replicas(owner) + u32::from(!pod.has_trait(Trait::Ready));
    let Some(now) = view.world.owners.get(owner) else { return !pod.has_trait(Trait::Dns) };
    // All pods that answer DNS queries are known, and what their workload says of them may be older.
    let ready_siblings = view.ready_dns().filter(|other| other.owner.as_ref() == Some(owner)).count();
    let ready_siblings = u32::try_from(ready_siblings).unwrap_or(u32::MAX);
    let ready = if pod.has_trait(Trait::Dns) { now.ready.min(ready_siblings) } else { now.ready };
    ready + short < now.desired
}

/// Of the pods of one such workload the first goes; several nodes may have decided at once that it is their pod's turn. A node that its pipeline may take away
/// has its DNS pods go as well.
pub(super) fn retain_one_per_owner(view: &View<'_>, acts: &mut Vec<Act>) {
    let mut owners: BTreeSet<Option<&Owner>> = BTreeSet::new();
    acts.retain(|act| {
        let pod = match act {
            Act::Evict(id) | Act::Delete(id) => view.world.pods.get(&id.uid).filter(|pod| moves_in_turn(pod)),
            Act::Patch(patch) if patch.permits() => {
                view.pods_on(&patch.node).find(|pod| pod.has_trait(Trait::Dns))
            }
            Act::Patch(_) | Act::Hook(_) | Act::Census | Act::Record(_) => None,
        };
        // All DNS pods take turns, whatever makes them.
        pod.is_none_or(|pod| owners.insert(if pod.has_trait(Trait::Dns) { None } else { pod.owner.as_ref() }))
    });
}

/// Why a DNS pod must stay for now; none if it may go, or if the pod is no such one.
///
/// In its zone all but one of the DNS pods stay ready, and at least one. Where it is the only one of its zone, two others are ready in other zones, or
/// the other one of a cluster that has just two: otherwise two DNS pods in two zones could never move.
#[must_use]
pub(super) fn dns_pod_needed(view: &View<'_>, pod: &Pod) -> Option<String> {
    if !pod.has_trait(Trait::Dns) {
        return None;
    }
    let zone_of =
        |pod: &Pod| view.world.nodes.get(&pod.node).map(|node| node.zone.clone()).unwrap_or_default();
    let zone = zone_of(pod);
    let stays = |other: &&Pod| other.uid != pod.uid;
    let (here, elsewhere): (Vec<&Pod>, Vec<&Pod>) =
        view.ready_dns().filter(stays).partition(|other| zone_of(other) == zone);
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let (here, elsewhere) = (count(here.len()), count(elsewhere.len()));
    // Those that are being replaced count as pods that the zone has.
    let is_dns = |other: &&Pod| other.has_trait(Trait::Dns) && !other.has_trait(Trait::Finished);
    let of_cluster: Vec<&Pod> = view.world.pods.values().filter(is_dns).collect();
    let all = count(of_cluster.iter().filter(|other| zone_of(other) == zone).count());
    if all <= 1 {
        let least = dns_pods_needed_elsewhere(of_cluster.len());
        if count(least) > elsewhere {
            return Some(format!(
                "it is the only DNS pod of its zone; {elsewhere} others are ready in other zones, and {least} must be"
            ));
        }
    } else if here < all.saturating_sub(1).max(1) {
        return Some(format!(
            "{here} other DNS pods of its zone are ready, and {} must be",
            all.saturating_sub(1).max(1)
        ));
    }
    phase_without_dns(view, pod).map(|phase| format!("pods in phase {phase} would reach no DNS pod"))
}

/// How many DNS pods must be ready in other zones for the only one of a zone to go, in a cluster that has so many in all.
fn dns_pods_needed_elsewhere(all: usize) -> usize {
    all.saturating_sub(1).clamp(1, 2)
}

/// A phase of living pods that would reach no DNS pod without this one. It need not stay for itself, nor for others of its kind, nor for pods of a node that a
/// pipeline takes away: these go with it.
///
/// Where pods of forbidden phases live, some may reach no DNS pod at all: those lose nothing.
fn phase_without_dns(view: &View<'_>, pod: &Pod) -> Option<Phase> {
    if view.is_bridged() {
        return None;
    }
    let others: Vec<Vec<Phase>> = view
        .ready_dns()
        .filter(|other| other.uid != pod.uid)
        .map(|other| phases_of_pod(view, other))
        .collect();
    let own = phases_of_pod(view, pod);
    let reaches = |client: Phase, server: &Phase| !reach::needs_bridge(client, *server);
    let may_need = |client: &Phase| own.iter().any(|server| reaches(*client, server));
    let has_other = |client: &Phase| {
        others.iter().any(|phases| !phases.is_empty() && phases.iter().all(|server| reaches(*client, server)))
    };
    let goes_along = view.nodes.get(&pod.node).filter(|status| status.turnover == Turnover::Leaves);
    let clients = view.client_phases(goes_along.map(|status| &**status.name));
    clients.into_iter().find(|client| may_need(client) && !has_other(client))
}

/// The phases that a pod may have: that of its node, unless the node names it as one of another phase. All of them if what the node says is of an earlier boot.
fn phases_of_pod(view: &View<'_>, pod: &Pod) -> Vec<Phase> {
    let Some(node) = view.world.nodes.get(&pod.node) else { return Vec::new() };
    if view.nodes.get(&pod.node).is_some_and(|status| status.is_plain) {
        return vec![view.plan.plain_phase()];
    }
    if is_unheard(node) {
        return Phase::ALL.to_vec();
    }
    let Some(observed) = &node.observed else { return node.phases().collect() };
    let of_others = observed.attached.iter().flat_map(|attached| attached.by_phase.keys().copied());
    let of_others = of_others.filter(|phase| Some(*phase) != observed.phase);
    let named = observed.attached.iter().flat_map(|attached| &attached.others);
    let is_named = named.clone().any(|other| pod.uid.starts_with(other.as_str()));
    // A list that is full may lack it.
    let is_doubtful = named.count() >= NAMED;
    let of_node = observed.phase.filter(|_| !is_named);
    of_others.filter(|_| is_named || is_doubtful).chain(of_node).collect()
}

#[cfg(test)]
mod tests;
