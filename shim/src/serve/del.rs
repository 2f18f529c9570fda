//! DEL: to whoever did ADD, whatever the policy says now.

use std::time::Instant;

use types::policy::{Deadlines, Policy, Side};

use crate::attachment::{Event, Intent, Leg};
use crate::hostroute;
use crate::inventory;
use crate::lock::{Lock, NoLock, Patience};
use crate::reply::{CniError, code};
use crate::route::Budget;
use crate::store::{Found, Open};

use super::close::Closing;
use super::{Request, adopt, networks};

pub(super) fn del(request: &Request<'_>) -> Result<(), CniError> {
    let policy = request.policy();
    let deadlines = policy.as_ref().map_or_else(|_| Deadlines::default(), |policy| policy.deadlines);
    let until = request.until(deadlines.del_secs);
    let half = request.began + until.saturating_duration_since(request.began) / 2;
    let patience = Patience { until, ask_from: Some(half) };
    let mut lock =
        match Lock::take(request.layout(), &request.key(), request.env.verb, patience, request.signals) {
            Ok(lock) => Some(lock),
            // Releasing what a pod had is worth more than the order of two calls that a runtime does not make at once.
            Err(NoLock::Io(error)) => {
                tracing::warn!(error = error.to_string(), "DEL goes on without a lock");
                None
            }
            Err(why) => return Err(request.no_lock(why)),
        };
    let Some(open) = find(request, &policy, until)? else {
        return Ok(());
    };
    let closing = Closing {
        layout: request.layout(),
        store: &request.store,
        policy: policy.as_ref().ok(),
        netns: netns(request, &open.attachment.intent),
        search: request.env.path.as_deref(),
        deadline: until,
        signals: request.signals,
    };
    closing.close(open, lock.as_mut())
}

/// The netns that delegates are told: the caller's, gone or not; none if another pod's is at that path by now. A delegate
/// goes by the path, and would take that pod's interface.
fn netns<'a>(request: &'a Request<'_>, intent: &Intent) -> &'a str {
    let told = request.env.netns.as_str();
    if networks::is_its_netns(intent, told) != Some(false) {
        return told;
    }
    tracing::warn!(
        container_id = intent.container_id,
        netns = told,
        "another netns is at this path by now; the DEL runs without one"
    );
    ""
}

/// The attachment to close, if there is one.
fn find(
    request: &Request<'_>,
    policy: &Result<Policy, CniError>,
    until: Instant,
) -> Result<Option<Open>, CniError> {
    let key = request.key();
    let io = |e: std::io::Error| {
        CniError::new(
            code::IO,
            format!("read the record of attachment {} {}: {e}", key.container_id, key.ifname),
        )
    };
    match request.store.find(&key).map_err(io)? {
        Found::Record(record) => Ok(Some(request.store.open(*record))),
        Found::Damaged(why) => from_damaged(request, policy, &why, until).map(Some),
        Found::Nothing => {
            let inventory = inventory::load(request.layout()).map_err(io)?;
            let Some(entry) = inventory.find(&key) else {
                return Ok(None);
            };
            request.adopt(policy)?.record(entry).map(Some)
        }
    }
}

/// A record that cannot be read: every network of the policy is asked. Its place is taken by a sound one first, so that
/// what fails is tried again.
fn from_damaged(
    request: &Request<'_>,
    policy: &Result<Policy, CniError>,
    why: &str,
    until: Instant,
) -> Result<Open, CniError> {
    let key = request.key();
    let name = format!("record of attachment {} {} is damaged ({why})", key.container_id, key.ifname);
    let policy = policy.as_ref().map_err(|error| {
        CniError::new(code::CONFIG, format!("{name}, and without a policy nobody can be asked"))
            .details(error.to_string())
    })?;
    let sides: Vec<Side> = policy.networks().map(|(side, _)| side).collect();
    // Which of them was the primary is not known any more, and to undo too much is harmless: everybody gets all of it.
    let told = Some(request.conf.runtime_config()?).filter(|config| !config.is_empty());
    let mut legs = Vec::new();
    for side in &sides {
        let loaded = match networks::load(request, policy, *side) {
            Ok(loaded) => loaded,
            // Gone for good, conf and all: there is nobody to ask, and it must not wedge the node.
            Err(error) if error.code == code::TRY_LATER && policy.retired(*side).is_some() => continue,
            Err(error) => return Err(error.details(format!("{name}; the file is kept"))),
        };
        let primary = sides.len() == 1 || *side == policy.both.primary();
        let both = policy.attach == types::policy::Attach::Both;
        let ifname = if primary || !both { &request.env.ifname } else { &policy.both.secondary_ifname };
        let declared = told.clone().map(|told| loaded.conf.declared(told));
        let runtime_config = declared.filter(|config| !config.is_empty()).map(|config| config.to_raw());
        legs.push(Leg { runtime_config, ..loaded.leg(ifname, primary) });
    }
    let aside = request.store.set_aside(&key);
    match &aside {
        Ok(path) => tracing::warn!(
            container_id = key.container_id,
            path = path.display().to_string(),
            "damaged record set aside; every network of the policy gets the DEL"
        ),
        Err(error) => tracing::warn!(
            container_id = key.container_id,
            error = error.to_string(),
            "damaged record not set aside; every network of the policy gets the DEL"
        ),
    }
    // In one write: a kill in between must not leave a sound record that owes less.
    let started: Vec<Event> = (0..legs.len()).map(|leg| Event::Started { leg }).collect();
    let open = adopt::begin(&request.store, request.intent(legs)?, &started);
    // What it had is nobody's from here on, and has to be gone before the DELs: afterwards the address may be another pod's.
    let budget = Budget::share(until, request.signals);
    if let Err(error) = hostroute::converge(request.layout(), budget) {
        tracing::warn!(
            container_id = key.container_id,
            error = error.to_string(),
            "host routes of a damaged record were not taken back; the sweep takes them"
        );
    }
    Ok(open)
}
