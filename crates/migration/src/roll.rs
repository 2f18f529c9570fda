//! A run from its first node to its last, as a pure function of what is known: [`step`](step::step) decides, and does nothing itself.

pub mod barrier;
pub mod budget;
mod drain;
pub mod invariant;
pub mod memory;
pub mod replacement;
pub mod run;
mod start;
pub mod step;
mod transit;
pub mod view;
pub mod wait;
pub mod world;
