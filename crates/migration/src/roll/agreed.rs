//! Which nodes know of every pod that a count of all pods found on them.
//!
//! A node that has forgotten a pod would count as done with a pod of another phase on it. The count and what a node says are not of the same moment: `watch`
//! tells of a change some seconds later. So a node agrees with a count if nothing that it said from just before it until [`TELL`] after it is less than the
//! count. One that agreed is not asked again for ten minutes: where pods come and go all the time, there may be no moment at which all nodes agree.

use std::collections::BTreeMap;
use std::time::Duration;

use snapshot::model::Text;

use super::world::{Census, World};

/// How long nodes have to tell of what was on them when all pods were counted.
pub(super) const TELL: Duration = Duration::from_secs(10);

/// For so long nobody asks a node again that agreed.
const LASTS: Duration = Duration::from_mins(10);

/// Which nodes agreed with a count, and which count that was.
#[derive(Debug, Clone, Default)]
pub(super) struct CensusAgreement {
    /// When the last count began that nodes were held against.
    over: Option<Duration>,
    /// The fewest attachments that each node has said it has since just before the count that is to come, or since the one that is not over.
    least: BTreeMap<Text, u32>,
    /// When the last count began that a node agreed with.
    agreed: BTreeMap<Text, Duration>,
    /// How many counts in a row each node did not agree with.
    disagreed: BTreeMap<Text, u32>,
}

impl CensusAgreement {
    /// All pods are about to be counted. Counting takes a while in large clusters, and what nodes say meanwhile is not seen.
    pub(super) fn begin_count(&mut self, world: &World) {
        self.least.clear();
        self.note(world);
    }

    fn note(&mut self, world: &World) {
        for (name, node) in &world.nodes {
            let now = node.attached().unwrap_or_default();
            self.least.entry(name.clone()).and_modify(|least| *least = now.min(*least)).or_insert(now);
        }
    }

    /// Takes up what is known now.
    pub(super) fn observe(&mut self, world: &World) {
        let Some(census) = &world.census else { return };
        if self.over == Some(census.at) {
            return;
        }
        self.note(world);
        if is_over(census, world.now) {
            self.over = Some(census.at);
            self.agreed.retain(|name, _| world.nodes.contains_key(name));
            let agree = |(name, least): &(Text, u32)| *least >= counted_on(census, name);
            let least = std::mem::take(&mut self.least);
            let (agree, others): (Vec<_>, Vec<_>) = least.into_iter().partition(agree);
            let before = std::mem::take(&mut self.disagreed);
            let again = |name: &Text| before.get(name).copied().unwrap_or_default() + 1;
            self.disagreed = others.into_iter().map(|(name, _)| (name.clone(), again(&name))).collect();
            self.agreed.extend(agree.into_iter().map(|(name, _)| (name, census.at)));
        }
    }

    /// The node did not agree with the last two counts. With one, pods may have come and gone meanwhile.
    pub(super) fn disagrees(&self, node: &str) -> bool {
        self.disagreed.get(node).is_some_and(|counts| *counts > 1)
    }

    /// Whether a node agreed lately with a count that began after `since`.
    pub(super) fn agrees(&self, node: &str, since: Duration, now: Duration) -> bool {
        self.agreed.get(node).is_some_and(|time| *time > since && now.saturating_sub(*time) < LASTS)
    }
}

/// Nodes have had their time to tell.
pub(super) fn is_over(census: &Census, now: Duration) -> bool {
    now.saturating_sub(census.at) >= TELL
}

/// How many pods a count found on a node.
pub(super) fn counted_on(census: &Census, node: &str) -> u32 {
    census.running.get(node).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roll::world::Node;
    use serde_json::json;

    const AT: Duration = Duration::from_secs(100);

    /// What a node says, and when; how many of its pods were counted; whether it agrees.
    type Row = (Vec<(u64, u32)>, u32, bool);

    /// A world in which node `a` says that it has so many attachments.
    fn world(second: u64, attached: u32, running: u32) -> World {
        let observed = json!({ "bootId": "b", "phase": "new", "attached": { "new": attached } });
        let node = Node { observed: serde_json::from_value(observed).ok(), ..Node::default() };
        World {
            now: Duration::from_secs(second),
            nodes: [("a".into(), node.into())].into(),
            census: Some(Census { at: AT, running: [("a".into(), running)].into(), ..Census::default() }),
            ..World::default()
        }
    }

    fn agrees(reports: &[(u64, u32)], running: u32) -> bool {
        let mut agreed = CensusAgreement::default();
        for (second, attached) in reports {
            agreed.observe(&world(*second, *attached, running));
        }
        agreed.agrees("a", AT - Duration::from_secs(1), AT)
    }

    #[test]
    fn a_node_agrees_if_it_never_says_less_than_was_counted() {
        let table: [Row; 6] = [
            (vec![(100, 4), (110, 4)], 4, true),
            (vec![(100, 4), (109, 4)], 4, false), // It has time to tell of less.
            (vec![(100, 4), (105, 3), (110, 4)], 4, false), // The count found one that it had forgotten; another one came later.
            (vec![(100, 5), (105, 4), (110, 4)], 4, true), // One went before the count, and was told of after it.
            (vec![(100, 4), (112, 3)], 4, false),
            (vec![(100, 0), (110, 0)], 0, true),
        ];
        for (reports, running, expected) in table {
            assert_eq!(agrees(&reports, running), expected, "{reports:?} with {running} running");
        }
    }

    #[test]
    fn what_was_said_before_the_count_matters_too() {
        let mut agreed = CensusAgreement::default();
        agreed.begin_count(&world(99, 3, 0));
        agreed.observe(&world(160, 4, 4));
        assert!(
            !agreed.agrees("a", AT - Duration::from_secs(1), AT),
            "counting took a minute, and a pod came meanwhile"
        );
    }

    /// What a node says after a count that failed says nothing of the count before.
    #[test]
    fn a_count_that_fails_leaves_what_the_last_one_showed() {
        let mut agreed = CensusAgreement::default();
        agreed.observe(&world(100, 4, 5));
        agreed.observe(&world(110, 4, 5));
        agreed.begin_count(&world(140, 5, 5));
        agreed.observe(&world(141, 5, 5));
        assert!(!agreed.agrees("a", AT - Duration::from_secs(1), AT), "another pod came");
    }

    /// A pod that came and went while all were counted is no fault of its node, and the next count shows it.
    #[test]
    fn a_node_disagrees_after_two_counts_in_a_row() {
        let mut agreed = CensusAgreement::default();
        let mut counted = |second: u64, attached: u32| {
            for now in [second, second + 10] {
                let mut world = world(now, attached, 4);
                world.census.as_mut().expect("a count").at = Duration::from_secs(second);
                agreed.observe(&world);
            }
            agreed.disagrees("a")
        };
        let seen = [(100, 3), (140, 4), (180, 3), (220, 3), (260, 4)]
            .map(|(second, attached)| counted(second, attached));
        assert_eq!(seen, [false, false, false, true, false]);
    }

    #[test]
    fn a_node_that_agreed_is_not_asked_again_until_it_has_changed() {
        let mut agreed = CensusAgreement::default();
        agreed.observe(&world(100, 4, 4));
        agreed.observe(&world(110, 4, 4));
        agreed.observe(&world(120, 1, 4));
        assert!(agreed.agrees("a", AT - Duration::from_secs(1), AT));
        assert!(!agreed.agrees("a", AT, AT), "it has been done since then");
        assert!(!agreed.agrees("a", AT - Duration::from_secs(1), AT + LASTS), "that was long ago");
    }
}
