//! The verdict on the exchanges of a proof.

use core::net::IpAddr;

use types::packets::{Exchange, Outcome, PacketPath, PacketReason, Protocol};

// The addresses alone: `core` has no sockets.

/// What a proof by packets came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    pub reason: PacketReason,
    /// Why it failed, in words; `None` if it passed.
    pub failed: Option<String>,
    /// What failed and does not count, one line each.
    pub notes: Vec<String>,
}

/// Judges the exchanges. What is wrong on this node counts before what is wrong elsewhere, and the most general before the special.
#[must_use]
pub fn decide(exchanges: &[Exchange]) -> Judgement {
    let local = local(exchanges).or_else(|| lost_sizes(exchanges, false));
    let failure =
        local.or_else(|| dns(exchanges)).or_else(|| peers(exchanges)).or_else(|| lost_sizes(exchanges, true));
    let notes = notes(exchanges);
    match failure {
        Some((reason, why)) => Judgement { reason, failed: Some(why), notes },
        None => Judgement { reason: PacketReason::Passed, failed: None, notes },
    }
}

type PacketFailure = Option<(PacketReason, String)>;

const FAMILIES: [(bool, &str); 2] = [(false, "IPv4"), (true, "IPv6")];

fn is_of(exchange: &Exchange, v6: bool) -> bool {
    exchange.to.is_ipv6() == v6
}

fn has_passed(exchange: &Exchange) -> bool {
    exchange.outcome == Outcome::Passed
}

/// Whether the request arrived.
fn has_arrived(exchange: &Exchange) -> bool {
    matches!(exchange.outcome, Outcome::Passed | Outcome::NoAnswer)
}

fn source(exchange: &Exchange) -> String {
    exchange.from.map_or_else(|| "the node".into(), |from| from.to_string())
}

/// The exchanges that never leave this node.
fn local(exchanges: &[Exchange]) -> PacketFailure {
    let local: Vec<&Exchange> = exchanges
        .iter()
        .filter(|exchange| matches!(exchange.path, PacketPath::PodToPod | PacketPath::NodeToPod))
        .collect();
    if local.iter().all(|exchange| has_passed(exchange)) {
        return None;
    }
    if !local.iter().any(|exchange| has_arrived(exchange)) {
        let words = paths(&local);
        return Some((
            PacketReason::Silent,
            format!("no packet arrives ({words}): the datapath is not there yet, or broken"),
        ));
    }
    let works = |v6: bool| {
        local.iter().filter(move |exchange| is_of(exchange, v6)).any(|exchange| has_arrived(exchange))
    };
    let has = |v6: bool| local.iter().any(|exchange| is_of(exchange, v6));
    for ((v6, family), (_, other)) in FAMILIES.into_iter().zip(FAMILIES.into_iter().rev()) {
        if has(v6) && !works(v6) {
            return Some((
                PacketReason::Family,
                format!("no {family} packet arrives, and {other} packets do"),
            ));
        }
    }
    FAMILIES.into_iter().find_map(|(v6, family)| {
        let exchanges: Vec<&Exchange> =
            local.iter().copied().filter(|exchange| is_of(exchange, v6)).collect();
        family_failure(&exchanges, family)
    })
}

/// The paths of exchanges, in words.
fn paths(exchanges: &[&Exchange]) -> String {
    let mut paths: Vec<PacketPath> = exchanges.iter().map(|exchange| exchange.path).collect();
    paths.sort_unstable();
    paths.dedup();
    paths.into_iter().map(PacketPath::words).collect::<Vec<_>>().join(", ")
}

/// One family of which some requests arrive.
fn family_failure(exchanges: &[&Exchange], family: &str) -> PacketFailure {
    let on_path = |path: PacketPath| exchanges.iter().copied().filter(move |exchange| exchange.path == path);
    let datagrams = |path: PacketPath| on_path(path).filter(|exchange| exchange.protocol == Protocol::Udp);
    let arriving = datagrams(PacketPath::PodToPod).find(|exchange| has_arrived(exchange));
    let missing = datagrams(PacketPath::PodToPod).find(|exchange| !has_arrived(exchange));
    if let (Some(arriving), Some(missing)) = (arriving, missing) {
        let why = format!(
            "{family} packets arrive in one direction only: from {} to {}, and not from {} to {}",
            source(arriving),
            arriving.to,
            source(missing),
            missing.to
        );
        return Some((PacketReason::OneWay, why));
    }
    if let Some(exchange) =
        datagrams(PacketPath::NodeToPod).find(|exchange| exchange.outcome == Outcome::NoAnswer)
    {
        let why = format!(
            "{family} packets arrive in one direction only: from the node to {}, and not back to {}",
            exchange.to,
            source(exchange)
        );
        return Some((PacketReason::OneWay, why));
    }
    // A firewall may let a request through and drop its answer, although each direction passes by itself.
    if let Some(exchange) =
        datagrams(PacketPath::PodToPod).find(|exchange| exchange.outcome == Outcome::NoAnswer)
    {
        let why = format!(
            "{family} packets arrive from {} at {}, and the answer does not come back",
            source(exchange),
            exchange.to
        );
        return Some((PacketReason::OneWay, why));
    }
    let silent = |path: PacketPath| on_path(path).next().is_some() && !on_path(path).any(has_arrived);
    if silent(PacketPath::PodToPod) {
        let why = format!("no {family} packet arrives from pod to pod, and the node reaches a pod");
        return Some((PacketReason::Pods, why));
    }
    if silent(PacketPath::NodeToPod) {
        let why = format!("no {family} packet arrives from the node at a pod, and pods reach each other");
        return Some((PacketReason::Node, why));
    }
    let failing = exchanges.iter().find(|exchange| !has_passed(exchange))?;
    let other = if failing.protocol == Protocol::Tcp { Protocol::Udp } else { Protocol::Tcp };
    let why = format!(
        "{family}, {}: {} does not pass from {} to {}, and {} does",
        failing.path.words(),
        failing.protocol.word(),
        source(failing),
        failing.to,
        other.word()
    );
    Some((PacketReason::Protocol, why))
}

/// Packets that fill the interface's MTU, are lost, without an ICMP message that says so.
fn lost_sizes(exchanges: &[Exchange], of_others: bool) -> PacketFailure {
    let is_lost = |exchange: &&Exchange| {
        (exchange.path == PacketPath::PodToPeer) == of_others
            && exchange.mtu.is_some_and(|mtu| exchange.passes.is_none_or(|passes| passes < mtu))
            && !exchange.announced
    };
    let exchange = exchanges.iter().find(is_lost)?;
    let reason = if of_others { PacketReason::PeerMtu } else { PacketReason::Mtu };
    let passes = exchange.passes.map_or_else(
        || "only small packets pass".into(),
        |passes| format!("the largest that passes has {passes} bytes"),
    );
    let why = format!(
        "{}: packets of {} bytes, which the interface and its route allow, are lost from {} to {}, and no router announces a smaller size: {passes}",
        exchange.path.words(),
        exchange.mtu.unwrap_or_default(),
        source(exchange),
        exchange.to
    );
    Some((reason, why))
}

/// Whether a party that answers without help is there: one that refuses is.
fn is_answered(exchange: &Exchange) -> bool {
    matches!(exchange.outcome, Outcome::Passed | Outcome::Refused)
}

fn exchanges_of_path(exchanges: &[Exchange], path: PacketPath) -> Vec<&Exchange> {
    exchanges.iter().filter(|exchange| exchange.path == path).collect()
}

fn targets(exchanges: &[&Exchange]) -> String {
    exchanges.iter().map(|exchange| exchange.to.to_string()).collect::<Vec<_>>().join(", ")
}

fn dns(exchanges: &[Exchange]) -> PacketFailure {
    let queried = exchanges_of_path(exchanges, PacketPath::PodToDns);
    (!queried.is_empty() && !queried.iter().any(|exchange| is_answered(exchange))).then(|| {
        let why =
            format!("no DNS server answers a pod ({}), and the packets on this node pass", targets(&queried));
        (PacketReason::Dns, why)
    })
}

/// Other nodes, family by family: one that answers is enough, because others may be down.
fn peers(exchanges: &[Exchange]) -> PacketFailure {
    FAMILIES.into_iter().find_map(|(v6, family)| {
        let queried: Vec<&Exchange> = exchanges_of_path(exchanges, PacketPath::PodToPeer)
            .into_iter()
            .filter(|exchange| is_of(exchange, v6))
            .collect();
        (!queried.is_empty() && !queried.iter().any(|exchange| is_answered(exchange))).then(|| {
            let why = format!(
                "no other node answers a pod over {family} ({}), and the packets on this node pass",
                targets(&queried)
            );
            (PacketReason::Peers, why)
        })
    })
}

fn notes(exchanges: &[Exchange]) -> Vec<String> {
    let mut notes = Vec::new();
    let mut unanswered: Vec<IpAddr> = Vec::new();
    for exchange in exchanges {
        let note = match (exchange.path, exchange.outcome) {
            (PacketPath::PodToNode, outcome)
                if outcome != Outcome::Passed && !unanswered.contains(&exchange.to) =>
            {
                unanswered.push(exchange.to);
                format!(
                    "a pod cannot open connections to the node at {}, though the node reaches the pod: a firewall of the node may drop them",
                    exchange.to
                )
            }
            (PacketPath::PodToDns, Outcome::Refused) => {
                format!("the DNS server {} refuses: no DNS pod is ready, most likely", exchange.to)
            }
            (_, Outcome::Passed) if exchange.announced => format!(
                "{} to {}: {} bytes pass, not the {} that the interface allows; this is announced, so that connections adapt",
                source(exchange),
                exchange.to,
                exchange.passes.unwrap_or_default(),
                exchange.mtu.unwrap_or_default()
            ),
            (_, Outcome::Silent | Outcome::Refused | Outcome::NoAnswer | Outcome::Passed) => continue,
        };
        notes.push(note);
    }
    notes
}

#[cfg(test)]
mod tests;
