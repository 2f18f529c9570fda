//! Local cleaning of an attachment whose network is retired and cannot do it itself.
//!
//! The last resort of DEL: the network's own plugins failed long enough, and the policy says that the network will not
//! come back. What the record tells is cleaned on this node and nothing else: the interface in the pod, the host's end of
//! its veth, the leases of `host-local`. What only the network could have undone (an address in a cluster's IPAM, an
//! endpoint, firewall rules of chained plugins) is named, for the ledger. Nothing here fails: a node must be able to get
//! rid of a pod whose network is gone. Doing it twice does it once.

mod lease;
mod recorded;

use ipnetwork::IpNetwork;

use crate::netns::Netns;
use crate::route::rtnl::{Link, Rtnl};
use recorded::{HostInterface, Recorded};

/// An attachment as its record tells it.
#[derive(Debug, Clone, Copy)]
pub struct Attached<'a> {
    /// CNI_CONTAINERID of the ADD.
    pub container_id: &'a str,
    /// CNI_IFNAME that the network's plugins were given.
    pub ifname: &'a str,
    /// The network's own name; what its conf says wins.
    pub network: &'a str,
    /// The network's conflist as it was at ADD, one JSON object; a single plugin's conf is taken as a list of one.
    pub conf: &'a [u8],
    /// The CNI result of the ADD as JSON, of any version; absent if the ADD never ended.
    pub result: Option<&'a [u8]>,
    /// The pod's netns, if it is still there.
    pub netns: Option<&'a Netns>,
}

/// What local cleaning came to, in words for the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// What was there and is not any more: `interface eth0 in the pod`, `lease 10.1.0.2 in /var/lib/cni/networks/old`.
    pub removed: Vec<String>,
    /// What stays, on this node or in the cluster, and why if that is known.
    pub left: Vec<String>,
    /// The pod's addresses in this network: those of the result, and those of leases the result does not name.
    pub addresses: Vec<IpNetwork>,
}

/// Cleans what can be cleaned on this node. Never fails: what does not work is in [`Cleaned::left`].
pub fn clean(attached: &Attached) -> Cleaned {
    let recorded = Recorded::read(attached);
    let mut cleaned = Cleaned {
        addresses: recorded.addresses.clone(),
        left: recorded.unreadable.clone(),
        ..Cleaned::default()
    };
    // The interface before the lease: an address must not be free while a pod still answers on it.
    remove_pod_interface(attached, &mut cleaned);
    remove_host_interfaces(attached, &recorded.host_interfaces, &mut cleaned);
    for directory in &recorded.lease_directories {
        release_leases(attached, directory, &mut cleaned);
    }
    cleaned.left.extend(recorded.stays_behind);
    cleaned
}

fn remove_pod_interface(attached: &Attached, cleaned: &mut Cleaned) {
    let Some(netns) = attached.netns else { return };
    let what = format!("interface {} in the pod", attached.ifname);
    // A recorded path may by now lead to the host, whose eth0 is nobody's to remove.
    let is_pod = Netns::current().map(|host| host.id() != netns.id());
    match is_pod {
        Ok(true) => {}
        Ok(false) => {
            return cleaned.left.push(format!("{what}: its netns is the host's own"));
        }
        Err(error) => return cleaned.left.push(format!("{what}: {error}")),
    }
    let is_it = |link: &Link| link.name == attached.ifname;
    match Rtnl::open(netns).and_then(|mut rtnl| remove(&mut rtnl, is_it)) {
        Ok(true) => cleaned.removed.push(what),
        Ok(false) => {}
        Err(error) => cleaned.left.push(format!("{what}: {error}")),
    }
}

/// Host ends by name, but only a veth, and only with the hardware address that the result gave it. A result also lists
/// what is shared, such as the bridge; and some plugins name host ends after the pod, so that its successor's has the
/// same name. Without an address to compare, the pod that is still there is what tells them apart.
fn remove_host_interfaces(attached: &Attached, interfaces: &[HostInterface], cleaned: &mut Cleaned) {
    if interfaces.is_empty() {
        return;
    }
    let mut rtnl = match Netns::current().and_then(|host| Rtnl::open(&host)) {
        Ok(rtnl) => rtnl,
        Err(error) => {
            return cleaned.left.push(format!("interfaces on the host: {error}"));
        }
    };
    for interface in interfaces {
        let what = format!("interface {} on the host", interface.name);
        if interface.mac.is_none() && attached.netns.is_none() {
            let why = "no hardware address recorded and no netns to tell it from another pod's";
            cleaned.left.push(format!("{what}, if it is still there: {why}"));
            continue;
        }
        let is_it = |link: &Link| {
            link.name == interface.name
                && link.kind.as_deref() == Some("veth")
                && interface.mac.as_ref().is_none_or(|mac| *mac == link.mac)
        };
        match remove(&mut rtnl, is_it) {
            Ok(true) => cleaned.removed.push(what),
            Ok(false) => {}
            Err(error) => cleaned.left.push(format!("{what}: {error}")),
        }
    }
}

/// Removes the interface that `is_it` picks; false if there is none.
fn remove(rtnl: &mut Rtnl, is_it: impl Fn(&Link) -> bool) -> std::io::Result<bool> {
    match rtnl.links()?.iter().find(|link| is_it(link)) {
        Some(link) => rtnl.delete_link(link.index),
        None => Ok(false),
    }
}

fn release_leases(attached: &Attached, directory: &std::path::Path, cleaned: &mut Cleaned) {
    let released = lease::release(directory, attached.container_id, attached.ifname);
    for address in released.addresses {
        cleaned.removed.push(format!("lease {address} in {}", directory.display()));
        if !cleaned.addresses.iter().any(|known| known.ip() == address) {
            cleaned.addresses.push(IpNetwork::from(address));
        }
    }
    cleaned.left.extend(released.failures);
}
