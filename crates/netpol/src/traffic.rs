//! Sets of traffic: protocols with their ports, and ICMP with its types and codes.
//!
//! All kinds of traffic lie in a row, and a set is a list of intervals of this row. The source port is part of the kind only as far as some
//! policy tells source ports apart ([`Space`]).

use std::fmt;
use std::ops::RangeInclusive;

/// Protocols that have ports. *Source*: IANA, "Assigned Internet Protocol Numbers": TCP, UDP, SCTP, UDPLite.
const WITH_PORTS: [u8; 4] = [TCP, UDP, SCTP, UDPLITE];
/// Protocols that have types and codes: ICMP and ICMPv6.
const WITH_TYPES: [u8; 2] = [ICMP, ICMPV6];

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const SCTP: u8 = 132;
pub const UDPLITE: u8 = 136;
pub const ICMP: u8 = 1;
/// ICMPv6.
pub const ICMPV6: u8 = 58;

const LANE: u64 = 1 << 16;
const LANES: u64 = 6;
/// The points of one class of source ports: a lane for each protocol with ports or types, then one point for each protocol number.
const BLOCK: u64 = LANES * LANE + 256;

/// A range of ports, both ends included.
pub type Ports = RangeInclusive<u16>;

/// The row in which all kinds of traffic lie: once for each class of source ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    /// The classes: ranges in order that have all ports together. No policy tells two source ports of one class apart.
    sources: Vec<Ports>,
    /// Everything, put together once: many rules are about all traffic.
    all: Traffic,
}

/// A set of traffic: intervals of a [`Space`] in order, disjoint, and with a gap between each two. With every source port by itself, the row has 2^35
/// points.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Traffic(Vec<(u64, u64)>);

/// One kind of traffic, as a person reads it: `TCP 80`, `ICMP type 8 code 0`, `UDP 53 from port 1024`, `protocol 47`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// The protocol's number.
    pub protocol: u8,
    /// The destination port, or type and code; none for other protocols.
    pub detail: Detail,
    /// A source port, if policies tell source ports apart.
    pub source: Option<u16>,
}

/// What a kind of traffic has beside its protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Detail {
    /// A destination port.
    Port(u16),
    /// The type and the code of a message.
    Message(u8, u8),
    None,
}

impl Default for Space {
    fn default() -> Self {
        Self::new([])
    }
}

impl Space {
    /// A space in which these ranges of source ports are distinguished.
    #[must_use]
    pub fn new(sources: impl IntoIterator<Item = Ports>) -> Self {
        let mut begins = vec![0_u64];
        for range in sources {
            begins.extend([u64::from(*range.start()), u64::from(*range.end()) + 1]);
        }
        begins.sort_unstable();
        begins.dedup();
        begins.retain(|begin| *begin < LANE);
        let ends = begins.iter().skip(1).copied().chain([LANE]);
        // Both are below the number of ports.
        let class = |(begin, end): (&u64, u64)| port(*begin)..=port(end - 1);
        let sources = begins.iter().zip(ends).map(class).collect();
        let mut space = Self { sources, all: Traffic::none() };
        let mut all: Vec<_> = (0..=u8::MAX).flat_map(|protocol| space.protocol(protocol).0).collect();
        all.sort_unstable();
        space.all = Traffic(all).join();
        space
    }

    #[must_use]
    pub fn all(&self) -> Traffic {
        self.all.clone()
    }

    #[must_use]
    pub fn protocol(&self, protocol: u8) -> Traffic {
        match lane(protocol) {
            Some(lane) => self.blocks(|_| true, lane * LANE, (lane + 1) * LANE - 1),
            None => {
                let point = LANES * LANE + u64::from(protocol);
                self.blocks(|_| true, point, point)
            }
        }
    }

    /// A protocol to these destination ports, from any source port or from those of some ranges. A protocol without ports has no such traffic.
    #[must_use]
    pub fn ports(&self, protocol: u8, destinations: &[Ports], sources: Option<&[Ports]>) -> Traffic {
        let Some(lane) = lane(protocol).filter(|_| WITH_PORTS.contains(&protocol)) else {
            return Traffic::none();
        };
        let from = |class: &Ports| {
            sources.is_none_or(|ranges| ranges.iter().any(|range| range.contains(class.start())))
        };
        let to_traffic = |range: &Ports| {
            let (first, last) = (u64::from(*range.start()), u64::from(*range.end()));
            if first > last {
                Traffic::none()
            } else {
                self.blocks(from, lane * LANE + first, lane * LANE + last)
            }
        };
        destinations.iter().map(to_traffic).fold(Traffic::none(), |all, traffic| all.or(&traffic))
    }

    /// Messages of ICMP or ICMPv6 of a type, or of any, with a code, or with any.
    #[must_use]
    pub fn messages(&self, protocol: u8, kind: Option<u8>, code: Option<u8>) -> Traffic {
        let Some(lane) = lane(protocol).filter(|_| WITH_TYPES.contains(&protocol)) else {
            return Traffic::none();
        };
        let kinds = kind.map_or(0..=u8::MAX, |kind| kind..=kind);
        let codes = code.map_or((0, u8::MAX), |code| (code, code));
        let point = |kind: u8, code: u8| lane * LANE + u64::from(kind) * 256 + u64::from(code);
        kinds
            .map(|kind| self.blocks(|_| true, point(kind, codes.0), point(kind, codes.1)))
            .fold(Traffic::none(), |all, traffic| all.or(&traffic))
    }

    /// The traffic of one kind. Without a source port it comes from the lowest ones that no policy tells apart.
    #[must_use]
    pub fn restrict_to_kind(&self, kind: &Kind) -> Traffic {
        let source = kind.source.unwrap_or_default();
        let class = self.sources.iter().find(|class| class.contains(&source)).map(|class| [class.clone()]);
        let sources = class.as_ref().map(<[Ports; 1]>::as_slice);
        match kind.detail {
            Detail::Port(port) => self.ports(kind.protocol, &[port..=port], sources),
            Detail::Message(message, code) => self.messages(kind.protocol, Some(message), Some(code)),
            Detail::None => self.protocol(kind.protocol),
        }
    }

    /// The same, once for each class of source ports where the kind does not say its source port.
    #[must_use]
    pub fn restrict_by_source(&self, kind: &Kind) -> Vec<Traffic> {
        let from = |source: u16| self.restrict_to_kind(&Kind { source: Some(source), ..kind.clone() });
        match kind.source {
            Some(source) => vec![from(source)],
            None => self.sources.iter().map(|class| from(*class.start())).collect(),
        }
    }

    /// All traffic that there is between addresses of a family: none to port 0, at which no socket receives, and no messages of the other family.
    ///
    /// *Source*: man 2 `bind`, `ip_local_port_range`: a program that asks for port 0 gets another one. RFC 4443, section 1: ICMPv6 has the place of
    /// ICMP in IPv6.
    #[must_use]
    pub fn real_traffic(&self, is_v6: bool) -> Traffic {
        let all = self.all().without(&self.protocol(if is_v6 { ICMP } else { ICMPV6 }));
        WITH_PORTS.iter().fold(all, |all, protocol| all.without(&self.ports(*protocol, &[0..=0], None)))
    }

    /// A kind of traffic that is in a set; the first in the order of protocols, if the set is not empty.
    #[must_use]
    pub fn example(&self, traffic: &Traffic) -> Option<Kind> {
        let (first, _) = *traffic.0.first()?;
        let (class, point) = (first / BLOCK, first % BLOCK);
        let source = self.sources.get(usize::try_from(class).ok()?)?;
        let (protocol, detail) = if point < LANES * LANE {
            let protocol =
                WITH_PORTS.into_iter().chain(WITH_TYPES).nth(usize::try_from(point / LANE).ok()?)?;
            let rest = port(point % LANE);
            let [kind, code] = rest.to_be_bytes();
            let has_ports = WITH_PORTS.contains(&protocol);
            (protocol, if has_ports { Detail::Port(rest) } else { Detail::Message(kind, code) })
        } else {
            (u8::try_from(point - LANES * LANE).ok()?, Detail::None)
        };
        let tells_sources_apart = self.sources.len() > 1 && matches!(detail, Detail::Port(_));
        Some(Kind { protocol, detail, source: tells_sources_apart.then_some(*source.start()) })
    }

    /// The interval of every block whose class of source ports is meant.
    fn blocks(&self, from: impl Fn(&Ports) -> bool, first: u64, last: u64) -> Traffic {
        let blocks = (0_u64..).map(|class| class * BLOCK).zip(&self.sources);
        Traffic(
            blocks.filter(|(_, class)| from(class)).map(|(base, _)| (base + first, base + last)).collect(),
        )
        .join()
    }
}

impl Traffic {
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is in one of them.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let mut all: Vec<_> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        Self(all).join()
    }

    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let (mut ours, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut common = Vec::new();
        while let (Some(&&(first, last)), Some(&&(other_first, other_last))) = (ours.peek(), theirs.peek()) {
            let (begin, end) = (first.max(other_first), last.min(other_last));
            if begin <= end {
                common.push((begin, end));
            }
            if last <= other_last {
                ours.next();
            } else {
                theirs.next();
            }
        }
        Self(common)
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut remaining = Vec::new();
        let mut others = other.0.iter().peekable();
        for &(first, last) in &self.0 {
            let mut begin = first;
            while others.next_if(|(_, end)| *end < first).is_some() {}
            for &(other_first, other_last) in others.clone().take_while(|(from, _)| *from <= last) {
                if begin < other_first {
                    remaining.push((begin, other_first - 1));
                }
                begin = other_last + 1;
            }
            if begin <= last {
                remaining.push((begin, last));
            }
        }
        Self(remaining)
    }

    /// Intervals in order that touch or overlap become one.
    fn join(self) -> Self {
        let mut all: Vec<(u64, u64)> = Vec::with_capacity(self.0.len());
        for (first, last) in self.0 {
            match all.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => all.push((first, last)),
            }
        }
        Self(all)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.protocol {
            TCP => "TCP",
            UDP => "UDP",
            SCTP => "SCTP",
            UDPLITE => "UDPLite",
            ICMP => "ICMP",
            ICMPV6 => "ICMPv6",
            other => return write!(f, "protocol {other}"),
        };
        match self.detail {
            Detail::Port(port) => write!(f, "{name} {port}")?,
            Detail::Message(kind, code) => write!(f, "{name} type {kind} code {code}")?,
            Detail::None => f.write_str(name)?,
        }
        self.source.map_or(Ok(()), |port| write!(f, " from port {port}"))
    }
}

/// The lane of a protocol that has ports or types.
fn lane(protocol: u8) -> Option<u64> {
    let place = WITH_PORTS.into_iter().chain(WITH_TYPES).position(|number| number == protocol)?;
    u64::try_from(place).ok()
}

/// A number below 65,536.
fn port(number: u64) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(space: &Space, ports: Ports) -> Traffic {
        space.ports(TCP, &[ports], None)
    }

    #[test]
    fn sets_are_joined_cut_and_taken_apart() {
        let space = Space::default();
        let (low, high) = (tcp(&space, 0..=99), tcp(&space, 100..=65535));
        assert_eq!(low.or(&high), space.protocol(TCP), "sets that touch are one");
        assert!(low.and(&high).is_empty());
        let middle = tcp(&space, 50..=150);
        assert_eq!(middle.and(&low), tcp(&space, 50..=99));
        assert_eq!(space.protocol(TCP).without(&middle), tcp(&space, 0..=49).or(&tcp(&space, 151..=65535)));
        let holes = tcp(&space, 10..=10).or(&tcp(&space, 20..=30)).or(&tcp(&space, 90..=65535));
        assert_eq!(
            low.without(&holes),
            tcp(&space, 0..=9).or(&tcp(&space, 11..=19)).or(&tcp(&space, 31..=89))
        );
        assert_eq!(low.or(&holes).without(&low), tcp(&space, 100..=65535));
        assert!(low.without(&space.all()).is_empty());
        for (traffic, other) in [(&low, &holes), (&middle, &holes), (&holes, &low)] {
            assert_eq!(traffic.without(other).or(&traffic.and(other)), *traffic);
            assert!(traffic.without(other).and(other).is_empty());
        }
    }

    #[test]
    fn protocols_are_apart_and_all_of_them_are_everything() {
        let space = Space::default();
        let all = space.all();
        for protocol in 0..=u8::MAX {
            let traffic = space.protocol(protocol);
            assert_eq!(space.example(&traffic).expect("some").protocol, protocol);
            assert_eq!(all.without(&traffic).or(&traffic), all);
            for other in [TCP, ICMP, 47].into_iter().filter(|other| *other != protocol) {
                assert!(traffic.and(&space.protocol(other)).is_empty(), "{protocol} {other}");
            }
        }
        assert!(
            space.ports(ICMP, &[0..=65535], None).is_empty() && space.messages(TCP, None, None).is_empty()
        );
    }

    #[test]
    fn source_ports_count_as_far_as_rules_tell_them_apart() {
        let space = Space::new([1000..=1999, 1500..=65535]);
        let from = |ranges: &[Ports]| space.ports(TCP, &[80..=80], Some(ranges));
        assert_eq!(from(&[0..=65535]), tcp(&space, 80..=80));
        assert_eq!(from(&[0..=999]).or(&from(&[1000..=65535])), tcp(&space, 80..=80));
        assert!(from(&[0..=999]).and(&from(&[1000..=65535])).is_empty());
        assert_eq!(space.example(&from(&[1500..=65535])).expect("some").to_string(), "TCP 80 from port 1500");
        assert_eq!(space.example(&space.protocol(47)).expect("some").to_string(), "protocol 47");
    }

    #[test]
    fn however_many_source_ports_are_told_apart_each_is_itself() {
        let ports = (0..12_000_u16).map(|number| number * 5 + 1);
        let space = Space::new(ports.clone().map(|port| port..=port));
        for port in [1, 6, 30_001, 59_996] {
            let from = space.ports(UDP, &[53..=53], Some(&[port..=port]));
            assert_eq!(space.example(&from).expect("some").source, Some(port));
        }
        let all = space.ports(UDP, &[53..=53], None);
        assert_eq!(space.protocol(UDP).without(&all).or(&all), space.protocol(UDP));
    }

    #[test]
    fn messages_have_types_and_codes() {
        let space = Space::default();
        let echo = space.messages(ICMP, Some(8), None);
        assert_eq!(
            echo.without(&space.messages(ICMP, Some(8), Some(0))).and(&space.messages(
                ICMP,
                Some(8),
                Some(0)
            )),
            Traffic::none()
        );
        assert_eq!(space.example(&echo).expect("some").to_string(), "ICMP type 8 code 0");
        assert_eq!(space.messages(ICMPV6, None, None), space.protocol(ICMPV6));
    }
}
