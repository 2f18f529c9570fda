//! The confs of a policy's networks on a node, and which of the networks a pod may get now.

use std::collections::BTreeSet;

use shim::conflist::{Conflist, Unloadable};
use types::policy::{Attach, Policy, SecondaryFailure, Side};

/// A network of the policy.
#[derive(Debug)]
pub struct NetworkConf {
    /// Which.
    pub side: Side,
    /// Its conf.
    pub conf: Result<Conflist, Unloadable>,
    /// Binaries of it that no bin dir has, or that cannot be used.
    pub missing: Vec<String>,
}

/// The networks that a pod may get now: these must work from the first moment. The other one may come later.
#[must_use]
pub fn needed(policy: &Policy) -> BTreeSet<Side> {
    let of = |attach| match attach {
        Attach::One(side) => vec![side],
        Attach::Both if policy.both.secondary_failure == SecondaryFailure::Tolerate => {
            vec![policy.both.primary()]
        }
        Attach::Both => Side::BOTH.to_vec(),
    };
    std::iter::once(policy.attach).chain(policy.rules.iter().map(|rule| rule.attach)).flat_map(of).collect()
}
