//! The events of a history.

use migration::drive::Outcome;
use migration::roll::step::Act;
use migration::roll::world::Census;
use types::policy::Phase;

use crate::disturb::fault::Fault;
use crate::history::queue::Millis;

/// What happens.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// kubelet begins the ADD of a pod's sandbox.
    Add(Sandbox),
    /// The attachment has its record.
    Attach(Sandbox, Phase),
    /// A pod becomes Ready.
    Ready(Sandbox),
    /// The grace of a pod is over.
    End(u32),
    /// A Job's pod has done its work.
    Finish(Sandbox),
    /// A workload compares its pods with those that it wants.
    Reconcile(usize),
    /// A workload's status is written.
    Count(usize),
    /// The scheduler looks at pods without a node.
    Schedule,
    /// `watch` follows the desired phase.
    Follow(Turn),
    /// `watch` has a network join or leave the next pod.
    Join(Turn),
    /// `watch` writes label and annotation.
    Publish(Turn),
    /// `watch` writes the condition.
    Report(Turn, Phase),
    /// A machine runs again.
    Boot(usize),
    /// A machine reaches the API server again.
    Connect(usize),
    /// kubelet registers, and reports Ready.
    Register(Turn),
    /// The API server's side has not heard of kubelet for a time.
    Miss(Turn),
    /// Pods of a node that is away for long are deleted.
    GiveUp(Turn),
    /// A node's object is deleted.
    Remove(usize),
    /// A gate is asked.
    Ask(usize),
    /// What changed reaches a holder.
    Deliver(usize, Stream),
    /// A holder that waited for a change has waited long enough.
    Moment(usize, u64),
    /// A call reaches the API server.
    Arrive(Box<Flight>),
    /// Its answer reaches the holder.
    Answer(usize, Box<Reply>),
    /// A holder renews the Lease.
    Renew(usize),
    /// A candidate for the Lease looks at it.
    Acquire(usize),
    /// A holder that ended somehow is started anew.
    Start,
    /// The history disturbs the cluster.
    Disturb(Fault),
    /// What a fault broke is mended.
    Mend(Repair),
    /// A person looks at the run.
    Visit,
    /// A pipeline looks at its pool.
    Pipeline(usize),
    /// The kubelet of a machine that a pipeline launched registers its Node.
    Launched(usize),
    /// The start-up taint of a node goes.
    Lift(Turn),
}

/// What a fault broke and time mends, of the gate or node with this index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repair {
    Gate(usize),
    /// A window opens again.
    Window,
    /// The node flips without delay again.
    Flip(usize),
    /// `watch` starts again.
    Watch(usize),
    /// Another node of the same name comes.
    Replacement(usize),
    /// What the node wrote on itself is undone.
    Forgery(usize),
    /// Attachments of pods that are gone are taken away.
    Leftovers(usize),
}

/// A pod's sandbox: what was to happen to an earlier one does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sandbox {
    pub(crate) pod: u32,
    pub(crate) number: u32,
}

/// A machine between two changes of whether it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) node: usize,
    pub(crate) number: u64,
}

/// What a holder watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Nodes,
    Pods,
    /// What makes pods.
    Workloads,
    /// The run's ConfigMap.
    Run,
    /// Machines of Cluster API, in the management cluster.
    Machines,
}

/// What a call brings back.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// The call's number.
    pub(crate) number: u64,
    pub(crate) outcome: Outcome,
    /// The count, if that is what it was for.
    pub(crate) census: Option<Census>,
}

/// A call that is under way.
#[derive(Debug, Clone)]
pub(crate) struct Flight {
    pub(crate) holder: usize,
    /// Its number among the holder's calls.
    pub(crate) number: u64,
    pub(crate) act: Act,
    /// When it was decided.
    pub(crate) decided_at: Millis,
    /// When it was made.
    pub(crate) sent: Millis,
    /// Everything of the nodes up to here was known when it was decided.
    pub(crate) nodes_seen: Millis,
    /// The same of pods.
    pub(crate) pods_seen: Millis,
    /// A gate was red or unknown when it was decided.
    pub(crate) is_gated: bool,
    /// The same of a gate that is not one of workloads.
    pub(crate) is_gated_beside: bool,
    /// It was known then that nodes forward between both networks.
    pub(crate) is_bridged: bool,
    /// The version of the run that it was decided on.
    pub(crate) version: u64,
    /// Its answer gets lost.
    pub(crate) is_lost: bool,
}
