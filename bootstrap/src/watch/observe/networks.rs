//! The networks of a policy as they are on this node.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use shim::conflist::{Conflist, Unloadable};
use shim::layout::Layout;
use shim::{hostports, ready};
use types::policy::{Policy, Side};

use super::identity;
use crate::node::paths::Root;
use crate::node::plugins;
use crate::node::probe::{self, ProbeAnswers};
use crate::watch::proof::{self, ProofResult};

/// One network of the policy.
#[derive(Debug, Clone)]
pub struct NetworkObservation {
    /// Which.
    pub side: Side,
    /// Its profile's name.
    pub profile: String,
    /// Its conf and where it is; else why not.
    pub conf: Result<(Loaded, PathBuf), Absent>,
    /// Binaries that are missing or cannot be used.
    pub missing: Vec<String>,
    /// Its probes.
    pub asked: ProbeAnswers,
    /// Which life of its agent it is, told by its sockets.
    pub agent: Vec<Option<String>>,
    /// Whether it was ready once in this boot.
    pub marked: bool,
    /// Whether pods of it asked for host ports in this boot, and no plugin of its conf maps them.
    pub unmapped_hostports: bool,
    /// What a proof by attachment has found in this boot.
    pub proof: Option<ProofResult>,
}

/// As much of a conf as is needed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The network's own name.
    pub name: String,
    /// What its plugins declare.
    pub capabilities: BTreeSet<String>,
}

/// Why a conf is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent(pub String);

pub(super) fn lives(sockets: &[PathBuf]) -> Vec<Option<String>> {
    sockets.iter().map(|socket| identity(socket, false)).collect()
}

pub(super) fn networks(
    policy: &Policy,
    layout: &Layout,
    (root, bin_dirs): (&Root, &[PathBuf]),
    (probed, boot_id): (&Path, &str),
) -> Vec<NetworkObservation> {
    policy
        .networks()
        .map(|(side, network)| {
            let loaded = Conflist::load(&network.conf);
            let missing = loaded
                .as_ref()
                .map_or_else(|_| Vec::new(), |(conf, _)| plugins::missing(root, conf, bin_dirs));
            let conf = loaded.map(|(conf, path)| (Loaded::of(&conf), path.to_path_buf()));
            let name = conf.as_ref().ok().map(|(conf, _)| conf.name.clone());
            let maps_hostports = |conf: &Loaded| conf.capabilities.contains(hostports::CAPABILITY);
            NetworkObservation {
                side,
                profile: network.profile.clone(),
                unmapped_hostports: conf
                    .as_ref()
                    .is_ok_and(|(conf, _)| !maps_hostports(conf) && hostports::is_noted(layout, &conf.name)),
                conf: conf.map_err(|why: Unloadable| Absent(why.to_string())),
                missing,
                asked: probe::ask(network, &probed.join(side.as_str())),
                agent: lives(&probe::sockets(network)),
                marked: name.as_ref().is_some_and(|name| ready::is_marked(layout, name)),
                proof: name.and_then(|name| proof::read(&proof::result(layout, side), &name, boot_id)),
            }
        })
        .collect()
}

impl Loaded {
    fn of(conf: &Conflist) -> Self {
        let capabilities = conf.plugins.iter().flat_map(shim::conflist::Plugin::capabilities).collect();
        Self { name: conf.name.clone(), capabilities }
    }
}
