//! GC: closes what the runtime no longer lists, and passes each delegate its own list.
//!
//! A delegate gets the union of the attachments that the runtime lists and those that Crossfade still holds, under its own interface names. So an
//! incomplete list of the runtime cannot release a running pod's network, and a network never gets the entries of the other one. While a record is
//! damaged, no delegate gets a list: the interface names of that pod are unknown, and a delegate releases what a list lacks.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde::Deserialize;
use types::attachment::Attachment;
use types::policy::{Policy, Side};

use crate::attachment::delegate::{Network, ValidAttachment};
use crate::attachment::owner::Owner;
use crate::call::reply::{CniError, code};
use crate::host::boot::{self};
use crate::node::inventory::{self, Inventory};
use crate::node::store::Key;
use crate::sweep::{self, ListStatus};

use super::pass::Pass;

use super::{Session, networks};

/// The key of the specification, and the historic misspelling that the reference library sends beside it.
const LIST_KEYS: [&str; 2] = ["cni.dev/valid-attachments", "cni.dev/attachments"];

#[derive(Debug, Deserialize)]
struct ListedAttachment {
    #[serde(rename = "containerID")]
    container_id: String,
    ifname: String,
}

pub(super) fn gc(session: &Session<'_>) -> Result<(), CniError> {
    let policy = session.policy()?;
    let Some(valid) = valid_list(session)? else {
        tracing::warn!("GC without a list of valid attachments; nothing is done");
        return Ok(());
    };
    let deadline = session.deadline(policy.deadlines.gc_secs);
    let mut errors = Vec::new();
    // Forwarding always gets its part of the time, even if a close before it hangs.
    let retention = if policy.gc.forward { kept_for_forwarding(policy) } else { Duration::ZERO };
    let pass = Pass { session, deadline: deadline - retention };
    let io = |e: std::io::Error| CniError::new(code::IO, format!("list the records: {e}"));
    let now = boot::now().map_err(io)?;
    let report = pass
        .run(&now, |record, age| {
            let key = Key::new(&record.intent.container_id, &record.intent.ifname);
            let status = if valid.contains(&key) { ListStatus::Listed } else { ListStatus::Missing };
            // The runtime will not call GC again soon, so the DELs run even if an owner is not ready. A failed one stays on record.
            sweep::decide(status, age, policy.gc.grace_secs, Owner::Ready)
        })
        .map_err(io)?;
    errors.extend(report.failed.into_iter().map(|(_, error)| error));
    if !report.damaged.is_empty() && policy.gc.forward {
        tracing::warn!(
            damaged = report.damaged.len(),
            "GC not passed on: the delegates would release what pods with a damaged record have; only a DEL can resolve these"
        );
    } else if policy.gc.forward {
        errors.extend(forward(session, policy, &valid, deadline)?);
    }
    let mut errors = errors.into_iter();
    match errors.next() {
        None => Ok(()),
        Some(first) => Err(errors.fold(first, |first, other| first.details(other.to_string()))),
    }
}

/// The part of a GC's deadline that is reserved for the delegates' own GC.
fn kept_for_forwarding(policy: &Policy) -> Duration {
    Duration::from_secs(policy.deadlines.gc_secs) / 3
}

/// The runtime's list; none if the runtime passed none, which differs from an empty list.
fn valid_list(session: &Session<'_>) -> Result<Option<BTreeSet<Key>>, CniError> {
    for key in LIST_KEYS {
        let listed: Option<Vec<ListedAttachment>> = session
            .conf
            .object
            .decode(key)
            .map_err(|e| CniError::new(code::DECODE, format!("decode {key}: {e}")))?;
        if let Some(listed) = listed {
            let mut keys = BTreeSet::new();
            for entry in listed {
                keys.insert(Key::new(entry.container_id, entry.ifname));
            }
            return Ok(Some(keys));
        }
    }
    Ok(None)
}

fn forward(
    session: &Session<'_>,
    policy: &Policy,
    valid: &BTreeSet<Key>,
    deadline: Instant,
) -> Result<Vec<CniError>, CniError> {
    let io = |e: std::io::Error| CniError::new(code::IO, format!("list what is attached: {e}"));
    let (records, _) = session.store.load_all().map_err(io)?;
    let inventory = inventory::load(session.layout()).map_err(io)?;
    let mut errors = Vec::new();
    let sides: Vec<Side> = policy.networks().map(|(side, _)| side).collect();
    let limits = session.limits(deadline);
    for (index, side) in sides.iter().copied().enumerate() {
        let loaded = match networks::load(session, policy, side) {
            Ok(loaded) => loaded,
            // Without a conf, the network has no delegate to call.
            Err(error) if error.code == code::TRY_LATER => continue,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        let list = list_for(&loaded.conf.name, side, valid, &records, &inventory);
        let network =
            Network { conf: &loaded.conf, ifname: "", runtime_config: None, scope: session.scope() };
        errors.extend(network.gc(&list, &limits.share(sides.len() - index)).err());
    }
    Ok(errors)
}

/// The list for one network: its part of every record and inventory entry, and the runtime's entries of which Crossfade knows nothing.
fn list_for(
    name: &str,
    side: Side,
    valid: &BTreeSet<Key>,
    records: &[Attachment],
    inventory: &Inventory,
) -> Vec<ValidAttachment> {
    let mut keys: BTreeSet<Key> = BTreeSet::new();
    let mut list: BTreeSet<ValidAttachment> = BTreeSet::new();
    for record in records {
        let intent = &record.intent;
        keys.insert(Key::new(&intent.container_id, &intent.ifname));
        for (leg, progress) in intent.legs.iter().zip(&record.progress) {
            if leg.network == name && progress.started && !progress.deleted {
                list.insert(Key::new(&intent.container_id, &leg.ifname).into());
            }
        }
    }
    for entry in &inventory.attachments {
        let own = entry
            .conf
            .as_ref()
            .and_then(|raw| crate::attachment::conflist::Conflist::from_resolved(raw).ok());
        let ours = own.map_or(entry.network == side.as_str(), |conf| conf.name == name);
        if !keys.contains(&entry.key()) && ours {
            list.insert(entry.key().into());
        }
    }
    keys.extend(inventory.attachments.iter().map(crate::node::inventory::Entry::key));
    list.extend(valid.difference(&keys).cloned().map(ValidAttachment::from));
    list.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::inventory::Entry;

    #[test]
    fn an_unknown_entry_is_in_every_list_and_a_known_one_in_its_own() {
        let inventory =
            Inventory { version: 1, attachments: vec![Entry::new(Key::new("c1", "eth0"), "old")] };
        let valid: BTreeSet<Key> = [Key::new("c1", "eth0"), Key::new("c9", "eth0")].into();
        let names = |side| -> Vec<String> {
            list_for("n", side, &valid, &[], &inventory).into_iter().map(|entry| entry.container_id).collect()
        };
        assert_eq!(names(Side::Old), ["c1", "c9"]);
        assert_eq!(names(Side::New), ["c9"]);
    }
}
