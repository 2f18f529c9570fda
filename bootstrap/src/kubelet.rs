//! kubelet's registration of its Node: labels and taints, and the rules of kubelet and of the API server for them.
//!
//! Both count only when the Node object is made. [`sources`] reads what kubelet would register without Crossfade, [`registration`] decides
//! what is added.

pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod dns;
pub(crate) mod drop_in;
pub(crate) mod flags;
pub(crate) mod own_registration;
pub(crate) mod runtime;
pub(crate) mod sources;
