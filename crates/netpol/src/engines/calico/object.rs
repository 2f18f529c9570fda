//! Policies, tiers, network sets and host endpoints.

use std::cmp::Ordering;
use std::net::IpAddr;

use serde::Deserialize;
use snapshot::Range;
use snapshot::model::{Labels, Text};

use crate::expression::Expression;
use crate::tier::{Direction, End};
use crate::traffic::Ports;

/// The place of a tier, or of a policy in its tier: by number, the last ones without a number, and by name where the numbers are equal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Order {
    /// The number; none is after every number.
    pub number: Option<f64>,
    pub name: Text,
}

impl Eq for Order {}

impl PartialOrd for Order {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Order {
    fn cmp(&self, other: &Self) -> Ordering {
        let number = |order: &Self| order.number.unwrap_or(f64::INFINITY);
        number(self).total_cmp(&number(other)).then_with(|| self.name.cmp(&other.name))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// Its place.
    pub order: Order,
    /// What becomes of packets that a policy of the tier is about and no rule decides; to let them through is to pass them to the next tier.
    pub end: End,
}

/// A NetworkPolicy or a GlobalNetworkPolicy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its namespace; none of a GlobalNetworkPolicy.
    pub namespace: Option<Text>,
    /// Its name, without the tier's.
    pub name: Text,
    /// The name of its tier.
    pub tier: Text,
    /// Its place in the tier.
    pub order: Order,
    /// The pods that it selects.
    pub pods: Expression,
    /// The directions that it is about.
    pub types: Vec<Direction>,
    /// The rules for packets that these pods receive.
    pub ingress: Vec<Rule>,
    /// The rules for packets that they send.
    pub egress: Vec<Rule>,
}

impl Policy {
    /// The rules for one direction.
    #[must_use]
    pub fn rules_in(&self, direction: Direction) -> &[Rule] {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What becomes of the packets.
    pub action: RuleAction,
    /// The family that is meant, if one is: whether IPv6.
    pub is_v6: Option<bool>,
    /// The protocol that is meant, if one is.
    pub protocol: Option<Protocol>,
    /// A protocol that is not meant.
    pub not_protocol: Option<Protocol>,
    /// The messages that are meant.
    pub icmp: Option<Message>,
    /// Messages that are not meant.
    pub not_icmp: Option<Message>,
    /// Where the packets come from.
    pub source: Entity,
    /// Where they go.
    pub destination: Entity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleAction {
    /// Lets packets through.
    Allow,
    /// Drops them.
    Deny,
    /// Notes them; the next rule decides.
    Log,
    /// Lets the next tier decide, or the profiles after the last one.
    Pass,
}

/// A protocol's number.
pub type Protocol = u8;

/// Messages of ICMP or ICMPv6.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// The type; any, if there is none.
    #[serde(rename = "type")]
    pub kind: Option<u8>,
    /// The code; any, if there is none.
    pub code: Option<u8>,
}

/// One end of a rule's packets. All that it says is true of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entity {
    /// The endpoints and network sets that are meant; none means every peer, also outside of the cluster.
    pub selected: Option<Expression>,
    /// The address is in one of these, if there are any.
    pub nets: Vec<Range>,
    /// The ports, if there are any.
    pub ports: Vec<Port>,
    /// Endpoints and network sets that are not meant; all others are.
    pub not_selected: Option<Expression>,
    /// The address is in none of these.
    pub not_nets: Vec<Range>,
    /// The port is none of these.
    pub not_ports: Vec<Port>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    Range(Ports),
    /// The container port of this name.
    Name(Text),
}

/// A NetworkSet or a GlobalNetworkSet.
pub type NetworkSet = Set<Range>;
pub type HostEndpoint = Set<IpAddr>;

/// Addresses that have labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set<A> {
    /// The namespace, of a NetworkSet.
    pub namespace: Option<Text>,
    pub labels: Labels,
    pub addresses: Vec<A>,
}
