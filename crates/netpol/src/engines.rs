//! The engines that enforce policies: what the policies of each are, how they are written, and what they mean.

pub mod admin;
pub mod antrea;
pub mod calico;
pub mod cilium;
pub mod kubernetes;
pub(crate) mod manifest;
pub mod refusal;
