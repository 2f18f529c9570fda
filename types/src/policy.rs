//! The policy file: who gives a pod its network.
//!
//! Parse, validate, choose: [`Policy::parse`] turns bytes into a policy that is valid as a whole (a key that names an absent network, an
//! unknown key, a combination that cannot work are errors), [`Policy::choose`] is the pure decision for one pod. The file's
//! JSON Schema, `types/policy.schema.json`, is made from these types.

mod base;
mod both;
mod check;
mod choice;
mod limits;
mod network;
mod phase;
mod second_network;
mod side;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use both::{Both, SecondaryFailure};
pub use choice::{Choice, PROBE_NAMESPACE, RESTART, Reason};
pub use limits::{Deadlines, Gc, RetiredNetwork};
pub use network::{Network, Probe, split_target};
pub use phase::Phase;
pub use second_network::{Join, Second, Secondary};
pub use side::{Attach, Side};

use crate::json::version::V1;

/// The largest policy that Crossfade reads, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// A valid policy.
///
/// *Shape*: `{"version": 1, "networks": {"old": {"conf": ["/etc/cni/net.d/10-a.conflist"]}}, "attach": "old"}`; every other key is optional.
/// A key that says no more than its default is not written.
// `remote` lets the derived functions be inherent, so that no code deserialises a policy without its rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, remote = "Self")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(
        title = "Crossfade policy",
        description = "Who gives a pod its network on this node. The first of /etc/crossfade/policy.json, /run/crossfade/policy.json and \
            /usr/lib/crossfade/policy.json wins as a whole. Beyond this schema: a key that names a network needs that network, \
            secondaryFailure tolerate needs the primary to own the default route, CIDRs have no host bits, a network is retired once."
    )
)]
pub struct Policy {
    /// Version of this format; 1.
    pub version: V1,
    /// The network to leave and the one to go to; one of them may be absent.
    pub networks: Networks,
    /// What a pod gets unless a rule or its annotation says otherwise.
    pub attach: Attach,
    /// How both networks share one pod.
    #[serde(default, skip_serializing_if = "Both::is_default")]
    pub both: Both,
    /// The first match wins over attach. Globs match whole strings, `*` any run of characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// A pod annotation that wins over the rules, with an allowed value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_annotation: Option<PodAnnotation>,
    /// Pods that are treated in another way than the rest.
    #[serde(default, skip_serializing_if = "Pods::is_default")]
    pub pods: Pods,
    /// The network of sandboxes that were there before Crossfade; an installation writes it into the inventory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unrecorded: Option<Side>,
    /// Networks that may be gone: the real DEL is tried first, then the attachment is cleaned locally.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<RetiredNetwork>,
    /// How GC treats records that the runtime does not list.
    #[serde(default, skip_serializing_if = "Gc::is_default")]
    pub gc: Gc,
    /// How long a verb may take, rollback included.
    #[serde(default, skip_serializing_if = "Deadlines::is_default")]
    pub deadlines: Deadlines,
}

/// The networks of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with \"old\", \"new\" or both")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("minProperties" = 1)))]
pub struct Networks {
    /// The network to leave, if this node has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Network>,
    /// The network to go to, if this node has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Network>,
}

/// A rule: the first that matches decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rule {
    /// Glob on the namespace; absent matches all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Glob on the pod's name; absent matches all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The networks of a pod that matches.
    pub attach: Attach,
}

/// Pods that are treated in another way than the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pods {
    /// Pods that are restarted where a network could join or leave them while they run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restart: Vec<PodPattern>,
}

impl Pods {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Pods by namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PodPattern {
    /// Glob on the namespace; absent matches all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Glob on the pod's name; absent matches all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
}

/// A pod annotation that may choose a pod's networks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PodAnnotation {
    /// The annotation's key.
    #[serde(deserialize_with = "annotation_key")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub key: String,
    /// Values that count; any other value is ignored with a warning.
    pub allow: Vec<Attach>,
}

fn annotation_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    crate::json::text::held_to(deserializer, "an annotation key", |key| !key.is_empty())
}

impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let policy = Self::deserialize(deserializer)?;
        policy.check().map_err(serde::de::Error::custom)?;
        Ok(policy)
    }
}

impl Policy {
    /// Parses and validates a policy.
    ///
    /// # Errors
    /// One line that names the key, what was expected and, where there is one, the remedy.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        crate::json::read::from_slice(bytes, "policy")
    }

    /// The network on `side`, if the policy has it.
    #[must_use]
    pub const fn network(&self, side: Side) -> Option<&Network> {
        match side {
            Side::Old => self.networks.old.as_ref(),
            Side::New => self.networks.new.as_ref(),
        }
    }

    /// The networks there are, the old one first.
    pub fn networks(&self) -> impl Iterator<Item = (Side, &Network)> {
        Side::BOTH.into_iter().filter_map(|side| self.network(side).map(|network| (side, network)))
    }

    /// The networks that a pod without rule or annotation needs to start: under `tolerate` the primary alone.
    #[must_use]
    pub fn attached_sides(&self) -> Vec<Side> {
        match (self.attach, self.both.secondary_failure) {
            (Attach::One(side), _) => vec![side],
            (Attach::Both, SecondaryFailure::Fail) => Side::BOTH.into(),
            (Attach::Both, SecondaryFailure::Tolerate) => vec![self.both.primary()],
        }
    }

    /// The retirement of `side`, if it is retired.
    #[must_use]
    pub fn retired_network(&self, side: Side) -> Option<RetiredNetwork> {
        self.retired.iter().copied().find(|retired| retired.network == side)
    }
}

#[cfg(test)]
mod tests;
