//! The checks: each is one pure function from a scene to findings.
//!
//! To add one: write a module with a [`Check`] and its [`Rule`]s, and add it to [`ALL`]. A check runs only if the snapshot has every kind that it needs; else it is
//! reported as not done, which blocks like the worst finding, since missing evidence is not green.

mod backup;
mod cni;
pub mod finding;
mod network;
mod node;
mod run;
#[cfg(test)]
pub(crate) mod tests;
mod workload;

use std::collections::BTreeSet;

use snapshot::model::{Kind, Snapshot};

use crate::cni::requirements;
use crate::cni::support::{Cni, Strategy};
use crate::config::Config;
use crate::plan::image;
use finding::{Finding, Rule};

pub(crate) use cni::features::pods_with_annotation;
pub(crate) use cni::fence::{AGENT_NEW_ABSENT, AGENT_OLD_ABSENT};
pub(crate) use cni::join::restart_reason;
pub(crate) use cni::values::VALUES_NOT_INSTALLED;
pub(crate) use network::cidr::{CIDR_INVALID, CIDR_UNKNOWN};
pub(crate) use network::services::{SERVICES_BRIDGED, bridged_services, services};
pub(crate) use node::platform::PLATFORM_WINDOWS;
pub(crate) use node::versions::{
    VERSION_KUBELET, VERSION_RUNTIME, VERSION_UNKNOWN, judge_kubelet, judge_runtime,
};
pub use run::{CATALOG, rule_lists, rules, run};

/// A cluster, and the migration that is planned for it.
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
    pub strategy: Strategy,
}

impl Scene<'_> {
    /// The strategy by which pods get their networks: `double` for a rotation with an image that gives them both.
    #[must_use]
    pub fn network_strategy(&self) -> Strategy {
        match self.strategy {
            Strategy::Rotation if image::gives_both(self) => Strategy::Double,
            strategy => strategy,
        }
    }
}

/// Every check, in the order in which they run.
pub const ALL: &[Check] = &[
    network::cidr::CHECK,
    network::gateway::CHECK,
    network::tunnel::CHECK,
    network::mtu::CHECK,
    network::autodetection::CHECK,
    cni::values::CHECK,
    cni::cilium_nodes::CHECK,
    cni::chaining::CHECK,
    network::masquerade::CHECK,
    cni::features::CHECK,
    network::references::CHECK,
    cni::meaning::CHECK,
    cni::policies::CHECK,
    cni::fence::CHECK,
    node::taints::CHECK,
    workload::budgets::CHECK,
    workload::evictions::CHECK,
    workload::drains::CHECK,
    workload::evictors::CHECK,
    workload::webhooks::CHECK,
    workload::reachability::CHECK,
    cni::plugins::CHECK,
    node::machines::CHECK,
    node::repair::CHECK,
    node::disruption::CHECK,
    workload::capacity::CHECK,
    network::dns::CHECK,
    network::host_ports::CHECK,
    network::surge::CHECK,
    network::services::CHECK,
    workload::stateful::CHECK,
    workload::volumes::CHECK,
    node::nodes::CHECK,
    cni::network_condition::CHECK,
    cni::strategy::CHECK,
    cni::distribution::CHECK,
    cni::join::CHECK,
    node::versions::CHECK,
    node::platform::CHECK,
    workload::resources::CHECK,
    node::labels::CHECK,
    backup::CHECK,
];

#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Its name: `cidr`.
    pub name: &'static str,
    /// What it may find.
    pub rules: &'static [&'static Rule],
    pub needs: &'static [Need],
    /// What it finds. The order of the findings does not matter.
    pub run: fn(&Scene<'_>) -> Vec<Finding>,
}

/// A kind that a check reads.
#[derive(Debug, Clone, Copy)]
pub enum Need {
    /// In every migration.
    Always(Kind),
    /// If the cluster moves from this CNI.
    From(Cni, Kind),
    /// If the cluster moves to this CNI.
    To(Cni, Kind),
    /// If the cluster moves from or to this CNI.
    With(Cni, Kind),
}

impl Need {
    /// The kind, if this migration needs it.
    #[must_use]
    pub fn kind_for(self, from: Cni, to: Cni) -> Option<Kind> {
        match self {
            Self::Always(kind) => Some(kind),
            Self::From(cni, kind) => (cni == from).then_some(kind),
            Self::To(cni, kind) => (cni == to).then_some(kind),
            Self::With(cni, kind) => (cni == from || cni == to).then_some(kind),
        }
    }
}

/// All kinds that the checks and requirements of a migration read.
#[must_use]
pub fn kinds(from: Cni, to: Cni) -> BTreeSet<Kind> {
    let required = requirements::for_migration(from, to).flat_map(|row| row.needs).copied();
    let checked = ALL.iter().flat_map(|check| check.needs).filter_map(|need| need.kind_for(from, to));
    checked.chain(required).collect()
}
