//! The finite world in which policies are compared: parties that send packets to each other.
//!
//! A party is an address with its owner: a pod, a node, or an endpoint outside of the cluster. Pods that no policy of either set can tell
//! apart are one party for each family of addresses. A pod that has no address yet is at a free one of each of the pods' ranges.
//!
//! **Bound.** Beside the pods of the cluster the world has pods that do not exist yet: for each way in which a condition of some policy can be
//! true, a pod for which it is true in that way, and pods that miss it by one of its parts; each in the namespaces in which the condition is
//! asked, and in namespaces that do not exist yet. It has an address outside for every range that some policy tells apart. It has **not**: every
//! combination of labels, pods that do not exist yet at every address of the pods' ranges, a pod and the node on which it runs (which every CNI
//! lets reach each other), and pods on the network of their node, which are that node.

mod address;
mod address_index;
mod build;
mod imagined;
pub mod mention;
mod mixed;
pub mod parties;

use snapshot::Range;
use snapshot::model::Text;

pub use self::address_index::AddressIndex;
pub use self::build::{Cluster, Namespace, Node, Pod, Port};

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;

use self::parties::Parties;
use super::expression::{Expression, LabelOwner};
use super::traffic::Space;

#[derive(Debug)]
pub struct World {
    /// The traffic that policies distinguish.
    pub space: Space,
    parties: Vec<Party>,
    pods: Parties,
    nodes: Parties,
    outside: Parties,
    v6: Parties,
    /// Pods that have the other network, in the middle of a migration.
    other_network: Parties,
    labels: HashMap<(LabelOwner, Text), BTreeMap<Text, Parties>>,
    namespaces: BTreeMap<Text, Parties>,
    ports: HashMap<(u8, Text), BTreeMap<u16, Parties>>,
    stands_for: HashMap<(Text, Text, IpAddr), usize>,
    /// Pods beside which there can be no other one like them: some policy tells their address from every other.
    isolated: Parties,
}

/// An endpoint that can send or receive a packet, with one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    pub kind: PartyKind,
    pub address: IpAddr,
    /// In the middle of a migration: a pod that has the other network than the pod whose policies decide.
    pub has_other_network: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartyKind {
    /// A pod that is there: its namespace and name. It stands for all pods that no policy tells from it.
    Pod(Text, Text),
    /// A pod that is not there yet, in words: `a pod with app=web in namespace shop`.
    Imagined(String),
    /// A node, by its name: not the one of the pod at the packet's other end.
    Node(Text),
    /// An endpoint that is no pod and no node of the cluster.
    Outside,
}

impl World {
    /// How many parties there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.parties.len()
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.parties.is_empty()
    }

    /// The party of this number.
    #[must_use]
    pub fn party(&self, number: usize) -> Option<&Party> {
        self.parties.get(number)
    }

    /// The party that stands for a pod of the cluster at one of its addresses, or at one of those at which a pod without an address counts.
    #[must_use]
    pub fn stands_for(&self, namespace: &Text, name: &Text, address: IpAddr) -> Option<usize> {
        self.stands_for.get(&(namespace.clone(), name.clone(), address)).copied()
    }

    /// The set without any party.
    #[must_use]
    pub fn no_parties(&self) -> Parties {
        Parties::none(self.len())
    }

    #[must_use]
    pub fn all_parties(&self) -> Parties {
        Parties::all(self.len())
    }

    #[must_use]
    pub const fn pods(&self) -> &Parties {
        &self.pods
    }

    #[must_use]
    pub const fn nodes(&self) -> &Parties {
        &self.nodes
    }

    /// All parties outside of the cluster.
    #[must_use]
    pub const fn outside_parties(&self) -> &Parties {
        &self.outside
    }

    /// The pods that have the other network, in a [mixed](Self::mixed) world.
    #[must_use]
    pub const fn other_network(&self) -> &Parties {
        &self.other_network
    }

    /// The parties whose address is of IPv6.
    #[must_use]
    pub const fn v6(&self) -> &Parties {
        &self.v6
    }

    /// The parties whose address has the family of this one's: those with whom it can exchange packets.
    #[must_use]
    pub fn family_of(&self, number: usize) -> Parties {
        if self.v6.has(number) { self.v6.clone() } else { self.all_parties().without(&self.v6) }
    }

    /// Whether two parties stand for the same pods, whatever their network.
    #[must_use]
    pub fn are_alike(&self, number: usize, other: usize) -> bool {
        let same = |party: &Party, other: &Party| party.kind == other.kind && party.address == other.address;
        self.party(number).zip(self.party(other)).is_some_and(|(party, other)| same(party, other))
    }

    /// Whether a pod of the one party can send a packet to a pod of the other. What a pod sends to itself never leaves it, and no policy decides of it; no two
    /// pods have one address at the same time.
    #[must_use]
    pub fn can_meet(&self, number: usize, other: usize) -> bool {
        let address = |number: usize| self.party(number).map(|party| party.address);
        !(self.isolated.has(number) && address(number) == address(other))
    }

    /// A second pod for which this party stands, in words.
    #[must_use]
    pub fn describe_another(&self, number: usize) -> String {
        let Some(party) = self.party(number) else { return String::new() };
        let words = match &party.kind {
            PartyKind::Pod(namespace, name) => {
                let own = self.stands_for(namespace, name, party.address);
                let others = self.stands_for.iter().filter(|((space, other, _), index)| {
                    Some(**index) == own && (space, other) != (namespace, name)
                });
                match others.map(|(pod, _)| pod).min() {
                    Some((space, other, address)) => format!("pod {space}/{other} ({address})"),
                    None => format!("another pod like {namespace}/{name}"),
                }
            }
            PartyKind::Imagined(words) => words.replacen("a pod", "another pod", 1),
            PartyKind::Node(_) | PartyKind::Outside => return party.to_string(),
        };
        format!("{words}{}", party.network())
    }

    /// The pods for which a condition is true.
    #[must_use]
    pub fn select(&self, condition: &Expression) -> Parties {
        let values = |owner: LabelOwner, key: &Text, matches: &dyn Fn(&str) -> bool| {
            let values = self.labels.get(&(owner, key.clone())).into_iter().flatten();
            values.filter(|(value, _)| matches(value)).fold(self.no_parties(), |all, (_, pods)| all.or(pods))
        };
        match condition {
            Expression::Always => self.pods.clone(),
            Expression::Has(owner, key) => values(*owner, key, &|_| true),
            Expression::In(owner, key, label_values) => {
                values(*owner, key, &|value| label_values.iter().any(|item| **item == *value))
            }
            Expression::Like(owner, key, test, text) => {
                values(*owner, key, &|value| test.accepts(value, text))
            }
            Expression::Within(namespace) => {
                self.namespaces.get(namespace).cloned().unwrap_or_else(|| self.no_parties())
            }
            Expression::Not(inner) => self.pods.clone().without(&self.select(inner)),
            Expression::And(all) => all
                .iter()
                .fold(self.pods.clone(), |parties, expression| parties.and(&self.select(expression))),
            Expression::Or(all) => {
                all.iter().fold(self.no_parties(), |parties, expression| parties.or(&self.select(expression)))
            }
        }
    }

    /// The namespaces that some pod is in, each with its pods.
    pub fn namespaces(&self) -> impl Iterator<Item = &Parties> {
        self.namespaces.values()
    }

    /// The pods that have a label, by its value.
    pub fn values(&self, owner: LabelOwner, key: &Text) -> impl Iterator<Item = &Parties> {
        self.labels.get(&(owner, key.clone())).into_iter().flat_map(BTreeMap::values)
    }

    /// The parties whose address is in a range, whatever they are.
    #[must_use]
    pub fn parties_in_range(&self, range: Range) -> Parties {
        let mut parties = self.no_parties();
        for (number, party) in self.parties.iter().enumerate() {
            if range.contains(Range::from_address(party.address)) {
                parties.add(number);
            }
        }
        parties
    }

    /// The pods that have a container port of this protocol and name, by the port's number.
    pub fn parties_by_port_name(&self, protocol: u8, name: &Text) -> impl Iterator<Item = (u16, &Parties)> {
        let ports = self.ports.get(&(protocol, name.clone())).into_iter().flatten();
        ports.map(|(number, pods)| (*number, pods))
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            PartyKind::Pod(namespace, name) => write!(f, "pod {namespace}/{name} ({})", self.address),
            PartyKind::Imagined(words) => write!(f, "{words} ({})", self.address),
            PartyKind::Node(name) => write!(f, "node {name} ({})", self.address),
            PartyKind::Outside => write!(f, "{}, outside of the cluster", self.address),
        }?;
        f.write_str(self.network())
    }
}

impl Party {
    const fn network(&self) -> &'static str {
        if self.has_other_network { ", on the other network" } else { "" }
    }
}
