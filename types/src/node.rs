//! `node.json`: how a node takes part.
//!
//! Where it lies, and which of several counts, is `crossfade-bootstrap`'s to know. The file's JSON Schema, `types/node.schema.json`, is
//! made from these types.

mod parts;
mod words;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use parts::{Gate, Kubelet, Reporting, Runtime, socket_path};
pub use words::{CniVersion, DesiredSource, Mode, Proof, RuntimeKind};

use crate::api::taint::Taint;
use crate::json::version::V1;
use crate::packets::PacketTargets;
use crate::policy::Phase;

/// How a node takes part. [`Node::default`] is what an absent file means.
///
/// *Shape*: `{"version": 1, "confDir": "private", "taints": [{"key": "a.b/c", "effect": "NoSchedule"}]}`; every key but `version` is optional.
// `remote` lets the derived functions be inherent, so that no code deserialises settings without their rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, remote = "Self")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(
        title = "Crossfade node settings",
        description = "How a node takes part. The first of /etc/crossfade/node.json, /run/crossfade/node.json and \
            /usr/lib/crossfade/node.json wins as a whole; an absent file is all defaults. Beyond this schema: a taint's key and effect are \
            listed once; crossfade-bootstrap unit render --check holds labels and taints against the rules of kubelet and of the API server.",
        extend("allOf" = [
            {
                "if": {"required": ["desired"], "properties": {"desired": {"const": "node-annotation"}}},
                "then": {"required": ["allowed"], "properties": {"allowed": {"minItems": 1}}}
            },
            {
                "if": {"required": ["joinPods"], "properties": {"joinPods": {"const": true}}},
                "then": {"required": ["desired"], "properties": {"desired": {"const": "node-annotation"}}}
            }
        ])
    )
)]
pub struct Node {
    /// Version of this format; 1.
    pub version: V1,
    /// The way in which the runtime reads Crossfade's conf.
    #[serde(default = "default_mode")]
    pub conf_dir: Mode,
    /// Labels that kubelet registers the Node with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Taints that kubelet registers the Node with, beside whatever else it was told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
    /// Version of Crossfade's conf; 1.1.0 turns on the runtime's STATUS polling and GC.
    #[serde(default = "cni_version")]
    pub cni_version: CniVersion,
    /// The container runtime, as far as its units do not say it.
    #[serde(default)]
    pub runtime: Runtime,
    /// How kubelet runs on this node, and what Crossfade tells it.
    #[serde(default)]
    pub kubelet: Kubelet,
    /// How long the gate keeps kubelet from starting while the node is not fit.
    #[serde(default)]
    pub gate: Gate,
    /// Whether the node follows the annotation crossfade/desired of its own Node.
    #[serde(default = "default_desired")]
    pub desired: DesiredSource,
    /// The phases that the node may be asked for; it refuses all others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(extend("uniqueItems" = true)))]
    pub allowed: Vec<Phase>,
    /// Whether networks join and leave the running pods when the node follows the annotation crossfade/desired to another phase. Only a node that
    /// reports to the API server can.
    #[serde(default)]
    pub join_pods: bool,
    /// Where `watch` reports the node's state.
    #[serde(default)]
    pub report: Reporting,
    /// The strongest proof of readiness that is made. A network whose profile allows only a weaker one gets that.
    #[serde(default = "packet")]
    pub proof: Proof,
    /// With whom a proof by packets exchanges them.
    #[serde(default)]
    pub packets: PacketTargets,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            version: V1,
            conf_dir: default_mode(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
            cni_version: cni_version(),
            runtime: Runtime::default(),
            kubelet: Kubelet::default(),
            gate: Gate::default(),
            desired: default_desired(),
            allowed: Vec::new(),
            join_pods: false,
            report: Reporting::default(),
            proof: packet(),
            packets: PacketTargets::default(),
        }
    }
}

const fn default_mode() -> Mode {
    Mode::Shared
}

const fn cni_version() -> CniVersion {
    CniVersion::V100
}

const fn default_desired() -> DesiredSource {
    DesiredSource::Off
}

const fn packet() -> Proof {
    Proof::Packet
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Self::deserialize(deserializer)?;
        node.check().map_err(serde::de::Error::custom)?;
        Ok(node)
    }
}

impl Node {
    /// Parses and validates node.json.
    ///
    /// # Errors
    /// One line that names the key, what was expected and, where there is one, the remedy.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        crate::json::read::from_slice(bytes, "node")
    }

    /// Refuses settings whose keys do not fit each other.
    ///
    /// # Errors
    /// One line that names the key, what was expected and, where there is one, the remedy.
    fn check(&self) -> Result<(), String> {
        for (index, taint) in self.taints.iter().enumerate() {
            if self.taints[..index].iter().any(|earlier| earlier.is_same(taint)) {
                let key = &taint.key;
                return Err(format!(
                    "taints[{index}].key: {key} with this effect is listed twice; expected it once"
                ));
            }
        }
        for (index, phase) in self.allowed.iter().enumerate() {
            if self.allowed[..index].contains(phase) {
                return Err(format!("allowed: {phase} is listed twice; expected it once"));
            }
        }
        if self.desired == DesiredSource::NodeAnnotation && self.allowed.is_empty() {
            return Err(
                "allowed: missing; desired is node-annotation, so name the phases that the node may be flipped to"
                    .into(),
            );
        }
        if self.join_pods && self.desired == DesiredSource::Off {
            return Err("joinPods: true, and the node follows no annotation; expected desired: node-annotation beside it, or joinPods: false".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
