//! The cluster as it is: its machines, their pods and what attached each, beside the API objects that tell of them. A run never sees this.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use migration::roll::run::{Run, Wish};
use migration::roll::world::{self, Availability, Color, Permits, Trait};
use migration::workload::capacity::Request;
use snapshot::model::Text;
use types::api::step::Step;
use types::policy::{Phase, Side};

use crate::cluster::build::WorkloadBlueprint;
use crate::history::queue::Millis;
use crate::pipeline::Pipeline;

/// The cluster as it is.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    /// Nodes in the order of their making; those that are gone stay.
    pub(crate) nodes: Vec<Node>,
    /// Pods by number.
    pub(crate) pods: BTreeMap<u32, Pod>,
    /// What makes pods.
    pub(crate) workloads: Vec<Workload>,
    /// `PodDisruptionBudgets`.
    pub(crate) budgets: Vec<Budget>,
    /// Gates, in the plan's order.
    pub(crate) gates: Vec<Gate>,
    /// Pods that have no node yet.
    pub(crate) pending: BTreeSet<u32>,
    /// The Lease `crossfade-run`.
    pub(crate) lease: Lease,
    /// The ConfigMap `crossfade-run`.
    pub(crate) record: Record,
    /// What replaces nodes.
    pub(crate) pipelines: Vec<Pipeline>,
    /// The ConfigMap `crossfade-permits`.
    pub(crate) permits: Permits,
    /// When the run let a pipeline take a node away first, and in which pass.
    pub(crate) permitted: Option<(u32, Millis)>,
    /// A window of the plan is open.
    pub(crate) is_open: bool,
    /// When the last DNS pod vanished that the run did not evict.
    pub(crate) dns_lost: Option<Millis>,
    /// How many pods were ever made.
    pub(crate) created_pods: u32,
}

/// A Node and its machine.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) api: world::Node,
    pub(crate) name: Text,
    /// The pool that its machine was made in.
    pub(crate) pool: Text,
    /// Its `resourceVersion`.
    pub(crate) version: u64,
    /// When the object was deleted; none if it is there.
    pub(crate) gone_at: Option<Millis>,
    /// Who keeps Karpenter from it; none if no actor does.
    pub(crate) undisturbed_by: Option<Actor>,
    /// Its Machine in the management cluster that the run sees; none without one.
    pub(crate) capi: Option<world::Machine>,
    /// When that was written last.
    pub(crate) capi_changed: Millis,
    /// Karpenter finds that it differs from what its NodePool asks for.
    pub(crate) is_drifted: bool,
    /// When that changed last.
    pub(crate) drift_changed: Millis,
    /// Who cordoned it; none if it is not cordoned.
    pub(crate) cordoned_by: Option<Actor>,
    /// Since when its object shows trouble that is not of the run's making: not Ready, cordoned by another actor, going.
    pub(crate) troubled: Option<Millis>,
    /// Another actor set its desired phase last.
    pub(crate) is_lured: bool,
    /// Since when its object says that it is not Ready.
    pub(crate) down_since: Option<Millis>,
    /// Since when its object says that it takes no pods, whatever is the cause, or is gone.
    pub(crate) shut_since: Option<Millis>,
    /// Since when its object says that it is being removed.
    pub(crate) going_since: Option<Millis>,
    /// When its object showed its present boot; none if that is its first.
    pub(crate) booted_at: Option<Millis>,
    /// What the history did to it that a run may not know of yet.
    pub(crate) surprise: Option<Surprise>,
    /// When another actor changed its step or its pool last, and what both were before.
    pub(crate) forged: Option<(Millis, Text, Option<Step>)>,
    /// When its object was made.
    pub(crate) created_at: Millis,
    /// When `watch` published last what it observes, and when it did before.
    pub(crate) published_at: (Millis, Millis),
    /// When the pod of the new network's agent on it went last.
    pub(crate) agent_lost: Option<Millis>,
    /// When the run claimed it last.
    pub(crate) claimed: Millis,
    /// When the run took its step away last.
    pub(crate) unclaimed: Millis,
    /// When it began to take pods again after it had not.
    pub(crate) opened: Millis,
    /// When a person took away the annotation that kept Karpenter from it.
    pub(crate) released: Millis,
    /// When a person uncordoned it last.
    pub(crate) uncordoned_at: Millis,
    /// When the run took it up again after a person had skipped it.
    pub(crate) resumed: Millis,
    /// When the run cordoned it last.
    pub(crate) drained: Millis,
    /// What fits on it beside the pods of DaemonSets.
    pub(crate) room: Request,
    /// How much of the room is taken.
    pub(crate) requested: Request,
    /// Pods that are bound to it.
    pub(crate) pods: BTreeSet<u32>,
    pub(crate) machine: Machine,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Actor {
    Run,
    /// Another actor.
    Other,
}

/// What the history did to a node by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Surprise {
    /// What will report it.
    pub(crate) reporter: Reporter,
    /// Since when the object tells of it; none if it does not yet.
    pub(crate) published_at: Option<Millis>,
}

/// What reports a surprise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reporter {
    /// kubelet, by registering the new boot.
    Kubelet,
    /// The node's `watch`, by what it observes.
    Watch,
}

/// A machine, and what runs on it.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    /// The phase of its policy.
    pub(crate) phase: Phase,
    pub(crate) has_crossfade: bool,
    /// The phase of the image that it was made from.
    pub(crate) image: Phase,
    /// The policy of the image, without its phase.
    pub(crate) image_base: Text,
    /// The policy without its phase.
    pub(crate) base: Text,
    /// The phases that node.json allows.
    pub(crate) follows: Vec<Phase>,
    /// The networks that node.json lets join and leave pods that run.
    pub(crate) joins: Vec<Side>,
    /// One of them is about to join or leave a pod.
    pub(crate) is_joining: bool,
    /// Its agent answers no join and no leave before this time.
    pub(crate) hangs_until: Millis,
    /// How often it was booted.
    pub(crate) boot: u64,
    /// It runs.
    pub(crate) is_up: bool,
    /// It reaches the API server.
    pub(crate) is_connected: bool,
    /// Counts changes of both, so that what was to follow from an earlier one does not.
    pub(crate) turn: u64,
    /// `watch` runs.
    pub(crate) has_watch: bool,
    /// When `watch` ended last; none if it never did.
    pub(crate) watch_ended: Option<Millis>,
    /// `watch` is about to look at everything and to publish it.
    pub(crate) is_publishing: bool,
    /// How long a flip takes.
    pub(crate) flip: Millis,
    /// Since when the network of its phase works.
    pub(crate) works_from: Millis,
    /// Attachments whose pods are gone: their DEL fails.
    pub(crate) leftovers: Vec<Phase>,
    /// When its phase changed last.
    pub(crate) flipped: Millis,
    /// When it forgot a pod last, or an attachment outlived its pod or went later; none if nothing of this ever was.
    pub(crate) misjudged: Option<Millis>,
    /// Pods of which it does not know that they are attached.
    pub(crate) forgets: BTreeSet<u32>,
}

#[derive(Debug, Clone)]
pub(crate) struct Pod {
    pub(crate) api: world::Pod,
    pub(crate) workload: Option<usize>,
    pub(crate) node: Option<usize>,
    pub(crate) request: Request,
    /// How it is attached; none if it is not, or uses the node's network.
    pub(crate) attached: Option<Attachment>,
    pub(crate) sandbox: u32,
    /// How long it takes to become Ready.
    pub(crate) start: Millis,
    /// How long it takes to end.
    pub(crate) grace: Millis,
    /// Its place in a StatefulSet.
    pub(crate) ordinal: u32,
    /// When it got its node.
    pub(crate) placed: Millis,
    /// When the history changed it by itself; none if it did not.
    pub(crate) shaken: Option<Millis>,
    /// The run evicted it.
    pub(crate) is_moved: bool,
    /// It got a node that is to be replaced, although a new one had room.
    pub(crate) is_misplaced: bool,
    /// No network joins or leaves it.
    pub(crate) refuses: bool,
    /// How often the run restarted it, and those in whose place it came.
    pub(crate) restarts: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attachment {
    /// The phase that it was made in.
    pub(crate) phase: Phase,
    /// When it got its record.
    pub(crate) since: Millis,
    /// Until when connections use the network that leaves it; none before one is to leave.
    pub(crate) connected_until: Option<Millis>,
}

impl Attachment {
    /// One that gets its record now.
    pub(crate) const fn new(phase: Phase, since: Millis) -> Self {
        Self { phase, since, connected_until: None }
    }
}

/// What makes pods.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    /// What it was made as; people scale it.
    pub(crate) blueprint: WorkloadBlueprint,
    /// No network joins or leaves its pods.
    pub(crate) refuses: bool,
    /// It is the agent of this network, in a run to the final image.
    pub(crate) agent_of: Option<Side>,
    /// How often each of its pods was restarted that the run evicted and that has no successor yet.
    pub(crate) evicted: Vec<u64>,
    /// The Job has ended.
    pub(crate) is_over: bool,
    pub(crate) pods: BTreeSet<u32>,
    /// It is about to make pods.
    pub(crate) is_awake: bool,
    /// Its status, which is written a little later than its pods change.
    pub(crate) status: Availability,
    /// Its status is about to be written.
    pub(crate) is_counting: bool,
    /// Since when its status says that pods are missing, and the most that were Ready since; none if it misses none.
    pub(crate) short: Option<(Millis, u32)>,
}

/// A `PodDisruptionBudget`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// The workload whose pods it selects.
    pub(crate) workload: usize,
    /// How many of them have to be Ready.
    pub(crate) least: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Gate {
    pub(crate) name: String,
    /// How often it is asked.
    pub(crate) every: Millis,
    /// What it would say; none if it does not answer.
    pub(crate) color: Option<Color>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Lease {
    /// The holder, if it has one.
    pub(crate) holder: Option<usize>,
    /// How often it changed hands.
    pub(crate) epoch: u64,
    /// How often it was renewed.
    pub(crate) renewals: u64,
    /// It was taken by force from a holder that lived.
    pub(crate) was_forced: bool,
    /// When it was taken last.
    pub(crate) taken_at: Millis,
}

/// The run's ConfigMap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    /// The run; none before it is there.
    pub(crate) run: Option<Run>,
    /// The `resourceVersion`.
    pub(crate) version: u64,
    /// When the run was written last.
    pub(crate) changed_at: Millis,
    /// What people asked for.
    pub(crate) wishes: Vec<Wish>,
}

impl Truth {
    /// Where pods can be.
    pub(crate) fn hosts(&self) -> world::Hosts {
        let living = || self.living_nodes().map(|(_, node)| node);
        let largest = living().fold(Request::default(), |most, node| most.max(node.api.offers));
        world::Hosts { names: living().map(|node| node.name.clone()).collect(), largest }
    }

    pub(crate) fn living_nodes(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.gone_at.is_none())
    }

    /// The living node of this name.
    pub(crate) fn node_by_name(&self, name: &str) -> Option<usize> {
        self.living_nodes().find(|(_, node)| &*node.name == name).map(|(index, _)| index)
    }

    pub(crate) fn run(&self) -> Option<&Run> {
        self.record.run.as_ref()
    }

    /// The attachments of a node that are there, its leftovers included.
    pub(crate) fn attached_phases(&self, node: usize) -> impl Iterator<Item = Phase> {
        let node = &self.nodes[node];
        let of_pods = node
            .pods
            .iter()
            .filter_map(|pod| self.pods.get(pod)?.attached.map(|attachment| attachment.phase));
        of_pods.chain(node.machine.leftovers.iter().copied())
    }

    /// The same without those that the node does not know of.
    pub(crate) fn published_phases(&self, node: usize) -> impl Iterator<Item = Phase> {
        let node = &self.nodes[node];
        let attached_pods = node.pods.iter().filter(|pod| !node.machine.forgets.contains(pod));
        let of_pods =
            attached_pods.filter_map(|pod| self.pods.get(pod)?.attached.map(|attachment| attachment.phase));
        of_pods.chain(node.machine.leftovers.iter().copied())
    }

    /// The same without those that were made since the node published the last of which a run that saw everything up to `seen` could know.
    pub(crate) fn published_phases_at(
        &self,
        node: usize,
        observed_at: Millis,
    ) -> impl Iterator<Item = Phase> {
        self.published_of(node, observed_at, |_| true)
    }

    /// The same of such pods alone.
    pub(crate) fn published_of(
        &self,
        node: usize,
        observed_at: Millis,
        such: impl Fn(&Pod) -> bool,
    ) -> impl Iterator<Item = Phase> {
        let node = &self.nodes[node];
        let published = node.published_at(observed_at);
        let is_published = move |attachment: &Attachment| attachment.since <= published;
        let pods = node.pods.iter().filter(|pod| !node.machine.forgets.contains(pod));
        let of_pods = pods.filter_map(move |pod| {
            let pod = self.pods.get(pod).filter(|pod| such(pod))?;
            Some(pod.attached.filter(is_published)?.phase)
        });
        let machine = &node.machine;
        let leftovers =
            if machine.misjudged.is_none_or(|time| time <= published) { &machine.leftovers[..] } else { &[] };
        of_pods.chain(leftovers.iter().copied())
    }

    /// How many pods of a workload are wanted and Ready, as its status says.
    pub(crate) fn available(&self, workload: usize) -> Availability {
        let controller = &self.workloads[workload];
        let pods = || controller.pods.iter().filter_map(|pod| self.pods.get(pod));
        let ready = pods().filter(|pod| pod.is_ready()).count();
        let desired = match &*controller.blueprint.owner.kind {
            "DaemonSet" => {
                let nodes = self.living_nodes().filter(|(index, _)| self.has_daemon(workload, *index));
                u32::try_from(nodes.count()).unwrap_or(u32::MAX)
            }
            "Job" => 0,
            _ => controller.blueprint.replicas,
        };
        Availability { desired, ready: u32::try_from(ready).unwrap_or(u32::MAX) }
    }

    /// Whether a DaemonSet has a pod on a node: the old network's agent comes on no node of the final image.
    pub(crate) fn has_daemon(&self, workload: usize, node: usize) -> bool {
        self.workloads[workload].agent_of != Some(Side::Old) || self.nodes[node].machine.has_crossfade
    }

    /// Whether a pod is the new network's agent, in a run to the final image.
    pub(crate) fn is_new_agent(&self, pod: &Pod) -> bool {
        pod.workload.is_some_and(|workload| self.workloads[workload].agent_of == Some(Side::New))
    }

    /// Whether the run to the final image knows agents of the new network, which prove nodes. A snapshot may have none of their pods.
    pub(crate) fn has_new_agents(&self) -> bool {
        self.workloads.iter().any(|workload| workload.agent_of == Some(Side::New))
    }

    /// The new network's agent on a node, in a run to the final image.
    pub(crate) fn agent_on(&self, node: usize) -> Option<&Pod> {
        let mut pods = self.nodes[node].pods.iter().filter_map(|id| self.pods.get(id));
        pods.find(|pod| self.is_new_agent(pod))
    }

    /// DNS pods that answer, with their zones.
    pub(crate) fn dns(&self) -> impl Iterator<Item = (u32, &Pod, &Text)> {
        let all = self.pods.iter().filter(|(_, pod)| pod.api.has_trait(Trait::Dns));
        all.filter_map(|(id, pod)| Some((*id, pod, &self.nodes[pod.node?].api.zone)))
    }
}

impl Node {
    /// Its Machine is being deleted, and is no replica of its MachineSet any more.
    pub(crate) fn has_deleted_machine(&self) -> bool {
        self.capi.as_ref().is_some_and(|machine| machine.is_deleted)
    }

    /// The machine runs and reaches the API server.
    pub(crate) const fn answers(&self) -> bool {
        self.machine.is_up && self.machine.is_connected
    }

    /// When the node published what a run knew of it that saw everything up to `seen`.
    pub(crate) const fn published_at(&self, observed_at: Millis) -> Millis {
        let (last, before) = self.published_at;
        if last > observed_at { before } else { last }
    }

    /// Whether a run that saw everything up to `seen` could not know how the node is.
    pub(crate) fn surprises(&self, observed_at: Millis) -> bool {
        self.surprise
            .is_some_and(|surprise| surprise.published_at.is_none_or(|published| published > observed_at))
    }
}

impl Pod {
    /// A pod that is nowhere yet.
    pub(crate) const fn from_api(api: world::Pod) -> Self {
        Self {
            api,
            workload: None,
            node: None,
            request: Request::POD,
            attached: None,
            sandbox: 0,
            start: 1000,
            grace: 1000,
            ordinal: 0,
            placed: 0,
            shaken: None,
            is_moved: false,
            is_misplaced: false,
            refuses: false,
            restarts: 0,
        }
    }

    /// It is Ready, and stays.
    pub(crate) fn is_ready(&self) -> bool {
        self.api.has_trait(Trait::Ready) && !self.api.has_trait(Trait::Terminating)
    }

    /// It uses a network of pods, and runs or is to run.
    pub(crate) fn has_network(&self) -> bool {
        !self.api.has_trait(Trait::HostNetwork) && !self.api.has_trait(Trait::Finished)
    }
}

/// A moment of a history, as a run counts time.
#[must_use]
pub(crate) const fn duration_of(now: Millis) -> Duration {
    Duration::from_millis(now)
}
