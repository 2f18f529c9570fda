//! Address ranges.

use serde_json::json;

use super::clusters::{block, choose, cilium, cilium_node, no_cilium, node, pod, service};
use super::{Edit, Printed, Row, row};

pub(super) const ROWS: &[Row] = &[
    row(
        "cidr-invalid",
        |w| {
            w.add("{apiVersion: crd.projectcalico.org/v1, kind: IPPool, metadata: {name: odd}, spec: {cidr: 10.99.6.42/26, disabled: true}}")
        },
        Edit("Correct the range", |w| w.merge("ippool", "odd", json!({"spec": {"cidr": "10.99.6.0/26"}}))),
    ),
    row(
        "cidr-overlap-services",
        |w| service(w, "clusterIPs: [10.245.0.10]"),
        Edit("install the new CNI with it", choose),
    ),
    row(
        "cidr-overlap-nodes",
        |w| node(w, json!({"status": {"addresses": [{"type": "InternalIP", "address": "10.245.0.7"}]}})),
        Edit("install the new CNI with it", choose),
    ),
    row(
        "cidr-overlap-external",
        |w| w.set("cidrs: {external: [10.245.7.0/24]}"),
        Edit("install the new CNI with it", choose),
    ),
    row(
        "cidr-overlap-reserved",
        |w| w.set("cidrs: {reserved: [10.245.7.0/24]}"),
        Edit("install the new CNI with it", choose),
    ),
    row(
        "cidr-overlap-pool",
        |w| w.merge("ippool", "pool", json!({"spec": {"cidr": "10.245.0.0/17"}})),
        Edit("cidr-plan", choose),
    ),
    row("cidr-overlap-block", |w| block(w, "10.245.1.0/26"), Edit("cidr-plan", choose)),
    row(
        "cidr-overlap-own-block",
        |w| {
            cilium_node(w, "ipam: {podCIDRs: [10.247.1.0/24]}");
            block(w, "10.247.1.0/26");
        },
        Edit("cidr-plan", |w| w.remove("ipamblock", "b")),
    ),
    row(
        "cidr-plan",
        |w| {
            w.set("cidrs: {drainAtMostPercent: 100}");
            cilium_node(w, "ipam: {podCIDRs: [10.247.1.0/24]}");
            block(w, "10.247.1.0/26");
            w.merge("ipamblock", "b", json!({"spec": {"affinity": "host:n2"}}));
        },
        Edit("the blocks must be gone", |w| w.remove("ipamblock", "b")),
    ),
    row(
        "cidr-same-on-node",
        |w| {
            cilium_node(w, "ipam: {podCIDRs: [10.10.1.0/26]}");
            block(w, "10.10.1.0/26");
        },
        Edit("install the new CNI with it", |w| cilium_node(w, "ipam: {podCIDRs: [10.245.1.0/24]}")),
    ),
    row(
        "cidr-unknown",
        |w| {
            no_cilium(w);
            w.set("networks: {new: {cidrs: null}}");
        },
        Edit("Set networks.new.cidrs", |w| w.set("networks: {new: {cidrs: [10.245.0.0/16]}}")),
    ),
    row(
        "gateway-conflict",
        |w| {
            cilium_node(w, "addresses: [{type: CiliumInternalIP, ip: 10.10.1.9}]");
            pod(w, "web", "ReplicaSet/web", json!({"status": {"podIPs": [{"ip": "10.10.1.9"}]}}));
        },
        Printed,
    ),
    row(
        "cidr-too-small",
        |w| cilium(w, json!({"cluster-pool-ipv4-cidr": "10.245.0.0/23"})),
        Edit("add one to the end of Cilium's list", |w| {
            cilium(w, json!({"cluster-pool-ipv4-cidr": "10.245.0.0/23 10.246.0.0/16"}))
        }),
    ),
];
