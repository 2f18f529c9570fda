//! `doctor`: everything that is wrong on a node, by symptom, each with its evidence, its cause and the command that mends it.

pub mod decide;
pub mod facts;
pub mod finding;
pub mod journal;
pub mod report;
pub mod rule;
