//! The cluster that the independent tool is asked about, and the packets in it.

use std::net::IpAddr;

use netpol::tier::{Direction, Enforcement};
use netpol::traffic::{Detail, Kind, Traffic};
use netpol::verdict::Subject;
use netpol::world::mention::Mentions;
use netpol::world::{Cluster, PartyKind, World};
use serde_json::{Value, json};
use snapshot::Range;

use crate::town::town;

/// Every packet between two parties gets a number, and a pair of sets is asked about each of so many numbers, every pair about other ones. It
/// shares no factor with the number of kinds of traffic.
pub(crate) const STRIDE: usize = 251;

/// Addresses of the world outside: in every range that pairs name, at their ends, and beside them.
const ADDRESSES: [&str; 18] = [
    "8.8.8.8",
    "172.15.255.255",
    "172.16.8.1",
    "172.23.255.255",
    "172.24.0.1",
    "172.28.0.1",
    "172.30.0.1",
    "172.31.255.255",
    "192.168.1.0",
    "192.168.1.1",
    "198.51.100.1",
    "198.51.100.128",
    "198.51.100.255",
    "203.0.113.1",
    "2001:db8::1",
    "2001:db8::8000:0:0:1",
    "2001:db8::c000:0:0:1",
    "2001:db9::1",
];

/// Ports at the ends of every range that pairs name, and beside them.
const PORTS: [u16; 16] = [1, 2, 7, 8, 53, 79, 80, 81, 443, 444, 5978, 8080, 8081, 50000, 65534, 65535];
const SOURCES: [u16; 3] = [7, 1024, 50000];
const MESSAGES: [(u8, u8); 5] = [(8, 0), (8, 1), (3, 3), (3, 4), (128, 1)];

/// The town without what the tool does not know: nodes, and pods that do not exist yet, which a world has in the ranges of pods.
pub(crate) fn cluster() -> Cluster {
    Cluster { nodes: Vec::new(), pod_ranges: Vec::new(), ..town() }
}

pub(crate) fn addresses() -> Vec<IpAddr> {
    ADDRESSES.iter().map(|text| text.parse().expect("an address")).collect()
}

/// Protocol, source port, and destination port or message (`type * 256 + code`).
pub(crate) fn kinds() -> Vec<(u8, u16, u16)> {
    let ported = [6, 17, 132].into_iter().flat_map(|protocol| {
        PORTS.into_iter().flat_map(move |port| SOURCES.map(|source| (protocol, source, port)))
    });
    let messages = [1, 58].into_iter().flat_map(|protocol| {
        MESSAGES.map(|(message, code)| (protocol, 0, u16::from(message) * 256 + u16::from(code)))
    });
    ported.chain(messages).chain([(136, 7, 80), (47, 0, 0)]).collect()
}

/// What the first line of the file tells the tool.
pub(crate) fn header() -> Value {
    let cluster = cluster();
    let namespaces = cluster.namespaces.iter().map(|item| json!({"name": *item.name, "labels": item.labels}));
    let pods = cluster.pods.iter().map(|pod| {
        let ports = pod.ports.iter();
        let ports =
            ports.map(|port| json!({"name": *port.name, "protocol": port.protocol, "number": port.number}));
        let ports: Vec<Value> = ports.collect();
        json!({"namespace": *pod.namespace, "name": *pod.name, "labels": pod.labels, "ports": ports})
    });
    json!({
        "cluster": {"namespaces": namespaces.collect::<Vec<_>>(), "pods": pods.collect::<Vec<_>>()},
        "addresses": ADDRESSES,
        "kinds": kinds(),
        "stride": STRIDE,
    })
}

/// One end of a packet, by its party for each family of addresses.
#[derive(Debug, Clone, Copy)]
struct End {
    v4: Option<usize>,
    v6: Option<usize>,
    is_pod: bool,
}

/// The packets that one pair of sets is asked about.
pub(crate) struct Packets {
    ends: Vec<End>,
    kinds: Vec<(u8, Traffic)>,
    turn: usize,
}

impl Packets {
    /// # Panics
    /// If the world has a pod that does not exist yet.
    pub(crate) fn new(cluster: &Cluster, world: &World, mentions: &Mentions, turn: usize) -> Self {
        assert!(
            (0..world.len())
                .all(|party| !matches!(world.party(party).expect("a party").kind, PartyKind::Imagined(_)))
        );
        let pods = cluster.pods.iter().map(|pod| {
            let party = |is_v6: bool| {
                let address = pod.addresses.iter().find(|address| address.is_ipv6() == is_v6)?;
                world.stands_for(&pod.namespace, &pod.name, *address)
            };
            End { v4: party(false), v6: party(true), is_pod: true }
        });
        let others = addresses().into_iter().map(|address| {
            let party = Some(outside(world, mentions, address));
            let is_v6 = address.is_ipv6();
            End { v4: party.filter(|_| !is_v6), v6: party.filter(|_| is_v6), is_pod: false }
        });
        let kinds = kinds().into_iter().map(|(protocol, source, port)| {
            let [message, code] = port.to_be_bytes();
            let (detail, source) = match protocol {
                1 | 58 => (Detail::Message(message, code), None),
                47 => (Detail::None, None),
                _ => (Detail::Port(port), Some(source)),
            };
            (protocol, world.space.restrict_to_kind(&Kind { protocol, detail, source }))
        });
        Self { ends: pods.chain(others).collect(), kinds: kinds.collect(), turn: turn % STRIDE }
    }

    /// Whether each packet may pass, by the policies of both ends.
    ///
    /// # Panics
    /// If the family of the addresses matters between two pods, of which the tool knows none.
    pub(crate) fn allowed(&self, world: &World, all: &Enforcement) -> String {
        let rules = |direction| -> Vec<Option<Subject<'_>>> {
            let to_subject = |party| world.pods().has(party).then(|| Subject::new(all, direction, party));
            (0..world.len()).map(to_subject).collect()
        };
        let (ingress, egress) = (rules(Direction::Ingress), rules(Direction::Egress));
        let passes = |from: usize, to: usize, traffic: &Traffic| {
            let describe = |rules: &[Option<Subject<'_>>], subject: usize, peer: usize| {
                rules[subject].as_ref().is_none_or(|rules| rules.verdict(peer, traffic).allowed)
            };
            describe(&egress, from, to) && describe(&ingress, to, from)
        };
        let mut verdicts = String::new();
        let mut number = 0;
        for (from_place, from) in self.ends.iter().enumerate() {
            for (to_place, to) in self.ends.iter().enumerate() {
                if !from.is_pod && !to.is_pod {
                    continue;
                }
                for (protocol, traffic) in &self.kinds {
                    number += 1;
                    if (number - 1) % STRIDE != self.turn {
                        continue;
                    }
                    let v4 = from.v4.zip(to.v4).map(|(from, to)| passes(from, to, traffic));
                    let v6 = from.v6.zip(to.v6).map(|(from, to)| passes(from, to, traffic));
                    if let (Some(v4), Some(v6)) = (v4, v6) {
                        assert_eq!(v4, v6, "{from_place} to {to_place}: protocol {protocol}");
                    }
                    verdicts.push(if v4.or(v6).expect("a family of both") { '1' } else { '0' });
                }
            }
        }
        verdicts
    }
}

/// The party outside that no policy tells from an address.
fn outside(world: &World, mentions: &Mentions, address: IpAddr) -> usize {
    let describe = |address: IpAddr| -> Vec<bool> {
        mentions.ranges.iter().map(|range| range.contains(Range::from_address(address))).collect()
    };
    let is_like = |party: &usize| {
        let party = world.party(*party).expect("a party");
        party.kind == PartyKind::Outside
            && party.address.is_ipv6() == address.is_ipv6()
            && describe(party.address) == describe(address)
    };
    (0..world.len()).find(is_like).expect("a party outside")
}
