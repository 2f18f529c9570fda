//! The report of `watch`: one value, made by the loop and handed to every place that publishes it.

use serde::{Deserialize, Serialize};
use types::api::observed::NodeObservation;
use types::status::Reason;

use crate::publish::registered::RegisteredLabels;

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
    pub observed: NodeObservation,
    /// Whether the Node's NetworkUnavailable is ours to clear: the old CNI may have left it true, the networks that pods get are ready,
    /// and none of their agents ever writes it.
    pub clears_network_unavailable: bool,
    /// What the Node has to bear because node.json registers it.
    pub registered: RegisteredLabels,
}

/// Why a node reports no more; the reason of its last condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinalReason {
    /// Crossfade was switched off.
    SwitchedOff,
    /// Crossfade was removed from the node.
    Removed,
    /// The node runs a final image, without a plugin of Crossfade's.
    FinalImage,
}

impl FinalReason {
    /// As the condition spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SwitchedOff => Reason::SwitchedOff.as_str(),
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
    pub reason: FinalReason,
    /// Why, in one sentence.
    pub message: String,
}

/// What happened, in one word: the reason of an Event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventReason {
    /// The policy is in another phase.
    Flipped,
    /// The settings do not allow the phase that the Node's annotation asks for.
    FlipRefused,
    /// The flip to that phase failed, and `watch` tries again.
    FlipFailed,
    /// Crossfade's conf was written for another phase or other networks.
    ConfWritten,
    /// Another program had changed Crossfade's conf or taken it away, and it was put back.
    ConfRepaired,
    /// Crossfade's conf was written anew so that the runtime reads it.
    ConfReloaded,
    /// A change could not be made.
    Failed,
    /// Labels that node.json registers were missing on a Node that was there before the machine, and were set.
    LabelsRestored,
    /// A condition that takes a person, and keeps no pod from its network.
    Finding,
    /// The node's readiness has another reason, or one that a graver reason hides.
    #[serde(untagged)]
    Readiness(Reason),
}

impl EventReason {
    /// As the Event spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flipped => "Flipped",
            Self::FlipRefused => "FlipRefused",
            Self::FlipFailed => "FlipFailed",
            Self::ConfWritten => "ConfWritten",
            Self::ConfRepaired => "ConfRepaired",
            Self::ConfReloaded => "ConfReloaded",
            Self::Failed => "Failed",
            Self::LabelsRestored => "LabelsRestored",
            Self::Finding => "Finding",
            Self::Readiness(reason) => reason.as_str(),
        }
    }
}

/// Something that happened once, for the Node's events and the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEvent {
    /// What happened.
    pub reason: EventReason,
    /// Whether it takes a person.
    pub warning: bool,
    /// In one sentence, at most 1024 bytes.
    pub message: String,
}
