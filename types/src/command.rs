//! The parts that all commands of the programs share: exit statuses, problems, help and usage errors.

pub mod exit;
pub mod problem;
pub mod rule;
#[cfg(feature = "clap")]
pub mod usage;
