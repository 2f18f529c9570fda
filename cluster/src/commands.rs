//! The commands: each gathers, decides and reports, and none uses another.

pub mod check;
pub mod completion;
mod conduct;
pub mod config;
mod out;
pub mod plan;
pub mod policies;
pub mod requirements;
pub mod roll;
pub mod simulate;
pub mod snapshot;
mod source;
pub mod status;
pub mod stragglers;
pub mod wish;
