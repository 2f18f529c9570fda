//! What happens while a cluster is read.

use snapshot::model::Kind;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Before anything is read: rights that the credential does not have, each as a verb and what it is for.
    MissingRights(Vec<String>),
    /// A page of a kind arrived.
    Page {
        /// The kind.
        kind: Kind,
        /// How many objects of it have arrived.
        objects: usize,
        /// How many are still to come, where the API server says it.
        remaining: Option<usize>,
    },
    /// All objects of a kind are here.
    Done {
        /// The kind.
        kind: Kind,
        /// How many there are.
        objects: usize,
    },
    /// A request failed and is made again.
    Again {
        /// The kind.
        kind: Kind,
        /// Why.
        why: String,
    },
}
