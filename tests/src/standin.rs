//! Stand-ins: networks, their agents, kubelet, and nodes without machines.

pub mod agent;
pub mod calico;
#[cfg(feature = "kubernetes")]
pub mod hollow;
pub mod kubelet;
pub mod stub;
pub mod systemd;
pub mod systemd_run;
