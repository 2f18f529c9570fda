//! ClusterNetworkPolicies as they are written.

use serde::Deserialize;
use serde_json::Value;
use snapshot::Range;
use snapshot::model::Text;

use crate::engines::kubernetes::{self, LabelSelector, PortNumber};
use crate::engines::manifest::{self, Manifest, entries, peers, range};
use crate::expression::{Expression, LabelOwner};
use crate::tier::Direction;
use crate::traffic::{SCTP, TCP, UDP};

/// The highest number of a priority; the lowest is 0.
pub(super) const LAST: u16 = 1000;

/// A policy of an administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its kind, for people.
    pub kind: &'static str,
    pub name: Text,
    /// Its place among the tiers.
    pub place: Place,
    /// Its priority in the tier; a lower number comes first.
    pub priority: u16,
    /// The pods that it is about.
    pub pods: Expression,
    /// The rules for packets that these pods receive.
    pub ingress: Vec<Rule>,
    /// The rules for packets that they send.
    pub egress: Vec<Rule>,
}

/// A tier: before NetworkPolicies, or after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Before NetworkPolicies.
    Admin,
    /// After them, for pods that none of them selects.
    Baseline,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What becomes of the packets.
    pub action: RuleAction,
    /// The other end: one of these.
    pub peers: Vec<Peer>,
    /// The traffic: one of these, or all of it if there is none.
    pub ports: Vec<Port>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleAction {
    /// Lets packets through.
    Accept,
    /// Drops them.
    Deny,
    /// Lets the next tier decide.
    Pass,
}

/// An other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    Pods(Expression),
    /// Addresses, whichever endpoint has them.
    Networks(Vec<Range>),
}

/// Traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    /// To ports of a protocol.
    To(kubernetes::Port),
    /// To the container port of this name, whatever its protocol.
    Named(Text),
}

/// Reads a ClusterNetworkPolicy.
///
/// # Errors
/// One line that names what is not as the API has it, or what an evaluator cannot know; nothing of a policy is skipped.
pub fn read(object: &Value) -> Result<Policy, String> {
    let written: Manifest<Spec> = manifest::object(object)?;
    let name = written.metadata.name;
    let named = |why: String| format!("spec.{why}");
    let Spec { tier, priority, subject, ingress, egress } = written.spec;
    let place = match &*tier {
        "Admin" => Place::Admin,
        "Baseline" => Place::Baseline,
        other => return Err(named(format!("tier: {other:?}: expected Admin or Baseline"))),
    };
    if priority > LAST {
        return Err(named(format!("priority: {priority}: expected 0 to {LAST}")));
    }
    Ok(Policy {
        kind: "ClusterNetworkPolicy",
        place,
        priority,
        pods: subject.read().map_err(|why| named(format!("subject{why}")))?,
        ingress: rules(ingress, Direction::Ingress).map_err(named)?,
        egress: rules(egress, Direction::Egress).map_err(named)?,
        name,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    tier: Text,
    priority: u16,
    subject: Subject,
    #[serde(default)]
    ingress: Vec<RuleSpec>,
    #[serde(default)]
    egress: Vec<RuleSpec>,
}

/// Pods by their namespaces, or by their namespaces and their own labels: one of the two.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Subject {
    #[serde(default)]
    namespaces: Option<LabelSelector>,
    #[serde(default)]
    pods: Option<NamespacedPod>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NamespacedPod {
    #[serde(default)]
    namespace_selector: LabelSelector,
    pod_selector: LabelSelector,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleSpec {
    #[serde(default, rename = "name")]
    _name: Option<Text>,
    action: Text,
    #[serde(default)]
    from: Option<Vec<PeerSpec>>,
    #[serde(default)]
    to: Option<Vec<PeerSpec>>,
    #[serde(default)]
    protocols: Option<Vec<ProtocolSpec>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PeerSpec {
    #[serde(default)]
    namespaces: Option<LabelSelector>,
    #[serde(default)]
    pods: Option<NamespacedPod>,
    #[serde(default)]
    nodes: Option<Value>,
    #[serde(default)]
    networks: Option<Vec<Text>>,
    #[serde(default)]
    domain_names: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ProtocolSpec {
    #[serde(default)]
    tcp: Option<PortsSpec>,
    #[serde(default)]
    udp: Option<PortsSpec>,
    #[serde(default)]
    sctp: Option<PortsSpec>,
    #[serde(default)]
    destination_named_port: Option<Text>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PortsSpec {
    #[serde(default)]
    destination_port: Option<PortSpec>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PortSpec {
    #[serde(default)]
    number: Option<u16>,
    #[serde(default)]
    range: Option<RangeSpec>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeSpec {
    start: u16,
    end: u16,
}

impl Subject {
    pub(super) fn read(self) -> Result<Expression, String> {
        pods(self.namespaces, self.pods)?.ok_or_else(|| ": expected namespaces or pods".into())
    }
}

/// The condition on pods that one of the two is; none if neither is there.
fn pods(
    namespaces: Option<LabelSelector>,
    pods: Option<NamespacedPod>,
) -> Result<Option<Expression>, String> {
    match (namespaces, pods) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(": namespaces beside pods, where the API has one of them".into()),
        (Some(namespaces), None) => namespaces
            .expression(LabelOwner::Namespace)
            .map(Some)
            .map_err(|why| format!(".namespaces: {why}")),
        (None, Some(pods)) => pods.read().map(Some).map_err(|why| format!(".pods.{why}")),
    }
}

impl NamespacedPod {
    fn read(self) -> Result<Expression, String> {
        let within = self.namespace_selector.expression(LabelOwner::Namespace);
        let within = within.map_err(|why| format!("namespaceSelector: {why}"))?;
        let own =
            self.pod_selector.expression(LabelOwner::Pod).map_err(|why| format!("podSelector: {why}"))?;
        Ok(within.and(own))
    }
}

impl PeerSpec {
    pub(super) fn read(self, way: Direction) -> Result<Peer, String> {
        for (set, field) in [(self.nodes.is_some(), "nodes"), (self.domain_names.is_some(), "domainNames")] {
            if set {
                return Err(format!(".{field}: what no evaluator knows of yet"));
            }
        }
        match (pods(self.namespaces, self.pods)?, self.networks) {
            (Some(pods), None) => Ok(Peer::Pods(pods)),
            (None, Some(networks)) if way == Direction::Egress => {
                let range = |text| range(text).map_err(|why| format!(".networks: {why}"));
                networks.iter().map(range).collect::<Result<_, _>>().map(Peer::Networks)
            }
            (None, Some(_)) => Err(".networks: no such field in a rule of this direction".into()),
            (Some(_), Some(_)) => Err(": more than one field, where the API has one".into()),
            (None, None) => Err(": expected namespaces, pods or networks".into()),
        }
    }
}

fn rules(written: Vec<RuleSpec>, way: Direction) -> Result<Vec<Rule>, String> {
    entries(written, &way.name().to_lowercase(), |rule| rule.read(way))
}

/// The other ends of a rule: what `from` or `to` says, by its direction.
pub(super) fn ends(
    from: Option<Vec<PeerSpec>>,
    to: Option<Vec<PeerSpec>>,
    way: Direction,
) -> Result<Vec<Peer>, String> {
    let (written, key) = peers(from, to, way).map_err(|why| format!(".{why}"))?;
    if written.is_empty() {
        return Err(format!(".{key}: expected at least one"));
    }
    entries(written, &format!(".{key}"), |peer| peer.read(way))
}

impl RuleSpec {
    fn read(self, way: Direction) -> Result<Rule, String> {
        let action = match &*self.action {
            "Accept" => RuleAction::Accept,
            "Deny" => RuleAction::Deny,
            "Pass" => RuleAction::Pass,
            other => return Err(format!(".action: {other:?}: expected Accept, Deny or Pass")),
        };
        let peers = ends(self.from, self.to, way)?;
        let ports = entries(self.protocols.unwrap_or_default(), ".protocols", ProtocolSpec::read)?;
        Rule { action, peers, ports }.check()
    }
}

impl Rule {
    /// Holds the rule to what the API accepts: addresses have no ports by name.
    pub(super) fn check(self) -> Result<Self, String> {
        let networks = self.peers.iter().any(|peer| matches!(peer, Peer::Networks(_)));
        if networks && self.ports.iter().any(|port| matches!(port, Port::Named(_))) {
            return Err(": networks beside a port by its name, which the API refuses".into());
        }
        Ok(self)
    }
}

impl ProtocolSpec {
    fn read(self) -> Result<Port, String> {
        let all = [(TCP, "tcp", self.tcp), (UDP, "udp", self.udp), (SCTP, "sctp", self.sctp)];
        let mut resolved_ports =
            all.into_iter().filter_map(|(protocol, name, ports)| Some((protocol, name, ports?)));
        match (resolved_ports.next(), self.destination_named_port) {
            (Some((protocol, name, ports)), None) if resolved_ports.next().is_none() => {
                let port = ports.destination_port.map(PortSpec::read).transpose();
                let port = port.map_err(|why| format!(".{name}.destinationPort{why}"))?;
                Ok(Port::To(kubernetes::Port { protocol, port }))
            }
            (None, Some(name)) => Ok(Port::Named(name)),
            _ => Err(": expected one of tcp, udp, sctp and destinationNamedPort".into()),
        }
    }
}

impl PortSpec {
    fn read(self) -> Result<PortNumber, String> {
        match (self.number, self.range) {
            (Some(number), None) => Ok(PortNumber::Range(number, number)),
            (None, Some(RangeSpec { start, end })) if start < end => Ok(PortNumber::Range(start, end)),
            (None, Some(RangeSpec { start, end })) => {
                Err(format!(".range: {start} to {end}: expected the start below the end"))
            }
            _ => Err(": expected number or range".into()),
        }
    }
}
