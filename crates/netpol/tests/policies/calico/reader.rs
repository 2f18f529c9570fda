//! A reading of Calico's documentation, packet by packet and on the JSON itself.
//!
//! *Source*: Calico, "Network policy", "Global network policy", "Tier", "Network set", "Global network set", "Host endpoint". Where they do not
//! say it, projectcalico/calico does: which names break a tie (`felix/calc/policy_sorter.go`), what a rule of one namespace means by its
//! selectors (`updateprocessors/rules.go`), and that a rule with ranges of one family is for that family (`felix/rules`, `FilterRuleToIPVersion`).

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::rc::Rc;

use netpol::engines::kubernetes::Blocks;
use netpol::tier::Direction;
use netpol::world::Cluster;
use serde_json::Value;

use super::selector::holds;
use crate::kubernetes::reader as kubernetes;
use crate::packet::{End, Packet};
use crate::range::{inside, list};

/// What a cluster with Calico has.
#[derive(Debug)]
pub(crate) struct Everything<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) tiers: &'a [Value],
    pub(crate) policies: &'a [Value],
    pub(crate) kubernetes: &'a [Value],
    pub(crate) sets: &'a [Value],
    pub(crate) hosts: &'a [Value],
    /// What has labels at an address, once it was asked for.
    pub(crate) known: RefCell<HashMap<IpAddr, Rc<Vec<Thing>>>>,
}

/// Calico matches addresses, whichever endpoint has them.
const BLOCKS: Blocks = Blocks { pods: true, nodes: true, names_of_cluster: false };

/// A policy, and whether it is one of Kubernetes.
type OrderedPolicy<'a> = (&'a Value, bool);

/// Whether a packet passes the policies of the pod that sends or receives it.
pub(crate) fn allowed(all: &Everything<'_>, packet: &Packet<'_>) -> bool {
    for (tier, passes) in tiers(all) {
        let policies: Vec<OrderedPolicy<'_>> =
            policies(all, &tier).into_iter().filter(|policy| applies(*policy, all, packet)).collect();
        let acted = policies.iter().find_map(|policy| action(*policy, all, packet));
        match acted {
            Some("Allow") => return true,
            Some("Deny") => return false,
            Some(_) => {}
            // "If the Tier applies to the endpoint, but takes no action on the packet the packet is dropped", unless its defaultAction is Pass.
            None if !policies.is_empty() && !passes => return false,
            None => {}
        }
    }
    // The profile of a namespace of Kubernetes allows everything.
    true
}

/// The names of the tiers in their order, each with whether its default action is Pass.
fn tiers(all: &Everything<'_>) -> Vec<(String, bool)> {
    let mut tiers: Vec<(f64, String, bool)> = Vec::new();
    for tier in all.tiers {
        let order = tier["spec"]["order"].as_f64().unwrap_or(f64::INFINITY);
        tiers.push((order, name(tier), tier["spec"]["defaultAction"] == "Pass"));
    }
    if !tiers.iter().any(|(_, name, _)| name == "default") {
        tiers.push((1_000_000.0, "default".into(), false));
    }
    tiers.sort_by(|row, other| (row.0, &row.1).partial_cmp(&(other.0, &other.1)).expect("numbers"));
    tiers.into_iter().map(|(_, name, passes)| (name, passes)).collect()
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().expect("a name").to_owned()
}

/// The policies of a tier in their order.
fn policies<'a>(all: &Everything<'a>, tier: &str) -> Vec<OrderedPolicy<'a>> {
    let mut ordered: Vec<(f64, String, OrderedPolicy<'a>)> = Vec::new();
    for policy in all.policies {
        if policy["spec"]["tier"].as_str().unwrap_or("default") != tier {
            continue;
        }
        let order = policy["spec"]["order"].as_f64().unwrap_or(f64::INFINITY);
        let (name, prefix) = (name(policy), format!("{tier}."));
        let long = if name.starts_with(&prefix) { name } else { format!("{prefix}{name}") };
        let place = policy["metadata"]["namespace"].as_str().map(|namespace| format!("{namespace}/"));
        ordered.push((order, place.unwrap_or_default() + &long, (policy, false)));
    }
    for policy in all.kubernetes.iter().filter(|_| tier == "default") {
        let namespace = policy["metadata"]["namespace"].as_str().expect("a namespace");
        ordered.push((1000.0, format!("{namespace}/knp.default.{}", name(policy)), (policy, true)));
    }
    ordered.sort_by(|row, other| (row.0, &row.1).partial_cmp(&(other.0, &other.1)).expect("numbers"));
    ordered.into_iter().map(|(_, _, policy)| policy).collect()
}

/// Whether a policy is about the packet's pod, in the packet's direction.
fn applies((policy, is_kubernetes): OrderedPolicy<'_>, all: &Everything<'_>, packet: &Packet<'_>) -> bool {
    let (pod, address) = packet.subject;
    if is_kubernetes {
        return kubernetes::isolates(policy, pod, packet.direction);
    }
    let spec = &policy["spec"];
    let has = |rules: &str| !list(&spec[rules]).is_empty();
    let is_listed = match list(&spec["types"]) {
        [] => match packet.direction {
            Direction::Ingress => has("ingress") || !has("egress"),
            Direction::Egress => has("egress"),
        },
        types => types.iter().any(|object| object == packet.direction.name()),
    };
    let things = things(all, End::Pod(pod), address);
    let thing = &things[0];
    let namespace = policy["metadata"]["namespace"].as_str();
    is_listed
        && namespace.is_none_or(|namespace| namespace == &*pod.namespace)
        && thing.is(&spec["selector"], "")
        && thing.is(&spec["namespaceSelector"], "pcns.")
        && thing.is(&spec["serviceAccountSelector"], "pcsa.")
}

/// What the first rule of a policy that matches the packet does.
fn action<'a>(
    (policy, is_kubernetes): OrderedPolicy<'a>,
    all: &Everything<'_>,
    packet: &Packet<'_>,
) -> Option<&'a str> {
    if is_kubernetes {
        return kubernetes::lets_through(policy, all.cluster, packet, BLOCKS).then_some("Allow");
    }
    let rules = list(&policy["spec"][packet.direction.name().to_lowercase()]);
    let mut acting = rules.iter().filter(|rule| rule["action"] != "Log");
    acting.find(|rule| matches(rule, policy, all, packet))?["action"].as_str()
}

fn matches(rule: &Value, policy: &Value, all: &Everything<'_>, packet: &Packet<'_>) -> bool {
    let (subject, peer) = ((End::Pod(packet.subject.0), packet.subject.1), packet.peer);
    let (source, destination) = match packet.direction {
        Direction::Ingress => (peer, subject),
        Direction::Egress => (subject, peer),
    };
    let family = if source.1.is_ipv6() { 6 } else { 4 };
    let is_family = rule["ipVersion"].as_u64().is_none_or(|version| version == family);
    let is_protocol = rule.get("protocol").is_none_or(|object| number(object) == packet.protocol);
    let is_other = rule.get("notProtocol").is_none_or(|object| number(object) != packet.protocol);
    let is_message = |message: &Value| {
        let has_number =
            |field: &str, value: u16| message[field].as_u64().is_none_or(|number| number == u64::from(value));
        has_number("type", packet.port / 256) && has_number("code", packet.port % 256)
    };
    is_family
        && is_protocol
        && is_other
        && rule.get("icmp").is_none_or(is_message)
        && !rule.get("notICMP").is_some_and(is_message)
        && is_end(&rule["source"], policy, all, packet.protocol, source, packet.source)
        && is_end(&rule["destination"], policy, all, packet.protocol, destination, packet.port)
}

/// The number of a protocol, which may be written as a name.
fn number(protocol: &Value) -> u8 {
    match protocol.as_str() {
        None => u8::try_from(protocol.as_u64().expect("a number")).expect("a protocol"),
        Some("TCP") => 6,
        Some("UDP") => 17,
        Some("ICMP") => 1,
        Some("ICMPv6") => 58,
        Some("SCTP") => 132,
        Some("UDPLite") => 136,
        Some(text) => text.parse().expect("a number"),
    }
}

/// Whether one end of a packet is what a rule says of it: all of it must be so.
fn is_end(
    entity: &Value,
    policy: &Value,
    all: &Everything<'_>,
    protocol: u8,
    (end, address): (End<'_>, IpAddr),
    port: u16,
) -> bool {
    let (nets, not_nets) = (list(&entity["nets"]), list(&entity["notNets"]));
    let is_of_family = |nets: &[Value]| {
        nets.is_empty()
            || nets.iter().any(|net| net.as_str().expect("a range").contains(':') == address.is_ipv6())
    };
    let is_net = nets.is_empty() || nets.iter().any(|net| inside(net, address));
    let is_not_net = !not_nets.iter().any(|net| inside(net, address));
    let is_port = |object: &Value| match object.as_str() {
        None => object.as_u64() == Some(u64::from(port)),
        Some(text) => match text.split_once(':') {
            Some((first, last)) => {
                let number = |text: &str| text.parse::<u16>().expect("a port");
                (number(first)..=number(last)).contains(&port)
            }
            None if text.parse() == Ok(port) => true,
            None => end.pod().is_some_and(|pod| {
                let mut ports = pod.ports.iter();
                ports.any(|candidate| {
                    *candidate.name == *text && candidate.protocol == protocol && candidate.number == port
                })
            }),
        },
    };
    let (ports, not_ports) = (list(&entity["ports"]), list(&entity["notPorts"]));
    let things = things(all, end, address);
    let not = entity["notSelector"].as_str().unwrap_or_default();
    is_of_family(nets)
        && is_of_family(not_nets)
        && is_net
        && is_not_net
        && (ports.is_empty() || ports.iter().any(is_port))
        && !not_ports.iter().any(is_port)
        && is_selected(entity, policy, &things)
        && (not.is_empty() || !things.iter().any(|thing| thing.is(&entity["notSelector"], "")))
}

/// Whether what is at an address is among the endpoints and network sets that a rule selects.
fn is_selected(entity: &Value, policy: &Value, things: &[Thing]) -> bool {
    let says = |field: &str| entity[field].as_str().is_some_and(|text| !text.is_empty());
    let (accounts, place) = (&entity["serviceAccounts"], policy["metadata"]["namespace"].as_str());
    let names = list(&accounts["names"]);
    let has_accounts = !names.is_empty() || accounts["selector"].is_string();
    let is_limited = place.is_some() && (says("selector") || says("notSelector") || has_accounts);
    if !(is_limited || says("selector") || says("namespaceSelector") || has_accounts) {
        return true;
    }
    things.iter().any(|thing| {
        let is_there = if says("namespaceSelector") {
            thing.is(&entity["namespaceSelector"], "pcns.")
        } else {
            place.is_none() || place == thing.namespace.as_deref()
        };
        let account = thing.labels.get("projectcalico.org/serviceaccount");
        let is_named = names.is_empty()
            || account.is_some_and(|name| names.iter().any(|object| object == name.as_str()));
        is_there && is_named && thing.is(&entity["selector"], "") && thing.is(&accounts["selector"], "pcsa.")
    })
}

/// Something that has labels: a pod, a network set or a host endpoint.
#[derive(Debug)]
pub(crate) struct Thing {
    namespace: Option<String>,
    labels: BTreeMap<String, String>,
}

impl Thing {
    /// Whether a selector, if there is one, is true of the labels with this prefix.
    fn is(&self, selector: &Value, prefix: &str) -> bool {
        let label = |key: &str| self.labels.get(&format!("{prefix}{key}")).cloned();
        // Of namespaces `all()` is every one, and whatever is in none is not meant.
        let in_all = prefix != "pcns." || self.namespace.is_some();
        holds(selector.as_str().unwrap_or_default(), &label, in_all, self.namespace.is_some())
    }
}

/// What has labels at an address; a pod comes first.
fn things(all: &Everything<'_>, end: End<'_>, address: IpAddr) -> Rc<Vec<Thing>> {
    let mut known = all.known.borrow_mut();
    Rc::clone(known.entry(address).or_insert_with(|| Rc::new(gather_things(all, end, address))))
}

fn gather_things(all: &Everything<'_>, end: End<'_>, address: IpAddr) -> Vec<Thing> {
    let made = |namespace: Option<&str>, own: Vec<(String, String)>| {
        let mut labels: BTreeMap<String, String> = own.into_iter().collect();
        if let Some(name) = namespace {
            labels.insert("projectcalico.org/namespace".into(), name.into());
            labels.insert("pcns.projectcalico.org/name".into(), name.into());
            labels.insert("pcns.kubernetes.io/metadata.name".into(), name.into());
            let namespace_object = all.cluster.namespaces.iter().find(|candidate| *candidate.name == *name);
            for (key, value) in namespace_object.iter().flat_map(|namespace_object| &namespace_object.labels)
            {
                labels.insert(format!("pcns.{key}"), value.to_string());
            }
        }
        Thing { namespace: namespace.map(str::to_owned), labels }
    };
    let mut things = Vec::new();
    if let End::Pod(pod) = end {
        let own = pod.labels.iter().map(|(key, value)| (key.to_string(), value.to_string()));
        let account =
            pod.account_labels.iter().map(|(key, value)| (format!("pcsa.{key}"), value.to_string()));
        let added = [
            ("projectcalico.org/orchestrator".into(), "k8s".into()),
            ("projectcalico.org/serviceaccount".into(), pod.account.to_string()),
            ("pcsa.projectcalico.org/name".into(), pod.account.to_string()),
        ];
        things.push(made(Some(&pod.namespace), own.chain(account).chain(added).collect()));
    }
    let labels = |object: &Value| -> Vec<(String, String)> {
        let own = object["metadata"]["labels"].as_object().into_iter().flatten();
        own.map(|(key, value)| (key.clone(), value.as_str().expect("text").to_owned())).collect()
    };
    for set in all.sets.iter().filter(|set| list(&set["spec"]["nets"]).iter().any(|net| inside(net, address)))
    {
        things.push(made(set["metadata"]["namespace"].as_str(), labels(set)));
    }
    let is_at =
        |host: &&Value| list(&host["spec"]["expectedIPs"]).iter().any(|item| *item == address.to_string());
    for host in all.hosts.iter().filter(is_at) {
        things.push(made(None, labels(host)));
    }
    things
}
