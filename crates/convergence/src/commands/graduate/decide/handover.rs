//! The attachments that are handed over to the new network.

use shim::node::store::Key;
use shim::sweep::ListStatus;
use types::attachment::Attachment;
use types::policy::Side;

use crate::commands::graduate::decide::has_left;
use crate::commands::graduate::facts::GraduateFacts;
use crate::runtime::cache::handover::Handover;

/// The attachments whose DEL goes to the network `new` from now on, with what it needs.
pub fn handovers<'a>(facts: &'a GraduateFacts, new: &'a str) -> impl Iterator<Item = Handover> + 'a {
    // A sandbox that is gone since the switch had its DEL, so no later DEL removes its entry.
    let is_over = move |status: ListStatus| has_left(facts) && status == ListStatus::Missing;
    let living = facts.records.iter().filter(move |(_, status)| !is_over(*status));
    let records = living.filter_map(move |(record, _)| record_handover(record, new));
    // What was there before Crossfade has its entry under its network's name, unless the runtime lost it, or the conf was put back.
    let lost = facts.entries.iter().filter(move |(entry, status)| {
        entry.network == Side::New.as_str()
            && !is_over(*status)
            && entry.prev_result.is_some()
            && !facts.cache.under_new.contains(&entry.key())
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

fn record_handover(record: &Attachment, new: &str) -> Option<Handover> {
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

pub fn key(record: &Attachment) -> Key {
    Key::new(&record.intent.container_id, &record.intent.ifname)
}

/// Entries under the new network's name that were written for a pod which is gone: its DEL came through Crossfade before the switch, or before its
/// entry was written.
pub fn stale_keys(facts: &GraduateFacts) -> impl Iterator<Item = Key> + '_ {
    let is_gone = |key: &&Key| !facts.runtime.sandboxes.contains(&key.container_id);
    facts.progress.handed.iter().filter(is_gone).cloned()
}
