//! The end of a migration: what is left to do once every pod is on the new network, as lines in an order in which nothing is lost.
//!
//! Each line has a check; some have an act. All lines up to the removal have a way back. [`lines::lines`] decides how each of them is, [`plan::FinishPlan`]
//! is what a person approves by its hash, and [`removal::next`] decides the next deletions. All of it is pure.

pub mod backup;
pub mod cleaning;
pub mod lines;
pub mod managed_objects;
pub mod plan;
mod refuse;
pub mod removal;

pub use lines::{Facts, Line, LineName, LineState, Observation, PolicyComparison};
pub use managed_objects::Manager;
pub use plan::{FinishPlan, Inventory, Pin, Record};

/// The key with which the old agents' DaemonSets select no node. No Node ever has such a label: the prefix is Crossfade's, and nothing sets it.
pub const FENCE: &str = "crossfade/fence";
/// Its value.
pub const CLOSED: &str = "closed";

#[cfg(test)]
mod tests;
