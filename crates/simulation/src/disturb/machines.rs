//! Faults of machines and of what runs on them.

use types::policy::Phase;

use crate::cluster::truth::{Attachment, Reporter};
use crate::disturb::fault::MachineFault;
use crate::history::History;
use crate::history::event::{Event, Repair};
use crate::history::queue::{MINUTE, SECOND};

impl History {
    pub(super) fn hit_machine(&mut self, fault: MachineFault, index: usize) {
        let is_up = self.truth.nodes[index].answers();
        let is_plain = !self.truth.nodes[index].machine.has_crossfade;
        match fault {
            MachineFault::Reboot | MachineFault::FreshBoot => {
                let away = self.random.number_between(10 * SECOND, 6 * MINUTE);
                if self.truth.nodes[index].machine.is_up {
                    self.reboot(index, away, fault == MachineFault::FreshBoot);
                }
            }
            MachineFault::Disconnect if is_up => {
                let away = self.random.number_between(5 * SECOND, 12 * MINUTE);
                self.disconnect(index, away);
            }
            MachineFault::Disconnect => {}
            // There is no policy on it, and no `watch`.
            MachineFault::DeadWatch
            | MachineFault::SlowFlip
            | MachineFault::RefusedFlip
            | MachineFault::PolicyEdited
            | MachineFault::PhaseEdited
                if is_plain => {}
            MachineFault::DeadWatch => {
                let machine = &mut self.truth.nodes[index].machine;
                if machine.has_watch {
                    (machine.has_watch, machine.watch_ended) = (false, Some(self.now));
                }
            }
            MachineFault::SlowFlip => {
                self.truth.nodes[index].machine.flip = self.random.number_between(10 * SECOND, 6 * MINUTE);
                self.schedule_within(5 * MINUTE, 60 * MINUTE, Event::Mend(Repair::Flip(index)));
            }
            MachineFault::RefusedFlip => {
                let machine = &mut self.truth.nodes[index].machine;
                machine.follows = vec![machine.phase];
                self.poke(index);
            }
            MachineFault::PolicyEdited => {
                self.truth.nodes[index].machine.base = "base-2".into();
                self.surprise(index, Reporter::Watch);
                self.poke(index);
            }
            MachineFault::JoinHangs => {
                let long = self.random.number_between(MINUTE, 60 * MINUTE);
                self.truth.nodes[index].machine.hangs_until = self.now + long;
            }
            MachineFault::PhaseEdited => self.edit_phase(index),
            MachineFault::Forgetful | MachineFault::Leftover => self.misjudge(index, fault),
        }
    }

    /// A person edits the phase of the node's policy.
    fn edit_phase(&mut self, index: usize) {
        let Some(phase) = self.random.pick(&Phase::ALL).copied() else { return };
        self.truth.nodes[index].machine.phase = phase;
        self.surprise(index, Reporter::Watch);
        self.poke(index);
        self.compare(index);
    }

    /// The node's records and its attachments differ.
    fn misjudge(&mut self, index: usize, fault: MachineFault) {
        let now = self.now;
        let attached = |id: &u32| Some((*id, self.truth.pods.get(id)?.attached?));
        let pods: Vec<(u32, Attachment)> = self.truth.nodes[index].pods.iter().filter_map(attached).collect();
        let Some((id, attached)) = self.random.pick(&pods).copied() else { return };
        let machine = &mut self.truth.nodes[index].machine;
        machine.misjudged = Some(now);
        if fault == MachineFault::Forgetful {
            machine.forgets.insert(id);
        } else {
            machine.leftovers.push(attached.phase);
            self.schedule_within(MINUTE, 90 * MINUTE, Event::Mend(Repair::Leftovers(index)));
        }
        self.poke(index);
    }
}
