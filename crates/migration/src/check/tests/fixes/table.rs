//! Clusters that have a finding each, and the way out of it, by what the findings are about.

mod addresses;
mod agents;
mod clusters;
mod drains;
mod features;
mod network;
mod nodes;
mod pipelines;
mod policies;
mod references;
mod requirements;
mod settings;
mod whole;
mod workloads;

use super::Fix::{Edit, Of, Printed, PrintedThen, Settings, Waiver};
use super::world::World;
use super::{Fix, Row};

pub(super) use clusters::{CILIUM, GOOD};
pub(super) use requirements::UNSEEN;

/// Findings whose fix changes no object and no setting that a check reads.
pub(super) const OUTSIDE: &[(&str, &str)] = &[
    ("cidr-overlap-closed-pool", "a note: the pool is to stay as it is"),
    ("cidr-two-halves", "the settings file asks for it; it says what to do in the maintenance window"),
    ("dns-order", "a note on the order in which DNS pods move"),
    ("network-condition-at-end", "about the moment at which the old agents go"),
    ("tunnel-ports", "firewalls between the nodes, which no object shows"),
    ("versions-differ", "a note on the order in which nodes move"),
];

pub(super) const ROWS: &[&[Row]] = &[
    addresses::ROWS,
    agents::ROWS,
    drains::ROWS,
    features::ROWS,
    network::ROWS,
    nodes::ROWS,
    pipelines::ROWS,
    policies::ROWS,
    references::ROWS,
    requirements::ROWS,
    settings::ROWS,
    whole::ROWS,
    workloads::ROWS,
];

const fn row(code: &'static str, given: fn(&mut World), fix: Fix) -> Row {
    Row { code, requirement: "", change: given, fix }
}
