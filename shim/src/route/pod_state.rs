//! What the kernel says about a pod's netns, reduced to what the route step decides on.

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
    /// The kernel would take it as a route's source: not one whose duplicate check is still running or has failed.
    pub(super) settled: bool,
    /// Kept for what is open, not for what is new.
    pub(super) deprecated: bool,
}

impl Address {
    /// A dumped address, or None for one that no route of ours starts from: another family, or IPv6 link-local, which
    /// both interfaces have in the same prefix and which is only ever used together with an interface.
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
        // On a point-to-point address IFA_ADDRESS is the peer.
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
            settled: !checking && !flags.contains(AddressFlags::Dadfailed),
            deprecated: flags.contains(AddressFlags::Deprecated),
        }))
    }
}

/// Interfaces, their addresses, the routes of main and of our tables, and our rules.
#[derive(Debug, Clone, Default)]
pub(super) struct PodRoutes {
    pub(super) links: Vec<Link>,
    pub(super) addresses: Vec<Address>,
    pub(super) routes: Vec<Route>,
    pub(super) rules: Vec<Rule>,
}

impl PodRoutes {
    /// Reads them: one dump each, both families at once.
    pub(super) fn gather(rtnl: &mut Rtnl<'_>) -> io::Result<Self> {
        Ok(Self {
            links: rtnl.links()?,
            addresses: addresses(rtnl)?,
            routes: rtnl.dump(RTM_GETROUTE, &emit(&RouteHeader::default()), RTM_NEWROUTE, Route::parse)?,
            rules: rtnl.dump(RTM_GETRULE, &emit(&RuleHeader::default()), RTM_NEWRULE, Rule::parse)?,
        })
    }

    /// The index of an interface that is there and up. One that is down has no routes and can be given none.
    pub(super) fn index(&self, ifname: &str) -> Option<u32> {
        self.links.iter().find(|link| link.name == ifname && link.up).map(|link| link.index)
    }

    /// The name behind an index, for messages.
    pub(super) fn name(&self, index: u32) -> String {
        let known = self.links.iter().find(|link| link.index == index);
        known.map_or_else(|| format!("#{index}"), |link| link.name.clone())
    }

    /// Routes of `table` whose traffic leaves by interface `index`.
    pub(super) fn routes_by(&self, table: u32, index: u32) -> impl Iterator<Item = &Route> {
        self.routes.iter().filter(move |route| route.table() == table && route.leaves_by(index))
    }

    /// All routes by what tells them apart, to be asked about any number of them: a pod may have filled the tables.
    pub(super) fn known(&self) -> KnownRoutes {
        KnownRoutes(self.routes.iter().map(Route::identity).collect())
    }

    /// Addresses of interface `index` in one family, in the kernel's order (a primary before its secondaries).
    pub(super) fn addresses_of(&self, index: u32, family: AddressFamily) -> impl Iterator<Item = &Address> {
        self.addresses
            .iter()
            .filter(move |address| address.index == index && super::entry::family(address.ip) == family)
    }
}

/// Every address there is, of all interfaces.
pub(super) fn addresses(rtnl: &mut Rtnl<'_>) -> io::Result<Vec<Address>> {
    rtnl.dump(RTM_GETADDR, &emit(&AddressHeader::default()), RTM_NEWADDR, Address::parse)
}

/// The routes that the kernel has.
#[derive(Debug)]
pub(super) struct KnownRoutes(HashSet<Identity>);

impl KnownRoutes {
    /// True if the kernel has this route already.
    pub(super) fn has(&self, route: &Route) -> bool {
        self.0.contains(&route.identity())
    }
}
