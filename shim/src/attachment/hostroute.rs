//! The node's part of the route step: the node routes a pod's address in the second network to that network's interface, whatever the
//! network's agent does.
//!
//! An agent that follows the Pod's status (Calico's felix) routes the addresses in the status, which are the primary network's, to the pod's
//! interface in its own network, and drops the route to its own address. So Crossfade sets, for each address of both networks, a route in its
//! own table and a rule that looks up that address alone there. The route to an address of the second network leads to the host's end of the
//! pod's interface; the route to an address of the primary is the one that the node had before. Measured with Calico 3.31: its agent does not
//! change these routes, and its reverse-path check follows them.
//!
//! | when | what |
//! |---|---|
//! | ADD, before the pod starts | writes the routes into the record, then sets them |
//! | rollback, DEL, GC, sweep | removes them before the delegate's DEL, because afterwards the address may be another pod's |
//! | every GC and sweep | [`converge`] restores routes that attachments have lost and removes routes of no attachment. While a record cannot be read, it removes none, because the record may be a running pod's |
//! | CHECK | [`missing_routes`] |
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

use crate::attachment::route::rtnl::{Rtnl, RtnlRequest, emit};
use crate::attachment::route::{
    Budget, RTM_DELROUTE, RTM_DELRULE, RTM_NEWROUTE, RTM_NEWRULE, RouteError, already_so,
};
use crate::host::boot::boot_id;
use crate::host::lock;
use crate::host::netns::Netns;
use crate::node::layout::Layout;
use crate::node::store::{DamagedFile, Store};

/// The table of Crossfade's host routes, and the priority of the rules that look there: behind the rule of the table `local`, before that of `main`.
pub const TABLE: u32 = 1003;

/// The name of the lock for all changes of host routes.
const LOCK: &str = "hostroute";

/// The interface of one network in a pod, which needs host routes to its addresses.
#[derive(Debug, Clone, Copy)]
pub struct RoutedInterface<'a> {
    /// The pod's netns.
    pub netns: &'a Netns,
    /// The network's interface in that netns.
    pub ifname: &'a str,
    /// The interfaces that the network's result names.
    pub names: &'a [String],
    /// The addresses that the network gave the pod.
    pub addresses: &'a [IpAddr],
}

/// The routes to a second network's addresses. They lead to the host's end of the pod's interface: the interface that the result names and that is
/// the pod interface's peer.
///
/// # Errors
/// No interface of the result is that peer, or an error of the kernel.
pub fn to_second(attached: &RoutedInterface<'_>, budget: Budget<'_>) -> Result<Vec<HostRoute>, RouteError> {
    let RoutedInterface { netns, ifname, names, addresses } = attached;
    let attempted = |error| RouteError::new(format!("find the host's end of {ifname}"), error);
    let inside = Rtnl::open(netns, budget).and_then(|mut rtnl| rtnl.link_named(ifname)).map_err(attempted)?;
    let mut host = Rtnl::open_host(budget).map_err(attempted)?;
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

/// The routes to a primary network's addresses that the node has now, before the second network's agent routes these addresses to an interface of
/// its own. The primary's policies may depend on the route, so it is kept whatever it is: by a bridge, a veth pair, or a next hop. An address
/// without a route on the node gets none.
///
/// # Errors
/// An address is routed to an interface that is not the pod's, which an agent may leave for a moment; or an error of the kernel.
pub fn to_primary(attached: &RoutedInterface<'_>, budget: Budget<'_>) -> Result<Vec<HostRoute>, RouteError> {
    let unread = |error| RouteError::new("find the node's ways to a pod".to_owned(), error);
    let mut host = Rtnl::open_host(budget).map_err(unread)?;
    let mut ways = Vec::new();
    for address in attached.addresses {
        let attempted = |error| RouteError::new(format!("find the node's way to {address}"), error);
        let Some(route) = host_state::route_to(&mut host, *address).map_err(attempted)? else { continue };
        let link = host.link_at(route.index).map_err(attempted)?;
        let Some(link) = link else { continue };
        if route.is_for_it_alone && !attached.names.contains(&link.name) {
            let why = format!(
                "it leads to {}, which the result does not name; expected an interface of the pod, or a subnet's route",
                link.name
            );
            return Err(attempted(io::Error::new(io::ErrorKind::NotFound, why)));
        }
        ways.push(HostRoute { address: *address, interface: link.name, index: route.index, via: route.via });
    }
    Ok(ways)
}

/// Sets host routes. Existing ones stay, and a route to the same address that a former attachment left is replaced.
///
/// # Errors
/// The changes that the kernel refused, or that another process holds the lock.
pub fn set(layout: &Layout, routes: &[&HostRoute], budget: Budget<'_>) -> Result<(), RouteError> {
    apply_changes(layout, routes, budget, |facts| decide::set(routes, facts))
}

/// Removes host routes. A route that is already gone is no error.
///
/// # Errors
/// As [`set`]. All other changes are done.
pub fn remove(layout: &Layout, routes: &[&HostRoute], budget: Budget<'_>) -> Result<(), RouteError> {
    apply_changes(layout, routes, budget, |facts| decide::remove(routes, facts))
}

/// The host routes and rules that are missing on the node, as text for a person; empty if all exist.
///
/// # Errors
/// An error of the kernel.
pub fn missing_routes(routes: &[&HostRoute], budget: Budget<'_>) -> io::Result<Vec<String>> {
    let facts = HostRoutes::gather(&mut Rtnl::open_host(budget)?, |address| has_family(routes, address))?;
    Ok(decide::set(routes, &facts).iter().map(|change| change.object(routes)).collect())
}

/// Whether a record has host routes, of any boot, or may have some that cannot be read.
#[must_use]
pub fn has(record: &Attachment) -> bool {
    record.torn || record.progress.iter().any(|progress| !progress.host_routes.is_empty())
}

/// The changes that [`converge`] would make now, as text for a person, by the sound `records` and the `damaged` ones.
///
/// # Errors
/// An error of the kernel.
pub fn unconverged_routes(
    records: &[Attachment],
    damaged: &[DamagedFile],
    budget: Budget<'_>,
) -> io::Result<Vec<String>> {
    let facts = HostRoutes::gather(&mut Rtnl::open_host(budget)?, |_| true)?;
    let recorded = RecordedRoutes::gather(records, damaged)?;
    Ok(decide::converge(&recorded, &facts).iter().map(|change| change.describe(&recorded.recorded)).collect())
}

/// Makes the node's host routes those of its attachments, and returns each change as text for a person. An interface that was down for a moment
/// has lost its routes, and a killed call may have left some. The records are read under the lock, so that no ADD comes between.
///
/// # Errors
/// As [`set`], and that the records cannot be read.
pub fn converge(layout: &Layout, budget: Budget<'_>) -> Result<Vec<String>, RouteError> {
    with_lock(layout, "converge the host routes", || {
        let (records, damaged) = Store::new(layout).load_all()?;
        let recorded = RecordedRoutes::gather(&records, &damaged)?;
        act(&recorded.recorded, budget, |_| true, |facts| decide::converge(&recorded, facts))
    })
}

/// The host routes of this boot's records.
#[derive(Debug, Default)]
struct RecordedRoutes<'a> {
    /// The routes that must exist: those of complete attachments without a teardown that has begun.
    living: Vec<&'a HostRoute>,
    /// These, and the routes of attachments whose ADD or DEL is still running.
    recorded: Vec<&'a HostRoute>,
    /// There may be more, in records that cannot be read completely.
    may_be_more: bool,
}

impl<'a> RecordedRoutes<'a> {
    /// # Errors
    /// The boot id cannot be read. Then no route may count as unused.
    fn gather(records: &'a [Attachment], damaged: &[DamagedFile]) -> io::Result<Self> {
        let boot_id = boot_id()?;
        let mut all = Self { may_be_more: !damaged.is_empty(), ..Self::default() };
        for record in records.iter().filter(|record| record.intent.began_at.boot_id == boot_id) {
            all.may_be_more |= record.torn;
            for progress in record.progress.iter().filter(|progress| !progress.deleted) {
                all.recorded.extend(&progress.host_routes);
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
fn apply_changes(
    layout: &Layout,
    routes: &[&HostRoute],
    budget: Budget<'_>,
    decide: impl FnOnce(&HostRoutes) -> Vec<HostRouteChange>,
) -> Result<(), RouteError> {
    if routes.is_empty() {
        return Ok(());
    }
    let is_wanted = |address| has_family(routes, address);
    with_lock(layout, "change the host routes", || act(routes, budget, is_wanted, decide)).map(drop)
}

/// The changes as text, or those that the kernel refused.
type Changes = Result<Vec<String>, RouteError>;

/// Runs `step` under the lock of host routes.
fn with_lock(layout: &Layout, attempted: &str, step: impl FnOnce() -> io::Result<Changes>) -> Changes {
    let failed = |error| RouteError::new(attempted.to_owned(), error);
    lock::exclusively(layout, LOCK, step).map_err(failed)?
}

/// Gathers the facts, decides and applies the changes. Texts name interfaces as `routes` do.
fn act(
    routes: &[&HostRoute],
    budget: Budget<'_>,
    is_wanted: impl Fn(IpAddr) -> bool,
    decide: impl FnOnce(&HostRoutes) -> Vec<HostRouteChange>,
) -> io::Result<Changes> {
    let mut rtnl = Rtnl::open_host(budget)?;
    let changes = decide(&HostRoutes::gather(&mut rtnl, is_wanted)?);
    let refused = apply(&mut rtnl, routes, &changes)?;
    let texts = changes.iter().map(|change| change.describe(routes)).collect();
    Ok(RouteError::unless_empty(refused).map(|()| texts))
}

/// Applies all changes in order, even after a failure. Returns the changes that the kernel refused.
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
