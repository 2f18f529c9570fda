//! JOIN: attaches a second network to a pod that runs.
//!
//! It is the second half of an ADD to both networks: the same checks, the same delegates, the same route step, and the record that such an ADD leaves. The
//! network's plugins find a pod without a default route, while the pod's own routes stay in force ([`route::pin`]). Whatever fails, this network alone is
//! undone, and the pod is what it was.

use std::time::Instant;

use types::attachment::{Event, Leg};
use types::policy::{Attach, Join, Secondary, Side};

use super::attach::{append, attach_leg};
use super::gather::{ReadyNetwork, ready_leg, taken_ifnames};
use super::inspect::unless_failed;
use super::{KEPT_FOR_UNDO, Times, lock_choice};
use crate::attachment::plan::{PodChange, decide_add};
use crate::attachment::pod_interfaces;
use crate::attachment::route::{self, Budget, RouteSide};
use crate::call::reply::{CniError, code};
use crate::call::serve::Session;
use crate::call::serve::live::{LivePod, name_pod, restart};
use crate::call::serve::networks::{self, LoadedNetwork};
use crate::host::lock::Patience;
use crate::node::store::OpenRecord;

pub(in crate::call::serve) fn join(session: &Session<'_>) -> Result<(), CniError> {
    let until = session.deadline(session.policy()?.deadlines.add_secs);
    let mut pod = LivePod::find(session, until)?;
    match pod.change()? {
        PodChange::Keep => Ok(()),
        PodChange::Join(side) => attach_second(&mut pod, side, until),
        change @ (PodChange::Leave | PodChange::Restart(_)) => Err(pod.refuse(change)),
    }
}

fn attach_second(pod: &mut LivePod<'_>, side: Side, until: Instant) -> Result<(), CniError> {
    let (session, policy) = (pod.session, pod.policy);
    let times = Times::new(session.began, until);
    let loaded = networks::load(session, policy, side)?;
    refuse_network(pod, &loaded)?;
    pod.settle(until)?;
    refuse_foreign(pod, until)?;
    let patience = Patience { until, ask_from: None };
    let choice = lock_choice(session, Attach::Both, patience).map_err(|why| session.lock_error(why))?;
    let used_names = taken_ifnames(session, Attach::Both, Ok(pod.netns), until)?;
    let plan = decide_add(Attach::Both, &policy.both, &session.env.ifname, &used_names);
    let Some(leg) = plan.legs.iter().find(|leg| leg.side == side) else {
        return Err(CniError::new(code::CONFIG, format!("the policy has no network {side}")));
    };
    let ready = ready_leg(session, leg, Ok(loaded), &session.conf.runtime_config()?)?;
    times.refuse_late(session)?;
    let leg = Leg {
        tolerated: leg.tolerated,
        runtime_config: ready.runtime_config.clone(),
        ..ready.loaded.leg(&leg.ifname, false)
    };
    let (intent, events) = pod.attachment.with_first(leg);
    let mut open = pod.write(intent, &events)?;
    // From here on, the record says which interface names are taken.
    drop(choice);
    match attach(pod, &ready, &mut open, &times) {
        Ok(()) => {
            networks::mark_ready(session, &ready.loaded.conf.name, ready.loaded.conf_path);
            Ok(())
        }
        Err(error) => {
            pod.attachment = open.attachment;
            Err(undo(pod, until, error))
        }
    }
}

/// Refuses a network that must not join a running pod.
fn refuse_network(pod: &LivePod<'_>, joins: &LoadedNetwork<'_>) -> Result<(), CniError> {
    let name = &joins.conf.name;
    if pod.attachment.intent.legs.iter().any(|leg| leg.primary && leg.network == *name) {
        return Err(networks::same_name(name));
    }
    let refused = joins.network.join == Some(Join::Refused);
    if refused || joins.network.secondary == Some(Secondary::HostRoute) {
        let why = format!("network {name:?} must not join a pod that runs");
        return Err(restart(pod.session, &why).details("by its keys join and secondary in the policy"));
    }
    Ok(())
}

/// Refuses a pod in which another program has interfaces, rules or a default route: the routes of both networks would not be as in a new pod.
fn refuse_foreign(pod: &LivePod<'_>, until: Instant) -> Result<(), CniError> {
    let session = pod.session;
    let unread = |e: std::io::Error| CniError::new(code::IO, format!("look at {}: {e}", name_pod(session)));
    let mut records = session.store.find_by_container(&session.env.container_id).map_err(unread)?;
    records.push(pod.attachment.clone());
    let own = records
        .iter()
        .flat_map(|record| &record.progress)
        .flat_map(|progress| progress.present.iter().flatten());
    let mut own_names: Vec<&str> = own.map(|interface| interface.name.as_str()).collect();
    own_names.extend(records.iter().flat_map(types::attachment::Attachment::ifnames));
    let budget = Budget::new(until, Some(session.signals));
    let foreign_names =
        route::foreign_names(pod.netns, &own_names, &session.env.ifname, budget).map_err(unread)?;
    if foreign_names.is_empty() {
        return Ok(());
    }
    Err(restart(session, &format!("another program has made {} in it", foreign_names.join(", "))))
}

/// Attaches the network, whose record is written.
fn attach(
    pod: &mut LivePod<'_>,
    ready: &ReadyNetwork<'_>,
    open: &mut OpenRecord,
    times: &Times,
) -> Result<(), CniError> {
    let session = pod.session;
    let failed = |e| CniError::new(code::ROUTE, format!("routes of {}: {e}", name_pod(session)));
    let budget = Budget::new(times.attached_by, Some(session.signals));
    let primary = &session.env.ifname;
    route::pin(pod.netns, primary, budget).map_err(failed)?;
    let limits = session.limits(times.attached_by);
    let result = attach_leg(session, ready, ready.prepare(session), &mut pod.lock, &limits)?;
    let present = unless_failed(ready, pod_interfaces::read(pod.netns, &ready.plan.ifname, &result, budget));
    append(open, &[Event::Added { leg: 0, result: result.to_version(ready.loaded.conf.version)?, present }])?;
    let primary_leg = pod.attachment.intent.legs.iter().find(|leg| leg.primary);
    let of_primary = primary_leg.and_then(|leg| pod.sides.side_of(leg));
    let cidrs =
        of_primary.and_then(|side| pod.policy.network(side)).map_or(&[][..], |network| &network.cidrs);
    let joins = RouteSide { ifname: &ready.plan.ifname, cidrs: &ready.loaded.network.cidrs };
    route::join(pod.netns, &joins, &RouteSide { ifname: primary, cidrs }, budget).map_err(failed)?;
    append(open, &[Event::Attached {}])
}

/// Undoes a JOIN that failed. Its error stays the error of the call; its details say what could not be undone.
fn undo(pod: &mut LivePod<'_>, until: Instant, error: CniError) -> CniError {
    // The signal that ended the JOIN must not end the undoing as well.
    pod.session.signals.clear_stop_request();
    match pod.detach_second(until.min(Instant::now() + KEPT_FOR_UNDO)) {
        Ok(()) => error,
        Err(why) => error.details(format!("undoing it failed, its DEL is owed: {why}")),
    }
}
