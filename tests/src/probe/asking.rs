//! The UDP sockets that probes are sent from.
//!
//! They are not connected, so the routes of the moment decide each datagram, and they are replaced every second, so that
//! what is proven is that a *new* flow passes, not only one that a connection tracker has known all along.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use anyhow::{Context, Result};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use super::clock::ms;
use super::reactor::{Interest, Reactor, Token};
use super::wire::{LENGTH, Packet};
use super::{ANSWER_WITHIN_MS, PORT};

/// Life of one source port, in milliseconds.
const FRESH_MS: u64 = 1000;

/// Enough for the answers of two seconds from a hundred peers, so that a stalled agent loses none.
const BUFFER_BYTES: usize = 1 << 20;

/// Which socket serves a target: the unspecified address of its family where the kernel chooses the source.
type Source = IpAddr;

/// The sockets, by number.
#[derive(Debug, Default)]
pub(super) struct Asking {
    sockets: BTreeMap<u32, Asker>,
    present: BTreeMap<Source, u32>,
    next: u32,
}

#[derive(Debug)]
struct Asker {
    socket: UdpSocket,
    born_ns: u64,
}

impl Asking {
    /// Sends one probe.
    ///
    /// # Errors
    /// The kernel refuses to send from `source` or to `address`; the probe did not leave.
    pub(super) fn send(
        &mut self,
        probe: Packet,
        address: IpAddr,
        source: Option<IpAddr>,
        reactor: &Reactor,
    ) -> Result<()> {
        let source = source.unwrap_or(match address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        });
        let socket = self.fresh(source, probe.sent_ns, reactor)?;
        let to = SocketAddr::new(address, PORT);
        socket.send_to(&probe.encode(), to).with_context(|| format!("send to {to}"))?;
        Ok(())
    }

    /// Everything that waits in one socket: packets and who sent them.
    pub(super) fn read(&self, number: u32) -> Vec<(Packet, SocketAddr)> {
        let mut packets = Vec::new();
        let mut bytes = [0; LENGTH + 1];
        while let Some(asker) = self.sockets.get(&number) {
            let Ok((length, from)) = asker.socket.recv_from(&mut bytes) else {
                break;
            };
            packets.extend(Packet::decode(&bytes[..length]).map(|packet| (packet, from)));
        }
        packets
    }

    /// Closes the sockets whose last probe can no longer be answered in time.
    pub(super) fn retire(&mut self, now_ns: u64) {
        let life_ns = ms(2 * FRESH_MS + ANSWER_WITHIN_MS);
        let present: Vec<u32> = self.present.values().copied().collect();
        self.sockets.retain(|number, asker| present.contains(number) || asker.born_ns + life_ns > now_ns);
    }

    fn fresh(&mut self, source: Source, now_ns: u64, reactor: &Reactor) -> Result<&UdpSocket> {
        let present = self.present.get(&source).copied();
        let young = present.filter(|number| {
            let asker = self.sockets.get(number);
            asker.is_some_and(|asker| asker.born_ns + ms(FRESH_MS) > now_ns)
        });
        let number = match young {
            Some(number) => number,
            None => self.open(source, now_ns, reactor)?,
        };
        let asker = self.sockets.get(&number);
        asker.map(|asker| &asker.socket).with_context(|| format!("no socket to send from {source}"))
    }

    fn open(&mut self, source: Source, now_ns: u64, reactor: &Reactor) -> Result<u32> {
        let from = SocketAddr::new(source, 0);
        let socket =
            Socket::new(Domain::for_address(from), Type::DGRAM, Some(Protocol::UDP)).context("UDP socket")?;
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES).context("SO_RCVBUFFORCE")?;
        socket.set_nonblocking(true).context("non-blocking socket")?;
        socket.bind(&from.into()).with_context(|| format!("send from {source}"))?;
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        reactor.add(&socket, Token::Asking(number), Interest::Read)?;
        let socket = socket.into();
        self.sockets.insert(number, Asker { socket, born_ns: now_ns });
        self.present.insert(source, number);
        Ok(number)
    }
}
