//! Networks of the policy that are not ready. New pods wait for them, or fail.

use types::command::problem::Problem;
use types::policy::{Policy, Side};

use crate::host::root::Root;
use crate::node::agent::status_file;
use crate::node::networks::readiness;
use convergence::node::agent::status_file::StatusFile;
use convergence::node::facts::NodeFacts;
use convergence::node::paths::STATUS;

/// A network that is not ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnreadyNetwork {
    side: Side,
    why: String,
}

impl UnreadyNetwork {
    /// The line that a person gets with the flip.
    #[must_use]
    pub(crate) fn warning(&self) -> String {
        let Self { side, why } = self;
        format!("network {side} is not ready, so new pods wait until it is: {why}")
    }

    /// The same as a problem of a command that needs the network.
    #[must_use]
    pub(crate) fn problem(&self, fix: &str) -> Problem {
        let Self { side, why } = self;
        Problem::new(format!("network {side} is not ready: {why}"))
            .with_place(format!("network {side}"))
            .fix(fix)
    }
}

/// The networks that the policy attaches and that are not ready now: by their confs and probes, and by what `watch` says of those that pods get
/// already. Nothing is known of a tree.
#[must_use]
pub(crate) fn gather(node: &NodeFacts, policy: &Policy) -> Vec<UnreadyNetwork> {
    let root = Root::new(&node.root);
    if !root.is_node() {
        return Vec::new();
    }
    let watched = match status_file::read(&root.join(STATUS)) {
        StatusFile::Fresh(report) => report.networks,
        StatusFile::Absent | StatusFile::Stale(..) | StatusFile::Unreadable(_) => Vec::new(),
    };
    let readiness = readiness::without_plugins(node, policy);
    let attached = policy.attached_sides();
    let unready = |side: &Side| {
        let by_watch =
            watched.iter().find(|network| network.network == *side && network.attached && !network.ready);
        let reason = readiness.iter().find(|network| network.side == *side)?.unready_reason();
        let why = reason.or_else(|| by_watch.and_then(|network| network.why.clone()))?;
        Some(UnreadyNetwork { side: *side, why })
    };
    attached.iter().filter_map(unready).collect()
}
