//! Retired networks: if the DEL of a retired network has failed for long enough, the shim cleans up on the node itself, by the record.

use std::path::Path;

use types::attachment::{Attachment, Event};

use super::account::leg_line;
use super::{FailedDel, Teardown, append};
use crate::attachment::conflist::Conflist;
use crate::attachment::local_cleanup::{self, DelReach, OtherClaims};
use crate::attachment::owner::Sides;
use crate::call::reply::CniError;
use crate::call::serve::adopt;
use crate::host::boot::{self, Moment};
use crate::host::netns::Netns;
use crate::node::first_failure;
use crate::node::inventory::{self, Entry};
use crate::node::ledger::{self, Line};
use crate::node::store::{Key, OpenRecord};

impl Teardown<'_> {
    /// Notes when the DELs first failed, and cleans the legs of retired networks whose DELs have failed for long enough.
    /// `before` is the record as it was before these DELs.
    pub(super) fn give_up_retired(
        &self,
        before: &Attachment,
        open: &mut OpenRecord,
        failures: &mut Vec<FailedDel>,
    ) {
        let Ok(now) = boot::now() else { return };
        let key = Key::new(&before.intent.container_id, &before.intent.ifname);
        let earlier =
            before.del_failed.clone().or_else(|| first_failure::recall(self.session.layout(), &key, &now));
        let since = earlier.clone().unwrap_or_else(|| now.clone());
        if before.del_failed.is_none() {
            self.note_first_failure(&key, open, &since);
        }
        let Ok(policy) = self.session.policy() else { return };
        let sides = Sides::read(policy);
        let is_due = |leg: usize| {
            sides
                .side_of(&before.intent.legs[leg])
                .and_then(|side| policy.retired_network(side))
                .is_some_and(|retired| since.age(&now).has_reached(retired.force_after_secs))
        };
        let mut leftovers = Vec::new();
        for failed in std::mem::take(failures) {
            if !is_due(failed.leg) {
                leftovers.push(failed);
                continue;
            }
            let reached = del_reach(before, &open.attachment, &failed, earlier.is_some());
            self.force(&open.attachment, failed.leg, &failed.error, reached);
            append(open, Event::Deleted { leg: failed.leg });
        }
        *failures = leftovers;
    }

    /// Writes the time into the record. If the record cannot be written, the time goes below the run directory, which needs no disk.
    fn note_first_failure(&self, key: &Key, open: &mut OpenRecord, failed_at: &Moment) {
        let event = Event::DelFailed { failed_at: failed_at.clone() };
        let is_on_record = open.append(&[event]).is_ok() && open.is_kept();
        if is_on_record {
            return first_failure::forget(self.session.layout(), key);
        }
        if let Err(error) = first_failure::remember(self.session.layout(), key, failed_at) {
            tracing::warn!(
                container_id = key.container_id,
                error = error.to_string(),
                "when this DEL first failed can be kept nowhere; the wait before a forced DEL begins anew with the next one"
            );
        }
    }

    fn force(&self, attachment: &Attachment, leg: usize, error: &CniError, reached: DelReach) {
        let intent = &attachment.intent;
        let (progress, index, leg) = (&attachment.progress[leg], leg, &intent.legs[leg]);
        let netns = Netns::open(Path::new(self.netns)).ok();
        let attached = local_cleanup::CleanupTarget {
            container_id: &intent.container_id,
            ifname: &leg.ifname,
            network: &leg.network,
            conf: leg.conf.get().as_bytes(),
            result: progress.result.as_deref().map(|raw| raw.get().as_bytes()),
            netns: netns.as_ref(),
            reached,
        };
        let cleaned = local_cleanup::clean(&attached, || self.other_claims(attachment, index));
        tracing::warn!(
            container_id = intent.container_id,
            network = leg.network,
            "forced DEL of a retired network"
        );
        let line = Line {
            addresses: cleaned.addresses,
            reason: format!("code {}: {}", error.code, error.log),
            removed: cleaned.removed,
            leftovers: cleaned.leftovers,
            unknown: cleaned.unknown,
            ..leg_line(attachment, index)
        };
        ledger::enter(self.session.layout(), &line);
    }

    /// What other attachments have: the other networks of this record, the other records, the inventory.
    fn other_claims(&self, attachment: &Attachment, leg: usize) -> OtherClaims {
        let mut others = OtherClaims::default();
        let own = Key::new(&attachment.intent.container_id, &attachment.intent.ifname);
        let is_own =
            |record: &Attachment| Key::new(&record.intent.container_id, &record.intent.ifname) == own;
        match self.session.store.load_all() {
            Ok((mut records, damaged)) => {
                // The record in memory counts. The file may lack events that could not be written.
                records.retain(|record| !is_own(record));
                records.push(attachment.clone());
                others.take_records(&own, leg, &records);
                let damaged = damaged.first().map(|(path, _)| path.display().to_string());
                others.extend_unknown(damaged.map(|path| format!("record {path} is damaged")));
            }
            Err(error) => others.extend_unknown([format!("the records cannot be read: {error}")]),
        }
        match inventory::load(self.session.layout()) {
            Ok(inventory) => {
                let entries = inventory.attachments.iter().filter(|entry| entry.key() != own);
                entries.for_each(|entry| self.take_entry(&mut others, entry));
            }
            Err(error) => others.extend_unknown([error.to_string()]),
        }
        others
    }

    fn take_entry(&self, others: &mut OtherClaims, entry: &Entry) {
        let who = format!("inventory entry {} {}", entry.container_id, entry.ifname);
        let named = entry.conf.as_ref().and_then(|raw| Conflist::from_resolved(raw).ok());
        let network = named.map_or_else(|| entry.network.clone(), |conf| conf.name);
        let cached = || {
            let name = std::fs::read_to_string(self.session.layout().name()).ok()?;
            adopt::cached_result(name.trim(), entry)
        };
        match entry.prev_result.clone().or_else(cached) {
            Some(result) => others.take_result(&who, &network, result.get()),
            None => others.extend_unknown([format!("{who} has no result")]),
        }
    }
}

/// How far the DEL of a failed network certainly came in its chain.
fn del_reach(before: &Attachment, after: &Attachment, failed: &FailedDel, failed_earlier: bool) -> DelReach {
    let Some(plugin) = after.progress[failed.leg].resume_at else {
        return DelReach::NoPlugin;
    };
    let resumed_at = before.progress[failed.leg].resume_at;
    // An earlier DEL that reached this plugin may have called it. An earlier DEL that failed without a record of it may have called any plugin.
    let was_called = resumed_at.map_or(failed_earlier, |earlier| earlier <= plugin);
    if failed.was_started || was_called { DelReach::Failed(plugin) } else { DelReach::Before(plugin) }
}
