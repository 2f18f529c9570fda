//! `watch`: the observation of a pass, and what it decides: changes, the report and events.

pub mod count;
pub mod debounce;
pub mod decide;
pub mod desired;
pub mod guard;
pub mod memory;
pub mod moves;
pub mod network;
pub mod observation;
pub mod own_conf;
pub mod packets;
pub mod passes;
pub mod proof;
pub mod reload;
pub mod runtime;

/// The finding in status.json about what `watch` cannot do in a pod.
pub const POD_FINDING: &str = "watch runs in a pod, where no unit can be started: networks are ready by their probes alone, no network joins or leaves pods that run, and nothing is swept but by deploy/sweep.yaml";
