//! The node's side of the API server: the reports on its own Node, with kubelet's credential and no right beyond kubelet's.
//!
//! [`Publisher`] runs in a thread of its own and never holds the loop of `watch` up: the latest report wins, one request is under
//! way at a time, and whatever goes wrong is said in the journal once per kind and tried again later. On its Node it keeps the
//! condition `CrossfadeReady`, the label `crossfade/phase` and the annotation `crossfade/observed`, writes events, clears
//! `NetworkUnavailable` where no cloud provider would, and reads `crossfade/desired`. It never touches taints, other labels or another Node.
//! [`mod@retract`] takes all of it back where Crossfade leaves. [`annotated`] removes annotations from Pods of this node.
//!
//! The line: credential ([`kubeconfig`]) and Node ([`node_object`]) -> [`decide`] (pure) -> patch ([`link`]) -> the journal ([`error`]).

mod credential;
mod error;
mod event;
mod link;
pub(crate) mod node_read;
pub(crate) mod pods;
mod publisher;
pub(crate) mod removal;
pub(crate) mod report;
mod retract;
mod session;

pub(crate) use credential::reporter;
pub use publisher::Publisher;
pub(crate) use retract::{Depth, RetractOutcome, retract};
