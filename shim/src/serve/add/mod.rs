//! ADD.
//!
//! Checks come in a fixed order, cheapest and most certain first, and all of them before anything is begun: environment (4),
//! stdin (6, 7, 1), policy and confs (7), record exists (102), conf absent or probe red (11), binary missing (101), record store
//! (5). From the record on, every failure is undone in reverse before it is reported.

mod attach;
mod gather;

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use types::policy::{Attach, Secondary};
use types::raw::RawObject;

use self::attach::attach_all;
use self::gather::{ReadyNetwork, choose, load_all, make_ready, refuse_existing, taken_ifnames};
use super::teardown::Teardown;
use super::{Session, networks, print};
use crate::attachment::{Intent, Leg, RouteStep};
use crate::hostports;
use crate::lock::{Lock, NoLock, Patience};
use crate::netns::Netns;
use crate::plan::decide_add;
use crate::reply::{CniError, code};
use crate::store::OpenRecord;

/// Of an ADD's deadline, so much is kept for undoing it, but never more than a third.
const KEPT_FOR_UNDO: Duration = Duration::from_secs(30);
/// With less time than this a network's ADD is not begun; of a short deadline it is a tenth.
const LEAST: Duration = Duration::from_secs(1);

pub(super) fn add(session: &Session<'_>, out: &mut impl Write) -> Result<(), CniError> {
    refuse_prev_result(session)?;
    let policy = session.policy()?;
    let runtime_config = session.conf.runtime_config()?;
    let attach = choose(session, policy, &runtime_config);
    let mut loaded = load_all(session, policy, attach)?;
    let until = session.until(policy.deadlines.add_secs);
    let patience = Patience { until, ask_from: None };
    let key = session.key();
    let lock = match Lock::take(session.layout(), &key, session.env.verb, patience, session.signals) {
        Err(why @ (NoLock::Held(_) | NoLock::Late | NoLock::Stopped)) => return Err(session.lock_error(why)),
        // A run directory that cannot be written is told in its turn.
        other => other,
    };
    refuse_existing(session)?;

    let netns = Netns::open(Path::new(&session.env.netns));
    let choice = lock_choice(session, attach, patience)?;
    let taken = taken_ifnames(session, attach, netns.as_ref(), until)?;
    let mut plan = decide_add(attach, &policy.both, &session.env.ifname, &taken);
    let legs = make_ready(session, &mut plan, &mut loaded, &runtime_config)?;
    let mut lock = lock.map_err(|why| session.lock_error(why))?;

    let times = Times::new(session.began, until);
    times.refuse_late(session)?;
    let intent = intent(session, &legs, netns.as_ref().ok())?;
    let mut open = session.store.begin(intent).map_err(|e| {
        CniError::new(
            code::IO,
            format!("write the record of attachment {} {}: {e}", key.container_id, key.ifname),
        )
        .details("nothing was attached")
    })?;
    // The record says by now which interface names are taken.
    drop(choice);
    let attached = attach_all(session, &legs, &mut open, &mut lock, netns.as_ref().ok(), &times);
    let outcome = attached.and_then(|result| {
        let raw = result.at(session.conf.version)?;
        print(out, raw.get())
    });
    match outcome {
        Ok(()) => {
            for leg in
                legs.iter().zip(&open.attachment.progress).filter(|(_, progress)| progress.result.is_some())
            {
                networks::mark_ready(session, &leg.0.loaded.conf.name, leg.0.loaded.conf_path);
            }
            warn_unmapped_host_ports(session, &runtime_config, &legs);
            Ok(())
        }
        Err(error) => Err(undo(session, open, &mut lock, until, error)),
    }
}

/// How an ADD's time is shared out.
struct Times {
    /// What its delegates do must be done by then; the rest is kept for undoing it.
    attached_by: Instant,
    /// Kept for undoing.
    kept: Duration,
    /// What a network needs at least.
    least: Duration,
}

impl Times {
    fn new(began: Instant, until: Instant) -> Self {
        let whole = until.saturating_duration_since(began);
        let kept = KEPT_FOR_UNDO.min(whole / 3);
        Self { attached_by: until - kept, kept, least: LEAST.min(whole / 10) }
    }

    /// When undoing a tolerated network has to end. One that hangs in its ADD may hang in its DEL as well, and must leave the primary its
    /// half of the time; where that would not be enough, no pod starts anyway, and undoing gets what is kept for it.
    fn end_of_leaving_out(&self) -> Instant {
        let now = Instant::now();
        let half = self.attached_by.saturating_duration_since(now) / 2;
        now + if half < self.least { self.kept } else { half }
    }

    /// Refuses to begin what could not be finished: a pod that waits is better off than one that is half attached.
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

/// The lock under which this ADD chooses an interface name: two ADDs of one container would both choose the same, for
/// neither is on record yet. Only both-mode chooses.
fn lock_choice(session: &Session<'_>, attach: Attach, patience: Patience) -> Result<Option<Lock>, CniError> {
    let env = session.env;
    match attach {
        Attach::One(_) => Ok(None),
        Attach::Both => {
            match Lock::take_choice(session.layout(), &env.container_id, env.verb, patience, session.signals)
            {
                // A run directory that cannot be written is told in its turn.
                Err(NoLock::Io(_)) => Ok(None),
                other => other.map(Some).map_err(|why| session.lock_error(why)),
            }
        }
    }
}

/// Says where a pod asked for host ports and no network maps any: the ADD succeeds, and the ports are missing. A leg has
/// been given those of the pod's wishes that its plugins declare, so what no leg has is mapped by nobody.
fn warn_unmapped_host_ports(session: &Session<'_>, wanted: &RawObject, legs: &[ReadyNetwork<'_>]) {
    let is_mapped = || legs.iter().any(|leg| hostports::are_wanted(&leg.runtime_config));
    let primary = legs.iter().find(|leg| leg.plan.primary).map(|leg| leg.loaded.conf.name.as_str());
    let Some(primary) = primary.filter(|_| hostports::are_wanted(wanted) && !is_mapped()) else { return };
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

/// Whether the second network's agent takes the primary's addresses for the pod's: then neither network's are left to the node's own
/// routes.
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
        runtime_config: (!leg.runtime_config.is_empty()).then(|| leg.runtime_config.to_raw()),
        ..leg.loaded.leg(&leg.plan.ifname, leg.plan.primary)
    });
    Ok(Intent {
        netns_id: netns.map(Netns::id),
        netns_cookie: netns.and_then(Netns::cookie),
        route,
        ..session.intent(legs.collect())?
    })
}

/// Says that a Pod which stays may keep annotations: an agent that follows the Pod's status keeps its own there, and its DEL for a second
/// interface does not find them (measured with Calico 3.31; docs/policy.md has the way to remove them).
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

/// Undoes a failed ADD in reverse; the first error stays the error, what could not be undone is added to its details.
fn undo(
    session: &Session<'_>,
    mut open: OpenRecord,
    lock: &mut Lock,
    until: Instant,
    error: CniError,
) -> CniError {
    // Being asked to stop ended the ADD; it must not end the undoing as well.
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
