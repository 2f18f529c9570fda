//! The phases of a migration. The demonstration itself takes each strategy's own plan.

use serde_json::{Value, json};

use super::cluster::conf_path;
use super::strategy::{Network, Phase, Strategy};
use crate::host::fabric::Overlay;

/// A migration to be made.
#[derive(Debug, Clone)]
pub struct Plan {
    pub strategy: Strategy,
    /// The phases that every node is taken through, each on all nodes before the next.
    pub passes: &'static [Phase],
    /// The network to leave.
    pub old: Old,
}

impl Plan {
    /// As the demonstration shows it: from one bridge network to another.
    pub fn for_strategy(strategy: Strategy) -> Plan {
        Plan { strategy, passes: strategy.passes(), old: Old::Bridge }
    }
}

/// The network to leave.
#[derive(Debug, Clone)]
pub enum Old {
    /// Of the standard plugins; no agent follows its pods.
    Bridge,
    /// Calico, with its agents.
    Calico {
        /// What the policy says of it, beside its conf and its addresses.
        policy: Value,
        /// Passes after which its agents release an address that looks leaked; never if none.
        leak_grace: Option<u64>,
    },
}

impl Old {
    /// Whether the network can be second in a pod that it has not been made with.
    pub(super) fn joins(&self) -> bool {
        matches!(self, Old::Bridge)
    }

    /// Both networks, as a policy has them.
    pub(super) fn networks(&self, old: &Overlay, new: &Overlay) -> Value {
        let works = || json!({ "secondary": "works" });
        let leaving = match self {
            Old::Bridge => works(),
            Old::Calico { policy, .. } => policy.clone(),
        };
        let mut networks = json!({ "old": leaving, "new": works() });
        for (network, overlay) in [(Network::Old, old), (Network::New, new)] {
            networks[network.name()]["conf"] = json!([conf_path(network)]);
            networks[network.name()]["cidrs"] = json!([overlay.cidr()]);
        }
        networks
    }
}
