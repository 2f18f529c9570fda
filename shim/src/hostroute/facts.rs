//! What the kernel has of ours on the host, and how it is asked for.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_core::{DecodeError, Parseable};
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleHeader, RuleMessage};
use nix::errno::Errno;

use super::TABLE;
use crate::route::entry::{Route, family, full_prefix};
use crate::route::rtnl::{Rtnl, emit};
use crate::route::{RTM_NEWROUTE, RTM_NEWRULE};

const RTM_GETROUTE: u16 = 26;
const RTM_GETRULE: u16 = 34;

/// The host routes and rules that are ours by number.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Address and index of the interface.
    pub(super) routes: Vec<(IpAddr, u32)>,
    /// The address that a rule is for.
    pub(super) rules: Vec<IpAddr>,
}

impl Facts {
    /// Reads those of each family for which `wanted` says so of its unspecified address.
    pub(super) fn gather(rtnl: &mut Rtnl<'_>, wanted: impl Fn(IpAddr) -> bool) -> io::Result<Self> {
        let mut facts = Self::default();
        let families: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        for any in families.into_iter().filter(|any| wanted(*any)) {
            // Of this table alone: a host may have any number of routes.
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

/// A table that nobody has written to, or a family that the kernel does not have.
fn is_absent(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ENOENT | Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT))
}

/// The route to `address` by interface `index`.
pub(super) fn route(address: IpAddr, index: u32) -> Route {
    Route::on_link(IpNetwork::from(address), index).in_table(TABLE).ours_from(None)
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

fn parse_route(payload: &[u8]) -> Result<Option<(IpAddr, u32)>, DecodeError> {
    let route = Route::from(RouteMessage::parse(payload)?);
    let host = route.destination().filter(|to| to.prefix() == full_prefix(to.ip()));
    let ours = route.table() == TABLE && route.is_ours();
    Ok(host.filter(|_| ours).and_then(|to| Some((to.ip(), route.interface()?))))
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
