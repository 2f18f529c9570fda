//! Faults of those who drive a run: holders that end, sleep or are two, and people who ask for something else.

use migration::roll::run::{RunRequest, Wish};
use types::policy::Phase;

use crate::disturb::fault::Fault;
use crate::history::History;
use crate::history::event::Stream;
use crate::history::queue::{MINUTE, SECOND};

/// What befalls the holder of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HolderFault {
    Away,
    Deaf,
    Suspend,
    SilentWatch,
    Interrupt,
}

impl History {
    /// Does it to the run; whether it is such a fault.
    pub(super) fn disturb_as_person(&mut self, fault: Fault) -> bool {
        match fault {
            Fault::Away => self.hit_holder(HolderFault::Away),
            Fault::Deaf => self.hit_holder(HolderFault::Deaf),
            Fault::Suspend => self.hit_holder(HolderFault::Suspend),
            Fault::SilentWatch => self.hit_holder(HolderFault::SilentWatch),
            Fault::Interrupt => self.hit_holder(HolderFault::Interrupt),
            Fault::Replan => {
                self.wants_replan = true;
                self.hit_holder(HolderFault::Interrupt);
            }
            Fault::SecondHolder => self.want_lease(false, 10 * MINUTE),
            Fault::ForcedTakeover => self.want_lease(true, MINUTE),
            _ => {
                let Some(what) = self.draw_wish(fault) else { return false };
                self.wish(what);
            }
        }
        true
    }

    pub(crate) fn hit_holder(&mut self, fault: HolderFault) {
        let (now, long) = (self.now, self.random.number_between(SECOND, 5 * MINUTE));
        let Some(holder) = self.holders.iter().position(super::super::holder::Holder::holds) else { return };
        let streams = [Stream::Nodes, Stream::Pods, Stream::Workloads, Stream::Run];
        let is_silent = fault == HolderFault::SilentWatch;
        let silent = if is_silent { self.random.pick(&streams).copied() } else { None };
        let driver = &mut self.holders[holder];
        if matches!(fault, HolderFault::Away | HolderFault::Deaf | HolderFault::Suspend)
            && driver.asleep.max(driver.away_until).max(driver.deaf) <= now
        {
            driver.late_since = now;
        }
        match fault {
            HolderFault::SilentWatch => driver.silent = silent.map(|stream| (stream, now, now + long)),
            HolderFault::Away => driver.away_until = now + long,
            HolderFault::Deaf => driver.deaf = now + long,
            HolderFault::Suspend => driver.asleep = now + long,
            HolderFault::Interrupt => {
                driver.is_interrupted = true;
                self.news(holder);
            }
        }
    }

    fn draw_wish(&mut self, fault: Fault) -> Option<RunRequest> {
        let node = self.any_node().map(|index| self.truth.nodes[index].name.clone());
        Some(match fault {
            Fault::Pause => RunRequest::Pause,
            Fault::PauseNow => RunRequest::PauseNow,
            Fault::Abort => {
                // A node without Crossfade can be in no other phase, and is of the image only once it is replaced.
                let image = self
                    .plan
                    .image
                    .filter(|_| self.truth.nodes.iter().any(|node| !node.machine.has_crossfade));
                let phases = image.map_or(Phase::ALL.to_vec(), |image| vec![Phase::Old, image]);
                RunRequest::Abort(*self.random.pick(&phases)?)
            }
            Fault::Skip => RunRequest::Skip(node?),
            Fault::Retry => RunRequest::Retry(node?),
            Fault::Rollback => RunRequest::Rollback(node?),
            _ => return None,
        })
    }

    /// A person asks the run for something.
    pub(crate) fn wish(&mut self, what: RunRequest) {
        let seq = self.truth.record.wishes.last().map_or(0, |wish| wish.seq) + 1;
        self.note(|_| format!("wish {seq}: {what:?}"));
        self.truth.record.wishes.push(Wish { seq, operator: "somebody".into(), reason: "so".into(), what });
        self.touch_run();
    }
}
