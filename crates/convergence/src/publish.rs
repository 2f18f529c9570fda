//! The report of this node on its Node object, and the API server's view of the node.

pub mod decide;
pub mod node_object;
pub mod node_read;
pub mod pods;
pub mod registered;
pub mod report;
