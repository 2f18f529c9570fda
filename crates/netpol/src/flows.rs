//! Recorded flows, and those of them that policies would deny.
//!
//! [`record::parse`] reads a line of a record. [`FlowTally`] finds the pods, nodes and addresses of each flow in the cluster as it is now, and counts
//! flows that are alike; its [`judge`](FlowTally::judge) asks the policies of both ends. A flow that cannot be judged is counted with the reason, and
//! never as allowed.

mod judge;
pub mod record;
mod tally;

pub use self::judge::{DeniedFlow, Judgement, UnjudgedFlows};
pub use self::tally::FlowTally;

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;
use snapshot::model::{Labels, Text};

use crate::traffic::Kind;

/// An entry of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "most entries are flows, and each is handed over once")]
pub enum Record {
    Flow(Flow),
    /// One that says no flow to judge.
    Unjudged(Unjudged),
    /// So many flows are missing from the record.
    Lost(u64),
}

/// A connection, or a packet of one in the direction in which it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    pub source: FlowEnd,
    pub destination: FlowEnd,
    pub kind: Kind,
    /// The receiver saw another address than that of the sender.
    pub has_translated_source: bool,
    /// RFC 3339 in UTC, to the second, so that texts have the order of moments.
    pub time: Option<Text>,
}

/// One end of a flow, as the record has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowEnd {
    /// An address, with the pod that had it, if the record says so.
    Address(IpAddr, Option<RecordedPod>),
    /// Pods of a namespace by a name, in which a `*` at the end stands for what the API server adds to a `generateName`.
    Pods(Text, Text),
    /// A host by its name.
    Host(Text),
    /// An address outside of pods that the record leaves out; of a private network as RFC 1918 has them, or of another one.
    Network { is_private: bool },
}

/// A pod at the time of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedPod {
    pub namespace: Text,
    pub name: Text,
    /// None if the record does not have them.
    pub labels: Option<Labels>,
    /// The name of its service account.
    pub account: Option<Text>,
}

/// Why a flow is not judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Unjudged {
    /// An answer, or an error message about another flow. CNIs let both through with the flow that they belong to.
    Reply,
    /// The network dropped it when it was recorded.
    Dropped,
    /// A request, an event of a socket or of an agent, or a frame of another protocol than IP.
    NoPacket,
    /// The CNI saw the packet before it looked up its connection, and records it once more after that.
    SeenAgain,
    /// No policy decides between nodes and addresses outside.
    NoPod,
    /// CNIs let a pod and its own node reach each other.
    OwnNode,
    /// What a pod sends to itself never leaves the pod.
    SamePod,
    /// The record does not say whether it is an answer.
    UnknownDirection,
    /// The record has the address of a Service, and not the pod behind it.
    Service,
    /// The receiver saw another source address than the record's sender has.
    TranslatedSource,
    /// The pod is no longer there, and the record does not say enough of it.
    PodGone,
    /// Another pod has the address now.
    OtherPod,
    /// The record leaves out an address, a port or a type by which the policies decide.
    Incomplete,
    /// More different flows, or pods that are no longer there, than are kept.
    TooMany,
}

impl Unjudged {
    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Reply => "answers and error messages, which pass with the flow that they belong to",
            Self::Dropped => "dropped already when they were recorded",
            Self::NoPacket => "no packets of IP, but requests, events or other frames",
            Self::SeenAgain => {
                "packets on their way in, which are recorded once more when their connection is known"
            }
            Self::NoPod => "no pod at either end",
            Self::OwnNode => "between a pod and its own node, which CNIs let through",
            Self::SamePod => "from a pod to itself",
            Self::UnknownDirection => "the record does not say whether they are answers",
            Self::Service => {
                "to or from the address of a Service; the record does not say which pod is behind it"
            }
            Self::TranslatedSource => "the receiver saw another source address than that of the sender",
            Self::PodGone => "the pod is no longer there, and the record does not say enough of it",
            Self::OtherPod => "another pod has the address now",
            Self::Incomplete => {
                "the record leaves out an address, a port or a type by which the policies decide"
            }
            Self::TooMany => "more different flows than are kept",
        }
    }

    /// Whether policies may deny such a flow all the same.
    #[must_use]
    pub const fn is_open(self) -> bool {
        match self {
            Self::Reply
            | Self::Dropped
            | Self::NoPacket
            | Self::SeenAgain
            | Self::NoPod
            | Self::OwnNode
            | Self::SamePod => false,
            Self::UnknownDirection
            | Self::Service
            | Self::TranslatedSource
            | Self::PodGone
            | Self::OtherPod
            | Self::Incomplete
            | Self::TooMany => true,
        }
    }
}

/// `pod shop/web-1 (10.0.0.5) to 10.0.0.9, TCP 80`.
impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}, {}", self.source, self.destination, self.kind)
    }
}

impl fmt::Display for FlowEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address, Some(pod)) => {
                write!(f, "pod {}/{} ({address})", pod.namespace, pod.name)
            }
            Self::Address(address, None) => write!(f, "{address}"),
            Self::Pods(namespace, name) => write!(f, "pods {namespace}/{name}"),
            Self::Host(name) => write!(f, "host {name}"),
            Self::Network { is_private: true } => f.write_str("a private network"),
            Self::Network { is_private: false } => f.write_str("a public network"),
        }
    }
}
