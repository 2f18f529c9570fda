//! `attachments --connections`: the connections that the kernel tracks of this node's pods, as `kubectl crossfade policies observe --flows` reads them.
//!
//! Each line has the form that conntrack-tools print. Conntrack itself is read over netlink, because most distributions build their kernel without
//! `/proc/net/nf_conntrack`. *Source*: linux/netfilter/nfnetlink.h, linux/netfilter/nfnetlink_conntrack.h; net/netfilter/nf_conntrack_netlink.c.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use convergence::failure::Failure;
use convergence::node::attachments::Attachments;
use convergence::report::{Page, Report};
use nix::errno::Errno;
use serde::Serialize;
use shim::host::boot;
use types::command::exit::Exit;

use crate::cli::{Global, List, print};
use crate::host::chroot;
use crate::host::netlink::{find, netfilter};
use crate::node::{attachments, facts};

/// The pause between two passes of `--for`. No connection begins and ends unseen in it: the kernel keeps one that has ended for ten seconds or more.
/// *Source*: Linux, net/netfilter/nf_conntrack_proto_tcp.c, `tcp_timeouts`.
const PAUSE: Duration = Duration::from_secs(5);

const SUBSYSTEM: u16 = 1;
const NEW: u16 = 0;
const GET: u16 = 1;
/// `struct nfgenmsg`: family, version, resource. A request for no family is one for all.
const HEADER: [u8; 4] = [0; 4];
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_ADDRESSES: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const ADDRESSES_V4: [u16; 2] = [1, 2];
const ADDRESSES_V6: [u16; 2] = [3, 4];
const PROTOCOL_NUMBER: u16 = 1;
const PROTOCOL_PORTS: [u16; 2] = [2, 3];
/// The type and the code of ICMP, then those of ICMPv6.
const PROTOCOL_MESSAGES: [[u16; 2]; 2] = [[5, 6], [8, 9]];

/// The connections of one pass: those that no pass before had.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectionsReport {
    /// The connections, each as the line that `kubectl crossfade policies observe --flows` reads.
    connections: Vec<String>,
    /// How many attachments have no recorded address, so that their connections are unknown.
    without_address: usize,
}

impl Report for ConnectionsReport {
    fn human(&self) -> Page {
        let mut page = Page::new();
        for line in &self.connections {
            let _ = writeln!(page, "{line}");
        }
        page
    }
}

/// Prints the connections of now, and then those that begin before the time of `--for` is over.
///
/// # Errors
/// Bad settings; the records cannot be read; what the kernel says.
pub(super) fn print_all(global: &Global, args: &List) -> Result<Exit, Failure> {
    chroot::require_node_network(global)?;
    let node = facts::gather_certain(global)?;
    let failed = |error: io::Error| Failure::new(Exit::Failed, error);
    let end = Instant::now() + Duration::from_secs(args.seconds.unwrap_or_default());
    let (mut known, mut is_first) = (BTreeSet::new(), true);
    // With those of pods that have ended: the kernel keeps their connections for a while.
    let mut addresses = BTreeSet::new();
    loop {
        let Attachments { attachments: lines, damaged } = attachments::list(&node.dirs.layout, None)?;
        addresses.extend(lines.iter().flat_map(|line| line.addresses.iter().copied()));
        let tracked = gather(&addresses).map_err(|error| failure(&error))?;
        let seconds = boot::now().map_err(failed)?.wall_secs;
        let new = tracked.difference(&known).map(|connection| format!("[{seconds}] {connection}"));
        let report = ConnectionsReport {
            connections: new.collect(),
            without_address: damaged.len() + lines.iter().filter(|line| line.addresses.is_empty()).count(),
        };
        if is_first {
            print_notes(damaged.len() + lines.len(), &report);
        }
        print::report(global.output, &report);
        if Instant::now() + PAUSE > end {
            return Ok(Exit::Done);
        }
        std::thread::sleep(PAUSE);
        (known, is_first) = (tracked, false);
    }
}

/// Says on stderr what a person who finds few connections in the record has to know.
fn print_notes(attachments: usize, report: &ConnectionsReport) {
    if report.without_address > 0 {
        let (count, unknown) =
            (report.without_address, "have no recorded address; their connections are unknown");
        print::progress(&format!("{count} of {attachments} attachments {unknown}"));
    }
    if report.connections.is_empty() {
        print::progress(&format!("the kernel tracks no connection of the {attachments} attachments"));
    }
}

fn failure(error: &io::Error) -> Failure {
    let has_errno = |errno: Errno| error.raw_os_error() == Some(errno as i32);
    if has_errno(Errno::EINVAL) || has_errno(Errno::EPROTONOSUPPORT) {
        return Failure::new(
            Exit::Failed,
            "this kernel has no conntrack that a program can read over netlink",
        )
        .with_place("the kernel")
        .fix("load its module (modprobe nf_conntrack_netlink), or record flows with the CNI's own program");
    }
    Failure::new(Exit::Failed, format!("read the kernel's connections, which takes CAP_NET_ADMIN: {error}"))
        .with_place("the kernel")
}

/// The connections of which one of these addresses is an end, before or behind the translation of addresses.
fn gather(addresses: &BTreeSet<IpAddr>) -> io::Result<BTreeSet<Connection>> {
    let of_pods = |payload: &[u8]| Ok(parse(payload).filter(|found| found.has_any(addresses)));
    let found = netfilter()?.dump(SUBSYSTEM << 8 | GET, &HEADER, SUBSYSTEM << 8 | NEW, of_pods)?;
    Ok(found.into_iter().collect())
}

/// A connection by its packets in both directions. Those of the answers come from the pod that a Service's address leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Connection {
    original: Tuple,
    reply: Tuple,
}

/// The packets of one direction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Tuple {
    protocol: u8,
    source: IpAddr,
    destination: IpAddr,
    detail: Detail,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Detail {
    /// The source port and the destination port.
    Ports(u16, u16),
    /// The type and the code of a message.
    Message(u8, u8),
    None,
}

impl Connection {
    fn has_any(&self, addresses: &BTreeSet<IpAddr>) -> bool {
        let Self { original, reply } = self;
        [original.source, original.destination, reply.source, reply.destination]
            .iter()
            .any(|address| addresses.contains(address))
    }
}

/// A connection of a message's bytes behind the netlink header; none if something is missing.
fn parse(payload: &[u8]) -> Option<Connection> {
    let rest = payload.get(HEADER.len()..)?;
    let direction = |kind: u16| tuple(&find(rest, kind)?);
    Some(Connection { original: direction(TUPLE_ORIGINAL)?, reply: direction(TUPLE_REPLY)? })
}

fn tuple(bytes: &[u8]) -> Option<Tuple> {
    let (addresses, protocol) = (find(bytes, TUPLE_ADDRESSES)?, find(bytes, TUPLE_PROTOCOL)?);
    let [v4, v6] = [ADDRESSES_V4, ADDRESSES_V6].map(|kinds| kinds.map(|kind| find(&addresses, kind)));
    let [source, destination] = match (v4, v6) {
        ([Some(source), Some(destination)], _) => [v4_address(&source)?, v4_address(&destination)?],
        (_, [Some(source), Some(destination)]) => [v6_address(&source)?, v6_address(&destination)?],
        _ => return None,
    };
    Some(Tuple {
        protocol: octet(&protocol, PROTOCOL_NUMBER)?,
        source,
        destination,
        detail: detail(&protocol),
    })
}

fn v4_address(value: &[u8]) -> Option<IpAddr> {
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?).into())
}

fn v6_address(value: &[u8]) -> Option<IpAddr> {
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).into())
}

fn octet(bytes: &[u8], kind: u16) -> Option<u8> {
    find(bytes, kind)?.first().copied()
}

/// Ports are in network order.
fn port(bytes: &[u8], kind: u16) -> Option<u16> {
    find(bytes, kind)?.try_into().ok().map(u16::from_be_bytes)
}

fn detail(protocol: &[u8]) -> Detail {
    let [source, destination] = PROTOCOL_PORTS.map(|kind| port(protocol, kind));
    let mut messages = PROTOCOL_MESSAGES.iter().map(|kinds| kinds.map(|kind| octet(protocol, kind)));
    match (source.zip(destination), messages.find_map(|[kind, code]| kind.zip(code))) {
        (Some((source, destination)), _) => Detail::Ports(source, destination),
        (None, Some((kind, code))) => Detail::Message(kind, code),
        (None, None) => Detail::None,
    }
}

/// `ipv4 2 tcp 6 src=10.244.1.2 dst=10.96.0.10 sport=42957 dport=80 src=10.244.1.3 dst=10.244.1.2 sport=8080 dport=42957`.
impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { original, reply } = self;
        let family = if original.source.is_ipv4() { "ipv4 2" } else { "ipv6 10" };
        let protocol = original.protocol;
        write!(f, "{family} {} {protocol} {original} {reply}", protocol_name(protocol))
    }
}

/// *Source*: libnetfilter_conntrack, src/conntrack/snprintf.c.
const fn protocol_name(protocol: u8) -> &'static str {
    match protocol {
        1 => "icmp",
        6 => "tcp",
        17 => "udp",
        47 => "gre",
        58 => "icmpv6",
        132 => "sctp",
        136 => "udplite",
        _ => "unknown",
    }
}

impl fmt::Display for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src={} dst={}", self.source, self.destination)?;
        match self.detail {
            Detail::Ports(source, destination) => write!(f, " sport={source} dport={destination}"),
            Detail::Message(kind, code) => write!(f, " type={kind} code={code}"),
            Detail::None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
