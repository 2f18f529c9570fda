//! Plans of small clusters.

mod blockers;
mod bytes;
mod case;
mod differences;
mod drifts;
mod notes;
mod parts;
mod passes;
mod shuffled;
mod waves;
