//! An echo request, which the kernel of another host answers without any program.
//!
//! *Source*: RFC 792 and RFC 4443; raw(7), icmp(7).

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use convergence::watch::packets::size::{
    LargestPacket, PacketOutcome, find_largest as largest_packet, ip_header, least_mtu,
};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use types::packets::Outcome;

use super::place::Place;
use super::{WAIT, echo, outcome, receive_until, size};

/// Bytes of an ICMP header of an echo.
const HEADER: usize = 8;
const REQUEST_V4: u8 = 8;
const ANSWER_V4: u8 = 0;
const REQUEST_V6: u8 = 128;
const ANSWER_V6: u8 = 129;

/// Sends a small echo request.
#[must_use]
pub(crate) fn ping(from: &Place, target: IpAddr) -> Outcome {
    match open(from, target).and_then(|socket| await_echo(&socket, target, &echo::nonce())) {
        Ok(()) => Outcome::Passed,
        Err(error) => outcome(&error),
    }
}

/// The largest echo request that comes back, and the size that the interface and the route allow.
#[must_use]
pub(crate) fn measure_largest(from: &Place, target: IpAddr) -> Option<(u32, LargestPacket)> {
    let socket = open(from, target).ok()?;
    let mtu = size::mtu(&socket, target).ok()?;
    size::forbid_fragments(&socket, target).ok()?;
    let headers = ip_header(target) as usize + HEADER;
    let send = |size: u32| match await_echo(
        &socket,
        target,
        &echo::payload((size as usize).saturating_sub(headers)),
    ) {
        Ok(()) => PacketOutcome::Passed,
        Err(error) => size::packet_outcome(&error, &socket, target),
    };
    Some((mtu, largest_packet(mtu, least_mtu(target).min(mtu), send)))
}

/// A raw socket, connected to `target`.
fn open(from: &Place, target: IpAddr) -> io::Result<UdpSocket> {
    let (family, protocol) = if target.is_ipv6() {
        (AddressFamily::Inet6, SockProtocol::IcmpV6)
    } else {
        (AddressFamily::Inet, SockProtocol::Icmp)
    };
    let raw = from.run_inside(|| Ok(socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?))?;
    // The standard library has no raw sockets, and connects, sends and receives alike by any socket.
    let socket = UdpSocket::from(raw);
    socket.connect(SocketAddr::new(target, 0))?;
    socket.set_read_timeout(Some(WAIT))?;
    Ok(socket)
}

fn await_echo(socket: &UdpSocket, target: IpAddr, payload: &[u8]) -> io::Result<()> {
    let [a, b, c, d, ..] = echo::nonce();
    let (v6, id) = (target.is_ipv6(), [a, b, c, d]);
    socket.send(&request(v6, id, payload))?;
    receive_until(socket, |message| is_answer(v6, id, payload, message)).map(drop)
}

/// An echo request. `id` is its identifier and sequence number. The kernel adds the checksum of ICMPv6 itself.
fn request(v6: bool, id: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let kind = if v6 { REQUEST_V6 } else { REQUEST_V4 };
    let mut message = [&[kind, 0, 0, 0], &id[..], payload].concat();
    if !v6 {
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    message
}

/// Whether what was received answers the request. A raw socket of IPv4 receives the IP header as well.
fn is_answer(v6: bool, id: [u8; 4], payload: &[u8], received: &[u8]) -> bool {
    let header = match received.first() {
        Some(first) if !v6 => usize::from(first & 0x0f) * 4,
        _ => 0,
    };
    let kind = if v6 { ANSWER_V6 } else { ANSWER_V4 };
    received.get(header..).is_some_and(|message| {
        message.len() >= HEADER
            && message[..2] == [kind, 0]
            && message[4..HEADER] == id
            && message[HEADER..] == *payload
    })
}

/// The Internet checksum. *Source*: RFC 1071.
fn checksum(message: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    let mut sum: u32 = message.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_and_its_answer() {
        let sent = request(false, [1, 2, 3, 4], b"abc");
        assert_eq!(checksum(&sent), 0, "with its own sum in it, a message adds up to nothing");
        assert_eq!((sent[0], sent.len()), (8, 11));
        assert_eq!(request(true, [1, 2, 3, 4], b"abc")[..4], [128, 0, 0, 0]);
        let mut answer = sent.clone();
        answer[0] = 0;
        let with_header = [&[0x45; 1][..], &[0; 19], &answer].concat();
        assert!(is_answer(false, [1, 2, 3, 4], b"abc", &with_header));
        assert!(!is_answer(false, [1, 2, 3, 5], b"abc", &with_header), "another request's");
        assert!(!is_answer(false, [1, 2, 3, 4], b"abd", &with_header), "another payload");
        assert!(
            !is_answer(false, [1, 2, 3, 4], b"abc", &[&[0x45; 1][..], &[0; 19], &sent].concat()),
            "a request"
        );
        assert!(!is_answer(false, [1, 2, 3, 4], b"abc", &with_header[..22]), "torn");
        answer[0] = 129;
        assert!(is_answer(true, [1, 2, 3, 4], b"abc", &answer));
    }
}
