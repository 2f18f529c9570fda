//! A pipeline that nothing holds, such as an EKS managed node group: a burst of new nodes, then all old ones are cordoned and drained in any order.

use super::{Job, Pipeline, Stage};
use crate::cluster::truth::Node;
use crate::history::History;

impl History {
    pub(super) fn run_follow(&mut self, pipeline: usize) {
        self.advance_jobs(pipeline, Self::drain);
        let Pipeline { has_image, has_burst, at_once, launching, pool, size, .. } =
            self.truth.pipelines[pipeline].clone();
        let old: Vec<usize> = self.replaceable(pipeline).map(|(index, _)| index).collect();
        if !has_image && old.is_empty() {
            self.truth.pipelines[pipeline].has_burst = false;
            self.reopen(pipeline);
            return;
        }
        let new = |history: &Self| -> Vec<usize> {
            let is_new = |(index, node): (usize, &Node)| {
                (node.api.pool == pool && !old.contains(&index)).then_some(index)
            };
            history.truth.living_nodes().filter_map(is_new).collect()
        };
        if !has_burst {
            if !old.is_empty() {
                self.truth.pipelines[pipeline].has_burst = true;
                let zones = self
                    .plan
                    .pools
                    .iter()
                    .find(|candidate| candidate.name == pool)
                    .map_or(1, |candidate| candidate.zones.len());
                for _ in 0..at_once.max(2 * zones).min(old.len().max(2)) {
                    self.launch(pipeline);
                }
            }
            return;
        }
        let is_up = launching == 0 && new(self).iter().all(|index| self.truth.nodes[*index].api.is_ready);
        let since = self.now;
        let is_free = |history: &Self| history.truth.pipelines[pipeline].jobs.len() < at_once;
        if old.is_empty() {
            // It ends what it has too many of.
            let new = new(self);
            if new.len() > size
                && is_up
                && is_free(self)
                && let Some(old) = self.random.pick(&new).copied()
            {
                self.truth.pipelines[pipeline].jobs.push(Job { old, new: None, stage: Stage::Drains, since });
            }
            return;
        }
        if !is_up {
            return;
        }
        old.iter().for_each(|index| self.close(*index));
        let waiting: Vec<usize> =
            old.iter().copied().filter(|index| !self.truth.pipelines[pipeline].has(*index)).collect();
        if is_free(self)
            && let Some(old) = self.random.pick(&waiting).copied()
        {
            self.truth.pipelines[pipeline].jobs.push(Job { old, new: None, stage: Stage::Drains, since });
        }
    }
}
