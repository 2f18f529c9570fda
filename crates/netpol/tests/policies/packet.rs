//! Packets one by one, as a reader of the documentation thinks of them.

use std::net::IpAddr;

use netpol::tier::Direction;
use netpol::world::Pod;

/// One end of a packet.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End<'a> {
    /// A pod.
    Pod(&'a Pod),
    /// A node.
    Node,
    /// An endpoint outside.
    Outside,
}

/// A packet that a pod sends or receives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet<'a> {
    /// Whether the pod receives it.
    pub(crate) direction: Direction,
    /// The pod whose policies decide, and its address in this packet.
    pub(crate) subject: (&'a Pod, IpAddr),
    /// The other end, and its address.
    pub(crate) peer: (End<'a>, IpAddr),
    /// The protocol's number.
    pub(crate) protocol: u8,
    /// The source port; 0 for a protocol without ports.
    pub(crate) source: u16,
    /// The destination port, or the type and the code of a message (`type * 256 + code`).
    pub(crate) port: u16,
}

impl<'a> Packet<'a> {
    /// Who receives it.
    pub(crate) fn receiver(&self) -> End<'a> {
        match self.direction {
            Direction::Ingress => End::Pod(self.subject.0),
            Direction::Egress => self.peer.0,
        }
    }
}

impl<'a> End<'a> {
    pub(crate) fn pod(self) -> Option<&'a Pod> {
        match self {
            Self::Pod(pod) => Some(pod),
            Self::Node | Self::Outside => None,
        }
    }
}
