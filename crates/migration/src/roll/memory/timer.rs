//! Since when a node is as it is.

use std::time::Duration;

use snapshot::model::Text;
use types::api::step::State;

use crate::roll::world::Node;

/// Since when a node is as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Timer {
    pub(super) uid: Text,
    pub(super) pool: Text,
    step: Option<(String, State)>,
    /// Since when it bears this step.
    pub(super) since: Duration,
    /// Since when it is in the phase that it is brought to, Ready, and both its agents are.
    pub(super) steady: Option<Duration>,
    /// Since when it is not Ready.
    pub(super) down_since: Option<Duration>,
    /// Since when another program takes it away.
    pub(super) going_since: Option<Duration>,
    /// Since when it is Ready and reports nothing in its boot.
    pub(super) unreported_since: Option<Duration>,
}

impl Timer {
    /// Of a node that is seen for the first time.
    pub(super) fn start(node: &Node, now: Duration, is_steady: bool) -> Self {
        let (uid, pool, step) = (node.uid.clone(), node.pool.clone(), borne_step(node));
        let (steady, down_since, going_since, unreported_since) = (None, None, None, None);
        let mut timer =
            Self { uid, pool, step, since: now, steady, down_since, going_since, unreported_since };
        timer.observe(node, now, is_steady);
        timer
    }

    /// Takes up how the node is now.
    pub(super) fn observe(&mut self, node: &Node, now: Duration, is_steady: bool) {
        if !self.bears(node) {
            (self.step, self.since) = (borne_step(node), now);
        }
        self.steady = is_steady.then(|| self.steady.unwrap_or(now));
        self.down_since = (!node.is_ready).then(|| self.down_since.unwrap_or(now));
        self.going_since = node.is_going.then(|| self.going_since.unwrap_or(now));
        self.unreported_since = node.is_unreported().then(|| self.unreported_since.unwrap_or(now));
    }

    /// Whether the node bears the same step as before.
    pub(super) fn bears(&self, node: &Node) -> bool {
        let current = self.step.as_ref().map(|(claim, state)| (claim.as_str(), *state));
        current == node.step.as_ref().map(|step| (step.claim.as_str(), step.state))
    }
}

/// The claim and the state of a node's step.
fn borne_step(node: &Node) -> Option<(String, State)> {
    node.step.as_ref().map(|step| (step.claim.clone(), step.state))
}
