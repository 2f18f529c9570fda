//! kubelet's registration of its Node: labels and taints, and the rules of kubelet and of the API server for them.
//!
//! Both count only when the Node object is made. [`sources`] reads what kubelet would register without Crossfade, [`registration`] decides
//! what is added.

pub mod check;
pub mod config;
pub mod dns;
pub mod drop_in;
pub mod flags;
pub mod own;
pub mod registration;
pub mod runtime;
pub mod sources;

use types::node::Node;
use types::{label, taint};

/// Why kubelet would not start, or the API server not take the Node, with the labels and taints of node.json; one line each.
#[must_use]
pub fn refusals(node: &Node) -> Vec<String> {
    let labels = node.labels.iter().filter_map(|(key, value)| label::refusal(key, value));
    labels.chain(node.taints.iter().filter_map(taint::refusal)).collect()
}
