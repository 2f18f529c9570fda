//! A plan: which nodes move when, under which limits, and what the operator accepted. It is data, approved by its hash; what it does not say is not done.

mod build;
pub mod canon;
mod diff;
mod drift;
pub mod fix;
pub(crate) mod image;
pub mod notes;
mod parts;
pub mod pods;
mod site;
pub mod stragglers;
#[cfg(test)]
pub(crate) mod tests;
mod wave_name;
mod waves;

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use snapshot::model::{Kind, Labels, Text};
use types::policy::Phase;

use crate::cni::reach::Way;
use crate::cni::support::{Cni, Strategy};
use crate::config::roll::{Limits, Method, NodeExclusion, Pods};
use crate::config::{ProbeGate, Waiver};

pub use build::build;
pub use diff::diff;
pub use drift::{Drift, drift};
pub use image::early_images;
pub use notes::notes;
pub use parts::{gates, other_policies, pod_ranges};
pub use site::Survey;
pub use wave_name::WaveName;

/// A plan. Two plans of the same cluster and settings are the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Plan {
    /// Version of this shape; 1.
    pub version: u32,
    /// The UID of the cluster's namespace kube-system.
    pub cluster: String,
    /// The CNI to move from.
    pub from: Cni,
    /// The CNI to move to.
    pub to: Cni,
    /// How to move.
    pub strategy: Strategy,
    /// SHA-256 of the settings, with all defaults, in hex.
    pub settings: String,
    /// The lowest phase that a node is in when the plan is made. In a plan that fixes stragglers, the phase of its only pass.
    pub start: Phase,
    /// The phase of each pass, in order. Every node reaches it before the next pass begins.
    pub passes: Vec<Phase>,
    /// The phase of the image that nodes are replaced by, unless their pool names another one; the pass to it replaces the nodes of pools that a pipeline
    /// rotates. None where all nodes stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Phase>,
    /// How each pass brings pods to its phase, on nodes where networks join and leave running pods; the others restart them. Empty where every pass restarts
    /// all pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ways: Vec<Way>,
    /// How it is known that nodes forward between both networks; none where no pass needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<Bridge>,
    /// The nodes in their order; the same for each pass.
    pub waves: Vec<Wave>,
    /// Nodes that no pass touches.
    pub left_out: Vec<ExcludedNode>,
    /// What the settings leave out by name: a node that comes later is left out by it as well, and what runs a plan does not have the settings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leave_out: Vec<NodeExclusion>,
    /// Pools, with the way in which their nodes move.
    pub pools: Vec<Pool>,
    /// Labels that name a node's pool, in a plan that replaces nodes: a pipeline that asks for a node does not have the settings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pool_labels: Vec<String>,
    /// Keys of taints that nodes bear until their network is ready, sorted, in a plan that replaces nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub startup_taints: Vec<Text>,
    /// How much may happen at once, and how long it may take.
    pub limits: Limits,
    /// How many percent of what the other nodes offer must stay free when a node is drained.
    #[serde(default = "margin_percent")]
    pub margin_percent: u32,
    /// What becomes of pods that need a decision.
    pub pods: Pods,
    /// The gates that must be green before a node starts.
    pub gates: Vec<Gate>,
    /// The cluster's DNS.
    pub dns: Dns,
    /// What nodes say of their policies without the phase (`base` of `crossfade/observed`), sorted. A node with another one is held, but for nodes that come
    /// from an image: their policy is that of the image.
    pub policies: Vec<String>,
    /// The ranges from which pods of both networks get addresses.
    pub networks: Networks,
    /// The agents of both CNIs, as they were when the plan was made.
    pub agents: Vec<Agent>,
    /// Kinds of policies that no CNI enforces in some phase, accepted by name.
    pub unenforced: Vec<String>,
    /// Findings of `check` that were accepted.
    pub waivers: Vec<Waiver>,
}

/// How it is known that nodes forward between both networks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum Bridge {
    /// A gate of this name proves it again and again.
    Gate(String),
    /// The operator accepted it without a proof; the reason.
    Accepted(String),
}

/// Nodes that move together. A wave begins when the one before it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Wave {
    /// What it is called: `zone eu-1a`.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub name: WaveName,
    /// What is special about it.
    pub kind: WaveKind,
    /// How many of its nodes are in transit at once, at most.
    pub at_once: u32,
    /// How long nothing starts after its last node is done, in seconds.
    pub soak_seconds: u32,
    /// Its nodes, in order.
    pub nodes: Vec<PlannedNode>,
}

/// What is special about a wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum WaveKind {
    /// One node of each kind of node, to learn from.
    Scouts,
    /// Nodes for DNS pods, and the nodes that have them.
    Dns,
    /// A few nodes of each zone.
    Canary,
    /// All other nodes of a zone, and the nodes that join later.
    Zone,
    /// Nodes with the pods of a group that moves in an order.
    Stateful,
    /// Nodes of the control plane.
    ControlPlane,
}

/// A node in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Placed"))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PlannedNode {
    /// The Node's name.
    pub name: Text,
    /// The Node's UID.
    pub uid: Text,
    /// Its pool, in a plan that replaces nodes: a node that has gone does not say it.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub pool: Text,
    /// Why it is in this wave.
    pub why: String,
}

/// A node that no pass touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "LeftOut"))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ExcludedNode {
    /// The Node's name.
    pub name: Text,
    /// The Node's UID.
    pub uid: Text,
    /// Why.
    pub why: String,
}

/// A pool of nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Pool {
    /// The value of its label; empty for nodes without one.
    pub name: Text,
    /// How many nodes it has.
    pub nodes: u32,
    /// The zones of its nodes, sorted.
    pub zones: Vec<Text>,
    /// How its nodes move.
    pub method: Method,
    /// The phase of the image that its nodes are replaced by, where it is another one than that of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Phase>,
}

impl Pool {
    /// Its name in a sentence, after `the pool`.
    pub(crate) fn title(&self) -> &str {
        if self.name.is_empty() { "without a name" } else { &self.name }
    }

    /// The phase of the image that its nodes are replaced by, in a plan with this one; none if they stay.
    #[must_use]
    pub fn image_phase(&self, image: Option<Phase>) -> Option<Phase> {
        image.filter(|_| self.method.replaces()).map(|image| self.image.unwrap_or(image))
    }
}

/// A gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Gate {
    /// Its name.
    pub name: String,
    /// Where its verdict comes from.
    pub source: GateSource,
    /// How long after one verdict the next is asked for, in seconds.
    pub every_seconds: u32,
    /// How old a verdict may be to count, in seconds.
    pub fresh_seconds: u32,
}

/// Where a gate's verdict comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum GateSource {
    /// The owners of evicted pods are as available as before.
    Workload,
    /// DNS pods are ready.
    Dns,
    /// The API server answers in time.
    ApiServer,
    /// The workloads that the settings watch are ready.
    Watched,
    /// A command on the operator's machine: exit status 0 is green, 1 is red, anything else is unknown.
    Command(Vec<String>),
    /// What agents see of the network.
    Probe(ProbeGate),
}

impl GateSource {
    /// Whether the program that holds the run asks, and records what it hears.
    #[must_use]
    pub const fn is_recorded(&self) -> bool {
        match self {
            Self::Command(_) | Self::Probe(_) => true,
            Self::Workload | Self::Dns | Self::ApiServer | Self::Watched => false,
        }
    }
}

/// The cluster's DNS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Dns {
    /// The namespace of its pods.
    pub namespace: String,
    /// The labels of its pods.
    pub labels: Labels,
}

/// The ranges from which pods get addresses, sorted. Ranges that single nodes have are not among them: they come and go with their nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Networks {
    /// Those of the old network.
    pub old: Vec<String>,
    /// Those of the new network.
    pub new: Vec<String>,
}

/// An agent's DaemonSet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Agent {
    /// The namespace.
    pub namespace: Text,
    /// The name.
    pub name: Text,
    /// The UID.
    pub uid: Text,
    /// `metadata.generation`: another one is another template.
    pub generation: i64,
    /// Its CNI, in a plan that replaces nodes: new nodes have to have its agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cni: Option<Cni>,
}

/// The margin of plans from before there was one.
fn margin_percent() -> u32 {
    crate::config::Capacity::default().margin_percent
}

impl Wave {
    /// Whether nodes of this zone move in it: a wave of one zone has no other nodes.
    #[must_use]
    pub fn takes(&self, zone: &str) -> bool {
        let WaveName::Zone(wave_zone) = &self.name else { return true };
        self.kind != WaveKind::Zone || wave_zone == zone
    }

    /// The names and UIDs of its nodes, in order.
    pub fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.nodes.iter().map(|planned| (&*planned.name, &*planned.uid))
    }
}

impl Plan {
    /// The version that this program reads and writes.
    pub const VERSION: u32 = 1;

    /// Whether it brings stragglers to the phase that the cluster is in, instead of the cluster to another one.
    #[must_use]
    pub fn fixes_stragglers(&self) -> bool {
        self.image.is_none() && self.passes == [self.start]
    }

    /// Whether it replaces nodes in phase `new` by nodes of the final image, which have the new network alone and no Crossfade.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.image.is_some() && self.passes == [self.start]
    }

    /// The phase that fits the pods of nodes without Crossfade: those of the earlier image have the old network, those of the final one the new network.
    #[must_use]
    pub fn plain_phase(&self) -> Phase {
        if self.is_final() { Phase::New } else { Phase::Old }
    }

    /// Whether packets that a NetworkPolicy denies must not reach pods in a phase: a CNI enforces every one of them there. Where the operator accepts
    /// that policies are unenforced for a while, only pods count that are as they were before the run.
    #[must_use]
    pub fn must_deny(&self, phase: Phase) -> bool {
        let is_accepted = self.unenforced.iter().any(|kind| *kind == *Kind::NETWORK_POLICY.name());
        match phase {
            Phase::Old => self.from.facts().enforces_policies,
            Phase::BothOld => self.from.facts().enforces_policies && !is_accepted,
            Phase::BothNew | Phase::New => self.to.facts().enforces_policies && !is_accepted,
        }
    }

    /// The target of the last pass.
    #[must_use]
    pub fn target(&self) -> Phase {
        self.passes.last().copied().unwrap_or(self.start)
    }

    /// The phase that each pass leaves, the one that it leads to, and how it brings pods there.
    pub fn steps(&self) -> impl Iterator<Item = (Phase, Phase, Way)> {
        let from = [self.start].into_iter().chain(self.passes.iter().copied());
        let ways = self.ways.iter().copied().chain(std::iter::repeat(Way::Restart));
        from.zip(&self.passes).zip(ways).map(|((from, to), way)| (from, *to, way))
    }

    /// How many passes restart a pod that networks join and leave.
    #[must_use]
    pub fn restarts(&self) -> usize {
        self.steps().filter(|(_, _, way)| matches!(way, Way::Restart | Way::Replace)).count()
    }

    /// Whether a pass between these phases, in either direction, restarts a pod that networks join and leave.
    #[must_use]
    pub fn is_restarted(&self, from: Phase, to: Phase) -> bool {
        let joins = |(start, end, way): (Phase, Phase, Way)| {
            [(start, end), (end, start)].contains(&(from, to)) && matches!(way, Way::Join | Way::Leave)
        };
        !self.steps().any(joins)
    }

    /// Why no pass touches a node, by its name; none if passes do. A node that came after the plan is left out as those before it were.
    #[must_use]
    pub fn exclusion(&self, name: &str) -> Option<&str> {
        let planned = self.left_out.iter().find(|out| *out.name == *name).map(|out| out.why.as_str());
        planned.or_else(|| NodeExclusion::find(&self.leave_out, name).map(|out| out.reason.as_str()))
    }

    /// Whether pipelines ask for nodes by `permit`.
    #[must_use]
    pub fn takes_requests(&self) -> bool {
        self.image.is_some() && self.pools.iter().any(|pool| pool.method == Method::Permit)
    }

    /// The phase of the image that the nodes of a pool are replaced by; none if they stay. Whatever holds a node to the phase of its image asks here.
    #[must_use]
    pub fn image_phase(&self, pool: &str) -> Option<Phase> {
        self.pools.iter().find(|plan_pool| *plan_pool.name == *pool)?.image_phase(self.image)
    }

    /// The phases of the images of all pools that are replaced.
    #[must_use]
    pub fn image_phases(&self) -> BTreeSet<Phase> {
        self.pools.iter().filter_map(|pool| pool.image_phase(self.image)).collect()
    }

    /// Whether some pass replaces the nodes of a pool.
    #[must_use]
    pub fn rotates(&self, pool: &str) -> bool {
        self.image_phase(pool).is_some()
    }

    /// How the nodes of a pool move; those of a pool that the plan does not know are drained.
    #[must_use]
    pub fn method(&self, pool: &str) -> Method {
        let plan_pool = self.pools.iter().find(|plan_pool| *plan_pool.name == *pool);
        plan_pool.map(|plan_pool| plan_pool.method).unwrap_or_default()
    }

    /// Whether the plan's passes, or those of a way back from any of them, bring nodes to this phase: every phase but those beyond the plan's target.
    #[must_use]
    pub fn covers(&self, phase: Phase) -> bool {
        match self.start.cmp(&self.target()) {
            Ordering::Less => phase <= self.target(),
            Ordering::Equal => phase == self.target(),
            Ordering::Greater => phase >= self.target(),
        }
    }
}
