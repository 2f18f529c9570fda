//! Which attachments are handed over to the new network: pure.

use shim::store::Key;
use types::attachment::Attachment;
use types::policy::Side;

use super::super::facts::GraduateFacts;
use crate::runtime::cache::handover::Handover;

/// The attachments whose DEL goes to the network `new` from now on, with what it needs.
pub(super) fn handovers<'a>(facts: &'a GraduateFacts, new: &'a str) -> impl Iterator<Item = Handover> + 'a {
    let records = facts.records.iter().filter_map(move |(record, _)| of_record(record, new));
    // What was there before Crossfade has its entry under its network's name, unless the runtime lost it.
    let lost = facts.entries.iter().filter(|(entry, _)| {
        entry.network == Side::New.as_str()
            && entry.prev_result.is_some()
            && !facts.cache.found.contains_key(&entry.key())
    });
    let entries = lost.map(move |(entry, _)| Handover {
        key: entry.key(),
        network: new.to_owned(),
        conf: entry.conf.clone(),
        result: entry.prev_result.clone(),
        args: entry.cni_args.clone(),
    });
    records.chain(entries)
}

fn of_record(record: &Attachment, new: &str) -> Option<Handover> {
    let (leg, progress) =
        record.intent.legs.iter().zip(&record.progress).find(|(leg, _)| leg.network == new)?;
    Some(Handover {
        key: key(record),
        network: new.to_owned(),
        conf: Some(leg.conf.clone()),
        result: progress.result.clone(),
        args: record.intent.cni_args.clone(),
    })
}

pub(super) fn key(record: &Attachment) -> Key {
    Key::new(&record.intent.container_id, &record.intent.ifname)
}

/// Entries under the new network's name whose pod ended through Crossfade before the switch, so that nobody removes them.
pub(super) fn stale(facts: &GraduateFacts) -> impl Iterator<Item = Key> + '_ {
    let known = |wanted: &Key| {
        facts.records.iter().any(|(record, _)| key(record) == *wanted)
            || facts.entries.iter().any(|(entry, _)| entry.key() == *wanted)
    };
    let handed = facts.progress.handed.iter();
    handed.filter(move |key| !known(key) && !facts.runtime.sandboxes.contains(&key.container_id)).cloned()
}
