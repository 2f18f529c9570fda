//! The cluster as it is, and what it does by itself.

pub(crate) mod api;
pub(crate) mod build;
pub(crate) mod controllers;
pub(crate) mod kubelet;
pub(crate) mod machine;
pub(crate) mod scheduler;
pub(crate) mod truth;
pub(crate) mod watch;
