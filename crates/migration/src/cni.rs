//! The CNIs and what a migration between two of them needs: pairs and strategies, values, requirements, networks and their addresses, who enforces which policies, and
//! which pods reach each other.
pub mod cidr;
pub mod enforcement;
pub mod footprint;
pub mod network;
pub mod reach;
pub mod requirements;
pub mod support;
pub mod values;
