//! A small cluster for policies, and every packet in it.

use std::net::IpAddr;

use netpol::tier::{Direction, Enforcement};
use netpol::traffic::{Detail, Kind, Space, Traffic};
use netpol::verdict::Subject;
use netpol::world::mention::Mentions;
use netpol::world::{Cluster, Namespace, Node, PartyKind, Pod, Port, World};
use snapshot::Range;
use snapshot::model::{Labels, Text};

use crate::packet::{End, Packet};

/// Ports that tests name, with those beside them.
pub(crate) const PORTS: [u16; 10] = [1, 53, 79, 80, 81, 443, 5978, 8080, 32767, 65535];

/// Protocols: those with ports, that of messages for each family, and one with neither.
pub(crate) const PROTOCOLS: [u8; 6] = [6, 17, 132, 1, 58, 47];

/// Source ports, and messages as type and code.
const SOURCES: [u16; 3] = [7, 1024, 50000];
const MESSAGES: [(u8, u8); 5] = [(8, 0), (8, 1), (0, 0), (128, 0), (3, 4)];

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| (Text::from(*key), Text::from(*value))).collect()
}

pub(crate) fn range(text: &str) -> Range {
    Range::read(text).expect("a range").0
}

/// Two namespaces of a shop and one of its guests, pods of both families with one and the same label values in several of them, two nodes.
pub(crate) fn town() -> Cluster {
    let namespace =
        |name: &str, pairs: &[(&str, &str)]| Namespace { name: name.into(), labels: labels(pairs) };
    let mut pods = Vec::new();
    let mut pod = |namespace: &str, name: &str, pairs: &[(&str, &str)], account: &str| {
        let number = pods.len() + 1;
        let named = |name: &str, protocol: u8, number: u16| Port { protocol, name: name.into(), number };
        let web = if number % 2 == 0 { 8080 } else { 80 };
        pods.push(Pod {
            namespace: namespace.into(),
            name: name.into(),
            labels: labels(pairs),
            account: account.into(),
            account_labels: labels(&[("tier", account)]),
            addresses: vec![
                format!("10.244.{number}.2").parse().expect("IPv4"),
                format!("fd00:244::{number}").parse().expect("IPv6"),
            ],
            ports: vec![named("http", 6, web), named("dns", 17, 53)],
            ..Pod::default()
        });
    };
    pod("shop", "web", &[("app", "web"), ("role", "frontend")], "web");
    pod("shop", "db", &[("app", "db"), ("role", "db")], "default");
    pod("shop", "bare", &[], "default");
    pod("office", "web", &[("app", "web"), ("env", "prod")], "web");
    pod("office", "job", &[("app", "job"), ("env", "test")], "default");
    pod("guests", "bare", &[], "default");
    pod("guests", "db", &[("app", "db"), ("role", "frontend")], "default");
    let node = |name: &str, address: &str| Node {
        name: name.into(),
        addresses: vec![address.parse().expect("address")],
    };
    Cluster {
        namespaces: vec![
            namespace("shop", &[("team", "a"), ("env", "prod")]),
            namespace("office", &[("team", "b")]),
            namespace("guests", &[]),
        ],
        pods,
        nodes: vec![node("n1", "192.168.1.1"), node("n2", "192.168.1.2")],
        pod_ranges: vec![range("10.244.0.0/16"), range("fd00:244::/64")],
    }
}

/// Each pair of parties is asked about one of so many kinds of traffic, each pair about other ones. It shares no factor with the number of kinds
/// or of pairs that follow each other, so that every kind is asked of some pairs of every subject.
const STRIDE: usize = 19;

/// Compares what an evaluator says with what a reader says, of packets between all parties that are there: each pair gets some of the ports and
/// messages above, and all pairs together get all of them. Returns how many packets were compared.
///
/// # Panics
/// At the first packet of which they say different things.
pub(crate) fn compare(
    cluster: &Cluster,
    mentions: &Mentions,
    protocols: &[u8],
    evaluate: impl Fn(&World) -> Enforcement,
    read: impl Fn(&Packet<'_>) -> bool,
) -> usize {
    let world = World::new(cluster, mentions);
    let enforcement = evaluate(&world);
    let (kinds, ends) = (kinds(&world.space, protocols), ends(cluster, &world));
    let mut compared = 0;
    let mut turn = 0;
    for (subject, pod, address) in pods(cluster, &world) {
        for direction in Direction::ALL {
            let rules = Subject::new(&enforcement, direction, subject);
            for (peer, other, other_address) in &ends {
                let is_itself = other.pod().is_some_and(|other| std::ptr::eq(other, pod));
                if address.is_ipv6() != other_address.is_ipv6() || is_itself {
                    continue;
                }
                turn += 1;
                for (source, port, kind, traffic) in kinds.iter().skip(turn % STRIDE).step_by(STRIDE) {
                    // No packet of one family has the messages of the other.
                    if kind.protocol == if address.is_ipv6() { 1 } else { 58 } {
                        continue;
                    }
                    let packet = Packet {
                        direction,
                        subject: (pod, address),
                        peer: (*other, *other_address),
                        protocol: kind.protocol,
                        source: *source,
                        port: *port,
                    };
                    let verdict = rules.verdict(*peer, traffic);
                    assert_eq!(verdict.allowed, read(&packet), "{packet:?}: the evaluator says {verdict}");
                    compared += 1;
                }
            }
        }
    }
    compared
}

/// Every kind of traffic that is asked about: source port, destination port or message, the kind, and the set that it is alone.
pub(crate) fn kinds(space: &Space, protocols: &[u8]) -> Vec<(u16, u16, Kind, Traffic)> {
    let mut kinds = Vec::new();
    for protocol in protocols.iter().copied() {
        match protocol {
            6 | 17 | 132 | 136 => {
                let pairs = PORTS.into_iter().flat_map(|port| SOURCES.map(|source| (port, source)));
                kinds.extend(pairs.map(|(port, source)| {
                    let kind = Kind { protocol, detail: Detail::Port(port), source: Some(source) };
                    (source, port, kind)
                }));
            }
            1 | 58 => kinds.extend(MESSAGES.map(|(message, code)| {
                let kind = Kind { protocol, detail: Detail::Message(message, code), source: None };
                (0, u16::from(message) * 256 + u16::from(code), kind)
            })),
            _ => kinds.push((0, 0, Kind { protocol, detail: Detail::None, source: None })),
        }
    }
    kinds
        .into_iter()
        .map(|(source, port, kind)| (source, port, kind.clone(), space.restrict_to_kind(&kind)))
        .collect()
}

/// A question about one packet, by names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'q> {
    /// Whether the pod receives it.
    pub(crate) direction: Direction,
    /// The pod whose policies decide: `NAMESPACE/NAME`.
    pub(crate) pod: &'q str,
    /// The other end: a pod, or an address outside.
    pub(crate) peer: &'q str,
    /// The protocol's number.
    pub(crate) protocol: u8,
    /// The destination port, or the type and the code of a message (`type * 256 + code`).
    pub(crate) port: u16,
}

impl Question<'_> {
    /// What an evaluator answers.
    pub(crate) fn ask(
        &self,
        cluster: &Cluster,
        mentions: &Mentions,
        evaluate: impl Fn(&World) -> Enforcement,
    ) -> bool {
        let world = World::new(cluster, mentions);
        let pod = |name: &str| {
            let (namespace, pod) = name.split_once('/')?;
            let pod = cluster
                .pods
                .iter()
                .find(|candidate| *candidate.namespace == *namespace && *candidate.name == *pod)?;
            world.stands_for(&pod.namespace, &pod.name, pod.addresses[0])
        };
        let party_at = |address: &str| {
            (0..world.len()).find(|number| {
                let party = world.party(*number).expect("a party");
                matches!(party.kind, PartyKind::Outside | PartyKind::Node(_))
                    && party.address.to_string() == address
            })
        };
        let [message, code] = self.port.to_be_bytes();
        let is_message = [1, 58].contains(&self.protocol);
        let detail = if is_message { Detail::Message(message, code) } else { Detail::Port(self.port) };
        let kind = Kind { protocol: self.protocol, detail, source: None };
        let peer = pod(self.peer).or_else(|| party_at(self.peer)).expect("the other end");
        let enforcement = evaluate(&world);
        let rules = Subject::new(&enforcement, self.direction, pod(self.pod).expect("the pod"));
        rules.verdict(peer, &world.space.restrict_to_kind(&kind)).allowed
    }
}

/// Every pod at each of its addresses, with the party that stands for it.
fn pods<'c>(cluster: &'c Cluster, world: &World) -> Vec<(usize, &'c Pod, IpAddr)> {
    let to_items = |pod: &'c Pod| {
        pod.addresses
            .iter()
            .map(move |address| (world.stands_for(&pod.namespace, &pod.name, *address), pod, *address))
    };
    let all = cluster.pods.iter().flat_map(to_items);
    all.map(|(party, pod, address)| (party.expect("a party for every pod"), pod, address)).collect()
}

/// The same, with the nodes and everybody outside.
fn ends<'c>(cluster: &'c Cluster, world: &World) -> Vec<(usize, End<'c>, IpAddr)> {
    let others = (0..world.len()).filter_map(|number| {
        let party = world.party(number)?;
        let end = match &party.kind {
            PartyKind::Node(_) => End::Node,
            PartyKind::Outside => End::Outside,
            PartyKind::Pod(..) | PartyKind::Imagined(_) => return None,
        };
        Some((number, end, party.address))
    });
    let pods =
        pods(cluster, world).into_iter().map(|(number, pod, address)| (number, End::Pod(pod), address));
    pods.chain(others).collect()
}
