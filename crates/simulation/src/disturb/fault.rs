//! The faults of a history, and their frequency.

use std::fmt;

use crate::history::queue::Millis;

/// What goes wrong. Its name is that of the fault alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Machine(MachineFault),
    Node(NodeFault),
    Object(ObjectFault),
    Holder(HolderFault),
    Person(PersonFault),
    Pipeline(PipelineFault),
    Gate(GateFault),
    Call(CallFault),
}

/// A fault of a machine or of what runs on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineFault {
    /// A machine is rebooted.
    Reboot,
    /// A machine is rebooted into its image, with the image's policy.
    FreshBoot,
    /// A machine does not reach the API server.
    Disconnect,
    /// `watch` ends on a node.
    DeadWatch,
    /// A node takes minutes to flip.
    SlowFlip,
    /// A node's node.json allows only its present phase.
    RefusedFlip,
    /// A person edits a node's policy.
    PolicyEdited,
    /// A person edits the phase of a node's policy.
    PhaseEdited,
    /// A node does not know of some attachments.
    Forgetful,
    /// A DEL fails, so that an attachment outlives its pod.
    Leftover,
    /// A network's agent hangs: nothing joins or leaves pods of the node for a time.
    JoinHangs,
}

/// A fault of a Node object, or the end of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeFault {
    /// A person cordons a node.
    Cordon,
    /// A person uncordons a node.
    Uncordon,
    /// A person uncordons a node and cordons it at once.
    Recordon,
    /// A person drains a node.
    Drain,
    /// A person sets the desired phase of a node.
    DesiredEdited,
    /// A person edits the label of a node.
    LabelEdited,
    /// A person removes the step of a node.
    StepRemoved,
    /// A cloud takes a node away.
    NodeGoes,
    /// A node is replaced by another one of the same name.
    NodeReplaced,
    /// Another client writes Nodes all the time.
    Touch,
    /// A node writes what it likes on its own Node: steps, labels, no report.
    HostileNode,
}

/// A fault of pods, of their budgets, or of the set of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectFault {
    /// A person deletes a pod.
    PodDeleted,
    /// A pod is not Ready for a time.
    PodCrash,
    /// A person annotates a pod so that nothing disrupts it.
    Pinned,
    /// A budget that allows nothing.
    Budget,
    /// Two budgets for the same pods.
    TwoBudgets,
    /// A node joins, in a phase of the pass.
    NodeJoins,
    /// A node joins in a phase that the pass forbids.
    Intruder,
    /// A tenant makes pods that no node takes, or that no scheduler takes.
    Tenant,
}

/// A fault of the process that holds a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderFault {
    /// A holder does not reach the API server.
    Away,
    /// A holder's watches bring nothing for a time.
    Deaf,
    /// A holder's machine sleeps.
    Suspend,
    /// One of a holder's watches is answered, and brings nothing for a time.
    SilentWatch,
    /// A person presses Ctrl-C.
    Interrupt,
}

/// An act of a person on a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersonFault {
    /// A second holder waits for the Lease.
    SecondHolder,
    /// A second holder takes the Lease from a living one.
    ForcedTakeover,
    /// A person ends the holder, and goes on by another plan.
    Replan,
    /// A person pauses the run.
    Pause,
    /// A person stops the run.
    PauseNow,
    /// A person turns the run back.
    Abort,
    /// A person leaves a node out.
    Skip,
    /// A person tries a node once more.
    Retry,
    /// A person brings a node back.
    Rollback,
}

/// A fault of a pipeline that replaces nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PipelineFault {
    /// A machine of a pool whose nodes are replaced is lost at once.
    SpotLoss,
    /// A node of such a pool has reached its age, and is drained and taken away.
    Expiry,
    /// An autoscaler adds a node to such a pool, or removes an empty one.
    Autoscale,
    /// A pipeline's process ends in the middle, and begins anew later.
    PipelineEnds,
    /// No machine of a pipeline's new image gets there, until its owner has another image: it abandons each of them, and launches the next one.
    BadImage,
}

/// A fault of a gate or of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateFault {
    GateRed,
    /// The color of a gate is not known.
    GateUnknown,
    /// A gate does not answer.
    GateSilent,
    /// A gate asks to go on more slowly.
    GateAmber,
    /// No window is open.
    WindowClosed,
}

/// A fault of single calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallFault {
    /// ADDs that take long, also between reading the policy and the record.
    SlowAdd,
    /// Pods that take minutes to end.
    SlowEnd,
    /// The API server has too much to do.
    Busy,
    /// A call takes effect, and its answer is lost.
    LostAnswer,
    /// A holder ends before a call.
    CrashBefore,
    /// A holder ends after a call.
    CrashAfter,
    /// A pod refuses that a network joins or leaves it.
    JoinRefused,
    /// A pod has connections over the network that is to leave it, for minutes or longer.
    OldConnections,
    /// A new machine never gets there.
    BadLaunch,
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine(fault) => fault.fmt(f),
            Self::Node(fault) => fault.fmt(f),
            Self::Object(fault) => fault.fmt(f),
            Self::Holder(fault) => fault.fmt(f),
            Self::Person(fault) => fault.fmt(f),
            Self::Pipeline(fault) => fault.fmt(f),
            Self::Gate(fault) => fault.fmt(f),
            Self::Call(fault) => fault.fmt(f),
        }
    }
}

impl Fault {
    pub const ALL: [Self; 63] = [
        Self::Machine(MachineFault::Reboot),
        Self::Machine(MachineFault::FreshBoot),
        Self::Machine(MachineFault::Disconnect),
        Self::Machine(MachineFault::DeadWatch),
        Self::Machine(MachineFault::SlowFlip),
        Self::Machine(MachineFault::RefusedFlip),
        Self::Machine(MachineFault::PolicyEdited),
        Self::Machine(MachineFault::PhaseEdited),
        Self::Machine(MachineFault::Forgetful),
        Self::Machine(MachineFault::Leftover),
        Self::Call(CallFault::SlowAdd),
        Self::Call(CallFault::SlowEnd),
        Self::Node(NodeFault::Cordon),
        Self::Node(NodeFault::Uncordon),
        Self::Node(NodeFault::Recordon),
        Self::Node(NodeFault::Drain),
        Self::Node(NodeFault::DesiredEdited),
        Self::Node(NodeFault::LabelEdited),
        Self::Node(NodeFault::StepRemoved),
        Self::Object(ObjectFault::PodDeleted),
        Self::Object(ObjectFault::PodCrash),
        Self::Object(ObjectFault::Pinned),
        Self::Object(ObjectFault::Budget),
        Self::Object(ObjectFault::TwoBudgets),
        Self::Node(NodeFault::NodeGoes),
        Self::Object(ObjectFault::NodeJoins),
        Self::Object(ObjectFault::Intruder),
        Self::Node(NodeFault::NodeReplaced),
        Self::Call(CallFault::Busy),
        Self::Call(CallFault::LostAnswer),
        Self::Node(NodeFault::Touch),
        Self::Holder(HolderFault::Away),
        Self::Holder(HolderFault::Deaf),
        Self::Call(CallFault::CrashBefore),
        Self::Call(CallFault::CrashAfter),
        Self::Holder(HolderFault::Suspend),
        Self::Person(PersonFault::SecondHolder),
        Self::Person(PersonFault::ForcedTakeover),
        Self::Holder(HolderFault::Interrupt),
        Self::Person(PersonFault::Pause),
        Self::Person(PersonFault::PauseNow),
        Self::Person(PersonFault::Abort),
        Self::Person(PersonFault::Skip),
        Self::Person(PersonFault::Retry),
        Self::Person(PersonFault::Rollback),
        Self::Gate(GateFault::GateRed),
        Self::Gate(GateFault::GateUnknown),
        Self::Gate(GateFault::GateSilent),
        Self::Gate(GateFault::GateAmber),
        Self::Gate(GateFault::WindowClosed),
        // The last ones, so that the others are drawn as they were before there were these.
        Self::Person(PersonFault::Replan),
        Self::Node(NodeFault::HostileNode),
        Self::Object(ObjectFault::Tenant),
        Self::Holder(HolderFault::SilentWatch),
        Self::Machine(MachineFault::JoinHangs),
        Self::Call(CallFault::JoinRefused),
        Self::Call(CallFault::OldConnections),
        Self::Pipeline(PipelineFault::SpotLoss),
        Self::Pipeline(PipelineFault::Expiry),
        Self::Pipeline(PipelineFault::Autoscale),
        Self::Call(CallFault::BadLaunch),
        Self::Pipeline(PipelineFault::PipelineEnds),
        Self::Pipeline(PipelineFault::BadImage),
    ];

    pub const OF_PIPELINES: [Self; 6] = [
        Self::Pipeline(PipelineFault::SpotLoss),
        Self::Pipeline(PipelineFault::Expiry),
        Self::Pipeline(PipelineFault::Autoscale),
        Self::Call(CallFault::BadLaunch),
        Self::Pipeline(PipelineFault::PipelineEnds),
        Self::Pipeline(PipelineFault::BadImage),
    ];

    /// Whether it strikes single calls, instead of happening from time to time.
    #[must_use]
    pub const fn is_of_calls(self) -> bool {
        matches!(self, Self::Call(_))
    }
}

/// Which faults a history has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// When the last one begins.
    pub until: Millis,
    /// Faults, each with its rate: calls of a thousand that it strikes, or the mean time between two of them.
    pub rates: Vec<(Fault, u64)>,
}

impl Faults {
    /// No fault at all.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// How often in a thousand a fault strikes a call.
    pub(crate) fn often(&self, fault: CallFault) -> u64 {
        self.rates
            .iter()
            .find(|(candidate, _)| *candidate == Fault::Call(fault))
            .map_or(0, |(_, often)| *often)
    }
}
