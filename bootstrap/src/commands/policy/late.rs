//! Networks of a phase that could not attach a pod now. New pods would wait for them, or fail, from the flip on.

use types::policy::{Phase, Policy, Side};
use types::problem::Problem;

use crate::cli::exit::{Exit, Failure};
use crate::node::facts::NodeFacts;
use crate::node::paths::STATUS;
use crate::node::readiness;
use crate::node::status_file::{self, StatusFile};

/// A network of the phase that is not ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Late {
    side: Side,
    why: String,
}

impl Late {
    /// The line that a person gets with the flip.
    pub(super) fn warning(&self) -> String {
        let Self { side, why } = self;
        format!("network {side} is not ready, so new pods wait until it is: {why}")
    }

    fn problem(&self) -> Problem {
        let Self { side, why } = self;
        Problem::new(format!("network {side} is not ready: {why}"))
            .at(format!("network {side}"))
            .fix("wait until crossfade-bootstrap status says that it is, or leave --require-ready out")
    }
}

/// The networks that the policy would attach in `phase` and that are not ready now: by their confs and probes, and by what `watch` says of
/// those that pods get already. Nothing is known of a tree, nor of a policy that cannot be flipped, which is reported elsewhere.
pub(super) fn networks(node: &NodeFacts, phase: Phase) -> Vec<Late> {
    let flipped = node.policy.as_ref().ok().and_then(|held| Policy::flip(&held.bytes, phase).ok());
    let Some(policy) = flipped.and_then(|bytes| Policy::parse(&bytes).ok()).filter(|_| node.root.is_node())
    else {
        return Vec::new();
    };
    let watched = match status_file::read(&node.root.at(STATUS)) {
        StatusFile::Fresh(report) => report.networks,
        StatusFile::Absent | StatusFile::Stale(..) | StatusFile::Unreadable(_) => Vec::new(),
    };
    let asked = readiness::without_plugins(&node.root, &policy);
    let attached = policy.attached();
    let of = |side: &Side| {
        let by_watch =
            watched.iter().find(|network| network.network == *side && network.attached && !network.ready);
        let asked = asked.iter().find(|network| network.side == *side)?.why_not();
        let why = asked.or_else(|| by_watch.and_then(|network| network.why.clone()))?;
        Some(Late { side: *side, why })
    };
    attached.iter().filter_map(of).collect()
}

/// Refuses to flip while a network of the phase is not ready.
///
/// # Errors
/// 3, with each such network; usage for a tree, whose networks nobody can ask.
pub(super) fn refuse(node: &NodeFacts, late: &[Late]) -> Result<(), Failure> {
    if !node.root.is_node() {
        return Err(Failure::usage(
            "--require-ready: only a node can be asked whether its networks are ready",
        )
        .at("--require-ready")
        .fix("leave --require-ready out, or run the command on the node"));
    }
    if late.is_empty() { Ok(()) } else { Err(Failure::all(Exit::No, late.iter().map(Late::problem))) }
}
