//! A node as data, and every decision about it: what `crossfade-bootstrap` changes, refuses, reports and finds. It reads no file, no clock, no network and
//! no environment: the program gathers the facts and carries out what is decided here.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod bake;
pub mod boot;
pub mod change;
pub mod cleanup;
pub mod digest;
pub mod doctor;
pub mod failure;
pub mod glob;
pub mod graduate;
pub mod install;
pub mod kubelet;
pub mod node;
pub mod packets;
pub mod paths;
pub mod publish;
pub mod report;
pub mod restart_pods;
pub mod runtime;
pub mod seal;
pub mod sweep;
pub mod watch;
