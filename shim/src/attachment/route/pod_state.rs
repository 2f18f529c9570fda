//! The state of a pod's netns, read from the kernel, as far as the route step decides by it.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;

use netlink_packet_core::{DecodeError, Parseable};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressHeader, AddressMessage};
use netlink_packet_route::route::RouteHeader;
use netlink_packet_route::rule::RuleHeader;

use super::entry::{Identity, Route};
use super::rtnl::{Link, Rtnl, emit};
use super::rule::Rule;
use super::{RTM_GETROUTE, RTM_GETRULE, RTM_NEWROUTE, RTM_NEWRULE};

const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;

/// An address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) index: u32,
    pub(super) ip: IpAddr,
    /// Whether the kernel accepts the address as a route's source. It does not while the duplicate check runs, or after that failed.
    pub(super) is_usable: bool,
    /// Whether the address is only for existing connections, and not for new ones.
    pub(super) deprecated: bool,
}

impl Address {
    /// Parses a dumped address; none if no rule or route uses it: an address of another family, or an IPv6 link-local one. Both interfaces have
    /// link-local addresses of the same prefix, and those are only used together with an interface.
    fn parse(payload: &[u8]) -> Result<Option<Self>, DecodeError> {
        let message = AddressMessage::parse(payload)?;
        let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
        let (mut local, mut address) = (None, None);
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Local(ip) => local = Some(*ip),
                AddressAttribute::Address(ip) => address = Some(*ip),
                AddressAttribute::Flags(wide) => flags = *wide,
                _ => {}
            }
        }
        // For a point-to-point address, IFA_ADDRESS is the peer.
        let Some(ip) = local.or(address) else {
            return Ok(None);
        };
        if matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
            return Ok(None);
        }
        let checking = flags.contains(AddressFlags::Tentative) && !flags.contains(AddressFlags::Optimistic);
        Ok(Some(Self {
            index: message.header.index,
            ip,
            is_usable: !checking && !flags.contains(AddressFlags::Dadfailed),
            deprecated: flags.contains(AddressFlags::Deprecated),
        }))
    }
}

/// The interfaces and their addresses.
#[derive(Debug)]
pub(super) struct InterfaceList {
    pub(super) links: Vec<Link>,
    pub(super) addresses: Vec<Address>,
}

impl InterfaceList {
    /// Reads them with two dumps, for both families at once.
    pub(super) fn gather(rtnl: &mut Rtnl<'_>) -> io::Result<Self> {
        Ok(Self { links: rtnl.links()?, addresses: addresses(rtnl)? })
    }

    /// Reads the routes and the rules as well.
    pub(super) fn with_routes(self, rtnl: &mut Rtnl<'_>) -> io::Result<PodRoutes> {
        let Self { links, addresses } = self;
        Ok(PodRoutes {
            links,
            addresses,
            routes: rtnl.dump(RTM_GETROUTE, &emit(&RouteHeader::default()), RTM_NEWROUTE, Route::parse)?,
            rules: rtnl.dump(RTM_GETRULE, &emit(&RuleHeader::default()), RTM_NEWRULE, Rule::parse)?,
        })
    }
}

/// The interfaces, their addresses, the routes of main and of Crossfade's tables, and Crossfade's rules.
#[derive(Debug, Clone, Default)]
pub(super) struct PodRoutes {
    pub(super) links: Vec<Link>,
    pub(super) addresses: Vec<Address>,
    pub(super) routes: Vec<Route>,
    pub(super) rules: Vec<Rule>,
}

impl PodRoutes {
    /// Reads the state with one dump for each kind of object, for both families at once.
    pub(super) fn gather(rtnl: &mut Rtnl<'_>) -> io::Result<Self> {
        InterfaceList::gather(rtnl)?.with_routes(rtnl)
    }

    /// The index of an interface that exists and is up. An interface that is down has no routes and cannot get any.
    pub(super) fn index(&self, ifname: &str) -> Option<u32> {
        self.links.iter().find(|link| link.name == ifname && link.up).map(|link| link.index)
    }

    /// The name of the interface with this index, for messages.
    pub(super) fn name(&self, index: u32) -> String {
        let known_link = self.links.iter().find(|link| link.index == index);
        known_link.map_or_else(|| format!("#{index}"), |link| link.name.clone())
    }

    /// The routes of `table` whose traffic leaves by interface `index`.
    pub(super) fn routes_by(&self, table: u32, index: u32) -> impl Iterator<Item = &Route> {
        self.routes.iter().filter(move |route| route.table() == table && route.leaves_by(index))
    }

    /// The identities of all routes, for any number of look-ups, because a pod may have filled the tables.
    pub(super) fn known_routes(&self) -> OwnRoutes {
        OwnRoutes(self.routes.iter().map(Route::identity).collect())
    }

    /// Addresses of interface `index` in one family, in the kernel's order (a primary before its secondaries).
    pub(super) fn addresses_of(&self, index: u32, family: AddressFamily) -> impl Iterator<Item = &Address> {
        self.addresses
            .iter()
            .filter(move |address| address.index == index && super::entry::family(address.ip) == family)
    }
}

/// All addresses of all interfaces.
pub(super) fn addresses(rtnl: &mut Rtnl<'_>) -> io::Result<Vec<Address>> {
    rtnl.dump(RTM_GETADDR, &emit(&AddressHeader::default()), RTM_NEWADDR, Address::parse)
}

/// The routes that the kernel has.
#[derive(Debug)]
pub(super) struct OwnRoutes(HashSet<Identity>);

impl OwnRoutes {
    /// Whether the kernel already has this route.
    pub(super) fn has(&self, route: &Route) -> bool {
        self.0.contains(&route.identity())
    }
}
