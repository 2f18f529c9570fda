//! Gates that are asked before a node starts, as pure functions of what is known: how the API server answers, whether DNS, the workloads that moved
//! and the workloads that the settings name are ready, and what agents see of the network.

mod api;
mod availability;
mod dns;
mod probe;
mod window;
mod workload;

pub use api::Pulse;
pub use availability::decide;
pub use dns::dns;
pub use probe::{Sight, measured_rows, probe};
pub use window::{LocalTime, is_open};
pub use workload::Shortages;
