//! The real network of a pod, by host-local's own files and the address that the runtime tells.

use anyhow::{Result, ensure};

use super::cluster::{Cluster, Pod};
use super::strategy::Network;
use crate::host::fabric::Overlay;
use crate::host::leases::Lease;
use crate::host::node::Node;

/// The ifname of a pod's second interface.
const SECOND: &str = "net1";

/// Every lease on a node, by its network.
///
/// # Errors
/// One cannot be read.
pub fn leases(node: &Node, overlay: impl Fn(Network) -> Overlay) -> Result<Vec<(Network, Lease)>> {
    let mut leases = Vec::new();
    for network in Network::ALL {
        leases.extend(overlay(network).lease_entries(node)?.into_iter().map(|lease| (network, lease)));
    }
    Ok(leases)
}

impl Cluster {
    /// Every lease on a node.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn leases(&self, host: usize) -> Result<Vec<(Network, Lease)>> {
        leases(&self.hosts()[host].node, |network| self.overlay(network).clone())
    }
}

/// Holds if a pod is on exactly the networks of its phase and publishes the right address.
///
/// # Errors
/// Says what it must have and what it has.
pub fn ensure_placed(pod: &Pod, leases: &[(Network, Lease)]) -> Result<()> {
    let mut lease_owners: Vec<(Network, &str)> = leases
        .iter()
        .filter(|(_, lease)| lease.id == pod.id)
        .map(|(network, lease)| (*network, lease.ifname.as_str()))
        .collect();
    lease_owners.sort_unstable();
    let mut expected: Vec<(Network, &str)> =
        pod.phase.networks().iter().copied().zip(["eth0", SECOND]).collect();
    expected.sort_unstable();
    ensure!(lease_owners == expected, "{} must be on {expected:?} and is on {lease_owners:?}", pod.name);
    let published = leases.iter().find(|(_, lease)| lease.address == pod.address);
    let published = published.map(|(network, lease)| (*network, &lease.id));
    let primary = pod.phase.primary();
    ensure!(
        published == Some((primary, &pod.id)),
        "{} publishes {}, which must be its address on {}, and is {published:?}",
        pod.name,
        pod.address,
        primary.name()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::strategy::Phase;
    use super::*;

    fn pod(phase: Phase, address: &str) -> Pod {
        Pod {
            name: "p".to_owned(),
            namespace: "default".to_owned(),
            host: 0,
            attempt: 0,
            id: "c1".to_owned(),
            address: address.parse().expect("an address"),
            netns: PathBuf::new(),
            netns_inside: PathBuf::new(),
            host_port: None,
            phase,
        }
    }

    fn lease(network: Network, address: &str, id: &str, ifname: &str) -> (Network, Lease) {
        let address = address.parse().expect("an address");
        (network, Lease { address, id: id.to_owned(), ifname: ifname.to_owned() })
    }

    #[test]
    fn a_pod_is_placed_only_on_the_networks_of_its_phase() {
        let old = lease(Network::Old, "10.244.1.2", "c1", "eth0");
        let second = lease(Network::New, "10.245.1.2", "c1", "net1");
        let other = lease(Network::New, "10.245.1.3", "c2", "eth0");
        ensure_placed(&pod(Phase::Old, "10.244.1.2"), &[old.clone(), other.clone()]).expect("placed");
        ensure_placed(&pod(Phase::BothOld, "10.244.1.2"), &[old.clone(), second.clone()]).expect("placed");
        for (phase, address, leases) in [
            (Phase::New, "10.244.1.2", vec![old.clone()]),
            (Phase::Old, "10.244.1.2", vec![old.clone(), second.clone()]),
            (Phase::BothOld, "10.244.1.2", vec![old.clone(), other.clone()]),
            (Phase::BothNew, "10.245.1.2", vec![old.clone(), second.clone()]),
            (Phase::BothOld, "10.245.1.2", vec![old.clone(), second]),
            (Phase::Old, "10.244.1.9", vec![old]),
            (Phase::New, "10.245.1.3", vec![other]),
            (Phase::Old, "10.244.1.2", vec![]),
        ] {
            ensure_placed(&pod(phase, address), &leases).expect_err("misplaced");
        }
    }
}
