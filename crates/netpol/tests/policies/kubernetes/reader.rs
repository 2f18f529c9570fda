//! A reading of the documentation of NetworkPolicies, packet by packet and on the JSON itself.
//!
//! *Source*: Kubernetes, "Network Policies" (kubernetes.io/docs/concepts/services-networking/network-policies).

use netpol::engines::kubernetes::Blocks;
use netpol::tier::Direction;
use netpol::world::{Cluster, Pod};
use serde_json::Value;
use snapshot::model::Labels;

use crate::packet::{End, Packet};
use crate::range::{inside, list};

/// Whether a packet passes the policies of the pod that sends or receives it.
pub(crate) fn allowed(policies: &[Value], cluster: &Cluster, packet: &Packet<'_>, blocks: Blocks) -> bool {
    let (pod, _) = packet.subject;
    let isolating: Vec<&Value> =
        policies.iter().filter(|policy| isolates(policy, pod, packet.direction)).collect();
    // "By default, a pod is non-isolated": everything is allowed. Otherwise the effects of the policies are additive.
    isolating.is_empty() || isolating.iter().any(|policy| lets_through(policy, cluster, packet, blocks))
}

/// Whether a policy is about the pod, in the direction.
pub(crate) fn isolates(policy: &Value, pod: &Pod, direction: Direction) -> bool {
    let spec = &policy["spec"];
    let is_listed = match spec["policyTypes"].as_array() {
        Some(types) => types.iter().any(|object| object == direction.name()),
        // "If no policyTypes are specified then by default Ingress will always be set and Egress will be set if it has any egress rules."
        None => {
            direction == Direction::Ingress
                || spec["egress"].as_array().is_some_and(|rules| !rules.is_empty())
        }
    };
    is_listed
        && policy["metadata"]["namespace"] == *pod.namespace
        && matches(&spec["podSelector"], &pod.labels)
}

/// Whether one of its rules allows the packet.
pub(crate) fn lets_through(policy: &Value, cluster: &Cluster, packet: &Packet<'_>, blocks: Blocks) -> bool {
    let (rules, peers) = match packet.direction {
        Direction::Ingress => (&policy["spec"]["ingress"], "from"),
        Direction::Egress => (&policy["spec"]["egress"], "to"),
    };
    list(rules).iter().any(|rule| {
        let (peers, ports) = (list(&rule[peers]), list(&rule["ports"]));
        let is_peer =
            peers.is_empty() || peers.iter().any(|peer| is_peer(peer, policy, cluster, packet, blocks));
        is_peer && (ports.is_empty() || ports.iter().any(|port| is_port(port, packet)))
    })
}

/// Whether the packet's other end is this peer.
pub(crate) fn is_peer(
    peer: &Value,
    policy: &Value,
    cluster: &Cluster,
    packet: &Packet<'_>,
    blocks: Blocks,
) -> bool {
    let (end, address) = packet.peer;
    if let Some(block) = peer.get("ipBlock") {
        let meant = match end {
            End::Pod(_) => blocks.pods,
            End::Node => blocks.nodes,
            End::Outside => true,
        };
        let except = block["except"].as_array().into_iter().flatten();
        return meant
            && inside(&block["cidr"], address)
            && !except.into_iter().any(|part| inside(part, address));
    }
    let Some(pod) = end.pod() else { return false };
    let is_pod = peer.get("podSelector").is_none_or(|selector| matches(selector, &pod.labels));
    let is_namespace = match peer.get("namespaceSelector") {
        None => policy["metadata"]["namespace"] == *pod.namespace,
        Some(selector) => {
            let namespace = cluster
                .namespaces
                .iter()
                .find(|candidate| candidate.name == pod.namespace)
                .expect("a namespace");
            matches(selector, &namespace.labels)
        }
    };
    is_pod && is_namespace
}

/// Whether the packet goes to this port.
pub(crate) fn is_port(port: &Value, packet: &Packet<'_>) -> bool {
    let number = match port["protocol"].as_str().unwrap_or("TCP") {
        "TCP" => 6,
        "UDP" => 17,
        _ => 132,
    };
    if packet.protocol != number {
        return false;
    }
    match (&port["port"], port["endPort"].as_u64()) {
        (Value::Null, _) => true,
        (Value::String(name), _) => packet.receiver().pod().is_some_and(|pod| {
            pod.ports.iter().any(|candidate| {
                *candidate.name == **name && candidate.protocol == number && candidate.number == packet.port
            })
        }),
        (first, last) => {
            let first = first.as_u64().expect("a number");
            (first..=last.unwrap_or(first)).contains(&u64::from(packet.port))
        }
    }
}

/// Whether a selector is true of labels.
pub(crate) fn matches(selector: &Value, labels: &Labels) -> bool {
    let value = |key: &Value| labels.get(key.as_str().expect("a key")).map(|value| &**value);
    let same = selector["matchLabels"].as_object().into_iter().flatten();
    let more = selector["matchExpressions"].as_array().into_iter().flatten();
    same.into_iter()
        .all(|(key, expected)| labels.get(key.as_str()).map(|value| &**value) == expected.as_str())
        && more.into_iter().all(|object| {
            let listed = object["values"].as_array().into_iter().flatten();
            let is_listed = value(&object["key"])
                .is_some_and(|value| listed.into_iter().any(|expected| expected == value));
            match object["operator"].as_str().expect("an operator") {
                "In" => is_listed,
                "NotIn" => !is_listed,
                "Exists" => value(&object["key"]).is_some(),
                _ => value(&object["key"]).is_none(),
            }
        })
}
