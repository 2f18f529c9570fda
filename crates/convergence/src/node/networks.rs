//! The confs of a policy's networks on a node, and the networks that a pod may get now.

pub mod gated;
pub mod readiness;

use std::collections::BTreeSet;
use std::path::PathBuf;

use shim::attachment::conflist::{Conflist, LoadError, Plugin};
use types::policy::{Attach, Policy, SecondaryFailure, Side};

/// A network of the policy as it is on this node.
#[derive(Debug)]
pub struct NetworkConf {
    /// Whether it is the old network or the new one.
    pub side: Side,
    /// The network's conf and its path, or why it cannot be loaded.
    pub conf: Result<(Conflist, PathBuf), LoadError>,
    /// Why plugins of it cannot be used, one line for each: no directory has the binary, or the binary is not root's alone.
    pub missing: Vec<String>,
}

impl NetworkConf {
    /// The network's name from its conf; `None` if the conf cannot be loaded.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.conf.as_ref().ok().map(|(conf, _)| conf.name.as_str())
    }

    /// Whether a plugin of the network's conf declares a capability.
    #[must_use]
    pub fn declares(&self, capability: &str) -> bool {
        let plugins = self.conf.iter().flat_map(|(conf, _)| &conf.plugins);
        plugins.flat_map(Plugin::capabilities).any(|name| name == capability)
    }
}

/// The networks that a pod may get now: these must work from the first moment. The other one may come later.
#[must_use]
pub fn needed_sides(policy: &Policy) -> BTreeSet<Side> {
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

/// What the probes of one network say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeAnswers {
    /// All of them; else the first that does not hold, in words.
    pub all: Result<(), String>,
    /// The same answer, where the policy waits for the file that `watch` keeps; `None` where it does not.
    pub marker: Option<Result<(), String>>,
}
