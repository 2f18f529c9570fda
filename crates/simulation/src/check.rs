//! The invariants, asked of the cluster as it is when a call takes effect.
//!
//! A run cannot know what has not reached it. So what the history itself did to a node or a pod excuses a call that was decided before its object showed
//! it, and nothing else does: neither what the run did, nor what it could have read and did not.

mod eviction;
mod room;
mod rotation;

use std::collections::BTreeSet;

use migration::cni::reach::{Way, is_parted, way};
use migration::config::roll::Method;
use migration::plan::Bridge;
use migration::roll::run::{NodeRequest, Run, State as RunState};
use migration::roll::step::{Change, Patch};
use migration::roll::view::is_of_pass;
use migration::roll::world::{Color, Verdict};
pub(super) use room::Count;
use types::api::step::{Cordon, State, Step};
use types::policy::{Attach, Phase};

use super::history::History;
use crate::cluster::truth::{Actor, Attachment, Node, Pod, duration_of};
use crate::history::event::Flight;
use crate::history::queue::{MINUTE, Millis, SECOND};
use crate::holder::STALE;
use crate::pipeline::STARTUP;

impl History {
    pub(super) fn is_left_out(&self, name: &str) -> bool {
        self.plan.exclusion(name).is_some()
    }

    /// The nodes that passes touch and whose state a run could know.
    pub(super) fn knowable(&self, observed_at: Millis) -> impl Iterator<Item = (usize, &Node)> {
        self.truth.living_nodes().filter(move |(_, node)| {
            !self.is_left_out(&node.name) && !node.surprises(observed_at) && node.created_at <= observed_at
        })
    }

    /// Every phase that such pods have, may get, or may get soon, one node left out.
    pub(super) fn kinds(
        &self,
        observed_at: Millis,
        without: Option<usize>,
        such: impl Fn(&Pod) -> bool + Copy,
    ) -> BTreeSet<Phase> {
        let mut kinds = BTreeSet::new();
        // Nothing but the addresses of its pods tells what image a node without Crossfade is of.
        let is_asked = |index: usize| Some(index) != without && !self.is_of_other_network(index);
        for (index, node) in self.knowable(observed_at).filter(|(index, _)| is_asked(*index)) {
            let machine = &node.machine;
            // What a node has forgotten is not known before the pods are counted.
            kinds.extend(self.truth.published_of(index, observed_at, such));
            kinds.insert(machine.phase);
            kinds.extend(node.api.desired.filter(|to| machine.follows.contains(to)));
        }
        kinds
    }

    /// Whether the holder knew that nodes forward between both networks.
    pub(super) fn is_bridged(&self, holder: usize) -> bool {
        match &self.plan.bridge {
            None => false,
            Some(Bridge::Accepted(_)) => true,
            Some(Bridge::Gate(name)) => {
                let verdict = self.holders[holder].world.verdicts.get(name);
                let gate = self.plan.gates.iter().find(|gate| gate.name == *name);
                let fresh = gate.map_or(0, |gate| Millis::from(gate.fresh_seconds) * SECOND);
                let is_fresh = |verdict: &&Verdict| {
                    duration_of(self.now).saturating_sub(verdict.checked_at) <= duration_of(fresh)
                };
                verdict.filter(is_fresh).is_some_and(|verdict| verdict.color == Color::Green)
            }
        }
    }

    /// R1 of every call: its holder has the Lease.
    pub(super) fn check_lease(&mut self, flight: &Flight, what: &str) {
        if self.truth.lease.holder != Some(flight.holder) && !self.truth.lease.was_forced {
            let why = format!("{what}: holder {} has not the Lease any more", flight.holder);
            self.broken("R1", why);
        }
    }

    /// A Node is about to be patched.
    pub(super) fn check_patch(&mut self, flight: &Flight, patch: &Patch, index: usize) {
        let Some(run) = self.truth.record.run.clone() else { return };
        self.check_lease(flight, &format!("a patch of {}", patch.node));
        let node = &self.truth.nodes[index];
        let before = node.api.step.clone().filter(|step| step.run == run.id);
        if before.as_ref().is_some_and(|step| step.epoch > self.holders[flight.holder].epoch) {
            self.broken("R1", format!("{} bears a step of a newer holder", patch.node));
        }
        if self.is_left_out(&patch.node) {
            self.broken("R10", format!("{} is left out", patch.node));
        }
        let node = &self.truth.nodes[index];
        if patch.cordon == Some(false) && node.cordoned_by == Some(Actor::Other) {
            self.broken("R7", format!("the cordon of {} is not the run's", patch.node));
        }
        if let Some(to) = patch.desired.filter(|to| self.truth.nodes[index].api.desired != Some(*to)) {
            self.check_phase(flight, index, to, &run);
            self.check_policy(flight, index, false);
        }
        let has_claim = |step: &Step| before.as_ref().is_some_and(|before| before.claim == step.claim);
        self.check_annotation(patch, index);
        match &patch.step {
            Change::Set(step) if step.state == State::Waiting => {
                self.check_waiting(flight, index, (before.as_ref(), step), &run);
            }
            Change::Set(step) if step.state == State::Permitted => {
                self.check_permit(flight, index, before.as_ref(), &run)
            }
            // One that has its claim already is not taken anew.
            Change::Set(step) if step.state == State::Claimed && !has_claim(step) => {
                self.check_claim(flight, index, before, step, &run);
            }
            // It counted as done before, and nothing but a note about its cordon changes.
            Change::Set(step)
                if step.state == State::Done
                    && before
                        .as_ref()
                        .is_some_and(|before| before.state == State::Done && before.claim == step.claim) => {}
            Change::Set(step) if step.state == State::Done => self.check_node(flight, index, step),
            Change::Keep | Change::Set(_) | Change::Remove => {}
        }
    }

    /// R10: the plan was made for the node's policy.
    ///
    /// Where pools are replaced, a plan knows the policies of nodes that were there when it was made, and not that of the image. So what no plan names is taken
    /// to be of an image, whatever its policy is; and so is a machine in the image's phase that counts as done, since it may have been made anew under the Node
    /// that the plan names. Such a one is asked for no phase.
    fn check_policy(&mut self, flight: &Flight, index: usize, is_done: bool) {
        let node = &self.truth.nodes[index];
        let is_in_image = is_done && self.plan.image_phase(&node.api.pool) == Some(node.machine.phase);
        let is_of_image = self.is_rotated(index) && (!self.is_planned(node) || is_in_image);
        let is_known = is_of_image || self.plan.policies.iter().any(|base| **base == *node.machine.base);
        if !is_known && !node.surprises(flight.nodes_seen) {
            let what = if is_done { "counts as done" } else { "is asked for a phase" };
            let why = format!("{} {what}, and its policy is none of the plan", node.name);
            self.broken("R10", why);
        }
    }

    /// R3: no two phases come to live beside each other that need a bridge and did not before.
    fn check_phase(&mut self, flight: &Flight, index: usize, to: Phase, run: &Run) {
        if flight.is_bridged {
            return;
        }
        let node = &self.truth.nodes[index];
        let reported = node.api.observed.as_ref().and_then(|observed| observed.phase);
        // Of a node that another actor just changed, or that has just followed, the run knows what it said before.
        let has_flipped = node.machine.flipped > node.published_at(flight.nodes_seen);
        let is_reported_late = has_flipped || node.surprises(flight.nodes_seen);
        let phase = reported.filter(|_| is_reported_late).unwrap_or(node.machine.phase);
        let mut kinds = self.kinds(flight.nodes_seen, Some(index), |_| true);
        // Pods of a node whose own phase is forbidden are parted from all others, and go.
        let is_of_pass = |phase: Phase| Some(phase) == run.target() || phase == run.from;
        if !is_of_pass(phase) || has_flipped {
            kinds.retain(|phase| is_of_pass(*phase));
        } else if !node.surprises(flight.nodes_seen) {
            kinds.extend(self.truth.published_phases_at(index, flight.nodes_seen));
        }
        let parted = kinds.into_iter().find(|kind| is_parted(to, *kind) && !is_parted(phase, *kind));
        if let Some(kind) = parted {
            let name = node.name.clone();
            let has = |(index, node): &(usize, &Node)| {
                self.truth.attached_phases(*index).any(|attached_phase| attached_phase == kind)
                    || node.machine.phase == kind
            };
            let describe = |node: &Node| {
                let reported = node.api.observed.as_ref().and_then(|observed| observed.phase);
                format!("{} (which said {reported:?})", node.name)
            };
            let with: Vec<String> =
                self.knowable(flight.nodes_seen).filter(has).map(|(_, node)| describe(node)).collect();
            let machine = &node.machine;
            let why = format!(
                "{name}, which is in {} and said {reported:?}, goes from {phase} to {to}, and {kind} lives on {}",
                machine.phase,
                with.join(", ")
            );
            self.broken("R3", why);
        }
    }

    /// A pod on another node that is parted from pods of this phase, and was there when this node was asked for it; in words. Nodes that the history itself
    /// changed are no matter of the run.
    pub(crate) fn parted_from(&self, index: usize, to: Phase) -> Option<String> {
        let own = &self.truth.nodes[index];
        let run = self.truth.run()?;
        let is_excused = |node: &Node| {
            node.surprise.is_some()
                || node.is_lured
                || run.skipped.contains_key(&node.name)
                || self.is_left_out(&node.name)
        };
        if run.fixes_stragglers()
            || self.plan.bridge.is_some()
            || self.truth.lease.was_forced
            || is_excused(own)
        {
            return None;
        }
        let others = self.truth.living_nodes().filter(|(other, node)| *other != index && !is_excused(node));
        others.flat_map(|(_, node)| &node.pods).find_map(|id| {
            let pod = self.truth.pods.get(id)?;
            let attached = pod.attached.filter(|attached| attached.since <= own.machine.flipped)?;
            let is_known = !self.truth.nodes[pod.node?].machine.forgets.contains(id);
            (is_known && is_parted(attached.phase, to))
                .then(|| format!("{} on {} is of {}", pod.api.name, pod.api.node, attached.phase))
        })
    }

    /// Whether all pods of a node run on while it goes to this phase, as it says.
    fn runs_on(&self, index: usize, to: Phase, run: &Run) -> bool {
        let api = &self.truth.nodes[index].api;
        let Some(observation) = api.observed.as_ref().filter(|observation| *observation.boot_id == *api.boot)
        else {
            return false;
        };
        let attached = observation.attached.iter().flat_map(|attached| attached.by_phase.keys().copied());
        let mut phases: BTreeSet<Phase> =
            attached.chain(observation.phase).filter(|phase| *phase != to).collect();
        if phases.is_empty() {
            phases.extend([Some(run.from), run.target()].into_iter().flatten().find(|phase| *phase != to));
        }
        !phases.is_empty() && phases.iter().all(|from| way(*from, to, &observation.joins) != Way::Restart)
    }

    /// R2, R9, R12 and R13 of a node that is taken anew.
    fn check_claim(&mut self, flight: &Flight, index: usize, before: Option<Step>, step: &Step, run: &Run) {
        self.tally.count("a claim");
        let name = self.truth.nodes[index].name.clone();
        if Some(step.to) != run.target() && step.to != run.from {
            self.broken("R10", format!("{name} is claimed for {}", step.to));
        }
        let is_skipped = run.skipped.contains_key(&name);
        let had_place = before.is_some_and(|step| {
            step.state.is_in_transit()
                && (step.state != State::Held || (!is_skipped && is_of_pass(&step, run)))
        });
        let is_requested = self.is_recalled(flight, &name, run);
        let node = &self.truth.nodes[index];
        // Of such a node in a pool that is replaced, all pods are taken to have the old network.
        let is_silent = self.is_rotated(index) && node.api.observed.is_none() && node.api.label.is_none();
        let is_intruder = node
            .api
            .phases()
            .chain(node.api.desired)
            .chain(is_silent.then_some(self.plan.plain_phase()))
            .any(|phase| Some(phase) != run.target() && phase != run.from);
        // Where a run fixes stragglers, such nodes are all that it takes, and none of them goes before the others.
        if self.is_replaced_now(index, flight.nodes_seen) && !is_requested && !had_place {
            self.broken("R16", format!("{name} is claimed, and its pipeline replaces it"));
        }
        if had_place || (is_intruder && !flight.is_bridged && !run.fixes_stragglers()) {
            return;
        }
        if is_requested {
            self.check_places(flight, index, run);
            return;
        }
        let runs_on = self.runs_on(index, step.to, run);
        if if runs_on { flight.is_gated_beside } else { flight.is_gated } {
            self.broken("R9", format!("{name} starts although a gate is red or unknown"));
        }
        let is_known = self.truth.record.changed_at <= flight.sent;
        if is_known && !matches!(run.state, RunState::Running) {
            self.broken("R12", format!("{name} starts although the run is {:?}", run.state));
        }
        self.check_places(flight, index, run);
        if step.cordon == Some(Cordon::Ours) && !self.truth.nodes[index].api.is_cordoned {
            self.check_room(flight, index);
        }
    }

    /// An operator asked to bring the node back. A holder whose Lease was taken by force goes on for a moment with the run as it knew it.
    fn is_recalled(&self, flight: &Flight, name: &str, run: &Run) -> bool {
        let asks = |run: &Run| run.requests.get(name) == Some(&NodeRequest::Rollback);
        asks(run) || (self.truth.lease.was_forced && self.holders[flight.holder].own_runs.iter().any(asks))
    }

    /// R2: nodes in transit, and nodes in trouble that the run could know of.
    fn check_places(&mut self, flight: &Flight, index: usize, run: &Run) {
        // One that is held since an earlier pass starts like any other.
        let is_moving = |node: &Node| {
            node.api.step.as_ref().is_some_and(|step| {
                step.run == run.id
                    && (is_of_pass(step, run) || step.state != State::Held)
                    && step.state.is_in_transit()
            })
        };
        // Of nodes that their pipelines have begun with before they asked, one goes after the other. Whether their pipelines still ask is not read: a request may
        // just have been taken back.
        let is_begun = |node: &Node| {
            node.api.is_going
                && self.plan.method(&node.api.pool) == Method::Permit
                && self.is_to_leave(node)
                && !is_moving(node)
        };
        let is_own_begun = is_begun(&self.truth.nodes[index]);
        let takes = |node: &Node| {
            if is_own_begun && is_begun(node) {
                return false;
            }
            let is_moving = is_moving(node);
            let is_skipped = run.skipped.contains_key(&node.name);
            let is_held = node.api.step.as_ref().is_some_and(|step| step.state == State::Held);
            let is_known = |since: Option<Millis>| since.is_some_and(|since| since < flight.nodes_seen);
            let (in_trouble, is_down) = (is_known(node.troubled), is_known(node.down_since));
            // What a pipeline cordons is no trouble of the run, and that it takes the node away the run may not know yet.
            let leaves = self.leaves_as_known(node, flight.nodes_seen);
            let is_cordoned_alone = leaves && !is_down && !is_known(node.going_since);
            let in_trouble = in_trouble && !is_cordoned_alone;
            let is_marked = leaves && self.is_followed(node) && node.api.is_ready;
            let arrives = self.arrives_as_known(node, run, flight.nodes_seen);
            if (arrives || is_marked) && !is_moving && !is_skipped {
                return false;
            }
            match (is_moving, is_skipped) {
                (true, true) => !is_held || is_down,
                (true, false) => true,
                (false, true) => is_down,
                (false, false) => in_trouble,
            }
        };
        let others = || {
            self.truth.living_nodes().filter(|(other, node)| *other != index && !self.is_left_out(&node.name))
        };
        let zone = &self.truth.nodes[index].api.zone;
        let open = self.count_open_places(flight.nodes_seen, run) + self.hidden_drains(flight.nodes_seen);
        let all = others().filter(|(_, node)| takes(node)).count() + open;
        let of_zone = || others().filter(|(_, node)| node.api.zone == *zone);
        let in_zone = of_zone().filter(|(_, node)| takes(node)).count();
        let names =
            |nodes: Vec<&Node>| nodes.iter().map(|node| node.name.to_string()).collect::<Vec<_>>().join(", ");
        let everywhere = names(others().filter(|(_, node)| takes(node)).map(|(_, node)| node).collect());
        let those = names(of_zone().filter(|(_, node)| takes(node)).map(|(_, node)| node).collect());
        // The zone's share is that of the nodes which the run knew of.
        let went = |node: &&Node| {
            node.gone_at.is_some_and(|time| time >= flight.nodes_seen) && node.api.zone == *zone
        };
        let unseen = self.truth.nodes.iter().filter(went).count();
        let share = (of_zone().count() + unseen + 1) * self.plan.limits.zone_percent as usize / 100;
        let most = self.plan.limits.in_transit.max(1) as usize;
        if self.truth.lease.was_forced {
            return;
        }
        let name = &self.truth.nodes[index].name;
        if all >= most {
            let why = format!(
                "{name} is one too many: {all} others are in transit or in trouble, {open} of them places: {everywhere}"
            );
            self.broken("R2", why);
        } else if in_zone >= share.max(1) {
            self.broken("R2", format!("{name} is one too many of zone {zone}: {in_zone} others: {those}"));
        }
    }

    /// A network has joined or left a pod that runs on. Its primary, by which its address, its default route and its connections go, has to be what it was; and
    /// nothing that needs a network that leaves may be left (R3).
    pub(super) fn check_join(&mut self, index: usize, before: Attachment, to: Phase) {
        let from = before.phase;
        let primary = |phase: Phase| match phase.meaning() {
            (Attach::One(side), _) => Some(side),
            (Attach::Both, side) => side,
        };
        let name = self.truth.nodes[index].name.clone();
        let leaves = to.meaning().0 != Attach::Both;
        self.tally.count(if leaves { "a leave" } else { "a join" });
        if primary(from) != primary(to) {
            self.broken("the primary stays", format!("a pod on {name} runs on from {from} to {to}"));
        }
        if leaves && before.connected_until.is_none_or(|until| until > self.now) {
            self.broken(
                "a leave waits",
                format!("connections of a pod on {name} use the network that leaves"),
            );
        }
        if leaves && let Some(other) = self.parted_from(index, to) {
            self.broken("R3", format!("a network leaves a pod on {name} for {to}, and {other}"));
        }
    }

    /// R9 of workloads: a node is not done on what a silent watch has not brought. A workload that the run has touched, and that misses pods for longer than a watch may be silent, keeps nodes from being done.
    fn check_owners(&mut self, flight: &Flight, index: usize) {
        let Some(run) = self.truth.record.run.clone() else { return };
        if self.truth.lease.was_forced {
            return;
        }
        let touched = &self.holders[flight.holder].touched;
        let wrong = touched.iter().find_map(|(workload, touched)| {
            let controller = &self.truth.workloads[*workload];
            let (since, most) = controller.short.filter(|(since, _)| since + STALE + SECOND < flight.sent)?;
            // A node that was taken in the same moment may have pods of workloads that the run did not know before.
            if touched.since > flight.decided_at {
                return None;
            }
            let desired = controller.status.desired.min(touched.desired);
            let lacks = most.saturating_add(run.missing_replicas(&controller.blueprint.owner)) < desired;
            let name = &self.truth.nodes[index].name;
            let owner = &controller.blueprint.owner.name;
            lacks.then(|| {
                format!("{name} counts as done or may go, and {owner} misses pods since {} s", since / SECOND)
            })
        });
        wrong.into_iter().for_each(|why| self.broken("R9", why));
    }

    /// R8 of one node: what is attached to it as far as it can know.
    fn check_node(&mut self, flight: &Flight, index: usize, step: &Step) {
        self.tally.count("a node done");
        let node = &self.truth.nodes[index];
        let name = node.name.clone();
        let is_in_place = node.api.step.as_ref().is_some_and(|before| before.state == State::Settling);
        let is_new = self.replacing(&node.api.pool).is_some() && !is_in_place;
        if self.plan.is_final()
            && (is_new && !node.surprises(flight.nodes_seen) || !node.machine.has_crossfade)
        {
            return self.check_final(flight, index);
        }
        if !node.machine.has_crossfade && step.to == Phase::Old {
            // It is of the earlier image, and fills a place on the way back.
            let is_known = |since: Option<Millis>| since.is_some_and(|since| since < flight.nodes_seen);
            if is_known(node.going_since) || is_known(node.down_since) {
                self.broken(
                    "R8",
                    format!("{name} counts as done, and is not Ready, or another actor takes it away"),
                );
            }
            return;
        }
        // A new node has no claim to answer.
        let is_deaf = node.machine.watch_ended.is_some_and(|ended| ended < node.claimed);
        if is_in_place && is_deaf && !node.machine.has_watch {
            self.broken("R8", format!("{name} counts as done, and its watch ended before it was claimed"));
            return;
        }
        let was_observed = |since: Option<Millis>| since.is_some_and(|since| since < flight.nodes_seen);
        let published_boot = node.api.observed.as_ref().map(|observed| &*observed.boot_id);
        if was_observed(node.booted_at) && published_boot != Some(&*node.api.boot) {
            self.broken("R8", format!("{name} counts as done on the word of an earlier boot"));
            return;
        }
        if was_observed(node.going_since) {
            self.broken("R8", format!("{name} counts as done, and a pipeline takes it away"));
            return;
        }
        if was_observed(node.down_since) {
            self.broken("R8", format!("{name} counts as done, and is not Ready"));
            return;
        }
        // Nothing puts the taint on a node again, so the run saw it.
        if !is_in_place && node.api.taints.iter().any(|key| &**key == STARTUP) {
            self.broken("R8", format!("{name} fills a place, and bears a start-up taint"));
            return;
        }
        // A person just had the node remember its pods.
        let has_remembered =
            node.machine.misjudged.is_some_and(|time| time > node.published_at(flight.nodes_seen));
        if has_remembered || node.surprises(flight.nodes_seen) {
            return;
        }
        let forgotten = |id: &u32| node.machine.forgets.contains(id);
        let attached_pods = node.pods.iter().filter(|id| !forgotten(id));
        let phases = attached_pods.filter_map(|id| Some(self.truth.pods.get(id)?.attached?.phase));
        let other = phases.chain([node.machine.phase]).find(|phase| *phase != step.to);
        if let Some(other) = other {
            self.broken("R8", format!("{name} counts as done in {}, and has {other}", step.to));
        }
        self.check_policy(flight, index, true);
        // A new node is proven whatever the workloads lack: the next one to go waits for them.
        if self.replacing(&self.truth.nodes[index].api.pool).is_none() {
            self.check_owners(flight, index);
        }
    }

    /// The run is about to be written.
    pub(super) fn check_record(&mut self, flight: &Flight, next: &Run) {
        let Some(run) = self.truth.record.run.clone() else { return };
        self.check_lease(flight, "a write of the run");
        if next.wish != run.wish {
            self.tally.count("a wish");
            return;
        }
        if next.state != run.state && next.state != RunState::Done {
            self.broken("R12", format!("the run goes from {:?} to {:?} by itself", run.state, next.state));
        }
        if next.pass != run.pass {
            self.tally.count("a pass");
            self.passes.push(self.now);
            self.passed_seen = flight.nodes_seen;
            self.check_pass(flight, &run);
            self.check_places_filled(flight, &run);
        }
    }

    /// The attachments of a node that a count of pods can show.
    ///
    /// It cannot tell a pod that the node forgot from an attachment that outlived its pod, where the node has as many of both, or had when it was counted
    /// last.
    fn countable(&self, index: usize, is_late: bool) -> Vec<Phase> {
        if is_late {
            return self.truth.published_phases(index).collect();
        }
        let machine = &self.truth.nodes[index].machine;
        let is_recent = |time: Millis| self.now - time < 11 * MINUTE;
        if machine.forgets.len() <= machine.leftovers.len() || machine.misjudged.is_some_and(is_recent) {
            return self.truth.published_phases(index).collect();
        }
        self.truth.attached_phases(index).collect()
    }

    /// R8 of a whole pass.
    fn check_pass(&mut self, flight: &Flight, run: &Run) {
        let Some(target) = run.target() else { return };
        // Reports of nodes after the count did not reach it.
        let is_late = flight.sent > flight.nodes_seen + 10 * SECOND;
        self.passed_late = is_late;
        let is_silent = |(_, node): &(usize, &Node)| {
            !self.is_left_out(&node.name)
                && !run.skipped.contains_key(&node.name)
                && node.down_since.is_some_and(|since| since < flight.nodes_seen)
        };
        let mut wrong = self
            .truth
            .living_nodes()
            .find(is_silent)
            .map(|(_, node)| format!("{} is not Ready at the end of the pass to {target}", node.name));
        for (index, node) in self.knowable(flight.nodes_seen) {
            if run.skipped.contains_key(&node.name) {
                let is_empty = self.countable(index, is_late).is_empty();
                // A person may just have uncordoned it, and pods went there at once, or will once it is Ready again.
                let was_opened = node.opened.max(node.uncordoned_at) >= flight.nodes_seen;
                let is_right = was_opened || (node.api.is_cordoned && is_empty);
                if !is_right {
                    wrong = Some(format!(
                        "{} was skipped, and takes pods or has some: cordoned {}, empty {is_empty}",
                        node.name, node.api.is_cordoned
                    ));
                }
                continue;
            }
            if self.is_of_other_network(index) {
                if self.has_other_network(index, flight.pods_seen) {
                    wrong = Some(format!("{} has pods of the old network at the end of the run", node.name));
                }
                continue;
            }
            let phases = self.countable(index, is_late).into_iter().chain([node.machine.phase]);
            if let Some(other) = phases.into_iter().find(|phase| *phase != target) {
                wrong = Some(format!("{} has {other} at the end of the pass to {target}", node.name));
            }
        }
        wrong.into_iter().for_each(|why| self.broken("R8", why));
        self.last_skipped = run.skipped.keys().cloned().collect();
    }

    /// The run says that everything is done.
    pub(super) fn check_done(&mut self) {
        self.is_over = true;
        self.tally.count("a run done");
        let Some(run) = self.truth.record.run.clone() else { return };
        let wrong = self.knowable(self.passed_seen).find_map(|(index, node)| {
            let mut phases = self.countable(index, self.passed_late).into_iter().chain([node.machine.phase]);
            // The end of the pass was asked of such a node.
            let is_wrong = phases.any(|phase| phase != run.from)
                && !self.last_skipped.contains(&node.name)
                && !self.is_of_other_network(index);
            is_wrong.then(|| format!("{} is not in {} although the run is done", node.name, run.from))
        });
        wrong.into_iter().for_each(|why| self.broken("the run is done", why));
        self.check_given_back();
    }
}
