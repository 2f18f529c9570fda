//! status.json: what `watch` observes on a node, for people and programs.
//!
//! The file holds no value that changes by itself, such as a time, so that equal bytes are not written again. Its JSON Schema,
//! `types/status.schema.json`, is made from these types. A reader takes keys and words that it does not know, since a later `watch` may
//! write them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::packets::Packets;
use crate::policy::{Phase, Side};

/// The version of the file's format.
pub const VERSION: u32 = 1;

/// The whole file.
///
/// *Shape*: `{"version": 1, "bootID": "5c1e...", "watch": {"pid": 812, "start": 73021}, "ready": true, "reason": "NetworkReady", ...}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(
        deny_unknown_fields,
        title = "Crossfade: what watch sees on a node (/run/crossfade/status.json)",
        description = "Written by rename, and only when something has changed. It is of now when bootID is this boot's and the process in \
            watch runs."
    )
)]
pub struct Document {
    /// [`VERSION`].
    #[cfg_attr(
        feature = "schema",
        schemars(with = "crate::version::V1", description = "Format of this file.")
    )]
    pub version: u32,
    /// The boot that the document describes.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    /// The `watch` that wrote it.
    pub watch: Watch,
    /// Whether pods get the network that the policy names.
    pub ready: bool,
    /// Why pods get that network or do not, in one word: a reason of the Node's condition.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = REASONS)))]
    pub reason: String,
    /// The same in one sentence.
    #[cfg_attr(feature = "schema", schemars(length(max = 256)))]
    pub message: String,
    /// The policy's phase; null while it cannot be used.
    pub phase: Option<Phase>,
    /// SHA-256 of the policy's bytes, in hex.
    #[serde(rename = "policySHA256")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    pub policy_sha256: Option<String>,
    /// Crossfade's conf in the runtime's directory.
    pub conf: Conf,
    /// The policy's networks, the old one first.
    pub networks: Vec<Network>,
    /// Findings for a person, one line each.
    pub findings: Vec<String>,
}

/// The reasons that a `watch` gives.
#[cfg(feature = "schema")]
const REASONS: [&str; 12] = [
    "NetworkReady",
    "WaitingForNetwork",
    "BadSettings",
    "BootFailed",
    "ConfContended",
    "ConfNotFirst",
    "ForeignConf",
    "ConfNotLoaded",
    "PluginMissing",
    "RuntimeUnknown",
    "RuntimeRestartNeeded",
    "SwitchedOff",
];

/// The process that wrote a status.json.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct Watch {
    /// The pid of the process.
    pub pid: i32,
    /// When the process started, in clock ticks since boot: field 22 of /proc/PID/stat.
    pub start: u64,
}

/// Crossfade's conf in the runtime's directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct Conf {
    /// Whether the conf lies in Crossfade's own directory (`private`) or in the one that it shares with the agents.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["private", "shared"])))]
    pub mode: String,
    /// The directory in which the runtime reads confs.
    pub dir: PathBuf,
    /// The state of the conf.
    #[cfg_attr(
        feature = "schema",
        schemars(
            extend("enum" = ["in place", "not loaded", "waiting", "not installed", "contended", "no directory", "off"])
        )
    )]
    pub state: String,
    /// How often `watch` restored the conf in this boot.
    pub repairs: u64,
    /// Whether the conf has been in place in this boot.
    pub was_there: bool,
    /// Which directory the runtime watches; for the next `watch`.
    pub directory: Option<String>,
    /// The life of the runtime that has lost its directory; for the next `watch`.
    pub lost_by: Option<String>,
}

/// One network of the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct Network {
    /// Whether it is the old network or the new one.
    pub network: Side,
    /// The network's own name; null while it has no conf.
    pub name: Option<String>,
    /// The network's profile.
    pub profile: String,
    /// Whether `attach` names the network, so that pods wait for it.
    pub attached: bool,
    /// Whether the network is ready.
    pub ready: bool,
    /// Why the network is not ready.
    pub why: Option<String>,
    /// The state of the network's proof. `degraded`: the network is ready, and the proof found no way to DNS or to other nodes.
    #[cfg_attr(
        feature = "schema",
        schemars(extend("enum" = ["none", "running", "passed", "degraded", "failed", "unavailable"]))
    )]
    pub proof: String,
    /// What the last proof by packets found; null if there was none in this boot.
    #[serde(default)]
    pub packets: Option<Packets>,
    /// Whether pods of the network asked for host ports in this boot that no plugin of its conf maps.
    #[serde(default)]
    pub unmapped_host_ports: bool,
}
