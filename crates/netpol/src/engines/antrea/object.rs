//! Policies and tiers of Antrea.

use serde::Deserialize;
use serde_json::Value;
use snapshot::model::Text;

use crate::engines::kubernetes::{self, Block};
use crate::engines::manifest::{self, Manifest};
use crate::expression::Expression;
use crate::traffic::Ports;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    pub name: Text,
    /// Its place: the lowest one is first.
    pub priority: i32,
}

/// A NetworkPolicy or a ClusterNetworkPolicy of Antrea.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Its namespace; none of a ClusterNetworkPolicy.
    pub namespace: Option<Text>,
    pub name: Text,
    /// The name of its tier.
    pub tier: Text,
    /// Its place in the tier: the lowest one is first.
    pub priority: f64,
    /// The rules for packets that pods receive.
    pub ingress: Vec<Rule>,
    /// The rules for packets that pods send.
    pub egress: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The pods that it is applied to: by itself, or by its policy.
    pub applied: Vec<Target>,
    /// What becomes of the packets.
    pub action: RuleAction,
    /// The other end; every peer, if the list is empty.
    pub peers: Vec<Peer>,
    /// The ports. Without ports and messages all traffic is meant.
    pub ports: Vec<Port>,
    /// The messages of ICMP, or of ICMPv6 between addresses of IPv6.
    pub messages: Vec<Message>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleAction {
    /// Lets packets through.
    Allow,
    /// Drops them, with an answer (Reject) or without one (Drop).
    Deny,
    /// Lets the NetworkPolicies of Kubernetes decide, and after them the baseline tier.
    Pass,
}

/// Pods that a rule is applied to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Those for which a condition is true.
    Pods(Expression),
    /// The members of a group, by its name.
    Group(Text),
}

/// An other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// Pods for which a condition is true.
    Pods(Expression),
    /// Those of them in the namespace of the pod that the rule is applied to.
    SameNamespace(Expression),
    /// Those of them in a namespace that has all these labels with the same values as the namespace of the pod that the rule is applied to.
    SameLabels(Vec<Text>, Expression),
    /// Addresses, whichever endpoint has them.
    Block(Block),
    /// The members of a group, by its name.
    Group(Text),
}

/// Ports of a protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The destination port.
    pub to: kubernetes::Port,
    /// The source ports; any, if there are none.
    pub from: Option<Ports>,
}

/// Messages of ICMP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Message {
    /// The type; any, if there is none.
    #[serde(rename = "icmpType")]
    pub kind: Option<u8>,
    /// The code; any, if there is none.
    #[serde(rename = "icmpCode")]
    pub code: Option<u8>,
}

/// Reads a Tier.
///
/// # Errors
/// One line that names what is not as the API has it.
pub fn read_tier(object: &Value) -> Result<Tier, String> {
    let written: Manifest<Spec> = manifest::object(object)?;
    Ok(Tier { name: written.metadata.name, priority: written.spec.priority })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    priority: i32,
    /// For people.
    #[serde(default, rename = "description")]
    _description: Option<Text>,
}
