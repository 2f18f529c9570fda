//! DEL: to whoever did ADD, whatever the policy says now.

use std::path::Path;

use serde_json::value::RawValue;

use crate::attachment::{Attachment, FORMAT, Intent, Leg};
use crate::boot::Moment;
use crate::conflist::Conflist;
use crate::file::read_bounded;
use crate::inventory::{Entry, Inventory};
use crate::layout::RUNTIME_CACHE;
use crate::lock::{Lock, NoLock, Patience};
use crate::policy::{Deadlines, Policy, Side};
use crate::raw::RawObject;
use crate::reply::{CniError, code};
use crate::store::{Found, Open};
use crate::trust;
use crate::version::AddResult;

use super::Request;
use super::close::Closing;
use super::networks::{self, Loaded};

/// Largest result of the runtime's cache that we read, in bytes.
const MAX_CACHED_BYTES: usize = 8 << 20;

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
    let Some(open) = find(request, &policy)? else {
        return Ok(());
    };
    let closing = Closing {
        layout: request.layout(),
        store: &request.store,
        policy: policy.as_ref().ok(),
        netns: &request.env.netns,
        search: request.env.path.as_deref(),
        deadline: until,
        signals: request.signals,
    };
    closing.close(open, lock.as_mut())
}

/// The attachment to close, if there is one.
fn find(request: &Request<'_>, policy: &Result<Policy, CniError>) -> Result<Option<Open>, CniError> {
    let key = request.key();
    let io = |e: std::io::Error| {
        CniError::new(
            code::IO,
            format!("read the record of attachment {} {}: {e}", key.container_id, key.ifname),
        )
    };
    match request.store.find(&key).map_err(io)? {
        Found::Record(record) => Ok(Some(request.store.open(*record))),
        Found::Damaged(why) => from_damaged(request, policy, &why).map(Some),
        Found::Nothing => {
            let inventory = Inventory::load(request.layout()).map_err(io)?;
            inventory.find(&key).map(|entry| from_inventory(request, policy, entry)).transpose()
        }
    }
}

/// A record that cannot be read: every network of the policy is asked. Its place is taken by a sound one first, so that
/// what fails is tried again.
fn from_damaged(
    request: &Request<'_>,
    policy: &Result<Policy, CniError>,
    why: &str,
) -> Result<Open, CniError> {
    let key = request.key();
    let name = format!("record of attachment {} {} is damaged ({why})", key.container_id, key.ifname);
    let policy = policy.as_ref().map_err(|error| {
        CniError::new(code::CONFIG, format!("{name}, and without a policy nobody can be asked"))
            .details(error.to_string())
    })?;
    let sides: Vec<Side> = policy.networks().map(|(side, _)| side).collect();
    let mut legs = Vec::new();
    for side in &sides {
        let loaded = match networks::load(request, policy, *side) {
            Ok(loaded) => loaded,
            // Gone for good, conf and all: there is nobody to ask, and it must not wedge the node.
            Err(error) if error.code == code::TRY_LATER && policy.retired(*side).is_some() => continue,
            Err(error) => return Err(error.details(format!("{name}; the file is kept"))),
        };
        let primary = sides.len() == 1 || *side == policy.both.primary;
        let both = policy.attach == crate::policy::Attach::Both;
        let ifname = if primary || !both { &request.env.ifname } else { &policy.both.secondary_ifname };
        legs.push(leg(&loaded, ifname, primary));
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
    let mut open = begin(request, legs)?;
    for progress in &mut open.attachment.progress {
        progress.started = true;
    }
    for leg in 1..open.attachment.progress.len() {
        // A failure leaves less to try again after a kill; the DELs run now in any case.
        let _ = open.append(&[crate::attachment::Event::Started { leg }]);
    }
    Ok(open)
}

/// A sandbox that was there before us: its entry becomes a record, so that retries and retirement work as for any other.
fn from_inventory(
    request: &Request<'_>,
    policy: &Result<Policy, CniError>,
    entry: &Entry,
) -> Result<Open, CniError> {
    let leg = inventory_leg(request, policy, entry)?;
    let leg_conf = networks::recorded_conf(&leg)?;
    let mut open = begin(request, vec![leg])?;
    if let Some(result) = prev_result(request, entry, &leg_conf) {
        open.attachment.progress[0].result = Some(result.clone());
        let _ = open.append(&[crate::attachment::Event::Added { leg: 0, result }]);
    }
    Ok(open)
}

/// The network of an inventory entry, from the conf it was attached with or else the one that is there now.
pub(super) fn inventory_leg(
    request: &Request<'_>,
    policy: &Result<Policy, CniError>,
    entry: &Entry,
) -> Result<Leg, CniError> {
    let name = format!("inventory entry of {} {}", entry.container_id, entry.ifname);
    let side = Side::BOTH.into_iter().find(|side| side.as_str() == entry.network);
    if let Some(raw) = &entry.conf {
        let conf = Conflist::from_resolved(raw)
            .map_err(|why| CniError::new(code::CONFIG, format!("{name}: its conf: {why}")))?;
        let network = policy.as_ref().ok().zip(side).and_then(|(policy, side)| policy.network(side));
        return Ok(Leg {
            network: conf.name.clone(),
            profile: network.map_or_else(|| "generic".into(), |network| network.profile.clone()),
            conf_path: network.and_then(|network| network.conf.first()?.to_str().map(str::to_owned)),
            ifname: entry.ifname.clone(),
            primary: true,
            tolerated: false,
            conf: conf.raw,
            runtime_config: None,
        });
    }
    let side = side.ok_or_else(|| {
        CniError::new(code::CONFIG, format!("{name} names network {:?}; expected old or new", entry.network))
    })?;
    let policy = policy.as_ref().map_err(|error| {
        CniError::new(code::CONFIG, format!("{name} has no conf, and there is no policy to find it by"))
            .details(error.to_string())
    })?;
    let loaded = networks::load(request, policy, side)?;
    Ok(leg(&loaded, &entry.ifname, true))
}

/// What the inventory's attachment was answered: the runtime's own word, else the entry's, else the runtime's cache; at the
/// version of the network's conf, whatever version the runtime speaks with us.
pub(super) fn prev_result(request: &Request<'_>, entry: &Entry, conf: &Conflist) -> Option<Box<RawValue>> {
    let stdin = request.conf.object.get("prevResult").filter(|raw| raw.get() != "null");
    stdin
        .map(ToOwned::to_owned)
        .or_else(|| entry.prev_result.clone())
        .or_else(|| cached_result(&request.conf.name, entry))
        .and_then(|raw| {
            AddResult::parse(raw.get().as_bytes(), request.conf.version).ok()?.at(conf.version).ok()
        })
}

/// *Source*: `libcni/api.go`, `getCacheFilePath`: NAME-ID-IFNAME, a JSON object with the result under `result`.
fn cached_result(name: &str, entry: &Entry) -> Option<Box<RawValue>> {
    let file = format!("{name}-{}-{}", entry.container_id, entry.ifname);
    let mut file = trust::open(&Path::new(RUNTIME_CACHE).join(file)).ok()?;
    let object = RawObject::parse(&read_bounded(&mut file, MAX_CACHED_BYTES).ok()?).ok()?;
    object.get("result").filter(|raw| raw.get() != "null").map(ToOwned::to_owned)
}

fn leg(loaded: &Loaded<'_>, ifname: &str, primary: bool) -> Leg {
    Leg {
        network: loaded.conf.name.clone(),
        profile: loaded.network.profile.clone(),
        conf_path: loaded.conf_path.to_str().map(str::to_owned),
        ifname: ifname.to_owned(),
        primary,
        tolerated: false,
        conf: loaded.conf.raw.clone(),
        runtime_config: None,
    }
}

/// A record for what has none; where it cannot be written the DEL goes on without.
fn begin(request: &Request<'_>, legs: Vec<Leg>) -> Result<Open, CniError> {
    let env = request.env;
    let intent = Intent {
        version: FORMAT,
        container_id: env.container_id.clone(),
        ifname: env.ifname.clone(),
        begun: Moment::now().map_err(|e| CniError::new(code::IO, format!("read the clock: {e}")))?,
        netns: env.netns.clone(),
        netns_id: None,
        cni_args: env.args.clone(),
        cni_path: env.path.clone(),
        route: None,
        legs,
    };
    Ok(request.store.begin(intent.clone()).unwrap_or_else(|error| {
        tracing::warn!(
            container_id = env.container_id,
            error = error.to_string(),
            "DEL goes on without a record"
        );
        Open::in_memory(Attachment::begin(intent))
    }))
}
