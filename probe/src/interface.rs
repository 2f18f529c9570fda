//! The agent's interfaces: their addresses, and how large a packet they send.

use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;
use reachability::{Kind, Peer};

use crate::settings::Settings;

/// The MTU of an interface of which it is not known.
const DEFAULT_MTU: u32 = 1500;

/// The agent as it is now: a network may have joined or left its pod.
///
/// # Errors
/// One line, where its addresses are of neither network.
pub(crate) fn describe(settings: &Settings, id: u64) -> Result<Peer, String> {
    let interfaces = own_addresses();
    let kind = match settings.is_host {
        true => Kind::Host,
        false => {
            let others = interfaces.iter().map(|(_, address)| *address);
            let all: Vec<IpAddr> = settings.addresses.iter().copied().chain(others).collect();
            settings.ranges.kind(&all)?
        }
    };
    let primary = interfaces.iter().find(|(_, address)| settings.addresses.contains(address));
    let mtu = primary.and_then(|(name, _)| mtu(name)).unwrap_or(DEFAULT_MTU);
    Ok(Peer {
        name: settings.pod.clone(),
        node: settings.node.clone(),
        zone: settings.zone.clone(),
        kind,
        id,
        addresses: settings.addresses.clone(),
        mtu,
    })
}

/// Every address with the name of its interface.
fn own_addresses() -> Vec<(String, IpAddr)> {
    let Ok(interfaces) = getifaddrs() else { return Vec::new() };
    let named = interfaces.filter_map(|interface| Some((interface.interface_name, ip(&interface.address?)?)));
    named.collect()
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))
}

fn mtu(interface: &str) -> Option<u32> {
    std::fs::read_to_string(format!("/sys/class/net/{interface}/mtu")).ok()?.trim().parse().ok()
}
