//! The MTU of a CNI's pods.

use snapshot::model::{Kind, Snapshot};

use super::{Protocol, agent, antrea, calico, cilium, flannel, subject, tunnels, variable};
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
    let (set, source) = match cni {
        Cni::Calico => calico_mtu(snapshot),
        Cni::Flannel | Cni::Canal => flannel_mtu(snapshot, cni),
        Cni::Cilium => {
            let set = cilium::setting(snapshot, "mtu").and_then(|setting| number(&setting.value));
            let source = cilium::config(snapshot).map(|config| subject(Kind::CONFIG_MAP, config));
            (set, source.unwrap_or_else(|| default(cni)))
        }
        Cni::Antrea => {
            let set = number(&antrea::value(snapshot, "/defaultMTU", "0"));
            let source = antrea::config(snapshot).map(|config| subject(Kind::CONFIG_MAP, config));
            (set, source.unwrap_or_else(|| default(cni)))
        }
        Cni::AwsVpcCni => aws_mtu(snapshot),
    };
    Mtu {
        bytes: set.unwrap_or_else(|| node.saturating_sub(overhead)),
        is_set: set.is_some(),
        overhead,
        source,
    }
}

/// The bytes that the tunnels of a CNI add: those of the largest, and both where Cilium encrypts its overlay.
fn overhead(snapshot: &Snapshot, cni: Cni) -> u32 {
    let is_v6 = |address: &str| address.contains(':');
    let mut addresses = snapshot.nodes.iter().flat_map(|node| node.addresses("InternalIP")).peekable();
    let outer = if addresses.peek().is_some() && addresses.all(is_v6) { 20 } else { 0 };
    let count_of = |protocol: Protocol| match protocol {
        Protocol::Ipip => 20,
        Protocol::Vxlan | Protocol::Geneve => 50 + outer,
        // Calico's felix/dataplane/linux/int_dataplane.go counts 60 over IPv4. The others count 80 for both families: Cilium's pkg/mtu/mtu.go, Antrea's
        // pkg/agent/config, Flannel's pkg/backend/wireguard/wireguard_network.go.
        Protocol::WireGuard if cni == Cni::Calico => 60 + outer,
        Protocol::WireGuard => 80,
    };
    let all = tunnels(snapshot, cni).into_iter().map(|tunnel| count_of(tunnel.protocol));
    if cni == Cni::Cilium { all.sum() } else { all.max().unwrap_or(0) }
}

/// A number of bytes; 0 and words such as `auto` mean that it is not set.
fn number(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|bytes| *bytes != 0)
}

fn default(cni: Cni) -> Subject {
    Subject {
        kind: "Default".into(),
        namespace: String::new(),
        name: cni.name().into(),
        detail: String::new(),
    }
}

fn calico_mtu(snapshot: &Snapshot) -> (Option<u32>, Subject) {
    if let Some(installation) = calico::installation(snapshot) {
        let set = installation.pointer("/spec/calicoNetwork/mtu").and_then(serde_json::Value::as_u64);
        let set = set.and_then(|bytes| u32::try_from(bytes).ok()).filter(|bytes| *bytes != 0);
        return (set, subject(Kind::TIGERA_INSTALLATION, installation));
    }
    match snapshot.config_map("calico-config") {
        Some(config) => (config.data("veth_mtu").and_then(number), subject(Kind::CONFIG_MAP, config)),
        None => (None, default(Cni::Calico)),
    }
}

fn flannel_mtu(snapshot: &Snapshot, cni: Cni) -> (Option<u32>, Subject) {
    let canal = snapshot.config_map("canal-config").filter(|_| cni == Cni::Canal);
    if let Some(set) = canal.and_then(|config| number(config.data("veth_mtu")?)) {
        return (Some(set), canal.map_or_else(|| default(cni), |config| subject(Kind::CONFIG_MAP, config)));
    }
    match flannel::read(snapshot) {
        Some(flannel) => {
            let set = flannel.number("MTU").and_then(|bytes| u32::try_from(bytes).ok());
            (set.filter(|bytes| *bytes != 0), flannel.source)
        }
        None => (None, default(cni)),
    }
}

fn aws_mtu(snapshot: &Snapshot) -> (Option<u32>, Subject) {
    let Some(node) = agent(snapshot, &["aws-node"]) else { return (Some(9001), default(Cni::AwsVpcCni)) };
    let named = ["POD_MTU", "AWS_VPC_ENI_MTU"].iter().find_map(|name| number(variable(node, name)?));
    (Some(named.unwrap_or(9001)), Subject::from_meta(Kind::DAEMON_SET, &node.metadata))
}
