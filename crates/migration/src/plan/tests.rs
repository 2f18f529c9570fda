//! Plans of small clusters.

mod blockers;
mod bytes;
pub(crate) mod case;
mod differences;
mod drifts;
mod fixes;
mod notes;
mod parts;
mod passes;
mod rotations;
mod shuffled;
mod waves;
