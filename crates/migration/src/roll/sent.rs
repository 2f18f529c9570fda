//! Patches that a holder sent and that the Nodes, as it knows them, do not show yet: the watch is late, or the answer was lost.
//!
//! What may have happened counts as if it had: a node that was claimed takes its place, and the phase that it was asked for may have pods by now.

use std::collections::BTreeMap;
use std::time::Duration;

use snapshot::model::Text;
use types::policy::Phase;

use super::act::Patch;
use super::world::{Node, World};

/// For so long a patch whose answer was lost may have happened although its Node does not show it.
const DOUBTFUL: Duration = Duration::from_mins(10);

/// Patches by the name of their Node.
#[derive(Debug, Clone, Default)]
pub(super) struct PendingPatches(BTreeMap<Text, PendingPatch>);

/// A patch that its Node does not show yet.
#[derive(Debug, Clone)]
struct PendingPatch {
    uid: Text,
    /// The version that it was decided on: it is not known as long as the Node has it.
    version: Text,
    at: Duration,
    desired: Option<Phase>,
    is_claim: bool,
    cordons: bool,
    is_done: bool,
    /// It is sent once more, since the answer was lost.
    is_again: bool,
}

impl PendingPatches {
    /// A patch of this Node is about to be sent.
    pub(super) fn add(&mut self, patch: &Patch, node: &Node, now: Duration) {
        let Patch { uid, version, desired, .. } = patch.clone();
        let is_again = self.0.get(&patch.node).is_some_and(|pending| pending.version == version);
        let (is_claim, cordons) = (patch.claims(node), patch.cordon == Some(true));
        let pending =
            PendingPatch { uid, version, at: now, desired, is_claim, cordons, is_done: false, is_again };
        self.0.insert(patch.node.clone(), pending);
    }

    /// The API server made the patch.
    pub(super) fn confirm(&mut self, node: &str) {
        if let Some(pending) = self.0.get_mut(node) {
            pending.is_done = true;
        }
    }

    /// The Node had changed before: the patch was not made, and never will be. If it was sent before, that may have been the change.
    pub(super) fn reject(&mut self, node: &str) {
        match self.0.get_mut(node) {
            Some(pending) if pending.is_again => pending.is_done = true,
            _ => drop(self.0.remove(node)),
        }
    }

    /// Forgets those that Nodes show by now, and those that will never be.
    pub(super) fn observe(&mut self, world: &World) {
        let is_unseen = |name: &Text, pending: &PendingPatch| {
            let node = world.nodes.get(name);
            node.is_some_and(|node| node.uid == pending.uid && node.version == pending.version)
        };
        let is_doubtful =
            |pending: &PendingPatch| pending.is_done || world.now.saturating_sub(pending.at) < DOUBTFUL;
        self.0.retain(|name, pending| is_unseen(name, pending) && is_doubtful(pending));
    }

    /// The node may have been claimed.
    pub(super) fn has_claimed(&self, node: &str) -> bool {
        self.0.get(node).is_some_and(|pending| pending.is_claim)
    }

    /// The node may have been cordoned.
    pub(super) fn has_cordoned(&self, node: &str) -> bool {
        self.0.get(node).is_some_and(|pending| pending.cordons)
    }

    /// The phases that nodes may have been asked for.
    pub(super) fn requested_phases(&self) -> impl Iterator<Item = (&Text, Phase)> {
        self.0.iter().filter_map(|(name, pending)| Some((name, pending.desired?)))
    }

    /// The Node was patched, so that nothing can be decided on what is known of it.
    pub(super) fn is_outdated(&self, node: &str) -> bool {
        self.0.get(node).is_some_and(|pending| pending.is_done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roll::view::patch;

    fn world(version: &str, second: u64) -> World {
        let node = Node { uid: "u".into(), version: version.into(), ..Node::default() };
        World {
            now: Duration::from_secs(second),
            nodes: [("a".into(), node.into())].into(),
            ..World::default()
        }
    }

    fn asked(sent: &PendingPatches) -> Option<Phase> {
        sent.requested_phases().find(|(name, _)| &***name == "a").map(|(_, phase)| phase)
    }

    /// A patch of the Node at version 7.
    fn flip() -> Patch {
        Patch { desired: Some(Phase::New), ..patch(&"a".into(), &world("7", 100).nodes["a"]) }
    }

    /// It was sent at second 100.
    fn flipped() -> PendingPatches {
        let mut sent = PendingPatches::default();
        sent.add(&flip(), &world("7", 100).nodes["a"], Duration::from_secs(100));
        sent
    }

    #[test]
    fn what_may_have_happened_counts_until_the_node_tells() {
        let mut sent = flipped();
        sent.observe(&world("7", 110));
        assert_eq!(asked(&sent), Some(Phase::New), "its answer was lost, and the Node is as it was");
        assert!(!sent.is_outdated("a"), "it is sent again");
        sent.observe(&world("8", 120));
        assert_eq!(asked(&sent), None, "the Node tells by now");
    }

    #[test]
    fn an_answer_that_never_came_is_forgotten_and_one_that_came_is_not() {
        for (is_done, expected) in [(false, None), (true, Some(Phase::New))] {
            let mut sent = flipped();
            if is_done {
                sent.confirm("a");
            }
            sent.observe(&world("7", 100 + 600));
            assert_eq!(asked(&sent), expected, "done: {is_done}");
        }
    }

    #[test]
    fn a_conflict_of_one_that_is_sent_again_may_be_its_own() {
        let mut sent = flipped();
        sent.observe(&world("7", 110));
        sent.add(&flip(), &world("7", 110).nodes["a"], Duration::from_secs(110));
        sent.reject("a");
        assert_eq!(asked(&sent), Some(Phase::New));
        assert!(sent.is_outdated("a"), "nothing is sent before the Node tells what it is");
    }

    #[test]
    fn a_conflict_leaves_nothing() {
        let mut sent = flipped();
        sent.reject("a");
        assert_eq!(asked(&sent), None);
    }
}
