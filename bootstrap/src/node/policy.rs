//! The policy on a node: completed by the profiles of its networks, held against what they bear, and flipped to another phase.

pub(crate) mod completion;
pub(crate) mod file;
pub(crate) mod flip;
