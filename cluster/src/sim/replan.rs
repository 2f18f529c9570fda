//! Somebody approves another plan while a run goes on. Pure.

use std::rc::Rc;

use super::history::History;
use crate::plan::Plan;
use crate::roll::run::State;

impl History {
    /// Whoever takes the run up next does so by another plan, if somebody wants that: one with the nodes of each wave in the opposite order.
    pub(super) fn replan(&mut self) {
        let Some(run) = self.truth.run().filter(|run| run.state != State::Done) else { return };
        if !std::mem::take(&mut self.wants_replan) {
            return;
        }
        let mut plan = Plan::clone(&self.plan);
        plan.waves.iter_mut().for_each(|wave| wave.nodes.reverse());
        self.replans += 1;
        let hash = plan_hash(&plan, self.replans);
        match run.replanned(&self.plan, &plan, &hash) {
            Ok(run) => (self.truth.record.run, self.truth.record.changed) = (Some(run), self.now),
            Err(why) => return self.broken("a plan of the same cluster fits its run", why),
        }
        (self.plan, self.hash) = (Rc::new(plan), hash);
        self.touch_run();
        self.tally.count("a run by another plan");
        self.note(|history| format!("the run goes on by plan {}", history.hash));
    }
}

/// What names a plan in a history; its bytes do not matter here.
pub(super) fn plan_hash(plan: &Plan, number: u64) -> String {
    format!("{number:032x}{:032x}", plan.waves.len())
}
