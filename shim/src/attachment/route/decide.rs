//! Decides which routes and rules to change in a pod, from the facts alone.
//!
//! The changes of one decision are in the order in which they have to be made: what is added first, with gateways after
//! the routes that lead to them, then what is removed. A default leaves main only after its copy is in table 1001, so
//! that a kill at any point loses nothing that `undo` would need. No change means that the pod is already as wanted.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_route::AddressFamily;
use types::attachment::PodInterface;

use super::RouteSide;
use super::entry::{FIRST, MAIN, OWNER, PINNED, Route, family};
use super::pod_state::{OwnRoutes, PodRoutes};
use super::rule::Rule;

const FAMILIES: [AddressFamily; 2] = [AddressFamily::Inet, AddressFamily::Inet6];

/// One change of the kernel's routes or rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RouteChange {
    AddRoute(Route),
    AddRule(Rule),
    RemoveRoute(Route),
    RemoveRule(Rule),
}

impl RouteChange {
    /// Whether the change is an addition. Additions go in one batch and removals in the next, because a removal requires that all additions succeeded.
    pub(super) fn is_addition(&self) -> bool {
        match self {
            Self::AddRoute(_) | Self::AddRule(_) => true,
            Self::RemoveRoute(_) | Self::RemoveRule(_) => false,
        }
    }
}

/// After the first network's ADD: its own table and rules, and its defaults out of main.
///
/// Its host route to a next hop that several CNIs share leaves main too, because the owner's plugin would fail on an existing route.
pub(super) fn changes_after_first(facts: &PodRoutes, first: &RouteSide) -> Vec<RouteChange> {
    let Some(index) = facts.index(first.ifname) else {
        return Vec::new();
    };
    let mut changes = source_table(facts, &facts.known_routes(), index, FIRST);
    changes.extend(FAMILIES.into_iter().flat_map(|family| withhold(facts, index, family)));
    changes.extend(shared_hops(facts, MAIN, index).cloned().map(RouteChange::RemoveRoute));
    changes
}

/// After the owner's ADD: table and rules for it too, the CIDR routes of both, and one default per family in main.
pub(super) fn changes_after_owner(
    facts: &PodRoutes,
    first: &RouteSide,
    owner: &RouteSide,
) -> Vec<RouteChange> {
    let first_index = facts.index(first.ifname);
    let owner_index = facts.index(owner.ifname);
    let known_routes = facts.known_routes();
    let mut changes = Vec::new();
    if let Some(index) = first_index {
        changes.extend(source_table(facts, &known_routes, index, FIRST));
    }
    if let Some(index) = owner_index {
        changes.extend(source_table(facts, &known_routes, index, OWNER));
    }
    if let Some(index) = first_index {
        changes.extend(hops_back(facts, &known_routes, index));
    }
    // The owner's CIDRs come first: a destination that both networks claim is routed like all other destinations.
    let mut covered = Vec::new();
    for (side, index) in [(owner, owner_index), (first, first_index)] {
        if let Some(index) = index {
            changes.extend(cidr_routes(facts, side.cidrs, index, &mut covered));
        }
    }
    if let Some(index) = first_index {
        let owns = |family: &AddressFamily| {
            owner_index.is_some_and(|owner| defaults(facts, MAIN, owner, *family).next().is_some())
        };
        let unowned = FAMILIES.into_iter().filter(|family| !owns(family));
        changes.extend(unowned.flat_map(|family| give_back(facts, &known_routes, index, family)));
        let owned = FAMILIES.into_iter().filter(owns);
        changes.extend(owned.flat_map(|family| withhold(facts, index, family)));
    }
    changes
}

/// Whether main has an IPv6 default by the owner's interface, so that the first interface must not add one of its own.
pub(super) fn owner_has_ipv6_default(facts: &PodRoutes, first: &RouteSide, owner: &RouteSide) -> bool {
    let has = |index| defaults(facts, MAIN, index, AddressFamily::Inet6).next().is_some();
    facts.index(first.ifname).is_some() && facts.index(owner.ifname).is_some_and(has)
}

/// What other programs have made in a pod whose only network is that of the interface `ours`, as text: interfaces, and defaults by another interface.
/// `known` are the interfaces of the pod's own networks.
pub(super) fn foreign_names(facts: &PodRoutes, own_names: &[&str], ours: &str) -> Vec<String> {
    let links = facts
        .links
        .iter()
        .filter(|link| link.up && link.name != "lo" && !own_names.contains(&link.name.as_str()));
    let mut names: Vec<String> = links.map(|link| format!("interface {}", link.name)).collect();
    let index = facts.index(ours);
    let defaults = facts.routes.iter().filter(|route| route.table() == MAIN && route.is_default());
    let others = defaults.filter(|route| !index.is_some_and(|index| route.leaves_by(index)));
    names.extend(others.map(|route| format!("route {}", route.describe(|index| facts.name(index)))));
    names
}

/// The rules and tables of the two steps that are missing, for the recorded interfaces.
///
/// The check covers the rules of the addresses at ADD, and that the table is not empty in a family in which main has routes by the interface. It does
/// not cover single routes, because the pod and its agents may change theirs at any time, and the copies do not follow.
pub(super) fn missing_routes(
    facts: &PodRoutes,
    first: Option<&PodInterface>,
    owner: Option<&PodInterface>,
) -> Vec<String> {
    let mut gone = Vec::new();
    for (recorded, table) in [(first, FIRST), (owner, OWNER)] {
        let Some((recorded, index)) =
            recorded.and_then(|interface| Some((interface, facts.index(&interface.name)?)))
        else {
            continue;
        };
        let is_there = |address: &IpAddr| facts.rules.contains(&Rule { source: *address, table });
        let lost = recorded.addresses.iter().filter(|address| !is_there(address));
        gone.extend(lost.map(|address| format!("rule from {address} to table {table}")));
        for address_family in FAMILIES {
            let leads = |table| facts.routes_by(table, index).any(|route| route.family() == address_family);
            if recorded.addresses.iter().any(|address| family(*address) == address_family)
                && leads(MAIN)
                && !leads(table)
            {
                gone.push(format!("routes by {} in table {table}", recorded.name));
            }
        }
    }
    gone
}

/// Removes all routes and rules of Crossfade, and restores the first network's defaults. This needs no record of the earlier changes.
///
/// Two attachments of one pod may share the netns. Routes by other interfaces, and the rules of addresses on those, belong to the other attachment.
pub(super) fn undo(facts: &PodRoutes, first_ifname: &str, owner_ifname: &str) -> Vec<RouteChange> {
    let known_routes = facts.known_routes();
    let mut changes = Vec::new();
    if let Some(index) = facts.index(first_ifname) {
        changes.extend(hops_back(facts, &known_routes, index));
        changes
            .extend(FAMILIES.into_iter().flat_map(|family| give_back(facts, &known_routes, index, family)));
    }
    changes.extend(unpin(facts));
    changes.extend(remove_ours(facts, &[first_ifname, owner_ifname]));
    changes
}

/// Before the ADD of a network that joins a running pod: the pod's routes copied to table 1000, a rule to them for all packets, and the defaults by
/// the interface that `stays` out of main, so that the network's plugin finds main as it does in a pod of its own.
pub(super) fn pin(facts: &PodRoutes, stays: &str) -> Vec<RouteChange> {
    let copies =
        facts.routes.iter().filter(|route| route.table() == MAIN).map(|route| route.with_table(PINNED));
    let mut changes = add_all(copies, &facts.known_routes());
    let rules = FAMILIES.map(Rule::pin).into_iter().filter(|rule| !facts.rules.contains(rule));
    changes.extend(rules.map(RouteChange::AddRule));
    if let Some(index) = facts.index(stays) {
        changes.extend(FAMILIES.into_iter().flat_map(|family| withhold(facts, index, family)));
        changes.extend(shared_hops(facts, MAIN, index).cloned().map(RouteChange::RemoveRoute));
    }
    changes
}

/// The routes that table 1000 has and main lacks.
pub(super) fn restore(facts: &PodRoutes) -> Vec<RouteChange> {
    let pinned = facts.routes.iter().filter(|route| route.table() == PINNED);
    add_all(pinned.map(|route| route.with_table(MAIN)), &facts.known_routes())
}

/// The end of [`pin`]: main has the pinned routes again, and table 1000 and its rules go. No change if nothing is pinned.
pub(super) fn unpin(facts: &PodRoutes) -> Vec<RouteChange> {
    let mut changes = restore(facts);
    let rules = facts.rules.iter().filter(|rule| rule.table == PINNED);
    changes.extend(rules.copied().map(RouteChange::RemoveRule));
    let routes = facts.routes.iter().filter(|route| route.table() == PINNED);
    changes.extend(routes.cloned().map(RouteChange::RemoveRoute));
    changes
}

/// Before the DEL of a network that leaves a running pod, or that did not join it: the routes and rules of both-mode go, and every default by the
/// interface that `leaves`. The pod keeps the routes of the network that `stays`.
pub(super) fn leave(facts: &PodRoutes, leaves: &str, stays: &str) -> Vec<RouteChange> {
    let mut changes = Vec::new();
    if let Some(index) = facts.index(leaves) {
        changes.extend(FAMILIES.into_iter().flat_map(|family| withhold(facts, index, family)));
    }
    changes.extend(unpin(facts));
    changes.extend(remove_ours(facts, &[leaves, stays]));
    changes
}

/// Adds those routes that the kernel does not have, routes by a gateway last: the kernel accepts a gateway only if a route to it exists.
fn add_all(routes: impl Iterator<Item = Route>, known_routes: &OwnRoutes) -> Vec<RouteChange> {
    let (gateways, links): (Vec<Route>, Vec<Route>) =
        routes.filter(|route| !known_routes.has(route)).partition(Route::has_gateway);
    links.into_iter().chain(gateways).map(RouteChange::AddRoute).collect()
}

/// Removes the rules of tables 1001 and 1002, and Crossfade's routes by these interfaces.
fn remove_ours(facts: &PodRoutes, ifnames: &[&str]) -> Vec<RouteChange> {
    // An interface that is down counts too, because its addresses have rules as well.
    let of_ours = facts.links.iter().filter(|link| ifnames.contains(&link.name.as_str()));
    let ours: HashSet<u32> = of_ours.map(|link| link.index).collect();
    let others = facts.addresses.iter().filter(|address| !ours.contains(&address.index));
    let elsewhere: HashSet<IpAddr> = others.map(|address| address.ip).collect();
    let in_tables = facts.rules.iter().filter(|rule| rule.table != PINNED);
    let rules = in_tables.filter(|rule| !elsewhere.contains(&rule.source));
    let mut changes: Vec<_> = rules.copied().map(RouteChange::RemoveRule).collect();
    for index in ifnames.iter().filter_map(|ifname| facts.index(ifname)) {
        let in_our_tables = [FIRST, OWNER].into_iter().flat_map(|table| facts.routes_by(table, index));
        let in_main = facts.routes_by(MAIN, index).filter(|route| route.is_ours());
        changes.extend(in_our_tables.chain(in_main).cloned().map(RouteChange::RemoveRoute));
    }
    changes
}

/// A copy in `table` of the routes by interface `index`, and a rule to it from each of the interface's addresses.
fn source_table(facts: &PodRoutes, known_routes: &OwnRoutes, index: u32, table: u32) -> Vec<RouteChange> {
    let routes = facts.routes_by(MAIN, index).filter(|route| !route.is_ours());
    let mut changes = add_all(routes.map(|route| route.with_table(table)), known_routes);
    let there: HashSet<&Rule> = facts.rules.iter().collect();
    let rules = FAMILIES
        .into_iter()
        .flat_map(|family| facts.addresses_of(index, family))
        .map(|address| Rule { source: address.ip, table })
        .filter(|rule| !there.contains(rule));
    changes.extend(rules.map(RouteChange::AddRule));
    changes
}

fn defaults(
    facts: &PodRoutes,
    table: u32,
    index: u32,
    family: AddressFamily,
) -> impl Iterator<Item = &Route> {
    facts.routes_by(table, index).filter(move |route| route.is_default() && route.family() == family)
}

fn withhold(facts: &PodRoutes, index: u32, family: AddressFamily) -> Vec<RouteChange> {
    defaults(facts, MAIN, index, family).cloned().map(RouteChange::RemoveRoute).collect()
}

fn give_back(
    facts: &PodRoutes,
    known_routes: &OwnRoutes,
    index: u32,
    family: AddressFamily,
) -> Vec<RouteChange> {
    defaults(facts, FIRST, index, family)
        .map(|route| route.with_table(MAIN))
        .filter(|route| !known_routes.has(route))
        .map(RouteChange::AddRoute)
        .collect()
}

/// Host routes by interface `index` to a next hop that several CNIs share (169.254.1.1 of Calico and of AWS).
fn shared_hops(facts: &PodRoutes, table: u32, index: u32) -> impl Iterator<Item = &Route> {
    facts.routes_by(table, index).filter(|route| route.is_shared_hop())
}

/// Restores withheld host routes in main, since other routes need them as next hop. The owner's own route takes precedence.
fn hops_back(facts: &PodRoutes, known_routes: &OwnRoutes, index: u32) -> Vec<RouteChange> {
    let withheld = shared_hops(facts, FIRST, index).map(|hop| hop.with_table(MAIN));
    withheld.filter(|hop| !known_routes.has(hop)).map(RouteChange::AddRoute).collect()
}

/// A route for each CIDR that no route in main covers yet: by the interface's default, or on its link if it has none.
///
/// A plugin's own route to such a destination stays unchanged, because the plugin's CHECK requires it.
fn cidr_routes(
    facts: &PodRoutes,
    cidrs: &[IpNetwork],
    index: u32,
    covered: &mut Vec<IpNetwork>,
) -> Vec<RouteChange> {
    let mut changes = Vec::new();
    for cidr in cidrs {
        let family = family(cidr.ip());
        let Ok(cidr) = IpNetwork::new(cidr.network(), cidr.prefix()) else {
            continue;
        };
        let in_main = |route: &Route| route.table() == MAIN && route.destination() == Some(cidr);
        if cidr.prefix() == 0 || covered.contains(&cidr) || facts.routes.iter().any(in_main) {
            continue;
        }
        if facts.addresses_of(index, family).next().is_none() {
            continue; // this network has nothing in that family
        }
        let way_out = [MAIN, FIRST, OWNER]
            .into_iter()
            .flat_map(|table| defaults(facts, table, index, family))
            .min_by_key(|route| route.metric());
        let source = source(facts, index, cidr, way_out);
        let route = way_out.map_or_else(
            || Route::new_on_link(cidr, index),
            |default| default.with_destination(cidr).with_table(MAIN),
        );
        changes.push(RouteChange::AddRoute(route.ours_from(source)));
        covered.push(cidr);
    }
    changes
}

/// The source address of packets to `cidr`: an address inside it, else the source of the default, else the first address.
///
/// None while the kernel would refuse the address (the duplicate check of an IPv6 address is running). Without a preferred source, the kernel uses an
/// address of the outgoing interface when it sends a packet, and by then the check is over.
fn source(facts: &PodRoutes, index: u32, cidr: IpNetwork, way_out: Option<&Route>) -> Option<IpAddr> {
    let preferred = way_out.and_then(Route::source);
    facts
        .addresses_of(index, family(cidr.ip()))
        .min_by_key(|address| (address.deprecated, !cidr.contains(address.ip), Some(address.ip) != preferred))
        .filter(|address| address.is_usable)
        .map(|address| address.ip)
}

#[cfg(test)]
mod tests;
