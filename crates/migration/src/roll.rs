//! A run from its first node to its last, as a pure function of what is known: [`step`](step::step) decides, and does nothing itself.

pub mod act;
mod arrival;
pub mod barrier;
pub mod budget;
pub mod invariant;
pub mod lifecycle;
pub mod memory;
pub(crate) mod pipeline;
mod places;
mod pod_moves;
pub mod replacement;
pub mod run;
mod start;
pub mod step;
mod transit;
pub mod view;
pub mod wait;
mod wave;
pub mod wish;
pub mod world;
