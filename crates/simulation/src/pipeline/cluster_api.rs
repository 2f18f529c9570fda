//! Cluster API: a MachineDeployment deletes old Machines, one after the other, and brings new ones. A Machine that is deleted is no replica any more, and waits
//! at its hooks before its node is drained.
//!
//! *Source*: Cluster API 1.12, `internal/controllers/machinedeployment` (rolling update with `maxUnavailable: 0`) and `internal/controllers/machine`.

use migration::roll::world;

use super::{Job, Pipeline, Stage};
use crate::cluster::truth::{Node, Truth};
use crate::history::History;

impl Truth {
    /// Gives a node its Machine.
    pub(crate) fn add_machine(&mut self, index: usize) {
        self.nodes[index].capi = Some(world::Machine {
            namespace: "fleet".into(),
            name: self.nodes[index].name.clone(),
            uid: format!("uid-m{index}").into(),
            version: "0".into(),
            ..world::Machine::default()
        });
    }
}

impl History {
    /// Gives a new node its Machine, where Cluster API has made it.
    pub(crate) fn enroll(&mut self, index: usize) {
        let pool = &self.truth.nodes[index].pool;
        if self.truth.pipelines.iter().any(|acting| acting.pool == *pool && acting.has_machines) {
            self.truth.add_machine(index);
            self.touch_machine(index);
        }
    }

    pub(super) fn run_cluster_api(&mut self, pipeline: usize) {
        self.advance_jobs(pipeline, Self::drain);
        self.begin_drains(pipeline);
        let Pipeline { at_once, launching, pool, size, .. } = self.truth.pipelines[pipeline].clone();
        let is_replica = |node: &Node| node.api.pool == pool && !node.has_deleted_machine();
        let replicas: Vec<usize> =
            self.truth.living_nodes().filter(|(_, node)| is_replica(node)).map(|(index, _)| index).collect();
        let mut old: Vec<usize> = self.replaceable(pipeline).map(|(index, _)| index).collect();
        old.retain(|index| replicas.contains(index));
        let is_available = |index: &usize| self.truth.nodes[*index].is_initialized();
        let available = replicas.iter().copied().filter(is_available).count();
        if !old.is_empty() && replicas.len() + launching < size + at_once {
            self.launch(pipeline);
        }
        // It ends what it has too many of: old ones first.
        let next = if old.is_empty() { replicas } else { old };
        if available > size
            && let Some(index) = self.random.pick(&next).copied()
        {
            self.delete_machine(index);
        }
    }

    /// Machines that are deleted and that nothing holds are drained, all at once.
    fn begin_drains(&mut self, pipeline: usize) {
        let since = self.now;
        let acting = &self.truth.pipelines[pipeline];
        let is_free = |(index, node): &(usize, &Node)| {
            let is_unheld =
                node.capi.as_ref().is_some_and(|machine| machine.is_deleted && machine.hook.is_none());
            node.pool == acting.pool && is_unheld && !acting.has(*index)
        };
        let free = self.truth.living_nodes().filter(is_free);
        let jobs: Vec<Job> =
            free.map(|(old, _)| Job { old, new: None, stage: Stage::Drains, since }).collect();
        self.truth.pipelines[pipeline].jobs.extend(jobs);
    }

    /// A Machine is deleted, and its node is drained once no hook is left.
    pub(super) fn delete_machine(&mut self, index: usize) {
        let Some(machine) = &mut self.truth.nodes[index].capi else { return };
        machine.is_deleted = true;
        self.tally.count("a Machine deleted");
        self.note(|history| {
            format!("Cluster API deletes the Machine of {}", history.truth.nodes[index].name)
        });
        self.touch_machine(index);
    }
}
