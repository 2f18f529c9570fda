//! The nodes on which agents run.

use std::collections::BTreeSet;
use std::hash::Hasher as _;
use std::net::IpAddr;

use siphasher::sip::SipHasher13;

use crate::sample::{NODES, stratified};

/// Hubs, each on a node of its own.
const HUBS: usize = 3;
/// Nodes of each zone, on average, with an agent of each network.
const WITNESSES: usize = 2;
/// The most nodes with agents on all of them.
const ALL_NODES: usize = 100;

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    /// Empty where it is not known.
    pub zone: String,
    /// Its internal addresses, the primary one first.
    pub addresses: Vec<IpAddr>,
}

/// Which agents run where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The nodes of the hubs, by name.
    pub hubs: Vec<Node>,
    /// The nodes with agents, by name; `None` for all of them, also those that come later.
    pub sample: Option<BTreeSet<String>>,
    /// The nodes on which each network has an agent, whatever the node gives other pods: a rule of the node's policy puts them there.
    pub witnesses: BTreeSet<String>,
}

impl Placement {
    /// Agents on all nodes, or on a sample of them, taken in turn from each zone. Nodes that have hubs keep them, since agents know their addresses.
    #[must_use]
    pub fn decide(nodes: &[Node], hubs: &BTreeSet<String>) -> Self {
        let zones: BTreeSet<&str> = nodes.iter().map(|node| node.zone.as_str()).collect();
        let choose = |nodes: &[&Node], most: usize| -> BTreeSet<String> {
            let chosen = stratified(nodes, most, |node| node.zone.clone(), |node| rank(&node.name));
            chosen.into_iter().filter_map(|place| nodes.get(place)).map(|node| node.name.clone()).collect()
        };
        let reachable: Vec<&Node> = nodes.iter().filter(|node| !node.addresses.is_empty()).collect();
        let kept: BTreeSet<String> =
            reachable.iter().map(|node| &node.name).filter(|name| hubs.contains(*name)).cloned().collect();
        let hubs = if kept.is_empty() { choose(&reachable, HUBS) } else { kept };
        let mut sample = (nodes.len() > ALL_NODES).then(|| choose(&nodes.iter().collect::<Vec<_>>(), NODES));
        if let Some(sample) = &mut sample {
            sample.extend(hubs.iter().cloned());
        }
        let mut hubs: Vec<Node> =
            reachable.into_iter().filter(|node| hubs.contains(&node.name)).cloned().collect();
        hubs.sort_by(|first, second| first.name.cmp(&second.name));
        let mut placement = Self { hubs, sample, witnesses: BTreeSet::new() };
        let probed: Vec<&Node> = nodes.iter().filter(|node| placement.has_agents(node)).collect();
        placement.witnesses = choose(&probed, zones.len() * WITNESSES);
        placement
    }

    /// Whether a node has agents on its own network and in a pod.
    #[must_use]
    pub fn has_agents(&self, node: &Node) -> bool {
        self.sample.as_ref().is_none_or(|sample| sample.contains(&node.name))
    }
}

/// A number by which a node is chosen or not, the same each time.
fn rank(name: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(name.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(count: usize, zones: usize) -> Vec<Node> {
        let node = |number: usize| Node {
            name: format!("n{number}"),
            zone: format!("z{}", number % zones),
            addresses: vec![[192, 0, 2, 1].into()],
        };
        (0..count).map(node).collect()
    }

    fn zones<'a>(names: impl IntoIterator<Item = &'a String>, count: usize) -> Vec<usize> {
        let numbers: Vec<usize> =
            names.into_iter().map(|name| name[1..].parse().expect("a number")).collect();
        (0..count).map(|zone| numbers.iter().filter(|number| *number % count == zone).count()).collect()
    }

    #[test]
    fn every_zone_has_a_hub_and_two_witnesses() {
        let placement = Placement::decide(&nodes(12, 3), &BTreeSet::new());
        assert_eq!(placement.sample, None);
        assert_eq!(zones(placement.hubs.iter().map(|hub| &hub.name), 3), [1, 1, 1]);
        assert_eq!(zones(&placement.witnesses, 3), [2, 2, 2]);
    }

    #[test]
    fn a_large_cluster_has_agents_on_a_sample_that_is_spread_over_its_zones() {
        let placement = Placement::decide(&nodes(5_000, 3), &BTreeSet::new());
        let sample = placement.sample.expect("a sample");
        assert!((NODES..=NODES + HUBS).contains(&sample.len()), "{}", sample.len());
        assert!(zones(&sample, 3).iter().all(|count| (100..=103).contains(count)));
        assert!(placement.hubs.iter().all(|hub| sample.contains(&hub.name)));
        assert!(placement.witnesses.is_subset(&sample));
        assert_eq!(Placement::decide(&nodes(100, 3), &BTreeSet::new()).sample, None);
    }

    #[test]
    fn hubs_stay_where_they_are_as_long_as_one_of_their_nodes_is_there() {
        let all = nodes(6, 1);
        let names = |placement: Placement| -> Vec<String> {
            placement.hubs.into_iter().map(|hub| hub.name).collect()
        };
        let kept = BTreeSet::from(["n1".to_owned(), "n9".to_owned()]);
        assert_eq!(names(Placement::decide(&all, &kept)), ["n1"]);
        let gone = BTreeSet::from(["n9".to_owned()]);
        assert_eq!(names(Placement::decide(&all, &gone)).len(), HUBS);
        let unreachable: Vec<Node> =
            all.into_iter().map(|node| Node { addresses: Vec::new(), ..node }).collect();
        assert_eq!(Placement::decide(&unreachable, &BTreeSet::new()).hubs, []);
    }
}
