//! Requirements, each as it is not met and as it is unknown.

use serde_json::json;

use super::super::Exemption::{self, CoveredBy, Never};
use super::clusters::{GOOD, antrea, cilium, flannel, node, to_calico, version};
use super::{Edit, Fix, Printed, Row, Waiver};
use crate::check::tests::fixes::world::World;
use crate::cni::support::{Cni, Strategy};

const NOT_MET: &str = "requirement-not-met";
const UNKNOWN: &str = "requirement-unknown";

/// The states that no row tries, with the reason.
pub(in crate::check::tests::fixes) const UNSEEN: &[(&str, &str, Exemption)] = &[
    ("pair", UNKNOWN, Never),
    ("strategy", UNKNOWN, Never),
    ("runtime-version", NOT_MET, CoveredBy("version-runtime")),
    ("distinct-ranges", NOT_MET, CoveredBy("cidr-overlap-services")),
    ("distinct-ranges", UNKNOWN, CoveredBy("cidr-unknown")),
    ("calico-ipam", UNKNOWN, Never),
    ("calico-pool-uses", UNKNOWN, Never),
    ("calico-encapsulation", UNKNOWN, Never),
    ("calico-auto-blocks", UNKNOWN, Never),
    ("calico-iptables", NOT_MET, CoveredBy("feature-ebpf")),
    ("calico-iptables", UNKNOWN, Never),
    ("aws-pod-security-groups", NOT_MET, CoveredBy("feature-aws-security-groups")),
    ("aws-pod-security-groups", UNKNOWN, Never),
    ("cilium-ipam", UNKNOWN, CoveredBy("values-not-installed")),
    ("cilium-unchained", NOT_MET, CoveredBy("cilium-chaining")),
    ("cilium-unchained", UNKNOWN, CoveredBy("values-not-installed")),
    ("antrea-version", NOT_MET, Never),
    ("antrea-encapsulation", UNKNOWN, CoveredBy("values-not-installed")),
];

const fn not_met(requirement: &'static str, given: fn(&mut World), fix: Fix) -> Row {
    Row { code: NOT_MET, requirement, change: given, fix }
}

const fn unknown(requirement: &'static str, given: fn(&mut World), fix: Fix) -> Row {
    Row { code: UNKNOWN, requirement, change: given, fix }
}

/// Another image of an agent.
fn image(world: &mut World, agent: &str, image: &str) {
    world.at("daemonset", agent)["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
}

fn no_node(world: &mut World) {
    for name in ["n1", "n2", "n3"] {
        world.remove("node", name);
    }
}

fn backend(world: &mut World, conf: &str) {
    flannel(world);
    world.merge("configmap", "kube-flannel-cfg", json!({"data": {"net-conf.json": conf}}));
}

pub(super) const ROWS: &[Row] = &[
    not_met("pair", |w| w.to = Cni::Flannel, Edit("choose --to cilium", |w| w.to = Cni::Cilium)),
    not_met(
        "strategy",
        |w| {
            antrea(w, "trafficEncapMode: encap");
            w.strategy = Strategy::Double;
        },
        Edit("--strategy bridge", |w| w.strategy = Strategy::Bridge),
    ),
    // Nodes.
    not_met(
        "kubelet-version",
        |w| {
            node(w, json!({"metadata": {"labels": {"type": "virtual-kubelet"}}}));
            version(w, "kubeletVersion", "v1.24.1");
        },
        Edit("update kubelet", |w| version(w, "kubeletVersion", "v1.31.1")),
    ),
    not_met(
        "linux",
        |w| version(w, "operatingSystem", "freebsd"),
        Edit("let these nodes leave the cluster", |w| w.remove("node", "n3")),
    ),
    unknown("kubelet-version", no_node, Edit("take the snapshot again", |w| w.add(GOOD))),
    unknown("runtime-version", no_node, Edit("take the snapshot again", |w| w.add(GOOD))),
    unknown("linux", no_node, Edit("take the snapshot again", |w| w.add(GOOD))),
    // The CNI to move from.
    not_met(
        "calico-version",
        |w| image(w, "calico-node", "calico/node:v3.20.0"),
        Edit("update it", |w| image(w, "calico-node", "calico/node:v3.27.0")),
    ),
    unknown("calico-version", |w| image(w, "calico-node", "calico/node:master"), Waiver),
    not_met("calico-ipam", |w| w.remove("ippool", "pool"), Edit("create the pool", |w| w.add(GOOD))),
    not_met(
        "calico-ipam",
        |w| {
            w.remove("ippool", "pool");
            w.merge(
                "configmap",
                "calico-config",
                json!({"data": {"etcd_endpoints": "https://10.0.0.1:2379"}}),
            );
        },
        Edit("calicoctl datastore migrate", |w| {
            w.add(GOOD);
            w.merge("configmap", "calico-config", json!({"data": {"etcd_endpoints": null}}));
        }),
    ),
    not_met(
        "calico-pool-uses",
        |w| w.merge("ippool", "pool", json!({"spec": {"allowedUses": ["Workload"]}})),
        Printed,
    ),
    not_met(
        "calico-pool-uses",
        |w| w.merge("ippool", "pool", json!({"spec": {"allowedUses": ["Tunnel"]}})),
        Edit("create a pool for pods", |w| {
            w.add("{apiVersion: crd.projectcalico.org/v1, kind: IPPool, metadata: {name: pods}, spec: {cidr: 10.11.0.0/16, ipipMode: Always, vxlanMode: Never, allowedUses: [Workload, Tunnel]}}")
        }),
    ),
    not_met(
        "calico-encapsulation",
        |w| w.merge("ippool", "pool", json!({"spec": {"ipipMode": "Never"}})),
        Edit("spec.ipipMode", |w| w.merge("ippool", "pool", json!({"spec": {"ipipMode": "Always"}}))),
    ),
    not_met(
        "calico-encapsulation",
        |w| w.merge("ippool", "pool", json!({"spec": {"ipipMode": "Never"}})),
        Edit("--strategy rotation", |w| w.strategy = Strategy::Rotation),
    ),
    not_met(
        "calico-auto-blocks",
        |w| {
            w.add("{apiVersion: crd.projectcalico.org/v1, kind: IPAMConfig, metadata: {name: default}, spec: {autoAllocateBlocks: false}}")
        },
        Printed,
    ),
    not_met(
        "flannel-version",
        |w| {
            flannel(w);
            image(w, "kube-flannel-ds", "flannel/flannel:v0.20.0");
        },
        Edit("update it", |w| image(w, "kube-flannel-ds", "flannel/flannel:v0.25.0")),
    ),
    unknown(
        "flannel-version",
        |w| {
            flannel(w);
            image(w, "kube-flannel-ds", "flannel/flannel:master");
        },
        Waiver,
    ),
    not_met(
        "flannel-backend",
        |w| backend(w, r#"{"Network":"10.244.0.0/16","Backend":{"Type":"udp"}}"#),
        Edit("--strategy rotation", |w| w.strategy = Strategy::Rotation),
    ),
    unknown("flannel-backend", |w| backend(w, r#"{"Network":"10.244.0.0/16"}"#), Waiver),
    unknown(
        "flannel-backend",
        |w| {
            flannel(w);
            w.remove("configmap", "kube-flannel-cfg");
        },
        Waiver,
    ),
    // The CNI to move to.
    not_met(
        "cilium-version",
        |w| image(w, "cilium", "quay.io/cilium/cilium:v1.12.0"),
        Edit("update it", |w| image(w, "cilium", "quay.io/cilium/cilium:v1.17.4")),
    ),
    unknown("cilium-version", |w| image(w, "cilium", "quay.io/cilium/cilium:latest"), Waiver),
    // The finding of the same name is a risk, and blocks nothing.
    not_met(
        "cilium-ipam",
        |w| cilium(w, json!({"ipam": "azure"})),
        Edit("ipam.mode=cluster-pool", |w| cilium(w, json!({"ipam": "cluster-pool"}))),
    ),
    unknown(
        "antrea-version",
        |w| {
            antrea(w, "trafficEncapMode: encap");
            image(w, "antrea-agent", "antrea/antrea-agent-ubuntu:latest");
        },
        Waiver,
    ),
    not_met(
        "antrea-encapsulation",
        |w| antrea(w, "trafficEncapMode: hybrid"),
        Edit("trafficEncapMode=encap", |w| {
            w.merge(
                "configmap",
                "antrea-config",
                json!({"data": {"antrea-agent.conf": "trafficEncapMode: encap"}}),
            )
        }),
    ),
    not_met(
        "antrea-encapsulation",
        |w| antrea(w, "trafficEncapMode: noEncap"),
        Edit("trafficEncapMode=encap", |w| {
            w.merge(
                "configmap",
                "antrea-config",
                json!({"data": {"antrea-agent.conf": "trafficEncapMode: encap"}}),
            )
        }),
    ),
    not_met(
        "calico-installed",
        |w| {
            to_calico(w);
            image(w, "calico-node", "calico/node:v3.20.0");
        },
        Edit("update it", |w| image(w, "calico-node", "calico/node:v3.27.0")),
    ),
    unknown(
        "calico-installed",
        |w| {
            to_calico(w);
            image(w, "calico-node", "calico/node:master");
        },
        Waiver,
    ),
];
