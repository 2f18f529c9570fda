//! Every IP packet of a namespace, with the interface it went through: packet(7) on all interfaces at once.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket, sockopt,
};

use crate::space::Space;

/// `PACKET_OUTGOING` of linux/if_packet.h.
const OUTGOING: u8 = 4;
/// Room for all packets of one case: they are read at its end.
const BUFFER_BYTES: usize = 8 << 20;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// A packet that was seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Packet {
    /// Index of the interface.
    pub(crate) index: usize,
    /// Sent by the namespace, not received.
    pub(crate) sent: bool,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// TCP or UDP, not what the kernel says to itself.
    pub(crate) is_transport: bool,
}

/// A running capture.
#[derive(Debug)]
pub(crate) struct Capture {
    socket: OwnedFd,
}

impl Capture {
    /// Records from now on, also on interfaces that come later.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn start(space: &Space) -> Result<Self> {
        let socket = space.inside(|| {
            socket(AddressFamily::Packet, SockType::Datagram, SockFlag::SOCK_NONBLOCK, SockProtocol::EthAll)
                .context("a packet socket")
        })?;
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES).context("SO_RCVBUFFORCE")?;
        Ok(Self { socket })
    }

    /// What was seen since the last time, each kind of packet once.
    ///
    /// # Errors
    /// What the kernel says, or that there was no packet at all.
    pub(crate) fn packets(&self) -> Result<BTreeSet<Packet>> {
        let mut packets = BTreeSet::new();
        let mut buffer = [0_u8; 128];
        loop {
            match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut buffer) {
                Ok((length, Some(link))) => packets.extend(parse(&buffer[..length], &link)),
                Ok((_, None)) => {}
                Err(Errno::EAGAIN) => break,
                // An interface went away meanwhile.
                Err(Errno::ENETDOWN) => {}
                Err(error) => return Err(error).context("read the capture"),
            }
        }
        ensure!(!packets.is_empty(), "the capture is empty");
        Ok(packets)
    }
}

fn parse(bytes: &[u8], link: &LinkAddr) -> Option<Packet> {
    let (source, destination, protocol): (IpAddr, IpAddr, u8) = match bytes.first()? >> 4 {
        4 => {
            let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?));
            (address(12)?.into(), address(16)?.into(), *bytes.get(9)?)
        }
        6 => {
            let address =
                |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?));
            (address(8)?.into(), address(24)?.into(), *bytes.get(6)?)
        }
        _ => return None, // ARP has a zero there
    };
    let is_transport = [TCP, UDP].contains(&protocol);
    Some(Packet {
        index: link.ifindex(),
        sent: link.pkttype() == OUTGOING,
        source,
        destination,
        is_transport,
    })
}
