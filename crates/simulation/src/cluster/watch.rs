//! The simulated `watch` of a node: it follows the desired phase, and publishes what it observes.

use std::collections::BTreeMap;

use migration::cni::reach::{Way, way};
use migration::roll::world::Condition;
use snapshot::model::Text;
use types::api::observed::{AttachmentCounts, NAMED, NodeObservation, UID_CHARS};
use types::policy::{Attach, Phase};

use crate::cluster::truth::{Attachment, Pod, Reporter, Truth};
use crate::disturb::fault::CallFault;
use crate::history::History;
use crate::history::event::{Event, Turn};
use crate::history::queue::{HOUR, MINUTE, Millis, SECOND};
use crate::pipeline::NEVER;

/// How long after one pass over the pods whose connections keep a network the next one begins.
const LEAVE_AGAIN: Millis = MINUTE;

impl Truth {
    /// The present turn of a machine.
    pub(crate) fn turn(&self, node: usize) -> Turn {
        Turn { node, number: self.nodes[node].machine.turn }
    }

    /// `watch` runs, reaches the API server, and this is still its turn.
    fn watches(&self, turn: Turn) -> bool {
        let node = &self.nodes[turn.node];
        let machine = &node.machine;
        machine.turn == turn.number && machine.has_watch && node.answers() && node.gone_at.is_none()
    }

    /// What `watch` observes.
    pub(crate) fn observe(&self, index: usize) -> NodeObservation {
        let node = &self.nodes[index];
        let machine = &node.machine;
        let mut by_phase: BTreeMap<Phase, u32> = BTreeMap::new();
        let mut others = Vec::new();
        let attached_pods = node.pods.iter().filter(|pod| !machine.forgets.contains(pod));
        for pod in attached_pods.filter_map(|pod| self.pods.get(pod)) {
            let Some(attached) = pod.attached else { continue };
            *by_phase.entry(attached.phase).or_default() += 1;
            if attached.phase != machine.phase {
                others.push(pod.api.uid.get(..UID_CHARS).unwrap_or_default().to_owned());
            }
        }
        for phase in &machine.leftovers {
            *by_phase.entry(*phase).or_default() += 1;
        }
        let named = others.len();
        others.sort();
        others.truncate(NAMED);
        NodeObservation {
            boot_id: boot(machine.boot),
            phase: Some(machine.phase),
            policy_sha256: None,
            base: Some(machine.base.to_string()),
            mints: vec![machine.phase],
            follows: machine.follows.clone(),
            joins: machine.joins.clone(),
            restarts: self.restarts(index, named),
            attached: Some(AttachmentCounts { by_phase, unknown: 0, others }),
            image: None,
            echo: node.api.step.as_ref().map(|step| step.claim.clone()),
        }
    }
}

impl Truth {
    /// Pods of a node that a network joins or leaves sooner or later, so that they are of the node's phase.
    fn joinable(&self, index: usize) -> impl Iterator<Item = u32> {
        let machine = &self.nodes[index].machine;
        let attached_pods = self.nodes[index].pods.iter().filter(|id| !machine.forgets.contains(id));
        attached_pods.copied().filter(|id| {
            let Some(pod) = self.pods.get(id) else { return false };
            let joins =
                |attached: Attachment| way(attached.phase, machine.phase, &machine.joins) != Way::Restart;
            pod.attached.is_some_and(joins) && !pod.refuses_joins(self)
        })
    }

    /// How many of so many pods of other phases only a restart brings to the node's phase.
    fn restarts(&self, index: usize, others: usize) -> Option<u32> {
        let is_through = self.joinable(index).next().is_none();
        let joins = !self.nodes[index].machine.joins.is_empty();
        (joins && is_through).then(|| u32::try_from(others).unwrap_or(u32::MAX))
    }
}

impl Pod {
    /// No network joins or leaves it.
    pub(crate) fn refuses_joins(&self, truth: &Truth) -> bool {
        self.refuses || self.workload.is_some_and(|workload| truth.workloads[workload].refuses)
    }
}

/// The id of a boot.
pub(crate) fn boot(number: u64) -> String {
    format!("boot-{number}")
}

impl History {
    /// Something changed on the node: `watch` publishes soon.
    pub(crate) fn poke(&mut self, index: usize) {
        let node = &mut self.truth.nodes[index];
        let machine = &mut node.machine;
        if machine.has_watch && machine.is_up && machine.is_connected && !machine.is_publishing {
            machine.is_publishing = true;
            let turn = self.truth.turn(index);
            self.schedule_within(500, 5 * SECOND, Event::Publish(turn));
        }
    }

    /// `watch` runs, if it did not.
    pub(crate) fn start_watch(&mut self, index: usize) {
        let machine = &mut self.truth.nodes[index].machine;
        machine.has_watch = machine.has_crossfade;
        self.poke(index);
        self.compare(index);
    }

    /// The Node's desired phase, or the node's policy, changed: `watch` compares them.
    pub(crate) fn compare(&mut self, index: usize) {
        let turn = self.truth.turn(index);
        let flip = self.truth.nodes[index].machine.flip;
        self.schedule_within(flip + 200, flip + 2 * SECOND, Event::Follow(turn));
    }

    /// `watch` flips the policy to the desired phase.
    pub(crate) fn follow(&mut self, turn: Turn) {
        if !self.truth.watches(turn) {
            return;
        }
        let works = self.now + self.random.number_below(8 * SECOND);
        let node = &mut self.truth.nodes[turn.node];
        let machine = &mut node.machine;
        let Some(desired) =
            node.api.desired.filter(|to| *to != machine.phase && machine.follows.contains(to))
        else {
            self.join_later(turn.node);
            return;
        };
        // What never works does not in another phase.
        let works = if machine.works_from == NEVER { NEVER } else { works };
        (machine.phase, machine.works_from, machine.flipped) = (desired, works, self.now);
        if node.is_lured {
            self.surprise(turn.node, Reporter::Watch);
        }
        self.note(|history| format!("{} flips to {desired}", history.truth.nodes[turn.node].name));
        self.poke(turn.node);
        self.join_later(turn.node);
    }

    /// Has `watch` begin to join or leave pods, if it follows the Node and there are some.
    pub(crate) fn join_later(&mut self, index: usize) {
        let node = &self.truth.nodes[index];
        let follows = node.api.desired == Some(node.machine.phase) && node.machine.has_watch;
        if follows && !node.machine.is_joining && self.truth.joinable(index).next().is_some() {
            self.truth.nodes[index].machine.is_joining = true;
            let turn = self.truth.turn(index);
            self.schedule_within(100, 900, Event::Join(turn));
        }
    }

    /// A network joins or leaves the next pod, which runs on.
    pub(crate) fn join_next(&mut self, turn: Turn) {
        if self.truth.turn(turn.node) != turn {
            return;
        }
        let now = self.now;
        let is_working = self.truth.watches(turn);
        let machine = &mut self.truth.nodes[turn.node].machine;
        if is_working && now < machine.works_from.max(machine.hangs_until) {
            let wait = machine.works_from.max(machine.hangs_until) - now;
            self.schedule_after(wait.min(20 * SECOND), Event::Join(turn));
            return;
        }
        machine.is_joining = false;
        let phase = machine.phase;
        let is_desired = self.truth.nodes[turn.node].api.desired == Some(phase);
        if !is_working || !is_desired {
            return;
        }
        let pods: Vec<u32> = self.truth.joinable(turn.node).collect();
        let Some(id) = pods.iter().copied().find(|id| !self.is_connected(*id, phase)) else {
            if !pods.is_empty() {
                self.tally.count("a leave that waits for connections");
                self.truth.nodes[turn.node].machine.is_joining = true;
                self.schedule_after(LEAVE_AGAIN, Event::Join(turn));
            }
            return;
        };
        let refuses = self.strikes(CallFault::JoinRefused);
        let Some(pod) = self.truth.pods.get_mut(&id) else { return };
        if refuses {
            pod.refuses = true;
        } else if let Some(before) = pod.attached.replace(Attachment::new(phase, now)) {
            self.check_join(turn.node, before, phase);
        }
        self.poke(turn.node);
        self.join_later(turn.node);
    }

    /// Whether connections keep the network from leaving a pod that is to have this phase. They were there before the leave, and end sooner or later.
    fn is_connected(&mut self, id: u32, phase: Phase) -> bool {
        let now = self.now;
        if phase.meaning().0 == Attach::Both {
            return false;
        }
        let lasts = if self.is_probed_first(id) && self.strikes(CallFault::OldConnections) {
            self.random.number_between(SECOND, 2 * HOUR)
        } else {
            0
        };
        let attached = self.truth.pods.get_mut(&id).and_then(|pod| pod.attached.as_mut());
        attached.is_some_and(|attached| *attached.connected_until.get_or_insert(now + lasts) > now)
    }

    /// Whether no network was to leave the pod before.
    fn is_probed_first(&self, id: u32) -> bool {
        let attached = self.truth.pods.get(&id).and_then(|pod| pod.attached);
        attached.is_some_and(|attached| attached.connected_until.is_none())
    }

    /// `watch` writes label and annotation.
    pub(crate) fn publish(&mut self, turn: Turn) {
        if !self.truth.watches(turn) {
            if self.truth.turn(turn.node) == turn {
                self.truth.nodes[turn.node].machine.is_publishing = false;
            }
            return;
        }
        let observed = self.truth.observe(turn.node);
        let now = self.now;
        let node = &mut self.truth.nodes[turn.node];
        node.machine.is_publishing = false;
        node.published_at = (now, node.published_at.0);
        let phase = node.machine.phase;
        let is_same = node.api.label == Some(phase) && node.api.observed.as_ref() == Some(&observed);
        if let Some(surprise) = node.surprise.as_mut().filter(|surprise| surprise.reporter == Reporter::Watch)
        {
            surprise.published_at.get_or_insert(now);
        }
        if !is_same {
            (node.api.label, node.api.observed) = (Some(phase), Some(observed));
            self.touch_node(turn.node);
        }
        self.schedule_within(100, 900, Event::Report(turn, phase));
    }

    /// `watch` writes the condition.
    pub(crate) fn publish_condition(&mut self, turn: Turn, phase: Phase) {
        if !self.truth.watches(turn) {
            return;
        }
        let now = self.now;
        let node = &mut self.truth.nodes[turn.node];
        let is_true = now >= node.machine.works_from && phase == node.machine.phase;
        let message =
            Text::from(if is_true { "its network is ready" } else { "its network is not ready yet" });
        let condition = Some(Condition { is_true, message });
        if node.api.crossfade != condition {
            node.api.crossfade = condition;
            self.touch_node(turn.node);
        }
        if !is_true {
            self.poke(turn.node);
        } else if self.truth.nodes[turn.node].is_barred() {
            self.schedule_within(500, 10 * SECOND, Event::Lift(turn));
        }
    }
}
