//! One node: its boot, its conf and kubelet's registration, installation, policy and sweep.
//!
//! Every command is one straight line: it gathers what it must know ([`node`], [`runtime`], [`kubelet`], [`systemd`]), decides (a pure
//! function whose result is a list of [`change::Change`]), has the changes carried out ([`change`]) and reports ([`cli::print`]). A dry
//! run stops before they are carried out and prints the very list that would be.

pub mod change;
pub mod cli;
pub mod commands;
pub mod doctor;
pub mod host;
pub mod image;
pub mod kubelet;
pub mod node;
pub mod publish;
pub mod runtime;
#[cfg(test)]
mod schema;
pub mod systemd;
pub mod watch;
