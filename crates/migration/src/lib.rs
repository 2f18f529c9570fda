//! The decisions of a migration, from data: what keeps a cluster from being moved ([`check`]), the order in which its nodes move ([`plan`]), each step
//! of a run ([`roll`]), the loop that drives a run over whatever cluster it is given ([`drive`]), what ends a migration ([`finish`]), and what a run did
//! ([`report`]). It reads no file, no clock, no network and no environment.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod backup;
pub mod check;
pub mod cni;
pub mod config;
pub mod drive;
pub mod finish;
pub mod plan;
pub mod report;
pub mod roll;
pub mod workload;
