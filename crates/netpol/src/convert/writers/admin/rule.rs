//! Rules of ClusterNetworkPolicy, and its subjects.

use serde_json::{Map, Value, json};

use crate::convert::intermediate::{Action, Peer, PodSelection, Rule, Traffic};
use crate::convert::objects::selector;
use crate::convert::reachable_rules::Entry;
use crate::convert::report::Refusal;
use crate::convert::writers::address_blocks::cut_block;
use crate::engines::kubernetes::{LabelSelector, PortNumber};
use crate::tier::Direction;
use crate::traffic::{SCTP, TCP, UDP};

/// Entries of every list of the API: rules of a direction, peers of a rule, networks of a peer, protocols of a rule. *Source*:
/// kubernetes-sigs/network-policy-api, `apis/v1alpha2`, `MaxItems`.
pub(super) const MOST: usize = 25;
/// How many ranges one with exceptions may become.
const MOST_RANGES: usize = 256;
/// All addresses of both families.
const ALL_ADDRESSES: [&str; 2] = ["0.0.0.0/0", "::/0"];
const PROTOCOLS: [(u8, &str); 3] = [(TCP, "tcp"), (UDP, "udp"), (SCTP, "sctp")];

/// What a rule becomes: several ones, one after the other, where a list would be too long.
///
/// # Errors
/// What a ClusterNetworkPolicy cannot say.
pub(super) fn rules(entry: &Entry<'_>) -> Result<Vec<Value>, Refusal> {
    let rule = entry.rule;
    let peers = peers(rule)?;
    let traffic = rule.traffic.as_ref().map(|all| all.iter().map(protocol).collect::<Result<Vec<_>, _>>());
    let traffic = traffic.transpose()?;
    let action = match entry.action {
        Action::Allow => "Accept",
        Action::Deny => "Deny",
        Action::Pass => "Pass",
    };
    let (way, key) = match rule.direction {
        Direction::Ingress => ("ingress", "from"),
        Direction::Egress => ("egress", "to"),
    };
    let to_value = |peers: &[Value], protocols: Option<&[Value]>| {
        let mut written = Map::new();
        written.insert("name".into(), format!("{way}-{}", rule.number).into());
        written.insert("action".into(), action.into());
        written.insert(key.into(), peers.into());
        if let Some(protocols) = protocols {
            written.insert("protocols".into(), protocols.into());
        }
        Value::Object(written)
    };
    let mut rule_objects = Vec::new();
    for peers in peers.chunks(MOST) {
        match &traffic {
            None => rule_objects.push(to_value(peers, None)),
            Some(all) => {
                rule_objects.extend(all.chunks(MOST).map(|protocols| to_value(peers, Some(protocols))))
            }
        }
    }
    Ok(rule_objects)
}

/// A rule that denies pods everything that they send.
pub(super) fn end() -> Value {
    json!({"name": "end", "action": "Deny", "to": [{"networks": ALL_ADDRESSES}]})
}

/// Pods as a subject or as a peer.
///
/// # Errors
/// What no ClusterNetworkPolicy can select.
pub(super) fn pods(chosen: &PodSelection) -> Result<Value, String> {
    if !chosen.accounts.is_empty() {
        return Err("pods by their service account, which ClusterNetworkPolicies do not know".into());
    }
    let namespaces = selector(&chosen.namespace_selector());
    Ok(if chosen.pods == LabelSelector::default() {
        json!({ "namespaces": namespaces })
    } else {
        json!({"pods": {"namespaceSelector": namespaces, "podSelector": selector(&chosen.pods)}})
    })
}

fn peers(rule: &Rule) -> Result<Vec<Value>, Refusal> {
    let is_ingress = rule.direction == Direction::Ingress;
    let key = if is_ingress { "source" } else { "destination" };
    let outside = || {
        let why = "packets from outside of the cluster too, and a ClusterNetworkPolicy knows senders by their labels alone";
        Refusal::new(key, why)
    };
    let Some(peers) = &rule.peers else {
        return if is_ingress { Err(outside()) } else { Ok(vec![json!({ "networks": ALL_ADDRESSES })]) };
    };
    let (mut written, mut networks): (Vec<Value>, Vec<String>) = (Vec::new(), Vec::new());
    for peer in peers {
        match peer {
            Peer::Pods(chosen) => {
                written
                    .push(pods(chosen).map_err(|why| Refusal::new(format!("{key}.serviceAccounts"), why))?);
            }
            Peer::Block(_) if is_ingress => return Err(outside()),
            Peer::Block(block) => {
                let why = format!("a range with exceptions that is more than {MOST_RANGES} without them");
                let all = cut_block(block, MOST_RANGES)
                    .ok_or_else(|| Refusal::new(format!("{key}.notNets"), why))?;
                for range in all.iter().map(ToString::to_string) {
                    // The API wants each of them once.
                    if !networks.contains(&range) {
                        networks.push(range);
                    }
                }
            }
        }
    }
    written.extend(networks.chunks(MOST).map(|networks| json!({ "networks": networks })));
    Ok(written)
}

fn protocol(traffic: &Traffic) -> Result<Value, Refusal> {
    let Traffic { protocol, to, from, message } = traffic;
    let Some((_, name)) = PROTOCOLS.iter().find(|(number, _)| number == protocol) else {
        let why = format!("protocol {protocol}: ClusterNetworkPolicies know TCP, UDP and SCTP");
        return Err(Refusal::new("protocol", why));
    };
    if from.is_some() {
        return Err(Refusal::new("source.ports", "ClusterNetworkPolicies know no source ports"));
    }
    if message.is_some() {
        return Err(Refusal::new("icmp", "ClusterNetworkPolicies know no messages"));
    }
    // A protocol has to have a port there.
    let port = match to.as_ref().unwrap_or(&PortNumber::Range(1, u16::MAX)) {
        PortNumber::Name(_) => {
            let why = "a port by its name, which a ClusterNetworkPolicy means of every protocol";
            return Err(Refusal::new("destination.ports", why));
        }
        PortNumber::Range(0, 0) => {
            return Err(Refusal::new("destination.ports", "port 0 alone, at which no program receives"));
        }
        // The API has no port 0, and no range of one port.
        PortNumber::Range(first, last) if *last > (*first).max(1) => {
            json!({"range": {"start": (*first).max(1), "end": last}})
        }
        PortNumber::Range(_, last) => json!({ "number": last }),
    };
    Ok(json!({ *name: {"destinationPort": port} }))
}
