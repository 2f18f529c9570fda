//! Crossfade's routes and rules on the host, read from the kernel.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_core::{DecodeError, Parseable};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleHeader, RuleMessage};
use nix::errno::Errno;

use super::TABLE;
use crate::attachment::route::entry::{Route, family, full_prefix};
use crate::attachment::route::rtnl::{Rtnl, emit};
use crate::attachment::route::{RTM_GETROUTE, RTM_GETRULE, RTM_NEWROUTE, RTM_NEWRULE};

/// The next hop of packets from the node to one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HostPath {
    pub(super) address: IpAddr,
    pub(super) index: u32,
    pub(super) via: Option<IpAddr>,
}

/// The route that the kernel uses now for one address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CurrentRoute {
    pub(super) index: u32,
    pub(super) via: Option<IpAddr>,
    /// The route is to this address and no other.
    pub(super) is_for_it_alone: bool,
}

/// Crossfade's host routes and rules, by their table and priority.
#[derive(Debug, Default)]
pub(super) struct HostRoutes {
    pub(super) routes: Vec<HostPath>,
    /// The addresses of the rules.
    pub(super) rules: Vec<IpAddr>,
}

impl HostRoutes {
    /// Reads the routes and rules of each address family. `wanted` is called with the family's unspecified address, and says whether to read it.
    pub(super) fn gather(rtnl: &mut Rtnl<'_>, is_wanted: impl Fn(IpAddr) -> bool) -> io::Result<Self> {
        let mut facts = Self::default();
        let families: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        for any in families.into_iter().filter(|any| is_wanted(*any)) {
            // The dump is limited to this table, because a host may have any number of routes.
            let header = RouteHeader { address_family: family(any), ..RouteHeader::default() };
            let body = [emit(&header), emit(&RouteAttribute::Table(TABLE))].concat();
            match rtnl.dump(RTM_GETROUTE, &body, RTM_NEWROUTE, parse_route) {
                Err(error) if is_absent(&error) => {}
                other => facts.routes.extend(other?),
            }
            let header = RuleHeader { family: family(any), ..RuleHeader::default() };
            match rtnl.dump(RTM_GETRULE, &emit(&header), RTM_NEWRULE, parse_rule) {
                Err(error) if is_absent(&error) => {}
                other => facts.rules.extend(other?),
            }
        }
        Ok(facts)
    }
}

/// Whether the error means that the table was never used, or that the kernel lacks the family.
fn is_absent(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ENOENT | Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT))
}

/// The node's present route to `address`; none if no route leads there by a single interface.
pub(super) fn route_to(rtnl: &mut Rtnl<'_>, address: IpAddr) -> io::Result<Option<CurrentRoute>> {
    let header = RouteHeader {
        address_family: family(address),
        destination_prefix_length: full_prefix(address),
        // The answer is the entry of the table, not a route that the kernel made from it for one packet.
        flags: RouteFlags::FibMatch,
        ..RouteHeader::default()
    };
    let to = RouteAttribute::Destination(RouteAddress::from(address));
    let best_route =
        rtnl.get(RTM_GETROUTE, &[emit(&header), emit(&to)].concat(), RTM_NEWROUTE, RouteMessage::parse);
    let message = match best_route {
        Err(error) if is_no_way(&error) => None,
        other => other?,
    };
    let route = message.filter(|message| message.header.kind == RouteType::Unicast).map(Route::from);
    Ok(route.and_then(|route| {
        let is_for_it_alone = route.destination().is_some_and(|to| to.prefix() == full_prefix(address));
        Some(CurrentRoute { index: route.interface()?, via: route.gateway(), is_for_it_alone })
    }))
}

/// Whether the error means that no route leads to the address, or one that rejects packets.
fn is_no_way(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EACCES | Errno::EINVAL))
}

/// The route in the form of a message to the kernel.
pub(super) fn route(way: &HostPath) -> Route {
    let route = Route::new_on_link(IpNetwork::from(way.address), way.index).with_table(TABLE).ours_from(None);
    way.via.map_or_else(|| route.clone(), |hop| route.with_hop(hop))
}

/// The rule for `address`.
pub(super) fn rule(address: IpAddr) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = family(address);
    message.header.dst_len = full_prefix(address);
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![
        RuleAttribute::Destination(address),
        RuleAttribute::Priority(TABLE),
        RuleAttribute::Table(TABLE),
    ];
    message
}

fn parse_route(payload: &[u8]) -> Result<Option<HostPath>, DecodeError> {
    let route = Route::from(RouteMessage::parse(payload)?);
    let host = route.destination().filter(|to| to.prefix() == full_prefix(to.ip()));
    let ours = route.table() == TABLE && route.is_ours();
    let way = |address| Some(HostPath { address, index: route.interface()?, via: route.gateway() });
    Ok(host.filter(|_| ours).and_then(|to| way(to.ip())))
}

fn parse_rule(payload: &[u8]) -> Result<Option<IpAddr>, DecodeError> {
    let message = RuleMessage::parse(payload)?;
    let (mut to, mut table, mut priority) = (None, u32::from(message.header.table), 0);
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Destination(address) => to = Some(*address),
            RuleAttribute::Table(number) => table = *number,
            RuleAttribute::Priority(number) => priority = *number,
            _ => {}
        }
    }
    let header = &message.header;
    let ours =
        table == TABLE && priority == TABLE && header.action == RuleAction::ToTable && header.src_len == 0;
    Ok(to.filter(|address| ours && header.dst_len == full_prefix(*address)))
}
