//! A node as data, and every decision about it: what `crossfade-bootstrap` changes, refuses, reports and finds. It reads no file, no clock, no network and
//! no environment: the program gathers the facts and carries out what is decided here.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod change;
pub mod commands;
pub mod doctor;
pub mod failure;
pub mod image;
pub mod kubelet;
pub mod node;
pub mod publish;
pub mod report;
pub mod runtime;
pub mod watch;
