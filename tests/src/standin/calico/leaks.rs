//! Leaked addresses, as kube-controllers see them: given away, but no status names them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Result;

use super::datastore::{Allocation, Datastore};
use super::leases;

/// What looks leaked, and for how many passes it has.
#[derive(Debug, Default)]
pub(super) struct Leaks {
    suspects: BTreeMap<(IpAddr, String), u64>,
}

impl Leaks {
    /// Looks at every address of the node once more; releases what has looked leaked for `grace` passes.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn collect(&mut self, datastore: &Datastore, node: &str, grace: u64) -> Result<Vec<IpAddr>> {
        let mut released = Vec::new();
        let mut suspects = BTreeMap::new();
        for allocation in datastore.allocations()?.into_iter().filter(|allocation| allocation.node == node) {
            if !looks_leaked(datastore, &allocation)? {
                continue;
            }
            let key = (allocation.address, allocation.handle.clone());
            let passes = self.suspects.get(&key).copied().unwrap_or_default() + 1;
            if passes > grace {
                release(datastore, &allocation)?;
                released.push(allocation.address);
            } else {
                suspects.insert(key, passes);
            }
        }
        self.suspects = suspects;
        Ok(released)
    }
}

/// A pod without a status is still starting, if it is there at all.
fn looks_leaked(datastore: &Datastore, allocation: &Allocation) -> Result<bool> {
    let (namespace, pod) = (&allocation.namespace, &allocation.pod);
    match datastore.status(namespace, pod)? {
        Some(pod_ips) => Ok(!pod_ips.contains(&allocation.address)),
        None => Ok(datastore.endpoint(namespace, pod)?.is_none()),
    }
}

fn release(datastore: &Datastore, allocation: &Allocation) -> Result<()> {
    let handle = &allocation.handle;
    let container_id = handle.rsplit_once('.').map_or(handle.as_str(), |(_, id)| id);
    // Once the lease is gone, the next pod may have the address.
    datastore.delete_allocation(allocation.address)?;
    leases::release_one(&allocation.store, container_id, allocation.address)
}
