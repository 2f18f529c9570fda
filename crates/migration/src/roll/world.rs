//! The facts of the cluster at one moment. Everything in them was read; nothing in them is concluded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use snapshot::model::Text;
use types::api::observed::NodeObservation;
use types::api::step::Step;
use types::policy::Phase;

use crate::cni::reach::{self, Way};
use crate::workload::capacity::Request;

/// What is known of the cluster.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Time by the holder's clock, which goes on while the machine sleeps. No other clock decides anything.
    pub now: Duration,
    /// The wall clock of the holder's machine. It decides nothing but how much of a soak is over that began under another holder.
    pub wall: Timestamp,
    /// How often the Lease changed hands, up to this holder.
    pub epoch: u64,
    /// When this holder renewed the Lease last.
    pub renewed_at: Duration,
    /// Everything that happened up to here is known: of all watches, the earliest time of their last list, event or bookmark.
    pub synced: Duration,
    /// All Nodes, by name. The next world shares those but for those that changed.
    pub nodes: BTreeMap<Text, Arc<Node>>,
    /// Pods on nodes in transit, those of the cluster's DNS, and those that have no node yet.
    pub pods: Pods,
    /// What makes the pods that were evicted.
    pub owners: BTreeMap<Owner, Availability>,
    /// The last verdict of each gate.
    pub verdicts: BTreeMap<String, Verdict>,
    /// The last count of all pods.
    pub census: Option<Census>,
    /// Whether a window of the plan is open.
    pub is_open: bool,
    /// What pipelines ask for that replace nodes.
    pub permits: Permits,
    /// The Machines of Cluster API, by the names of their Nodes; none where no management cluster was named.
    pub machines: Option<Arc<BTreeMap<Text, Machine>>>,
    /// The Nodes that Karpenter finds drifted, by their names; none where no NodeClaims are read.
    pub drifted: Option<Arc<BTreeSet<Text>>>,
}

/// Requests of pipelines to take nodes away, as the ConfigMap `crossfade-permits` has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permits {
    /// What is asked for, by the UIDs of the Nodes.
    pub requested: BTreeMap<Text, PermitRequest>,
    /// Keys of entries that are none, in words.
    pub unreadable: Vec<String>,
}

/// What a request to take a Node away says. One of an earlier run, or of the way there where the run goes back, asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermitRequest {
    /// The Node's name.
    pub node: Text,
    /// The run that was asked.
    pub run: String,
    /// The phase to which the pass leads that replaces the Node.
    pub to: Phase,
}

/// A Machine of Cluster API in the management cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// `metadata.namespace`.
    pub namespace: Text,
    /// `metadata.name`.
    pub name: Text,
    /// `metadata.uid`.
    pub uid: Text,
    /// `metadata.resourceVersion`.
    pub version: Text,
    /// The value of Crossfade's pre-drain hook: the run that holds the Machine; none without the hook.
    pub hook: Option<Text>,
    /// It is being deleted, so Cluster API drains its Node once no hook is left.
    pub is_deleted: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// `metadata.uid`.
    pub uid: Text,
    /// `metadata.resourceVersion`.
    pub version: Text,
    /// Its zone; empty if it has none.
    pub zone: Text,
    /// Its pool; empty if it has none.
    pub pool: Text,
    /// Condition `Ready` is `True`.
    pub is_ready: bool,
    /// Condition `NetworkUnavailable` is `True`.
    pub has_no_network: bool,
    /// `spec.unschedulable`.
    pub is_cordoned: bool,
    /// It is going: it is being deleted, or an autoscaler or a cloud has marked it.
    pub is_going: bool,
    /// It bears the taint that makes the scheduler prefer nodes that have moved.
    pub is_fenced: bool,
    /// It bears the taint `readiness.k8s.io/crossfade:NoSchedule`.
    pub awaits_readiness: bool,
    /// The annotation `karpenter.sh/do-not-disrupt` keeps Karpenter from replacing it.
    pub is_undisturbed: bool,
    /// The namespace and the name of Cluster API's Cluster that it is of; none if it is of none.
    pub cluster: Option<(Text, Text)>,
    /// Cluster API or kOps has marked it as one that it will replace, and nothing shows that it goes already.
    pub is_outdated: bool,
    /// What pods may request of it in sum: `status.allocatable`. Nothing if it does not say.
    pub offers: Request,
    /// Keys of its taints that keep pods away, sorted.
    pub taints: Vec<Text>,
    /// `status.nodeInfo.bootID`.
    pub boot: Text,
    /// The label `crossfade/phase`.
    pub label: Option<Phase>,
    /// The annotation `crossfade/desired`.
    pub desired: Option<Phase>,
    /// The annotation `crossfade/observed`.
    pub observed: Option<NodeObservation>,
    /// The condition `CrossfadeReady`.
    pub crossfade: Option<Condition>,
    /// The annotation `crossfade/step`.
    pub step: Option<Step>,
    /// The conditions of its lifecycle, and whether a run published each.
    pub lifecycle: BTreeMap<Lifecycle, bool>,
}

/// The condition `CrossfadeReady`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// It is `True`.
    pub is_true: bool,
    /// Why, in words.
    pub message: Text,
}

/// A condition of a Node's lifecycle that a run publishes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::IntoStaticStr,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[strum(const_into_str)]
pub enum Lifecycle {
    /// It will be drained, or replaced.
    MaintenancePlanned,
    /// It is being moved, or its pipeline may take it away.
    MaintenanceInProgress,
    /// Its pods are evicted.
    DrainInProgress,
    /// No pod is left that has to move.
    Drained,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    pub namespace: Text,
    pub name: Text,
    /// `metadata.uid`.
    pub uid: Text,
    /// Its node; empty if it has none yet.
    pub node: Text,
    /// What makes it; none for a pod that no controller makes again.
    pub owner: Option<Owner>,
    pub traits: BTreeSet<Trait>,
}

/// What holds of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trait {
    /// It uses the node's network.
    HostNetwork,
    /// kubelet made it from a file.
    Static,
    /// It ended.
    Finished,
    /// It is being deleted.
    Terminating,
    Ready,
    /// It answers DNS queries for the cluster.
    Dns,
    /// It is an agent of one of both CNIs.
    Agent,
    EmptyDir,
    /// An annotation asks not to disrupt it.
    Undisturbed,
    /// The scheduler found no node for it.
    Unschedulable,
    /// It has an address that is not of the new network, in a run to the final image.
    OtherNetwork,
}

/// What makes pods: a Deployment, a DaemonSet and so on.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// `Deployment`, `StatefulSet`, `DaemonSet`, `Job` or another kind.
    pub kind: Text,
    pub namespace: Text,
    pub name: Text,
}

/// How many pods of a workload are ready.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Availability {
    /// Pods that it wants.
    pub desired: u32,
    /// Pods that are Ready.
    pub ready: u32,
}

/// What a gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub color: Color,
    /// When it was asked.
    pub checked_at: Duration,
    /// Why, in words.
    pub why: String,
}

/// How a gate is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::IntoStaticStr,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "kebab-case", const_into_str)]
pub enum Color {
    /// All is well.
    Green,
    /// Go on more slowly.
    Amber,
    /// Nothing may start.
    Red,
    /// It is not known, so nothing may start.
    Unknown,
}

/// What a list of all pods of the cluster counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// When the list began.
    pub started_at: Duration,
    /// Running pods with pod network, by node.
    pub running: BTreeMap<Text, u32>,
    /// What pods request that have not ended, with any network, by node; of those that the scheduler has still to place, by the empty name.
    pub requests: BTreeMap<Text, RequestSums>,
}

/// Where pods can be, when they are counted.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    /// The names of all nodes.
    pub names: BTreeSet<Text>,
    /// The most of each resource that a node offers; nothing if none says.
    pub largest: Request,
}

/// A pod, as a count reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CountedPod {
    /// Its node; empty if it has none yet.
    pub node: Text,
    /// It runs there with the pod network.
    pub is_running: bool,
    /// It comes back to the same node: a DaemonSet's, or a static one.
    pub stays: bool,
    pub request: Request,
}

/// What pods of a node request. Which node a pod is on changes all the time, so nothing but sums over nodes is asked of the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestSums {
    /// Those that go elsewhere when the node is drained.
    pub moves: Request,
    /// Those that stay: of DaemonSets, and static ones.
    pub stays: Request,
}

impl World {
    /// Where pods can be now.
    #[must_use]
    pub fn hosts(&self) -> Hosts {
        let largest = self.nodes.values().fold(Request::default(), |most, node| most.max(node.offers));
        Hosts { names: self.nodes.keys().cloned().collect(), largest }
    }

    /// A Node as it is now, whether or not it was known.
    pub fn put(&mut self, name: Text, node: Node) {
        self.nodes.insert(name, Arc::new(node));
    }

    /// The Machine of a Node; none without one, and where no management cluster was named.
    #[must_use]
    pub fn machine(&self, node: &str) -> Option<&Machine> {
        self.machines.as_ref()?.get(node)
    }

    /// The wall clock, as steps say since when they are in their state.
    #[must_use]
    pub fn since(&self) -> String {
        format!("{:.0}", self.wall)
    }

    /// A Node that a test changes.
    #[cfg(test)]
    pub(crate) fn node(&mut self, name: &str) -> &mut Node {
        Arc::make_mut(self.nodes.get_mut(name).expect("a node"))
    }
}

impl Node {
    /// The Node says of this boot that it is in `phase`, and that its network works.
    ///
    /// A node that was rebooted, or whose `watch` ended, leaves label and condition behind; the boot that the annotation is of tells. `watch` writes
    /// a condition that is not `True` before the annotation, so the condition is no earlier boot's.
    #[must_use]
    pub fn is_in(&self, phase: Phase) -> bool {
        let observed = self.observed.as_ref().filter(|_| self.has_working_network());
        observed.is_some_and(|observation| observation.phase == Some(phase)) && self.label == Some(phase)
    }

    /// The Node says of this boot that its network works, in whatever phase.
    #[must_use]
    pub fn has_working_network(&self) -> bool {
        let is_of_this_boot =
            |seen: &NodeObservation| !seen.boot_id.is_empty() && *seen.boot_id == *self.boot;
        self.crossfade.as_ref().is_some_and(|condition| condition.is_true)
            && self.observed.as_ref().is_some_and(is_of_this_boot)
    }

    /// Whether nothing of Crossfade has ever reported to the Node.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.observed.is_none() && self.label.is_none()
    }

    /// Whether the node is Ready and has a trace of Crossfade, and reports nothing in its boot. Any client may have set the label.
    #[must_use]
    pub fn is_unreported(&self) -> bool {
        let is_earlier = |observed: &NodeObservation| *observed.boot_id != *self.boot;
        self.is_ready && self.observed.as_ref().map_or(self.label.is_some(), is_earlier)
    }

    /// The phase that the node says it is in, in whatever boot.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        self.observed.as_ref().and_then(|observation| observation.phase).or(self.label)
    }

    /// How many attachments the node has that are of another phase than this one, or of one that it cannot tell; none if it does not say.
    #[must_use]
    pub fn attached_otherwise(&self, phase: Phase) -> Option<u32> {
        let attached = self.observed.as_ref()?.attached.as_ref()?;
        let others = attached
            .by_phase
            .iter()
            .filter(|(attached_phase, _)| **attached_phase != phase)
            .map(|(_, count)| *count);
        Some(others.fold(attached.unknown, u32::saturating_add))
    }

    /// The phases of its attachments that are of another phase than this one.
    pub(super) fn other_phases(&self, phase: Phase) -> impl Iterator<Item = Phase> {
        let attached = self.observed.iter().flat_map(|observation| &observation.attached);
        let by_phase = attached.flat_map(|attached| &attached.by_phase);
        by_phase.filter(move |(other, count)| **other != phase && **count > 0).map(|(other, _)| *other)
    }

    /// Whether networks still join or leave pods of the node until all of them are of this phase: the node does that by itself, and says how many pods only a
    /// restart brings there once it has done what it can. If it says none, what is left is of no pod.
    #[must_use]
    pub fn is_joining(&self, phase: Phase) -> bool {
        let Some(observation) = &self.observed else { return false };
        let has_named = observation.attached.as_ref().is_some_and(|attached| !attached.others.is_empty());
        let is_busy = match observation.restarts {
            None => true,
            Some(0) => has_named,
            Some(_) => false,
        };
        is_busy
            && self
                .other_phases(phase)
                .any(|from| reach::way(from, phase, &observation.joins) != Way::Restart)
    }

    /// All its attachments; none if it does not say.
    #[must_use]
    pub fn attached_count(&self) -> Option<u32> {
        let attached = self.observed.as_ref()?.attached.as_ref()?;
        Some(attached.by_phase.values().copied().fold(attached.unknown, u32::saturating_add))
    }

    /// The phases that its pods have, or may get as the node is now.
    pub fn phases(&self) -> impl Iterator<Item = Phase> {
        let observed = self.observed.iter();
        let attached = observed
            .clone()
            .flat_map(|observation| observation.attached.iter().flat_map(|counts| counts.by_phase.keys()));
        let minted = observed.flat_map(|observation| &observation.mints);
        attached.chain(minted).copied().chain(self.label)
    }
}

impl Lifecycle {
    pub const ALL: [Self; 4] =
        [Self::MaintenancePlanned, Self::MaintenanceInProgress, Self::DrainInProgress, Self::Drained];
}

impl Census {
    /// Counts one more pod, as it was read. One that no node could take requests no room of those that run, and neither does one of a node that does not exist:
    /// the author of a pod chooses what it requests, and may choose its node.
    pub fn count(&mut self, pod: CountedPod, hosts: &Hosts) {
        if pod.is_running {
            *self.running.entry(pod.node.clone()).or_default() += 1;
        }
        let is_known = pod.node.is_empty() || hosts.names.contains(&pod.node);
        let fits = hosts.largest == Request::default() || pod.request.fits(&hosts.largest, 0);
        if !is_known || !fits {
            return;
        }
        let sums = self.requests.entry(pod.node).or_default();
        *(if pod.stays { &mut sums.stays } else { &mut sums.moves }) += pod.request;
    }
}

impl Owner {
    /// The owner of a title; none if it is no title.
    #[must_use]
    pub fn from_title(title: &str) -> Option<Self> {
        let mut parts = title.splitn(3, '/').map(Text::from);
        Some(Self { kind: parts.next()?, namespace: parts.next()?, name: parts.next()? })
    }

    /// Whether its pods belong to single nodes, so that none comes back elsewhere.
    #[must_use]
    pub fn is_daemon_set(&self) -> bool {
        &*self.kind == "DaemonSet"
    }

    /// `KIND/NAMESPACE/NAME`.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}/{}/{}", self.kind, self.namespace, self.name)
    }
}

impl Availability {
    /// Whether fewer pods are ready than it wants, if so many may be missing.
    #[must_use]
    pub const fn is_short(self, missing: u32) -> bool {
        self.ready.saturating_add(missing) < self.desired
    }

    /// The same if it has to be looked up how many may be missing.
    #[must_use]
    pub fn is_short_beyond(self, missing: impl FnOnce() -> u32) -> bool {
        self.is_short(0) && self.is_short(missing())
    }
}

impl Pod {
    /// Whether this holds of it.
    #[must_use]
    pub fn has_trait(&self, what: Trait) -> bool {
        self.traits.contains(&what)
    }

    /// `NAMESPACE/NAME`.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// Pods that can be found by their UID, and by the node that they are on.
#[derive(Debug, Clone, Default)]
pub struct Pods {
    by_uid: BTreeMap<Text, Pod>,
    /// UIDs by node; those of pods without a node by the empty name.
    by_node: BTreeMap<Text, BTreeSet<Text>>,
}

impl Pods {
    /// The pod with this UID.
    #[must_use]
    pub fn get(&self, uid: &str) -> Option<&Pod> {
        self.by_uid.get(uid)
    }

    /// All of them, by UID.
    pub fn values(&self) -> impl Iterator<Item = &Pod> {
        self.by_uid.values()
    }

    /// Those on a node, by UID; with the empty name those that have no node yet.
    pub fn on_node(&self, node: &str) -> impl Iterator<Item = &Pod> {
        self.by_node.get(node).into_iter().flatten().filter_map(|uid| self.by_uid.get(uid))
    }

    /// The nodes that have pods of the cluster's DNS.
    pub(super) fn dns_nodes(&self) -> BTreeSet<&Text> {
        self.values().filter(|pod| pod.has_trait(Trait::Dns)).map(|pod| &pod.node).collect()
    }

    /// A pod as it is now, whether or not it is known.
    pub fn put(&mut self, pod: Pod) {
        let (uid, node) = (pod.uid.clone(), pod.node.clone());
        let before = self.by_uid.insert(uid.clone(), pod);
        if let Some(before) = before.filter(|before| before.node != node) {
            self.leave(&before.node, &uid);
        }
        self.by_node.entry(node).or_default().insert(uid);
    }

    /// The pod with this UID is gone.
    pub fn remove(&mut self, uid: &str) {
        if let Some(pod) = self.by_uid.remove(uid) {
            self.leave(&pod.node, uid);
        }
    }

    fn leave(&mut self, node: &str, uid: &str) {
        if let Some(on) = self.by_node.get_mut(node) {
            on.remove(uid);
            if on.is_empty() {
                self.by_node.remove(node);
            }
        }
    }
}

impl FromIterator<Pod> for Pods {
    fn from_iter<I: IntoIterator<Item = Pod>>(pods: I) -> Self {
        let mut all = Self::default();
        pods.into_iter().for_each(|pod| all.put(pod));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, node: &str) -> Pod {
        Pod { uid: uid.into(), node: node.into(), ..Pod::default() }
    }

    fn on<'a>(pods: &'a Pods, node: &str) -> Vec<&'a str> {
        pods.on_node(node).map(|pod| &*pod.uid).collect()
    }

    #[test]
    fn a_pod_is_on_the_node_that_it_was_put_on_last() {
        let mut pods: Pods = [pod("1", ""), pod("2", "a"), pod("3", "a")].into_iter().collect();
        assert_eq!((on(&pods, ""), on(&pods, "a")), (vec!["1"], vec!["2", "3"]));
        pods.put(pod("1", "a"));
        assert_eq!((on(&pods, ""), on(&pods, "a")), (vec![], vec!["1", "2", "3"]));
        pods.remove("2");
        pods.remove("2");
        assert_eq!(on(&pods, "a"), ["1", "3"]);
        assert!(pods.get("2").is_none() && pods.get("3").is_some());
    }
}
