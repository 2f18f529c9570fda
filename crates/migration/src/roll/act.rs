//! The acts of a run: one API call each.

use std::collections::BTreeMap;

use snapshot::model::Text;
use types::api::step::{State, Step};
use types::policy::Phase;

use super::lifecycle::Lifecycle;
use super::run::Run;
use super::world::{Machine, Node, Owner, Pod};

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Patches a Node, if it has not changed since it was read.
    Patch(Box<Patch>),
    /// Sets Crossfade's pre-drain hook of a Machine of Cluster API, or takes it away, if the Machine has not changed since it was read.
    Hook(Box<Hook>),
    /// Evicts a pod by its UID.
    Evict(PodId),
    /// Deletes a pod by its UID: no controller makes it again, and the operator accepted that by name.
    Delete(PodId),
    /// Counts all pods.
    Census,
    /// Writes the run, if it has not changed since it was read.
    Record(Box<Run>),
}

/// A change of a Machine's pre-drain hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The name of its Node.
    pub node: Text,
    /// The Machine as the decision was made on it.
    pub machine: Machine,
    /// The run that holds it from now on; none if it may be drained.
    pub run: Option<Text>,
}

/// A patch of one Node. What it does not name stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// The Node's name.
    pub node: Text,
    /// The Node's UID.
    pub uid: Text,
    /// The `resourceVersion` that the decision was made on.
    pub version: Text,
    /// The annotation `crossfade/step`.
    pub step: Change<Step>,
    /// The annotation `crossfade/desired`, to be set.
    pub desired: Option<Phase>,
    /// `spec.unschedulable`.
    pub cordon: Option<bool>,
    /// The taint `crossfade/earlier:PreferNoSchedule`.
    pub fence: Option<bool>,
    /// Whether the taint `readiness.k8s.io/crossfade:NoSchedule` is removed.
    pub lifts_readiness: bool,
    /// The annotation `karpenter.sh/do-not-disrupt`.
    pub undisturbed: Option<bool>,
    /// Conditions of the Node's lifecycle: true for one that is set, false for one that is removed. They are part of the Node's status, so that a patch with
    /// them changes nothing else.
    pub lifecycle: BTreeMap<Lifecycle, bool>,
}

impl Patch {
    /// A patch of this Node, as it was read, that changes nothing yet.
    #[must_use]
    pub fn new(name: &Text, node: &Node) -> Self {
        Self {
            node: name.clone(),
            uid: node.uid.clone(),
            version: node.version.clone(),
            step: Change::Keep,
            desired: None,
            cordon: None,
            fence: None,
            lifts_readiness: false,
            undisturbed: None,
            lifecycle: BTreeMap::new(),
        }
    }

    /// Whether it takes this Node anew: it sets a claim that the Node does not bear, or lets a pipeline take the Node away.
    #[must_use]
    pub fn claims(&self, node: &Node) -> bool {
        let Change::Set(step) = &self.step else { return false };
        match step.state {
            State::Claimed => node.step.as_ref().is_none_or(|borne| borne.claim != step.claim),
            State::Permitted => node.step.as_ref().is_none_or(|borne| borne.state != State::Permitted),
            State::Flipped
            | State::Moving
            | State::Proving
            | State::Settling
            | State::Done
            | State::Held
            | State::Waiting => false,
        }
    }

    /// Whether it lets a pipeline take the node away.
    #[must_use]
    pub fn permits(&self) -> bool {
        matches!(&self.step, Change::Set(step) if step.state == State::Permitted)
    }
}

/// What becomes of a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It stays.
    #[default]
    Keep,
    Set(T),
    /// It is taken away.
    Remove,
}

/// A pod, as a call names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodId {
    pub namespace: Text,
    pub name: Text,
    pub uid: Text,
    pub node: Text,
    pub owner: Option<Owner>,
}

impl PodId {
    /// The pod as a call names it.
    #[must_use]
    pub fn new(pod: &Pod) -> Self {
        Self {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            node: pod.node.clone(),
            owner: pod.owner.clone(),
        }
    }
}
