//! The machine under the lab: namespaces, wires, directories and deadlines.

pub mod command;
pub mod deadline;
pub mod fabric;
pub mod isolate;
pub mod leases;
pub(crate) mod netlink;
pub mod netns;
pub mod node;
pub mod scratch;
