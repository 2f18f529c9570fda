//! The nodes of a fleet, and their registration.

use std::net::Ipv4Addr;

use serde_json::{Value, json};
use types::api::observed::NodeObservation;
use types::policy::Phase;

/// The label of a node's pool.
pub const POOL: &str = "lab/pool";
/// The taint that a new node bears until its network works.
pub(super) const STARTUP: &str = "readiness.k8s.io/crossfade";
/// The taint that it bears until its new agent runs, which is as soon.
pub(super) const AGENT: &str = "node.cilium.io/agent-not-ready";
/// Pods that a node has room for.
const PODS: u32 = 110;
/// Addresses that a node has in each network.
pub(super) const ADDRESSES: u32 = 128;
/// The first address of the old network, of the new one, and of the nodes.
const FIRST: [Ipv4Addr; 3] =
    [Ipv4Addr::new(10, 0, 0, 0), Ipv4Addr::new(10, 64, 0, 0), Ipv4Addr::new(172, 24, 0, 1)];

/// A fleet of nodes.
#[derive(Debug, Clone, Copy)]
pub struct Fleet {
    pub nodes: u32,
    /// Zones that they are spread over.
    pub zones: u32,
    /// How many of them are of the pool `first`; the others are of the pool `rest`.
    pub first: u32,
    /// Networks join and leave pods that run.
    pub joins: bool,
    /// Nothing of Crossfade is on its nodes, so that they do not report.
    pub is_plain: bool,
    /// The phase of the image whose nodes replace these.
    pub image: Phase,
}

/// One node of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Which one it is, from 0.
    pub index: u32,
    zone: u32,
    is_first: bool,
    pub(super) joins: bool,
    pub(super) is_plain: bool,
    /// The phase in which it registers.
    pub(super) phase: Phase,
    pub(super) boot: Boot,
}

/// How far a node is when it registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boot {
    /// Everything works.
    Over,
    /// It bears the start-up taints of its image until its network works, which is soon.
    Begun,
    /// It bears those taints for ever: its network never works.
    Stuck,
}

/// The settings of an operator who moves hollow nodes, `in_transit` of them at once. Nodes have time, since the machine may be busy.
pub fn unhurried(in_transit: u32) -> Value {
    json!({
        "nodes": { "poolLabels": [POOL] },
        "startupTaints": [{ "key": STARTUP }, { "key": AGENT }],
        "roll": {
            "limits": {
                "inTransit": in_transit, "zonePercent": 100, "settleSeconds": 1, "soakSeconds": 0,
                "claimSeconds": 600, "flipSeconds": 600, "proveSeconds": 900,
            },
            "bridge": { "accept": "hollow nodes have no network" },
        },
    })
}

impl Fleet {
    /// All of its nodes.
    pub fn members(self) -> impl Iterator<Item = Member> {
        (0..self.nodes).map(move |index| Member {
            index,
            zone: index % self.zones,
            is_first: index < self.first,
            joins: self.joins,
            is_plain: self.is_plain,
            phase: Phase::Old,
            boot: Boot::Over,
        })
    }

    /// The names of its nodes of the pool `first`.
    pub(super) fn first_nodes(self) -> impl Iterator<Item = String> {
        self.members().filter(|member| member.is_first).map(Member::name)
    }

    /// A node of the image that a pipeline starts later, in the zone and the pool of this one.
    pub(super) fn newcomer(self, index: u32, replaced: Member, boot: Boot) -> Member {
        Member { index, is_plain: false, phase: self.image, boot, ..replaced }
    }
}

impl Member {
    /// The name of its Node.
    pub fn name(self) -> String {
        format!("hollow-{:04}", self.index)
    }

    pub(super) fn boot(self) -> String {
        format!("10000000-0000-4000-8000-{:012}", self.index)
    }

    /// Its own address.
    pub(super) fn address(self) -> Ipv4Addr {
        nth(FIRST[2], self.index)
    }

    /// An address for a pod that is attached in a phase: that of its primary network.
    pub(super) fn pod_address(self, phase: Phase, slot: u32) -> Ipv4Addr {
        let network = match phase {
            Phase::Old | Phase::BothOld => FIRST[0],
            Phase::BothNew | Phase::New => FIRST[1],
        };
        nth(network, self.index * ADDRESSES + slot + 1)
    }

    /// What it registers with, of a release of Kubernetes by its minor version.
    pub(super) fn object(self, minor: u32, observed: &NodeObservation, now: &str) -> Value {
        let phase = self.phase;
        let (name, resources) =
            (self.name(), json!({ "cpu": "64", "memory": "256Gi", "pods": PODS.to_string() }));
        let condition = |kind: &str, status: &str| {
            json!({
                "type": kind, "status": status, "reason": "Hollow", "message": "a hollow node is always so",
                "lastHeartbeatTime": now, "lastTransitionTime": now,
            })
        };
        let mut node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": name,
                "labels": {
                    "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
                    "topology.kubernetes.io/zone": format!("zone-{}", self.zone),
                    POOL: if self.is_first { "first" } else { "rest" },
                    "crossfade/phase": phase.as_str(),
                },
                "annotations": { types::api::observed::KEY: observed.to_text() },
            },
            "status": {
                "capacity": resources, "allocatable": resources,
                "addresses": [
                    { "type": "InternalIP", "address": self.address() }, { "type": "Hostname", "address": name },
                ],
                "conditions": [
                    condition("Ready", "True"), condition("MemoryPressure", "False"),
                    condition("DiskPressure", "False"), condition("PIDPressure", "False"),
                    self.ready(phase, now),
                ],
                "nodeInfo": {
                    "architecture": "amd64", "bootID": self.boot(), "containerRuntimeVersion": "containerd://1.7.20",
                    "kernelVersion": "6.1.0-25-amd64", "kubeProxyVersion": format!("v1.{minor}.0"),
                    "kubeletVersion": format!("v1.{minor}.0"), "machineID": format!("{:032}", self.index),
                    "operatingSystem": "linux", "osImage": "none", "systemUUID": self.boot(),
                },
            },
        });
        if self.is_plain
            && let Some(labels) = node["metadata"]["labels"].as_object_mut()
        {
            labels.remove("crossfade/phase");
        }
        if self.boot != Boot::Over {
            let taints = [STARTUP, AGENT].map(|key| json!({ "key": key, "effect": "NoSchedule" }));
            node["spec"] = json!({ "taints": taints });
        }
        if self.is_plain || self.boot != Boot::Over {
            node["metadata"]["annotations"] = json!({});
            if let Some(conditions) = node["status"]["conditions"].as_array_mut() {
                conditions.retain(|condition| condition["type"] != "CrossfadeReady");
            }
        }
        node
    }

    /// The condition that says that its network works.
    pub(super) fn ready(self, phase: Phase, now: &str) -> Value {
        json!({
            "type": "CrossfadeReady", "status": "True", "reason": "NetworkReady",
            "message": format!("{phase} is ready (boot {})", self.boot()),
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        })
    }
}

fn nth(first: Ipv4Addr, index: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(first) + index)
}

/// The network that a pod's address is of: `old`, `new`, or `none` where it is of neither.
pub fn network_of(pod: &Value) -> &'static str {
    let address = pod["status"]["podIP"].as_str().unwrap_or_default().parse::<Ipv4Addr>();
    match address.map(|address| address.octets()) {
        Ok([10, 0..64, ..]) => "old",
        Ok([10, 64..128, ..]) => "new",
        _ => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_pods_and_no_two_networks_share_an_address() {
        let fleet =
            Fleet { nodes: 500, zones: 3, first: 100, joins: false, is_plain: false, image: Phase::New };
        let mut seen = std::collections::BTreeSet::new();
        for member in fleet.members() {
            for slot in 0..PODS {
                for (phase, network) in [(Phase::Old, "old"), (Phase::New, "new")] {
                    let address = member.pod_address(phase, slot);
                    assert!(seen.insert(address), "{address} twice");
                    assert_eq!(network_of(&json!({ "status": { "podIP": address } })), network, "{address}");
                }
            }
        }
        assert_eq!(network_of(&json!({ "status": {} })), "none");
        assert_eq!(network_of(&json!({ "status": { "podIP": "172.24.0.1" } })), "none");
    }

    #[test]
    fn a_fleet_has_its_pools_and_zones() {
        let fleet = Fleet { nodes: 5, zones: 2, first: 2, joins: false, is_plain: false, image: Phase::New };
        let members: Vec<Member> = fleet.members().collect();
        let first = members.iter().filter(|member| member.is_first).count();
        let zones: Vec<u32> = members.iter().map(|member| member.zone).collect();
        assert_eq!((first, zones), (2, vec![0, 1, 0, 1, 0]));
    }
}
