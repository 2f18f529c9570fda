//! One cluster: what must be known before a migration, and later the migration itself.
//!
//! Every command is one straight line: it gathers the settings and a snapshot of the cluster ([`snapshot`]), decides (pure functions of a
//! [`scene::Scene`], in [`check`] and [`cidr`]) and reports ([`print`]).

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
pub mod commands;
pub mod input;
pub mod live;
pub mod print;
#[cfg(test)]
mod schema;
