//! A run from its first node to its last, as a pure function of what is known: [`step`](step::step) decides, and does nothing itself.

pub mod act;
mod agreed;
pub mod barrier;
pub mod capacity;
mod cordon;
mod dns;
mod flips;
mod gates;
mod held;
pub mod invariant;
pub mod memory;
mod moves;
pub mod nodes;
pub mod order;
mod places;
mod replan;
pub mod run;
mod sent;
mod soak;
mod start;
pub mod step;
#[cfg(test)]
mod tests;
mod transit;
mod turns;
pub mod view;
pub mod wait;
mod waves;
pub mod wish;
mod workload;
pub mod world;
