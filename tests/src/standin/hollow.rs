//! Hollow nodes: one process plays the kubelets of hundreds of nodes, and Crossfade's `watch` on each, against a real API server.
//!
//! A hollow node has no containers and no network. It registers, runs the pods that are bound to it by saying that they run, gives each an address of
//! the network of its phase, and lets a pod go as soon as it is deleted. It follows `crossfade/desired`, repeats the claim of `crossfade/step` and
//! publishes `crossfade/observed`, as `docs/kubernetes.md` describes it. It sends no heartbeats: the control plane is one of
//! [`Controllers::Hollow`](crate::kubernetes::Controllers::Hollow).
//!
//! Requests are those of one administrator, not of kubelets: what a kubelet may do is tested elsewhere.

mod audit;
mod cluster;
mod fleet;
mod kubelets;
mod node;
mod pipeline;
mod play;
mod seen;
mod watch;

pub use audit::{RequestCounts, audited};
pub use cluster::Cluster;
pub use fleet::{Boot, Fleet, Member, POOL, network_of, unhurried};
pub use pipeline::{
    Karpenter, MACHINES, MANAGED, MachineDeployment, NodeGroup, Pipeline, ScalingGroup, Truth,
    delete_machine, hooked, rotate, until_waiting,
};
pub use play::Hollow;
