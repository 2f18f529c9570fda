//! Launches of new nodes: a machine boots, its kubelet registers the Node, its network works, and the start-up taint goes.

use migration::config::roll::Method;
use migration::roll::world::Trait;
use migration::workload::START_TAINT_CILIUM;
use snapshot::model::Text;
use types::policy::Phase;

use super::{Pipeline, STARTUP, Stage};
use crate::cluster::build::NodeBlueprint;
use crate::cluster::truth::{Node, Pod, Reporter};
use crate::disturb::fault::CallFault;
use crate::history::History;
use crate::history::event::{Event, Turn};
use crate::history::queue::{MINUTE, Millis, SECOND};

/// The policy of nodes of the new image, without its phase.
const IMAGE_BASE: &str = "base-of-image";
/// How long a pipeline waits for a node that is not Ready before it launches another one.
const PATIENCE: Millis = 10 * MINUTE;
/// A network that never works.
pub(crate) const NEVER: Millis = Millis::MAX / 4;

impl History {
    /// A machine is launched.
    pub(crate) fn launch(&mut self, pipeline: usize) {
        if self.truth.living_nodes().count()
            + self.truth.pipelines.iter().map(|acting| acting.launching).sum::<usize>()
            > 150
        {
            return;
        }
        self.truth.pipelines[pipeline].launching += 1;
        self.tally.count("a launch");
        self.schedule_within(15 * SECOND, 2 * MINUTE, Event::Launched(pipeline));
    }

    /// Launches a machine if pods find no node that some node could take.
    pub(crate) fn provide(&mut self) {
        let largest = self.truth.hosts().largest;
        let is_pending = |id: &u32| {
            self.truth
                .pods
                .get(id)
                .is_some_and(|pod| pod.api.has_trait(Trait::Unschedulable) && pod.request.fits(&largest, 0))
        };
        let is_launching = self.truth.pipelines.iter().any(|acting| acting.launching > 0);
        let has_unready = self
            .truth
            .living_nodes()
            .any(|(_, node)| node.created_at > 0 && !node.is_initialized() && !node.api.is_going);
        if is_launching
            || has_unready
            || self.truth.pipelines.is_empty()
            || !self.truth.pending.iter().any(is_pending)
        {
            return;
        }
        let pipelines = self.truth.pipelines.len() as u64;
        let pipeline = usize::try_from(self.random.number_below(pipelines)).unwrap_or_default();
        self.truth.pipelines[pipeline].size += 1;
        self.launch(pipeline);
    }

    /// Its kubelet registers the Node.
    pub(crate) fn note_launched(&mut self, pipeline: usize) {
        let acting = &mut self.truth.pipelines[pipeline];
        acting.launching = acting.launching.saturating_sub(1);
        let Some(index) = self.give_birth(pipeline) else { return };
        let is_waiting =
            |job: &&mut super::Job| job.new.is_none() && matches!(job.stage, Stage::Launches | Stage::Awaits);
        if let Some(job) = self.truth.pipelines[pipeline].jobs.iter_mut().find(is_waiting) {
            job.new = Some(index);
        }
    }

    fn give_birth(&mut self, pipeline: usize) -> Option<usize> {
        let Pipeline { pool, has_image, bad_until, .. } = self.truth.pipelines[pipeline].clone();
        let image = self.plan.image_phase(&pool).filter(|_| has_image);
        let planned = self.plan.pools.iter().find(|candidate| candidate.name == pool)?;
        let zone = self.random.pick(&planned.zones).cloned()?;
        // Of an old one, the first node that the pool ever had.
        let like = self.truth.nodes.iter().position(|node| node.pool == pool)?;
        let node = &self.truth.nodes[like];
        let is_final = image.is_some() && self.plan.is_final();
        let is_plain = is_final || !node.machine.has_crossfade && image.is_none();
        let built = NodeBlueprint {
            name: Text::from(format!("n{}", self.truth.nodes.len())),
            zone,
            pool,
            phase: image.unwrap_or(node.machine.image),
            base: if image.is_some() { IMAGE_BASE.into() } else { node.machine.image_base.clone() },
            joins: node.machine.joins.clone(),
            offers: node.api.offers,
            room: node.room,
        };
        let index = self.truth.add_node(&built);
        self.enroll(index);
        let is_bad_image = self.now < bad_until && !self.is_calm();
        let is_bad = image.is_some() && (self.strikes(CallFault::BadLaunch) || is_bad_image);
        // The image that is to be the final one gives pods the old network.
        let is_wrong = is_final && is_bad && self.random.chance(500);
        let is_bad = is_bad && !is_wrong;
        let (now, works) = (self.now, self.random.number_between(2 * SECOND, MINUTE));
        let node = &mut self.truth.nodes[index];
        node.created_at = now;
        node.machine.has_crossfade = !is_plain;
        node.machine.has_watch = !is_plain;
        node.machine.works_from = if is_bad { NEVER } else { now + works };
        if is_wrong {
            (node.machine.phase, node.machine.image) = (Phase::Old, Phase::Old);
        }
        if is_final {
            // Its network works once its agent does, which comes before kubelet is Ready. Some images have the taint that waits for the agent.
            if self.random.chance(500) {
                node.api.taints.push(START_TAINT_CILIUM.into());
            }
            (0..self.truth.workloads.len()).for_each(|workload| self.wake(workload));
        } else if image.is_some() {
            // kubelet registers the label and the taint of the image.
            node.api.label = image;
            node.api.taints.push(STARTUP.into());
        }
        self.surprise(index, if is_plain { Reporter::Kubelet } else { Reporter::Watch });
        self.touch_node(index);
        self.note(|history| {
            format!(
                "{} comes, bad: {is_bad}, of another network: {is_wrong}",
                history.truth.nodes[index].name
            )
        });
        let turn = self.truth.turn(index);
        // Where the runtime has no network before, kubelet is not Ready before.
        let is_private = self.random.chance(500);
        let ready = if is_private { works } else { self.random.number_between(SECOND, 20 * SECOND) };
        if !(is_private && is_bad) {
            self.schedule_after(ready, Event::Register(turn));
        }
        Some(index)
    }

    /// The taint of a node of the final image goes soon, since its agent is Ready.
    pub(crate) fn lift_later(&mut self, index: usize) {
        let is_ready = self.truth.agent_on(index).is_some_and(Pod::is_ready);
        if is_ready && self.truth.nodes[index].api.taints.iter().any(|key| **key == *START_TAINT_CILIUM) {
            let turn = self.truth.turn(index);
            self.schedule_within(500, 10 * SECOND, Event::Lift(turn));
        }
    }

    /// The start-up taint goes, since the node says that its network works, or its agent does.
    pub(crate) fn lift(&mut self, turn: Turn) {
        let node = &mut self.truth.nodes[turn.node];
        if node.machine.turn != turn.number || node.gone_at.is_some() || !node.is_barred() {
            return;
        }
        node.api.taints.retain(|key| !matches!(&**key, STARTUP | START_TAINT_CILIUM));
        self.touch_node(turn.node);
        self.wake_scheduler();
    }

    /// Ends new machines that are not there in time, and keeps the pool as large as it is to be. Karpenter leaves such nodes as they are.
    pub(super) fn abandon(&mut self, pipeline: usize) {
        let Pipeline { method, pool, size, .. } = self.truth.pipelines[pipeline].clone();
        if method == Method::Karpenter {
            return;
        }
        let now = self.now;
        let is_late = |(index, node): (usize, &Node)| {
            let is_new = node.api.pool == pool && node.created_at > 0 && !node.is_initialized();
            (is_new && node.shut_since.is_some_and(|since| now - since > PATIENCE) && !node.api.is_going
                || is_new && node.is_barred() && now - node.created_at > PATIENCE)
                .then_some(index)
        };
        for index in self.truth.living_nodes().filter_map(is_late).collect::<Vec<_>>() {
            self.tally.count("a machine abandoned");
            self.remove(index);
        }
        if self.pool_size(pipeline) < size {
            self.launch(pipeline);
        }
    }

    /// Whether the node that a job waits for is there; another one is launched for one that was lost.
    pub(super) fn has_come(&mut self, pipeline: usize, job: usize) -> bool {
        let job = &mut self.truth.pipelines[pipeline].jobs[job];
        match job.new {
            Some(new) if self.truth.nodes[new].gone_at.is_some() => {
                let is_extra = job.stage == Stage::Launches;
                job.new = None;
                if is_extra {
                    self.launch(pipeline);
                }
                false
            }
            Some(new) => self.truth.nodes[new].is_initialized(),
            None => {
                if job.stage == Stage::Launches && self.truth.pipelines[pipeline].launching == 0 {
                    self.launch(pipeline);
                }
                false
            }
        }
    }
}
