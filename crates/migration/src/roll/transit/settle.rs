//! The last state of a node: it takes pods again, and its workloads come to rest.

use std::time::Duration;

use types::step::State;

use super::{NextStep, TransitNode};
use crate::roll::view::is_done;
use crate::roll::wait::{Reason, Wait};
use crate::roll::workload;

/// How soon a settling node is looked at again if a watch has brought nothing since it began to settle.
const RESYNC: Duration = Duration::from_secs(2);

impl TransitNode<'_> {
    /// Its workloads have to be as available as before, and nothing may happen for a time.
    pub(super) fn settling(&self) -> NextStep {
        if let Some(next) = self.check_regression() {
            return next;
        }
        let limits = &self.view.plan.limits;
        if !is_done(self.node, self.step.to) {
            return NextStep::act(self.patch_to(State::Moving));
        }
        let short = workload::short(self.view);
        let quiet = Duration::from_secs(limits.settle_seconds.into());
        let left = quiet.checked_sub(self.since()).filter(|left| !left.is_zero());
        // What was known before it began to settle says nothing about the pods that moved from it.
        let is_synced = self.view.world.synced > self.now().saturating_sub(self.since());
        if short.is_empty() && left.is_none() && !is_synced {
            let what = "it settles, and the API server has not told since then how the workloads are";
            return self.wait(Reason::Settling, what, Some(RESYNC));
        }
        if short.is_empty() && left.is_none() {
            let mut patch = self.patch_to(State::Done);
            patch.fence = self.node.is_fenced.then_some(false);
            return NextStep::act(patch);
        }
        // This run's own cordon is gone by now.
        let is_cordoned = self.node.is_cordoned;
        if !short.is_empty() && self.time_left(limits.owners_seconds).is_none() {
            return self.hold(if is_cordoned { Reason::ForeignCordon } else { Reason::OwnersTimeout });
        }
        if short.is_empty() {
            return self.wait(Reason::Settling, "it settles", left);
        }
        let until = self.time_left(limits.owners_seconds).map(|left| self.now() + left);
        let waits = short.into_iter().map(|mut wait| {
            wait.until = until;
            wait
        });
        let foreign = is_cordoned.then(|| {
            let what = "somebody else cordoned it, and pods that moved from it find no other node";
            Wait::held(self.object(), Reason::ForeignCordon, what, format!("kubectl uncordon {}", self.name))
        });
        NextStep { acts: Vec::new(), waits: foreign.into_iter().chain(waits).collect() }
    }
}
