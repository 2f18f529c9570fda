//! The effects of faults on a cluster.

pub(crate) mod fault;
mod machines;
mod objects;
mod people;

use migration::roll::world::Color;
use types::policy::Phase;

use self::fault::{Fault, GateFault};
use super::history::History;
use crate::history::event::{Event, Repair};
use crate::history::queue::{MINUTE, SECOND};

impl History {
    /// Plans the first of each fault that happens from time to time.
    pub(super) fn plan_faults(&mut self) {
        for (fault, mean) in self.faults.rates.clone() {
            if !fault.is_of_calls() {
                self.schedule_within(0, 2 * mean, Event::Disturb(fault));
            }
        }
    }

    /// A fault happens, and again later.
    pub(super) fn disturb(&mut self, fault: Fault) {
        if self.is_calm() {
            return;
        }
        let rate = self.faults.rates.iter().find(|(candidate, _)| *candidate == fault).map(|(_, mean)| *mean);
        rate.into_iter().for_each(|mean| self.schedule_within(0, 2 * mean, Event::Disturb(fault)));
        self.tally.count(&format!("{fault:?}"));
        self.note(|_| format!("FAULT {fault:?}"));
        // A fault draws a node more often than it needs one, so that a seed stays the history that it was.
        let node = self.any_node();
        match fault {
            Fault::Machine(fault) => node.into_iter().for_each(|index| self.hit_machine(fault, index)),
            Fault::Object(fault) => self.hit_object(fault),
            Fault::Node(fault) => {
                let (node, phase) = self.any_node_and_phase();
                node.into_iter().for_each(|index| self.hit_node(fault, index, phase));
            }
            Fault::Holder(fault) => {
                self.any_node_and_phase();
                self.hit_holder(fault);
            }
            Fault::Person(fault) => {
                self.any_node_and_phase();
                self.disturb_as_person(fault);
            }
            Fault::Pipeline(fault) => {
                self.any_node_and_phase();
                self.any_node();
                self.hit_pipeline(fault);
            }
            Fault::Gate(fault) => {
                self.any_node_and_phase();
                self.any_node();
                self.hit_gate(fault);
            }
            // It strikes calls as they are made.
            Fault::Call(_) => {}
        }
    }

    /// A node that is there, and a phase for it.
    fn any_node_and_phase(&mut self) -> (Option<usize>, Option<Phase>) {
        let node = self.any_node();
        (node, node.and_then(|_| self.random.pick(&Phase::ALL).copied()))
    }

    /// A node that is there.
    pub(super) fn any_node(&mut self) -> Option<usize> {
        let nodes: Vec<usize> = self.truth.living_nodes().map(|(index, _)| index).collect();
        self.random.pick(&nodes).copied()
    }

    /// A pod that runs.
    pub(super) fn any_pod(&mut self) -> Option<u32> {
        let pods: Vec<u32> =
            self.truth.pods.iter().filter(|(_, pod)| pod.node.is_some()).map(|(id, _)| *id).collect();
        self.random.pick(&pods).copied()
    }

    fn hit_gate(&mut self, fault: GateFault) {
        let color = match fault {
            GateFault::GateRed => Some(Color::Red),
            GateFault::GateUnknown => Some(Color::Unknown),
            GateFault::GateAmber => Some(Color::Amber),
            GateFault::GateSilent => None,
            GateFault::WindowClosed => {
                self.truth.is_open = false;
                self.schedule_within(10 * MINUTE, 60 * MINUTE, Event::Mend(Repair::Window));
                return;
            }
        };
        let gates = self.truth.gates.len() as u64;
        let gate = usize::try_from(self.random.number_below(gates)).unwrap_or_default();
        if let Some(gate_state) = self.truth.gates.get_mut(gate) {
            gate_state.color = color;
            self.schedule_within(30 * SECOND, 20 * MINUTE, Event::Mend(Repair::Gate(gate)));
        }
    }

    /// What a fault broke is mended by itself.
    pub(super) fn mend(&mut self, repair: Repair) {
        match repair {
            Repair::Gate(index) => self.truth.gates[index].color = Some(Color::Green),
            Repair::Window => self.truth.is_open = true,
            Repair::Flip(index) => self.truth.nodes[index].machine.flip = 0,
            Repair::Watch(index) => self.start_watch(index),
            Repair::Replacement(index) => self.replace(index),
            Repair::Forgery(index) => self.unforge(index),
            Repair::Leftovers(index) => {
                let now = self.now;
                let machine = &mut self.truth.nodes[index].machine;
                machine.leftovers.clear();
                machine.misjudged = Some(now);
                self.poke(index);
            }
        }
    }
}
