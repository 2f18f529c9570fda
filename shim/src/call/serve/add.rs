//! ADD: chooses the networks, checks them, writes the record, and attaches them.
//!
//! The checks come in a fixed order, the cheapest and most certain first, and all of them before the ADD begins anything: environment (4),
//! stdin (6, 7, 1), policy and confs (7), record exists (102), conf absent or probe red (11), binary missing (101), record store
//! (5). Once the record is written, every failure is undone in reverse before it is reported.

mod attach;
mod gather;
mod inspect;
mod join;

use std::io::Write;
use std::time::{Duration, Instant};

use types::attachment::{Intent, Leg, RouteStep};
use types::json::raw::RawObject;
use types::policy::{Attach, Secondary};

use self::attach::attach_all;
pub(super) use self::gather::choose;
use self::gather::{ReadyNetwork, load_all, make_ready, refuse_existing, taken_ifnames};
pub(super) use self::join::join;
use super::teardown::Teardown;
use super::{Session, networks, print};
use crate::attachment::plan::decide_add;
use crate::call::reply::{CniError, code};
use crate::host::lock::{Lock, LockError, Patience};
use crate::host::netns::Netns;
use crate::node::hostports;
use crate::node::store::OpenRecord;

/// The part of an ADD's deadline that is kept for undoing it, but never more than a third of the deadline.
const KEPT_FOR_UNDO: Duration = Duration::from_secs(30);
/// The least time with which a network's ADD begins; a tenth of the deadline if the deadline is short.
const LEAST: Duration = Duration::from_secs(1);

pub(super) fn add(session: &Session<'_>, out: &mut impl Write) -> Result<(), CniError> {
    refuse_prev_result(session)?;
    let policy = session.policy()?;
    let runtime_config = session.conf.runtime_config()?;
    let attach = choose(session, policy, &runtime_config);
    let mut loaded = load_all(session, policy, attach)?;
    let until = session.deadline(policy.deadlines.add_secs);
    let patience = Patience { until, ask_from: None };
    let key = session.key();
    let record_lock = Lock::take(session.layout(), &key, session.env.verb, patience, session.signals);
    let lock = defer_io_error(session, record_lock)?;
    refuse_existing(session)?;

    let netns = session.netns();
    let choice = defer_io_error(session, lock_choice(session, attach, patience))?;
    let used_names = taken_ifnames(session, attach, netns, until)?;
    let mut plan = decide_add(attach, &policy.both, &session.env.ifname, &used_names);
    let legs = make_ready(session, &mut plan, &mut loaded, &runtime_config)?;
    let mut lock = lock.map_err(|why| session.lock_error(why))?;
    let choice = choice.map_err(|why| session.lock_error(why))?;

    let times = Times::new(session.began, until);
    times.refuse_late(session)?;
    let intent = intent(session, &legs, netns.ok())?;
    let no_record = |e| {
        CniError::new(
            code::IO,
            format!("write the record of attachment {} {}: {e}", key.container_id, key.ifname),
        )
        .details("nothing was attached")
    };
    let written = session.store.write(intent, &[]).map_err(no_record)?;
    // The disk is busy with the record meanwhile.
    let ready = legs.iter().map(|leg| leg.prepare(session)).collect();
    let marked: Vec<bool> = legs.iter().map(|leg| leg.is_marked(session)).collect();
    let mut open = written.begin().map_err(no_record)?;
    // From here on, the record says which interface names are taken.
    drop(choice);
    let attached = attach_all(session, &legs, ready, &mut open, &mut lock, netns.ok(), &times);
    let outcome = attached.and_then(|result| {
        let raw = result.to_version(session.conf.version)?;
        print(out, raw.get())
    });
    match outcome {
        Ok(()) => {
            for ((leg, progress), marked) in legs.iter().zip(&open.attachment.progress).zip(marked) {
                if progress.result.is_some() && !marked {
                    networks::mark_ready(session, &leg.loaded.conf.name, leg.loaded.conf_path);
                }
            }
            warn_unmapped_host_ports(session, &runtime_config, &legs);
            Ok(())
        }
        Err(error) => Err(undo(session, open, &mut lock, until, error)),
    }
}

/// How an ADD divides its time.
struct Times {
    /// The delegates must have ended by then; the rest is kept for undoing.
    attached_by: Instant,
    /// The time that is kept for undoing.
    undo_reserve: Duration,
    /// The least time with which a network's ADD begins.
    least: Duration,
}

impl Times {
    fn new(began: Instant, until: Instant) -> Self {
        let whole = until.saturating_duration_since(began);
        let reserve = KEPT_FOR_UNDO.min(whole / 3);
        Self { attached_by: until - reserve, undo_reserve: reserve, least: LEAST.min(whole / 10) }
    }

    /// The deadline for undoing a tolerated network. A network that hangs in its ADD may hang in its DEL as well, and must leave half of the time to
    /// the primary. If half of the time is not enough for the primary, no pod starts anyway, and undoing gets the time that is kept for it.
    fn end_of_leaving_out(&self) -> Instant {
        let now = Instant::now();
        let half = self.attached_by.saturating_duration_since(now) / 2;
        now + if half < self.least { self.undo_reserve } else { half }
    }

    /// Refuses to begin an ADD that could not finish: a pod that waits is better off than a pod that is half attached.
    fn refuse_late(&self, session: &Session<'_>) -> Result<(), CniError> {
        let name = format!("attachment {} {}", session.env.container_id, session.env.ifname);
        if session.signals.stop_requested() {
            return Err(CniError::new(code::TRY_LATER, format!("asked to stop before {name} was attached")));
        }
        if Instant::now() + self.least > self.attached_by {
            return Err(CniError::new(code::TRY_LATER, format!("too little time is left to attach {name}"))
                .details("the deadline passed while the ADD waited; the next one begins afresh"));
        }
        Ok(())
    }
}

/// Ends the ADD at once if another call or a signal kept it from a lock. An I/O error of the run directory is reported after the checks that come before it
/// in the order of errors.
fn defer_io_error<T>(
    session: &Session<'_>,
    result: Result<T, LockError>,
) -> Result<Result<T, LockError>, CniError> {
    match result {
        Err(why @ (LockError::Held(_) | LockError::Late | LockError::Stopped)) => {
            Err(session.lock_error(why))
        }
        other => Ok(other),
    }
}

/// Takes the lock under which this ADD chooses an interface name. Without the lock, two ADDs of one container could choose the same name, because
/// neither has a record yet. Only both-mode chooses a name.
fn lock_choice(session: &Session<'_>, attach: Attach, patience: Patience) -> Result<Option<Lock>, LockError> {
    let env = session.env;
    match attach {
        Attach::One(_) => Ok(None),
        Attach::Both => {
            Lock::take_choice(session.layout(), &env.container_id, env.verb, patience, session.signals)
                .map(Some)
        }
    }
}

/// Warns if a pod asked for host ports and no network maps them: the ADD succeeds, and the ports are missing. Each network receives the part of
/// `runtimeConfig` that its plugins declare, so if no network received `portMappings`, no plugin maps them.
fn warn_unmapped_host_ports(session: &Session<'_>, runtime_config: &RawObject, legs: &[ReadyNetwork<'_>]) {
    let is_mapped = || legs.iter().any(|leg| leg.maps_host_ports);
    let primary = legs.iter().find(|leg| leg.plan.primary).map(|leg| leg.loaded.conf.name.as_str());
    let Some(primary) = primary.filter(|_| hostports::are_wanted(runtime_config) && !is_mapped()) else {
        return;
    };
    tracing::warn!(
        container_id = session.env.container_id,
        network = primary,
        "host ports not mapped: no plugin of the network declares the capability portMappings"
    );
    if let Err(error) = hostports::note(session.layout(), primary) {
        tracing::warn!(
            network = primary,
            error = error.to_string(),
            "unmapped host ports not noted for watch"
        );
    }
}

fn refuse_prev_result(session: &Session<'_>) -> Result<(), CniError> {
    match session.conf.object.get("prevResult") {
        Some(raw) if raw.get() != "null" => Err(CniError::new(code::CONFIG, "must be first in its conflist")
            .details("found a prevResult; move the plugins before this one into a delegate's conflist")),
        _ => Ok(()),
    }
}

/// Whether the pod's addresses need host routes: the second network's agent takes the primary's addresses for the pod's, so the node's own routes
/// cannot be used for either network.
fn need_host_routes(legs: &[ReadyNetwork<'_>]) -> bool {
    legs.iter().any(|leg| !leg.plan.primary && leg.loaded.network.secondary == Some(Secondary::HostRoute))
}

fn intent(
    session: &Session<'_>,
    legs: &[ReadyNetwork<'_>],
    netns: Option<&Netns>,
) -> Result<Intent, CniError> {
    let route = match legs {
        [first, owner] => {
            Some(RouteStep { first: first.plan.ifname.clone(), owner: owner.plan.ifname.clone() })
        }
        _ => None,
    };
    let host_route = need_host_routes(legs);
    let legs = legs.iter().map(|leg| Leg {
        tolerated: leg.plan.tolerated,
        host_route,
        runtime_config: leg.runtime_config.clone(),
        ..leg.loaded.leg(&leg.plan.ifname, leg.plan.primary)
    });
    Ok(Intent {
        netns_id: netns.map(Netns::id),
        netns_cookie: netns.and_then(Netns::cookie),
        route,
        ..session.intent(legs.collect())?
    })
}

/// Warns that a Pod may keep annotations of a network that was undone. An agent that follows the Pod's status keeps annotations there, and its DEL
/// for a second interface does not find them (measured with Calico 3.31; docs/policy.md says how to remove them).
fn warn_leftover_annotations(open: &OpenRecord) {
    let undone = open.attachment.intent.legs.iter().zip(&open.attachment.progress);
    for (leg, _) in undone.filter(|(leg, progress)| leg.host_route && !leg.primary && progress.started) {
        tracing::warn!(
            container_id = open.attachment.intent.container_id,
            network = leg.network,
            "the second network was undone; its annotations may stay on the Pod until the next ADD"
        );
    }
}

/// Undoes a failed ADD in reverse. The first error stays the error of the ADD; its details say what could not be undone.
fn undo(
    session: &Session<'_>,
    mut open: OpenRecord,
    lock: &mut Lock,
    until: Instant,
    error: CniError,
) -> CniError {
    // The signal that ended the ADD must not end the undoing as well.
    session.signals.clear_stop_request();
    let deadline = until.min(Instant::now() + KEPT_FOR_UNDO);
    let teardown = Teardown::new(session, &session.env.netns, deadline);
    teardown.undo_route(&open.attachment);
    teardown.undo_host_routes(&mut open);
    let pending = open.attachment.pending();
    let failures = teardown.detach(&mut open, &pending, Some(lock));
    warn_leftover_annotations(&open);
    let mut error = error;
    for failed in &failures {
        let network = &open.attachment.intent.legs[failed.leg].network;
        let why = &failed.error;
        error = error.details(format!("undoing network {network:?} failed, its DEL is owed: {why}"));
    }
    if failures.is_empty()
        && let Err(e) = session.store.remove(&session.key())
    {
        error = error.details(format!("remove the record: {e}"));
    }
    error
}
