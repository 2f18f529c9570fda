//! What a migration is, decided from data: what keeps a cluster from being moved ([`check`]), the order in which its nodes move ([`plan`]), each step of a
//! run ([`roll`]), and the loop that drives a run over whatever cluster it is given ([`drive`]). It reads no file, no clock, no network and no environment.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod backup;
pub mod capacity;
pub mod check;
pub mod cidr;
pub mod config;
pub mod drive;
pub mod enforcement;
pub mod finding;
pub mod gate;
pub mod network;
pub mod plan;
pub mod reach;
pub mod requirements;
pub mod roll;
pub mod scene;
pub mod seen;
pub mod status;
pub mod stragglers;
pub mod support;
pub mod values;
pub mod workload;
