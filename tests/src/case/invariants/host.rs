//! The state of the network namespace that plays the host: interfaces, and the host routes of the shim.

use std::{collections::BTreeSet, net::IpAddr};

use anyhow::{Context, Result, bail};
use netlink_packet_core::{NLM_F_DUMP, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    route::{RouteAddress, RouteAttribute, RouteMessage},
    rule::{RuleAttribute, RuleMessage},
};
use nix::{errno::Errno, ifaddrs::getifaddrs, net::if_::if_indextoname};

use crate::host::netlink;
use crate::host::netns::Netns;

/// Table and priority of the shim's host routes, see `docs/policy.md`.
const TABLE: u32 = 1003;

/// Names of the interfaces of this netns.
///
/// # Errors
/// When they cannot be listed.
pub fn interfaces(netns: &Netns) -> Result<BTreeSet<String>> {
    netns.inside(|| {
        let all = getifaddrs().context("list interfaces")?;
        Ok(all.map(|interface| interface.interface_name).collect())
    })
}

/// Every route of the shim's table, and every rule of its priority or to its table, of any maker: `route to ADDRESS dev NAME` and
/// `rule to ADDRESS`.
///
/// # Errors
/// When they cannot be listed.
pub fn host_routes(netns: &Netns) -> Result<BTreeSet<String>> {
    netns.inside(|| {
        // Of each family, as nothing else is asked for.
        let routes = dump(RouteNetlinkMessage::GetRoute(RouteMessage::default())).context("list routes")?;
        let rules = dump(RouteNetlinkMessage::GetRule(RuleMessage::default())).context("list rules")?;
        Ok(routes.iter().chain(&rules).filter_map(describe).collect())
    })
}

fn describe(message: &RouteNetlinkMessage) -> Option<String> {
    let destination = |to: Option<IpAddr>| to.map_or_else(|| "anything".to_owned(), |to| to.to_string());
    match message {
        RouteNetlinkMessage::NewRoute(route) => {
            let (mut table, mut to, mut device) = (u32::from(route.header.table), None, String::new());
            for attribute in &route.attributes {
                match attribute {
                    RouteAttribute::Table(number) => table = *number,
                    RouteAttribute::Destination(RouteAddress::Inet(address)) => to = Some((*address).into()),
                    RouteAttribute::Destination(RouteAddress::Inet6(address)) => to = Some((*address).into()),
                    RouteAttribute::Oif(index) => device = name_of(*index),
                    _ => {}
                }
            }
            (table == TABLE).then(|| format!("route to {} dev {device}", destination(to)))
        }
        RouteNetlinkMessage::NewRule(rule) => {
            let (mut table, mut to, mut priority) = (u32::from(rule.header.table), None, 0);
            for attribute in &rule.attributes {
                match attribute {
                    RuleAttribute::Table(number) => table = *number,
                    RuleAttribute::Priority(number) => priority = *number,
                    RuleAttribute::Destination(address) => to = Some(*address),
                    _ => {}
                }
            }
            (table == TABLE || priority == TABLE).then(|| format!("rule to {}", destination(to)))
        }
        _ => None,
    }
}

/// The name of an interface; its number if it is gone by now.
fn name_of(index: u32) -> String {
    let name = if_indextoname(index).ok().and_then(|name| name.into_string().ok());
    name.unwrap_or_else(|| format!("#{index}"))
}

/// All that the kernel has of one kind in the thread's own netns.
fn dump(request: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>> {
    let socket = netlink::ask(NLM_F_DUMP, request)?;
    let mut messages = Vec::new();
    loop {
        let (reply, _) = socket.recv_from_full()?;
        let mut rest = reply.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)?;
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(messages),
                NetlinkPayload::Error(error) => {
                    let code = error.code.map_or(0, |code| -code.get());
                    return Err(Errno::from_raw(code)).context("the kernel refuses");
                }
                NetlinkPayload::InnerMessage(inner) => messages.push(inner),
                other => bail!("a message of another kind: {other:?}"),
            }
            let length = usize::try_from(message.header.length)?.next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}
