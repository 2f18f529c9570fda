//! The API server's state of this node's Node and its pods.

use std::collections::BTreeMap;

use types::api::node_keys::READY;

/// What the API server says of this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiServerState {
    /// The name of the Node.
    pub node: String,
    /// Its Node; `None` while it is not registered.
    pub registered: Option<RegisteredNode>,
    /// The pods that are bound to the node.
    pub pods: Vec<ObservedPod>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegisteredNode {
    pub labels: BTreeMap<String, String>,
    /// Its conditions by type.
    pub conditions: BTreeMap<String, ObservedCondition>,
    /// The annotation `crossfade/desired`.
    pub desired: Option<String>,
    /// The annotation `crossfade/observed`.
    pub observed: Option<String>,
    /// The annotation `crossfade/step`.
    pub step: Option<String>,
}

/// A condition of a Node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedCondition {
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// The reason, in one word.
    pub reason: String,
    /// The message for people.
    pub message: String,
}

/// A pod that is bound to the node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedPod {
    pub namespace: String,
    pub name: String,
    pub annotations: BTreeMap<String, String>,
    /// Whether it is on the node's own network, and so has no attachment.
    pub host_network: bool,
    /// For how many seconds the pod has been bound to the node while none of its containers was created; `None` if one was.
    pub starting_secs: Option<u64>,
    /// For how many seconds the pod has been past the time by which it was to have ended; `None` if it has not to end.
    pub overdue_secs: Option<u64>,
}

/// The type of the condition that `watch` writes.
pub const CONDITION: &str = READY;
