//! What a run reads of the API server's objects: from JSON to the slim types of [`crate::roll::world`]. Pure.

mod counted;
mod going;
mod node;
mod pod;
mod workload;

pub use counted::counted;
pub use node::{FENCE, Seen, node};
pub use pod::{About, pod, pod_of};
pub use workload::workload;

/// Labels, annotations and the condition that a node's `watch` writes or obeys.
pub mod keys {
    /// The label of a Node's phase.
    pub const PHASE: &str = "crossfade/phase";
    /// The annotation that asks a Node for a phase.
    pub const DESIRED: &str = "crossfade/desired";
    /// The condition of a Node that says whether its network works.
    pub const READY: &str = "CrossfadeReady";
    /// The key of the taint that makes the scheduler prefer other nodes.
    pub const EARLIER: &str = "crossfade/earlier";
}
