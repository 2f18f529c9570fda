//! DEL: calls the networks that did the ADD, whatever the policy says now.

use std::time::Instant;

use types::attachment::{Event, Intent, Leg};
use types::policy::{Deadlines, Side};

use crate::attachment::hostroute;
use crate::attachment::route::Budget;
use crate::call::reply::{CniError, code};
use crate::host::lock::{Lock, LockError, Patience};
use crate::node::inventory;
use crate::node::store::{OpenRecord, StoredRecord};

use super::teardown::Teardown;
use super::{Session, adopt, networks};

pub(super) fn del(session: &Session<'_>) -> Result<(), CniError> {
    let deadlines = session.policy().map_or_else(|_| Deadlines::default(), |policy| policy.deadlines);
    let until = session.deadline(deadlines.del_secs);
    let half = session.began + until.saturating_duration_since(session.began) / 2;
    let patience = Patience { until, ask_from: Some(half) };
    let mut lock =
        match Lock::take(session.layout(), &session.key(), session.env.verb, patience, session.signals) {
            Ok(lock) => Some(lock),
            // Releasing the pod's resources matters more than the order of two calls, which a runtime does not make at the same time.
            Err(LockError::Io(error)) => {
                tracing::warn!(error = error.to_string(), "DEL goes on without a lock");
                None
            }
            Err(why) => return Err(session.lock_error(why)),
        };
    let Some(open) = find(session, until)? else {
        return Ok(());
    };
    let netns = netns(session, &open.attachment.intent);
    Teardown::new(session, netns, until).close(open, lock.as_mut())
}

/// The netns that delegates receive: the caller's path, even if nothing is there. If another pod's netns is at that path by now, the delegates
/// receive none, because a delegate goes by the path and would remove that pod's interface.
fn netns<'a>(session: &'a Session<'_>, intent: &Intent) -> &'a str {
    let netns_path = session.env.netns.as_str();
    if session.netns().ok().and_then(|pod_netns| networks::is_its(intent, pod_netns)) != Some(false) {
        return netns_path;
    }
    tracing::warn!(
        container_id = intent.container_id,
        netns = netns_path,
        "another netns is at this path by now; the DEL runs without one"
    );
    ""
}

/// The attachment to close, if there is one.
fn find(session: &Session<'_>, until: Instant) -> Result<Option<OpenRecord>, CniError> {
    let key = session.key();
    let io = |e: std::io::Error| {
        CniError::new(
            code::IO,
            format!("read the record of attachment {} {}: {e}", key.container_id, key.ifname),
        )
    };
    match session.store.find(&key).map_err(io)? {
        StoredRecord::Sound(record) => Ok(Some(session.store.open(*record))),
        StoredRecord::Damaged(why) => from_damaged(session, &why, until).map(Some),
        StoredRecord::Absent => {
            let inventory = inventory::load(session.layout()).map_err(io)?;
            let Some(entry) = inventory.find(&key) else {
                return Ok(None);
            };
            session.adopt(entry).map(Some)
        }
    }
}

/// For a record that cannot be read: every network of the policy gets a DEL. A sound record replaces the damaged one first, so the next DEL repeats
/// what fails.
fn from_damaged(session: &Session<'_>, why: &str, until: Instant) -> Result<OpenRecord, CniError> {
    let key = session.key();
    let name = format!("record of attachment {} {} is damaged ({why})", key.container_id, key.ifname);
    let policy = session.policy().map_err(|error| {
        CniError::new(code::CONFIG, format!("{name}, and without a policy no network can be asked"))
            .details(error.to_string())
    })?;
    let sides: Vec<Side> = policy.networks().map(|(side, _)| side).collect();
    // It is not known which network was the primary. Undoing too much is harmless, so every network gets the whole runtimeConfig.
    let runtime_config = session.runtime_config()?;
    let mut legs = Vec::new();
    for side in &sides {
        let loaded = match networks::load(session, policy, *side) {
            Ok(loaded) => loaded,
            // The network is retired and its conf is gone: there is no plugin to call, and the pod must still be deletable.
            Err(error) if error.code == code::TRY_LATER && policy.retired_network(*side).is_some() => {
                continue;
            }
            Err(error) => return Err(error.details(format!("{name}; the file is kept"))),
        };
        let primary = sides.len() == 1 || *side == policy.both.primary();
        let both = policy.attach == types::policy::Attach::Both;
        let ifname = if primary || !both { &session.env.ifname } else { &policy.both.secondary_ifname };
        let declared =
            runtime_config.clone().map(|runtime_config| loaded.conf.retain_declared(runtime_config));
        let runtime_config = declared.filter(|config| !config.is_empty()).map(|config| config.to_raw());
        legs.push(Leg { runtime_config, ..loaded.leg(ifname, primary) });
    }
    let aside = session.store.set_aside(&key);
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
    // All in one write: a kill must not leave a sound record that owes less.
    let started: Vec<Event> = (0..legs.len()).map(|leg| Event::Started { leg }).collect();
    let open = adopt::begin(&session.store, session.intent(legs)?, &started);
    // The damaged record's host routes belong to no record any more. They must go before the DELs: afterwards an address may be another pod's.
    let budget = Budget::share(until, session.signals);
    if let Err(error) = hostroute::converge(session.layout(), budget) {
        tracing::warn!(
            container_id = key.container_id,
            error = error.to_string(),
            "host routes of a damaged record were not taken back; the sweep takes them"
        );
    }
    Ok(open)
}
