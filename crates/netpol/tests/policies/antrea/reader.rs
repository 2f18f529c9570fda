//! A reading of Antrea's documentation, packet by packet and on the JSON itself.
//!
//! *Source*: Antrea, "Antrea Network Policy CRDs".

use netpol::engines::kubernetes::Blocks;
use netpol::tier::Direction;
use netpol::world::{Cluster, Pod};
use serde_json::Value;
use snapshot::model::Labels;

use super::AntreaObjects;
use crate::kubernetes::reader as kubernetes;
use crate::packet::{End, Packet};
use crate::range::{inside, list};

/// "Emergency > SecurityOps > NetworkOps > Platform > Application > K8s NetworkPolicy > Baseline".
const STATIC: [(&str, u64); 5] =
    [("emergency", 50), ("securityops", 100), ("networkops", 150), ("platform", 200), ("application", 250)];

/// Whether a packet passes the policies of the pod that sends or receives it.
pub(super) fn allowed(all: &AntreaObjects, cluster: &Cluster, packet: &Packet<'_>) -> bool {
    let mut tiers: Vec<(u64, String)> =
        STATIC.iter().map(|(name, priority)| (*priority, (*name).to_owned())).collect();
    for tier in &all.tiers {
        let name = tier["metadata"]["name"].as_str().expect("a name").to_owned();
        tiers.push((tier["spec"]["priority"].as_u64().expect("a priority"), name));
    }
    tiers.sort();
    for (_, tier) in &tiers {
        match action(all, tier, cluster, packet) {
            Some("Allow") => return true,
            Some("Pass") => break,
            Some(_) => return false,
            None => {}
        }
    }
    // A pod that a policy of Kubernetes isolates does not come to the baseline tier.
    let isolating = all
        .kubernetes
        .iter()
        .filter(|policy| kubernetes::isolates(policy, packet.subject.0, packet.direction));
    let isolating: Vec<&Value> = isolating.collect();
    if !isolating.is_empty() {
        let blocks = Blocks { pods: true, nodes: true, names_of_cluster: false };
        return isolating.iter().any(|policy| kubernetes::lets_through(policy, cluster, packet, blocks));
    }
    action(all, "baseline", cluster, packet).is_none_or(|action| action == "Allow")
}

/// What the first rule of a tier that matches the packet does.
fn action<'a>(all: &'a AntreaObjects, tier: &str, cluster: &Cluster, packet: &Packet<'_>) -> Option<&'a str> {
    let of_tier = |policy: &&Value| policy["spec"]["tier"].as_str().unwrap_or("application") == tier;
    let mut policies: Vec<&Value> = all.policies.iter().filter(of_tier).collect();
    let priority = |policy: &Value| policy["spec"]["priority"].as_f64().expect("a priority");
    policies.sort_by(|object, other| priority(object).partial_cmp(&priority(other)).expect("numbers"));
    for policy in policies {
        let namespace = policy["metadata"]["namespace"].as_str();
        let context = ReaderContext { all, cluster, namespace };
        let (rules, peers) = match packet.direction {
            Direction::Ingress => ("ingress", "from"),
            Direction::Egress => ("egress", "to"),
        };
        for rule in list(&policy["spec"][rules]) {
            let applied = [list(&policy["spec"]["appliedTo"]), list(&rule["appliedTo"])].concat();
            let is_applied = applied.iter().any(|target| context.is_pod(target, packet.subject.0));
            let peers = list(&rule[peers]);
            let is_peer = peers.is_empty() || peers.iter().any(|peer| context.is_peer(peer, packet));
            if is_applied && is_peer && is_traffic(rule, packet) {
                return rule["action"].as_str();
            }
        }
    }
    None
}

/// In what a policy is read.
struct ReaderContext<'a> {
    all: &'a AntreaObjects,
    cluster: &'a Cluster,
    namespace: Option<&'a str>,
}

impl<'a> ReaderContext<'a> {
    fn labels(&self, pod: &Pod) -> &'a Labels {
        &self
            .cluster
            .namespaces
            .iter()
            .find(|candidate| candidate.name == pod.namespace)
            .expect("a namespace")
            .labels
    }

    /// Whether an entry with selectors, a service account or a group has a pod.
    fn is_pod(&self, entry: &Value, pod: &Pod) -> bool {
        if let Some(account) = entry.get("serviceAccount") {
            return account["name"] == *pod.account && account["namespace"] == *pod.namespace;
        }
        if let Some(group) = entry.get("group") {
            return self.members(group).iter().any(|members| self.is_pod(members, pod));
        }
        let is_selected = |field: &str, labels: &Labels| {
            entry.get(field).map(|selector| kubernetes::matches(selector, labels))
        };
        let own = is_selected("podSelector", &pod.labels);
        let of_namespace = is_selected("namespaceSelector", self.labels(pod));
        if own.is_none() && of_namespace.is_none() && entry.get("namespaces").is_none() {
            return false;
        }
        // "podSelector without a namespaceSelector [..] selects Pods from the Namespace in which the Antrea NetworkPolicy is created", and in a
        // ClusterNetworkPolicy from all of them.
        let is_there = of_namespace
            .unwrap_or_else(|| self.namespace.is_none_or(|namespace| namespace == &*pod.namespace));
        own.unwrap_or(true) && is_there
    }

    fn is_peer(&self, peer: &Value, packet: &Packet<'_>) -> bool {
        let (end, address) = packet.peer;
        if let Some(block) = peer.get("ipBlock") {
            let is_left_out = list(&block["except"]).iter().any(|part| inside(part, address));
            return inside(&block["cidr"], address) && !is_left_out;
        }
        if let Some(group) = peer.get("group") {
            let members = self.members(group);
            let blocks = members.iter().flat_map(|members| list(&members["ipBlocks"]));
            if blocks.into_iter().any(|block| inside(&block["cidr"], address)) {
                return true;
            }
        }
        let End::Pod(other) = end else { return false };
        let subject = packet.subject.0;
        let is_alike = match peer.get("namespaces") {
            None => true,
            Some(namespaces) if namespaces["match"] == "Self" => subject.namespace == other.namespace,
            Some(namespaces) => list(&namespaces["sameLabels"]).iter().all(|key| {
                let value = |pod: &Pod| self.labels(pod).get(key.as_str().expect("a key")).cloned();
                value(subject).is_some() && value(subject) == value(other)
            }),
        };
        is_alike && self.is_pod(peer, other)
    }

    /// What a group has, and what its child groups have.
    fn members(&self, name: &Value) -> Vec<&'a Value> {
        let find_group = |name: &Value| {
            let is_group = |group: &&Value| {
                group["metadata"]["name"] == *name
                    && group["metadata"]["namespace"].as_str() == self.namespace
            };
            &self.all.groups.iter().find(is_group).expect("a group")["spec"]
        };
        let group = find_group(name);
        list(&group["childGroups"]).iter().map(find_group).chain([group]).collect()
    }
}

/// "If this field and Protocols are unset or empty, this rule matches all ports."
fn is_traffic(rule: &Value, packet: &Packet<'_>) -> bool {
    let (ports, protocols) = (list(&rule["ports"]), list(&rule["protocols"]));
    let is_message = |protocol: &Value| {
        let icmp = &protocol["icmp"];
        let has_number = |field: &str, value: u16| {
            icmp[field].as_u64().is_none_or(|expected| expected == u64::from(value))
        };
        [1, 58].contains(&packet.protocol)
            && has_number("icmpType", packet.port / 256)
            && has_number("icmpCode", packet.port % 256)
    };
    let is_from = |port: &Value| {
        let first = port["sourcePort"].as_u64();
        let last = port["sourceEndPort"].as_u64().or(first);
        first.is_none_or(|first| (first..=last.unwrap_or(first)).contains(&u64::from(packet.source)))
    };
    (ports.is_empty() && protocols.is_empty())
        || ports.iter().any(|port| kubernetes::is_port(port, packet) && is_from(port))
        || protocols.iter().any(is_message)
}
