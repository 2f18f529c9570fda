//! The faults of a history, and their frequency.

use crate::history::queue::Millis;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
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
    /// ADDs that take long, also between reading the policy and the record.
    SlowAdd,
    /// Pods that take minutes to end.
    SlowEnd,
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
    /// A cloud takes a node away.
    NodeGoes,
    /// A node joins, in a phase of the pass.
    NodeJoins,
    /// A node joins in a phase that the pass forbids.
    Intruder,
    /// A node is replaced by another one of the same name.
    NodeReplaced,
    /// The API server has too much to do.
    Busy,
    /// A call takes effect, and its answer is lost.
    LostAnswer,
    /// Another client writes Nodes all the time.
    Touch,
    /// A holder does not reach the API server.
    Away,
    /// A holder's watches bring nothing for a time.
    Deaf,
    /// A holder ends before a call.
    CrashBefore,
    /// A holder ends after a call.
    CrashAfter,
    /// A holder's machine sleeps.
    Suspend,
    /// A second holder waits for the Lease.
    SecondHolder,
    /// A second holder takes the Lease from a living one.
    ForcedTakeover,
    /// A person presses Ctrl-C.
    Interrupt,
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
    GateRed,
    /// The color of a gate is not known.
    GateUnknown,
    /// A gate does not answer.
    GateSilent,
    /// A gate asks to go on more slowly.
    GateAmber,
    /// No window is open.
    WindowClosed,
    /// A node writes what it likes on its own Node: steps, labels, no report.
    HostileNode,
    /// A tenant makes pods that no node takes, or that no scheduler takes.
    Tenant,
    /// One of a holder's watches is answered, and brings nothing for a time.
    SilentWatch,
    /// A network's agent hangs: nothing joins or leaves pods of the node for a time.
    JoinHangs,
    /// A pod refuses that a network joins or leaves it.
    JoinRefused,
    /// A pod has connections over the network that is to leave it, for minutes or longer.
    OldConnections,
    /// A machine of a pool whose nodes are replaced is lost at once.
    SpotLoss,
    /// A node of such a pool has reached its age, and is drained and taken away.
    Expiry,
    /// An autoscaler adds a node to such a pool, or removes an empty one.
    Autoscale,
    /// A new machine never gets there.
    BadLaunch,
    /// A pipeline's process ends in the middle, and begins anew later.
    PipelineEnds,
}

impl Fault {
    pub const ALL: [Self; 62] = [
        Self::Reboot,
        Self::FreshBoot,
        Self::Disconnect,
        Self::DeadWatch,
        Self::SlowFlip,
        Self::RefusedFlip,
        Self::PolicyEdited,
        Self::PhaseEdited,
        Self::Forgetful,
        Self::Leftover,
        Self::SlowAdd,
        Self::SlowEnd,
        Self::Cordon,
        Self::Uncordon,
        Self::Recordon,
        Self::Drain,
        Self::DesiredEdited,
        Self::LabelEdited,
        Self::StepRemoved,
        Self::PodDeleted,
        Self::PodCrash,
        Self::Pinned,
        Self::Budget,
        Self::TwoBudgets,
        Self::NodeGoes,
        Self::NodeJoins,
        Self::Intruder,
        Self::NodeReplaced,
        Self::Busy,
        Self::LostAnswer,
        Self::Touch,
        Self::Away,
        Self::Deaf,
        Self::CrashBefore,
        Self::CrashAfter,
        Self::Suspend,
        Self::SecondHolder,
        Self::ForcedTakeover,
        Self::Interrupt,
        Self::Pause,
        Self::PauseNow,
        Self::Abort,
        Self::Skip,
        Self::Retry,
        Self::Rollback,
        Self::GateRed,
        Self::GateUnknown,
        Self::GateSilent,
        Self::GateAmber,
        Self::WindowClosed,
        // The last ones, so that the others are drawn as they were before there were these.
        Self::Replan,
        Self::HostileNode,
        Self::Tenant,
        Self::SilentWatch,
        Self::JoinHangs,
        Self::JoinRefused,
        Self::OldConnections,
        Self::SpotLoss,
        Self::Expiry,
        Self::Autoscale,
        Self::BadLaunch,
        Self::PipelineEnds,
    ];

    pub const OF_PIPELINES: [Self; 5] =
        [Self::SpotLoss, Self::Expiry, Self::Autoscale, Self::BadLaunch, Self::PipelineEnds];

    /// Whether it strikes single calls, instead of happening from time to time.
    #[must_use]
    pub const fn is_of_calls(self) -> bool {
        matches!(
            self,
            Self::SlowAdd
                | Self::SlowEnd
                | Self::JoinRefused
                | Self::OldConnections
                | Self::BadLaunch
                | Self::Busy
                | Self::LostAnswer
                | Self::CrashBefore
                | Self::CrashAfter
        )
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
    pub(crate) fn often(&self, fault: Fault) -> u64 {
        self.rates
            .iter()
            .find(|(candidate, _)| *candidate == fault && candidate.is_of_calls())
            .map_or(0, |(_, often)| *often)
    }
}
