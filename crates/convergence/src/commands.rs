//! The commands of a node: for each its facts, and the decision what it changes or refuses to change.

pub mod boot;
pub mod cleanup;
pub mod graduate;
pub mod install;
pub mod move_pods;
pub mod sweep;
