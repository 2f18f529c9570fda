//! Karpenter: it replaces nodes that have drifted, as many at once as its budget allows. The new node is there before the old one is drained.

use std::collections::BTreeSet;

use migration::roll::world::Trait;

use super::{DISRUPTED, Job, Stage};
use crate::cluster::truth::Node;
use crate::history::History;
use crate::history::queue::{MINUTE, Millis, SECOND};

/// A replacement that is not there by then is given up. *Source*: Karpenter 1.14, the disruption queue's `minRetryDuration`.
const GIVE_UP: Millis = 10 * MINUTE;
/// How often Karpenter looks whether a node is drifted. *Source*: Karpenter, `pkg/controllers/nodeclaim/disruption/drift.go` (`RequeueAfter`).
const LOOK: Millis = 5 * MINUTE;
/// How long after the look at a node comes that at the next one.
const NEXT: Millis = 37 * SECOND;

impl History {
    pub(super) fn run_karpenter(&mut self, pipeline: usize) {
        self.mark_drifted(pipeline);
        self.advance_jobs(pipeline, Self::karpenter_goes_on);
        // It provisions nodes for pods that find none, too.
        self.provide();
        let acting = &self.truth.pipelines[pipeline];
        if acting.jobs.len() >= acting.at_once {
            return;
        }
        let asks_to_stay = |index: usize| {
            let pods = self.drainable(index);
            pods.iter()
                .any(|id| self.truth.pods.get(id).is_some_and(|pod| pod.api.has_trait(Trait::Undisturbed)))
        };
        let may_go = |(index, node): (usize, &Node)| {
            let is_kept =
                node.api.is_undisturbed || node.api.is_going || !node.api.is_ready || asks_to_stay(index);
            (node.is_drifted && !is_kept && !acting.has(index)).then_some(index)
        };
        let drifted: Vec<usize> = self.replaceable(pipeline).filter_map(may_go).collect();
        let Some(old) = self.random.pick(&drifted).copied() else { return };
        self.disrupt(old);
        let since = self.now;
        self.truth.pipelines[pipeline].jobs.push(Job { old, new: None, stage: Stage::Launches, since });
        self.launch(pipeline);
    }

    /// Karpenter finds nodes drifted, or not any more: each in its turn.
    fn mark_drifted(&mut self, pipeline: usize) {
        let now = self.now;
        let before = std::mem::replace(&mut self.truth.pipelines[pipeline].looked_at, now);
        let turn = |index: usize, time: Millis| (time + index as Millis * NEXT) / LOOK;
        let outdated: BTreeSet<usize> = self.replaceable(pipeline).map(|(index, _)| index).collect();
        let pool = &self.truth.pipelines[pipeline].pool;
        let has_changed = |(index, node): &(usize, &Node)| {
            node.api.pool == *pool
                && turn(*index, before) != turn(*index, now)
                && node.is_drifted != outdated.contains(index)
        };
        let changed: Vec<usize> =
            self.truth.living_nodes().filter(has_changed).map(|(index, _)| index).collect();
        for index in changed {
            let node = &mut self.truth.nodes[index];
            (node.is_drifted, node.drift_changed) = (!node.is_drifted, now);
            self.announce_node(index);
        }
    }

    /// Whether the job is over.
    fn karpenter_goes_on(&mut self, pipeline: usize, job: usize) -> bool {
        let Job { old, stage, since, .. } = self.truth.pipelines[pipeline].jobs[job];
        match stage {
            _ if self.truth.nodes[old].gone_at.is_some() => true,
            Stage::Launches if self.has_come(pipeline, job) => {
                self.enter(pipeline, job, Stage::Drains);
                false
            }
            Stage::Launches if self.now - since > GIVE_UP => {
                let node = &mut self.truth.nodes[old];
                node.api.is_going = false;
                node.api.taints.retain(|key| **key != *DISRUPTED);
                self.tally.count("Karpenter gives up");
                self.touch_node(old);
                self.wake_scheduler();
                true
            }
            Stage::Launches => false,
            Stage::Asks | Stage::Drains | Stage::Goes | Stage::Awaits => self.drain(pipeline, job),
        }
    }

    /// Karpenter taints a node that it is about to replace.
    pub(super) fn disrupt(&mut self, index: usize) {
        let node = &mut self.truth.nodes[index];
        node.api.is_going = true;
        node.api.taints.push(DISRUPTED.into());
        self.touch_node(index);
    }
}
