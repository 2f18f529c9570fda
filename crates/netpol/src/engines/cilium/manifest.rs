//! Policies of Cilium as they are written.

use serde::Deserialize;
use serde_json::Value;
use snapshot::model::Text;

use super::message;
use super::object::{End, Kind, Policy, Rule, Side};
use super::selector::{peer, subject};
use crate::engines::kubernetes::{Block, LabelSelector, Port, PortNumber};
use crate::engines::manifest::{self, Metadata, last_port, range_or_address};
use crate::traffic::{ICMP, ICMPV6, SCTP, TCP, UDP};

/// Most ports, and most messages, in one entry. *Source*: cilium/cilium, `pkg/policy/api/rule_validation.go`.
pub(crate) const MOST: usize = 40;

/// Reads a CiliumNetworkPolicy or a CiliumClusterwideNetworkPolicy, which may have more than one set of rules.
///
/// # Errors
/// One line that names what is not as the API has it, or what an evaluator cannot know; nothing of a policy is skipped.
pub fn read_policies(object: &Value) -> Result<Vec<Policy>, String> {
    let written: Manifest = manifest::object(object)?;
    let Metadata { name, namespace, .. } = &written.metadata;
    let name = match namespace {
        Some(namespace) => format!("CiliumNetworkPolicy {namespace}/{name}"),
        None => format!("CiliumClusterwideNetworkPolicy {name}"),
    };
    let own = written.spec.map(|spec| ("spec".to_owned(), spec));
    let more = written.specs.unwrap_or_default().into_iter().enumerate();
    let all = own.into_iter().chain(more.map(|(place, spec)| (format!("specs[{place}]"), spec)));
    let read = |(place, spec): (String, Spec)| {
        spec.read(&name, &place, namespace.as_ref()).map_err(|why| format!("{place}.{why}"))
    };
    all.map(read).collect()
}

#[derive(Deserialize)]
struct Manifest {
    metadata: Metadata,
    #[serde(default)]
    spec: Option<Spec>,
    #[serde(default)]
    specs: Option<Vec<Spec>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    #[serde(default)]
    endpoint_selector: Option<LabelSelector>,
    #[serde(default)]
    node_selector: Option<Value>,
    #[serde(default)]
    enable_default_deny: Option<DefaultDeny>,
    #[serde(default)]
    ingress: Option<Vec<RuleSpec>>,
    #[serde(default)]
    ingress_deny: Option<Vec<RuleSpec>>,
    #[serde(default)]
    egress: Option<Vec<RuleSpec>>,
    #[serde(default)]
    egress_deny: Option<Vec<RuleSpec>>,
    /// For people and logs, like the two after it.
    #[serde(default, rename = "description")]
    _description: Option<Value>,
    #[serde(default, rename = "labels")]
    _labels: Option<Value>,
    #[serde(default, rename = "log")]
    _log: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DefaultDeny {
    ingress: Option<bool>,
    egress: Option<bool>,
}

/// The fields of rules of either direction: `from` and `to` begin those of one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RuleSpec {
    #[serde(default)]
    from_endpoints: Option<Vec<LabelSelector>>,
    #[serde(default)]
    to_endpoints: Option<Vec<LabelSelector>>,
    #[serde(default, rename = "fromCIDR")]
    from_cidr: Option<Vec<Text>>,
    #[serde(default, rename = "toCIDR")]
    to_cidr: Option<Vec<Text>>,
    #[serde(default, rename = "fromCIDRSet")]
    from_cidr_set: Option<Vec<BlockSpec>>,
    #[serde(default, rename = "toCIDRSet")]
    to_cidr_set: Option<Vec<BlockSpec>>,
    #[serde(default)]
    from_entities: Option<Vec<Text>>,
    #[serde(default)]
    to_entities: Option<Vec<Text>>,
    #[serde(default)]
    to_ports: Option<Vec<PortsSpec>>,
    #[serde(default)]
    icmps: Option<Vec<MessagesSpec>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BlockSpec {
    #[serde(default)]
    cidr: Option<Text>,
    #[serde(default)]
    except: Option<Vec<Text>>,
    #[serde(default)]
    cidr_group_ref: Option<Value>,
    #[serde(default)]
    cidr_group_selector: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PortsSpec {
    #[serde(default)]
    ports: Vec<PortSpec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PortSpec {
    port: Text,
    #[serde(default)]
    end_port: Option<u16>,
    #[serde(default)]
    protocol: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MessagesSpec {
    #[serde(default)]
    fields: Vec<MessageSpec>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageSpec {
    #[serde(default)]
    family: Option<Text>,
    #[serde(rename = "type")]
    kind: Value,
}

impl Spec {
    fn read(self, name: &str, place: &str, namespace: Option<&Text>) -> Result<Policy, String> {
        if self.node_selector.is_some() {
            return Err("nodeSelector: a policy of nodes, which no evaluator speaks for".into());
        }
        let selector = self.endpoint_selector.ok_or("endpointSelector: expected one")?;
        let pods = subject(&selector, namespace).map_err(|why| format!("endpointSelector: {why}"))?;
        let default = self.enable_default_deny.unwrap_or_default();
        let side = |allowed: Option<Vec<RuleSpec>>,
                    denied: Option<Vec<RuleSpec>>,
                    way: &str,
                    denies_by_default: Option<bool>| {
            let (allowed, denied) = (allowed.unwrap_or_default(), denied.unwrap_or_default());
            let has_rules = !allowed.is_empty() || !denied.is_empty();
            let numbered = |rules: Vec<RuleSpec>, denies: bool| {
                let field = if denies { format!("{way}Deny") } else { way.to_owned() };
                let to_rule = move |(number, rule): (usize, RuleSpec)| {
                    let location = format!("{field}[{number}]");
                    let rule = rule.read(way, denies, &format!("{place}.{location}"), namespace);
                    rule.map_err(|why| format!("{location}{why}"))
                };
                rules.into_iter().enumerate().map(to_rule).collect::<Result<Vec<_>, _>>()
            };
            let rules = [numbered(denied, true)?, numbered(allowed, false)?].concat();
            Ok::<_, String>(Side { denies_by_default: denies_by_default.unwrap_or(has_rules), rules })
        };
        Ok(Policy {
            name: name.into(),
            pods,
            ingress: side(self.ingress, self.ingress_deny, "ingress", default.ingress)?,
            egress: side(self.egress, self.egress_deny, "egress", default.egress)?,
        })
    }
}

impl RuleSpec {
    fn read(self, way: &str, denies: bool, place: &str, namespace: Option<&Text>) -> Result<Rule, String> {
        let is_ingress = way == "ingress";
        let has =
            |from: bool, to: bool, name: &'static str| (if is_ingress { to } else { from }).then_some(name);
        let wrong = has(self.from_endpoints.is_some(), self.to_endpoints.is_some(), "Endpoints")
            .or(has(self.from_cidr.is_some(), self.to_cidr.is_some(), "CIDR"))
            .or(has(self.from_cidr_set.is_some(), self.to_cidr_set.is_some(), "CIDRSet"))
            .or(has(self.from_entities.is_some(), self.to_entities.is_some(), "Entities"));
        let (key, other) = if is_ingress { ("from", "to") } else { ("to", "from") };
        if let Some(name) = wrong {
            return Err(format!(".{other}{name}: no such field in a rule of this direction"));
        }
        let endpoints = self.from_endpoints.or(self.to_endpoints);
        let ranges = self.from_cidr.or(self.to_cidr);
        let blocks = self.from_cidr_set.or(self.to_cidr_set);
        let entities = self.from_entities.or(self.to_entities);
        let named = |name: &'static str| move |why: String| format!(".{key}{name}: {why}");
        let ends = [
            read_each(endpoints, |selector| {
                peer(selector, namespace).map(|selector| vec![End::Labelled(selector)])
            })
            .map_err(named("Endpoints"))?,
            read_each(ranges, |item| {
                range_or_address(item).map(|range| vec![End::Block(Block { range, except: vec![] })])
            })
            .map_err(named("CIDR"))?,
            read_each(blocks, |candidate| candidate.read().map(|block| vec![End::Block(block)]))
                .map_err(named("CIDRSet"))?,
            read_each(entities, entity).map_err(named("Entities"))?,
        ];
        let used: Vec<_> = ends.into_iter().flatten().collect();
        if used.len() > 1 {
            return Err(": more than one way to name the other end, which the API refuses".into());
        }
        let kinds = kinds(self.to_ports, self.icmps)?;
        let ends = match (used.into_iter().next(), &kinds) {
            (Some(ends), _) => ends,
            // Without an other end the traffic of every peer is meant; without traffic as well, nothing.
            (None, Some(_)) => vec![End::All],
            (None, None) => Vec::new(),
        };
        Ok(Rule { denies, ends, kinds, place: place.into() })
    }
}

/// The ends of a list; none if there is no list.
fn read_each<T>(
    list: Option<Vec<T>>,
    read: impl Fn(&T) -> Result<Vec<End>, String>,
) -> Result<Option<Vec<End>>, String> {
    let Some(list) = list else { return Ok(None) };
    let mut all = Vec::new();
    for item in &list {
        all.extend(read(item)?);
    }
    Ok(Some(all))
}

impl BlockSpec {
    fn read(&self) -> Result<Block, String> {
        if self.cidr_group_ref.is_some() || self.cidr_group_selector.is_some() {
            return Err("cidrGroupRef, cidrGroupSelector: groups of ranges, which no evaluator reads".into());
        }
        let cidr = self.cidr.as_ref().ok_or("expected cidr")?;
        let except = self.except.iter().flatten().map(range_or_address).collect::<Result<_, _>>()?;
        Ok(Block { range: range_or_address(cidr)?, except })
    }
}

/// The parties that an entity is; some entities are no party of a world of pods, nodes and those outside.
fn entity(name: &Text) -> Result<Vec<End>, String> {
    Ok(match &**name {
        "all" => vec![End::All],
        "world" => vec![End::World(None)],
        "world-ipv4" => vec![End::World(Some(false))],
        "world-ipv6" => vec![End::World(Some(true))],
        "cluster" => vec![End::Cluster],
        "remote-node" => vec![End::RemoteNodes],
        "host" | "init" | "health" | "ingress" | "unmanaged" | "none" => Vec::new(),
        "kube-apiserver" => return Err("kube-apiserver: addresses that no evaluator knows".into()),
        other => return Err(format!("{other:?}: no entity")),
    })
}

fn kinds(
    ports: Option<Vec<PortsSpec>>,
    messages: Option<Vec<MessagesSpec>>,
) -> Result<Option<Vec<Kind>>, String> {
    let (ports, messages) = (ports.unwrap_or_default(), messages.unwrap_or_default());
    if !ports.is_empty() && !messages.is_empty() {
        return Err(".icmps: beside toPorts, which the API refuses".into());
    }
    let mut all = Vec::new();
    for (place, entry) in ports.iter().enumerate() {
        if entry.ports.is_empty() || entry.ports.len() > MOST {
            return Err(format!(".toPorts[{place}].ports: expected 1 to {MOST} of them"));
        }
        for port in &entry.ports {
            all.extend(port.read().map_err(|why| format!(".toPorts[{place}].ports: {why}"))?);
        }
    }
    for (place, entry) in messages.iter().enumerate() {
        if entry.fields.is_empty() || entry.fields.len() > MOST {
            return Err(format!(".icmps[{place}].fields: expected 1 to {MOST} of them"));
        }
        for field in &entry.fields {
            all.push(field.read().map_err(|why| format!(".icmps[{place}].fields: {why}"))?);
        }
    }
    Ok((!all.is_empty()).then_some(all))
}

impl PortSpec {
    fn read(&self) -> Result<Vec<Kind>, String> {
        let protocols: &[u8] = match self.protocol.as_deref() {
            None | Some("" | "ANY") => &[TCP, UDP, SCTP],
            Some("TCP") => &[TCP],
            Some("UDP") => &[UDP],
            Some("SCTP") => &[SCTP],
            Some(other) => return Err(format!("protocol: {other:?}: expected TCP, UDP, SCTP or ANY")),
        };
        let number = self.port.parse::<u16>();
        let port = match (number, self.end_port.filter(|end| *end > 0)) {
            (Ok(0), _) if protocols.len() > 1 => {
                return Err("port: 0 of any protocol, which releases read in different ways".into());
            }
            (Ok(0), _) => None,
            (Ok(first), end) => {
                let last = last_port(first, end, "endPort")?;
                Some(PortNumber::Range(first, last))
            }
            (Err(_), _) if self.port.chars().any(char::is_alphabetic) => {
                Some(PortNumber::Name(self.port.to_lowercase().into()))
            }
            (Err(_), _) => return Err(format!("port: {:?}: expected 0 to 65535, or a name", self.port)),
        };
        Ok(protocols
            .iter()
            .map(|protocol| Kind::Port(Port { protocol: *protocol, port: port.clone() }))
            .collect())
    }
}

impl MessageSpec {
    fn read(&self) -> Result<Kind, String> {
        let protocol = match self.family.as_deref() {
            None | Some("" | "IPv4") => ICMP,
            Some("IPv6") => ICMPV6,
            Some(other) => return Err(format!("family: {other:?}: expected IPv4 or IPv6")),
        };
        let text = self.kind.as_str().map_or_else(|| self.kind.to_string(), str::to_owned);
        let kind = message::kind(protocol, &text);
        kind.map(|kind| Kind::Message(protocol, kind))
            .ok_or_else(|| format!("type: {text:?}: no such message"))
    }
}
