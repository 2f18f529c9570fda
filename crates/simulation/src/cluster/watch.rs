//! What `watch` does on a node: it follows the desired phase, and publishes what it observes.

use std::collections::BTreeMap;

use migration::roll::world::Condition;
use snapshot::model::Text;
use types::api::observed::{Attached, NAMED, Observed, UID_CHARS};
use types::policy::Phase;

use crate::cluster::truth::{Reporter, Truth};
use crate::history::History;
use crate::history::event::{Event, Turn};
use crate::history::queue::SECOND;

impl Truth {
    /// The present turn of a machine.
    pub(crate) fn turn(&self, node: usize) -> Turn {
        Turn { node, number: self.nodes[node].machine.turn }
    }

    /// `watch` runs, reaches the API server, and this is still its turn.
    fn watches(&self, turn: Turn) -> bool {
        let node = &self.nodes[turn.node];
        let machine = &node.machine;
        machine.turn == turn.number && machine.has_watch && node.answers() && node.gone.is_none()
    }

    /// What `watch` observes.
    pub(crate) fn observe(&self, index: usize) -> Observed {
        let node = &self.nodes[index];
        let machine = &node.machine;
        let mut by_phase: BTreeMap<Phase, u32> = BTreeMap::new();
        let mut others = Vec::new();
        let known = node.pods.iter().filter(|pod| !machine.forgets.contains(pod));
        for pod in known.filter_map(|pod| self.pods.get(pod)) {
            let Some(attached) = pod.attached else { continue };
            *by_phase.entry(attached.phase).or_default() += 1;
            if attached.phase != machine.phase {
                others.push(pod.api.uid.get(..UID_CHARS).unwrap_or_default().to_owned());
            }
        }
        for phase in &machine.leftovers {
            *by_phase.entry(*phase).or_default() += 1;
        }
        others.sort();
        others.truncate(NAMED);
        Observed {
            boot_id: boot(machine.boot),
            phase: Some(machine.phase),
            policy_sha256: None,
            base: Some(machine.base.to_string()),
            mints: vec![machine.phase],
            follows: machine.follows.clone(),
            joins: Vec::new(),
            restarts: None,
            attached: Some(Attached { by_phase, unknown: 0, others }),
            echo: node.api.step.as_ref().map(|step| step.claim.clone()),
        }
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
        self.truth.nodes[index].machine.has_watch = true;
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
        let works = self.now + self.random.below(8 * SECOND);
        let node = &mut self.truth.nodes[turn.node];
        let machine = &mut node.machine;
        let Some(desired) =
            node.api.desired.filter(|to| *to != machine.phase && machine.follows.contains(to))
        else {
            return;
        };
        (machine.phase, machine.works_from, machine.flipped) = (desired, works, self.now);
        if node.is_lured {
            self.surprise(turn.node, Reporter::Watch);
        }
        self.note(|history| format!("{} flips to {desired}", history.truth.nodes[turn.node].name));
        self.poke(turn.node);
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
        node.published = (now, node.published.0);
        let phase = node.machine.phase;
        let is_same = node.api.label == Some(phase) && node.api.observed.as_ref() == Some(&observed);
        if let Some(surprise) = node.surprise.as_mut().filter(|surprise| surprise.reporter == Reporter::Watch)
        {
            surprise.published.get_or_insert(now);
        }
        if !is_same {
            (node.api.label, node.api.observed) = (Some(phase), Some(observed));
            self.touch_node(turn.node);
        }
        self.schedule_within(100, 900, Event::Tell(turn, phase));
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
        }
    }
}
