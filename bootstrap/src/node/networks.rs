//! The confs of a policy's networks on a node, and the networks that a pod may get now.

pub mod gated;
pub mod probe;
pub mod readiness;
pub mod scratch;
pub mod unready;

use std::collections::BTreeSet;
use std::path::PathBuf;

use shim::conflist::{Conflist, Unloadable};
use types::policy::{Attach, Network, Policy, SecondaryFailure, Side};

use crate::host::root::Root;
use crate::node::conf::rooted;
use crate::node::plugins;

/// A network of the policy as it is on this node.
#[derive(Debug)]
pub struct NetworkConf {
    /// Whether it is the old network or the new one.
    pub side: Side,
    /// The network's conf and its path, or why it cannot be loaded.
    pub conf: Result<(Conflist, PathBuf), Unloadable>,
    /// Why plugins of it cannot be used, one line for each: no directory has the binary, or the binary is not root's alone.
    pub missing: Vec<String>,
}

impl NetworkConf {
    /// The network's name from its conf; `None` if the conf cannot be loaded.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.conf.as_ref().ok().map(|(conf, _)| conf.name.as_str())
    }

    /// Loads the confs of all networks of a policy, and looks for their plugins in `bin_dirs`.
    #[must_use]
    pub fn load_all(root: &Root, policy: &Policy, bin_dirs: &[PathBuf]) -> Vec<Self> {
        let load = |(side, network): (Side, &Network)| {
            let conf = rooted::conf(root, &network.conf);
            let missing =
                conf.as_ref().map_or_else(|_| Vec::new(), |(conf, _)| plugins::missing(root, conf, bin_dirs));
            Self { side, conf, missing }
        };
        policy.networks().map(load).collect()
    }
}

/// The networks that a pod may get now: these must work from the first moment. The other one may come later.
#[must_use]
pub fn needed(policy: &Policy) -> BTreeSet<Side> {
    let sides = |attach| match attach {
        Attach::One(side) => vec![side],
        Attach::Both if policy.both.secondary_failure == SecondaryFailure::Tolerate => {
            vec![policy.both.primary()]
        }
        Attach::Both => Side::BOTH.to_vec(),
    };
    std::iter::once(policy.attach)
        .chain(policy.rules.iter().map(|rule| rule.attach))
        .flat_map(sides)
        .collect()
}
