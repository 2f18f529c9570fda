//! The API server's objects of a node and its pods: keys, annotations, labels, taints, evictions; and its refusals.

pub(crate) mod annotation;
pub mod eviction;
pub mod label;
pub mod node_keys;
pub mod observed;
pub mod refusal;
pub mod step;
pub mod taint;
