//! The largest packet that passes: by the kernel's MTU, and by a search with real packets.

use std::io;
use std::net::{IpAddr, UdpSocket};

use convergence::watch::packets::size::PacketOutcome;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};

#[derive(Debug, Clone, Copy)]
struct Discover4;
#[derive(Debug, Clone, Copy)]
struct Discover6;
#[derive(Debug, Clone, Copy)]
struct Mtu4;
#[derive(Debug, Clone, Copy)]
struct Mtu6;

nix::setsockopt_impl!(
    Discover4,
    libc::IPPROTO_IP,
    libc::IP_MTU_DISCOVER,
    libc::c_int,
    sockopt::SetStruct<'_, libc::c_int>
);
nix::setsockopt_impl!(
    Discover6,
    libc::IPPROTO_IPV6,
    libc::IPV6_MTU_DISCOVER,
    libc::c_int,
    sockopt::SetStruct<'_, libc::c_int>
);
nix::getsockopt_impl!(Mtu4, libc::IPPROTO_IP, libc::IP_MTU, libc::c_int, sockopt::GetStruct<libc::c_int>);
nix::getsockopt_impl!(Mtu6, libc::IPPROTO_IPV6, libc::IPV6_MTU, libc::c_int, sockopt::GetStruct<libc::c_int>);

/// Sends what follows unfragmented or not at all, this host's own fragments included. *Source*: ip(7), ipv6(7).
///
/// # Errors
/// What the kernel says.
pub(crate) fn forbid_fragments(socket: &UdpSocket, target: IpAddr) -> io::Result<()> {
    let done = if target.is_ipv6() {
        setsockopt(socket, Discover6, &libc::IPV6_PMTUDISC_DO)
    } else {
        setsockopt(socket, Discover4, &libc::IP_PMTUDISC_DO)
    };
    Ok(done?)
}

/// The largest packet that the kernel sends to where the socket is connected: the interface's MTU, or what the route or a router says.
///
/// # Errors
/// What the kernel says.
pub(crate) fn mtu(socket: &UdpSocket, target: IpAddr) -> io::Result<u32> {
    let mtu = if target.is_ipv6() { getsockopt(socket, Mtu6) } else { getsockopt(socket, Mtu4) }?;
    u32::try_from(mtu).map_err(io::Error::other)
}

/// What an error of a connected socket means for a packet that was too large for it.
#[must_use]
pub(crate) fn packet_outcome(error: &io::Error, socket: &UdpSocket, target: IpAddr) -> PacketOutcome {
    let is_too_large = error.raw_os_error() == Some(Errno::EMSGSIZE as i32);
    match mtu(socket, target) {
        Ok(size) if is_too_large => PacketOutcome::Announced(size),
        _ => PacketOutcome::Lost,
    }
}
