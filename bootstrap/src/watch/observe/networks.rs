//! The networks of a policy as they are on this node.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use shim::conflist::Conflist;
use shim::{hostports, ready};
use types::policy::Side;

use super::identity;
use crate::node::networks::probe;
use crate::watch::proof::{self, ProofResult};
use convergence::node::cni::CniFacts;
use convergence::node::facts::NodeFacts;
use convergence::node::networks::NetworkConf;
use convergence::node::networks::ProbeAnswers;

/// One network of the policy.
#[derive(Debug, Clone)]
pub struct NetworkObservation {
    /// Whether the network is the policy's `old` or `new`.
    pub side: Side,
    /// The name of the network's profile.
    pub profile: String,
    /// The network's conf and its path, or why it is not there.
    pub conf: Result<(ConfSummary, PathBuf), ConfAbsence>,
    /// Binaries that are missing or cannot be used.
    pub missing: Vec<String>,
    /// The answers of the network's probes.
    pub asked: ProbeAnswers,
    /// The identities of the agent's sockets, which change when the agent restarts.
    pub agent: Vec<Option<String>>,
    /// Whether the network was ready earlier in this boot.
    pub marked: bool,
    /// Whether pods of it asked for host ports in this boot, and no plugin of its conf maps them.
    pub unmapped_hostports: bool,
    /// What a proof has found in this boot.
    pub proof: Option<ProofResult>,
}

/// The parts of a conf that `watch` needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfSummary {
    pub name: String,
    /// The capabilities that the conf's plugins declare.
    pub capabilities: BTreeSet<String>,
}

/// Why a conf is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfAbsence(pub String);

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
        let conf = match &network_conf.conf {
            Ok((conf, path)) => Ok((ConfSummary::of(conf), path.clone())),
            Err(why) => Err(ConfAbsence(why.to_string())),
        };
        let name = conf.as_ref().ok().map(|(conf, _)| conf.name.clone());
        let maps_hostports = |conf: &ConfSummary| conf.capabilities.contains(hostports::CAPABILITY);
        Some(NetworkObservation {
            side: network_conf.side,
            profile: network.profile.clone(),
            unmapped_hostports: conf
                .as_ref()
                .is_ok_and(|(conf, _)| !maps_hostports(conf) && hostports::is_noted(layout, &conf.name)),
            conf,
            missing: network_conf.missing.clone(),
            asked: probe::ask(network, &probed.join(network_conf.side.as_str())),
            agent: lives(&probe::sockets(network)),
            marked: name.as_ref().is_some_and(|name| ready::is_marked(layout, name)),
            proof: name
                .and_then(|name| proof::read(&proof::result(layout, network_conf.side), &name, boot_id)),
        })
    };
    cni.networks.iter().filter_map(observe).collect()
}

impl ConfSummary {
    fn of(conf: &Conflist) -> Self {
        let capabilities = conf.plugins.iter().flat_map(shim::conflist::Plugin::capabilities).collect();
        Self { name: conf.name.clone(), capabilities }
    }
}
