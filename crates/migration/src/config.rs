//! The operator's settings: one file for all commands.

mod agents;
mod backup;
mod capacity;
mod dns;
mod file;
mod finish;
mod freeze;
mod labels;
mod nodes;
mod policies;
mod probe;
mod resources;
pub mod roll;
mod transition;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

pub use agents::Agents;
pub use backup::Backup;
pub use capacity::Capacity;
pub use dns::Dns;
pub use file::read;
pub use finish::Finish;
pub use freeze::{Freeze, Member, MemberKind, Method};
pub use labels::NodeLabels;
pub use nodes::{Nodes, StartupTaint, Template, TemplateTaint};
pub use policies::{Policies, PolicyWaiver};
pub use probe::{Probe, ProbeGate};
pub use resources::{ObjectRef, Resources};
pub use roll::Roll;
pub use transition::Transition;

/// Settings of a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// Version of this file; 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1)))]
    pub version: u32,
    /// What is known of both networks beside what the cluster says.
    #[serde(default)]
    pub networks: Networks,
    /// Address ranges that pods must not get, and when an overlap is small.
    #[serde(default)]
    pub cidrs: Cidrs,
    /// How far the migration is, and what holds while both networks are there.
    #[serde(default)]
    pub transition: Transition,
    /// The DaemonSets of both CNIs.
    #[serde(default)]
    pub agents: Agents,
    /// Pools of nodes, and the nodes to come.
    #[serde(default)]
    pub nodes: Nodes,
    /// The taints that nodes bear until their network is ready: those of the image to come, too, which no node bears yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub startup_taints: Vec<StartupTaint>,
    /// How much room the migration needs.
    #[serde(default)]
    pub capacity: Capacity,
    /// Where the cluster's DNS runs.
    #[serde(default)]
    pub dns: Dns,
    /// Stateful workloads that move in an order.
    #[serde(default)]
    pub freeze: Vec<Freeze>,
    /// Labels of nodes that show how far a node is.
    #[serde(default)]
    pub labels: NodeLabels,
    /// Workloads that must exist before the migration starts.
    #[serde(default)]
    pub preflight_resources: Resources,
    /// Workloads that must be ready before each step.
    #[serde(default)]
    pub watched_resources: Resources,
    /// Workloads that are removed after the migration.
    #[serde(default)]
    pub clean_up_resources: Resources,
    /// The proof of a backup.
    #[serde(default)]
    pub backup: Backup,
    /// How nodes move.
    #[serde(default)]
    pub roll: Roll,
    /// How network policies are converted.
    #[serde(default)]
    pub policies: Policies,
    /// How the migration ends. The defaults are not written, so that plans of earlier releases stay what was approved.
    #[serde(default, skip_serializing_if = "Finish::is_default")]
    pub finish: Finish,
    /// The agents that probe the network. The defaults are not written, for the same reason.
    #[serde(default, skip_serializing_if = "Probe::is_default")]
    pub probe: Probe,
    /// Findings that the operator accepts.
    #[serde(default)]
    pub waivers: Vec<Waiver>,
}

/// Both networks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Networks {
    /// The network to move from.
    pub old: Network,
    /// The network to move to.
    pub new: Network,
}

/// One network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Network {
    /// The ranges from which its pods get addresses, added to those that the cluster says.
    #[serde(with = "file::ranges")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub cidrs: Vec<IpNetwork>,
}

/// Address ranges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Cidrs {
    /// Ranges of Services, where the cluster does not say them.
    #[serde(with = "file::ranges")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub services: Vec<IpNetwork>,
    /// Ranges of the machines' network, such as a VPC or a data centre's.
    #[serde(with = "file::ranges")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub nodes: Vec<IpNetwork>,
    /// Ranges outside the cluster that pods must reach.
    #[serde(with = "file::ranges")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub external: Vec<IpNetwork>,
    /// Ranges that must not be used.
    #[serde(with = "file::ranges")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub reserved: Vec<IpNetwork>,
    /// How many percent of the nodes may be drained before the migration because their addresses overlap. Above, the old pool must move.
    #[cfg_attr(feature = "schema", schemars(range(max = 100)))]
    pub drain_at_most_percent: u32,
}

/// One accepted finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Waiver {
    /// The code of the finding.
    pub finding: String,
    /// The object, as findings print it: `Node/worker-1`, `Pod/default/web`; `*` stands for any text. Without it, all objects are accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Why it is accepted.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub reason: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            version: Self::VERSION,
            networks: Networks::default(),
            cidrs: Cidrs::default(),
            transition: Transition::default(),
            agents: Agents::default(),
            nodes: Nodes::default(),
            startup_taints: Vec::new(),
            capacity: Capacity::default(),
            dns: Dns::default(),
            freeze: Vec::new(),
            labels: NodeLabels::default(),
            preflight_resources: Resources::default(),
            watched_resources: Resources::default(),
            clean_up_resources: Resources::default(),
            backup: Backup::default(),
            roll: Roll::default(),
            policies: Policies::default(),
            finish: Finish::default(),
            probe: Probe::default(),
            waivers: Vec::new(),
        }
    }
}

impl Default for Cidrs {
    fn default() -> Self {
        Self {
            services: Vec::new(),
            nodes: Vec::new(),
            external: Vec::new(),
            reserved: Vec::new(),
            drain_at_most_percent: 10,
        }
    }
}

impl Config {
    /// The version that this program reads.
    pub const VERSION: u32 = 1;
}
