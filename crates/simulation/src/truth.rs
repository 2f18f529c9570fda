//! The cluster as it is: its machines, their pods and what attached each, beside the API objects that tell of them. A run never sees this.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use migration::roll::run::Run;
use migration::roll::wish::Wish;
use migration::roll::world::{self, Availability, Color, Trait};
use migration::workload::capacity::Request;
use snapshot::model::Text;
use types::policy::Phase;

use super::build::WorkloadBlueprint;
use super::queue::Millis;

/// The cluster as it is.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    /// Nodes in the order of their making; those that are gone stay.
    pub(super) nodes: Vec<Node>,
    /// Pods by number.
    pub(super) pods: BTreeMap<u32, Pod>,
    /// What makes pods.
    pub(super) workloads: Vec<Workload>,
    /// `PodDisruptionBudgets`.
    pub(super) budgets: Vec<Budget>,
    /// Gates, in the plan's order.
    pub(super) gates: Vec<Gate>,
    /// Pods that have no node yet.
    pub(super) pending: BTreeSet<u32>,
    /// The Lease `crossfade-run`.
    pub(super) lease: Lease,
    /// The ConfigMap `crossfade-run`.
    pub(super) record: Record,
    /// A window of the plan is open.
    pub(super) is_open: bool,
    /// When the last DNS pod vanished that the run did not evict.
    pub(super) dns_lost: Option<Millis>,
    /// How many pods were ever made.
    pub(super) made: u32,
}

/// A Node and its machine.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// The object.
    pub(super) api: world::Node,
    /// Its name.
    pub(super) name: Text,
    /// Its `resourceVersion`.
    pub(super) version: u64,
    /// When the object was deleted; none if it is there.
    pub(super) gone: Option<Millis>,
    /// Who cordoned it; none if it is not cordoned.
    pub(super) cordoned_by: Option<Actor>,
    /// Since when its object shows trouble that is not of the run's making: not Ready, cordoned by somebody else, going.
    pub(super) troubled: Option<Millis>,
    /// Somebody else set its desired phase last.
    pub(super) is_lured: bool,
    /// Since when its object says that it is not Ready.
    pub(super) down: Option<Millis>,
    /// Since when its object says that it takes no pods, whoever is the cause, or is gone.
    pub(super) shut: Option<Millis>,
    /// Since when its object says that somebody takes it away.
    pub(super) going: Option<Millis>,
    /// When its object told of its present boot; none if that is its first.
    pub(super) booted: Option<Millis>,
    /// What the history did to it that a run may not know of yet.
    pub(super) surprise: Option<Surprise>,
    /// When its object was made.
    pub(super) made: Millis,
    /// When `watch` published last what it observes, and when it did before.
    pub(super) published: (Millis, Millis),
    /// When the run claimed it last.
    pub(super) claimed: Millis,
    /// When it began to take pods again after it had not.
    pub(super) opened: Millis,
    /// When the run cordoned it last.
    pub(super) drained: Millis,
    /// What fits on it beside the pods of DaemonSets.
    pub(super) room: Request,
    /// How much of the room is taken.
    pub(super) taken: Request,
    /// Pods that are bound to it.
    pub(super) pods: BTreeSet<u32>,
    /// The machine.
    pub(super) machine: Machine,
}

/// Who did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Actor {
    /// The run.
    Run,
    /// Somebody else.
    Other,
}

/// What the history did to a node by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Surprise {
    /// What will report it.
    pub(super) reporter: Reporter,
    /// Since when the object tells of it; none if it does not yet.
    pub(super) published: Option<Millis>,
}

/// What reports a surprise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reporter {
    /// kubelet, by registering the new boot.
    Kubelet,
    /// The node's `watch`, by what it observes.
    Watch,
}

/// A machine, and what runs on it.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    /// The phase of its policy.
    pub(super) phase: Phase,
    /// The phase of the image that it was made from.
    pub(super) image: Phase,
    /// The policy without its phase.
    pub(super) base: Text,
    /// The phases that node.json allows.
    pub(super) follows: Vec<Phase>,
    /// How often it was booted.
    pub(super) boot: u64,
    /// It runs.
    pub(super) is_up: bool,
    /// It reaches the API server.
    pub(super) is_connected: bool,
    /// Counts changes of both, so that what was to follow from an earlier one does not.
    pub(super) turn: u64,
    /// `watch` runs.
    pub(super) has_watch: bool,
    /// When `watch` ended last; none if it never did.
    pub(super) watch_ended: Option<Millis>,
    /// `watch` is about to look at everything and to publish it.
    pub(super) is_publishing: bool,
    /// How long a flip takes.
    pub(super) flip: Millis,
    /// Since when the network of its phase works.
    pub(super) works_from: Millis,
    /// Attachments whose pods are gone: their DEL fails.
    pub(super) leftovers: Vec<Phase>,
    /// When its phase changed last.
    pub(super) flipped: Millis,
    /// When it forgot a pod last, or an attachment outlived its pod or went later; none if nothing of this ever was.
    pub(super) misjudged: Option<Millis>,
    /// Pods of which it does not know that they are attached.
    pub(super) forgets: BTreeSet<u32>,
}

/// A pod.
#[derive(Debug, Clone)]
pub(super) struct Pod {
    /// The object.
    pub(super) api: world::Pod,
    /// What makes it.
    pub(super) workload: Option<usize>,
    /// Its node.
    pub(super) node: Option<usize>,
    /// What it requests.
    pub(super) request: Request,
    /// How it is attached; none if it is not, or uses the node's network.
    pub(super) attached: Option<Attachment>,
    /// Counts its sandboxes.
    pub(super) sandbox: u32,
    /// How long it takes to become Ready.
    pub(super) start: Millis,
    /// How long it takes to end.
    pub(super) grace: Millis,
    /// Its place in a StatefulSet.
    pub(super) ordinal: u32,
    /// When it got its node.
    pub(super) placed: Millis,
    /// When the history changed it by itself; none if it did not.
    pub(super) shaken: Option<Millis>,
    /// The run evicted it.
    pub(super) is_moved: bool,
}

/// An attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attachment {
    /// The phase that it was made in.
    pub(super) phase: Phase,
    /// When it got its record.
    pub(super) since: Millis,
}

/// What makes pods.
#[derive(Debug, Clone)]
pub(super) struct Workload {
    /// What it was made as; people scale it.
    pub(super) made: WorkloadBlueprint,
    /// The Job has ended.
    pub(super) is_over: bool,
    /// Its pods.
    pub(super) pods: BTreeSet<u32>,
    /// It is about to make pods.
    pub(super) is_awake: bool,
    /// Its status, which is written a little later than its pods change.
    pub(super) status: Availability,
    /// Its status is about to be written.
    pub(super) is_counting: bool,
    /// Since when its status says that pods are missing, and the most that were Ready since; none if it misses none.
    pub(super) short: Option<(Millis, u32)>,
}

/// A `PodDisruptionBudget`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// The workload whose pods it selects.
    pub(super) workload: usize,
    /// How many of them have to be Ready.
    pub(super) least: u32,
}

/// A gate.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    /// Its name.
    pub(super) name: String,
    /// How often it is asked.
    pub(super) every: Millis,
    /// What it would say; none if it does not answer.
    pub(super) says: Option<Color>,
}

/// The Lease.
#[derive(Debug, Clone, Default)]
pub(super) struct Lease {
    /// Which holder has it; none if nobody has.
    pub(super) holder: Option<usize>,
    /// How often it changed hands.
    pub(super) epoch: u64,
    /// How often it was renewed.
    pub(super) renewals: u64,
    /// It was taken by force from a holder that lived.
    pub(super) was_forced: bool,
}

/// The run's ConfigMap.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    /// The run; none before it is there.
    pub(super) run: Option<Run>,
    /// The `resourceVersion`.
    pub(super) version: u64,
    /// When the run was written last.
    pub(super) changed: Millis,
    /// What people asked for.
    pub(super) wishes: Vec<Wish>,
}

impl Truth {
    /// Where pods can be.
    pub(super) fn hosts(&self) -> world::Hosts {
        let living = || self.living().map(|(_, node)| node);
        let largest = living().fold(Request::default(), |most, node| most.most(node.api.offers));
        world::Hosts { names: living().map(|node| node.name.clone()).collect(), largest }
    }

    /// Nodes that are there.
    pub(super) fn living(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.gone.is_none())
    }

    /// The living node of this name.
    pub(super) fn node_by_name(&self, name: &str) -> Option<usize> {
        self.living().find(|(_, node)| &*node.name == name).map(|(index, _)| index)
    }

    /// The run.
    pub(super) fn run(&self) -> Option<&Run> {
        self.record.run.as_ref()
    }

    /// The attachments of a node that are there, its leftovers included.
    pub(super) fn attached(&self, node: usize) -> impl Iterator<Item = Phase> {
        let node = &self.nodes[node];
        let of_pods = node
            .pods
            .iter()
            .filter_map(|pod| self.pods.get(pod)?.attached.map(|attachment| attachment.phase));
        of_pods.chain(node.machine.leftovers.iter().copied())
    }

    /// The same without those that the node does not know of.
    pub(super) fn published_phases(&self, node: usize) -> impl Iterator<Item = Phase> {
        let node = &self.nodes[node];
        let known = node.pods.iter().filter(|pod| !node.machine.forgets.contains(pod));
        let of_pods = known.filter_map(|pod| self.pods.get(pod)?.attached.map(|attachment| attachment.phase));
        of_pods.chain(node.machine.leftovers.iter().copied())
    }

    /// The same without those that were made since the node published the last of which a run that saw everything up to `seen` could know.
    pub(super) fn published(&self, node: usize, seen: Millis) -> impl Iterator<Item = Phase> {
        self.published_of(node, seen, |_| true)
    }

    /// The same of such pods alone.
    pub(super) fn published_of(
        &self,
        node: usize,
        seen: Millis,
        such: impl Fn(&Pod) -> bool,
    ) -> impl Iterator<Item = Phase> {
        let node = &self.nodes[node];
        let published = node.published_at(seen);
        let known = move |attachment: &Attachment| attachment.since <= published;
        let pods = node.pods.iter().filter(|pod| !node.machine.forgets.contains(pod));
        let of_pods = pods.filter_map(move |pod| {
            let pod = self.pods.get(pod).filter(|pod| such(pod))?;
            Some(pod.attached.filter(known)?.phase)
        });
        let machine = &node.machine;
        let leftovers =
            if machine.misjudged.is_none_or(|time| time <= published) { &machine.leftovers[..] } else { &[] };
        of_pods.chain(leftovers.iter().copied())
    }

    /// How many pods of a workload are wanted and Ready, as its status says.
    pub(super) fn available(&self, workload: usize) -> Availability {
        let controller = &self.workloads[workload];
        let pods = || controller.pods.iter().filter_map(|pod| self.pods.get(pod));
        let ready = pods().filter(|pod| pod.is_ready()).count();
        let wanted = match &*controller.made.owner.kind {
            "DaemonSet" => u32::try_from(self.living().count()).unwrap_or(u32::MAX),
            "Job" => 0,
            _ => controller.made.replicas,
        };
        Availability { desired: wanted, ready: u32::try_from(ready).unwrap_or(u32::MAX) }
    }

    /// DNS pods that answer, with their zones.
    pub(super) fn dns(&self) -> impl Iterator<Item = (u32, &Pod, &Text)> {
        let all = self.pods.iter().filter(|(_, pod)| pod.api.is(Trait::Dns));
        all.filter_map(|(id, pod)| Some((*id, pod, &self.nodes[pod.node?].api.zone)))
    }
}

impl Node {
    /// The machine runs and reaches the API server.
    pub(super) const fn answers(&self) -> bool {
        self.machine.is_up && self.machine.is_connected
    }

    /// When the node published what a run knew of it that saw everything up to `seen`.
    pub(super) const fn published_at(&self, seen: Millis) -> Millis {
        let (last, before) = self.published;
        if last > seen { before } else { last }
    }

    /// Whether a run that saw everything up to `seen` could not know how the node is.
    pub(super) fn surprises(&self, seen: Millis) -> bool {
        self.surprise.is_some_and(|surprise| surprise.published.is_none_or(|published| published > seen))
    }
}

impl Pod {
    /// A pod that is nowhere yet.
    pub(super) const fn of(api: world::Pod) -> Self {
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
        }
    }

    /// It is Ready, and stays.
    pub(super) fn is_ready(&self) -> bool {
        self.api.is(Trait::Ready) && !self.api.is(Trait::Terminating)
    }

    /// It uses a network of pods, and runs or is to run.
    pub(super) fn has_network(&self) -> bool {
        !self.api.is(Trait::HostNetwork) && !self.api.is(Trait::Finished)
    }
}

/// A moment of a history, as a run counts time.
#[must_use]
pub(super) const fn at(now: Millis) -> Duration {
    Duration::from_millis(now)
}
