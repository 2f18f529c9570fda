//! A reading of Cilium's documentation, packet by packet and on the JSON itself.
//!
//! *Source*: Cilium, "Layer 3 Policies", "Layer 4 Policies", "Deny Policies", "Policy Enforcement Modes", "Using Kubernetes Constructs in Policy". Where
//! they do not say it, cilium/cilium does: what a name of a port means of packets that are sent (`Endpoint.GetNamedPort`), whom selectors select
//! that ask for no label (issue 46949), and that an empty list of other ends matches nothing (`pkg/policy`).

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use netpol::engines::cilium::Settings;
use netpol::engines::kubernetes::Blocks;
use netpol::tier::Direction;
use netpol::world::Cluster;
use serde_json::Value;
use snapshot::model::Labels;

use super::CiliumObjects;
use crate::kubernetes::reader as kubernetes;
use crate::packet::{End, Packet};
use crate::range::{inside, list};

const NAMESPACE: &str = "io.kubernetes.pod.namespace";
const OF_NAMESPACE: &str = "io.cilium.k8s.namespace.labels.";

/// Everything that is read.
pub(crate) struct Reading<'a> {
    written: &'a CiliumObjects,
    cluster: &'a Cluster,
    settings: Settings,
    /// The labels of pods as Cilium knows them, by their addresses.
    labels: HashMap<IpAddr, Labels>,
    no_labels: Labels,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(written: &'a CiliumObjects, cluster: &'a Cluster, settings: Settings) -> Self {
        let mut labels = HashMap::new();
        for pod in &cluster.pods {
            let mut own = pod.labels.clone();
            own.insert(NAMESPACE.into(), pod.namespace.clone());
            own.insert("io.cilium.k8s.policy.serviceaccount".into(), pod.account.clone());
            let namespace = cluster
                .namespaces
                .iter()
                .find(|candidate| candidate.name == pod.namespace)
                .expect("a namespace");
            for (key, value) in &namespace.labels {
                own.insert(format!("{OF_NAMESPACE}{key}").into(), value.clone());
            }
            own.insert(format!("{OF_NAMESPACE}kubernetes.io/metadata.name").into(), pod.namespace.clone());
            labels.extend(pod.addresses.iter().map(|address| (*address, own.clone())));
        }
        Self { written, cluster, settings, labels, no_labels: Labels::new() }
    }

    /// Whether a packet passes the policies of the pod that sends or receives it.
    pub(crate) fn allows(&self, packet: &Packet<'_>) -> bool {
        let (allow, deny) = match packet.direction {
            Direction::Ingress => ("ingress", "ingressDeny"),
            Direction::Egress => ("egress", "egressDeny"),
        };
        let mut is_restricted = false;
        let mut is_allowed = false;
        for policy in &self.written.policies {
            let namespace = policy["metadata"]["namespace"].as_str();
            let specs = list(&policy["specs"]).iter().chain(policy.get("spec"));
            for spec in specs.filter(|spec| self.selects(spec, namespace, packet)) {
                let (allowed, denied) = (list(&spec[allow]), list(&spec[deny]));
                // "Deny policies take precedence over allow policies".
                if denied.iter().any(|rule| self.matches(rule, namespace, packet)) {
                    return false;
                }
                let is_default = !allowed.is_empty() || !denied.is_empty();
                is_restricted |= spec["enableDefaultDeny"][allow].as_bool().unwrap_or(is_default);
                is_allowed |= allowed.iter().any(|rule| self.matches(rule, namespace, packet));
            }
        }
        for policy in &self.written.kubernetes {
            if kubernetes::isolates(policy, packet.subject.0, packet.direction) {
                is_restricted = true;
                is_allowed |= self.lets_through(policy, packet);
            }
        }
        is_allowed || !is_restricted
    }

    fn labels(&self, address: IpAddr) -> &Labels {
        self.labels.get(&address).unwrap_or(&self.no_labels)
    }

    fn selects(&self, spec: &Value, namespace: Option<&str>, packet: &Packet<'_>) -> bool {
        let (pod, address) = packet.subject;
        namespace.is_none_or(|namespace| namespace == &*pod.namespace)
            && is(&spec["endpointSelector"], self.labels(address))
    }

    fn matches(&self, rule: &Value, namespace: Option<&str>, packet: &Packet<'_>) -> bool {
        let prefix = if packet.direction == Direction::Ingress { "from" } else { "to" };
        let ends = |name: &str| rule.get(format!("{prefix}{name}")).map(list);
        let (end, address) = packet.peer;
        let is_range = match end {
            End::Pod(_) => false,
            End::Node => self.settings.ranges_match_nodes,
            End::Outside => true,
        };
        let end_matches = [
            ends("Endpoints").map(|all| all.iter().any(|object| self.is_peer(object, namespace, address))),
            ends("CIDR").map(|all| is_range && all.iter().any(|object| inside(object, address))),
            ends("CIDRSet").map(|all| {
                let in_one = |object: &Value| {
                    inside(&object["cidr"], address)
                        && !list(&object["except"]).iter().any(|part| inside(part, address))
                };
                is_range && all.iter().any(in_one)
            }),
            ends("Entities").map(|all| all.iter().any(|object| is_entity(object, end, address))),
        ];
        let is_end = end_matches.into_iter().flatten().next();
        let ports: Vec<&Value> =
            list(&rule["toPorts"]).iter().flat_map(|object| list(&object["ports"])).collect();
        let messages: Vec<&Value> =
            list(&rule["icmps"]).iter().flat_map(|object| list(&object["fields"])).collect();
        if ports.is_empty() && messages.is_empty() {
            // A rule that says nothing at all allows nothing: it is how the documentation denies by default.
            return is_end.unwrap_or(false);
        }
        let is_message = |field: &&Value| {
            let is_v6 = field["family"] == "IPv6";
            let echo = if is_v6 { 128 } else { 8 };
            let kind =
                if field["type"] == "EchoRequest" { echo } else { field["type"].as_u64().expect("a type") };
            packet.protocol == if is_v6 { 58 } else { 1 } && u64::from(packet.port / 256) == kind
        };
        is_end.unwrap_or(true)
            && (ports.iter().any(|port| self.is_port(port, packet)) || messages.iter().any(is_message))
    }

    /// Whether an other end has the labels: in a policy of one namespace in this one, and in one of the cluster in any.
    fn is_peer(&self, selector: &Value, namespace: Option<&str>, address: IpAddr) -> bool {
        let labels = self.labels(address);
        let listed = selector["matchLabels"].as_object().into_iter().flatten().map(|(key, _)| key.as_str());
        let more =
            list(&selector["matchExpressions"]).iter().map(|object| object["key"].as_str().expect("a key"));
        let keys: Vec<&str> = listed.chain(more).map(bare).collect();
        let own = labels.get(NAMESPACE).map(|name| &**name);
        let is_there = match namespace {
            _ if keys.contains(&NAMESPACE) => true,
            Some(_) if keys.iter().any(|key| key.starts_with(OF_NAMESPACE)) => true,
            Some(namespace) => own == Some(namespace),
            None => own.is_some(),
        };
        is_there && is(selector, labels)
    }

    /// Whether a packet goes to a port: `ANY` is each protocol that has ports.
    fn is_port(&self, port: &Value, packet: &Packet<'_>) -> bool {
        let text = port["port"].as_str().expect("a port");
        let is_protocol = match port["protocol"].as_str() {
            None | Some("ANY") => [6, 17, 132].contains(&packet.protocol),
            Some("TCP") => packet.protocol == 6,
            Some("UDP") => packet.protocol == 17,
            Some(_) => packet.protocol == 132,
        };
        let is_number = match text.parse::<u16>() {
            Ok(0) => true,
            Ok(first) => {
                let last = port["endPort"].as_u64().unwrap_or(u64::from(first));
                (u64::from(first)..=last).contains(&u64::from(packet.port))
            }
            Err(_) => self.is_named(text, packet),
        };
        is_protocol && is_number
    }

    /// Of what a pod receives, a name is its own port; of what it sends, the one number that pods of the cluster have by this name.
    fn is_named(&self, name: &str, packet: &Packet<'_>) -> bool {
        let receives = packet.direction == Direction::Ingress;
        let pods = self.cluster.pods.iter().filter(|pod| !receives || std::ptr::eq(*pod, packet.subject.0));
        let ports = pods.flat_map(|pod| &pod.ports);
        let named = ports.filter(|port| *port.name == *name && port.protocol == packet.protocol);
        let numbers: BTreeSet<u16> = named.map(|port| port.number).collect();
        numbers.len() == 1 && numbers.contains(&packet.port)
    }

    /// Whether a policy of Kubernetes allows a packet, as Cilium reads it.
    fn lets_through(&self, policy: &Value, packet: &Packet<'_>) -> bool {
        let (rules, peers) = match packet.direction {
            Direction::Ingress => ("ingress", "from"),
            Direction::Egress => ("egress", "to"),
        };
        let blocks = Blocks { pods: false, nodes: self.settings.ranges_match_nodes, names_of_cluster: false };
        let is_said = |selector: &Value| {
            !list(&selector["matchExpressions"]).is_empty()
                || selector["matchLabels"].as_object().is_some_and(|labels| !labels.is_empty())
        };
        // Nothing but negations is also true of a pod without labels.
        let is_unlabelled = |peer: &Value| {
            packet.peer.0.pod().is_none()
                && is_said(&peer["namespaceSelector"])
                && kubernetes::matches(&peer["namespaceSelector"], &self.no_labels)
                && kubernetes::matches(&peer["podSelector"], &self.no_labels)
        };
        let is_peer = |peer: &Value| {
            kubernetes::is_peer(peer, policy, self.cluster, packet, blocks) || is_unlabelled(peer)
        };
        let is_port = |port: &Value| match port["port"].as_str() {
            Some(name) => {
                let number = match port["protocol"].as_str() {
                    None | Some("TCP") => 6,
                    Some("UDP") => 17,
                    Some(_) => 132,
                };
                packet.protocol == number && self.is_named(name, packet)
            }
            None => kubernetes::is_port(port, packet),
        };
        list(&policy["spec"][rules]).iter().any(|rule| {
            let (ends, ports) = (list(&rule[peers]), list(&rule["ports"]));
            (ends.is_empty() || ends.iter().any(is_peer)) && (ports.is_empty() || ports.iter().any(is_port))
        })
    }
}

/// A key without its source.
fn bare(key: &str) -> &str {
    key.split_once(':').map_or(key, |(_, bare)| bare)
}

/// Whether a selector is true of labels.
fn is(selector: &Value, labels: &Labels) -> bool {
    let value = |key: &str| labels.get(bare(key)).map(|value| &**value);
    let mut same = selector["matchLabels"].as_object().into_iter().flatten();
    same.all(|(key, expected)| value(key) == expected.as_str())
        && list(&selector["matchExpressions"]).iter().all(|object| {
            let value = value(object["key"].as_str().expect("a key"));
            let is_listed =
                value.is_some_and(|value| list(&object["values"]).iter().any(|expected| expected == value));
            match object["operator"].as_str().expect("an operator") {
                "In" => is_listed,
                "NotIn" => !is_listed,
                "Exists" => value.is_some(),
                _ => value.is_none(),
            }
        })
}

/// Whether a party is an entity. No pod's own node is in the town.
fn is_entity(entity: &Value, end: End<'_>, address: IpAddr) -> bool {
    match (entity.as_str().expect("an entity"), end) {
        ("all", _)
        | ("world", End::Outside)
        | ("cluster", End::Pod(_) | End::Node)
        | ("remote-node", End::Node) => true,
        ("world-ipv4", End::Outside) => address.is_ipv4(),
        ("world-ipv6", End::Outside) => address.is_ipv6(),
        _ => false,
    }
}
