//! status.json: what `watch` observes on a node, for people and programs.
//!
//! The file holds no value that changes by itself, such as a time, so that equal bytes are not written again. Its JSON Schema,
//! `types/status.schema.json`, is made from these types. A reader takes keys and words that it does not know, since a later `watch` may
//! write them.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::api::observed::AttachmentCounts;
use crate::node::Mode;
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
        schemars(with = "crate::json::version::V1", description = "Format of this file.")
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
    pub reason: Word<Reason>,
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
    /// The attachments as they were counted last; null on a node that reports to no API server.
    #[serde(default)]
    pub attached: Option<AttachmentCounts>,
    /// How many pods only a restart brings to the networks of the policy; null while networks join or leave pods, and where none do.
    #[serde(default)]
    pub restarts: Option<u32>,
    /// Pods that need no restart and were not moved by the last pass; null before the first one under this policy, and where no network joins or leaves pods.
    #[serde(default)]
    pub not_moved: Option<NotMoved>,
    /// Findings for a person, one line each.
    pub findings: Vec<String>,
}

/// How many running pods a pass did not move, by the reason; the next pass tries them again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct NotMoved {
    /// Pods with connections over the network that is to leave them.
    pub connections: u32,
    /// Pods that a network did not join or leave, because a plugin failed or the pass ended before their turn.
    pub failed: u32,
}

/// A word that a `watch` of another version may have written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Word<T> {
    /// A word of this version.
    Known(T),
    /// A word that this version does not have.
    Unknown(String),
}

impl<T> From<T> for Word<T> {
    fn from(word: T) -> Self {
        Self::Known(word)
    }
}

impl<T: PartialEq> PartialEq<T> for Word<T> {
    fn eq(&self, other: &T) -> bool {
        matches!(self, Self::Known(word) if word == other)
    }
}

impl<T: fmt::Display> fmt::Display for Word<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(word) => word.fmt(f),
            Self::Unknown(word) => word.fmt(f),
        }
    }
}

// A schema is of what this version writes.
#[cfg(feature = "schema")]
impl<T: schemars::JsonSchema> schemars::JsonSchema for Word<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

/// Why a node is ready or not: the reason of its condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Reason {
    /// Pods get the network that the policy names.
    NetworkReady,
    /// A network that the policy names is not ready yet.
    WaitingForNetwork,
    /// The policy or node.json cannot be used.
    BadSettings,
    /// `boot` has not succeeded in this boot.
    BootFailed,
    /// An agent takes the conf directory for itself, and Crossfade does not fight it.
    ConfContended,
    /// Crossfade's conf is not what the runtime would use, and it takes a person to change that.
    ConfNotFirst,
    /// Another program writes into the conf directory that is Crossfade's alone; its files are removed.
    ForeignConf,
    /// Crossfade's conf is in place and first, and the runtime has loaded another one.
    ConfNotLoaded,
    /// Crossfade's plugin is not where the runtime looks for it, or is another one.
    PluginMissing,
    /// Nothing says which runtime kubelet talks to, or that one does not answer.
    RuntimeUnknown,
    /// The conf directory was replaced; the runtime may have to be restarted to see it.
    RuntimeRestartNeeded,
    /// Crossfade was switched off.
    SwitchedOff,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 12] = [
        Self::NetworkReady,
        Self::WaitingForNetwork,
        Self::BadSettings,
        Self::BootFailed,
        Self::ConfContended,
        Self::ConfNotFirst,
        Self::ForeignConf,
        Self::ConfNotLoaded,
        Self::PluginMissing,
        Self::RuntimeUnknown,
        Self::RuntimeRestartNeeded,
        Self::SwitchedOff,
    ];

    /// As the condition spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NetworkReady => "NetworkReady",
            Self::WaitingForNetwork => "WaitingForNetwork",
            Self::BadSettings => "BadSettings",
            Self::BootFailed => "BootFailed",
            Self::ConfContended => "ConfContended",
            Self::ConfNotFirst => "ConfNotFirst",
            Self::ForeignConf => "ForeignConf",
            Self::ConfNotLoaded => "ConfNotLoaded",
            Self::PluginMissing => "PluginMissing",
            Self::RuntimeUnknown => "RuntimeUnknown",
            Self::RuntimeRestartNeeded => "RuntimeRestartNeeded",
            Self::SwitchedOff => "SwitchedOff",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

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
    pub mode: Word<Mode>,
    /// The directory in which the runtime reads confs.
    pub dir: PathBuf,
    /// The state of the conf.
    pub state: Word<ConfState>,
    /// How often `watch` restored the conf in this boot.
    pub repairs: u64,
    /// Whether the conf has been in place in this boot.
    pub was_there: bool,
    /// Which directory the runtime watches; for the next `watch`.
    pub directory: Option<String>,
    /// The life of the runtime that has lost its directory; for the next `watch`.
    pub lost_by: Option<String>,
}

/// The state of Crossfade's conf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ConfState {
    /// The conf is as it should be.
    #[serde(rename = "in place")]
    InPlace,
    /// It is as it should be, and the runtime has not loaded it.
    #[serde(rename = "not loaded")]
    NotLoaded,
    /// The conf is not written until its networks are ready.
    #[serde(rename = "waiting")]
    Waiting,
    /// The conf is not installed, or `uninstall` is removing it.
    #[serde(rename = "not installed")]
    NotInstalled,
    /// The conf is wrong, and `watch` has given up repairing it.
    #[serde(rename = "contended")]
    Contended,
    /// The conf's directory does not exist.
    #[serde(rename = "no directory")]
    NoDirectory,
    /// Crossfade is switched off.
    #[serde(rename = "off")]
    Off,
}

impl ConfState {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::InPlace,
        Self::NotLoaded,
        Self::Waiting,
        Self::NotInstalled,
        Self::Contended,
        Self::NoDirectory,
        Self::Off,
    ];

    /// As people and status.json write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InPlace => "in place",
            Self::NotLoaded => "not loaded",
            Self::Waiting => "waiting",
            Self::NotInstalled => "not installed",
            Self::Contended => "contended",
            Self::NoDirectory => "no directory",
            Self::Off => "off",
        }
    }
}

impl fmt::Display for ConfState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The state of a network's proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ProofState {
    /// The network is not proven, or pods do not get it now.
    None,
    /// The proof runs, or is about to.
    Running,
    /// The proof passed.
    Passed,
    /// The network is ready, and the proof found no way to DNS or to other nodes.
    Degraded,
    /// The proof failed.
    Failed,
    /// No proof can run here, so probes alone decide.
    Unavailable,
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
    /// The state of the network's proof.
    pub proof: Word<ProofState>,
    /// What the last proof by packets found; null if there was none in this boot.
    #[serde(default)]
    pub packets: Option<Packets>,
    /// Whether pods of the network asked for host ports in this boot that no plugin of its conf maps.
    #[serde(default)]
    pub unmapped_host_ports: bool,
}
