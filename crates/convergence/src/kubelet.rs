//! Labels and taints with which kubelet registers its Node, and the rules of kubelet and of the API server for them.

pub mod registration;
pub mod sources;

use types::api::{label, taint};
use types::node::Node;

/// Why kubelet would not start, or the API server not take the Node, with the labels and taints of node.json; one line each.
#[must_use]
pub fn refusals(node: &Node) -> Vec<String> {
    let labels = node.labels.iter().filter_map(|(key, value)| label::refusal(key, value));
    labels.chain(node.taints.iter().filter_map(taint::refusal)).collect()
}
