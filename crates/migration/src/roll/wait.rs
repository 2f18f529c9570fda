//! The reasons why a run waits, by name, each with its remedy.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use snapshot::model::Text;

/// What a run waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Wait {
    /// The object that it waits for: `Node/b7`, `Pod/default/web`, `Gate/dns`.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub object: Subject,
    /// Why.
    pub reason: Reason,
    /// What is seen, in one sentence.
    pub what: String,
    /// The command or the act that helps; empty where time does.
    pub help: String,
    /// It goes on only when a person acts.
    pub is_held: bool,
    /// When the run looks again at the latest, by its own clock; none if an event tells.
    #[serde(skip)]
    pub until: Option<Duration>,
}

/// The object that a run waits for. Its text is a path: `Run`, `Node/b7`, `Pod/default/web`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Subject {
    /// The whole run.
    Run,
    Node(Text),
    /// A pod, as `NAMESPACE/NAME`.
    Pod(Text),
    Pool(Text),
    Gate(Text),
    Wave(Text),
    /// Any other object: a workload as `KIND/NAMESPACE/NAME`, or the Lease or a ConfigMap of the run.
    Object(Text),
}

impl Subject {
    #[must_use]
    pub fn node(name: &str) -> Self {
        Self::Node(name.into())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run => f.write_str("Run"),
            Self::Node(name) => write!(f, "Node/{name}"),
            Self::Pod(title) => write!(f, "Pod/{title}"),
            Self::Pool(name) => write!(f, "Pool/{name}"),
            Self::Gate(name) => write!(f, "Gate/{name}"),
            Self::Wave(name) => write!(f, "Wave/{name}"),
            Self::Object(path) => f.write_str(path),
        }
    }
}

impl From<&str> for Subject {
    fn from(text: &str) -> Self {
        match text.split_once('/') {
            None if text == "Run" => Self::Run,
            Some(("Node", name)) => Self::Node(name.into()),
            Some(("Pod", title)) => Self::Pod(title.into()),
            Some(("Pool", name)) => Self::Pool(name.into()),
            Some(("Gate", name)) => Self::Gate(name.into()),
            Some(("Wave", name)) => Self::Wave(name.into()),
            None | Some(_) => Self::Object(text.into()),
        }
    }
}

impl From<String> for Subject {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.to_string()
    }
}

/// Why a run waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Reason {
    /// The node has not answered its claim.
    NodeSilent,
    /// The node does not follow the phase.
    PhaseNotFollowed,
    /// The node's policy is not the one of the plan.
    PolicyUnknown,
    /// The node is on its way to the phase.
    Flipping,
    /// Networks join or leave pods of the node.
    Joining,
    /// The node did not reach the phase in time.
    FlipTimeout,
    /// Pods of the node did not move in time.
    MoveTimeout,
    /// The node has not been steady in its phase for long enough.
    Proving,
    /// The node was not steady in its new phase in time.
    ProofTimeout,
    /// A workload has fewer ready pods than before.
    OwnersShort,
    /// What moved from the node was not as available as before in time.
    OwnersTimeout,
    /// The node is not Ready.
    NodeNotReady,
    /// A person takes the node away.
    NodeGoing,
    /// The node bears a cordon that is not of this run.
    ForeignCordon,
    /// The node bears a step of another run.
    ForeignRun,
    /// The node is in a pool or zone that the plan does not know.
    PlaceUnknown,
    /// The node cannot tell what is attached to it.
    AttachmentsUnknown,
    /// The phase would part pods that need each other.
    WouldPart,
    /// As many nodes are in transit or in trouble as may be.
    InTransit,
    /// No window is open.
    WindowClosed,
    /// As many nodes started within the hour as may.
    Pace,
    /// The wave before has ended, and nothing starts for a time.
    Soak,
    /// A gate is red.
    GateRed,
    /// The color of a gate is not known.
    GateUnknown,
    /// Pods find no node.
    PodsPending,
    /// The other nodes have no room for the pods of a node that is to be drained.
    NoCapacity,
    /// A PodDisruptionBudget forbids an eviction.
    BudgetBlocks,
    /// Two PodDisruptionBudgets select a pod.
    TwoBudgets,
    /// The API server has too much to do.
    ServerBusy,
    /// A call failed.
    CallFailed,
    /// A pod that no controller makes again.
    BarePod,
    /// A pod whose emptyDir would be lost.
    EmptyDir,
    /// A pod, or a node, that asks not to be disrupted.
    Undisturbed,
    /// A Job's pod.
    JobRunning,
    /// A static pod with pod network.
    StaticPod,
    /// A pod that is being deleted.
    Terminating,
    /// A DNS pod that must stay until others are ready.
    DnsNeeded,
    /// Another pod of the same StatefulSet is moving.
    OneAtATime,
    /// Evictions that are under way.
    Evicting,
    /// The node settles.
    Settling,
    /// The count of all pods.
    Census,
    /// The run is paused.
    Paused,
    /// The Lease was not renewed in time.
    LeaseStale,
    /// Another holder has the Lease.
    LeaseHeld,
    /// What happens in the cluster cannot be seen.
    Unwatched,
    /// The node's pipeline has not asked to take it away.
    NotAsked,
    /// Karpenter does not find the node drifted, so it would not replace it.
    NotDrifted,
    /// The node's pipeline has not taken it away yet.
    Leaving,
    /// The new node is not proven yet.
    Arriving,
    /// Nodes have gone, and no new ones have come.
    ReplacementMissing,
}

impl Reason {
    pub const ALL: [Self; 50] = [
        Self::NodeSilent,
        Self::PhaseNotFollowed,
        Self::PolicyUnknown,
        Self::Flipping,
        Self::Joining,
        Self::FlipTimeout,
        Self::MoveTimeout,
        Self::Proving,
        Self::ProofTimeout,
        Self::OwnersShort,
        Self::OwnersTimeout,
        Self::NodeNotReady,
        Self::NodeGoing,
        Self::ForeignCordon,
        Self::ForeignRun,
        Self::PlaceUnknown,
        Self::AttachmentsUnknown,
        Self::WouldPart,
        Self::InTransit,
        Self::WindowClosed,
        Self::Pace,
        Self::Soak,
        Self::GateRed,
        Self::GateUnknown,
        Self::PodsPending,
        Self::NoCapacity,
        Self::BudgetBlocks,
        Self::TwoBudgets,
        Self::ServerBusy,
        Self::CallFailed,
        Self::BarePod,
        Self::EmptyDir,
        Self::Undisturbed,
        Self::JobRunning,
        Self::StaticPod,
        Self::Terminating,
        Self::DnsNeeded,
        Self::OneAtATime,
        Self::Evicting,
        Self::Settling,
        Self::Census,
        Self::Paused,
        Self::LeaseStale,
        Self::LeaseHeld,
        Self::Unwatched,
        Self::NotAsked,
        Self::NotDrifted,
        Self::Leaving,
        Self::Arriving,
        Self::ReplacementMissing,
    ];
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl Wait {
    /// A wait that time or an event ends.
    pub fn new(object: impl Into<Subject>, reason: Reason, what: impl Into<String>) -> Self {
        Self {
            object: object.into(),
            reason,
            what: what.into(),
            help: String::new(),
            is_held: false,
            until: None,
        }
    }

    /// A wait that a person ends.
    pub fn new_held(
        object: impl Into<Subject>,
        reason: Reason,
        what: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { help: help.into(), is_held: true, ..Self::new(object, reason, what) }
    }

    /// The same, looked at again at this time.
    #[must_use]
    pub fn with_time(mut self, time: Duration) -> Self {
        self.until = Some(time);
        self
    }

    /// The same, looked at again once it has lasted as long as it may, and held from then on: a person has to end it.
    #[must_use]
    pub(super) fn limited(self, since: Duration, limit: Duration, now: Duration) -> Self {
        match limit.checked_sub(since).filter(|left| !left.is_zero()) {
            Some(left) => self.with_time(now + left),
            None => Self { is_held: true, ..self },
        }
    }

    /// The same, with what helps.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Journals of earlier holders have the text.
    #[test]
    fn a_subject_is_read_as_it_was_written() {
        for (text, subject) in [
            ("Run", Subject::Run),
            ("Node/b7", Subject::node("b7")),
            ("Pod/default/web", Subject::Pod("default/web".into())),
            ("Pool/blue", Subject::Pool("blue".into())),
            ("Gate/dns", Subject::Gate("dns".into())),
            ("Wave/canary", Subject::Wave("canary".into())),
            ("Deployment/shop/web", Subject::Object("Deployment/shop/web".into())),
            ("Run/b7", Subject::Object("Run/b7".into())),
            ("Node", Subject::Object("Node".into())),
            ("", Subject::Object("".into())),
        ] {
            assert_eq!(Subject::from(text), subject, "{text}");
            assert_eq!(serde_json::to_value(&subject).expect("JSON"), text);
            assert_eq!(serde_json::from_value::<Subject>(text.into()).expect("a subject"), subject);
        }
    }

    #[test]
    fn a_reason_is_printed_as_it_is_written() {
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).expect("JSON"), reason.to_string());
        }
    }
}
