//! The CNIs and what a migration between two of them needs: pairs and strategies, values, requirements, networks and their addresses, who enforces which policies, and
//! which pods reach each other. What is known of one CNI is its [`driver::Driver`], in a file of its own.
pub mod antrea;
pub mod aws_vpc;
pub mod calico;
pub mod canal;
pub mod cidr;
pub mod cilium;
pub mod driver;
pub mod enforcement;
pub mod flannel;
pub mod footprint;
pub mod network;
pub mod reach;
pub mod requirements;
pub mod support;
pub mod values;
