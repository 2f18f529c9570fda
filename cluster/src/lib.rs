//! One cluster: what must be known before a migration, and later the migration itself.
//!
//! Every command is one straight line: it gathers the settings and a snapshot of the cluster ([`snapshot`]), decides (pure functions of a
//! [`scene::Scene`], in [`check`] and [`cidr`]) and reports ([`print`]).

pub mod backup;
pub mod capacity;
pub mod check;
pub mod cidr;
pub mod cli;
pub mod commands;
pub mod config;
pub mod drive;
pub mod enforcement;
pub mod finding;
pub mod gate;
pub mod input;
pub mod live;
pub mod model;
pub mod network;
pub mod plan;
pub mod policies;
pub mod print;
pub mod reach;
pub mod requirements;
pub mod roll;
pub mod scene;
#[cfg(test)]
mod schema;
pub mod seen;
pub mod sim;
pub mod snapshot;
pub mod status;
pub mod stragglers;
pub mod support;
pub mod values;
pub mod workload;
