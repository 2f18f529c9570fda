//! kubelet's registration of its Node: labels and taints, and the rules of kubelet and of the API server for them.
//!
//! Both count only when the Node object is made. [`sources`] reads what kubelet would register without Crossfade, [`registration`] decides
//! what is added.

pub mod check;
pub mod config;
pub mod dns;
pub mod drop_in;
pub mod flags;
pub mod own;
pub mod runtime;
pub mod sources;
