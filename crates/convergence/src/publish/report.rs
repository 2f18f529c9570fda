//! The report of `watch`: one value, made by the loop and handed to every place that publishes it.

use serde::Serialize;
use types::observed::Observed;

/// The truth about this node's network, as of one round of the loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeReport {
    /// Whether pods get the network that the policy names, now.
    pub ready: bool,
    /// Why, in one word for programs.
    pub reason: Reason,
    /// Why, in one sentence for people, at most 256 bytes.
    pub message: String,
    /// What the annotation says, but for the echo, which only the publisher can read.
    pub observed: Observed,
    /// Whether the Node's NetworkUnavailable is ours to clear: the old CNI may have left it true, the networks that pods get are ready,
    /// and none of their agents ever writes it.
    pub clears_network_unavailable: bool,
}

/// Why a node is ready or not; the reason of its condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Reason {
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
    /// Crossfade was removed from the node.
    Removed,
    /// The node runs a final image, without a plugin of Crossfade's.
    FinalImage,
}

impl Reason {
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
            Self::Removed => "Removed",
            Self::FinalImage => "FinalImage",
        }
    }
}

/// The last condition of a node that reports no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinalCondition {
    /// `False` or `Unknown`, as the condition spells it.
    pub status: &'static str,
    /// Why, in one word.
    pub reason: Reason,
    /// Why, in one sentence.
    pub message: String,
}

/// Something that happened once, for the Node's events and the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEvent {
    /// Its name, in one word: `Flipped`, `FlipRefused`, `ConfRepaired`, `ConfContended`, ...
    pub reason: &'static str,
    /// Whether it takes a person.
    pub warning: bool,
    /// In one sentence, at most 1024 bytes.
    pub message: String,
}
