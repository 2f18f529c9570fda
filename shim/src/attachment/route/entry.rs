//! One route: read from the kernel, moved between tables, written back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_core::{DecodeError, Parseable};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteNextHop, RouteNextHopFlags,
    RouteProtocol, RouteScope, RouteType, RouteVia,
};

/// The kernel's main table.
pub(super) const MAIN: u32 = RouteHeader::RT_TABLE_MAIN as u32;
/// Table and rule priority of the network attached first.
pub(super) const FIRST: u32 = 1001;
/// Table and rule priority of the owner of the default route.
pub(super) const OWNER: u32 = 1002;
/// Table and rule priority of the routes that a running pod keeps while another network joins it.
pub(super) const PINNED: u32 = 1000;
/// `rtm_protocol` of Crossfade's routes in main. It tells them from a plugin's route to the same destination, also after a SIGKILL. No entry of
/// iproute2's rt_protos has this number, and the kernel leaves the numbers from 5 on to user space.
pub(super) const OURS: RouteProtocol = RouteProtocol::Other(101);

/// A route of a table that the route step reads or writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    message: RouteMessage,
}

impl From<RouteMessage> for Route {
    fn from(message: RouteMessage) -> Self {
        Self { message }
    }
}

impl Route {
    /// Parses a dumped route; none if the route step does not use it: a cached route, or one of another family or table.
    ///
    /// For IPv6, the kernel shows routes to one destination with one metric as one multipath route, also if several programs created them, but adds and removes each
    /// by itself. If they use several interfaces, this function splits them.
    pub(super) fn parse(payload: &[u8]) -> Result<Vec<Self>, DecodeError> {
        if !is_ip(payload) {
            return Ok(Vec::new());
        }
        let header = RouteHeader::parse(payload)?;
        if header.flags.contains(RouteFlags::Cloned) || header.kind == RouteType::Local {
            return Ok(Vec::new());
        }
        let route = Self { message: RouteMessage::parse(payload)? };
        if ![MAIN, PINNED, FIRST, OWNER].contains(&route.table()) {
            return Ok(Vec::new());
        }
        Ok(route.siblings().unwrap_or_else(|| vec![route]))
    }

    fn siblings(&self) -> Option<Vec<Self>> {
        let attributes = &self.message.attributes;
        let hops = self.find(|attribute| match attribute {
            RouteAttribute::MultiPath(hops) => Some(hops.clone()),
            _ => None,
        })?;
        let is_object = attributes.iter().any(|attribute| matches!(attribute, RouteAttribute::NhId(_)));
        let is_mixed = hops.iter().any(|hop| hop.interface_index != hops[0].interface_index);
        if self.family() != AddressFamily::Inet6 || is_object || !is_mixed {
            return None;
        }
        let sibling = |hop: RouteNextHop| {
            let mut message = self.message.clone();
            message.attributes.retain(|attribute| !is_path(attribute));
            message.attributes.push(RouteAttribute::Oif(hop.interface_index));
            message.attributes.extend(hop.attributes);
            Self { message }
        };
        Some(hops.into_iter().map(sibling).collect())
    }

    /// A route without a next hop: all of `cidr` is on the link of interface `index`.
    pub(crate) fn new_on_link(cidr: IpNetwork, index: u32) -> Self {
        let mut message = RouteMessage::default();
        message.header.address_family = family(cidr.ip());
        message.header.kind = RouteType::Unicast;
        message.header.scope = if cidr.is_ipv4() { RouteScope::Link } else { RouteScope::Universe };
        message.attributes = vec![RouteAttribute::Oif(index)];
        Self { message }.with_destination(cidr).with_table(MAIN)
    }

    /// The message for RTM_NEWROUTE and RTM_DELROUTE.
    pub(crate) fn message(&self) -> &RouteMessage {
        &self.message
    }

    pub(super) fn family(&self) -> AddressFamily {
        self.message.header.address_family
    }

    pub(crate) fn table(&self) -> u32 {
        self.find(|attribute| match attribute {
            RouteAttribute::Table(table) => Some(*table),
            _ => None,
        })
        .unwrap_or(u32::from(self.message.header.table))
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.message.header.protocol == OURS
    }

    /// Whether this is a default route that carries traffic. An `unreachable default` does not count.
    pub(super) fn is_default(&self) -> bool {
        self.message.header.destination_prefix_length == 0 && self.message.header.kind == RouteType::Unicast
    }

    /// The destination; none if the kernel encodes the address in an unknown way.
    pub(crate) fn destination(&self) -> Option<IpNetwork> {
        let address = match self.family() {
            AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            _ => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let address = self
            .find(|attribute| match attribute {
                RouteAttribute::Destination(address) => Some(ip(address)),
                _ => None,
            })
            .unwrap_or(Some(address))?;
        IpNetwork::new(address, self.message.header.destination_prefix_length).ok()
    }

    /// The metric; 0 if none is set. Among routes to one destination, the smallest metric wins.
    pub(super) fn metric(&self) -> u32 {
        self.find(|attribute| match attribute {
            RouteAttribute::Priority(metric) => Some(*metric),
            _ => None,
        })
        .unwrap_or(0)
    }

    /// The preferred source address, if the route has one.
    pub(super) fn source(&self) -> Option<IpAddr> {
        self.find(|attribute| match attribute {
            RouteAttribute::PrefSource(address) => ip(address),
            _ => None,
        })
    }

    /// Whether all traffic of the route leaves by interface `index`. A multipath route over several interfaces belongs to none of them.
    pub(super) fn leaves_by(&self, index: u32) -> bool {
        self.find(|attribute| match attribute {
            RouteAttribute::Oif(oif) => Some(*oif == index),
            RouteAttribute::MultiPath(hops) => Some(hops.iter().all(|hop| hop.interface_index == index)),
            _ => None,
        })
        .unwrap_or(false)
    }

    /// The next hop, if the route has one of its own address family.
    pub(crate) fn gateway(&self) -> Option<IpAddr> {
        self.find(|attribute| match attribute {
            RouteAttribute::Gateway(address) => ip(address),
            _ => None,
        })
    }

    /// The same route by a next hop.
    pub(crate) fn with_hop(&self, hop: IpAddr) -> Self {
        let mut message = self.message.clone();
        message.header.scope = RouteScope::Universe;
        message.attributes.push(RouteAttribute::Gateway(RouteAddress::from(hop)));
        Self { message }
    }

    /// The index of the route's only interface.
    pub(crate) fn interface(&self) -> Option<u32> {
        self.find(|attribute| match attribute {
            RouteAttribute::Oif(oif) => Some(*oif),
            _ => None,
        })
    }

    /// Whether this is an IPv4 host route to a link-local address on the link: a next hop that several CNIs use (169.254.1.1: Calico, AWS VPC CNI).
    pub(super) fn is_shared_hop(&self) -> bool {
        let is_link_local = match self.destination() {
            Some(IpNetwork::V4(host)) => host.prefix() == 32 && host.ip().is_link_local(),
            _ => false,
        };
        is_link_local && self.message.header.kind == RouteType::Unicast && !self.has_gateway()
    }

    /// Whether the route needs another route to reach its next hop, and so must be added after that one.
    pub(super) fn has_gateway(&self) -> bool {
        self.message.attributes.iter().any(|attribute| {
            matches!(
                attribute,
                RouteAttribute::Gateway(_) | RouteAttribute::Via(_) | RouteAttribute::MultiPath(_)
            )
        })
    }

    /// The identity of a route for the kernel: table, destination, type of service, metric and path.
    pub(super) fn identity(&self) -> Identity {
        let mut path: Vec<Vec<u8>> = self
            .message
            .attributes
            .iter()
            .filter(|attribute| is_path(attribute))
            .map(super::rtnl::emit)
            .collect();
        path.sort_unstable();
        path.dedup();
        Identity {
            table: self.table(),
            family: self.message.header.address_family.into(),
            destination: self.destination(),
            tos: self.message.header.tos,
            metric: self.metric(),
            path,
        }
    }

    /// The same route in another table. Next hop, source, metric, MTU and the other settings stay, without the attributes that the kernel only reports.
    ///
    /// A route from a router advertisement loses its lifetime, because no advertisement renews the copy.
    pub(crate) fn with_table(&self, table: u32) -> Self {
        let mut message = self.message.clone();
        message.header.table = u8::try_from(table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
        message.header.flags &= RouteFlags::Onlink;
        message.attributes.retain(|attribute| {
            !matches!(
                attribute,
                RouteAttribute::Table(_)
                    | RouteAttribute::CacheInfo(_)
                    | RouteAttribute::Expires(_)
                    | RouteAttribute::MulticastExpires(_)
                    | RouteAttribute::MfcStats(_)
                    | RouteAttribute::NhId(_)
            )
        });
        for attribute in &mut message.attributes {
            if let RouteAttribute::MultiPath(hops) = attribute {
                for hop in hops {
                    hop.flags &= RouteNextHopFlags::Onlink;
                }
            }
        }
        message.attributes.push(RouteAttribute::Table(table));
        Self { message }
    }

    /// The route as RTM_DELROUTE identifies it. A route with a nexthop object is identified by that object's id.
    pub(super) fn without_attributes(&self) -> Self {
        let mut named = self.with_table(self.table());
        let object =
            self.message.attributes.iter().find(|attribute| matches!(attribute, RouteAttribute::NhId(_)));
        if let Some(object) = object {
            named.message.attributes.retain(|attribute| !is_path(attribute));
            named.message.attributes.push(object.clone());
        }
        named
    }

    /// The same route to another destination.
    pub(super) fn with_destination(&self, cidr: IpNetwork) -> Self {
        let mut message = self.message.clone();
        message.header.destination_prefix_length = cidr.prefix();
        message.attributes.retain(|attribute| !matches!(attribute, RouteAttribute::Destination(_)));
        message.attributes.push(RouteAttribute::Destination(RouteAddress::from(cidr.network())));
        Self { message }
    }

    /// The same route with Crossfade's protocol number, and with `source` as its preferred source address, or without one.
    pub(crate) fn ours_from(&self, source: Option<IpAddr>) -> Self {
        let mut message = self.message.clone();
        message.header.protocol = OURS;
        message.attributes.retain(|attribute| !matches!(attribute, RouteAttribute::PrefSource(_)));
        message
            .attributes
            .extend(source.map(|source| RouteAttribute::PrefSource(RouteAddress::from(source))));
        Self { message }
    }

    /// The route in the words of `ip route`. `name` returns the interface's name for its index.
    pub(super) fn describe(&self, name: impl Fn(u32) -> String) -> String {
        let mut words = vec![match self.destination() {
            Some(destination) if destination.prefix() > 0 => destination.to_string(),
            _ if self.family() == AddressFamily::Inet6 => "default (IPv6)".to_owned(),
            _ => "default".to_owned(),
        }];
        for attribute in &self.message.attributes {
            words.extend(match attribute {
                RouteAttribute::Gateway(address) => ip(address).map(|address| format!("via {address}")),
                RouteAttribute::Via(RouteVia::Inet6(address)) => Some(format!("via {address}")),
                RouteAttribute::Oif(index) => Some(format!("dev {}", name(*index))),
                RouteAttribute::MultiPath(hops) => Some(format!("over {} next hops", hops.len())),
                RouteAttribute::PrefSource(address) => ip(address).map(|address| format!("src {address}")),
                RouteAttribute::Priority(metric) => Some(format!("metric {metric}")),
                _ => None,
            });
        }
        if self.table() != MAIN {
            words.push(format!("table {}", self.table()));
        }
        words.join(" ")
    }

    fn find<T>(&self, pick: impl FnMut(&RouteAttribute) -> Option<T>) -> Option<T> {
        self.message.attributes.iter().find_map(pick)
    }
}

/// See [`Route::identity`].
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    table: u32,
    family: u8,
    destination: Option<IpNetwork>,
    tos: u8,
    metric: u32,
    /// The attributes of the next hops, as bytes, sorted.
    path: Vec<Vec<u8>>,
}

pub(crate) fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

/// The prefix length of a single address.
pub(crate) fn full_prefix(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The address family in the first byte of every rtnetlink message.
pub(super) fn is_ip(payload: &[u8]) -> bool {
    let family = payload.first().copied().map(AddressFamily::from);
    matches!(family, Some(AddressFamily::Inet | AddressFamily::Inet6))
}

/// The attributes of the next hops.
fn is_path(attribute: &RouteAttribute) -> bool {
    matches!(
        attribute,
        RouteAttribute::Oif(_)
            | RouteAttribute::Gateway(_)
            | RouteAttribute::Via(_)
            | RouteAttribute::MultiPath(_)
    )
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
