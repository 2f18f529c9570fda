//! The readiness of a policy's networks to attach a pod on this node now, gathered once. `watch` follows the same over time
//! ([`crate::watch`]); a command asks here.

use convergence::node::networks::readiness::{ConfError, NetworkReadiness};

use shim::attachment::conflist::LoadError;
use types::policy::{Policy, Side};

use crate::host::root::Root;
use crate::node::conf::root_path;
use crate::node::networks::probe;
use convergence::node::facts::NodeFacts;
use convergence::node::networks::{NetworkConf, needed_sides};
use shim::node::layout::PROBED;

/// Gathers the readiness of all networks of a policy, without their plugins, because the runtime's directories are not known.
#[must_use]
pub(crate) fn without_plugins(node: &NodeFacts, policy: &Policy) -> Vec<NetworkReadiness> {
    let root = &Root::new(&node.root);
    let confs = policy.networks().map(|(side, network)| NetworkConf {
        side,
        conf: root_path::conf(root, &network.conf),
        missing: Vec::new(),
    });
    gather(node, policy, &confs.collect::<Vec<_>>())
}

/// Gathers the readiness of all networks of a policy, whose confs are `confs`.
#[must_use]
pub(crate) fn gather(node: &NodeFacts, policy: &Policy, confs: &[NetworkConf]) -> Vec<NetworkReadiness> {
    let needed = needed_sides(policy);
    let probed = Root::new(&node.root).join(PROBED);
    let readiness = |(side, network): (Side, &types::policy::Network)| {
        let conf = confs.iter().find(|conf| conf.side == side)?;
        let file = probed.join(side.as_str());
        Some(NetworkReadiness {
            side,
            profile: network.profile.clone(),
            needed: needed.contains(&side),
            conf: match &conf.conf {
                Ok((conf, _)) => Ok(conf.name.clone()),
                Err(why @ LoadError::Absent(_)) => Err(ConfError::Absent(why.to_string())),
                Err(why) => Err(ConfError::Broken(why.to_string())),
            },
            missing: conf.missing.clone(),
            probes: probe::ask(network, &file, &node.profiles).all,
            waits_for: probe::waits_for(network, &file).then(|| (file.clone(), file.is_file())),
        })
    };
    policy.networks().filter_map(readiness).collect()
}
