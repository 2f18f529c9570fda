//! The policy on a node: completed by the profiles of its networks, held against what they bear, and flipped to another phase.

pub mod completion;
pub mod file;
pub mod flip;
