//! Local clean-up: removes what an attachment has on this node, without its network's plugins.
//!
//! This is the last resort of DEL. The network's own plugins have failed for long enough, and the policy says that the network is retired. The
//! clean-up goes by the record alone. It removes the interface in the pod, the host's end of its veth, and the leases of `host-local`. It names,
//! for the ledger, what only the network could have undone: an address in a cluster's IPAM, an endpoint, firewall rules of chained plugins.
//! The clean-up never fails, because a node must be able to delete a pod whose network is gone. It may run twice.

mod lease;
mod others;
mod recorded;

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::attachment::route::Budget;
use crate::attachment::route::rtnl::{Link, Rtnl};
use crate::host::netns::Netns;
pub use lease::{Lease, list_held as leases};
pub use others::OtherClaims;
pub use recorded::lease_directories;
use recorded::{HostInterface, RecordedState};

/// One network of an attachment, as its record describes it.
#[derive(Debug, Clone, Copy)]
pub struct CleanupTarget<'a> {
    /// CNI_CONTAINERID of the ADD.
    pub container_id: &'a str,
    /// CNI_IFNAME that the network's plugins were given.
    pub ifname: &'a str,
    /// The network's own name; a name in its conf takes precedence.
    pub network: &'a str,
    /// The network's conflist as it was at ADD, one JSON object; a single plugin's conf is taken as a list of one.
    pub conf: &'a [u8],
    /// The CNI result of the ADD as JSON, of any version; absent if the ADD never ended.
    pub result: Option<&'a [u8]>,
    /// The pod's netns, if it is still there.
    pub netns: Option<&'a Netns>,
    /// How far the network's own DEL came.
    pub reached: DelReach,
}

/// How far the DEL of a network came in its chain, which it runs backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DelReach {
    /// No plugin was ever called.
    NoPlugin,
    /// The DEL stopped before this plugin, which was never called. Plugins count from 0 in the order of ADD.
    Before(usize),
    /// This plugin was called, now or earlier, and failed. It is not known what the plugin removed.
    Failed(usize),
}

/// Whether something that a plugin keeps outside the pod is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeftoverFate {
    Removed,
    Unknown,
    Left,
}

impl DelReach {
    fn fate(self, plugin: usize) -> LeftoverFate {
        match self {
            Self::Before(failed) | Self::Failed(failed) if plugin > failed => LeftoverFate::Removed,
            Self::Failed(failed) if plugin == failed => LeftoverFate::Unknown,
            Self::NoPlugin | Self::Before(_) | Self::Failed(_) => LeftoverFate::Left,
        }
    }
}

/// The result of a local clean-up, as text for the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CleanupReport {
    /// The removed objects: `interface eth0 in the pod`, `lease 10.1.0.2 in /var/lib/cni/networks/old`.
    pub removed: Vec<String>,
    /// The objects that stay, on this node or in the cluster, and why if that is known.
    pub leftovers: Vec<String>,
    /// The objects that may be left, because the plugin that keeps them was called and failed.
    pub unknown: Vec<String>,
    /// The pod's addresses in this network: those of the result, and those of leases the result does not name.
    pub addresses: Vec<IpNetwork>,
}

/// Removes everything that can be removed on this node. The function never fails: [`CleanupReport::left`] names the rest.
///
/// `others` reads what other attachments have, after the host's interfaces were read. An ADD that makes an interface of the same name later makes
/// one with another index, and an ADD that made it before has a record by then.
pub fn clean(attached: &CleanupTarget, others: impl FnOnce() -> OtherClaims) -> CleanupReport {
    let recorded = RecordedState::read(attached);
    let mut cleaned = CleanupReport {
        addresses: recorded.addresses.clone(),
        leftovers: recorded.unreadable.clone(),
        ..CleanupReport::default()
    };
    let hosts = find_host_interfaces(attached, &recorded.host_interfaces, &mut cleaned);
    let others = others();
    // The interface before the lease: an address must not be free while a pod still answers on it.
    remove_pod_interface(attached, &others, &mut cleaned);
    remove_host_interfaces(hosts, &others, &mut cleaned);
    let network = recorded.network.as_deref().unwrap_or(attached.network);
    for directory in &recorded.lease_directories {
        release_leases(attached, directory, |address| others.has_address(network, address), &mut cleaned);
    }
    keep(recorded.stays_behind, attached.reached, &mut cleaned);
    cleaned
}

/// The objects that this plugin of the chain keeps outside of the pod, as text for the ledger.
#[must_use]
pub fn kept_by_plugin(conf: &[u8], network: &str, plugin: usize) -> Vec<String> {
    let recorded = RecordedState::from_conf(conf, network);
    let of_it = recorded.stays_behind.into_iter().filter(|remainder| remainder.plugin == plugin);
    of_it.map(|remainder| remainder.what).collect()
}

/// The addresses of a result.
#[must_use]
pub fn addresses(result: &[u8]) -> Vec<IpNetwork> {
    serde_json::from_slice(result)
        .map(|result| RecordedState::from_result(&result).addresses)
        .unwrap_or_default()
}

/// The remains of an attachment that ended with its boot and gets no DEL. The function removes nothing: interfaces and rules ended with the boot, and
/// [`CleanupReport::left`] names the rest.
#[must_use]
pub fn owed_report(attached: &CleanupTarget) -> CleanupReport {
    let recorded = RecordedState::read(attached);
    let leases = recorded.lease_directories.iter();
    let leases = leases.map(|dir| format!("leases of the container in {}", dir.display()));
    let mut cleaned = CleanupReport {
        leftovers: recorded.unreadable.iter().cloned().chain(leases).collect(),
        addresses: recorded.addresses,
        ..CleanupReport::default()
    };
    keep(recorded.stays_behind, attached.reached, &mut cleaned);
    cleaned
}

/// Reports what plugins keep outside of the pod, by how far their DEL came.
fn keep(stays_behind: Vec<recorded::PluginLeftover>, reached: DelReach, cleaned: &mut CleanupReport) {
    for remainder in stays_behind {
        match reached.fate(remainder.plugin) {
            LeftoverFate::Removed => {}
            LeftoverFate::Unknown => cleaned.unknown.push(remainder.what),
            LeftoverFate::Left => cleaned.leftovers.push(remainder.what),
        }
    }
}

fn remove_pod_interface(attached: &CleanupTarget, others: &OtherClaims, cleaned: &mut CleanupReport) {
    let Some(netns) = attached.netns else { return };
    let what = format!("interface {} in the pod", attached.ifname);
    if others.has_inside(netns.id(), attached.ifname) {
        return cleaned.leftovers.push(format!("{what}: another attachment has it, in the same netns"));
    }
    // The recorded path may lead to the host's netns by now, and the host's eth0 must stay.
    let is_pod = Netns::current().map(|host| host.id() != netns.id());
    match is_pod {
        Ok(true) => {}
        Ok(false) => {
            return cleaned.leftovers.push(format!("{what}: its netns is the host's own"));
        }
        Err(error) => return cleaned.leftovers.push(format!("{what}: {error}")),
    }
    // The interface is looked up by name, because a pod may have created any number of interfaces.
    let removed =
        Rtnl::open(netns, Budget::new_brief()).and_then(|mut rtnl| rtnl.delete_named(attached.ifname));
    match removed {
        Ok(true) => cleaned.removed.push(what),
        Ok(false) => {}
        Err(error) => cleaned.leftovers.push(format!("{what}: {error}")),
    }
}

/// The host ends that exist, and the netlink socket to remove them.
#[derive(Debug)]
struct HostEnds {
    rtnl: Rtnl<'static>,
    interfaces: Vec<(String, u32)>,
}

/// Finds host ends by name: only a veth, and only with the hardware address of the result. A result also lists shared interfaces, such as a bridge. And
/// some plugins name host ends after the pod, so that a new pod's interface has the same name. Without a hardware address, an
/// interface counts only while the pod's netns exists, because no other pod has the name then.
fn find_host_interfaces(
    attached: &CleanupTarget,
    interfaces: &[HostInterface],
    cleaned: &mut CleanupReport,
) -> Option<HostEnds> {
    if interfaces.is_empty() {
        return None;
    }
    let opened = Netns::current().and_then(|host| Rtnl::open(&host, Budget::new_brief()));
    let read = opened.and_then(|mut rtnl| rtnl.links().map(|links| (rtnl, links)));
    let (rtnl, links) = match read {
        Ok(read) => read,
        Err(error) => {
            cleaned.leftovers.push(format!("interfaces on the host: {error}"));
            return None;
        }
    };
    let mut host_interfaces = Vec::new();
    for interface in interfaces {
        let what = &interface.name;
        if interface.mac.is_none() && attached.netns.is_none() {
            let why = "no hardware address recorded and no netns to tell it from another pod's";
            cleaned.leftovers.push(format!("interface {what} on the host, if it is still there: {why}"));
            continue;
        }
        let is_it = |link: &&Link| {
            link.name == interface.name
                && link.kind.as_deref() == Some("veth")
                && interface.mac.as_ref().is_none_or(|mac| *mac == link.mac)
        };
        host_interfaces.extend(links.iter().find(is_it).map(|link| (link.name.clone(), link.index)));
    }
    Some(HostEnds { rtnl, interfaces: host_interfaces })
}

fn remove_host_interfaces(ends: Option<HostEnds>, others: &OtherClaims, cleaned: &mut CleanupReport) {
    let Some(HostEnds { mut rtnl, interfaces }) = ends else { return };
    for (name, index) in interfaces {
        let what = format!("interface {name} on the host");
        if let Some(why) = others.claim_of_host(&name) {
            cleaned.leftovers.push(format!("{what}: {why}"));
            continue;
        }
        // The index identifies the interface, since a new pod's interface may have the name now.
        match rtnl.delete_link(index) {
            Ok(true) => cleaned.removed.push(what),
            Ok(false) => {}
            Err(error) => cleaned.leftovers.push(format!("{what}: {error}")),
        }
    }
}

fn release_leases(
    attached: &CleanupTarget,
    directory: &std::path::Path,
    is_held: impl Fn(IpAddr) -> bool,
    cleaned: &mut CleanupReport,
) {
    let released = lease::release(directory, attached.container_id, attached.ifname, is_held);
    for address in released.addresses {
        cleaned.removed.push(format!("lease {address} in {}", directory.display()));
        if !cleaned.addresses.iter().any(|cleaned_address| cleaned_address.ip() == address) {
            cleaned.addresses.push(IpNetwork::from(address));
        }
    }
    cleaned.leftovers.extend(released.failures);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_plugin_was_asked_to_remove_is_certainly_left() {
        for (reached, fates) in [
            (DelReach::NoPlugin, [LeftoverFate::Left; 3]),
            (DelReach::Before(1), [LeftoverFate::Left, LeftoverFate::Left, LeftoverFate::Removed]),
            (DelReach::Failed(1), [LeftoverFate::Left, LeftoverFate::Unknown, LeftoverFate::Removed]),
            (DelReach::Failed(0), [LeftoverFate::Unknown, LeftoverFate::Removed, LeftoverFate::Removed]),
        ] {
            assert_eq!([0, 1, 2].map(|plugin| reached.fate(plugin)), fates, "{reached:?}");
        }
    }
}
