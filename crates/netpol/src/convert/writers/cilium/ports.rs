//! The traffic of a rule as Cilium has it.

use serde_json::{Map, Value, json};

use super::peers::{Note, Way};
use crate::convert::intermediate::{Rule, Traffic, place};
use crate::convert::report::{Outcome, Refusal, Report};
use crate::engines::calico::Message;
use crate::engines::cilium::{MOST, Settings};
use crate::engines::kubernetes::PortNumber;
use crate::gather::Policies;
use crate::tier::Direction;
use crate::traffic::{ICMP, ICMPV6, SCTP, TCP, UDP};

/// The protocols that have ports. *Source*: cilium/cilium, `pkg/policy/api`, `ParseL4Proto`.
const PROTOCOLS: [(u8, &str); 3] = [(TCP, "TCP"), (UDP, "UDP"), (SCTP, "SCTP")];
/// The protocols that have messages, by the family of addresses that names them.
const FAMILIES: [(u8, &str); 2] = [(ICMP, "IPv4"), (ICMPV6, "IPv6")];
/// Longest name of a container port. *Source*: Kubernetes, `IANA_SVC_NAME`.
const LONGEST_NAME: usize = 15;

/// The traffic of a rule whose other end is this: the fields of one or more rules. None is all of it.
///
/// # Errors
/// What Cilium has no word for.
pub(crate) fn fields(
    rule: &Rule,
    ways: &[Way],
    settings: Settings,
    notes: &mut Vec<Note>,
) -> Result<Option<Vec<Way>>, Refusal> {
    let Some(traffic) = &rule.traffic else { return Ok(None) };
    let (mut ports, mut messages) = (Vec::new(), Vec::new());
    for item in traffic {
        if FAMILIES.iter().any(|(number, _)| *number == item.protocol) {
            messages.extend(types(item, ways, notes)?);
        } else {
            ports.extend(numbers(item, rule, settings, notes)?);
        }
    }
    let parts =
        |all: &[Value], key: &str| -> Value { all.chunks(MOST).map(|part| json!({ key: part })).collect() };
    let both = [
        ("toPorts", parts(&ports, "ports"), ports.len()),
        ("icmps", parts(&messages, "fields"), messages.len()),
    ];
    Ok(Some(both.into_iter().filter(|(.., count)| *count > 0).map(|(key, value, _)| (key, value)).collect()))
}

fn numbers(
    traffic: &Traffic,
    rule: &Rule,
    settings: Settings,
    notes: &mut Vec<Note>,
) -> Result<Vec<Value>, Refusal> {
    let Traffic { protocol, to, from, .. } = traffic;
    let Some((_, name)) = PROTOCOLS.iter().find(|(number, _)| number == protocol) else {
        let why = format!("protocol {protocol}: Cilium knows TCP, UDP, SCTP, ICMP and ICMPv6");
        return Err(Refusal::new("protocol", why));
    };
    if from.is_some() {
        return Err(Refusal::new("source.ports", "Cilium knows no source ports"));
    }
    if *protocol == SCTP {
        notes.push(("protocol", Outcome::Exact, "SCTP, which Cilium must be set for: sctp.enabled".into()));
    }
    let field = "destination.ports";
    let port = |number: &str, last: Option<u16>| {
        let mut port = Map::new();
        port.insert("port".into(), number.into());
        if let Some(last) = last {
            port.insert("endPort".into(), last.into());
        }
        port.insert("protocol".into(), (*name).into());
        Value::Object(port)
    };
    let numbers = match to {
        // Port 0 stands for all of them.
        None | Some(PortNumber::Range(0, u16::MAX)) => vec![port("0", None)],
        Some(PortNumber::Name(name)) => {
            if !is_name(name) {
                let why = format!(
                    "{name:?}: no container port has such a name, and Cilium reads another one for it"
                );
                return Err(Refusal::new(field, why));
            }
            if rule.direction == Direction::Egress {
                notes.push((field, Outcome::Snapshot, describe_named_port(name)));
            }
            vec![port(name, None)]
        }
        Some(PortNumber::Range(0, 0)) => {
            return Err(Refusal::new(field, "port 0 alone, at which no program receives"));
        }
        Some(PortNumber::Range(first, last)) => {
            // Port 0 would stand for all of them, and no program receives at it.
            let first = (*first).max(1);
            if first == *last {
                vec![port(&first.to_string(), None)]
            } else if settings.has_port_ranges {
                notes.push((
                    field,
                    Outcome::Exact,
                    "a range of ports, which Cilium reads from 1.16 on".into(),
                ));
                vec![port(&first.to_string(), Some(*last))]
            } else if usize::from(*last - first) < MOST {
                notes.push((field, Outcome::Expanded, "each port of a range by itself".into()));
                (first..=*last).map(|number| port(&number.to_string(), None)).collect()
            } else {
                let why = format!("{first} to {last}: this release of Cilium reads no ranges of ports");
                return Err(Refusal::new(field, why));
            }
        }
    };
    Ok(numbers)
}

/// What a port's name means for packets that pods send.
fn describe_named_port(name: &str) -> String {
    format!(
        "{name:?}: Cilium takes the one number that pods of the whole cluster have by this name, for every receiver, and nothing once a pod has another"
    )
}

/// Adds an entry for each rule of a NetworkPolicy of Kubernetes that names ports at which others receive.
pub(crate) fn note_named_ports(policies: &Policies, report: &mut Report) {
    for (object, policy) in policies.kubernetes.iter() {
        for (number, rule) in policy.egress.iter().enumerate() {
            let name = rule.ports.iter().find_map(|port| match &port.port {
                Some(PortNumber::Name(name)) => Some(name),
                Some(PortNumber::Range(..)) | None => None,
            });
            if let Some(name) = name {
                let field = format!("{}.ports", place(Direction::Egress, number));
                report.note(object, field, Outcome::Snapshot, describe_named_port(name));
            }
        }
    }
}

/// Cilium compares names without regard to case, and container ports have none in capitals.
fn is_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.len() <= LONGEST_NAME
        && name.chars().all(is_part)
        && name.contains(|c: char| c.is_ascii_lowercase())
        && !name.contains("--")
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// The types of messages. All of them are written one by one, for there is no word for all.
fn types(traffic: &Traffic, ways: &[Way], notes: &mut Vec<Note>) -> Result<Vec<Value>, Refusal> {
    let family =
        FAMILIES.iter().find(|(number, _)| *number == traffic.protocol).map_or("", |(_, name)| *name);
    let field = |kind: u8| json!({"family": family, "type": kind});
    match traffic.message.unwrap_or_default() {
        Message { code: Some(code), .. } => {
            let why = format!("code {code}: Cilium tells messages apart by their types alone");
            Err(Refusal::new("icmp.code", why))
        }
        Message { kind: Some(kind), code: None } => Ok(vec![field(kind)]),
        Message { kind: None, code: None } => {
            if ways.iter().any(|(key, _)| *key == "Endpoints") {
                let why = "every type of message: 256 entries in Cilium's policy maps for each identity of these pods, and a map has 16384";
                return Err(Refusal::new("protocol", why));
            }
            let why = "every type of message, each by itself: Cilium has no word for all of them";
            notes.push(("protocol", Outcome::Expanded, why.into()));
            Ok((0..=u8::MAX).map(field).collect())
        }
    }
}
