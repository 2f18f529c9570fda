//! Settings for the move of nodes: what `plan` takes over into the plan, and what the operator decides or accepts for it.

mod gate;
mod limits;
mod pods;
mod policy;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use types::policy::Phase;
use types::text::glob;

use super::{Probe, ProbeGate};

pub use gate::{BUILT_IN, CommandGate};
pub use limits::{Limits, Window};
pub use pods::Pods;
pub use policy::PolicyKind;

/// How nodes move.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Roll {
    /// How much may happen at once, and how long it may take.
    pub limits: Limits,
    /// What becomes of pods that need a decision.
    pub pods: Pods,
    /// Commands that must say that all is well before a node starts, beside the gates that every plan has.
    pub gates: Vec<CommandGate>,
    /// How it is known that nodes forward between both networks, where a pass needs that. Without it, the gate `forwarding` of `probe.gates`, if that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge: Option<Bridge>,
    /// How the nodes of a pool move, by the pool's name, in which `*` stands for any text. Of several that match, the longest counts. Without one,
    /// nodes are drained; in a rotation, those of Karpenter move by `karpenter`, those of Cluster API by `cluster-api`, those of EKS managed node groups
    /// and of node pools of GKE, AKS and Gardener by `follow`, and all others by `permit`.
    pub methods: BTreeMap<String, Method>,
    /// Pools whose nodes go first within each wave, in this order, by their names, in which `*` stands for any text. Those of all other pools come after them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pool_order: Vec<String>,
    /// How many nodes a managed node group of EKS takes away at once by its update configuration, which no Node shows: by the pool's name, in which `*` stands
    /// for any text.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub max_unavailable: BTreeMap<String, u32>,
    /// The same in percent of the group's nodes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub max_unavailable_percentage: BTreeMap<String, u32>,
    /// The image that a rotation replaces nodes by: the phase of a migration image, or `final`; `new` without one. `both-new` needs no forwarding: the new
    /// network first joins the pods of nodes that have Crossfade. `both-old` needs neither. `final` is the image without Crossfade, once all nodes are in `new`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// The migration image of a pool where it has another phase than `image`, by the pool's name, in which `*` stands for any text. Of several that match, the
    /// longest counts. Without this and `image`, the newest node of a pool decides where it is further than the others.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, MigrationImage>,
    /// Kinds of policies that the operator accepts while no CNI enforces them.
    pub unenforced: Vec<PolicyKind>,
    /// Nodes that no pass touches.
    pub leave_out: Vec<NodeExclusion>,
}

/// The image that a rotation replaces nodes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "RotationImage"))]
#[serde(rename_all = "kebab-case")]
pub enum Image {
    /// A migration image in phase `both-old`.
    BothOld,
    /// A migration image in phase `both-new`.
    BothNew,
    /// A migration image in phase `new`.
    New,
    /// The image without Crossfade, with the new network alone.
    Final,
}

impl Image {
    /// The phase in which nodes of the image give their pods networks.
    #[must_use]
    pub const fn phase(self) -> Phase {
        match self {
            Self::BothOld => Phase::BothOld,
            Self::BothNew => Phase::BothNew,
            Self::New | Self::Final => Phase::New,
        }
    }
}

/// The migration image of one pool. The final image is that of all pools together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum MigrationImage {
    /// In phase `both-old`.
    BothOld,
    /// In phase `both-new`.
    BothNew,
    /// In phase `new`.
    New,
}

impl MigrationImage {
    const fn phase(self) -> Phase {
        match self {
            Self::BothOld => Phase::BothOld,
            Self::BothNew => Phase::BothNew,
            Self::New => Phase::New,
        }
    }
}

/// How it is known that nodes forward between both networks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Bridge {
    /// A gate of `gates` or `probe.gates`, by its name, proves it again and again.
    Gate(#[cfg_attr(feature = "schema", schemars(length(min = 1)))] String),
    /// The operator accepts it without a proof; the reason.
    Accept(#[cfg_attr(feature = "schema", schemars(length(min = 1)))] String),
}

/// How the nodes of a pool move.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "NodeMethod"))]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", const_into_str)]
pub enum Method {
    /// Cordon, flip, evict, prove, uncordon.
    #[default]
    Drain,
    /// Flip, then evict without a cordon, so that pods may come back to the same node.
    Churn,
    /// Rotation: a pipeline replaces nodes, and asks `kubectl crossfade permit` before it drains one.
    Permit,
    /// Rotation: Karpenter replaces nodes; the run takes `karpenter.sh/do-not-disrupt` from one Node after the other.
    Karpenter,
    /// Rotation: Cluster API replaces nodes; with `roll --management-context`, the run takes its pre-drain hook from one Machine after the other.
    ClusterApi,
    /// Rotation: a pipeline that cannot be held replaces nodes; the run counts and reports.
    Follow,
}

impl Method {
    /// Whether other nodes take the place of these, instead of moving in place.
    #[must_use]
    pub const fn replaces(self) -> bool {
        matches!(self, Self::Permit | Self::Karpenter | Self::ClusterApi | Self::Follow)
    }
}

/// What a table has for a pool: by its name, or by the longest name with `*` that matches.
fn of_pool<'a, T>(table: &'a BTreeMap<String, T>, pool: &str) -> Option<&'a T> {
    let matching = table.iter().filter(|(name, _)| glob::matches(name, pool));
    let longest = || matching.max_by_key(|(name, _)| name.len());
    table.get(pool).or_else(|| longest().map(|(_, value)| value))
}

/// Nodes that no pass touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "LeaveOut"))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NodeExclusion {
    /// The name of a node; `*` stands for any text.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub node: String,
    /// Why.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub reason: String,
}

impl NodeExclusion {
    /// The first of these that names a node.
    pub(crate) fn find<'e>(exclusions: &'e [Self], node: &str) -> Option<&'e Self> {
        exclusions.iter().find(|out| glob::matches(&out.node, node))
    }
}

impl Roll {
    /// The method that the settings name for a pool: that of its own name, else that of the longest name with `*` that matches.
    #[must_use]
    pub fn method(&self, pool: &str) -> Option<Method> {
        of_pool(&self.methods, pool).copied()
    }

    /// The phase of the image that the settings name for the nodes of a pool: that of the pool, else that of all pools.
    #[must_use]
    pub fn image_phase(&self, pool: &str) -> Option<Phase> {
        let own = of_pool(&self.images, pool).map(|image| image.phase());
        own.or_else(|| self.image.map(Image::phase))
    }

    /// How many of a pool's nodes its pipeline takes away at once; none if the settings do not say so. A part of a node counts as one.
    #[must_use]
    pub fn max_unavailable(&self, pool: &str, nodes: usize) -> Option<usize> {
        let percent = of_pool(&self.max_unavailable_percentage, pool);
        let share = percent.map(|percent| nodes.saturating_mul(*percent as usize).div_ceil(100));
        of_pool(&self.max_unavailable, pool).map(|count| *count as usize).max(share)
    }

    /// The place of a pool among those of [`Roll::pool_order`]; that after the last of them for any other.
    #[must_use]
    pub fn pool_rank(&self, pool: &str) -> usize {
        let place = self.pool_order.iter().position(|name| glob::matches(name, pool));
        place.unwrap_or(self.pool_order.len())
    }

    /// What leaves a node out of every pass; none if nothing does.
    #[must_use]
    pub fn left_out(&self, node: &str) -> Option<&NodeExclusion> {
        NodeExclusion::find(&self.leave_out, node)
    }

    /// Whether the values make sense.
    pub(super) fn valid(&self, probe: &Probe) -> Result<(), String> {
        self.limits.valid()?;
        self.pods.valid()?;
        gate::valid(&self.gates)?;
        self.bridge.as_ref().map_or(Ok(()), |bridge| self.valid_bridge(bridge, probe))?;
        if self.methods.contains_key("") {
            return Err("roll.methods: expected the name of a pool for a key, found nothing".into());
        }
        if self.images.contains_key("") {
            return Err("roll.images: expected the name of a pool for a key, found nothing".into());
        }
        if let (Some(Image::Final), Some(pool)) = (self.image, self.images.keys().next()) {
            return Err(format!(
                "roll.images.{pool}: expected nothing beside roll.image: final, which all pools get together"
            ));
        }
        for (key, table) in [
            ("maxUnavailable", &self.max_unavailable),
            ("maxUnavailablePercentage", &self.max_unavailable_percentage),
        ] {
            // *Source*: Amazon EKS API, `NodegroupUpdateConfig`.
            if let Some((pool, limit)) = table.iter().find(|(_, most)| !(1..=100).contains(*most)) {
                return Err(format!("roll.{key}.{pool}: expected a number from 1 to 100, found {limit}"));
            }
        }
        for (index, name) in self.pool_order.iter().enumerate() {
            if name.is_empty() || self.pool_order[..index].contains(name) {
                return Err(format!(
                    "roll.poolOrder[{index}]: expected the name of a pool that is not named before, found {name:?}"
                ));
            }
        }
        for (index, out) in self.leave_out.iter().enumerate() {
            let missing = |text: &str| text.trim().is_empty();
            if missing(&out.node) {
                return Err(format!(
                    "roll.leaveOut[{index}].node: expected the name of a node, found nothing"
                ));
            }
            if missing(&out.reason) {
                return Err(format!(
                    "roll.leaveOut[{index}].reason: expected why no pass touches {}, found nothing",
                    out.node
                ));
            }
        }
        Ok(())
    }

    fn valid_bridge(&self, bridge: &Bridge, probe: &Probe) -> Result<(), String> {
        let is_gate = |name: &str| {
            let is_of_agents =
                probe.has_gate(ProbeGate::Forwarding) && name == ProbeGate::Forwarding.into_str();
            is_of_agents || self.gates.iter().any(|gate| gate.name == name)
        };
        match bridge {
            Bridge::Gate(name) if !is_gate(name) => Err(format!(
                "roll.bridge.gate: expected the name of a gate of roll.gates, or {} with that gate in probe.gates, found {name:?}",
                ProbeGate::Forwarding.into_str()
            )),
            Bridge::Accept(reason) if reason.trim().is_empty() => {
                Err("roll.bridge.accept: expected why it is accepted without a proof, found nothing".into())
            }
            Bridge::Gate(_) | Bridge::Accept(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
