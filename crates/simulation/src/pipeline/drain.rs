//! Drains by pipelines: they evict pods within the budgets, and take the machine away once none is left.

use migration::roll::world::Trait;

use super::Stage;
use crate::history::History;
use crate::history::event::Event;
use crate::history::queue::SECOND;

impl History {
    /// Has each job of a pipeline go on, and takes away those that are done.
    pub(super) fn advance_jobs(
        &mut self,
        pipeline: usize,
        is_done: fn(&mut Self, pipeline: usize, job: usize) -> bool,
    ) {
        let mut job = 0;
        while job < self.truth.pipelines[pipeline].jobs.len() {
            if is_done(self, pipeline, job) {
                self.truth.pipelines[pipeline].jobs.remove(job);
            } else {
                job += 1;
            }
        }
    }

    /// Pods of a node that a drain ends.
    pub(crate) fn drainable(&self, index: usize) -> Vec<u32> {
        let drained = |id: &u32| {
            let pod = self.truth.pods.get(id)?;
            let stays = pod.stays() || pod.api.has_trait(Trait::Static) || pod.api.has_trait(Trait::Finished);
            (!stays).then_some(*id)
        };
        self.truth.nodes[index].pods.iter().filter_map(drained).collect()
    }

    /// A job goes on with the drain of its node; whether the job is over.
    pub(super) fn drain(&mut self, pipeline: usize, job: usize) -> bool {
        let old = self.truth.pipelines[pipeline].jobs[job].old;
        if self.truth.nodes[old].gone_at.is_some() {
            return true;
        }
        if self.truth.pipelines[pipeline].jobs[job].stage == Stage::Goes {
            return false;
        }
        self.close(old);
        let pods = self.drainable(old);
        if pods.is_empty() {
            self.enter(pipeline, job, Stage::Goes);
            self.schedule_within(2 * SECOND, 40 * SECOND, Event::Remove(old));
        }
        pods.into_iter().for_each(|id| self.evict_by_pipeline(id));
        false
    }

    fn evict_by_pipeline(&mut self, id: u32) {
        let is_ending = self.truth.pods.get(&id).is_none_or(|pod| pod.api.has_trait(Trait::Terminating));
        if is_ending {
            return;
        }
        if self.refusal(id).is_some() {
            self.tally.count("an eviction by a pipeline: refused");
            return;
        }
        self.tally.count("an eviction by a pipeline");
        self.check_second_move(id);
        self.check_restarted(id);
        self.delete(id);
    }
}
