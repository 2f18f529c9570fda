//! Rules of Antrea, and whom they are applied to.

use serde_json::{Map, Value, json};
use snapshot::Range;
use snapshot::model::Text;

use crate::convert::intermediate::{Action, Peer, PodSelection, Rule, Traffic};
use crate::convert::objects::pods_as_peer;
use crate::convert::reachable_rules::Entry;
use crate::convert::report::Refusal;
use crate::convert::writers::address_blocks::cut_block;
use crate::convert::writers::ports::destination;
use crate::engines::calico::Message;
use crate::engines::kubernetes::{LabelSelector, PortNumber};
use crate::expression::ACCOUNT_NAME;
use crate::tier::Direction;
use crate::traffic::{ICMP, ICMPV6};

/// How many ranges one with exceptions may become.
const MOST_RANGES: usize = 256;

/// What a rule of Antrea has to know of the cluster.
#[derive(Debug, Clone, Copy)]
pub(super) struct RuleWriter {
    /// Pods have addresses of IPv4, and of IPv6.
    has: [bool; 2],
}

impl RuleWriter {
    pub(super) fn new(pod_ranges: &[Range]) -> Self {
        // A cluster whose ranges are not known may have both.
        let has =
            |is_v6: bool| pod_ranges.is_empty() || pod_ranges.iter().any(|range| range.is_v6() == is_v6);
        Self { has: [has(false), has(true)] }
    }

    /// The rule, in an object of this namespace or of the cluster; without the pods that it is applied to.
    ///
    /// # Errors
    /// What Antrea cannot say.
    pub(super) fn rule(
        self,
        entry: &Entry<'_>,
        namespace: Option<&Text>,
    ) -> Result<Map<String, Value>, Refusal> {
        let rule = entry.rule;
        let mut written = Map::new();
        let way = rule.direction.name().to_lowercase();
        written.insert("name".into(), format!("{way}-{}", rule.number).into());
        let action = match entry.action {
            Action::Allow => "Allow",
            Action::Deny => "Drop",
            Action::Pass => "Pass",
        };
        written.insert("action".into(), action.into());
        if let Some(peers) = self.peers(rule, namespace)? {
            let key = if rule.direction == Direction::Ingress { "from" } else { "to" };
            written.insert(key.into(), peers.into());
        }
        for traffic in rule.traffic.iter().flatten() {
            let (key, object) = match traffic.protocol {
                ICMP | ICMPV6 => ("protocols", json!({ "icmp": message(traffic.message) })),
                _ => ("ports", port(traffic)?),
            };
            let list = written.entry(key).or_insert_with(|| Value::Array(Vec::new()));
            list.as_array_mut().into_iter().for_each(|list| list.push(object.clone()));
        }
        Ok(written)
    }

    /// The other end; none means every peer.
    fn peers(self, rule: &Rule, namespace: Option<&Text>) -> Result<Option<Vec<Value>>, Refusal> {
        let (key, family) = (end(rule), self.family(rule)?);
        let Some(peers) = &rule.peers else {
            let all_addresses = |is_v6| if is_v6 { "::/0" } else { "0.0.0.0/0" };
            return Ok(family.map(|is_v6| vec![json!({"ipBlock": {"cidr": all_addresses(is_v6)}})]));
        };
        let has_name = |traffic: &Traffic| matches!(traffic.to, Some(PortNumber::Name(_)));
        let is_to_name = rule.direction == Direction::Egress && rule.traffic.iter().flatten().any(has_name);
        let mut written = Vec::new();
        for peer in peers {
            match peer {
                Peer::Pods(_) if family.is_some() => {
                    let why = "messages of one family to or from pods that have addresses of both: Antrea's ICMP is that of the packet's family";
                    return Err(Refusal::new("protocol", why));
                }
                Peer::Pods(chosen) if chosen.accounts.is_empty() => {
                    written.push(Value::Object(pods_as_peer(chosen, namespace)));
                }
                Peer::Pods(chosen) => {
                    let why = |why: String| Refusal::new(format!("{key}.serviceAccounts"), why);
                    written.extend(accounts(chosen).map_err(why)?);
                }
                Peer::Block(_) if is_to_name => {
                    let why = "a port by its name beside addresses, of whose ports Antrea knows no names";
                    return Err(Refusal::new("destination.ports", why));
                }
                Peer::Block(block) if family.is_none_or(|is_v6| block.range.is_v6() == is_v6) => {
                    let why = format!("a range with exceptions that is more than {MOST_RANGES} without them");
                    let ranges = cut_block(block, MOST_RANGES)
                        .ok_or_else(|| Refusal::new(format!("{key}.notNets"), why))?;
                    written
                        .extend(ranges.iter().map(|range| json!({"ipBlock": {"cidr": range.to_string()}})));
                }
                Peer::Block(_) => {}
            }
        }
        if written.is_empty() {
            return Err(Refusal::new("protocol", "messages of one family and addresses of the other"));
        }
        Ok(Some(written))
    }

    /// The family whose messages alone are meant, where pods have both.
    fn family(self, rule: &Rule) -> Result<Option<bool>, Refusal> {
        let mut common_family = None;
        for traffic in rule.traffic.iter().flatten() {
            if !matches!(traffic.protocol, ICMP | ICMPV6) {
                continue;
            }
            let is_v6 = traffic.protocol == ICMPV6;
            if !self.has[usize::from(is_v6)] {
                return Err(Refusal::new("protocol", "messages of a family of which no pod has an address"));
            }
            common_family = self.has[usize::from(!is_v6)].then_some(is_v6);
        }
        Ok(common_family)
    }
}

/// Pods that something is applied to, in an object of this namespace or of the cluster.
///
/// # Errors
/// Why Antrea cannot say whom.
pub(super) fn targets(chosen: &PodSelection, namespace: Option<&Text>) -> Result<Vec<Value>, String> {
    if chosen.accounts.is_empty() {
        return Ok(vec![Value::Object(pods_as_peer(chosen, namespace))]);
    }
    accounts(chosen)
}

/// Whether an object of its namespace can select the pods.
pub(super) fn is_of(chosen: &PodSelection, namespace: &Text) -> bool {
    chosen.namespace.as_ref() == Some(namespace)
        && !chosen.has_namespace_labels()
        && chosen.accounts.is_empty()
}

/// Pods by their service accounts: each name in each namespace.
fn accounts(chosen: &PodSelection) -> Result<Vec<Value>, String> {
    let names = match chosen.accounts.as_slice() {
        [requirement] if *requirement.key == *ACCOUNT_NAME && *requirement.operator == *"In" => {
            &requirement.values
        }
        _ => return Err("service accounts by something else than names, by which Antrea selects them".into()),
    };
    if chosen.pods != LabelSelector::default() {
        return Err("service accounts beside labels of pods, and Antrea has one of the two in a peer".into());
    }
    let namespaces = chosen.namespace_names().filter(|_| chosen.is_by_namespace_name_only());
    let namespaces =
        namespaces.ok_or("service accounts of namespaces that are not named, as Antrea wants them")?;
    let to_values = |namespace: &Text| {
        let value_of = |name: &Text| json!({"serviceAccount": {"name": **name, "namespace": **namespace}});
        names.iter().map(value_of).collect::<Vec<_>>()
    };
    Ok(namespaces.iter().flat_map(to_values).collect())
}

/// The name of the end that is not the pod's own.
const fn end(rule: &Rule) -> &'static str {
    match rule.direction {
        Direction::Ingress => "source",
        Direction::Egress => "destination",
    }
}

fn message(message: Option<Message>) -> Value {
    let Message { kind, code } = message.unwrap_or_default();
    let fields = [("icmpType", kind), ("icmpCode", code)];
    let lines = fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into())));
    Value::Object(lines.collect())
}

fn port(traffic: &Traffic) -> Result<Value, Refusal> {
    let mut port = destination(traffic, "Antrea knows TCP, UDP, SCTP and ICMP")?;
    if let Some(from) = traffic.from.as_ref().filter(|from| **from != (0..=u16::MAX)) {
        port.insert("sourcePort".into(), (*from.start()).into());
        if from.end() > from.start() {
            port.insert("sourceEndPort".into(), (*from.end()).into());
        }
    }
    Ok(Value::Object(port))
}
