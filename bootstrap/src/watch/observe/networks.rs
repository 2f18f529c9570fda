//! The networks of a policy as they are on this node.

use std::path::{Path, PathBuf};

use convergence::node::cni::CniFacts;
use convergence::node::facts::NodeFacts;
use convergence::node::networks::NetworkConf;
use convergence::watch::observation::NetworkObservation;
use shim::node::ready;

use super::identity;
use crate::node::networks::{self, probe};
use crate::watch::proof;

pub(super) fn lives(sockets: &[PathBuf]) -> Vec<Option<String>> {
    sockets.iter().map(|socket| identity(socket, false)).collect()
}

pub(super) fn networks(
    node: &NodeFacts,
    cni: &CniFacts,
    probed: &Path,
    boot_id: &str,
) -> Vec<NetworkObservation> {
    let Some(policy) = node.policy() else { return Vec::new() };
    let layout = &node.dirs.layout;
    let observe = |network_conf: &NetworkConf| {
        let network = policy.network(network_conf.side)?;
        let name = network_conf.name();
        Some(NetworkObservation {
            side: network_conf.side,
            profile: network.profile.clone(),
            unmapped_hostports: networks::has_unmapped_host_ports(network_conf, layout),
            conf: match &network_conf.conf {
                Ok((conf, path)) => Ok((conf.name.clone(), path.clone())),
                Err(why) => Err(why.to_string()),
            },
            missing: network_conf.missing.clone(),
            probe_answers: probe::ask(network, &probed.join(network_conf.side.as_str()), &node.profiles),
            agent: lives(&probe::sockets(network)),
            marked: name.is_some_and(|name| ready::is_marked(layout, name)),
            proof: name
                .and_then(|name| proof::read(&proof::result(layout, network_conf.side), name, boot_id)),
        })
    };
    cni.networks.iter().filter_map(observe).collect()
}
