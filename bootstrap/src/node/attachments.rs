//! The attachments of a node, from records and inventory.

use convergence::node::attachments::{Attachments, DamagedRecord, Life, Line, Part};

pub(crate) mod attached;
pub(crate) mod hostroutes;
pub(crate) mod last_pass;
pub(crate) mod leaks;
pub(crate) mod sweep_candidates;

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde_json::value::RawValue;
use shim::attachment::conflist::Conflist;
use shim::attachment::local_cleanup;
use shim::attachment::owner::Sides;
use shim::attachment::plan::PodNetwork;
use shim::host::boot::{self, Age, Moment};
use shim::node::inventory::{self, Deleter, Entry};
use shim::node::layout::Layout;
use shim::node::store::{DamagedFile, Key, Store};
use types::attachment::{Attachment, Leg, Progress};
use types::pod::Pod;
use types::policy::{Policy, Side};

use convergence::failure::Failure;
use convergence::node::settings::directories::Directories;
use types::command::exit::Exit;

/// Lists records and inventory. Without a policy nothing is known of sides.
///
/// # Errors
/// When state cannot be read.
pub(crate) fn list(layout: &Layout, policy: Option<&Policy>) -> Result<Attachments, Failure> {
    let (records, damaged) = Store::new(layout).load_all().map_err(|e| Failure::new(Exit::Failed, e))?;
    from_records(layout, records, damaged, policy)
}

/// [`list`] of records that have been read already.
///
/// # Errors
/// When the inventory cannot be read.
pub(crate) fn from_records(
    layout: &Layout,
    mut records: Vec<Attachment>,
    damaged: Vec<DamagedFile>,
    policy: Option<&Policy>,
) -> Result<Attachments, Failure> {
    let failed = |e: std::io::Error| Failure::new(Exit::Failed, e);
    records.sort_by(|a, b| key(a).cmp(&key(b)));
    let inventory = inventory::load(layout).map_err(failed)?;
    let now = boot::now().map_err(failed)?;
    let sides = policy.map(Sides::read);
    let mut attachments: Vec<Line> =
        records.iter().map(|record| record_line(record, sides.as_ref(), &now)).collect();
    let recorded: BTreeSet<Key> =
        attachments.iter().map(|line| Key::new(&line.container_id, &line.ifname)).collect();
    let entries = inventory.attachments.iter().filter(|entry| !recorded.contains(&entry.key()));
    attachments.extend(entries.map(|entry| entry_line(entry, policy, &now)));
    let damaged = damaged.into_iter().map(|(path, reason)| DamagedRecord { path, reason }).collect();
    Ok(Attachments { attachments, damaged })
}

/// Sorts records from the oldest to the newest, and within one second by container id.
fn key(record: &Attachment) -> (u64, &str, &str) {
    (record.intent.began_at.wall_secs, &record.intent.container_id, &record.intent.ifname)
}

fn record_line(record: &Attachment, sides: Option<&Sides<'_>>, now: &Moment) -> Line {
    let intent = &record.intent;
    let parts = intent.legs.iter().zip(&record.progress).map(|(leg, progress)| Part {
        name: leg.network.clone(),
        side: sides.and_then(|sides| sides.side_of(leg)).map(Side::as_str),
        ifname: leg.ifname.clone(),
        primary: leg.primary,
        owed: progress.started && !progress.deleted,
        in_pod: is_in_pod(record, leg, progress),
    });
    let line = line(
        Key::new(&intent.container_id, &intent.ifname),
        Life::from_record(record),
        Some(intent.began_at.age(now)),
        intent.cni_args.as_deref(),
        parts.collect(),
    );
    let failing = record.del_failed.as_ref().map(|first| first.age(now));
    let pod_networks =
        sides.filter(|_| !record.torn).map(|sides| sides.pod_networks(record)).unwrap_or_default();
    let results = record.progress.iter().filter_map(|progress| progress.result.as_deref());
    Line {
        del_failing_secs: failing.and_then(secs_of),
        pod_networks,
        addresses: results.flat_map(addresses).collect(),
        ..line
    }
}

/// The addresses of the result of an ADD.
fn addresses(result: &RawValue) -> Vec<IpAddr> {
    local_cleanup::addresses(result.get().as_bytes()).iter().map(IpNetwork::ip).collect()
}

/// The seconds of an age of this boot.
fn secs_of(age: Age) -> Option<u64> {
    match age {
        Age::ThisBoot(age) => Some(age.as_secs()),
        Age::EarlierBoot => None,
    }
}

/// See [`Part::is_in_pod`].
fn is_in_pod(record: &Attachment, leg: &Leg, progress: &Progress) -> Option<bool> {
    if !leg.primary && record.is_on_primary_alone() {
        return Some(false);
    }
    let may_be_left_out = leg.tolerated && progress.result.is_none();
    match (may_be_left_out, record.torn) {
        (false, _) => Some(true),
        // The line that was torn may be the one with the result.
        (true, true) => None,
        (true, false) => Some(!record.attached),
    }
}

fn entry_line(entry: &Entry, policy: Option<&Policy>, now: &Moment) -> Line {
    let side = Side::parse(&entry.network);
    let network = policy.zip(side).and_then(|(policy, side)| policy.network(side));
    let conf = entry.conf.as_ref().and_then(|raw| Conflist::from_resolved(raw).ok());
    let conf = conf.or_else(|| Conflist::load(&network?.conf).ok().map(|(conf, _)| conf));
    let part = Part {
        name: conf.map_or_else(|| entry.network.clone(), |conf| conf.name),
        side: side.map(Side::as_str),
        ifname: entry.ifname.clone(),
        primary: true,
        owed: true,
        in_pod: Some(true),
    };
    let age = entry.listed_at.as_ref().map(|moment| moment.age(now));
    let line = line(entry.key(), Life::Inventory, age, entry.cni_args.as_deref(), vec![part]);
    let only = PodNetwork { side, primary: true, attached: true, default_route: true, host_route: false };
    let deleted_by = Some(entry.deleted_by).filter(|deleter| *deleter != Deleter::Crossfade);
    let addresses = entry.prev_result.as_deref().map(addresses).unwrap_or_default();
    Line { deleted_by, pod_networks: vec![only], addresses, ..line }
}

fn line(key: Key, life: Life, age: Option<Age>, args: Option<&str>, networks: Vec<Part>) -> Line {
    let pod = Pod::from_args(args.unwrap_or_default());
    Line {
        container_id: key.container_id,
        ifname: key.ifname,
        life,
        age_secs: age.and_then(secs_of),
        earlier_boot: age == Some(Age::EarlierBoot),
        namespace: pod.namespace,
        pod: pod.name,
        uid: Pod::uid(args.unwrap_or_default()),
        networks,
        del_failing_secs: None,
        pod_networks: Vec::new(),
        addresses: Vec::new(),
        deleted_by: None,
    }
}

/// Keys of everything that has a record.
///
/// # Errors
/// When the records cannot be listed.
pub(crate) fn recorded_keys(store: &Store) -> Result<BTreeSet<Key>, String> {
    let (sound, _) = store.load_all().map_err(|e| format!("list the records: {e}"))?;
    Ok(sound.into_iter().map(|record| Key::new(record.intent.container_id, record.intent.ifname)).collect())
}

/// Keys of everything that has an inventory entry.
///
/// # Errors
/// When the inventory cannot be read.
pub(crate) fn listed_keys(settings: &Directories) -> Result<BTreeSet<Key>, String> {
    let inventory = inventory::load(&settings.layout).map_err(|e| e.to_string())?;
    Ok(inventory.attachments.iter().map(shim::node::inventory::Entry::key).collect())
}
