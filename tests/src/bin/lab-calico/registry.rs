//! The plugin's entries in the datastore, if it has one: pods by their endpoint, addresses by their handle.

use std::net::IpAddr;

use anyhow::Result;
use lab::standin::calico::{Allocation, Datastore, Endpoint};

use crate::conf::Call;

/// The interface of every endpoint that Kubernetes can hold as a datastore.
const THE_INTERFACE: &str = "eth0";

/// Whether the datastore answers.
///
/// # Errors
/// It does not.
pub(crate) fn reachable(call: &Call) -> Result<()> {
    datastore(call).map(drop)
}

/// The pod's endpoint, whichever interface it is for: the annotations are the Pod's.
///
/// # Errors
/// What the datastore says.
pub(crate) fn note_endpoint(call: &Call, addresses: &[IpAddr]) -> Result<()> {
    #[cfg(feature = "kubernetes")]
    crate::annotations::write(call, addresses)?;
    let (Some(datastore), Some((namespace, pod))) = (datastore(call)?, call.pod()) else {
        return Ok(());
    };
    datastore.set_endpoint(&Endpoint {
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        node: call.conf.nodename.clone(),
        interface: call.host_end(),
        container_id: call.container_id.clone(),
        pod_ips: addresses.to_vec(),
    })
}

/// Removes the endpoint, if it is that of this very sandbox. That of another interface does not exist: the annotations stay.
///
/// # Errors
/// What the datastore says.
pub(crate) fn forget_endpoint(call: &Call) -> Result<()> {
    #[cfg(feature = "kubernetes")]
    if call.ifname == THE_INTERFACE {
        crate::annotations::release(call)?;
    }
    let (Some(datastore), Some((namespace, pod))) = (datastore(call)?, call.pod()) else {
        return Ok(());
    };
    let endpoint = datastore.endpoint(namespace, pod)?.filter(|_| call.ifname == THE_INTERFACE);
    match endpoint {
        None => eprintln!("[WARNING] WorkloadEndpoint does not exist in the datastore"),
        Some(endpoint) if endpoint.container_id != call.container_id => {
            eprintln!("[WARNING] CNI_CONTAINERID does not match WorkloadEndpoint ContainerID");
        }
        Some(_) => datastore.delete_endpoint(namespace, pod)?,
    }
    Ok(())
}

/// Addresses that were given to the container, by its handle.
///
/// # Errors
/// What the datastore says.
pub(crate) fn note_addresses(call: &Call, addresses: &[IpAddr]) -> Result<()> {
    let (Some(datastore), Some((namespace, pod))) = (datastore(call)?, call.pod()) else {
        return Ok(());
    };
    for address in addresses {
        datastore.set_allocation(&Allocation {
            address: *address,
            handle: handle(call),
            node: call.conf.nodename.clone(),
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            store: call.store().unwrap_or_default(),
        })?;
    }
    Ok(())
}

/// Everything that the handle holds is free.
///
/// # Errors
/// What the datastore says.
pub(crate) fn forget_addresses(call: &Call) -> Result<()> {
    let Some(datastore) = datastore(call)? else {
        return Ok(());
    };
    let handle = handle(call);
    let allocations = datastore.allocations()?;
    let mut own = allocations.iter().filter(|allocation| allocation.handle == handle);
    own.try_for_each(|allocation| datastore.delete_allocation(allocation.address))
}

fn handle(call: &Call) -> String {
    format!("{}.{}", call.conf.name, call.container_id)
}

fn datastore(call: &Call) -> Result<Option<Datastore>> {
    call.conf.datastore.as_deref().map(Datastore::open).transpose()
}
