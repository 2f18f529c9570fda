//! The candidates of a sweep: each attachment with the evidence of the runtime's list, its networks and its netns. The verdict itself is the shim's
//! ([`shim::sweep::decide`]).

use convergence::node::attachments::sweep_candidates::{RecordLocation, SweepCandidate};

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use shim::attachment::owner::{Owner, Owners};
use shim::call::serve::pass::netns_of;
use shim::host::boot::{self, Age, Moment};
use shim::host::netns::Netns;
use shim::node::inventory::{Deleter, Entry, Inventory};
use shim::node::store::Key;
use types::attachment::Attachment;
use types::json::raw::RawObject;
use types::policy::Policy;

use convergence::runtime::cache::made_by_cri;
use convergence::runtime::{SandboxList, State};

/// How long all probes of the networks that owe DELs may take together, where nothing is closed.
const PROBES_WITHIN: Duration = Duration::from_secs(5);

/// Gathers the facts about every attachment with a record, and about every inventory entry without one.
#[must_use]
pub(crate) fn judge(
    records: &[Attachment],
    inventory: &Inventory,
    listing: &SandboxList,
    owners: &Owners<'_>,
    now: &Moment,
) -> Vec<SweepCandidate> {
    let mut judged: Vec<SweepCandidate> = Vec::new();
    for record in records {
        let intent = &record.intent;
        let key = Key::new(&intent.container_id, &intent.ifname);
        let networks: Vec<_> = intent.legs.iter().map(|leg| leg.network.as_str()).collect();
        judged.push(SweepCandidate {
            listed: listing.sees(&key, made_by_cri(intent.cni_args.as_deref(), &key.container_id)),
            networks: networks.join(", "),
            location: RecordLocation::Record(intent.began_at.clone()),
            age: intent.began_at.age(now),
            owner: owners.side_of(record),
            netns_lives: !netns_of(record).is_empty(),
            key,
        });
    }
    let recorded: BTreeSet<Key> = judged.iter().map(|candidate| candidate.key.clone()).collect();
    for entry in &inventory.attachments {
        let key = entry.key();
        if recorded.contains(&key) {
            continue;
        }
        judged.push(SweepCandidate {
            listed: listing.sees(&key, made_by_cri(entry.cni_args.as_deref(), &key.container_id)),
            networks: entry.network.clone(),
            location: RecordLocation::Entry(entry.deleted_by),
            age: entry.listed_at.as_ref().map_or(Age::ThisBoot(Duration::MAX), |moment| moment.age(now)),
            // Striking an entry out asks nothing of its network.
            owner: match entry.deleted_by {
                Deleter::Crossfade => owners.owner_of_entry(entry),
                Deleter::Runtime => Owner::Ready,
            },
            netns_lives: netns_lives(entry),
            key,
        });
    }
    judged
}

/// [`judge`] by the sandboxes that a CRI runtime lists now, for commands that close nothing; the networks have a few seconds to answer.
///
/// # Errors
/// The clock cannot be read.
pub(crate) fn judge_now(
    policy: &Policy,
    records: &[Attachment],
    inventory: &Inventory,
    listed: BTreeMap<String, State>,
) -> io::Result<Vec<SweepCandidate>> {
    let now = boot::now()?;
    let owners = Owners::ask(policy, Instant::now() + PROBES_WITHIN);
    Ok(judge(records, inventory, &SandboxList::Cri(listed), &owners, &now))
}

/// Whether the netns that an entry's result names is there. *Source*: the specification, `interfaces[].sandbox`.
fn netns_lives(entry: &Entry) -> bool {
    let result = entry.prev_result.as_ref().and_then(|raw| RawObject::parse(raw.get().as_bytes()).ok());
    let interfaces: Vec<RawObject> =
        result.and_then(|result| result.decode("interfaces").ok().flatten()).unwrap_or_default();
    interfaces
        .iter()
        .filter_map(|interface| interface.decode::<String>("sandbox").ok().flatten())
        .any(|path| !path.is_empty() && Netns::open(Path::new(&path)).is_ok())
}
