//! The invariants of nodes that pipelines replace: the run lets no more of them go than the plan allows, each once all are
//! held, and gives everything back.
//!
//! All of it is asked of the machines as they are. The run's own numbers, its places and what it takes for a new node, are not read.

use migration::config::roll::Method;
use migration::roll::run::{Run, State as RunState};
use migration::roll::step::{Hook, Patch};
use migration::roll::view::is_of_pass;
use migration::roll::world::Trait;
use snapshot::model::Text;
use types::api::step::{State, Step};
use types::policy::Phase;

use crate::cluster::api::LONGEST;
use crate::cluster::truth::{Actor, Node};
use crate::history::History;
use crate::history::event::Flight;
use crate::history::queue::Millis;

/// What a node is, and what it says, in words.
fn describe(node: &Node) -> String {
    let reported = node.api.observed.as_ref().and_then(|observed| observed.phase);
    let ready = if node.api.is_ready { "Ready" } else { "not Ready" };
    format!("in {} and {ready}, reported as {reported:?}, label {:?}", node.machine.phase, node.api.label)
}

impl History {
    /// Whether a node is of a pool whose nodes are replaced, and not in the phase of its image.
    pub(crate) fn is_left_behind(&self, node: &Node) -> bool {
        let image = self.plan.image_phase(&node.api.pool);
        // Nothing but the addresses of its pods tells what image a node without Crossfade is of, and its Node may bear what an earlier machine has reported.
        let is_there = if self.plan.is_final() {
            node.api.is_silent()
        } else {
            node.machine.has_crossfade && image == Some(node.machine.phase)
        };
        self.plan.rotates(&node.api.pool) && !is_there && !self.is_left_out(&node.name)
    }

    /// Whether this pass has the node replaced, and the run could know it.
    pub(super) fn is_replaced_now(&self, index: usize, observed_at: Millis) -> bool {
        let node = &self.truth.nodes[index];
        let is_known = self.could_know(node, observed_at) && self.truth.record.changed_at <= observed_at;
        let is_replaced = self.replacing(&node.api.pool).is_some() && self.is_left_behind(node);
        is_replaced && is_known && !self.truth.lease.was_forced
    }

    /// Whether a run that saw everything up to then could know in which phase the node is, and which it follows.
    fn could_know(&self, node: &Node, seen: Millis) -> bool {
        let goes_back = self.truth.run().is_some_and(|run| run.target() == Some(Phase::Old));
        let is_late = goes_back && node.published_at.0 > seen;
        !node.surprises(seen) && node.machine.flipped <= node.published_at(seen) && !is_late
    }

    /// Whether the run turned back from the phase of the image, and the node does not follow it there, so that it is replaced once more.
    pub(crate) fn is_returned(&self, node: &Node) -> bool {
        let is_beyond = node.machine.has_crossfade && node.machine.phase != Phase::Old;
        self.is_replacing_back(&node.api.pool)
            && is_beyond
            && node.api.observed.as_ref().is_some_and(|says| !says.follows.contains(&Phase::Old))
    }

    /// Whether the run turned back from the phase of a pool's image, in the pass that replaces its nodes by those of the earlier image.
    fn is_replacing_back(&self, pool: &str) -> bool {
        let image = self.plan.image_phase(pool);
        let is_back = |run: &Run| Some(run.from) == image && run.target() == Some(Phase::Old);
        self.truth.run().is_some_and(is_back)
    }

    /// Whether the present pass has another node take the place of this one.
    pub(super) fn is_to_leave(&self, node: &Node) -> bool {
        self.replacing(&node.api.pool).is_some() && self.is_left_behind(node)
            || self.is_returned(node)
            || self.is_lost(node)
    }

    /// Whether a pipeline takes the node away in this pass whatever becomes of it: it has begun with one that it may have, or its Machine is deleted and held.
    fn is_lost(&self, node: &Node) -> bool {
        let pool = &node.api.pool;
        if self.replacing(pool).is_none() && !self.is_replacing_back(pool) {
            return false;
        }
        let may_go = self.truth.run().is_some_and(|run| Self::is_permitted(node, run));
        let is_held = node.capi.as_ref().is_some_and(|machine| machine.hook.is_some());
        let has_begun = node.api.is_cordoned || node.api.is_going || !node.api.is_ready;
        may_go && has_begun || node.has_deleted_machine() && (may_go || is_held)
    }

    /// The same of a node as the run may know it: a person may just have brought it to another phase.
    pub(super) fn leaves_as_known(&self, node: &Node, observed_at: Millis) -> bool {
        self.is_to_leave(node) || self.plan.rotates(&node.api.pool) && !self.could_know(node, observed_at)
    }

    /// Whether the plan names this very node.
    pub(super) fn is_planned(&self, node: &Node) -> bool {
        self.plan.waves.iter().flat_map(|wave| &wave.nodes).any(|planned| planned.uid == node.api.uid)
    }

    fn method(&self, node: &Node) -> Method {
        self.plan.method(&node.api.pool)
    }

    /// Whether a pipeline that cannot be held will replace the node, and has not begun to: it marks all of its nodes at once.
    pub(super) fn is_marked(&self, node: &Node) -> bool {
        self.is_followed(node) && node.api.is_ready && self.is_to_leave(node)
    }

    /// Whether nothing holds the node's pipeline.
    pub(super) fn is_followed(&self, node: &Node) -> bool {
        matches!(self.method(node), Method::Follow | Method::ClusterApi) && node.capi.is_none()
    }

    /// How many pools there are where one of the marked nodes is drained, and none shows it.
    pub(super) fn hidden_drains(&self, observed_at: Millis) -> usize {
        let is_hidden = |pool: &&migration::plan::Pool| {
            let is_known = |node: &&Node| node.troubled.is_some_and(|since| since < observed_at);
            let nodes = self.truth.living_nodes().map(|(_, node)| node);
            let going = nodes.filter(|node| node.api.pool == pool.name && node.api.is_going).filter(is_known);
            let going: Vec<&Node> = going.filter(|node| self.is_to_leave(node)).collect();
            !going.is_empty() && going.iter().all(|node| self.is_marked(node))
        };
        self.plan.pools.iter().filter(is_hidden).count()
    }

    fn is_permitted(node: &Node, run: &Run) -> bool {
        node.api.step.as_ref().is_some_and(|step| step.state == State::Permitted && is_of_pass(step, run))
    }

    /// Whether a node is in transit by the run's step on it.
    fn has_place(node: &Node, run: &Run) -> bool {
        node.api.step.as_ref().is_some_and(|step| step.run == run.id && step.state.is_in_transit())
    }

    /// Whether a node is new in this pass and not proven yet, or may be: nothing tells what a node is that has joined without a word, as long as kubelet
    /// waits for its network. Its place is one of those that are open.
    pub(super) fn is_arriving(&self, node: &Node, run: &Run) -> bool {
        let has_turn = |step: &Step| step.state.is_left_to_pipeline() && step.run == run.id;
        let is_done = |step: &Step| step.state == State::Done && is_of_pass(step, run);
        let has_step = |such: &dyn Fn(&Step) -> bool| node.api.step.as_ref().is_some_and(such);
        if !self.plan.rotates(&node.api.pool) || has_step(&is_done) {
            return false;
        }
        let is_nameless = node.api.is_silent() && !self.is_planned(node);
        if self.replacing(&node.api.pool).is_some() {
            !self.is_left_behind(node) || is_nameless && !node.api.is_ready && !has_step(&has_turn)
        } else {
            self.is_replacing_back(&node.api.pool) && is_nameless
        }
    }

    /// The same of a node as the run may know it: a person has edited its phase, and it has not said so yet.
    pub(super) fn arrives_as_known(&self, node: &Node, run: &Run, observed_at: Millis) -> bool {
        let is_proven = |step: &Step| step.state == State::Done && is_of_pass(step, run);
        let image = self.replacing(&node.api.pool);
        let is_edited = image.is_some()
            && !self.could_know(node, observed_at)
            && node.api.label == image
            && !node.api.step.as_ref().is_some_and(is_proven);
        is_edited || self.is_arriving(node, run)
    }

    /// How many places of replaced pools are open: planned nodes that have gone and for which no proven new node is there, or new nodes that are not Ready,
    /// whichever are more.
    pub(super) fn count_open_places(&self, observed_at: Millis, run: &Run) -> usize {
        let open = |pool: &migration::plan::Pool| {
            let is_back = self.is_replacing_back(&pool.name);
            if self.replacing(&pool.name).is_none() && !is_back {
                return 0;
            }
            let planned = self.plan.waves.iter().flat_map(|wave| &wave.nodes);
            let is_gone = |planned: &&migration::plan::PlannedNode| {
                planned.pool == pool.name
                    && !run.skipped.contains_key(&planned.name)
                    && self
                        .truth
                        .nodes
                        .iter()
                        .find(|node| node.api.uid == planned.uid)
                        .is_some_and(|node| node.gone_at.is_some_and(|gone| gone < observed_at))
            };
            let gone = planned.filter(is_gone).count();
            // One that went, that was flipped by hand, or whose Node another actor changed, since the run looked.
            let fills_place = |pool_name: &Text, step: Option<&Step>| {
                let is_done = |step: &Step| step.state == State::Done && is_of_pass(step, run);
                *pool_name == pool.name && step.is_some_and(is_done)
            };
            let is_new = |node: &&Node| {
                let is_there = node.gone_at.is_none_or(|gone| gone >= observed_at);
                let before = node.forged.as_ref().filter(|(time, ..)| *time >= observed_at);
                let did_before =
                    || before.is_some_and(|(_, pool_name, step)| fills_place(pool_name, step.as_ref()));
                // On the way back, nodes of the image hold the places of those that have gone, as long as they are there.
                let holds_place = is_back && node.pool == pool.name && !node.api.is_silent();
                let is_other = !is_back || !self.is_planned(node);
                let fills = || fills_place(&node.api.pool, node.api.step.as_ref()) || did_before();
                is_there && is_other && (holds_place || fills())
            };
            let unreplaced = gone.saturating_sub(self.truth.nodes.iter().filter(is_new).count());
            // One that may go or that the run itself moves has its place already, whatever a person made of it since.
            let is_coming = |(_, node): &(usize, &Node)| {
                node.api.pool == pool.name
                    && !Self::has_place(node, run)
                    && node.down_since.is_some_and(|since| since < observed_at)
                    && self.is_arriving(node, run)
                    && !run.skipped.contains_key(&node.name)
            };
            unreplaced.max(self.truth.living_nodes().filter(is_coming).count())
        };
        self.plan.pools.iter().map(open).sum()
    }

    /// R7 of the annotation that keeps Karpenter from a node.
    pub(super) fn check_annotation(&mut self, patch: &Patch, index: usize) {
        let node = &self.truth.nodes[index];
        let actor = node.undisturbed_by;
        let why = match patch.undisturbed {
            Some(false) if actor == Some(Actor::Other) => "is taken away, and is not the run's",
            Some(true) if node.api.is_undisturbed => "is set, and was there",
            Some(true | false) | None => return,
        };
        self.broken("R7", format!("the annotation of {} {why}", patch.node));
    }

    /// R1, R7, R10 and R15 of the hook that keeps Cluster API from a node.
    pub(crate) fn check_hook(&mut self, flight: &Flight, hook: &Hook, index: usize) {
        let Some(run) = self.truth.run().cloned() else { return };
        self.check_lease(flight, "a hook");
        let node = &self.truth.nodes[index];
        let (name, held_by) = (&node.name, node.capi.as_ref().and_then(|machine| machine.hook.as_deref()));
        let seen = flight.nodes_seen;
        let is_forged = node.forged.as_ref().is_some_and(|(time, ..)| *time >= seen);
        let is_known = self.could_know(node, seen)
            && self.truth.record.changed_at <= seen
            && !self.truth.lease.was_forced
            && !is_forged;
        let step = node.api.step.as_ref().filter(|step| step.run == run.id);
        let is_waiting = step.is_some_and(|step| step.state == State::Waiting);
        let is_drained = |(other, node): (usize, &Node)| {
            let is_unheld =
                node.capi.as_ref().is_some_and(|machine| machine.is_deleted && machine.hook.is_none());
            (other != index && is_unheld && node.capi_changed < seen).then(|| node.name.clone())
        };
        let is_over = run.target().is_none();
        let other =
            self.truth.living_nodes().filter(|_| is_over && node.has_deleted_machine()).find_map(is_drained);
        let wrong = match &hook.run {
            Some(_) if held_by.is_some() => Some(("R7", "is set, and there is one".to_owned())),
            Some(_) if is_known && !is_waiting => {
                Some(("R10", "is set, and the node does not wait".to_owned()))
            }
            None if held_by != Some(&*run.id) => {
                Some(("R7", "is taken away, and is not the run's".to_owned()))
            }
            None if is_known && !is_over && self.is_to_leave(node) && !Self::is_permitted(node, &run) => {
                Some(("R15", "is taken away, and it is not the node's turn".to_owned()))
            }
            None => other.map(|other| ("R15", format!("is taken away at the end, and {other} is drained"))),
            Some(_) => None,
        };
        if let Some((rule, why)) = wrong {
            let why = format!("the hook of the Machine of {name} {why}");
            self.broken(rule, why);
        }
    }

    /// R10 of a node that is kept from its pipeline.
    pub(super) fn check_waiting(
        &mut self,
        flight: &Flight,
        index: usize,
        (before, step): (Option<&Step>, &Step),
        run: &Run,
    ) {
        self.tally.count("a node kept from its pipeline");
        let node = &self.truth.nodes[index];
        // Of a machine that was made anew and reports nothing the run knows what it was before, and lets no pipeline have it.
        let is_unreported = match &node.api.observed {
            Some(report) => *report.boot_id != *node.api.boot,
            None => node.machine.has_crossfade,
        };
        let is_excused = !self.could_know(node, flight.nodes_seen)
            || self.truth.record.changed_at > flight.nodes_seen
            || self.truth.lease.was_forced
            || is_unreported;
        // A run that is turned or stopped holds what its pipeline has not begun with.
        let is_held_again = before.is_some_and(|before| {
            // Of one that waits already, nothing but a note about its cordon changes.
            let is_note = before.state == State::Waiting && before.claim == step.claim;
            before.run == run.id && (before.state == State::Permitted || is_note)
        });
        if !is_excused && !is_held_again && !self.is_to_leave(node) {
            let why = format!(
                "{} is kept from its pipeline, and nothing replaces it: {}",
                node.name,
                describe(node)
            );
            self.broken("R10", why);
        }
    }

    /// R4, R9, R10, R12, R13 and R15 of a node that a pipeline may take away.
    pub(super) fn check_permit(&mut self, flight: &Flight, index: usize, before: Option<&Step>, run: &Run) {
        if before.is_some_and(|step| step.state == State::Permitted && is_of_pass(step, run)) {
            return;
        }
        self.tally.count("a permit");
        if self.truth.permitted.is_none_or(|(pass, _)| pass != run.pass) {
            self.truth.permitted = Some((run.pass, self.now));
        }
        if self.truth.lease.was_forced {
            return;
        }
        let name = self.truth.nodes[index].name.clone();
        let is_known = self.truth.record.changed_at <= flight.sent;
        if is_known && !matches!(run.state, RunState::Running) {
            self.broken("R12", format!("{name} may go although the run is {:?}", run.state));
        }
        if flight.is_gated {
            self.broken("R9", format!("{name} may go although a gate is red or unknown"));
        }
        let node = &self.truth.nodes[index];
        if self.could_know(node, flight.nodes_seen) && !self.is_to_leave(node) {
            let why = format!("{name} may go, and nothing replaces it: {}", describe(node));
            self.broken("R10", why);
        }
        let node = &self.truth.nodes[index];
        let is_known = node.drift_changed < flight.nodes_seen;
        if self.method(node) == Method::Karpenter && !node.is_drifted && is_known {
            self.broken("R15", format!("{name} may go, and Karpenter does not find it drifted"));
        }
        self.check_levers(flight, index, run);
        self.check_departures(flight, index, run);
        self.check_dns(flight, index, run);
        let node = &self.truth.nodes[index];
        if self.method(node) == Method::Permit && !node.api.is_cordoned {
            self.check_room(flight, index);
        }
    }

    /// R15: every other node that is to be replaced is held.
    fn check_levers(&mut self, flight: &Flight, index: usize, run: &Run) {
        let observed_at = flight.nodes_seen;
        let is_free = |(other, node): &(usize, &Node)| {
            let is_new = node.created_at > observed_at
                || node.forged.as_ref().is_some_and(|(time, ..)| *time >= observed_at)
                || node.opened.max(node.released) >= observed_at
                || !self.could_know(node, observed_at);
            let is_counted = *other != index
                && !is_new
                && self.is_to_leave(node)
                && node
                    .api
                    .step
                    .as_ref()
                    .is_none_or(|step| step.run == run.id || !step.state.is_in_transit())
                && node.api.is_ready
                && !node.api.is_going
                && !run.skipped.contains_key(&node.name)
                && !self.is_followed(node);
            let step = node.api.step.as_ref().filter(|step| is_of_pass(step, run));
            let is_held = match step.map(|step| step.state) {
                Some(State::Waiting) => {
                    let is_hooked = node.capi.as_ref().is_none_or(|machine| machine.hook.is_some());
                    is_hooked && (self.method(node) != Method::Karpenter || node.api.is_undisturbed)
                }
                // It has its place already, as one that the run itself moves.
                Some(State::Permitted) => true,
                Some(state) => state.is_in_transit(),
                None => false,
            };
            is_counted && !is_held
        };
        let free = self
            .truth
            .living_nodes()
            .find(is_free)
            .map(|(_, node)| (node.name.clone(), node.api.step.clone()));
        if let Some((other, step)) = free {
            let name = &self.truth.nodes[index].name;
            let why = format!("{name} may go, and {other} is not kept from its pipeline: {step:?}");
            self.broken("R15", why);
        }
    }

    /// R2 and R15: no more nodes are away, on their way or not replaced than the plan has at once.
    fn check_departures(&mut self, flight: &Flight, index: usize, run: &Run) {
        let observed_at = flight.nodes_seen;
        let is_other = |(other, node): &(usize, &Node)| *other != index && Self::is_permitted(node, run);
        let permitted = self.truth.living_nodes().filter(is_other).count();
        let open = self.count_open_places(observed_at, run);
        // In which wave a node goes that joined is the run's to say.
        let most = self
            .plan
            .waves
            .iter()
            .map(|wave| wave.at_once)
            .max()
            .unwrap_or(1)
            .min(self.plan.limits.in_transit.max(1)) as usize;
        let name = self.truth.nodes[index].name.clone();
        if permitted + open >= most {
            let why = format!(
                "{name} may go, {permitted} others may, {open} places are open, and {most} at once are planned"
            );
            self.broken("R15", why);
            return;
        }
        self.check_scouts(index, permitted, open, run);
        // One that has gone since the run looked was on its way for it.
        let is_moving = |node: &Node| {
            node.gone_at.is_none_or(|gone| gone >= observed_at)
                && (Self::has_place(node, run) || node.unclaimed >= observed_at)
        };
        if !self.truth.nodes.iter().any(is_moving) {
            self.check_owners(flight, index);
        }
        self.check_places(flight, index, run);
    }

    /// R15: while no node of any replaced pool has been replaced, one goes where the plan begins with scouts of that pool.
    fn check_scouts(&mut self, index: usize, permitted: usize, open: usize, run: &Run) {
        let pool = &self.truth.nodes[index].api.pool;
        // One that a person has skipped is no scout of its pool any more.
        let counts = |planned: &migration::plan::PlannedNode| {
            planned.pool == *pool && !run.skipped.contains_key(&planned.name)
        };
        // Where all of them are skipped, the plan has no scouts for those that joined: these go in a wave that is the run's to say.
        let Some(first) = self.plan.waves.iter().find(|wave| wave.nodes.iter().any(counts)) else { return };
        let most = first.at_once as usize;
        // One that a person brought to the image's phase counts as new, and has its place filled by itself or by a proven one.
        let is_replaced =
            |node: &Node| node.gone_at.is_some() || self.is_planned(node) && !self.is_left_behind(node);
        let is_first = !self.truth.nodes.iter().any(|node| node.api.pool == *pool && is_replaced(node));
        if is_first && permitted + open >= most {
            let name = self.truth.nodes[index].name.clone();
            self.broken(
                "R15",
                format!("{name} may go beside {permitted} others, and the first wave of its pool has {most}"),
            );
        }
    }

    /// R4 of the DNS pods of a node that is about to be drained, and of those on nodes that may be drained already.
    fn check_dns(&mut self, flight: &Flight, index: usize, run: &Run) {
        let is_dns = |id: &&u32| {
            self.truth.pods.get(id).is_some_and(|pod| pod.api.has_trait(Trait::Dns) && pod.is_ready())
        };
        let own: Vec<u32> = self.truth.nodes[index].pods.iter().filter(is_dns).copied().collect();
        if own.is_empty() {
            return;
        }
        let elsewhere = |(other, node): &(usize, &Node)| {
            let has = node.pods.iter().filter(is_dns).any(|id| {
                self.truth
                    .pods
                    .get(id)
                    .is_some_and(|pod| pod.placed < flight.pods_seen.min(flight.nodes_seen))
            });
            // A person may have brought it to the image's phase before its pipeline began.
            let has_begun = node.api.is_going || self.truth.pipelines.iter().any(|acting| acting.has(*other));
            let may_go = self.is_to_leave(node) || has_begun;
            // One whose pool another actor has changed is of no pipeline that the run knows.
            let is_of_pool = node.api.pool == node.pool;
            *other != index && Self::is_permitted(node, run) && may_go && is_of_pool && has
        };
        let other = self.truth.living_nodes().find(elsewhere).map(|(_, node)| node.name.clone());
        let name = self.truth.nodes[index].name.clone();
        if let Some(other) = other {
            self.broken("R4", format!("{name} may go, and {other} with DNS pods, too, may go already"));
            return;
        }
        let wrong = own.into_iter().find_map(|id| self.starves_dns(flight, id));
        wrong.into_iter().for_each(|(rule, why)| self.broken(rule, format!("{name} may go: {why}")));
    }

    /// Whether a machine is of an image without Crossfade that is not the final one.
    pub(crate) fn is_of_other_network(&self, index: usize) -> bool {
        let machine = &self.truth.nodes[index].machine;
        self.plan.is_final() && !machine.has_crossfade && machine.phase != Phase::New
    }

    /// Whether a node has a pod of another network than the new one that a run could know which saw everything of pods up to then.
    pub(super) fn has_other_network(&self, index: usize, observed_at: Millis) -> bool {
        let pods = self.truth.nodes[index].pods.iter().filter_map(|id| self.truth.pods.get(id));
        let mut attached = pods.filter_map(|pod| pod.attached);
        attached.any(|attached| attached.phase != Phase::New && attached.since < observed_at)
    }

    /// R8 of a node that fills a place in a run to the final image: it reports nothing, and its agent and its pods prove it.
    pub(super) fn check_final(&mut self, flight: &Flight, index: usize) {
        let node = &self.truth.nodes[index];
        let is_known = |since: Option<Millis>| since.is_some_and(|since| since < flight.nodes_seen);
        let was_late = |time: Option<Millis>| time.is_some_and(|time| time >= flight.pods_seen);
        let has_agent = match self.truth.agent_on(index) {
            Some(agent) => agent.is_ready() || was_late(agent.shaken),
            None => was_late(node.agent_lost),
        };
        let why = if node.machine.has_crossfade {
            "is of the migration image"
        } else if !node.api.is_silent() {
            "bears what another machine has reported"
        } else if is_known(node.going_since) || is_known(node.down_since) {
            "is not Ready, or another actor takes it away"
        } else if node.is_barred() {
            "bears a start-up taint"
        } else if self.truth.has_new_agents() && (!has_agent || node.machine.works_from > flight.pods_seen) {
            "has no agent of the new network that is Ready, so that pods on it get neither network"
        } else if self.has_other_network(index, flight.pods_seen) {
            "has a pod of another network"
        } else {
            return;
        };
        let why = format!("{} fills a place, and {why}", node.name);
        self.broken("R8", why);
    }

    /// A pod is about to get a node. One that is to be replaced gets it only where no new node has room.
    pub(crate) fn place_moving(&mut self, id: u32, index: usize) {
        let node = &self.truth.nodes[index];
        let image = self.replacing(&node.api.pool);
        let Some(run) = self.truth.run().filter(|_| image.is_some()) else { return };
        let is_planned = self.is_planned(node);
        let has_begun = self.truth.permitted.is_some_and(|(pass, _)| pass == run.pass);
        let is_fenced = self.plan.limits.fence && has_begun && is_planned && self.is_left_behind(node);
        // One that a person had skipped is fenced as soon as a holder sees it again.
        let seen_from = node.resumed.max(self.truth.lease.taken_at);
        let is_driven = self.holders.iter().any(|holder| holder.holds());
        let is_unfenced = !node.api.is_fenced && node.resumed > 0;
        let is_new = is_unfenced && (!is_driven || self.now < seen_from + LONGEST);
        if !is_fenced || is_new || run.skipped.contains_key(&node.name) || node.surprise.is_some() {
            return;
        }
        // A step alone does not show that: a node may have written it itself.
        let is_proven = |(other, node): &(usize, &Node)| {
            node.api.step.as_ref().is_some_and(|step| step.state == State::Done && is_of_pass(step, run))
                && (node.api.label == image || self.plan.is_final() && node.api.is_silent())
                && self.truth.attached_phases(*other).all(|phase| Some(phase) == image)
        };
        let has_room =
            self.truth.living_nodes().filter(is_proven).any(|(other, _)| self.truth.fits(id, other));
        if let Some(pod) = self.truth.pods.get_mut(&id) {
            pod.is_misplaced = has_room;
        }
    }

    /// A pipeline is about to evict a pod: none moves twice because it got a node that was to be replaced, and a new one had room.
    pub(crate) fn check_second_move(&mut self, id: u32) {
        let Some(pod) = self.truth.pods.get(&id).filter(|pod| pod.is_misplaced) else { return };
        let why = format!(
            "pod {} moved to {}, which is replaced, although a new node had room",
            pod.api.title(),
            pod.api.node
        );
        self.broken("no pod moves twice", why);
    }

    /// R8 of the pass that replaces nodes: as many new nodes are there as old ones were, and no old one is left.
    pub(super) fn check_places_filled(&mut self, flight: &Flight, run: &Run) {
        if !self.plan.pools.iter().any(|pool| self.replacing(&pool.name).is_some()) {
            return;
        }
        let open = self.count_open_places(flight.nodes_seen, run);
        if open > 0 {
            self.broken("R8", format!("the pass ends, and {open} nodes that have gone are not replaced"));
        }
        let is_old =
            |(_, node): &(usize, &Node)| self.is_to_leave(node) && !run.skipped.contains_key(&node.name);
        let old = self.knowable(flight.nodes_seen).find(is_old).map(|(_, node)| node.name.clone());
        if let Some(old) = old {
            self.broken("R8", format!("the pass ends, and {old} is not replaced"));
        }
        // Pods on such a node get neither network.
        let is_dead = |(_, node): &(usize, &Node)| {
            let is_of_image = self.plan.rotates(&node.api.pool) && !node.machine.has_crossfade;
            is_of_image
                && node.machine.works_from > flight.nodes_seen
                && !run.skipped.contains_key(&node.name)
        };
        let dead = self.knowable(flight.nodes_seen).find(is_dead).map(|(_, node)| node.name.clone());
        if let Some(dead) = dead.filter(|_| self.plan.is_final() && self.truth.has_new_agents()) {
            self.broken("R8", format!("the pass ends, and pods on {dead} get neither network"));
        }
    }

    /// R17: what the run put on nodes it has given back.
    pub(super) fn check_given_back(&mut self) {
        let Some(run) = self.truth.run() else { return };
        let bears = |(_, node): &(usize, &Node)| {
            let is_lever = |step: &Step| step.run == run.id && step.state.is_left_to_pipeline();
            let hook = node.capi.as_ref().and_then(|machine| machine.hook.as_deref());
            node.undisturbed_by == Some(Actor::Run)
                || hook == Some(&*run.id)
                || node.api.step.as_ref().is_some_and(is_lever)
        };
        let wrong = self
            .truth
            .living_nodes()
            .find(bears)
            .map(|(_, node)| format!("{}: {:?}", node.name, node.api.step));
        if let Some(why) = wrong {
            self.broken("R17", format!("the run is over, and still keeps a node from its pipeline: {why}"));
        }
    }
}
