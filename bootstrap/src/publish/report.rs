//! The report of `watch`: one value, made by the loop and handed to every place that publishes it.

use std::path::PathBuf;

use convergence::publish::report::{NodeEvent, NodeReport};

/// A place that tells others of the node: the API server.
pub trait Publish {
    /// Takes the latest truth, and what happened since the last call. Never blocks: what comes later overtakes what was not told yet.
    fn publish(&self, report: &NodeReport, happened: &[NodeEvent]);
}

/// What the publisher has to know of the node; gathered once by `watch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    pub kubeconfig: PathBuf,
    /// The Node's name; none is what kubelet would take.
    pub node_name: Option<String>,
}
