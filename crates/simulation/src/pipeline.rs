//! Pipelines that replace the nodes of a pool: each starts nodes of the new image, drains old ones and takes them away, as its method does.
//!
//! | method | which node goes next | what holds it | the new node comes |
//! |---|---|---|---|
//! | `karpenter` | any that it has found drifted, with a look at each node every five minutes | `karpenter.sh/do-not-disrupt` | before the old one is drained; after ten minutes it gives up |
//! | `permit` | one of its own choice | it asks first, with the words of the real `permit` | before or after |
//! | `cluster-api` | any, of which it deletes the Machine | the run's hook on the Machine | as soon as another Machine is deleted, `maxSurge` at once |
//! | `follow`, and `cluster-api` without access to the Machines | any | nothing | a burst of them before the first one is drained |

mod cluster_api;
mod drain;
mod follow;
mod karpenter;
mod launch;
mod permit;

pub(crate) use launch::NEVER;
use migration::config::roll::Method;
use migration::roll::run::Run;
use migration::workload::START_TAINT_CILIUM;
use snapshot::model::Text;
use types::policy::Phase;

use crate::cluster::truth::Node;
use crate::disturb::fault::PipelineFault;
use crate::history::History;
use crate::history::event::Event;
use crate::history::queue::{HOUR, MINUTE, Millis, SECOND};

/// The taint with which new nodes are born, until `CrossfadeReady` is true.
pub(crate) const STARTUP: &str = "readiness.k8s.io/crossfade";
/// The taint of a node that Karpenter replaces.
pub(crate) const DISRUPTED: &str = "karpenter.sh/disrupted";

#[derive(Debug, Clone)]
pub(crate) struct Pipeline {
    pub(crate) pool: Text,
    /// How the run holds it.
    pub(crate) method: Method,
    /// How many nodes it keeps.
    pub(crate) size: usize,
    /// How many nodes it replaces at once.
    pub(crate) at_once: usize,
    /// It starts the new node before it drains the old one.
    pub(crate) launches_first: bool,
    /// It marks nodes that it drains as going.
    pub(crate) marks: bool,
    /// It is Cluster API, and the run sees its Machines.
    pub(crate) has_machines: bool,
    /// It starts nodes of the new image.
    pub(crate) has_image: bool,
    /// No node of the new image gets there before.
    pub(crate) bad_until: Millis,
    /// It has launched its burst.
    pub(crate) has_burst: bool,
    /// Machines that it has launched and that have no Node yet.
    pub(crate) launching: usize,
    /// Nodes that it replaces.
    pub(crate) jobs: Vec<Job>,
    /// It does nothing until then.
    pub(crate) idle_until: Millis,
    /// When it looked last for nodes that are drifted.
    pub(crate) looked_at: Millis,
}

/// A node that a pipeline replaces.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// The old node.
    pub(crate) old: usize,
    /// The node that comes in its place, once it is there.
    pub(crate) new: Option<usize>,
    pub(crate) stage: Stage,
    /// When the stage began.
    pub(crate) since: Millis,
}

/// How far the replacement of a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The pipeline asks whether the node may go.
    Asks,
    /// It waits for the new node.
    Launches,
    /// It drains the old one.
    Drains,
    /// The old machine ends.
    Goes,
    /// The old one is gone, and the new one is not there yet.
    Awaits,
}

impl Pipeline {
    /// Whether it replaces the node.
    pub(crate) fn has(&self, node: usize) -> bool {
        self.jobs.iter().any(|job| job.old == node)
    }
}

impl Node {
    /// A taint keeps pods away that do not belong to the node.
    pub(crate) fn is_barred(&self) -> bool {
        self.api.taints.iter().any(|key| matches!(&**key, STARTUP | START_TAINT_CILIUM | DISRUPTED))
    }

    /// kubelet is Ready, and the start-up taints are gone.
    pub(crate) fn is_initialized(&self) -> bool {
        self.gone_at.is_none() && self.api.is_ready && !self.is_barred()
    }
}

impl History {
    /// The phase of a pool's image, if the run is in the pass that replaces the pool's nodes by it.
    pub(crate) fn replacing(&self, pool: &str) -> Option<Phase> {
        let run = self.truth.run()?;
        let image = self.plan.image_phase(pool).filter(|image| run.target() == Some(*image))?;
        let index = self.plan.passes.iter().position(|target| *target == image)?;
        let from = index.checked_sub(1).map_or(self.plan.start, |before| self.plan.passes[before]);
        (run.from == from).then_some(image)
    }

    /// Whether the pool of a node is one that a pipeline replaces.
    pub(crate) fn is_rotated(&self, index: usize) -> bool {
        self.plan.rotates(&self.truth.nodes[index].api.pool)
    }

    /// Whether a node was made from the image that the plan has for its pool.
    pub(crate) fn is_of_image(&self, index: usize) -> bool {
        let Node { machine, api, .. } = &self.truth.nodes[index];
        machine.has_crossfade != self.plan.is_final()
            && self.plan.image_phase(&api.pool) == Some(machine.image)
    }

    /// Whether a machine of the node's pool is made from the final image now.
    pub(crate) fn gives_final_image(&self, index: usize) -> bool {
        let pool = &self.truth.nodes[index].pool;
        let gives = |acting: &Pipeline| acting.pool == *pool && acting.has_image;
        self.plan.is_final() && self.truth.pipelines.iter().any(gives)
    }

    /// Nodes of a pipeline's pool that are there and of an earlier image, but those that the plan leaves out.
    pub(crate) fn outdated_nodes(&self, pipeline: usize) -> impl Iterator<Item = (usize, &Node)> {
        let pool = &self.truth.pipelines[pipeline].pool;
        let of_pool = self.truth.living_nodes().filter(move |(_, node)| node.api.pool == *pool);
        of_pool.filter(|(index, node)| !self.is_of_image(*index) && !self.is_left_out(&node.name))
    }

    /// Nodes that a pipeline replaces: those of an earlier image; or, once its owner has given it that image back, those that nothing else brings back.
    pub(crate) fn replaceable(&self, pipeline: usize) -> impl Iterator<Item = (usize, &Node)> {
        let Pipeline { pool, has_image, .. } = &self.truth.pipelines[pipeline];
        self.truth.living_nodes().filter(move |(index, node)| {
            let is_other = if *has_image { !self.is_of_image(*index) } else { self.is_returned(node) };
            node.api.pool == *pool && is_other && !self.is_left_out(&node.name)
        })
    }

    /// How many nodes a pipeline's pool has, those included that it has launched.
    fn pool_size(&self, pipeline: usize) -> usize {
        let Pipeline { pool, launching, .. } = &self.truth.pipelines[pipeline];
        let is_replica = |node: &Node| node.api.pool == *pool && !node.has_deleted_machine();
        self.truth.living_nodes().filter(|(_, node)| is_replica(node)).count() + launching
    }

    /// Whether it has all nodes that it keeps.
    fn is_complete(&self, pipeline: usize) -> bool {
        let acting = &self.truth.pipelines[pipeline];
        acting.launching == 0 && self.pool_size(pipeline) >= acting.size
    }

    /// A pipeline looks at its pool.
    pub(crate) fn run_pipeline(&mut self, pipeline: usize) {
        self.schedule_within(5 * SECOND, 20 * SECOND, Event::Pipeline(pipeline));
        let now = self.now;
        let image = self.plan.image_phase(&self.truth.pipelines[pipeline].pool);
        let goes_back = self.truth.run().and_then(Run::target).is_some_and(|target| Some(target) < image);
        let acting = &mut self.truth.pipelines[pipeline];
        if acting.idle_until > now {
            return;
        }
        if goes_back {
            // Its owner has given it the earlier image back, or not given the new one yet.
            if std::mem::take(&mut acting.has_image) {
                self.reopen(pipeline);
            }
        }
        self.abandon(pipeline);
        match self.truth.pipelines[pipeline].method {
            Method::Karpenter => self.run_karpenter(pipeline),
            Method::Permit => self.run_permit(pipeline),
            Method::ClusterApi if self.truth.pipelines[pipeline].has_machines => {
                self.run_cluster_api(pipeline)
            }
            // Without a management cluster nothing holds the Machines of Cluster API.
            Method::Follow | Method::ClusterApi => self.run_follow(pipeline),
            Method::Drain | Method::Churn => {}
        }
    }

    /// The owner of a pipeline gives it the new image, once the run holds the nodes of its pool.
    pub(crate) fn give_image(&mut self) {
        for pipeline in 0..self.truth.pipelines.len() {
            let pool = self.truth.pipelines[pipeline].pool.clone();
            let image = self.plan.image_phase(&pool);
            if self.replacing(&pool).is_none() {
                let is_past =
                    self.truth.run().is_some_and(|run| Some(run.from) >= image && run.target() >= image);
                self.truth.pipelines[pipeline].has_image |= is_past;
                continue;
            }
            let skipped = self.truth.run().map(|run| run.skipped.clone()).unwrap_or_default();
            let is_kept = |node: &Node| {
                let is_hooked = node.capi.as_ref().is_none_or(|machine| machine.hook.is_some());
                let is_marked =
                    node.api.step.is_some() && is_hooked || node.api.is_going || !node.api.is_ready;
                is_marked || skipped.contains_key(&node.name) || !self.is_left_behind(node)
            };
            let is_held = self.outdated_nodes(pipeline).all(|(_, node)| is_kept(node));
            let acting = &mut self.truth.pipelines[pipeline];
            let is_followed =
                matches!(acting.method, Method::Follow | Method::ClusterApi) && !acting.has_machines;
            if (is_held || is_followed) && !acting.has_image {
                acting.has_image = true;
                self.note(|_| format!("the pipeline of pool {pool} gets the new image"));
            }
        }
    }

    /// Changes the stage of a job.
    fn enter(&mut self, pipeline: usize, job: usize, stage: Stage) {
        let now = self.now;
        if let Some(job) = self.truth.pipelines[pipeline].jobs.get_mut(job).filter(|job| job.stage != stage) {
            (job.stage, job.since) = (stage, now);
        }
    }

    pub(crate) fn hit_pipeline(&mut self, fault: PipelineFault) {
        match fault {
            PipelineFault::SpotLoss => {
                let rotated: Vec<usize> = self
                    .truth
                    .living_nodes()
                    .map(|(index, _)| index)
                    .filter(|index| self.is_rotated(*index))
                    .collect();
                if let Some(index) = self.random.pick(&rotated).copied() {
                    self.lose(index);
                }
            }
            PipelineFault::Expiry => self.any_pipeline().into_iter().for_each(|index| self.expire(index)),
            PipelineFault::Autoscale => self.any_pipeline().into_iter().for_each(|index| self.scale(index)),
            PipelineFault::PipelineEnds => {
                self.any_pipeline().into_iter().for_each(|index| self.interrupt(index));
            }
            PipelineFault::BadImage => {
                let Some(pipeline) = self.any_pipeline() else { return };
                let lasts = self.random.number_between(20 * MINUTE, 3 * HOUR);
                self.truth.pipelines[pipeline].bad_until = self.now + lasts;
            }
        }
    }

    fn any_pipeline(&mut self) -> Option<usize> {
        let pipelines: Vec<usize> = (0..self.truth.pipelines.len()).collect();
        self.random.pick(&pipelines).copied()
    }

    /// A machine is lost at once, and its Node with it.
    pub(crate) fn lose(&mut self, index: usize) {
        self.remove(index);
        let pool = self.truth.nodes[index].api.pool.clone();
        let Some(pipeline) = self.truth.pipelines.iter().position(|acting| acting.pool == pool) else {
            return;
        };
        // Karpenter brings another one only where pods need it.
        if self.truth.pipelines[pipeline].method == Method::Karpenter && self.random.chance(700) {
            self.launch(pipeline);
        }
    }

    /// A node has reached its age: it is drained and taken away, whatever holds it.
    fn expire(&mut self, pipeline: usize) {
        let pool = self.truth.pipelines[pipeline].pool.clone();
        let is_free = |(index, node): (usize, &Node)| {
            (node.api.pool == pool && !node.api.is_going && !self.truth.pipelines[pipeline].has(index))
                .then_some(index)
        };
        let nodes: Vec<usize> = self.truth.living_nodes().filter_map(is_free).collect();
        let Some(old) = self.random.pick(&nodes).copied() else { return };
        if self.truth.pipelines[pipeline].has_machines {
            return self.delete_machine(old);
        }
        if self.truth.pipelines[pipeline].method == Method::Karpenter {
            self.disrupt(old);
            self.launch(pipeline);
        }
        let since = self.now;
        self.truth.pipelines[pipeline].jobs.push(Job { old, new: None, stage: Stage::Drains, since });
    }

    /// An autoscaler adds a node, or removes one that is empty.
    fn scale(&mut self, pipeline: usize) {
        if self.random.chance(500) {
            self.truth.pipelines[pipeline].size += 1;
            self.launch(pipeline);
            return;
        }
        let pool = self.truth.pipelines[pipeline].pool.clone();
        let is_empty = |(index, node): (usize, &Node)| {
            let is_idle =
                node.api.pool == pool && node.api.is_ready && !self.truth.pipelines[pipeline].has(index);
            (is_idle && self.drainable(index).is_empty()).then_some(index)
        };
        let empty: Vec<usize> = self.truth.living_nodes().filter_map(is_empty).collect();
        let Some(index) = self.random.pick(&empty).copied() else { return };
        let acting = &mut self.truth.pipelines[pipeline];
        acting.size = acting.size.saturating_sub(1);
        if acting.has_machines {
            return self.delete_machine(index);
        }
        self.truth.nodes[index].api.is_going = true;
        self.touch_node(index);
        self.schedule_within(5 * SECOND, MINUTE, Event::Remove(index));
    }

    /// The pipeline's process ends in the middle, and begins anew later. What it had drained stays cordoned; some take their requests back.
    fn interrupt(&mut self, pipeline: usize) {
        let releases = self.random.chance(300);
        let away = self.random.number_between(10 * SECOND, 20 * MINUTE);
        let (now, acting) = (self.now, &mut self.truth.pipelines[pipeline]);
        acting.idle_until = now + away;
        if acting.method == Method::Karpenter || acting.has_machines {
            return;
        }
        let replaced: Vec<usize> = self.replaceable(pipeline).map(|(index, _)| index).collect();
        let acting = &mut self.truth.pipelines[pipeline];
        // What its cloud takes away, such as a node that is too old, goes on without it.
        let is_own = |job: &mut Job| job.stage != Stage::Goes && replaced.contains(&job.old);
        let dropped: Vec<Job> = acting.jobs.extract_if(.., is_own).collect();
        for job in dropped.iter().filter(|job| releases && job.stage == Stage::Asks) {
            let uid = self.truth.nodes[job.old].api.uid.clone();
            self.truth.permits.requested.remove(&uid);
        }
        self.touch_permits();
    }

    /// Nodes that are not replaced after all take pods again. One that the pipeline only asks for may have been drained in part by the process before.
    fn reopen(&mut self, pipeline: usize) {
        let is_free = |acting: &Pipeline, index| {
            acting.jobs.iter().all(|job| job.old != index || job.stage == Stage::Asks)
        };
        for index in self.outdated_nodes(pipeline).map(|(index, _)| index).collect::<Vec<_>>() {
            if self.truth.pipelines[pipeline].marks && is_free(&self.truth.pipelines[pipeline], index) {
                self.truth.nodes[index].api.is_going = false;
                self.touch_node(index);
                self.uncordon(index);
            }
        }
    }

    /// A person or a pipeline cordons a node.
    fn close(&mut self, index: usize) {
        let marks = self
            .truth
            .pipelines
            .iter()
            .any(|acting| acting.marks && acting.pool == self.truth.nodes[index].api.pool);
        let node = &mut self.truth.nodes[index];
        if !node.api.is_cordoned {
            node.set_foreign_cordon();
            node.api.is_going |= marks;
            self.touch_node(index);
            self.note(|history| format!("a pipeline cordons {}", history.truth.nodes[index].name));
        }
    }
}
