//! `kubectl-crossfade`: the command line, the files and the live cluster around what [`migration`] decides.
//!
//! Every command is one straight line: it gathers the settings and a snapshot of the cluster ([`input`], [`live`]), decides (functions of a
//! [`migration::check::Scene`]) and reports ([`print`]).

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
pub mod commands;
pub mod input;
pub mod live;
pub mod print;
#[cfg(test)]
mod schema;
