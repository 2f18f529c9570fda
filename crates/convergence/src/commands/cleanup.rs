//! `cleanup`: the facts, and what a CNI left on a node.

pub mod decide;
pub mod facts;
pub mod firewall;
pub mod kernel;
pub mod legacy;
