//! What this node says on its Node, and what the API server has of the node.

pub mod decide;
pub mod look;
pub mod node_object;
pub mod pods;
pub mod registered;
pub mod report;
