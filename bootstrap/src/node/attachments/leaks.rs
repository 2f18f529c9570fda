//! Leaks of attachments that ended: records and inventory entries whose sandboxes are gone, and leases of unknown containers.
//!
//! Pods come and go while all of it is read. So leases are read twice, before the runtime is asked and after its list: one that is there both
//! times and has no owner in between is left over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use convergence::node::attachments::leaks::{self, HeldLease, Leak};
use convergence::node::networks::NetworkConf;
use convergence::runtime::State;
use shim::attachment::local_cleanup::{lease_directories, leases};
use shim::node::inventory::Inventory;
use shim::node::layout::Layout;
use types::attachment::Attachment;

use crate::node::networks::scratch;

/// The containers of records and of the inventory.
#[must_use]
pub(crate) fn container_ids(records: &[Attachment], inventory: &Inventory) -> BTreeSet<String> {
    let recorded = records.iter().map(|record| record.intent.container_id.clone());
    recorded.chain(inventory.attachments.iter().map(|entry| entry.container_id.clone())).collect()
}

/// The leases that were held `before` the runtime gave its list, are held now, and have no owner: neither one of these containers of
/// attachments, nor a proof, nor a sandbox in the list.
#[must_use]
pub(crate) fn leaked_leases(
    before: Vec<HeldLease>,
    (layout, confs): (&Layout, &[NetworkConf]),
    (records, mut owners): (&[Attachment], BTreeSet<String>),
    listed: &BTreeMap<String, State>,
) -> Vec<Leak> {
    owners.extend(scratch::containers(layout));
    let after = held_leases(confs, records);
    let held_twice: Vec<_> = before.into_iter().filter(|lease| after.contains(lease)).collect();
    leaks::leaked_leases(&held_twice, &owners, listed)
}

/// Reads the leases of the networks in `confs` and of those that `records` name. A directory that cannot be read has none.
#[must_use]
pub(crate) fn held_leases(confs: &[NetworkConf], records: &[Attachment]) -> Vec<HeldLease> {
    let of_policy = confs.iter().filter_map(|network| network.conf.as_ref().ok());
    let mut named: BTreeSet<(PathBuf, String)> = BTreeSet::new();
    for (conf, _) in of_policy {
        let directories = lease_directories(conf.raw.get());
        named.extend(directories.into_iter().map(|directory| (directory, conf.name.clone())));
    }
    for leg in records.iter().flat_map(|record| &record.intent.legs) {
        let directories = lease_directories(leg.conf.get());
        named.extend(directories.into_iter().map(|directory| (directory, leg.network.clone())));
    }
    let read = |(directory, network): (PathBuf, String)| {
        let all = leases(&directory).unwrap_or_default();
        all.into_iter().map(move |lease| HeldLease { network: network.clone(), lease })
    };
    named.into_iter().flat_map(read).collect()
}
