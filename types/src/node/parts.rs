//! The parts of node.json: runtime, kubelet, gate, report.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

use super::RuntimeKind;
use crate::json::text;
use crate::json::whole_number::deserialize_within;

/// Longest single try of the gate, in seconds: systemd gives a start 90 by default.
const MAX_TRY_SECS: u64 = 60;
/// Longest time until the gate gives up, in seconds: a week.
const MAX_GIVE_UP_SECS: u64 = 7 * 24 * 3600;

/// The container runtime, as far as its units do not say it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Runtime {
    /// The kind of runtime. Default: the one whose unit is on this node.
    #[serde(rename = "name", skip_serializing_if = "Option::is_none")]
    pub kind: Option<RuntimeKind>,
    /// The runtime's socket. Default: the one that kubelet is configured with, or else the runtime's own configuration.
    #[serde(deserialize_with = "endpoint", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^(unix://)?/")))]
    pub endpoint: Option<String>,
    /// The runtime's systemd unit. Default: containerd.service or crio.service.
    #[serde(deserialize_with = "some_unit", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = r"^[^./ ][^/ ]*\.service$")))]
    pub unit: Option<String>,
    /// The runtime's configuration file. Default: the one on the unit's command line. Needed for a runtime without a unit of its own, as in k3s.
    #[serde(deserialize_with = "text::deserialize_absolute", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^/")))]
    pub config: Option<PathBuf>,
    /// The directories in which the runtime looks for CNI plugins. Default: those of the runtime's configuration.
    #[serde(deserialize_with = "text::absolutes", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(inner(regex(pattern = "^/"))))]
    pub bin_dirs: Vec<PathBuf>,
}

/// How kubelet runs on this node, and what Crossfade tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Kubelet {
    /// kubelet's systemd unit.
    #[serde(deserialize_with = "unit")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = r"^[^./ ][^/ ]*\.service$")))]
    pub unit: String,
    /// Whether Crossfade adds labels and taints to kubelet's command line. Say false where a configuration fragment of the platform adds them (k3s, Talos).
    pub register: bool,
    /// The kubeconfig with kubelet's credential. Default: the one on kubelet's command line.
    #[serde(deserialize_with = "text::deserialize_absolute", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^/")))]
    pub kubeconfig: Option<PathBuf>,
    /// The name of the Node object. Default: the name that kubelet uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
}

impl Default for Kubelet {
    fn default() -> Self {
        Self { unit: "kubelet.service".into(), register: true, kubeconfig: None, node_name: None }
    }
}

/// How long the gate keeps kubelet from starting while the node is not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Gate {
    /// Seconds that one start of the gate waits for the node to become fit.
    #[serde(rename = "trySeconds", deserialize_with = "try_secs")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = MAX_TRY_SECS)))]
    pub try_secs: u64,
    /// Seconds after the first try of a boot until kubelet starts all the same, with the taint crossfade/unfit. Default: never.
    #[serde(
        rename = "giveUpSeconds",
        deserialize_with = "give_up_secs",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = MAX_GIVE_UP_SECS)))]
    pub give_up_secs: Option<u64>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { try_secs: 60, give_up_secs: None }
    }
}

/// Where `watch` reports the node's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reporting {
    /// Whether `watch` writes the condition, label, annotation and events of the Node.
    pub node: bool,
    /// Whether CrossfadeReady is True only while every network of the policy is ready on the node, also one that new pods do not get. For a bridge,
    /// where both agents have to run on each node.
    #[serde(rename = "requireAllNetworks")]
    pub require_all_networks: bool,
    /// The file for node_exporter's textfile collector, whose name ends in .prom. Default: no file.
    #[serde(deserialize_with = "textfile", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = r"^/(.*/)?[^/]+\.prom$")))]
    pub textfile: Option<PathBuf>,
}

impl Default for Reporting {
    fn default() -> Self {
        Self { node: true, require_all_networks: false, textfile: None }
    }
}

/// The path of a runtime's endpoint: `unix:///path`, or the path alone.
#[must_use]
pub fn socket_path(endpoint: &str) -> &Path {
    Path::new(endpoint.strip_prefix("unix://").unwrap_or(endpoint))
}

fn endpoint<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    text::held_to(deserializer, "unix:///PATH", |text| socket_path(text).is_absolute()).map(Some)
}

/// A unit's name: that of a service, without a path.
fn unit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let is_unit =
        |name: &str| name.ends_with(".service") && !name.contains(['/', ' ']) && !name.starts_with('.');
    text::held_to(deserializer, "the name of a .service unit", is_unit)
}

fn some_unit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    unit(deserializer).map(Some)
}

fn try_secs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserialize_within(deserializer, 1, MAX_TRY_SECS)
}

fn give_up_secs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    deserialize_within(deserializer, 1, MAX_GIVE_UP_SECS).map(Some)
}

fn textfile<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let is_read = |text: &str| {
        let path = Path::new(text);
        path.is_absolute() && path.extension().is_some_and(|extension| extension == "prom")
    };
    let expected = "an absolute path that ends in .prom, which is what node_exporter reads";
    text::held_to(deserializer, expected, is_read).map(|path| Some(path.into()))
}
