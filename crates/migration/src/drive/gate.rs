//! Gates that are asked before a node starts, as pure functions of what is known: how the API server answers, and whether DNS, the workloads that moved
//! and the workloads that the settings name are ready.

mod api;
mod availability;
mod dns;
mod window;
mod workload;

pub use api::Pulse;
pub use availability::decide;
pub use dns::dns;
pub use window::{LocalTime, is_open};
pub use workload::Shortages;
