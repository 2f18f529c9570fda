//! Runs the delegates of an ADD one after the other, with the route step after each of two networks.

use std::io;
use std::time::Instant;

use types::attachment::Event;

use super::Times;
use super::gather::ReadyNetwork;
use super::inspect::{attached_events, unless_failed};
use crate::attachment::delegate::Limits;
use crate::attachment::hostroute::{self, RoutedInterface};
use crate::attachment::pod_interfaces;
use crate::attachment::route::{self, PodView, RouteError};
use crate::call::reply::{CniError, code};
use crate::call::serve::Session;
use crate::call::serve::teardown::Teardown;
use crate::call::version::AddResult;
use crate::host::exec::ReadyPlugin;
use crate::host::lock::Lock;
use crate::host::netns::Netns;
use crate::node::store::OpenRecord;

/// Attaches every network in order, and returns the primary's result. `ready` holds what [`ReadyNetwork::prepare`] returned for each of them.
pub(super) fn attach_all(
    session: &Session<'_>,
    legs: &[ReadyNetwork<'_>],
    ready: Vec<io::Result<ReadyPlugin<'_>>>,
    open: &mut OpenRecord,
    lock: &mut Lock,
    netns: Option<&Netns>,
    times: &Times,
) -> Result<AddResult, CniError> {
    let mut primary = None;
    for (index, (leg, first)) in legs.iter().zip(ready).enumerate() {
        if index > 0 {
            times.refuse_late(session)?;
            append(open, &[Event::Started { leg: index }])?;
        }
        let remaining = times.attached_by.saturating_duration_since(Instant::now());
        let share = remaining / u32::try_from(legs.len() - index).unwrap_or(1);
        let limits = session.limits(Instant::now() + share);
        let result = match attach_leg(session, leg, first, lock, &limits) {
            Ok(result) => result,
            Err(error) if leg.plan.tolerated && !session.signals.stop_requested() => {
                leave_out(session, index, leg, open, lock, &error, times.end_of_leaving_out())?;
                continue;
            }
            Err(error) => return Err(error),
        };
        let budget = route::Budget::new(times.attached_by, Some(session.signals));
        let last = index + 1 == legs.len();
        if legs.len() == 1 {
            append(open, &attached_events(netns, leg, &result, budget)?)?;
        } else {
            let raw = result.to_version(leg.loaded.conf.version)?;
            let seen_pod = netns.map(|netns| PodView::look(netns, budget));
            let present = seen_pod.as_ref().and_then(|seen_pod| {
                unless_failed(
                    leg,
                    seen_pod.as_ref().map(|pod| pod_interfaces::from_seen(pod, &leg.plan.ifname, &result)),
                )
            });
            // The result is recorded before the route step: if that step fails, the DEL that undoes the ADD needs the result.
            append(open, &[Event::Added { leg: index, result: raw, present }])?;
            if open.attachment.intent.legs[index].host_route {
                host_route(session, index, leg, &result, open, netns, budget)?;
            }
            if let Some((netns, seen_pod)) = netns.zip(seen_pod) {
                route_step(legs, index, open, netns, seen_pod)?;
            }
            if last {
                append(open, &[Event::Attached {}])?;
            }
        }
        if leg.plan.primary {
            primary = Some(result);
        }
    }
    // The plan has exactly one primary, and an error of its ADD has returned above.
    primary.ok_or_else(|| CniError::new(code::DELEGATE, "no network was attached"))
}

pub(super) fn attach_leg(
    session: &Session<'_>,
    leg: &ReadyNetwork<'_>,
    first: io::Result<ReadyPlugin<'_>>,
    lock: &mut Lock,
    limits: &Limits<'_>,
) -> Result<AddResult, CniError> {
    session.note_called(&leg.loaded.conf.name);
    let result = leg.network(session).add(&leg.binaries, first, lock, limits)?;
    if leg.plan.primary && result.addresses().is_empty() {
        // The runtime would fail later, with an error that names no network.
        return Err(CniError::new(
            code::DECODE,
            format!("network {:?}: its ADD succeeded without any address", leg.loaded.conf.name),
        )
        .details("expected at least one entry in ips"));
    }
    Ok(result)
}

/// Sets the host routes of a network, before the pod starts. They are recorded before they are set.
fn host_route(
    session: &Session<'_>,
    index: usize,
    leg: &ReadyNetwork<'_>,
    result: &AddResult,
    open: &mut OpenRecord,
    netns: Option<&Netns>,
    budget: route::Budget<'_>,
) -> Result<(), CniError> {
    let network = &leg.loaded.conf.name;
    let failed = |e| CniError::new(code::ROUTE, format!("host routes of network {network:?}: {e}"));
    let Some(netns) = netns else { return Ok(()) };
    let (names, addresses) = (result.interfaces(), result.ips());
    let attached = RoutedInterface { netns, ifname: &leg.plan.ifname, names: &names, addresses: &addresses };
    let ways = if leg.plan.primary { hostroute::to_primary } else { hostroute::to_second };
    let routes = ways(&attached, budget).map_err(failed)?;
    append(open, &[Event::HostRouted { leg: index, routes: routes.clone() }])?;
    hostroute::set(session.layout(), &routes.iter().collect::<Vec<_>>(), budget).map_err(failed)
}

/// Undoes a tolerated secondary network, and the pod goes on without it. If its DEL fails too, the DEL is owed and the record says so.
fn leave_out(
    session: &Session<'_>,
    index: usize,
    leg: &ReadyNetwork<'_>,
    open: &mut OpenRecord,
    lock: &mut Lock,
    error: &CniError,
    until: Instant,
) -> Result<(), CniError> {
    tracing::warn!(
        container_id = session.env.container_id,
        network = leg.loaded.conf.name,
        code = error.code,
        error = error.log,
        "secondary network left out: its ADD failed and the policy tolerates it"
    );
    let teardown = Teardown::new(session, &session.env.netns, until);
    for failed in teardown.detach(open, &[index], Some(lock)) {
        tracing::warn!(
            network = leg.loaded.conf.name,
            code = failed.error.code,
            error = failed.error.log,
            "its DEL is owed"
        );
    }
    Ok(())
}

/// The route step in the pod, after each of two networks. The intent of the record names it, so it is on record before any delegate runs.
fn route_step(
    legs: &[ReadyNetwork<'_>],
    index: usize,
    open: &OpenRecord,
    netns: &Netns,
    seen_pod: Result<PodView<'_>, RouteError>,
) -> Result<(), CniError> {
    let [first, owner] = legs else {
        return Ok(());
    };
    if index == 1 && open.attachment.progress[0].deleted {
        return Ok(());
    }
    let side = |leg: &ReadyNetwork<'_>| -> (String, Vec<ipnetwork::IpNetwork>) {
        (leg.plan.ifname.clone(), leg.loaded.network.cidrs.clone())
    };
    let ((first_name, first_cidrs), (owner_name, owner_cidrs)) = (side(first), side(owner));
    let first = route::RouteSide { ifname: &first_name, cidrs: &first_cidrs };
    let owner = route::RouteSide { ifname: &owner_name, cidrs: &owner_cidrs };
    let done = seen_pod.and_then(|pod| {
        if index == 0 { pod.apply_after_first(&first) } else { pod.apply_after_owner(netns, &first, &owner) }
    });
    done.map_err(|e| CniError::new(code::ROUTE, format!("route step of both-mode: {e}")))
}

pub(super) fn append(open: &mut OpenRecord, events: &[Event]) -> Result<(), CniError> {
    let written = open.append(events);
    written.map_err(|error| {
        let intent = &open.attachment.intent;
        let attachment = format!("{} {}", intent.container_id, intent.ifname);
        CniError::new(code::IO, format!("write the record of attachment {attachment}: {error}"))
    })
}
