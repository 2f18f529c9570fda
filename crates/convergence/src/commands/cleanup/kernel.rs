//! The objects of a node's kernel that a CNI may have made: interfaces, routes, rules, firewall, sets.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::commands::cleanup::firewall::Table;

/// What the kernel holds in the network namespace of this process.
#[derive(Debug, Clone, Default)]
pub struct KernelFacts {
    /// Interfaces, with their addresses.
    pub links: Vec<LinkFact>,
    /// Routes of both families and of all tables.
    pub routes: Vec<RouteFact>,
    /// Routing rules of both families.
    pub rules: Vec<RuleFact>,
    /// Tables of iptables, of both families and both back ends.
    pub firewall: Vec<Table>,
    /// All tables of nftables.
    pub nft_tables: Vec<NftTableFact>,
    /// Sets of addresses.
    pub sets: Vec<SetFact>,
    /// What could not be read, each with the reason: an absence of these is not known.
    pub unread: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkFact {
    pub index: u32,
    pub name: String,
    /// `veth`, `vxlan`, ..; none for hardware and `lo`.
    pub kind: Option<String>,
    /// Whether it is set up.
    pub up: bool,
    /// The index of the bridge or switch that it is a port of.
    pub master: Option<u32>,
    /// Whether its other end is in another network namespace: for a veth, that of a pod.
    pub peer_elsewhere: bool,
    /// How `ip link` would describe it, for an undo.
    pub details: String,
    pub addresses: Vec<AddressFact>,
}

/// An address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressFact {
    /// The address with its prefix length.
    pub address: IpNetwork,
    /// What removes it.
    pub body: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteFact {
    pub table: u32,
    /// The routing protocol: who made it.
    pub protocol: u8,
    pub destination: IpNetwork,
    /// The index of the one interface by which it leaves.
    pub interface: Option<u32>,
    /// In the words of `ip route`, without the interface.
    pub words: String,
    /// What removes it and nothing else.
    pub body: Vec<u8>,
}

/// The table of the addresses of this node.
pub const LOCAL: u32 = 255;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFact {
    /// `AF_INET` or `AF_INET6`.
    pub family: u8,
    pub priority: u32,
    /// The table that it looks up.
    pub table: u32,
    /// Mark and mask, if it selects by them.
    pub mark: Option<(u32, u32)>,
    /// The source, and its prefix length.
    pub from: Option<IpAddr>,
    /// The prefix length of the source; 0 for all.
    pub from_prefix: u8,
    pub to: Option<IpAddr>,
    /// The prefix length of the destination; 0 for all.
    pub to_prefix: u8,
    /// The interface by which a packet came, if it selects by that.
    pub iif: Option<String>,
    /// Whether it selects by anything else, or does something else than look up a table.
    pub more: bool,
    /// In the words of `ip rule`.
    pub words: String,
    /// What removes it and nothing else.
    pub body: Vec<u8>,
}

/// *Source*: `linux/socket.h`.
const AF_INET: u8 = 2;

impl RuleFact {
    /// The number of bits of an address of its family.
    #[must_use]
    pub const fn bits(&self) -> u8 {
        if self.family == AF_INET { 32 } else { 128 }
    }

    /// Whether it looks up this node's own addresses for every packet.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.table == LOCAL
            && !self.more
            && self.mark.is_none()
            && self.iif.is_none()
            && self.from_prefix == 0
            && self.to_prefix == 0
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetFact {
    pub name: String,
    /// Its type, as in `hash:net`.
    pub kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NftTableFact {
    /// Its family, as the kernel numbers them.
    pub family: u8,
    pub name: String,
    /// The kernel's number for it.
    pub handle: u64,
}
