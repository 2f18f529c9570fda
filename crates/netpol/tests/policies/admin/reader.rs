//! A reading of the API's documentation, packet by packet and on the JSON itself.
//!
//! *Source*: network-policy-api.sigs.k8s.io, "ClusterNetworkPolicy", "AdminNetworkPolicy"; the comments of the API's types.

use netpol::engines::kubernetes::Blocks;
use netpol::tier::Direction;
use netpol::world::{Cluster, Pod};
use serde_json::Value;

use crate::kubernetes::reader::{self, isolates, matches};
use crate::packet::Packet;
use crate::range::inside;

/// What a tier says of a packet.
#[derive(Debug, PartialEq, Eq)]
enum TierVerdict {
    Accept,
    Deny,
    Nothing,
}

/// Whether a packet passes the policies of the pod that sends or receives it.
pub(crate) fn allowed(
    policies: &[Value],
    beside: &[Value],
    cluster: &Cluster,
    packet: &Packet<'_>,
    blocks: Blocks,
) -> bool {
    match tier(policies, "Admin", cluster, packet) {
        TierVerdict::Accept => return true,
        TierVerdict::Deny => return false,
        TierVerdict::Nothing => {}
    }
    // "v1.NetworkPolicy always makes a final decision for selected pods."
    if beside.iter().any(|policy| isolates(policy, packet.subject.0, packet.direction)) {
        return reader::allowed(beside, cluster, packet, blocks);
    }
    // "If a connection wasn't allowed or denied by any of the tiers, all pods can communicate with each other."
    tier(policies, "Baseline", cluster, packet) != TierVerdict::Deny
}

fn tier(policies: &[Value], name: &str, cluster: &Cluster, packet: &Packet<'_>) -> TierVerdict {
    let place = |policy: &Value| match policy["kind"].as_str().expect("a kind") {
        "AdminNetworkPolicy" => "Admin".to_owned(),
        "BaselineAdminNetworkPolicy" => "Baseline".to_owned(),
        _ => policy["spec"]["tier"].as_str().expect("a tier").to_owned(),
    };
    let mut own: Vec<&Value> = policies.iter().filter(|policy| place(policy) == name).collect();
    // "Policies with lower priority values have higher precedence."
    own.sort_by_key(|policy| policy["spec"]["priority"].as_u64().unwrap_or(0));
    let (rules, peers) = match packet.direction {
        Direction::Ingress => ("ingress", "from"),
        Direction::Egress => ("egress", "to"),
    };
    for policy in own {
        if !is_one(&policy["spec"]["subject"], packet.subject.0, cluster) {
            continue;
        }
        for rule in policy["spec"][rules].as_array().into_iter().flatten() {
            let is_peer =
                rule[peers].as_array().expect("peers").iter().any(|peer| is_peer(peer, cluster, packet));
            if is_peer && is_traffic(rule, packet) {
                return match rule["action"].as_str().expect("an action") {
                    "Accept" | "Allow" => TierVerdict::Accept,
                    "Deny" => TierVerdict::Deny,
                    // "Skips all further rules in the current tier, and passes evaluation to the next tier."
                    _ => TierVerdict::Nothing,
                };
            }
        }
    }
    TierVerdict::Nothing
}

fn is_peer(peer: &Value, cluster: &Cluster, packet: &Packet<'_>) -> bool {
    let (end, address) = packet.peer;
    match peer["networks"].as_array() {
        // "Cluster-internal traffic will be checked against the rule as well."
        Some(networks) => networks.iter().any(|network| inside(network, address)),
        None => end.pod().is_some_and(|pod| is_one(peer, pod, cluster)),
    }
}

fn is_one(selector: &Value, pod: &Pod, cluster: &Cluster) -> bool {
    let namespace =
        cluster.namespaces.iter().find(|candidate| candidate.name == pod.namespace).expect("a namespace");
    match selector.get("namespaces") {
        Some(namespaces) => matches(namespaces, &namespace.labels),
        None => {
            let pods = &selector["pods"];
            matches(&pods["namespaceSelector"], &namespace.labels)
                && matches(&pods["podSelector"], &pod.labels)
        }
    }
}

fn is_traffic(rule: &Value, packet: &Packet<'_>) -> bool {
    let all = rule.get("protocols").or(rule.get("ports")).and_then(Value::as_array);
    let Some(all) = all.filter(|all| !all.is_empty()) else { return true };
    let number = |name: &str| match name.to_lowercase().as_str() {
        "tcp" => 6,
        "udp" => 17,
        _ => 132,
    };
    let named = |name: &Value| {
        let is_of = |pod: &Pod| {
            pod.ports.iter().any(|port| {
                name == &*port.name && port.protocol == packet.protocol && port.number == packet.port
            })
        };
        packet.receiver().pod().is_some_and(is_of)
    };
    let within = |from: &Value, to: &Value| {
        let end = |value: &Value| value.as_u64().expect("a number");
        (end(from)..=end(to)).contains(&u64::from(packet.port))
    };
    all.iter().any(|object| {
        let (key, value) = object.as_object().and_then(|object| object.iter().next()).expect("one field");
        match key.as_str() {
            "destinationNamedPort" | "namedPort" => named(value),
            "portNumber" => {
                packet.protocol == number(value["protocol"].as_str().unwrap_or("TCP"))
                    && within(&value["port"], &value["port"])
            }
            "portRange" => {
                packet.protocol == number(value["protocol"].as_str().unwrap_or("TCP"))
                    && within(&value["start"], &value["end"])
            }
            protocol => {
                let port = &value["destinationPort"];
                let range = &port["range"];
                packet.protocol == number(protocol)
                    && match (port["number"].is_null(), range.is_null()) {
                        (false, _) => within(&port["number"], &port["number"]),
                        (true, false) => within(&range["start"], &range["end"]),
                        (true, true) => true,
                    }
            }
        }
    })
}
