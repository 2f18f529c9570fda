//! Faults of those who drive a run: holders that end, sleep or are two, and people who ask for something else.

use migration::roll::run::{RunRequest, Wish};
use snapshot::model::Text;
use types::policy::Phase;

use crate::disturb::fault::{HolderFault, PersonFault};
use crate::history::History;
use crate::history::event::Stream;
use crate::history::queue::{MINUTE, SECOND};

impl History {
    pub(super) fn disturb_as_person(&mut self, fault: PersonFault) {
        match fault {
            PersonFault::Replan => {
                self.wants_replan = true;
                self.hit_holder(HolderFault::Interrupt);
            }
            PersonFault::SecondHolder => self.want_lease(false, 10 * MINUTE),
            PersonFault::ForcedTakeover => self.want_lease(true, MINUTE),
            PersonFault::Pause => self.draw_wish(|_, _| Some(RunRequest::Pause)),
            PersonFault::PauseNow => self.draw_wish(|_, _| Some(RunRequest::PauseNow)),
            PersonFault::Abort => self.draw_wish(|history, _| history.draw_abort()),
            PersonFault::Skip => self.draw_wish(|_, node| node.map(RunRequest::Skip)),
            PersonFault::Retry => self.draw_wish(|_, node| node.map(RunRequest::Retry)),
            PersonFault::Rollback => self.draw_wish(|_, node| node.map(RunRequest::Rollback)),
        }
    }

    pub(crate) fn hit_holder(&mut self, fault: HolderFault) {
        let (now, long) = (self.now, self.random.number_between(SECOND, 5 * MINUTE));
        let Some(holder) = self.holders.iter().position(super::super::holder::Holder::holds) else { return };
        let mut streams = vec![Stream::Nodes, Stream::Pods, Stream::Workloads, Stream::Run];
        let has_machines = self.truth.pipelines.iter().any(|acting| acting.has_machines);
        streams.extend(has_machines.then_some(Stream::Machines));
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

    /// A person asks the run for something, perhaps about some node.
    fn draw_wish(&mut self, request: impl FnOnce(&mut Self, Option<Text>) -> Option<RunRequest>) {
        let node = self.any_node().map(|index| self.truth.nodes[index].name.clone());
        if let Some(request) = request(self, node) {
            self.wish(request);
        }
    }

    fn draw_abort(&mut self) -> Option<RunRequest> {
        // A node without Crossfade can be in no other phase, and is of the image only once it is replaced.
        let first = self.plan.image_phases().into_iter().next();
        let image = first.filter(|_| self.truth.nodes.iter().any(|node| !node.machine.has_crossfade));
        let phases = image.map_or(Phase::ALL.to_vec(), |image| vec![Phase::Old, image]);
        self.random.pick(&phases).copied().map(RunRequest::Abort)
    }

    /// A person asks the run for something.
    pub(crate) fn wish(&mut self, what: RunRequest) {
        let seq = self.truth.record.wishes.last().map_or(0, |wish| wish.seq) + 1;
        self.note(|_| format!("wish {seq}: {what:?}"));
        self.truth.record.wishes.push(Wish { seq, operator: "operator".into(), reason: "so".into(), what });
        self.touch_run();
    }
}
