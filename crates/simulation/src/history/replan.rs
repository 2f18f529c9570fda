//! An operator approves another plan while a run goes on, or names pods that may be deleted.

use std::rc::Rc;

use migration::plan::Plan;
use migration::roll::run::{Run, State};

use crate::disturb::fault::HolderFault;
use crate::history::History;

impl History {
    /// The next holder takes the run up by another plan, if a person wants that: one with the nodes of each wave in the opposite order.
    pub(crate) fn replan(&mut self) {
        let Some(run) = self.truth.run().filter(|run| run.state != State::Done) else { return };
        if !std::mem::take(&mut self.wants_replan) {
            return;
        }
        let mut plan = Plan::clone(&self.plan);
        plan.waves.iter_mut().for_each(|wave| wave.nodes.reverse());
        self.replans += 1;
        let hash = plan_hash(&plan, self.replans);
        match run.replan(&self.plan, &plan, &hash) {
            Ok(run) => (self.truth.record.run, self.truth.record.changed_at) = (Some(run), self.now),
            Err(why) => return self.broken("a plan of the same cluster fits its run", why),
        }
        (self.plan, self.hash) = (Rc::new(plan), hash);
        self.touch_run();
        self.tally.count("a run by another plan");
        self.note(|history| format!("the run goes on by plan {}", history.hash));
    }
}

impl History {
    /// A person ends the holder, and names this pod on the next one's command line.
    pub(crate) fn name_for_deletion(&mut self, pod: &str) {
        if self.named.insert(pod.to_owned()) {
            self.note(|_| format!("the next holder may delete {pod}"));
            self.hit_holder(HolderFault::Interrupt);
        }
    }

    /// The next holder may delete what the own command line names, and nothing else.
    pub(crate) fn authorize(&mut self) {
        let Some(run) = self.truth.run().filter(|run| run.delete != self.named) else { return };
        let run = Run { delete: self.named.clone(), ..run.clone() };
        (self.truth.record.run, self.truth.record.changed_at) = (Some(run), self.now);
        self.touch_run();
    }
}

/// What names a plan in a history; its bytes do not matter here.
pub(crate) fn plan_hash(plan: &Plan, number: u64) -> String {
    format!("{number:032x}{:032x}", plan.waves.len())
}
