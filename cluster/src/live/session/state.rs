//! The state of the cluster as watches have reported it, and the world that it adds up to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use migration::drive::gate::{Shortages, decide, dns};
use migration::drive::objects::{ObservedMachine, ObservedNode, ObservedNodeClaim};
use migration::plan::{GateSource, Plan};
use migration::roll::run::Run;
use migration::roll::world::{
    Availability, Census, Machine, Node, Owner, Permits, Pod, Trait, Verdict, World,
};
use reachability::report::{ClassCounts, Totals};
use serde_json::Value;
use snapshot::model::{Kind, Text};

use crate::live::api::watch::Change;
use crate::live::session::health::{BlindSpot, Health};
use crate::live::store::{StoredRun, UnreadableRun};

/// How many bytes of names a run remembers of workloads that missed pods at its start.
const SHORT_BYTES: usize = 32 << 10;

/// The objects that one watch follows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::live) enum WatchScope {
    Nodes,
    /// All workloads of a kind.
    Workloads(Kind),
    /// Pods without a node.
    Pending,
    /// Pods that answer DNS queries.
    Dns,
    /// Pods on a Node.
    OnNode(Text),
    Run,
    /// What pipelines ask for.
    Permits,
    /// The Machines of the run's nodes, in the management cluster.
    Machines,
    /// The NodeClaims of Karpenter.
    NodeClaims,
}

#[derive(Debug)]
pub(in crate::live) enum Event {
    Nodes(Change<ObservedNode>),
    /// A Node as the answer to an own patch shows it, which proves nothing about the watch.
    Patched(ObservedNode),
    Workloads(Kind, Change<(Owner, Availability)>),
    Pods(WatchScope, Change<Pod>),
    Run(Change<Result<StoredRun, UnreadableRun>>),
    Permits(Change<Permits>),
    Machines(Change<ObservedMachine>),
    NodeClaims(Change<ObservedNodeClaim>),
    /// A Machine as the answer to an own patch shows it.
    Hooked(ObservedMachine),
    /// The run as this holder has just written it.
    Recorded(StoredRun),
    Verdict(String, Verdict),
    /// What agents reported since the last event of this kind.
    Measured(Vec<ClassCounts>),
    Census(Census),
}

/// The state of the cluster as watches have reported it.
#[derive(Debug, Default)]
pub(in crate::live) struct ClusterState {
    /// Nodes are kept here as they become known; everything else is put here for a look.
    pub(in crate::live) world: Arc<World>,
    taints: BTreeMap<Text, Vec<Value>>,
    pods: BTreeMap<WatchScope, BTreeMap<Text, Pod>>,
    workloads: BTreeMap<Owner, Availability>,
    /// The run; none if it is not there.
    pub(in crate::live) stored: Option<Result<StoredRun, UnreadableRun>>,
    /// What pipelines ask for.
    permits: Permits,
    /// The Machines, by the names of their Nodes.
    machines: Arc<BTreeMap<Text, Machine>>,
    /// The UIDs of the NodeClaims that are drifted, by the names of their Nodes.
    drifted: BTreeMap<Text, Text>,
    /// Verdicts of commands.
    verdicts: BTreeMap<String, Verdict>,
    /// What agents measured, and no driver has taken yet.
    measured: Totals,
    /// What makes pods that a node in transit has, or had, and how many pods it wanted when it had all of them last, or when that was first seen; none if nothing
    /// counts its pods.
    touched: BTreeMap<Owner, Option<u32>>,
    has_looked: bool,
    shortages: Shortages,
    health: BTreeMap<WatchScope, Health>,
}

impl WatchScope {
    /// What is watched there are pods.
    pub(in crate::live) const fn is_of_pods(&self) -> bool {
        matches!(self, Self::Pending | Self::Dns | Self::OnNode(_))
    }
}

impl std::fmt::Display for WatchScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nodes => f.write_str("Nodes"),
            Self::Workloads(kind) => write!(f, "{kind}s"),
            Self::Pending => f.write_str("Pods without a node"),
            Self::Dns => f.write_str("Pods of the cluster's DNS"),
            Self::OnNode(node) => write!(f, "Pods on node {node}"),
            Self::Run => f.write_str("ConfigMap crossfade-run"),
            Self::Permits => f.write_str("ConfigMap crossfade-permits"),
            Self::Machines => f.write_str("Machines of the management cluster"),
            Self::NodeClaims => f.write_str("NodeClaims"),
        }
    }
}

impl ClusterState {
    /// Begins to watch a place. Until it is in sync, nothing is decided.
    pub(in crate::live) fn begin(&mut self, place: WatchScope) {
        if place.is_of_pods() {
            self.pods.insert(place.clone(), BTreeMap::new());
        }
        self.health.insert(place, Health::Starting);
    }

    /// Ends to watch a place.
    pub(in crate::live) fn end(&mut self, place: &WatchScope) {
        self.pods.remove(place);
        self.health.remove(place);
    }

    /// Takes up what became known. Says whether a decision may depend on it.
    pub(in crate::live) fn apply(&mut self, event: Event, now: Duration) -> bool {
        match event {
            Event::Nodes(change) => {
                let is_back = self.sync(&WatchScope::Nodes, &change, now);
                self.nodes(change) || is_back
            }
            Event::Workloads(kind, change) => {
                let is_back = self.sync(&WatchScope::Workloads(kind), &change, now);
                self.apply_workloads(kind, change) || is_back
            }
            Event::Pods(place, change) => {
                let is_back = self.sync(&place, &change, now);
                self.pods(&place, change) || is_back
            }
            Event::Run(change) => {
                let is_back = self.sync(&WatchScope::Run, &change, now);
                self.run(change) || is_back
            }
            Event::Permits(change) => {
                let is_back = self.sync(&WatchScope::Permits, &change, now);
                self.permits(change) || is_back
            }
            Event::Machines(change) => {
                let is_back = self.sync(&WatchScope::Machines, &change, now);
                self.machines(change) || is_back
            }
            Event::NodeClaims(change) => {
                let is_back = self.sync(&WatchScope::NodeClaims, &change, now);
                self.node_claims(change) || is_back
            }
            Event::Hooked(object) => self.machine(object),
            Event::Patched(object) => self.node(object),
            Event::Recorded(stored) => self.run(Change::Put(Ok(stored))),
            Event::Verdict(name, verdict) => {
                self.verdicts.insert(name, verdict);
                true
            }
            // It is for the journal.
            Event::Measured(rows) => {
                self.measured.add(&rows, Vec::new());
                false
            }
            Event::Census(census) => {
                Arc::make_mut(&mut self.world).census = Some(census);
                true
            }
        }
    }

    /// What agents measured since it was taken last.
    pub(in crate::live) fn take_measured(&mut self) -> Vec<ClassCounts> {
        std::mem::take(&mut self.measured).rows()
    }

    /// Whether a place is known again that was not.
    fn sync<T>(&mut self, place: &WatchScope, change: &Change<T>, now: Duration) -> bool {
        let Some(health) = self.health.get_mut(place) else { return false };
        match change {
            Change::All(_) | Change::Put(_) | Change::Gone(_) | Change::InSync => health.sync(now),
            Change::Lost(why) => {
                health.lose(why);
                false
            }
            Change::Expired => {
                health.expire();
                false
            }
        }
    }

    fn nodes(&mut self, change: Change<ObservedNode>) -> bool {
        match change {
            Change::All(all) => {
                let names: BTreeSet<Text> = all.iter().map(|api_node| api_node.name.clone()).collect();
                Arc::make_mut(&mut self.world).nodes.retain(|name, _| names.contains(name));
                self.taints.retain(|name, _| names.contains(name));
                for api_node in all {
                    self.node(api_node);
                }
                true
            }
            Change::Put(api_node) => self.node(api_node),
            Change::Gone(api_node) => {
                self.taints.remove(&api_node.name);
                Arc::make_mut(&mut self.world).nodes.remove(&api_node.name).is_some()
            }
            Change::InSync | Change::Lost(_) | Change::Expired => false,
        }
    }

    /// A Node as it is now, unless a later one is known: an own patch is known before the watch tells of it.
    fn node(&mut self, ObservedNode { name, node, taints }: ObservedNode) -> bool {
        let current = self.world.nodes.get(&name);
        if current.is_some_and(|current| current.uid == node.uid && is_older(&node.version, &current.version))
        {
            return false;
        }
        let has_changed = current
            .is_none_or(|current| Node { version: node.version.clone(), ..Node::clone(current) } != node);
        if taints.is_empty() {
            self.taints.remove(&name);
        } else {
            self.taints.insert(name.clone(), taints);
        }
        Arc::make_mut(&mut self.world).put(name, node);
        has_changed
    }

    /// The taints of a Node as they are written, if the Node is still at this version.
    pub(in crate::live) fn taints(&self, name: &str, version: &str) -> Option<&[Value]> {
        self.world.nodes.get(name).filter(|node| &*node.version == version)?;
        Some(self.taints.get(name).map_or(&[], Vec::as_slice))
    }

    fn apply_workloads(&mut self, kind: Kind, change: Change<(Owner, Availability)>) -> bool {
        match change {
            Change::All(all) => {
                self.workloads.retain(|owner, _| *owner.kind != *kind.name());
                self.workloads.extend(all);
                true
            }
            Change::Put((owner, available)) => self.workloads.insert(owner, available) != Some(available),
            Change::Gone((owner, _)) => self.workloads.remove(&owner).is_some(),
            Change::InSync | Change::Lost(_) | Change::Expired => false,
        }
    }

    fn pods(&mut self, place: &WatchScope, change: Change<Pod>) -> bool {
        // Its watch has ended, and this is its last word.
        let Some(current) = self.pods.get_mut(place) else { return false };
        match change {
            Change::All(all) => {
                *current = all.into_iter().map(|pod| (pod.uid.clone(), pod)).collect();
                true
            }
            Change::Put(pod) => {
                let before = current.insert(pod.uid.clone(), pod.clone());
                before.as_ref() != Some(&pod)
            }
            Change::Gone(pod) => current.remove(&pod.uid).is_some(),
            Change::InSync | Change::Lost(_) | Change::Expired => false,
        }
    }

    fn run(&mut self, change: Change<Result<StoredRun, UnreadableRun>>) -> bool {
        let next = match change {
            Change::All(all) => all.into_iter().next(),
            Change::Put(stored) => Some(stored),
            Change::Gone(_) => None,
            Change::InSync | Change::Lost(_) | Change::Expired => return false,
        };
        let is_late = match (&self.stored, &next) {
            (Some(current), Some(next)) => is_older(version(next), version(current)),
            _ => false,
        };
        if is_late {
            return false;
        }
        let has_changed = self.stored != next;
        self.stored = next;
        has_changed
    }

    fn permits(&mut self, change: Change<Permits>) -> bool {
        let next = match change {
            Change::All(all) => all.into_iter().next().unwrap_or_default(),
            Change::Put(permits) => permits,
            Change::Gone(_) => Permits::default(),
            Change::InSync | Change::Lost(_) | Change::Expired => return false,
        };
        std::mem::replace(&mut self.permits, next) != self.permits
    }

    fn machines(&mut self, change: Change<ObservedMachine>) -> bool {
        match change {
            Change::All(all) => {
                self.machines = Arc::new(
                    all.into_iter()
                        .map(|observed_machine| (observed_machine.node, observed_machine.machine))
                        .collect(),
                );
                true
            }
            Change::Put(observed_machine) => self.machine(observed_machine),
            Change::Gone(ObservedMachine { node, machine }) => {
                let is_known = self.machines.get(&node).is_some_and(|current| current.uid == machine.uid);
                is_known && Arc::make_mut(&mut self.machines).remove(&node).is_some()
            }
            Change::InSync | Change::Lost(_) | Change::Expired => false,
        }
    }

    /// A Machine as it is now, unless a later one is known. Its controllers write it more often than anything of it changes that counts here.
    fn machine(&mut self, ObservedMachine { node, machine }: ObservedMachine) -> bool {
        let current = self.machines.get(&node);
        if current
            .is_some_and(|current| current.uid == machine.uid && is_older(&machine.version, &current.version))
        {
            return false;
        }
        let has_changed = current
            .is_none_or(|current| Machine { version: machine.version.clone(), ..current.clone() } != machine);
        Arc::make_mut(&mut self.machines).insert(node, machine);
        has_changed
    }

    /// Which Nodes are drifted. Karpenter writes its NodeClaims more often than that changes.
    fn node_claims(&mut self, change: Change<ObservedNodeClaim>) -> bool {
        match change {
            Change::All(all) => {
                let drifted = all.into_iter().filter(|claim| claim.is_drifted);
                self.drifted = drifted.map(|claim| (claim.node, claim.uid)).collect();
                true
            }
            Change::Put(ObservedNodeClaim { node, uid, is_drifted: true }) => {
                self.drifted.insert(node, uid.clone()).is_none_or(|before| before != uid)
            }
            // A NodeClaim of an earlier Node of this name says nothing of this one.
            Change::Put(ObservedNodeClaim { node, uid, .. })
            | Change::Gone(ObservedNodeClaim { node, uid, .. }) => {
                let is_same = self.drifted.get(&node).is_some_and(|current| *current == uid);
                is_same && self.drifted.remove(&node).is_some()
            }
            Change::InSync | Change::Lost(_) | Change::Expired => false,
        }
    }

    /// The Nodes that a run moves, this one or another.
    pub(in crate::live) fn nodes_in_transit(&self) -> impl Iterator<Item = &Text> {
        self.world.nodes.iter().filter(|(_, node)| is_in_transit(node)).map(|(name, _)| name)
    }

    /// Pods on nodes in transit.
    fn pods_in_transit(&self) -> impl Iterator<Item = &Pod> {
        let is_in_transit = |scope: &WatchScope| match scope {
            WatchScope::OnNode(name) => self.world.nodes.get(name).is_some_and(|node| is_in_transit(node)),
            WatchScope::Nodes
            | WatchScope::Workloads(_)
            | WatchScope::Pending
            | WatchScope::Dns
            | WatchScope::Run
            | WatchScope::Permits
            | WatchScope::Machines
            | WatchScope::NodeClaims => false,
        };
        let of_nodes = self.pods.iter().filter(move |(scope, _)| is_in_transit(scope));
        of_nodes.flat_map(|(_, pods)| pods.values())
    }

    /// All workloads that are watched.
    pub(in crate::live) const fn workloads(&self) -> &BTreeMap<Owner, Availability> {
        &self.workloads
    }

    /// How many pods workloads miss now, as a run remembers it at its start. DaemonSets are not among them: what they miss lies on single nodes. Where tenants
    /// have more such workloads than the run's ConfigMap has room for, the last ones are left out; each of those can be skipped.
    pub(in crate::live) fn short_workloads(&self) -> BTreeMap<String, u32> {
        let is_short =
            |(owner, available): &(&Owner, &Availability)| !owner.is_daemon_set() && available.is_short(0);
        let missing = |(owner, available): (&Owner, &Availability)| {
            (owner.title(), available.desired.saturating_sub(available.ready))
        };
        let mut bytes_left = SHORT_BYTES;
        let has_room = |(title, _): &(String, u32)| {
            let fits = title.len() < bytes_left;
            bytes_left = bytes_left.saturating_sub(title.len());
            fits
        };
        self.workloads.iter().filter(is_short).map(missing).take_while(has_room).collect()
    }

    /// What is not known well enough to decide anything.
    pub(in crate::live) fn blind(&self, now: Duration) -> Option<BlindSpot> {
        self.health.iter().find_map(|(place, health)| health.blind(&place.to_string(), now))
    }

    /// Puts together what a decision looks at. `api` is how the API server answers.
    pub(in crate::live) fn update_world(
        &mut self,
        run: &Run,
        plan: &Plan,
        workload_owners: &[Owner],
        api: &Verdict,
        now: Duration,
    ) {
        self.touch(run);
        let owners = self.owners();
        let world = Arc::make_mut(&mut self.world);
        world.now = now;
        world.synced = self.health.values().filter_map(Health::synced_at).min().unwrap_or_default();
        world.pods = self.pods.values().flat_map(BTreeMap::values).cloned().collect();
        world.owners = owners;
        world.permits.clone_from(&self.permits);
        let is_managed = self.health.contains_key(&WatchScope::Machines);
        world.machines = is_managed.then(|| Arc::clone(&self.machines));
        let sees_drift = self.health.contains_key(&WatchScope::NodeClaims);
        world.drifted = sees_drift.then(|| Arc::new(self.drifted.keys().cloned().collect()));
        self.shortages.observe(&world.owners, |owner| run.missing_replicas(owner), now);
        let patience = Duration::from_secs(plan.limits.owners_seconds.into());
        let verdict = |source: &GateSource, name: &String| match source {
            GateSource::Workload => Some(self.shortages.verdict(patience, now)),
            GateSource::Dns => Some(dns(world.pods.values(), now)),
            GateSource::ApiServer => Some(api.clone()),
            GateSource::Watched => Some(decide(workload_owners, &self.workloads, now)),
            GateSource::Command(_) | GateSource::Probe(_) => self.verdicts.get(name).cloned(),
        };
        let gates = plan.gates.iter();
        world.verdicts =
            gates.filter_map(|gate| Some((gate.name.clone(), verdict(&gate.source, &gate.name)?))).collect();
    }

    /// Remembers what makes the pods of nodes in transit that will come back elsewhere, and at the first look what earlier holders have moved.
    fn touch(&mut self, run: &Run) {
        if !std::mem::replace(&mut self.has_looked, true) {
            let moved = run
                .moved_owners
                .iter()
                .filter_map(|(title, desired)| Some((Owner::from_title(title)?, *desired)));
            self.touched.extend(moved);
        }
        let moves = |pod: &&Pod| {
            !pod.has_trait(Trait::HostNetwork)
                && !pod.has_trait(Trait::Finished)
                && !pod.has_trait(Trait::Static)
        };
        let owners = self.pods_in_transit().filter(moves).filter_map(|pod| pod.owner.clone());
        for owner in owners.filter(|owner| !self.touched.contains_key(owner)).collect::<BTreeSet<_>>() {
            let desired = self.workloads.get(&owner).map(|now| now.desired);
            self.touched.insert(owner, desired);
        }
        for (owner, desired) in &mut self.touched {
            if let Some(now) = self.workloads.get(owner).filter(|now| !now.is_short(0)) {
                *desired = Some(now.desired);
            }
        }
    }

    /// How available each touched workload is. It wants no more than when it had all its pods last: the run did not take what is added meanwhile. Of a DaemonSet
    /// only the pods on nodes in transit count: elsewhere, one may be missing for months.
    fn owners(&self) -> BTreeMap<Owner, Availability> {
        let workloads = self.touched.iter().filter(|(owner, _)| !owner.is_daemon_set());
        let available = |(owner, desired): (&Owner, &Option<u32>)| {
            let now = self.workloads.get(owner)?;
            let desired = desired.map_or(now.desired, |before| before.min(now.desired));
            Some((owner.clone(), Availability { desired, ready: now.ready }))
        };
        let mut owners: BTreeMap<Owner, Availability> = workloads.filter_map(available).collect();
        for pod in self.pods_in_transit().filter(|pod| !pod.has_trait(Trait::Finished)) {
            let Some(owner) =
                pod.owner.as_ref().filter(|owner| owner.is_daemon_set() && self.touched.contains_key(*owner))
            else {
                continue;
            };
            let counts = owners.entry(owner.clone()).or_default();
            counts.desired += 1;
            counts.ready += u32::from(pod.has_trait(Trait::Ready) && !pod.has_trait(Trait::Terminating));
        }
        owners
    }
}

/// Whether a run moves the node, this one or another.
fn is_in_transit(node: &Node) -> bool {
    node.step.as_ref().is_some_and(|step| step.state.is_in_transit())
}

fn version(stored: &Result<StoredRun, UnreadableRun>) -> &str {
    stored.as_ref().map_or_else(|unreadable| &unreadable.version, |stored| &stored.version)
}

/// Whether a version is older than another. Where they are no numbers, that is not known, and the one that comes later counts.
///
/// *Source*: Kubernetes, "API Concepts", "Resource versions": from 1.35 on they can be compared as numbers; those of etcd could always.
fn is_older(version: &str, than: &str) -> bool {
    let number = |version: &str| version.parse::<u128>().ok();
    matches!((number(version), number(than)), (Some(version), Some(than)) if version < than)
}

#[cfg(test)]
mod tests;
