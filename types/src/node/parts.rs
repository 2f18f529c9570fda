//! The parts of node.json: runtime, kubelet, gate, report.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

use super::RuntimeKind;
use crate::endpoint::socket;
use crate::text;
use crate::whole::within;

/// Longest single try of the gate, in seconds: systemd gives a start 90 by default.
const MAX_TRY_SECS: u64 = 60;
/// Longest time until the gate gives up, in seconds: a week.
const MAX_GIVE_UP_SECS: u64 = 7 * 24 * 3600;

/// The container runtime, as far as its units do not say it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Runtime {
    /// Which; the one whose unit is here, unless named.
    #[serde(rename = "name", skip_serializing_if = "Option::is_none")]
    pub kind: Option<RuntimeKind>,
    /// Its socket; what kubelet and its configuration say unless named.
    #[serde(deserialize_with = "endpoint", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^(unix://)?/")))]
    pub endpoint: Option<String>,
    /// Its unit; containerd.service or crio.service unless named.
    #[serde(deserialize_with = "some_unit", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = r"^[^./ ][^/ ]*\.service$")))]
    pub unit: Option<String>,
    /// Its configuration file; what its command line says unless named. For runtimes that are no unit of their own, as k3s's.
    #[serde(deserialize_with = "text::absolute", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^/")))]
    pub config: Option<PathBuf>,
    /// Where it looks for plugins; what its configuration says unless named.
    #[serde(deserialize_with = "text::absolutes", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(inner(regex(pattern = "^/"))))]
    pub bin_dirs: Vec<PathBuf>,
}

/// kubelet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Kubelet {
    /// Its unit.
    #[serde(deserialize_with = "unit")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = r"^[^./ ][^/ ]*\.service$")))]
    pub unit: String,
    /// Whether labels and taints are added to its command line; off where a fragment does it (k3s, Talos, ...).
    pub register: bool,
    /// Its credential; the one that its command line names unless named.
    #[serde(deserialize_with = "text::absolute", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^/")))]
    pub kubeconfig: Option<PathBuf>,
    /// The Node's name; what kubelet would take unless named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
}

impl Default for Kubelet {
    fn default() -> Self {
        Self { unit: "kubelet.service".into(), register: true, kubeconfig: None, node_name: None }
    }
}

/// How long kubelet is held back while this node cannot come up right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Gate {
    /// How long one try waits.
    #[serde(rename = "trySeconds", deserialize_with = "try_secs")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = MAX_TRY_SECS)))]
    pub try_secs: u64,
    /// After so many seconds since the first try of a boot kubelet starts with the taint crossfade/unfit; never unless named.
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

/// What is reported where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reporting {
    /// Whether condition, label, annotation and events of the Node are kept.
    pub node: bool,
    /// Metrics for node_exporter's textfile collector, a name that ends in .prom; none unless named.
    #[serde(deserialize_with = "textfile", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = r"^/(.*/)?[^/]+\.prom$")))]
    pub textfile: Option<PathBuf>,
}

impl Default for Reporting {
    fn default() -> Self {
        Self { node: true, textfile: None }
    }
}

fn endpoint<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    text::held_to(deserializer, "unix:///PATH", |text| socket(text).is_absolute()).map(Some)
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
    within(deserializer, 1, MAX_TRY_SECS)
}

fn give_up_secs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    within(deserializer, 1, MAX_GIVE_UP_SECS).map(Some)
}

fn textfile<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let is_read = |text: &str| {
        let path = Path::new(text);
        path.is_absolute() && path.extension().is_some_and(|extension| extension == "prom")
    };
    let expected = "an absolute path that ends in .prom, which is what node_exporter reads";
    text::held_to(deserializer, expected, is_read).map(|path| Some(path.into()))
}
