//! The node's part of the route step: the pod's address of its second network leads to that network's interface, whatever
//! the network's agent does.
//!
//! An agent that follows the Pod's status (Calico's felix) routes the addresses in the status, which are the primary's, to the pod's
//! interface of its own network, and drops the route of its own address. So the node gets, for each address of both networks, a route in a
//! table of ours and a rule that looks there for that address alone: for the second network to the host's end of the pod's
//! interface, for the primary as the node had it before. Measured with Calico 3.31: its agent leaves them alone, and its reverse-path
//! check goes by them.
//!
//! | when | what |
//! |---|---|
//! | ADD, before the pod starts | what will be set is recorded, then set |
//! | rollback, DEL, GC, sweep | taken back before the delegate's DEL: afterwards the address may be another pod's |
//! | every GC and sweep | [`converge`]: what living attachments have lost is set again, what nobody has any more goes; nothing goes while a record cannot be read, for it may be a living pod's |
//! | CHECK | [`missing`] |
//!
//! Crossfade's host routes have the table and priority 1003 and its protocol number. Every change is made under one lock, so that an address that
//! moves from one pod to the next keeps the next pod's rule. Each call is one straight line: gather ([`host_state`]), decide ([`decide`],
//! pure), apply.

mod decide;
mod host_state;

use std::io;
use std::net::IpAddr;

use decide::HostRouteChange;
use host_state::HostRoutes;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use types::attachment::{Attachment, HostRoute};

use crate::boot::boot_id;
use crate::layout::Layout;
use crate::lock;
use crate::netns::Netns;
use crate::route::rtnl::{Rtnl, RtnlRequest, emit};
use crate::route::{Budget, RTM_DELROUTE, RTM_DELRULE, RTM_NEWROUTE, RTM_NEWRULE, RouteError, already_so};
use crate::store::{DamagedFile, Store};

/// Table of the node's routes to second addresses, and the priority of the rules that look there: before the main table's, after the
/// local one's.
pub const TABLE: u32 = 1003;

/// The lock for all changes of host routes.
const LOCK: &str = "hostroute";

/// The interface of one network in a pod, to whose addresses host routes lead.
#[derive(Debug, Clone, Copy)]
pub struct RoutedInterface<'a> {
    /// The pod's netns.
    pub netns: &'a Netns,
    /// The leg's interface there.
    pub ifname: &'a str,
    /// The interfaces that its result names.
    pub names: &'a [String],
    /// The addresses that it gave.
    pub addresses: &'a [IpAddr],
}

/// The ways to a second network's addresses: by the host's end of the pod's interface, the one that the result names and that is the
/// other end of it.
///
/// # Errors
/// That none is, or what the kernel says.
pub fn to_second(attached: &RoutedInterface<'_>, budget: Budget<'_>) -> Result<Vec<HostRoute>, RouteError> {
    let RoutedInterface { netns, ifname, names, addresses } = attached;
    let attempted = |error| RouteError::of(format!("find the host's end of {ifname}"), error);
    let inside = Rtnl::open(netns, budget).and_then(|mut rtnl| rtnl.link_named(ifname)).map_err(attempted)?;
    let mut host = Rtnl::of_host(budget).map_err(attempted)?;
    let mut candidates = Vec::new();
    for name in *names {
        candidates.extend(host.link_named(name).map_err(attempted)?);
    }
    let end = decide::host_end(inside.as_ref(), &candidates).ok_or_else(|| {
        let why = format!(
            "its result names no interface of the host that is the other end of it (it names {}); expected a veth pair",
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        );
        attempted(io::Error::new(io::ErrorKind::NotFound, why))
    })?;
    let way = |address: &IpAddr| HostRoute {
        address: *address,
        interface: end.name.clone(),
        index: end.index,
        via: None,
    };
    Ok(addresses.iter().map(way).collect())
}

/// The ways to a primary's addresses, as the node has them now: the second network's agent is about to route these to an interface of its
/// own. The primary's policies may depend on the way, so it is kept whatever it is: by a bridge, a pair, or a next hop. An address
/// that the node has no way to gets none.
///
/// # Errors
/// That an address is routed to an interface which is not the pod's, as an agent may leave it for a moment; or what the kernel says.
pub fn to_primary(attached: &RoutedInterface<'_>, budget: Budget<'_>) -> Result<Vec<HostRoute>, RouteError> {
    let unread = |error| RouteError::of("find the node's ways to a pod".to_owned(), error);
    let mut host = Rtnl::of_host(budget).map_err(unread)?;
    let mut ways = Vec::new();
    for address in attached.addresses {
        let attempted = |error| RouteError::of(format!("find the node's way to {address}"), error);
        let Some(found) = host_state::way_to(&mut host, *address).map_err(attempted)? else { continue };
        let link = host.link_at(found.index).map_err(attempted)?;
        let Some(link) = link else { continue };
        if found.is_for_it_alone && !attached.names.contains(&link.name) {
            let why = format!(
                "it leads to {}, which the result does not name; expected an interface of the pod, or a subnet's route",
                link.name
            );
            return Err(attempted(io::Error::new(io::ErrorKind::NotFound, why)));
        }
        ways.push(HostRoute { address: *address, interface: link.name, index: found.index, via: found.via });
    }
    Ok(ways)
}

/// Sets host routes; what is there already stays. A route to the same address that a gone attachment left gives way.
///
/// # Errors
/// What the kernel refused, or that the lock cannot be had.
pub fn set(layout: &Layout, routes: &[&HostRoute], budget: Budget<'_>) -> Result<(), RouteError> {
    changed(layout, routes, budget, |facts| decide::set(routes, facts))
}

/// Removes host routes. A route that is gone already is no error.
///
/// # Errors
/// As [`set`]; everything else has been done.
pub fn remove(layout: &Layout, routes: &[&HostRoute], budget: Budget<'_>) -> Result<(), RouteError> {
    changed(layout, routes, budget, |facts| decide::remove(routes, facts))
}

/// What is missing of host routes, in words; empty if it is all there.
///
/// # Errors
/// What the kernel says to being asked.
pub fn missing(routes: &[&HostRoute], budget: Budget<'_>) -> io::Result<Vec<String>> {
    let facts = HostRoutes::gather(&mut Rtnl::of_host(budget)?, |address| has_family(routes, address))?;
    Ok(decide::set(routes, &facts).iter().map(|change| change.object(routes)).collect())
}

/// Whether a record has host routes, of whichever boot, or may have some that cannot be read.
#[must_use]
pub fn has(record: &Attachment) -> bool {
    record.torn || record.progress.iter().any(|progress| !progress.host_routes.is_empty())
}

/// What [`converge`] would change now, in words, by the sound `records` and those that are `damaged`.
///
/// # Errors
/// What the kernel says to being asked.
pub fn unconverged(
    records: &[Attachment],
    damaged: &[DamagedFile],
    budget: Budget<'_>,
) -> io::Result<Vec<String>> {
    let facts = HostRoutes::gather(&mut Rtnl::of_host(budget)?, |_| true)?;
    let recorded = RecordedRoutes::of(records, damaged)?;
    Ok(decide::converge(&recorded, &facts).iter().map(|change| change.describe(&recorded.known)).collect())
}

/// Makes the node's routes those of its attachments: an interface that was down for a moment has lost its routes, and a call that was
/// killed may have left some. The records are read under the lock, so that no ADD comes between; each change is answered in words.
///
/// # Errors
/// As [`set`], and when the records cannot be read.
pub fn converge(layout: &Layout, budget: Budget<'_>) -> Result<Vec<String>, RouteError> {
    alone(layout, "converge the host routes", || {
        let (records, damaged) = Store::new(layout).all()?;
        let recorded = RecordedRoutes::of(&records, &damaged)?;
        act(&recorded.known, budget, |_| true, |facts| decide::converge(&recorded, facts))
    })
}

/// The host routes of this boot's records.
#[derive(Debug, Default)]
struct RecordedRoutes<'a> {
    /// The routes that must exist: those of complete attachments without a teardown that has begun.
    living: Vec<&'a HostRoute>,
    /// These, and the routes of attachments whose ADD or DEL is still running.
    known: Vec<&'a HostRoute>,
    /// There may be more, in records that cannot be read completely.
    may_be_more: bool,
}

impl<'a> RecordedRoutes<'a> {
    /// # Errors
    /// The boot id cannot be read. Then no route may count as unused.
    fn of(records: &'a [Attachment], damaged: &[DamagedFile]) -> io::Result<Self> {
        let boot_id = boot_id()?;
        let mut all = Self { may_be_more: !damaged.is_empty(), ..Self::default() };
        for record in records.iter().filter(|record| record.intent.begun.boot_id == boot_id) {
            all.may_be_more |= record.torn;
            for progress in record.progress.iter().filter(|progress| !progress.deleted) {
                all.known.extend(&progress.host_routes);
                if record.attached && !progress.host_unrouted {
                    all.living.extend(&progress.host_routes);
                }
            }
        }
        Ok(all)
    }
}

/// Whether any of these routes leads to an address of the family of `address`.
fn has_family(routes: &[&HostRoute], address: IpAddr) -> bool {
    routes.iter().any(|route| route.address.is_ipv4() == address.is_ipv4())
}

/// Changes the host routes of one attachment.
fn changed(
    layout: &Layout,
    routes: &[&HostRoute],
    budget: Budget<'_>,
    decide: impl FnOnce(&HostRoutes) -> Vec<HostRouteChange>,
) -> Result<(), RouteError> {
    if routes.is_empty() {
        return Ok(());
    }
    let wanted = |address| has_family(routes, address);
    alone(layout, "change the host routes", || act(routes, budget, wanted, decide)).map(drop)
}

/// What one step of ours came to: its changes in words, or what the kernel refused.
type Converged = Result<Vec<String>, RouteError>;

/// Runs `step` under the one lock.
fn alone(layout: &Layout, attempted: &str, step: impl FnOnce() -> io::Result<Converged>) -> Converged {
    let failed = |error| RouteError::of(attempted.to_owned(), error);
    lock::exclusively(layout, LOCK, step).map_err(failed)?
}

/// Gathers, decides and applies; interfaces are told by their names in `routes`.
fn act(
    routes: &[&HostRoute],
    budget: Budget<'_>,
    wanted: impl Fn(IpAddr) -> bool,
    decide: impl FnOnce(&HostRoutes) -> Vec<HostRouteChange>,
) -> io::Result<Converged> {
    let mut rtnl = Rtnl::of_host(budget)?;
    let changes = decide(&HostRoutes::gather(&mut rtnl, wanted)?);
    let refused = apply(&mut rtnl, routes, &changes)?;
    let told = changes.iter().map(|change| change.describe(routes)).collect();
    Ok(RouteError::unless_empty(refused).map(|()| told))
}

/// Carries changes out in order, each whether or not those before it failed; what the kernel refused.
fn apply(
    rtnl: &mut Rtnl<'_>,
    routes: &[&HostRoute],
    changes: &[HostRouteChange],
) -> io::Result<Vec<(String, io::Error)>> {
    let requests: Vec<RtnlRequest> = changes.iter().map(request).collect();
    let refused = rtnl.batch(&requests)?.into_iter();
    Ok(refused
        .filter(|(position, error)| !already_so(changes[*position].is_addition(), error))
        .map(|(position, error)| (changes[position].describe(routes), error))
        .collect())
}

fn request(change: &HostRouteChange) -> RtnlRequest {
    let (message_type, flags, body) = match change {
        HostRouteChange::AddRoute(way) => {
            (RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, emit(host_state::route(way).message()))
        }
        HostRouteChange::AddRule(address) => {
            (RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, emit(&host_state::rule(*address)))
        }
        HostRouteChange::RemoveRoute(way) => (RTM_DELROUTE, 0, emit(host_state::route(way).message())),
        HostRouteChange::RemoveRule(address) => (RTM_DELRULE, 0, emit(&host_state::rule(*address))),
    };
    RtnlRequest { message_type, flags, body }
}
