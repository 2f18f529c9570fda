//! Routes, over rtnetlink.
//!
//! *Source*: man 7 `rtnetlink`, `linux/rtnetlink.h`.

use std::io;
use std::net::IpAddr;

use convergence::commands::cleanup::kernel::{LOCAL, RouteFact};
use ipnetwork::IpNetwork;
use nix::errno::Errno;

use super::link::{ip, send};
use crate::host::netlink::{attribute, attributes, native_u32, route};

const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
/// `struct rtmsg`.
const HEADER: usize = 12;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// A copy that the kernel made for one destination.
const RTM_F_CLONED: u32 = 0x200;
const RTNH_F_ONLINK: u32 = 4;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
const RTA_NH_ID: u16 = 30;
/// The words of `ip route` for types of routes. *Source*: `linux/rtnetlink.h`.
const TYPES: [&str; 10] = [
    "unspec",
    "unicast",
    "local",
    "broadcast",
    "anycast",
    "multicast",
    "blackhole",
    "unreachable",
    "prohibit",
    "throw",
];

/// All routes of both families, but those of the table that the kernel itself keeps for the addresses of this node.
///
/// # Errors
/// What the kernel says.
pub(crate) fn gather() -> io::Result<Vec<RouteFact>> {
    let mut all = Vec::new();
    for family in [AF_INET, AF_INET6] {
        let mut body = vec![0; HEADER];
        body[0] = family;
        all.extend(route()?.dump(RTM_GETROUTE, &body, RTM_NEWROUTE, |payload| Ok(parse(payload)))?);
    }
    Ok(all)
}

/// Removes one route.
///
/// # Errors
/// What the kernel says. One that is gone is fine.
pub(crate) fn remove(body: &[u8]) -> io::Result<()> {
    send(RTM_DELROUTE, body.to_vec(), Errno::ESRCH)
}

fn parse(payload: &[u8]) -> Option<RouteFact> {
    let header = payload.get(..HEADER)?;
    let (family, prefix, protocol, kind) = (header[0], header[1], header[5], header[7]);
    let flags = native_u32(&header[8..12])?;
    if ![AF_INET, AF_INET6].contains(&family) || flags & RTM_F_CLONED != 0 {
        return None;
    }
    let mut table = u32::from(header[4]);
    let mut destination: IpAddr = if family == AF_INET {
        std::net::Ipv4Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    };
    let mut interface = None;
    let mut words = Vec::new();
    let by_object = attributes(&payload[HEADER..]).any(|(kind, _)| kind == RTA_NH_ID);
    let mut body = header.to_vec();
    body[8..12].copy_from_slice(&(flags & RTNH_F_ONLINK).to_ne_bytes());
    for (attr, value) in attributes(&payload[HEADER..]) {
        match attr {
            RTA_TABLE => table = native_u32(&value)?,
            RTA_DST => destination = ip(&value)?,
            RTA_OIF => interface = native_u32(&value),
            RTA_GATEWAY => words.extend(ip(&value).map(|hop| format!("via {hop}"))),
            RTA_PREFSRC => words.extend(ip(&value).map(|source| format!("src {source}"))),
            RTA_PRIORITY => words.extend(native_u32(&value).map(|metric| format!("metric {metric}"))),
            RTA_MULTIPATH => words.push("over several next hops".to_owned()),
            _ => {}
        }
        let is_path = matches!(attr, RTA_OIF | RTA_GATEWAY | RTA_VIA | RTA_MULTIPATH);
        let names_it = matches!(attr, RTA_TABLE | RTA_DST | RTA_PRIORITY | RTA_PREFSRC | RTA_NH_ID);
        if names_it || (is_path && !by_object) {
            body.extend(attribute(attr, &value));
        }
    }
    if flags & RTNH_F_ONLINK != 0 {
        words.push("onlink".to_owned());
    }
    if table == LOCAL {
        return None;
    }
    let destination = IpNetwork::new(destination, prefix).ok()?;
    let mut all = Vec::new();
    if kind != 1 {
        all.extend(TYPES.get(usize::from(kind)).map(|word| (*word).to_owned()));
    }
    all.push(destination.to_string());
    all.append(&mut words);
    all.push(format!("proto {protocol}"));
    if table != 254 {
        all.push(format!("table {table}"));
    }
    Some(RouteFact { table, protocol, destination, interface, words: all.join(" "), body })
}
