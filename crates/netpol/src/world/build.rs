//! The construction of a world from a cluster and from what policies mention.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use snapshot::Range;
use snapshot::model::{Labels, Text};

use super::address::{Piece, Pieces};
use super::imagined::{self, holds_for};
use super::{Party, PartyKind, World};
use crate::expression::{ACCOUNT_NAME, Expression, LabelOwner, NAMESPACE_NAME};
use crate::traffic::Space;
use crate::world::mention::Mentions;
use crate::world::parties::Parties;

/// What of a cluster matters to policies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    pub namespaces: Vec<Namespace>,
    /// Its pods, without those on the network of their node.
    pub pods: Vec<Pod>,
    pub nodes: Vec<Node>,
    /// The ranges from which pods get their addresses.
    pub pod_ranges: Vec<Range>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespace {
    pub name: Text,
    pub labels: Labels,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    pub namespace: Text,
    pub name: Text,
    pub labels: Labels,
    /// The name of its service account.
    pub account: Text,
    /// The labels of its service account.
    pub account_labels: Labels,
    /// Its addresses. A pod without one, which does not have its network yet, counts at a free address of each of the pods' ranges.
    pub addresses: Vec<IpAddr>,
    /// The ports of its containers that have names.
    pub ports: Vec<Port>,
    /// The name of its node; empty before it has one.
    pub node: Text,
    /// Its controller: `ReplicaSet shop/web-7d9f`. Empty if it has none.
    pub owner: Text,
}

/// A container's port that has a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// The protocol's number.
    pub protocol: u8,
    pub name: Text,
    pub number: u16,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    pub name: Text,
    /// Its addresses, those of its tunnels among them.
    pub addresses: Vec<IpAddr>,
}

/// All by which policies can tell pods apart, but for addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Traits {
    pub(super) namespace: Text,
    pub(super) namespace_labels: Labels,
    pub(super) labels: Labels,
    pub(super) account_labels: Labels,
    pub(super) ports: Vec<Port>,
}

impl Traits {
    /// Those of a pod whose namespace has these labels.
    fn gather(pod: &Pod, namespace: Option<&Labels>) -> Self {
        let mut namespace_labels = namespace.cloned().unwrap_or_default();
        namespace_labels.insert(NAMESPACE_NAME.into(), pod.namespace.clone());
        let mut account_labels = pod.account_labels.clone();
        account_labels.insert(ACCOUNT_NAME.into(), pod.account.clone());
        Self {
            namespace: pod.namespace.clone(),
            namespace_labels,
            labels: pod.labels.clone(),
            account_labels,
            ports: pod.ports.clone(),
        }
    }

    /// What a simple condition says of the namespace; none if it is about something else.
    pub(super) fn namespace_has(&self, literal: &Expression) -> Option<bool> {
        match literal {
            Expression::Within(name) => Some(self.namespace == *name),
            Expression::Has(LabelOwner::Namespace, key)
            | Expression::In(LabelOwner::Namespace, key, _)
            | Expression::Like(LabelOwner::Namespace, key, ..) => {
                Some(holds_for(literal, self.namespace_labels.get(key).map(|value| &**value)))
            }
            Expression::Always
            | Expression::Has(..)
            | Expression::In(..)
            | Expression::Like(..)
            | Expression::Not(_)
            | Expression::And(_)
            | Expression::Or(_) => None,
        }
    }

    /// A pod that does not exist yet, in words.
    fn words(&self) -> String {
        let labels: Vec<String> = self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let with = if labels.is_empty() {
            "a pod without labels".into()
        } else {
            format!("a pod with {}", labels.join(", "))
        };
        let account = self.account_labels.get(ACCOUNT_NAME);
        let account = account.map(|name| format!(" of service account {name}")).unwrap_or_default();
        format!("{with}{account} in namespace {}", self.namespace)
    }
}

/// What policies mention, as sets.
struct MentionIndex {
    keys: HashSet<(LabelOwner, Text)>,
    ports: BTreeSet<(u8, Text)>,
}

impl MentionIndex {
    fn gather(mentions: &Mentions) -> Self {
        let mut mention_index = Self { keys: HashSet::new(), ports: mentions.port_names.clone() };
        for (_, condition) in &mentions.conditions {
            mention_index.add(condition);
        }
        mention_index
    }

    fn add(&mut self, condition: &Expression) {
        match condition {
            Expression::Has(owner, key)
            | Expression::In(owner, key, _)
            | Expression::Like(owner, key, ..) => {
                self.keys.insert((*owner, key.clone()));
            }
            Expression::Not(inner) => self.add(inner),
            Expression::And(all) | Expression::Or(all) => {
                all.iter().for_each(|expression| self.add(expression))
            }
            Expression::Always | Expression::Within(_) => {}
        }
    }

    fn labels(&self, owner: LabelOwner, labels: &Labels) -> Labels {
        let lines = labels.iter().filter(|(key, _)| self.keys.contains(&(owner, (*key).clone())));
        lines.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Without what no policy mentions.
    fn slim(&self, traits: &Traits) -> Traits {
        let is_mentioned = |port: &&Port| self.ports.contains(&(port.protocol, port.name.clone()));
        Traits {
            namespace: traits.namespace.clone(),
            namespace_labels: self.labels(LabelOwner::Namespace, &traits.namespace_labels),
            labels: self.labels(LabelOwner::Pod, &traits.labels),
            account_labels: self.labels(LabelOwner::Account, &traits.account_labels),
            ports: traits.ports.iter().filter(is_mentioned).cloned().collect(),
        }
    }
}

/// The pieces of addresses that a world tells apart.
pub(super) fn pieces(cluster: &Cluster, mentions: &Mentions) -> Pieces {
    Pieces::new(mentions.ranges.iter().chain(&cluster.pod_ranges))
}

impl Mentions {
    /// Whether some policy goes by service accounts.
    #[must_use]
    pub fn has_accounts(&self) -> bool {
        MentionIndex::gather(self).keys.iter().any(|(owner, _)| *owner == LabelOwner::Account)
    }
}

impl World {
    /// The world of a cluster for policies that mention this.
    #[must_use]
    pub fn new(cluster: &Cluster, mentions: &Mentions) -> Self {
        Self::new_bounded(cluster, mentions, true)
    }

    /// The same, with or without pods in namespaces that do not exist yet.
    #[must_use]
    pub fn new_bounded(cluster: &Cluster, mentions: &Mentions, with_new_namespaces: bool) -> Self {
        let mention_index = MentionIndex::gather(mentions);
        let pieces = pieces(cluster, mentions);
        let mut builder = WorldBuilder::default();
        builder.pods(cluster, &mention_index, &pieces);
        let mut imagined = imagined::pods(cluster, mentions);
        if !with_new_namespaces {
            let existing: HashSet<&Text> =
                cluster.namespaces.iter().map(|namespace| &namespace.name).collect();
            imagined.retain(|pod| existing.contains(&pod.namespace));
        }
        builder.add_imagined(cluster, &imagined, &mention_index, &pieces);
        builder.nodes(cluster, &pieces);
        builder.add_outside(cluster, &pieces);
        builder.build(Space::new(mentions.sources.iter().cloned()))
    }
}

/// The parties so far, and what is known of those that are pods.
#[derive(Default)]
struct WorldBuilder {
    parties: Vec<Party>,
    traits: HashMap<usize, Traits>,
    party_by_traits: HashMap<(Traits, Piece), usize>,
    pods: HashMap<(Text, Text, IpAddr), usize>,
    /// Pods of the cluster that have no address yet: their namespaces, names and traits.
    waiting: Vec<(Text, Text, Traits)>,
    /// Pods at an address that is a piece of its own.
    isolated: Vec<usize>,
}

impl WorldBuilder {
    fn pods(&mut self, cluster: &Cluster, mentions: &MentionIndex, pieces: &Pieces) {
        let namespaces: HashMap<&Text, &Labels> =
            cluster.namespaces.iter().map(|namespace| (&namespace.name, &namespace.labels)).collect();
        for pod in &cluster.pods {
            let traits = mentions.slim(&Traits::gather(pod, namespaces.get(&pod.namespace).copied()));
            if pod.addresses.is_empty() {
                self.waiting.push((pod.namespace.clone(), pod.name.clone(), traits));
                continue;
            }
            for address in &pod.addresses {
                let who = || PartyKind::Pod(pod.namespace.clone(), pod.name.clone());
                let party = self.pod(&traits, *address, pieces, who);
                self.pods.insert((pod.namespace.clone(), pod.name.clone(), *address), party);
            }
        }
    }

    fn add_imagined(
        &mut self,
        cluster: &Cluster,
        pods: &BTreeSet<Traits>,
        mentions: &MentionIndex,
        pieces: &Pieces,
    ) {
        let ranges = &cluster.pod_ranges;
        let pods_there = cluster.pods.iter().flat_map(|pod| &pod.addresses);
        let nodes = cluster.nodes.iter().flat_map(|node| &node.addresses);
        let used_ranges: Vec<Range> =
            pods_there.chain(nodes).map(|address| Range::from_address(*address)).collect();
        let waiting = std::mem::take(&mut self.waiting);
        // In one piece of each range all of them, after the pods that will get an address; in the others one that nothing but its address tells apart.
        let free = |piece: Piece, range: &Range| {
            let first = piece.address_in(*range)?;
            let inside = Pieces::new([range]).piece_of(first);
            inside
                .address_outside(&used_ranges)
                .filter(|address| pieces.piece_of(*address) == piece)
                .or(Some(first))
        };
        for range in ranges {
            let mut free_addresses = pieces.all().filter_map(|piece| free(piece, range));
            let first = free_addresses.next();
            for (address, (namespace, name, traits)) in
                first.iter().flat_map(|item| waiting.iter().map(|pod| (*item, pod)))
            {
                let party =
                    self.pod(traits, address, pieces, || PartyKind::Pod(namespace.clone(), name.clone()));
                self.pods.insert((namespace.clone(), name.clone(), address), party);
            }
            for traits in pods {
                if let Some(address) = first {
                    self.pod(&mentions.slim(traits), address, pieces, || PartyKind::Imagined(traits.words()));
                }
            }
            if let Some(plain) = pods.iter().next() {
                for address in free_addresses {
                    self.pod(&mentions.slim(plain), address, pieces, || PartyKind::Imagined(plain.words()));
                }
            }
        }
    }

    /// The party of such a pod, which is made if it is the first one.
    fn pod(
        &mut self,
        traits: &Traits,
        address: IpAddr,
        pieces: &Pieces,
        who: impl Fn() -> PartyKind,
    ) -> usize {
        let next = self.parties.len();
        let party = *self.party_by_traits.entry((traits.clone(), pieces.piece_of(address))).or_insert(next);
        if party == next {
            if pieces.piece_of(address).is_one() {
                self.isolated.push(party);
            }
            self.traits.insert(party, traits.clone());
            self.parties.push(Party { kind: who(), address, has_other_network: false });
        }
        party
    }

    fn nodes(&mut self, cluster: &Cluster, pieces: &Pieces) {
        let mut addresses = HashSet::new();
        for node in &cluster.nodes {
            for address in
                node.addresses.iter().filter(|address| addresses.insert(pieces.piece_of(**address)))
            {
                self.parties.push(Party {
                    kind: PartyKind::Node(node.name.clone()),
                    address: *address,
                    has_other_network: false,
                });
            }
        }
    }

    fn add_outside(&mut self, cluster: &Cluster, pieces: &Pieces) {
        let nodes = cluster
            .nodes
            .iter()
            .flat_map(|node| &node.addresses)
            .map(|address| Range::from_address(*address));
        let used_ranges: Vec<Range> = cluster.pod_ranges.iter().copied().chain(nodes).collect();
        for address in pieces.all().filter_map(|piece| piece.address_outside(&used_ranges)) {
            self.parties.push(Party { kind: PartyKind::Outside, address, has_other_network: false });
        }
    }

    fn build(self, space: Space) -> World {
        let count = self.parties.len();
        let those = |belongs: &dyn Fn(&Party) -> bool| {
            let mut parties = Parties::none(count);
            for (number, _) in self.parties.iter().enumerate().filter(|(_, party)| belongs(party)) {
                parties.add(number);
            }
            parties
        };
        let mut world = World {
            space,
            pods: those(&|party| matches!(party.kind, PartyKind::Pod(..) | PartyKind::Imagined(_))),
            nodes: those(&|party| matches!(party.kind, PartyKind::Node(_))),
            outside: those(&|party| party.kind == PartyKind::Outside),
            v6: those(&|party| party.address.is_ipv6()),
            other_network: Parties::none(count),
            labels: HashMap::new(),
            namespaces: BTreeMap::new(),
            ports: HashMap::new(),
            parties: Vec::new(),
            stands_for: self.pods,
            isolated: Parties::none(count),
        };
        self.isolated.iter().for_each(|number| world.isolated.add(*number));
        let none = || Parties::none(count);
        for (number, traits) in &self.traits {
            world.namespaces.entry(traits.namespace.clone()).or_insert_with(none).add(*number);
            let own = [
                (LabelOwner::Pod, &traits.labels),
                (LabelOwner::Namespace, &traits.namespace_labels),
                (LabelOwner::Account, &traits.account_labels),
            ];
            for (owner, labels) in own {
                for (key, value) in labels {
                    let values: &mut BTreeMap<Text, Parties> =
                        world.labels.entry((owner, key.clone())).or_default();
                    values.entry(value.clone()).or_insert_with(none).add(*number);
                }
            }
            for port in &traits.ports {
                let numbers = world.ports.entry((port.protocol, port.name.clone())).or_default();
                numbers.entry(port.number).or_insert_with(none).add(*number);
            }
        }
        world.parties = self.parties;
        world
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Range {
        Range::read(text).expect("a range").0
    }

    #[test]
    fn a_pod_without_an_address_counts_in_each_range() {
        let pod = |name: &str, app: &str, addresses: &[&str]| Pod {
            namespace: "shop".into(),
            name: name.into(),
            labels: Labels::from([("app".into(), app.into())]),
            addresses: addresses.iter().map(|item| item.parse().expect("an address")).collect(),
            ..Pod::default()
        };
        let cluster = Cluster {
            pods: vec![
                pod("new", "new", &[]),
                pod("same", "old", &[]),
                pod("old", "old", &["10.0.0.0", "fd00::"]),
            ],
            // A tunnel has the first address of a range.
            nodes: vec![Node { name: "n1".into(), addresses: vec!["10.1.0.0".parse().expect("an address")] }],
            pod_ranges: ["10.0.0.0/16", "10.1.0.0/16", "fd00::/64"].map(range).to_vec(),
            ..Cluster::default()
        };
        let app = |value: &str| Expression::In(LabelOwner::Pod, "app".into(), vec![value.into()]);
        // A condition that no existing pod has, so that no pod is imagined in the place of one that is there.
        let mentions = Mentions { conditions: [(None, app("other"))].into(), ..Mentions::default() };
        let world = World::new(&cluster, &mentions);
        let describe = |value: &str| -> Vec<String> {
            let all = world.select(&app(value));
            all.numbers().filter_map(|number| world.party(number)).map(ToString::to_string).collect()
        };
        assert_eq!(
            describe("new"),
            ["pod shop/new (10.0.0.1)", "pod shop/new (10.1.0.1)", "pod shop/new (fd00::1)"]
        );
        // One party stands for both where both can be.
        assert_eq!(
            describe("old"),
            ["pod shop/old (10.0.0.0)", "pod shop/old (fd00::)", "pod shop/same (10.1.0.1)"]
        );
        let stands = |name: &str, location: &str| {
            world.stands_for(&"shop".into(), &name.into(), location.parse().expect("an address"))
        };
        assert_eq!(stands("same", "10.0.0.1"), stands("old", "10.0.0.0"));
        assert!(stands("same", "10.0.0.1").is_some() && stands("same", "10.0.0.0").is_none());
    }
}
