//! Local cleaning of an attachment whose network is retired and cannot do it itself.

use ipnetwork::IpNetwork;

use crate::netns::Netns;

/// What is to be cleaned.
#[derive(Debug)]
pub struct Attached<'a> {
    /// Container id.
    pub container_id: &'a str,
    /// The network's interface in the pod.
    pub ifname: &'a str,
    /// The network's own name.
    pub network: &'a str,
    /// Its resolved conflist.
    pub conf: &'a [u8],
    /// What its ADD answered.
    pub result: Option<&'a [u8]>,
    /// The pod's netns, if it is there.
    pub netns: Option<&'a Netns>,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Cleaned {
    /// What was removed.
    pub removed: Vec<String>,
    /// What is left.
    pub left: Vec<String>,
    /// Addresses that may still count as used.
    pub addresses: Vec<IpNetwork>,
}

/// Reports everything as left; the cleaning itself lands separately.
#[must_use]
pub fn clean(attached: &Attached<'_>) -> Cleaned {
    Cleaned { left: vec![format!("everything of network {}", attached.network)], ..Cleaned::default() }
}
