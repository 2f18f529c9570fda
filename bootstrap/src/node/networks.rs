//! The confs of a policy's networks on a node, and the networks that a pod may get now.

use convergence::node::networks::NetworkConf;

pub(crate) mod gated;
pub(crate) mod probe;
pub(crate) mod readiness;
pub(crate) mod scratch;
pub(crate) mod unready;

use std::path::PathBuf;

use shim::node::hostports;
use shim::node::layout::Layout;
use types::policy::{Network, Policy, Side};

use crate::host::root::Root;
use crate::node::conf::root_path;
use crate::node::plugins;

/// Loads the confs of all networks of a policy, and looks for their plugins in `bin_dirs`.
#[must_use]
pub(crate) fn load_all(root: &Root, policy: &Policy, bin_dirs: &[PathBuf]) -> Vec<NetworkConf> {
    let load = |(side, network): (Side, &Network)| {
        let conf = root_path::conf(root, &network.conf);
        let missing = conf
            .as_ref()
            .map_or_else(|_| Vec::new(), |(conf, _)| plugins::missing_plugins(root, conf, bin_dirs));
        NetworkConf { side, conf, missing }
    };
    policy.networks().map(load).collect()
}

/// Whether pods of the network asked for host ports in this boot, and no plugin of its conf maps them.
#[must_use]
pub(crate) fn has_unmapped_host_ports(network: &NetworkConf, layout: &Layout) -> bool {
    let is_noted = |name| hostports::is_noted(layout, name);
    network.name().is_some_and(is_noted) && !network.declares(hostports::CAPABILITY)
}
