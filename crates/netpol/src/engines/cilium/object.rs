//! Policies of Cilium.

use snapshot::model::Text;

use crate::engines::kubernetes::{Block, Port};
use crate::expression::Expression;

/// One rule set of a CiliumNetworkPolicy or a CiliumClusterwideNetworkPolicy, or a NetworkPolicy of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What it is, for people.
    pub name: Text,
    /// The pods that it selects.
    pub pods: Expression,
    /// What it says of packets that they receive.
    pub ingress: Side,
    /// What it says of packets that they send.
    pub egress: Side,
}

/// What a policy says of one direction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Side {
    /// Whether nothing is allowed to the selected pods but what some rule allows.
    pub denies_by_default: bool,
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Whether it denies; if not, it allows.
    pub denies: bool,
    /// The other end: one of these.
    pub ends: Vec<End>,
    /// The traffic: all of it, or what these are.
    pub kinds: Option<Vec<Kind>>,
    /// Its place in the policy, for people: `spec.ingressDeny[0]`.
    pub place: Text,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    All,
    /// Parties for whose labels a condition is true. Those who are no pod have no labels.
    Labelled(Expression),
    /// Addresses outside of the cluster; those of nodes, too, if Cilium is set so.
    Block(Block),
    /// All parties outside of the cluster, or those with an address of one family: whether IPv6.
    World(Option<bool>),
    /// All pods and nodes.
    Cluster,
    /// All nodes but the pod's own.
    RemoteNodes,
}

/// Traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Port(Port),
    /// Messages of a protocol, ICMP or ICMPv6, of this type.
    Message(u8, u8),
}
