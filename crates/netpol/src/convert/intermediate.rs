//! Policies of Calico without what only Calico's language has: the form from which the policies of every target are written.
//!
//! Selectors are label selectors of Kubernetes here, one for each alternative; ranges have no second list of exceptions, and ports none of ports
//! that are not meant. What cannot be said so has been refused before, rule by rule.

use std::collections::BTreeSet;
use std::net::IpAddr;

use snapshot::Range;
use snapshot::model::Text;

use crate::convert::objects::Name;
use crate::engines::calico::Message;
use crate::engines::kubernetes::{Block, LabelSelector, PortNumber, Requirement};
use crate::gather::Reference;
use crate::tier::{Direction, End};
use crate::traffic::Ports;
use crate::world::Namespace;

/// All policies that are to be converted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlainPolicies {
    /// The tiers, the first one first.
    pub tiers: Vec<Tier>,
    /// The namespaces that are there.
    pub namespaces: Vec<Namespace>,
    /// The NetworkPolicies of Kubernetes beside them, which stay: namespace and name.
    pub kubernetes: Vec<(Text, Text)>,
    /// The names that objects of the cluster have which no conversion made.
    pub taken_names: BTreeSet<Name>,
    /// The ranges from which pods get their addresses.
    pub pod_ranges: Vec<Range>,
    /// The addresses of the nodes.
    pub node_addresses: Vec<IpAddr>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Tier {
    pub name: Text,
    /// What becomes of packets that one of its policies is about and no rule decides; to let them through is to pass them to the next tier.
    pub end: End,
    /// Its policies, the first one first.
    pub policies: Vec<Policy>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The object that it is made of.
    pub source: Reference,
    /// Its name, without the tier's.
    pub name: Text,
    /// Its namespace; none of a GlobalNetworkPolicy.
    pub namespace: Option<Text>,
    /// Its place is after the NetworkPolicies of Kubernetes, which have one in the default tier.
    pub is_after_kubernetes: bool,
    /// Its place is after some of them and before others.
    pub is_among_kubernetes: bool,
    /// The pods that it selects: those of one of these. Without any it selects nothing.
    pub subjects: Vec<PodSelection>,
    /// The directions that it is about.
    pub types: Vec<Direction>,
    /// The rules of both directions, those of each in order.
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Whether it is about packets that pods receive or about those that they send.
    pub direction: Direction,
    /// Its number in the policy that it is made of.
    pub number: usize,
    /// What becomes of the packets.
    pub action: Action,
    /// The pods that it is about, where these are not all that the policy selects.
    pub subjects: Option<Vec<PodSelection>>,
    /// The other end: one of these. None means every peer; the list is never empty.
    pub peers: Option<Vec<Peer>>,
    /// The traffic: one of these. None is all of it; the list is never empty.
    pub traffic: Option<Vec<Traffic>>,
    /// Of a Pass: what the later tiers before the NetworkPolicies of Kubernetes decide of its packets stands in the rules before it.
    pub skips: bool,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Lets packets through.
    Allow,
    /// Drops them.
    Deny,
    /// Lets the next tier decide; after the last one, packets are let through.
    Pass,
}

/// Pods that fulfil all of these conditions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodSelection {
    /// They are in this namespace.
    pub namespace: Option<Text>,
    /// Their namespace has labels like this.
    pub namespaces: LabelSelector,
    /// They have labels like this.
    pub pods: LabelSelector,
    /// Their service accounts have labels like this; the key [`crate::expression::ACCOUNT_NAME`] is the account's name.
    pub accounts: Vec<Requirement>,
}

/// An other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    Pods(PodSelection),
    /// Addresses, whichever endpoint has them.
    Block(Block),
}

/// Traffic of one protocol: all that is said here is true of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// The protocol's number.
    pub protocol: u8,
    /// The destination port.
    pub to: Option<PortNumber>,
    /// The source ports.
    pub from: Option<Ports>,
    /// The messages of ICMP or ICMPv6.
    pub message: Option<Message>,
}

impl Policy {
    /// The rules of a direction, in order.
    pub fn rules_in(&self, direction: Direction) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(move |rule| rule.direction == direction)
    }
}

impl Rule {
    /// Its direction, and its number in the policy that it is made of.
    #[must_use]
    pub const fn position(&self) -> (Direction, usize) {
        (self.direction, self.number)
    }

    /// Its place in the policy that it is made of: `spec.ingress[0]`.
    #[must_use]
    pub fn place(&self) -> String {
        place(self.direction, self.number)
    }
}

/// The place of a rule: `spec.ingress[0]`.
#[must_use]
pub fn place(direction: Direction, number: usize) -> String {
    format!("spec.{}[{number}]", direction.name().to_lowercase())
}
