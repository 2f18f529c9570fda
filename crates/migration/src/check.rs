//! The checks: each is one pure function from a scene to findings.
//!
//! To add one: write a module with a [`Check`], and add it to [`ALL`]. A check runs only if the snapshot has every kind that it needs; else it is
//! reported as not done, which blocks like the worst finding, since missing evidence is not green.

mod autodetection;
mod backup;
mod budgets;
mod capacity;
mod chaining;
mod cidr;
mod cilium_nodes;
mod dns;
mod drains;
mod evictions;
mod features;
mod fence;
pub mod finding;
mod gateway;
mod host_ports;
mod labels;
mod machines;
mod masquerade;
mod meaning;
mod mtu;
mod needs;
mod network_condition;
mod nodes;
mod platform;
mod plugins;
mod policies;
mod references;
mod requirements;
mod resources;
mod run;
mod services;
mod stateful;
mod strategy;
mod taints;
#[cfg(test)]
pub(crate) mod tests;
mod tunnel;
mod values;
mod versions;
mod volumes;
mod webhooks;

use crate::check::finding::Finding;
use crate::cni::support::{Cni, Strategy};
use crate::config::Config;
use snapshot::model::Snapshot;

pub use needs::{Need, kinds};
pub use run::{codes, run};

/// A cluster, and the migration that somebody plans for it.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The cluster.
    pub snapshot: &'a Snapshot,
    /// The operator's settings.
    pub config: &'a Config,
    /// The CNI to move from.
    pub from: Cni,
    /// The CNI to move to.
    pub to: Cni,
    /// How.
    pub strategy: Strategy,
}

/// Every check, in the order in which they run.
pub const ALL: &[Check] = &[
    cidr::CHECK,
    gateway::CHECK,
    tunnel::CHECK,
    mtu::CHECK,
    autodetection::CHECK,
    values::CHECK,
    cilium_nodes::CHECK,
    chaining::CHECK,
    masquerade::CHECK,
    features::CHECK,
    references::CHECK,
    meaning::CHECK,
    policies::CHECK,
    fence::CHECK,
    taints::CHECK,
    budgets::CHECK,
    evictions::CHECK,
    drains::CHECK,
    webhooks::CHECK,
    plugins::CHECK,
    machines::CHECK,
    capacity::CHECK,
    dns::CHECK,
    host_ports::CHECK,
    services::CHECK,
    stateful::CHECK,
    volumes::CHECK,
    nodes::CHECK,
    network_condition::CHECK,
    strategy::CHECK,
    versions::CHECK,
    platform::CHECK,
    resources::CHECK,
    labels::CHECK,
    backup::CHECK,
];

/// One check.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Its name: `cidr`.
    pub name: &'static str,
    /// The codes of its findings, each with what it means in a few words.
    pub codes: &'static [(&'static str, &'static str)],
    /// What it reads.
    pub needs: &'static [Need],
    /// What it finds. The order of the findings does not matter.
    pub run: fn(&Scene<'_>) -> Vec<Finding>,
}
