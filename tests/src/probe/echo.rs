//! The answering side of an agent: UDP and TCP, v4 and v6, on [`PORT`].

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use nix::libc::{in_addr, in_pktinfo, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::PORT;
use super::clock::{monotonic_ns, ms};
use super::reactor::{Interest, Reactor, Token};
use super::wire::{LENGTH, Packet};

/// Enough for the probes of two seconds from a hundred peers, so that a stalled agent loses none.
const BUFFER_BYTES: usize = 1 << 20;

/// Answers the probes of the other pods.
#[derive(Debug)]
pub(super) struct Echo {
    identity: u64,
    answering: Vec<UdpSocket>,
    listeners: Vec<TcpListener>,
    inbound: BTreeMap<u32, Inbound>,
    next_inbound: u32,
    hold_ms: u64,
    held: VecDeque<DelayedAnswer>,
}

/// A connection that another agent holds open.
#[derive(Debug)]
struct Inbound {
    stream: TcpStream,
    partial: Vec<u8>,
}

/// An answer that is held back.
#[derive(Debug)]
struct DelayedAnswer {
    due_ns: u64,
    bytes: [u8; LENGTH],
    way: Way,
}

/// How an answer goes back.
#[derive(Debug)]
enum Way {
    Datagram { socket: usize, back: Return },
    Connection(u32),
}

/// Addresses of a datagram's way back.
#[derive(Debug, Clone, Copy)]
struct Return {
    to: SockaddrStorage,
    /// The address the probe was sent to, which is the only one that may answer.
    from: Option<ProbedAddress>,
}

#[derive(Debug, Clone, Copy)]
enum ProbedAddress {
    V4(in_addr),
    V6(nix::libc::in6_addr),
}

impl Echo {
    /// Listens on every address of this netns, also on those that come later.
    ///
    /// # Errors
    /// The port is taken, or this kernel has no IPv4.
    pub(super) fn open(identity: u64, reactor: &Reactor) -> Result<Self> {
        let mut echo = Self {
            identity,
            answering: Vec::new(),
            listeners: Vec::new(),
            inbound: BTreeMap::new(),
            next_inbound: 0,
            hold_ms: 0,
            held: VecDeque::new(),
        };
        echo.listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)), reactor)?;
        if std::path::Path::new("/proc/net/if_inet6").exists() {
            echo.listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)), reactor)?;
        }
        Ok(echo)
    }

    fn listen(&mut self, address: SocketAddr, reactor: &Reactor) -> Result<()> {
        let number = u32::try_from(self.answering.len()).unwrap_or(u32::MAX);
        let udp = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))
            .context("UDP socket")?;
        if address.is_ipv6() {
            udp.set_only_v6(true).context("IPV6_V6ONLY")?;
            setsockopt(&udp, sockopt::Ipv6RecvPacketInfo, &true).context("IPV6_RECVPKTINFO")?;
        } else {
            setsockopt(&udp, sockopt::Ipv4PacketInfo, &true).context("IP_PKTINFO")?;
        }
        setsockopt(&udp, sockopt::RcvBufForce, &BUFFER_BYTES).context("SO_RCVBUFFORCE")?;
        udp.set_nonblocking(true).context("non-blocking socket")?;
        udp.bind(&address.into()).with_context(|| format!("answer UDP on {address}"))?;
        reactor.add(&udp, Token::Answering(number), Interest::Read)?;
        self.answering.push(udp.into());

        let tcp = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))
            .context("TCP socket")?;
        if address.is_ipv6() {
            tcp.set_only_v6(true).context("IPV6_V6ONLY")?;
        }
        tcp.set_reuse_address(true).context("SO_REUSEADDR")?;
        tcp.set_nonblocking(true).context("non-blocking socket")?;
        tcp.bind(&address.into())
            .and_then(|()| tcp.listen(256))
            .with_context(|| format!("answer TCP on {address}"))?;
        reactor.add(&tcp, Token::Listener(number), Interest::Read)?;
        self.listeners.push(tcp.into());
        Ok(())
    }

    /// Answers everything that waits in one UDP socket.
    pub(super) fn read_datagrams(&mut self, socket: u32) {
        let socket = usize::try_from(socket).unwrap_or(usize::MAX);
        while let Some(udp) = self.answering.get(socket) {
            let Some((packet, back)) = receive(udp) else {
                return;
            };
            if let Some(probe) = packet.filter(|packet| !packet.is_answer) {
                let bytes = probe.answered_by(self.identity).encode();
                self.answer(bytes, Way::Datagram { socket, back });
            }
        }
    }

    /// Takes the connections that wait at one listener.
    ///
    /// # Errors
    /// A connection cannot be watched.
    pub(super) fn accept(&mut self, listener: u32, reactor: &Reactor) -> Result<()> {
        let listener = usize::try_from(listener).unwrap_or(usize::MAX);
        while let Some(Ok((stream, _))) = self.listeners.get(listener).map(TcpListener::accept) {
            stream.set_nonblocking(true).context("non-blocking socket")?;
            stream.set_nodelay(true).context("TCP_NODELAY")?;
            let number = self.next_inbound;
            self.next_inbound = self.next_inbound.wrapping_add(1);
            reactor.add(&stream, Token::Inbound(number), Interest::Read)?;
            let partial = Vec::with_capacity(LENGTH);
            self.inbound.insert(number, Inbound { stream, partial });
        }
        Ok(())
    }

    /// Answers everything that waits in one connection, or forgets it when it has ended.
    pub(super) fn read_connection(&mut self, number: u32) {
        let Some(inbound) = self.inbound.get_mut(&number) else {
            return;
        };
        let Some(probes) = inbound.read() else {
            self.inbound.remove(&number);
            return;
        };
        for probe in probes {
            let bytes = probe.answered_by(self.identity).encode();
            self.answer(bytes, Way::Connection(number));
        }
    }

    /// Resets every connection that others hold open.
    pub(super) fn reset_all(&mut self) {
        for (_, inbound) in std::mem::take(&mut self.inbound) {
            // With a linger time of zero, close(2) sends a reset; see socket(7), SO_LINGER.
            let _gone_anyway = SockRef::from(&inbound.stream).set_linger(Some(std::time::Duration::ZERO));
        }
    }

    /// Holds every answer back from now on; 0 answers at once.
    pub(super) fn hold(&mut self, hold_ms: u64) {
        self.hold_ms = hold_ms;
    }

    /// When the next answer that is held back is due, in nanoseconds.
    pub(super) fn due_ns(&self) -> Option<u64> {
        self.held.front().map(|held| held.due_ns)
    }

    /// Sends the answers that are due.
    pub(super) fn release(&mut self, now_ns: u64) {
        while self.due_ns().is_some_and(|due| due <= now_ns) {
            if let Some(held) = self.held.pop_front() {
                self.send(held.bytes, held.way);
            }
        }
    }

    fn answer(&mut self, bytes: [u8; LENGTH], way: Way) {
        if self.hold_ms == 0 {
            self.send(bytes, way);
            return;
        }
        // Never before one that is held already: answers keep their order.
        let behind = self.held.back().map_or(0, |held| held.due_ns);
        let due_ns = behind.max(monotonic_ns() + ms(self.hold_ms));
        self.held.push_back(DelayedAnswer { due_ns, bytes, way });
    }

    /// Sends one answer. One that cannot be sent is the prober's loss, who alone counts.
    fn send(&mut self, bytes: [u8; LENGTH], way: Way) {
        match way {
            Way::Datagram { socket, back } => {
                if let Some(udp) = self.answering.get(socket) {
                    let _counted_by_the_prober = back.send(udp, &bytes);
                }
            }
            Way::Connection(number) => {
                let written = self.inbound.get_mut(&number);
                let written = written.map(|inbound| inbound.stream.write_all(&bytes));
                if matches!(written, Some(Err(_))) {
                    self.inbound.remove(&number);
                }
            }
        }
    }
}

impl Inbound {
    /// The whole probes that wait; `None` when the connection has ended or speaks something else.
    fn read(&mut self) -> Option<Vec<Packet>> {
        let mut buffer = [0; 64 * LENGTH];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(length) => self.partial.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        let whole = self.partial.len() / LENGTH * LENGTH;
        let packets = self.partial[..whole].chunks(LENGTH).map(Packet::decode);
        let probes: Option<Vec<Packet>> = packets.collect();
        self.partial.drain(..whole);
        probes
    }
}

impl Return {
    /// Sends from the very address that was probed: the kernel alone would choose by route, which on a pod with two
    /// networks may be the other address (ip(7), `IP_PKTINFO`). The interface is left to the routes.
    fn send(&self, udp: &UdpSocket, bytes: &[u8]) -> nix::Result<usize> {
        let iov = [IoSlice::new(bytes)];
        let (v4, v6);
        let control = match self.from {
            Some(ProbedAddress::V4(ipi_spec_dst)) => {
                v4 = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst, ipi_addr: in_addr { s_addr: 0 } };
                vec![ControlMessage::Ipv4PacketInfo(&v4)]
            }
            Some(ProbedAddress::V6(ipi6_addr)) => {
                v6 = in6_pktinfo { ipi6_addr, ipi6_ifindex: 0 };
                vec![ControlMessage::Ipv6PacketInfo(&v6)]
            }
            None => Vec::new(),
        };
        let fd = udp.as_raw_fd();
        sendmsg(fd, &iov, &control, MsgFlags::MSG_DONTWAIT, Some(&self.to))
    }
}

/// The next datagram and its way back; `None` when there is none. What is no packet of ours comes as `(None, _)`.
fn receive(udp: &UdpSocket) -> Option<(Option<Packet>, Return)> {
    let mut bytes = [0; LENGTH + 1];
    let mut control = nix::cmsg_space!(in_pktinfo, in6_pktinfo);
    let (length, to, from) = {
        let mut iov = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let message =
            recvmsg::<SockaddrStorage>(udp.as_raw_fd(), &mut iov, Some(&mut control), flags).ok()?;
        let from = message.cmsgs().ok().and_then(|mut all| all.find_map(probed));
        (message.bytes, message.address?, from)
    };
    Some((Packet::decode(&bytes[..length]), Return { to, from }))
}

fn probed(control: ControlMessageOwned) -> Option<ProbedAddress> {
    match control {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(ProbedAddress::V4(info.ipi_addr)),
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(ProbedAddress::V6(info.ipi6_addr)),
        _ => None,
    }
}
