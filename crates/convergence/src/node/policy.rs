//! The policy on a node: completed by the profiles of its networks, held against what they bear, and flipped to another phase.

pub mod completion;
pub mod desired_phase;
pub mod file;
pub mod flip;
pub mod join;
pub mod roll;
pub mod secondary;
