//! A record's objects of the kernel: a pod's netns, the interfaces in it, and the node's routes to it.
//!
//! These types hold data alone. The shim reads the kernel and compares it with them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The identity of a network namespace: device and inode of its nsfs file.
///
/// *Shape*: `{"dev":4,"ino":4026532281}`.
///
/// *Source*: namespaces(7), "The /proc/pid/ns/ directory".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NetnsId {
    /// `st_dev` of the nsfs file.
    pub dev: u64,
    /// `st_ino` of the nsfs file.
    pub ino: u64,
}

/// An interface of a pod, and the addresses that a network gave it.
///
/// *Shape*: `{"name":"eth0","addresses":["10.1.0.2"]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PodInterface {
    /// The interface's name in the netns.
    pub name: String,
    /// The interface's addresses, without the link-local ones that the kernel assigns for IPv6.
    pub addresses: Vec<IpAddr>,
}

/// A route from the node to one address of a pod.
///
/// *Shape*: `{"address":"192.168.7.9","interface":"cali0a1b2c3d4e5","index":17}`, with `via` if the route has a next hop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HostRoute {
    /// The pod's address, IPv4 or IPv6.
    pub address: IpAddr,
    /// The name of the host's interface that the route leads to.
    pub interface: String,
    /// The index of that interface. The kernel gives it to no other interface before the next boot.
    pub index: u32,
    /// The next hop, if the address is not on the interface's own link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
}
