//! The MTU of a CNI's pods.

use snapshot::model::Snapshot;

use super::{Protocol, Tunnel};
use crate::check::finding::Subject;
use crate::cni::support::Cni;

/// The MTU between machines that is assumed where the settings do not say another one.
pub const NODE_MTU: u32 = 1500;

/// The MTU of pods, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mtu {
    /// The MTU of an interface in a pod.
    pub bytes: u32,
    /// It is set; else the CNI computes it from the nodes' MTU.
    pub is_set: bool,
    /// What the tunnels of the CNI add to a packet.
    pub overhead: u32,
    /// Where it is set, or would be.
    pub source: Subject,
}

/// The MTU of a CNI's pods on nodes with this MTU.
///
/// *Source*: Calico's documentation, "Configure MTU to maximize network performance"; Cilium: Helm value `MTU`; Antrea: `defaultMTU` in antrea-agent.conf;
/// Flannel: Documentation/configuration.md; AWS: amazon-vpc-cni-k8s, README, `AWS_VPC_ENI_MTU` and `POD_MTU`.
#[must_use]
pub fn mtu(snapshot: &Snapshot, cni: Cni, node: u32) -> Mtu {
    let overhead = overhead(snapshot, cni);
    let (set, source) = cni.driver().mtu(snapshot);
    Mtu {
        bytes: set.unwrap_or_else(|| node.saturating_sub(overhead)),
        is_set: set.is_some(),
        overhead,
        source,
    }
}

/// The bytes that the tunnels of a CNI add: those of the largest, and of all where a packet goes through all.
fn overhead(snapshot: &Snapshot, cni: Cni) -> u32 {
    let is_v6 = |address: &str| address.contains(':');
    let mut addresses = snapshot.nodes.iter().flat_map(|node| node.addresses("InternalIP")).peekable();
    let outer = if addresses.peek().is_some() && addresses.all(is_v6) { 20 } else { 0 };
    let driver = cni.driver();
    let count_of = |tunnel: Tunnel| match tunnel.protocol {
        Protocol::Ipip => 20,
        Protocol::Vxlan | Protocol::Geneve => 50 + outer,
        Protocol::WireGuard => driver.wireguard_overhead(outer),
    };
    let all = driver.tunnels(snapshot).into_iter().map(count_of);
    if cni.facts().nests_tunnels { all.sum() } else { all.max().unwrap_or(0) }
}

/// A number of bytes; 0 and words such as `auto` mean that it is not set.
pub(in crate::cni) fn read_mtu(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|bytes| *bytes != 0)
}
