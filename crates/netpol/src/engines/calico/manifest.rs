//! Policies, tiers, network sets and host endpoints as they are written, in the API of `projectcalico.org/v3` and in that of its backing resources.

use serde::Deserialize;
use serde_json::Value;
use snapshot::model::Text;

use super::entity::{EntitySpec, Number, protocol, ranges};
use super::object::{HostEndpoint, Message, NetworkSet, Order, Policy, Rule, RuleAction, Set, Tier};
use super::selector::{parse, parse_for_accounts, parse_for_namespaces};
use crate::engines::manifest::{self, Manifest, Metadata, directions, entries};
use crate::expression::Expression;
use crate::tier::{Direction, End};
use crate::traffic::{ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE};
use crate::world::mention::bounded_sources;

/// The tier of policies that name none. *Source*: Calico, "Tier".
const DEFAULT_TIER: &str = "default";

/// Reads a NetworkPolicy or a GlobalNetworkPolicy.
///
/// # Errors
/// One line that names what is not as the API has it, or what an evaluator cannot know; nothing of a policy is skipped.
pub fn read_policy(object: &Value) -> Result<Policy, String> {
    let written: Manifest<Spec> = manifest::object(object)?;
    let Metadata { name, namespace, .. } = written.metadata;
    written.spec.read(&name, namespace.as_ref())
}

/// Reads a Tier.
///
/// # Errors
/// One line that names what is not as the API has it.
pub fn read_tier(object: &Value) -> Result<Tier, String> {
    let written: Manifest<TierSpec> = manifest::object(object)?;
    let name = written.metadata.name;
    let end = match written.spec.default_action.as_deref() {
        None | Some("Deny") => End::Deny,
        Some("Pass") => End::Allow,
        Some(other) => {
            return Err(format!("spec.defaultAction: {other:?}: expected Deny or Pass"));
        }
    };
    Ok(Tier { order: Order { number: written.spec.order, name }, end })
}

/// Reads a NetworkSet or a GlobalNetworkSet.
///
/// # Errors
/// One line that names what is not as the API has it.
pub fn read_set(object: &Value) -> Result<NetworkSet, String> {
    let written: Manifest<SetSpec> = manifest::object(object)?;
    let Metadata { namespace, labels, .. } = written.metadata;
    let addresses = ranges(&written.spec.nets).map_err(|why| format!("spec.nets: {why}"))?;
    Ok(Set { namespace, labels, addresses })
}

/// Reads a HostEndpoint.
///
/// # Errors
/// One line that names what is not as the API has it.
pub fn read_host_endpoint(object: &Value) -> Result<HostEndpoint, String> {
    let written: Manifest<HostSpec> = manifest::object(object)?;
    let labels = written.metadata.labels;
    let to_ip_addr = |text: &Text| text.parse().map_err(|why| format!("spec.expectedIPs: {text:?}: {why}"));
    let addresses = written.spec.expected_ips.iter().map(to_ip_addr).collect::<Result<_, _>>()?;
    Ok(Set { namespace: None, labels, addresses })
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
    ingress: Option<Vec<RuleSpec>>,
    #[serde(default)]
    egress: Option<Vec<RuleSpec>>,
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
struct RuleSpec {
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
    source: EntitySpec,
    #[serde(default)]
    destination: EntitySpec,
    #[serde(default)]
    http: Option<Value>,
    /// For people and logs.
    #[serde(default, rename = "metadata")]
    _metadata: Option<Value>,
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
            Some(types) => directions(&types, "spec.types")?,
            // *Source*: `GlobalNetworkPolicySpec.Types`.
            None if egress.is_empty() => vec![Direction::Ingress],
            None if ingress.is_empty() => vec![Direction::Egress],
            None => Direction::ALL.to_vec(),
        };
        let rules = |rules: Vec<RuleSpec>, way: &str| {
            let read = |rule: RuleSpec| rule.read(namespace).map_err(|why| format!(".{why}"));
            entries(rules, &format!("spec.{way}"), read)
        };
        let (ingress, egress) = (rules(ingress, "ingress")?, rules(egress, "egress")?);
        let sources = ingress.iter().chain(&egress).map(|rule| &rule.source);
        let ranges = sources.map(|source| source.ports.len() + source.not_ports.len()).sum();
        bounded_sources(ranges).map_err(|why| format!("spec.{why}"))?;
        Ok(Policy {
            namespace: namespace.cloned(),
            name: short.into(),
            order: Order { number: self.order, name: place(namespace, &tier, short) },
            tier,
            pods,
            types,
            ingress,
            egress,
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
        Ok(conjunction([place, within, account, own]))
    }
}

/// By what the place of a policy goes where numbers are equal: its name in Calico's data model, with the tier's and the namespace's.
///
/// *Source*: projectcalico/calico, `felix/calc/policy_sorter.go`, `PolKVLess`.
fn place(namespace: Option<&Text>, tier: &str, short: &str) -> Text {
    let namespace = namespace.map_or_else(String::new, |name| format!("{name}/"));
    format!("{namespace}{tier}.{short}").into()
}

pub(super) fn conjunction<const N: usize>(conditions: [Option<Expression>; N]) -> Expression {
    let mut expressions: Vec<_> = conditions.into_iter().flatten().collect();
    match expressions.len() {
        0 => Expression::Always,
        1 => expressions.remove(0),
        _ => Expression::And(expressions),
    }
}

impl RuleSpec {
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
        rule.check()
    }
}

impl Rule {
    /// Holds the rule to what Calico's own API accepts.
    fn check(self) -> Result<Self, String> {
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
