//! Callers of plugins: real runtimes, and stand-ins for those that are not at hand.

pub mod caller;
pub mod containerd;
pub mod cri;
pub mod crio;
pub mod podman;
