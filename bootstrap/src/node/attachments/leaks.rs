//! Leaks of attachments that ended: records and inventory entries whose sandboxes are gone, and leases of unknown containers.

use convergence::node::attachments::leaks::HeldLease;

use std::collections::BTreeSet;
use std::path::PathBuf;

use shim::attachment::local_cleanup::{lease_directories, leases};
use types::attachment::Attachment;

use convergence::node::networks::NetworkConf;

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
