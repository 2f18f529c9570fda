//! Interfaces and their addresses, over rtnetlink.
//!
//! *Source*: man 7 `rtnetlink`, `linux/if_link.h`, `linux/if_addr.h`.

use std::io;
use std::net::IpAddr;

use convergence::commands::cleanup::kernel::{AddressFact, LinkFact};
use ipnetwork::IpNetwork;
use nix::errno::Errno;
use shim::attachment::route::rtnl::RtnlRequest;

use crate::host::netlink::{attribute, attributes, find, native_u32, route, text};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
/// `struct ifinfomsg`.
const LINK_HEADER: usize = 16;
/// `struct ifaddrmsg`.
const ADDRESS_HEADER: usize = 8;
const IFF_UP: u32 = 1;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_VXLAN_ID: u16 = 1;
const IFLA_VXLAN_PORT: u16 = 15;
const IFLA_EXT_MASK: u16 = 29;
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;
const IFLA_LINK_NETNSID: u16 = 37;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

/// All interfaces.
///
/// # Errors
/// What the kernel says.
pub(crate) fn gather() -> io::Result<Vec<LinkFact>> {
    let mut conversation = route()?;
    let mut body = vec![0; LINK_HEADER];
    body.extend(attribute(IFLA_EXT_MASK, &RTEXT_FILTER_SKIP_STATS.to_ne_bytes()));
    let mut links = conversation.dump(RTM_GETLINK, &body, RTM_NEWLINK, |payload| Ok(parse(payload)))?;
    let addresses = conversation
        .dump(RTM_GETADDR, &[0; ADDRESS_HEADER], RTM_NEWADDR, |payload| Ok(parse_address(payload)))?;
    for (index, address) in addresses {
        links
            .iter_mut()
            .filter(|link| link.index == index)
            .for_each(|link| link.addresses.push(address.clone()));
    }
    Ok(links)
}

/// Removes the interface of this index, if it is still the one of this name.
///
/// # Errors
/// What the kernel says. One that is gone is fine.
pub(crate) fn remove(index: u32, name: &str) -> io::Result<()> {
    if !gather()?.iter().any(|link| link.index == index && link.name == name) {
        return Ok(());
    }
    send(RTM_DELLINK, header(index, 0, 0), Errno::ENODEV)
}

/// Sets the interface of this index down, if it is still the one of this name, and removes these addresses from it.
///
/// # Errors
/// What the kernel says. What is gone is fine.
pub(crate) fn set_down(index: u32, name: &str, addresses: &[Vec<u8>]) -> io::Result<()> {
    if !gather()?.iter().any(|link| link.index == index && link.name == name) {
        return Ok(());
    }
    for address in addresses {
        send(RTM_DELADDR, address.clone(), Errno::EADDRNOTAVAIL)?;
    }
    send(RTM_NEWLINK, header(index, 0, IFF_UP), Errno::ENODEV)
}

fn header(index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    for number in [index, flags, change] {
        body.extend(number.to_ne_bytes());
    }
    body
}

/// Sends one request, for which `gone` means that it is done.
pub(super) fn send(message_type: u16, body: Vec<u8>, gone: Errno) -> io::Result<()> {
    let failed = route()?.batch(&[RtnlRequest { message_type, flags: 0, body }])?.pop();
    match failed {
        Some((_, error)) if error.raw_os_error() != Some(gone as i32) => Err(error),
        _ => Ok(()),
    }
}

fn parse(payload: &[u8]) -> Option<LinkFact> {
    let header = payload.get(..LINK_HEADER)?;
    let flags = native_u32(header.get(8..12)?)?;
    let mut link =
        LinkFact { index: native_u32(header.get(4..8)?)?, up: flags & IFF_UP != 0, ..LinkFact::default() };
    let mut words = Vec::new();
    for (kind, value) in attributes(&payload[LINK_HEADER..]) {
        match kind {
            IFLA_IFNAME => link.name = text(&value),
            IFLA_MASTER => link.master = native_u32(&value),
            IFLA_LINK_NETNSID => link.peer_elsewhere = true,
            IFLA_MTU => words.extend(native_u32(&value).map(|mtu| format!("mtu {mtu}"))),
            IFLA_ADDRESS if !value.is_empty() => {
                let mac: Vec<_> = value.iter().map(|byte| format!("{byte:02x}")).collect();
                words.push(format!("address {}", mac.join(":")));
            }
            IFLA_LINKINFO => {
                link.kind = find(&value, IFLA_INFO_KIND).map(|kind| text(&kind));
                words.extend(link.kind.as_ref().map(|kind| format!("type {kind}")));
                if let (Some("vxlan"), Some(data)) = (link.kind.as_deref(), find(&value, IFLA_INFO_DATA)) {
                    let id = find(&data, IFLA_VXLAN_ID).and_then(|id| native_u32(&id));
                    let port = find(&data, IFLA_VXLAN_PORT).and_then(|port| port.try_into().ok());
                    words.extend(id.map(|id| format!("id {id}")));
                    words.extend(port.map(|port| format!("dstport {}", u16::from_be_bytes(port))));
                }
            }
            _ => {}
        }
    }
    link.details = words.join(" ");
    Some(link)
}

fn parse_address(payload: &[u8]) -> Option<(u32, AddressFact)> {
    let header = payload.get(..ADDRESS_HEADER)?;
    let index = native_u32(header.get(4..8)?)?;
    let rest = &payload[ADDRESS_HEADER..];
    let local = find(rest, IFA_LOCAL);
    let value = local.clone().or_else(|| find(rest, IFA_ADDRESS))?;
    let address = IpNetwork::new(ip(&value)?, header[1]).ok()?;
    let mut body = header.to_vec();
    body.extend(attribute(if local.is_some() { IFA_LOCAL } else { IFA_ADDRESS }, &value));
    Some((index, AddressFact { address, body }))
}

/// An address, by the number of its bytes.
pub(super) fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
        _ => None,
    }
}
