//! The agent's interfaces: their addresses, and how large a packet they send.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use nix::ifaddrs::getifaddrs;
use nix::libc;
use nix::sys::socket::{SockaddrStorage, getsockopt, sockopt};
use reachability::{Family, Kind, Peer};

use crate::settings::Settings;

/// The MTU of an interface of which it is not known, in bytes.
const DEFAULT_MTU: u32 = 1500;

nix::getsockopt_impl!(Mtu4, libc::IPPROTO_IP, libc::IP_MTU, libc::c_int, sockopt::GetStruct<libc::c_int>);
nix::getsockopt_impl!(Mtu6, libc::IPPROTO_IPV6, libc::IPV6_MTU, libc::c_int, sockopt::GetStruct<libc::c_int>);
#[derive(Debug, Clone, Copy)]
struct Mtu4;
#[derive(Debug, Clone, Copy)]
struct Mtu6;

/// The agent as it is now: a network may have joined or left its pod.
///
/// # Errors
/// One line, where its addresses are of neither network.
pub(crate) fn describe(settings: &Settings, id: u64, mtu: u32) -> Result<Peer, String> {
    let kind = match settings.is_host {
        true => Kind::Host,
        false => {
            let all: Vec<IpAddr> = settings.addresses.iter().copied().chain(own_addresses()).collect();
            settings.ranges.kind(&all)?
        }
    };
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

fn own_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = getifaddrs() else { return Vec::new() };
    interfaces.filter_map(|interface| ip(&interface.address?)).collect()
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))
}

/// The largest packet that leaves by the way to a hub, in bytes. It is asked for once: what the agent learns of a path later must not make its large
/// packets smaller.
pub(crate) fn mtu(settings: &Settings) -> u32 {
    let ask = |hub: &SocketAddr| -> Option<u32> {
        let any = Family::of_address(hub.ip()).unspecified_address();
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect(hub).ok()?;
        let mtu = if hub.is_ipv6() { getsockopt(&socket, Mtu6) } else { getsockopt(&socket, Mtu4) };
        u32::try_from(mtu.ok()?).ok()
    };
    // The way to an own address is the loopback interface.
    let others = settings.hubs.iter().filter(|hub| !settings.addresses.contains(&hub.ip()));
    others.filter_map(ask).next().unwrap_or(DEFAULT_MTU)
}
