//! Policies, tiers, network sets and host endpoints as they are written, in the API of `projectcalico.org/v3` and in that of its backing resources. Pure.

use std::cmp::Ordering;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use super::selector::{parse, parse_for_accounts, parse_for_namespaces};
use crate::cidr::Range;
use crate::model::{Labels, Text};
use crate::policies::expression::{ACCOUNT_NAME, Expression, Of};
use crate::policies::tier::{Direction, End};
use crate::policies::traffic::{ICMP, ICMPV6, Ports, SCTP, TCP, UDP, UDPLITE};

/// The tier of policies that name none. *Source*: Calico, "Tier".
const DEFAULT_TIER: &str = "default";

/// The place of a tier, or of a policy in its tier: by number, the last ones without a number, and by name where the numbers are equal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Order {
    /// The number; none is after every number.
    pub number: Option<f64>,
    /// The name.
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

/// A Tier.
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

/// A rule.
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

/// What a rule does.
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
    /// The endpoints and network sets that are meant; none is everybody, also outside of the cluster.
    pub selected: Option<Expression>,
    /// The address is in one of these, if there are any.
    pub nets: Vec<Range>,
    /// The ports, if there are any.
    pub ports: Vec<Port>,
    /// Endpoints and network sets that are not meant; everybody else is.
    pub not_selected: Option<Expression>,
    /// The address is in none of these.
    pub not_nets: Vec<Range>,
    /// The port is none of these.
    pub not_ports: Vec<Port>,
}

/// Ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    /// A range.
    Range(Ports),
    /// The container port of this name.
    Name(Text),
}

/// Numbers that may be written as text.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Number {
    /// As a number.
    Number(u64),
    /// As text.
    Text(Text),
}

/// A NetworkSet or a GlobalNetworkSet.
pub type NetworkSet = Set<Range>;
/// A HostEndpoint.
pub type HostEndpoint = Set<IpAddr>;

/// Addresses that have labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set<A> {
    /// The namespace, of a NetworkSet.
    pub namespace: Option<Text>,
    /// The labels.
    pub labels: Labels,
    /// The addresses.
    pub addresses: Vec<A>,
}

/// Reads a NetworkPolicy or a GlobalNetworkPolicy.
///
/// # Errors
/// One line that names what is not as the API has it, or what an evaluator cannot know; nothing of a policy is skipped.
pub fn read_policy(object: &Value) -> Result<Policy, String> {
    let written: Written<Spec> = serde_json::from_value(object.clone()).map_err(|why| why.to_string())?;
    let Metadata { name, namespace, .. } = written.metadata;
    let named = |why: String| match &namespace {
        Some(namespace) => format!("NetworkPolicy {namespace}/{name}: {why}"),
        None => format!("GlobalNetworkPolicy {name}: {why}"),
    };
    written.spec.read(&name, namespace.as_ref()).map_err(named)
}

/// Reads a Tier.
///
/// # Errors
/// One line that names what is not as the API has it.
pub fn read_tier(object: &Value) -> Result<Tier, String> {
    let written: Written<TierSpec> = serde_json::from_value(object.clone()).map_err(|why| why.to_string())?;
    let name = written.metadata.name;
    let end = match written.spec.default_action.as_deref() {
        None | Some("Deny") => End::Deny,
        Some("Pass") => End::Allow,
        Some(other) => {
            return Err(format!("Tier {name}: spec.defaultAction: {other:?}: expected Deny or Pass"));
        }
    };
    Ok(Tier { order: Order { number: written.spec.order, name }, end })
}

/// Reads a NetworkSet or a GlobalNetworkSet.
///
/// # Errors
/// One line that names what is not as the API has it.
pub fn read_set(object: &Value) -> Result<NetworkSet, String> {
    let written: Written<SetSpec> = serde_json::from_value(object.clone()).map_err(|why| why.to_string())?;
    let Metadata { name, namespace, labels } = written.metadata;
    let addresses =
        ranges(&written.spec.nets).map_err(|why| format!("network set {name}: spec.nets: {why}"))?;
    Ok(Set { namespace, labels, addresses })
}

/// Reads a HostEndpoint.
///
/// # Errors
/// One line that names what is not as the API has it.
pub fn read_host_endpoint(object: &Value) -> Result<HostEndpoint, String> {
    let written: Written<HostSpec> = serde_json::from_value(object.clone()).map_err(|why| why.to_string())?;
    let Metadata { name, labels, .. } = written.metadata;
    let one = |text: &Text| {
        text.parse().map_err(|why| format!("HostEndpoint {name}: spec.expectedIPs: {text:?}: {why}"))
    };
    let addresses = written.spec.expected_ips.iter().map(one).collect::<Result<_, _>>()?;
    Ok(Set { namespace: None, labels, addresses })
}

#[derive(Deserialize)]
struct Written<S> {
    metadata: Metadata,
    spec: S,
}

#[derive(Deserialize)]
struct Metadata {
    name: Text,
    #[serde(default)]
    namespace: Option<Text>,
    #[serde(default)]
    labels: Labels,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TierSpec {
    #[serde(default)]
    order: Option<f64>,
    #[serde(default)]
    default_action: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetSpec {
    #[serde(default)]
    nets: Vec<Text>,
}

#[derive(Deserialize)]
struct HostSpec {
    #[serde(default, rename = "expectedIPs")]
    expected_ips: Vec<Text>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    #[serde(default)]
    tier: Option<Text>,
    #[serde(default)]
    order: Option<f64>,
    #[serde(default)]
    selector: Option<Text>,
    #[serde(default)]
    namespace_selector: Option<Text>,
    #[serde(default)]
    service_account_selector: Option<Text>,
    #[serde(default)]
    types: Option<Vec<Text>>,
    #[serde(default)]
    ingress: Option<Vec<WrittenRule>>,
    #[serde(default)]
    egress: Option<Vec<WrittenRule>>,
    #[serde(default)]
    do_not_track: bool,
    #[serde(default, rename = "preDNAT")]
    pre_dnat: bool,
    #[serde(default)]
    apply_on_forward: bool,
    /// What it says of performance changes no verdict.
    #[serde(default, rename = "performanceHints")]
    _performance_hints: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenRule {
    action: Text,
    #[serde(default)]
    ip_version: Option<u8>,
    #[serde(default)]
    protocol: Option<Number>,
    #[serde(default)]
    not_protocol: Option<Number>,
    #[serde(default)]
    icmp: Option<Message>,
    #[serde(default, rename = "notICMP")]
    not_icmp: Option<Message>,
    #[serde(default)]
    source: WrittenEntity,
    #[serde(default)]
    destination: WrittenEntity,
    #[serde(default)]
    http: Option<Value>,
    /// For people and logs.
    #[serde(default, rename = "metadata")]
    _metadata: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct WrittenEntity {
    selector: Text,
    namespace_selector: Text,
    not_selector: Text,
    nets: Vec<Text>,
    not_nets: Vec<Text>,
    ports: Vec<Number>,
    not_ports: Vec<Number>,
    service_accounts: Option<Accounts>,
    services: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Accounts {
    names: Vec<Text>,
    selector: Text,
}

impl Spec {
    fn read(self, name: &Text, namespace: Option<&Text>) -> Result<Policy, String> {
        // These are about host endpoints, and what they do to pods is done before any other policy.
        for (set, field) in [
            (self.do_not_track, "doNotTrack"),
            (self.pre_dnat, "preDNAT"),
            (self.apply_on_forward, "applyOnForward"),
        ] {
            if set {
                return Err(format!(
                    "spec.{field}: a policy of host endpoints, which no evaluator speaks for"
                ));
            }
        }
        let tier = self.tier.clone().filter(|tier| !tier.is_empty()).unwrap_or_else(|| DEFAULT_TIER.into());
        // The backing resources have the tier before the name.
        let short = name.strip_prefix(&format!("{tier}.")).unwrap_or(name);
        let pods = self.selects(namespace)?;
        let (ingress, egress) = (self.ingress.unwrap_or_default(), self.egress.unwrap_or_default());
        let types = match self.types.filter(|types| !types.is_empty()) {
            Some(types) => types.iter().map(|one| direction(one)).collect::<Result<Vec<_>, _>>()?,
            // *Source*: `GlobalNetworkPolicySpec.Types`.
            None if egress.is_empty() => vec![Direction::Ingress],
            None if ingress.is_empty() => vec![Direction::Egress],
            None => Direction::ALL.to_vec(),
        };
        let rules = |rules: Vec<WrittenRule>, way: &str| {
            let one = |(place, rule): (usize, WrittenRule)| {
                rule.read(namespace).map_err(|why| format!("spec.{way}[{place}].{why}"))
            };
            rules.into_iter().enumerate().map(one).collect::<Result<Vec<_>, _>>()
        };
        Ok(Policy {
            namespace: namespace.cloned(),
            name: short.into(),
            order: Order {
                number: self.order,
                name: format!("{}/{short}", namespace.map_or("", |name| name)).into(),
            },
            tier,
            pods,
            types,
            ingress: rules(ingress, "ingress")?,
            egress: rules(egress, "egress")?,
        })
    }

    /// The condition on the pods that the policy selects.
    fn selects(&self, namespace: Option<&Text>) -> Result<Expression, String> {
        let read = |text: &Option<Text>, parse: fn(&str) -> Result<Expression, String>, field: &str| {
            text.as_deref()
                .filter(|text| !text.is_empty())
                .map(parse)
                .transpose()
                .map_err(|why| format!("spec.{field}: {why}"))
        };
        let own = read(&self.selector, parse, "selector")?;
        let within = read(&self.namespace_selector, parse_for_namespaces, "namespaceSelector")?;
        let account = read(&self.service_account_selector, parse_for_accounts, "serviceAccountSelector")?;
        if namespace.is_some() && within.is_some() {
            return Err("spec.namespaceSelector: no such field in a policy of one namespace".into());
        }
        let place = namespace.map(|name| Expression::Within(name.clone()));
        Ok(all([place, within, account, own]))
    }
}

fn all<const N: usize>(conditions: [Option<Expression>; N]) -> Expression {
    let mut found: Vec<_> = conditions.into_iter().flatten().collect();
    match found.len() {
        0 => Expression::Always,
        1 => found.remove(0),
        _ => Expression::And(found),
    }
}

fn direction(name: &str) -> Result<Direction, String> {
    let known = Direction::ALL.into_iter().find(|one| one.name() == name);
    known.ok_or_else(|| format!("spec.types: {name:?}: expected Ingress or Egress"))
}

impl WrittenRule {
    fn read(self, namespace: Option<&Text>) -> Result<Rule, String> {
        if self.http.is_some() {
            return Err("http: requests, of which no evaluator of packets can tell".into());
        }
        let action = match &*self.action {
            "Allow" => RuleAction::Allow,
            "Deny" => RuleAction::Deny,
            "Log" => RuleAction::Log,
            "Pass" => RuleAction::Pass,
            other => return Err(format!("action: {other:?}: expected Allow, Deny, Log or Pass")),
        };
        let is_v6 = match self.ip_version {
            None => None,
            Some(4) => Some(false),
            Some(6) => Some(true),
            Some(other) => return Err(format!("ipVersion: {other}: expected 4 or 6")),
        };
        let protocol = |number: Option<Number>, field: &str| {
            number.map(|number| protocol(&number)).transpose().map_err(|why| format!("{field}: {why}"))
        };
        let rule = Rule {
            action,
            is_v6,
            protocol: protocol(self.protocol, "protocol")?,
            not_protocol: protocol(self.not_protocol, "notProtocol")?,
            icmp: self.icmp,
            not_icmp: self.not_icmp,
            source: self.source.read(namespace).map_err(|why| format!("source.{why}"))?,
            destination: self.destination.read(namespace).map_err(|why| format!("destination.{why}"))?,
        };
        rule.checked()
    }
}

impl Rule {
    /// Holds the rule to what Calico's own API accepts.
    fn checked(self) -> Result<Self, String> {
        let with_ports = [TCP, UDP, SCTP, UDPLITE];
        let has_ports = [&self.source, &self.destination]
            .iter()
            .any(|end| !end.ports.is_empty() || !end.not_ports.is_empty());
        if has_ports && !self.protocol.is_some_and(|protocol| with_ports.contains(&protocol)) {
            return Err(
                "protocol: expected one with ports (TCP, UDP, SCTP, UDPLite), for the rule has ports".into(),
            );
        }
        let has_messages = self.icmp.is_some() || self.not_icmp.is_some();
        if has_messages && !self.protocol.is_some_and(|protocol| [ICMP, ICMPV6].contains(&protocol)) {
            return Err("protocol: expected ICMP or ICMPv6, for the rule has messages".into());
        }
        Ok(self)
    }
}

/// *Source*: `numorstring.Protocol`.
fn protocol(number: &Number) -> Result<Protocol, String> {
    let expected = "expected TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite or a number from 1 to 255";
    match number {
        Number::Number(number) => u8::try_from(*number)
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| format!("{number}: {expected}")),
        Number::Text(name) => match name.to_ascii_lowercase().as_str() {
            "tcp" => Ok(TCP),
            "udp" => Ok(UDP),
            "icmp" => Ok(ICMP),
            "icmpv6" => Ok(ICMPV6),
            "sctp" => Ok(SCTP),
            "udplite" => Ok(UDPLITE),
            other => {
                other.parse().ok().filter(|number| *number > 0).ok_or_else(|| format!("{name:?}: {expected}"))
            }
        },
    }
}

impl WrittenEntity {
    fn read(self, namespace: Option<&Text>) -> Result<Entity, String> {
        if self.services.is_some() {
            return Err("services: the endpoints of Services, which no evaluator reads yet".into());
        }
        Ok(Entity {
            selected: self.selected(namespace)?,
            not_selected: if self.not_selector.is_empty() {
                None
            } else {
                Some(parse(&self.not_selector).map_err(|why| format!("notSelector: {why}"))?)
            },
            nets: ranges(&self.nets).map_err(|why| format!("nets: {why}"))?,
            not_nets: ranges(&self.not_nets).map_err(|why| format!("notNets: {why}"))?,
            ports: ports(&self.ports).map_err(|why| format!("ports: {why}"))?,
            not_ports: ports(&self.not_ports).map_err(|why| format!("notPorts: {why}"))?,
        })
    }

    /// *Source*: projectcalico/calico, `libcalico-go/lib/backend/syncersv1/updateprocessors/rules.go`, `getEndpointSelector`: a selector in a policy of one
    /// namespace means that namespace, unless a selector of namespaces stands beside it.
    fn selected(&self, namespace: Option<&Text>) -> Result<Option<Expression>, String> {
        let accounts = self.service_accounts.as_ref().map(Accounts::read).transpose();
        let accounts = accounts.map_err(|why| format!("serviceAccounts.{why}"))?;
        if self.selector.is_empty() && self.namespace_selector.is_empty() && accounts.is_none() {
            return Ok(None);
        }
        let place = if self.namespace_selector.is_empty() {
            namespace.map(|name| Expression::Within(name.clone()))
        } else {
            Some(
                parse_for_namespaces(&self.namespace_selector)
                    .map_err(|why| format!("namespaceSelector: {why}"))?,
            )
        };
        let own = (!self.selector.is_empty()).then(|| parse(&self.selector)).transpose();
        Ok(Some(all([place, accounts, own.map_err(|why| format!("selector: {why}"))?])))
    }
}

impl Accounts {
    fn read(&self) -> Result<Expression, String> {
        let named = (!self.names.is_empty())
            .then(|| Expression::In(Of::Account, ACCOUNT_NAME.into(), self.names.clone()));
        let labelled = (!self.selector.is_empty()).then(|| parse_for_accounts(&self.selector)).transpose();
        Ok(all([named, labelled.map_err(|why| format!("selector: {why}"))?]))
    }
}

fn ranges(written: &[Text]) -> Result<Vec<Range>, String> {
    let one = |text: &Text| {
        let whole = match text.parse::<IpAddr>() {
            // *Source*: Calico's API takes an address for the range that it is alone.
            Ok(address) => return Ok(Range::of(address)),
            Err(_) => Range::read(text),
        };
        whole.map(|(range, _)| range).map_err(|why| format!("{text:?}: {why}"))
    };
    written.iter().map(one).collect()
}

/// *Source*: `numorstring.Port`: a number, `FIRST:LAST`, or a name.
fn ports(written: &[Number]) -> Result<Vec<Port>, String> {
    let number = |number: u64| u16::try_from(number).map_err(|_| format!("{number}: expected 0 to 65535"));
    let one = |port: &Number| match port {
        Number::Number(one) => number(*one).map(|one| Port::Range(one..=one)),
        Number::Text(text) => match text.split_once(':') {
            Some((first, last)) => {
                let end = |text: &str| text.parse().map_err(|_| format!("{text:?}: expected FIRST:LAST"));
                let (first, last) = (end(first)?, end(last)?);
                if first > last {
                    Err(format!("{text:?}: the first port is above the last"))
                } else {
                    Ok(Port::Range(first..=last))
                }
            }
            None => match text.parse() {
                Ok(one) => Ok(Port::Range(one..=one)),
                Err(_) => Ok(Port::Name(text.clone())),
            },
        },
    };
    written.iter().map(one).collect()
}
