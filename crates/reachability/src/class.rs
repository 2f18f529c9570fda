//! Classes of probes: from which kind to which, how far, over which family, and with what packet.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::peer::{Kind, Peer};

/// What is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// An agent, by its own address.
    Agent(Kind),
    /// The agents, by the cluster IP of their Service.
    Service,
    /// The cluster's DNS, by its cluster IP.
    Dns,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(kind) => f.pad(kind.as_str()),
            Self::Service => f.pad("Service"),
            Self::Dns => f.pad("DNS"),
        }
    }
}

/// How far apart both ends are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    SameNode,
    OtherNode,
    OtherZone,
    /// Behind a cluster IP.
    Any,
}

impl Place {
    /// How far `to` is from `from`. A node without a zone is in the zone of every other one.
    #[must_use]
    pub fn between(from: &Peer, to: &Peer) -> Self {
        let has_zones = !from.zone.is_empty() && !to.zone.is_empty();
        match (from.node == to.node, has_zones && from.zone != to.zone) {
            (true, _) => Self::SameNode,
            (false, false) => Self::OtherNode,
            (false, true) => Self::OtherZone,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SameNode => "same node",
            Self::OtherNode => "other node",
            Self::OtherZone => "other zone",
            Self::Any => "any",
        })
    }
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Family {
    IPv4,
    IPv6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub const fn of_address(address: IpAddr) -> Self {
        if address.is_ipv6() { Self::IPv6 } else { Self::IPv4 }
    }

    /// The address that stands for all own addresses of the family.
    #[must_use]
    pub const fn unspecified_address(self) -> IpAddr {
        match self {
            Self::IPv4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Self::IPv6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }

    /// Bytes of the headers of a datagram without options, IP and UDP.
    #[must_use]
    pub const fn datagram_headers(self) -> u32 {
        match self {
            Self::IPv4 => 20 + 8,
            Self::IPv6 => 40 + 8,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::IPv4 => "IPv4",
            Self::IPv6 => "IPv6",
        })
    }
}

/// What a probe sends, and waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packet {
    /// A datagram, and its echo.
    Udp,
    /// A datagram that fills the smaller MTU of both ends and must not be fragmented, and its echo.
    LargeUdp,
    /// A datagram to a port that a NetworkPolicy closes. An answer, in time or late, is the fault.
    DeniedUdp,
    /// A new TCP connection, a question and its answer.
    Connect,
    /// A question and its answer over a TCP connection that stays.
    HeldTcp,
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Udp => "UDP",
            Self::LargeUdp => "large UDP",
            Self::DeniedUdp => "denied UDP",
            Self::Connect => "TCP connect",
            Self::HeldTcp => "held TCP",
        })
    }
}

/// Probes of which the results are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    pub from: Kind,
    pub to: Target,
    pub place: Place,
    pub family: Family,
    pub packet: Packet,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}, {}, {}", self.from, self.to, self.family, self.packet)?;
        match self.place {
            Place::Any => Ok(()),
            Place::SameNode | Place::OtherNode | Place::OtherZone => write!(f, ", {}", self.place),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(node: &str, zone: &str) -> Peer {
        let (name, addresses) = (format!("on-{node}"), vec![IpAddr::from([192, 0, 2, 1])]);
        Peer {
            name,
            node: node.to_owned(),
            zone: zone.to_owned(),
            kind: Kind::Host,
            id: 1,
            addresses,
            mtu: 1500,
        }
    }

    #[test]
    fn a_place_is_by_node_and_zone() {
        for (from, to, place) in [
            (("a", "x"), ("a", "x"), Place::SameNode),
            (("a", "x"), ("b", "x"), Place::OtherNode),
            (("a", "x"), ("b", "y"), Place::OtherZone),
            (("a", ""), ("b", "y"), Place::OtherNode),
            (("a", ""), ("b", ""), Place::OtherNode),
        ] {
            assert_eq!(Place::between(&peer(from.0, from.1), &peer(to.0, to.1)), place, "{from:?} {to:?}");
        }
    }
}
