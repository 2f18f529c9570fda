//! Capacity, DNS and workloads.

use serde_json::json;

use super::super::world::World;
use super::clusters::{
    antrea, cilium, database, no_cilium, node, node_config, pod, ports, service, workload,
};
use super::{Edit, Of, Printed, PrintedThen, Row, Settings, Waiver, row};
use crate::cni::support::Strategy;

/// A Service that kube-proxy translates.
fn served(world: &mut World) {
    service(world, "clusterIPs: [172.20.0.10], selector: {a: b}");
}

pub(super) const ROWS: &[Row] = &[
    row(
        "capacity-short",
        |w| {
            for location in ["1", "2", "3"] {
                pod(
                    w,
                    &format!("big-{location}"),
                    "ReplicaSet/big",
                    json!({"spec": {"nodeName": format!("n{location}"), "containers": [{"name": "c", "resources": {"requests": {"cpu": "5"}}}]}}),
                );
            }
        },
        Settings("roll: {methods: {POOL: churn}}", "roll: {methods: {'*': churn}}"),
    ),
    row(
        "capacity-unknown",
        |w| node(w, json!({"status": {"allocatable": null}})),
        Edit("Take the snapshot again", |w| {
            node(w, json!({"status": {"allocatable": {"cpu": "8", "memory": "16Gi", "pods": "110"}}}))
        }),
    ),
    row(
        "pod-fits-nowhere",
        |w| {
            w.merge("node", "n1", json!({"status": {"allocatable": {"cpu": "20"}}}));
            pod(
                w,
                "big",
                "ReplicaSet/big",
                json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "9"}}}]}}),
            );
        },
        Edit("roll: {methods: {POOL: churn}}", |w| w.set("roll: {methods: {'*': churn}}")),
    ),
    row(
        "dns-absent",
        |w| {
            for name in ["coredns-1", "coredns-2"] {
                w.at("pod", name)["metadata"]["labels"]["k8s-app"] = "other".into();
            }
        },
        Settings(
            "dns: {namespace: NAMESPACE, labels: {KEY: VALUE}}",
            "dns: {namespace: kube-system, labels: {k8s-app: other}}",
        ),
    ),
    row(
        "dns-on-one-node",
        |w| w.at("pod", "coredns-2")["spec"]["nodeName"] = "n1".into(),
        Edit("Spread them", |w| w.at("pod", "coredns-2")["spec"]["nodeName"] = "n2".into()),
    ),
    row(
        "dns-too-few",
        |w| {
            w.remove("pod", "coredns-2");
            w.merge(
                "deployment",
                "coredns",
                json!({"spec": {"replicas": 1}, "status": {"readyReplicas": 1}}),
            );
        },
        PrintedThen(|w| {
            let mut second = w.at("pod", "coredns-1").clone();
            (second["metadata"]["name"], second["spec"]["nodeName"]) = ("coredns-2".into(), "n2".into());
            w.documents.push(second);
        }),
    ),
    row(
        "dns-zone-without",
        |w| {
            for (name, zone) in [("n1", "a"), ("n2", "a"), ("n3", "b")] {
                w.merge("node", name, json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}}));
            }
        },
        Edit("Spread DNS", |w| w.at("pod", "coredns-2")["spec"]["nodeName"] = "n3".into()),
    ),
    row("host-port-lost", |w| pod(w, "web", "ReplicaSet/web", ports()), Printed),
    row(
        "host-port-lost",
        |w| {
            pod(w, "web", "ReplicaSet/web", ports());
            cilium(w, json!({"cni-chaining-mode": "portmap"}));
            node_config(w, "c", "kubernetes.io/os: linux", "cni-chaining-mode: none");
        },
        Printed,
    ),
    row(
        "host-port-lost",
        |w| {
            no_cilium(w);
            pod(w, "web", "ReplicaSet/web", ports());
        },
        Of("values-not-installed"),
    ),
    // The fix of the setting serves the ports, too.
    row(
        "host-port-lost",
        |w| {
            pod(w, "web", "ReplicaSet/web", ports());
            cilium(w, json!({"cni-chaining-mode": "aws-cni"}));
        },
        Printed,
    ),
    row("services-bridged", served, Waiver),
    row("services-bridged", served, Printed),
    row(
        "services-bridged",
        |w| {
            served(w);
            cilium(w, json!({"bpf-lb-sock": "true", "bpf-lb-sock-hostns-only": "true"}));
        },
        Printed,
    ),
    row(
        "services-bridged",
        |w| {
            served(w);
            cilium(w, json!({"bpf-lb-sock": "true"}));
            node_config(
                w,
                "c",
                "kubernetes.io/os: linux",
                "bpf-lb-sock: \"false\", bpf-lb-sock-hostns-only: \"true\"",
            );
        },
        Printed,
    ),
    row(
        "services-bridged",
        |w| {
            served(w);
            no_cilium(w);
        },
        Of("values-not-installed"),
    ),
    row(
        "services-bridged",
        served,
        Settings(
            "roll: {gates: [{name: bridge, command: [PROGRAM]}], bridge: {gate: bridge}}",
            "roll: {gates: [{name: bridge, command: [./bridge]}], bridge: {gate: bridge}}",
        ),
    ),
    row(
        "services-bridged",
        |w| {
            antrea(w, "trafficEncapMode: encap");
            w.strategy = Strategy::Double;
            served(w);
        },
        Settings("roll: {bridge: {accept: WHY}}", "roll: {bridge: {accept: a router}}"),
    ),
    row(
        "freeze-not-found",
        |w| w.set("freeze: [{name: g, members: [{namespace: x, name: db}]}]"),
        Edit("Correct freeze", |w| w.set("freeze: []")),
    ),
    row(
        "freeze-scaled-by-others",
        |w| {
            database(w);
            w.merge("statefulset", "db", json!({"metadata": {"ownerReferences": [{"kind": "Postgres", "name": "p", "controller": true}]}}));
            w.set("freeze: [{name: g, method: scale, members: [{namespace: x, name: db}]}]");
        },
        Edit("method: ordinals", |w| {
            w.set("freeze: [{name: g, method: ordinals, members: [{namespace: x, name: db}]}]")
        }),
    ),
    row(
        "freeze-twice",
        |w| {
            database(w);
            w.set("freeze: [{name: g, members: [{namespace: x, name: db}]}, {name: h, members: [{namespace: x, name: db}]}]");
        },
        Edit("in one place", |w| w.set("freeze: [{name: g, members: [{namespace: x, name: db}]}]")),
    ),
    row(
        "stateful-without-group",
        database,
        Settings(
            "freeze: [{name: GROUP, members: [{namespace: x, name: db}]}]",
            "freeze: [{name: g, members: [{namespace: x, name: db}]}]",
        ),
    ),
    row(
        "pod-local-volume",
        |w| {
            w.add("{apiVersion: v1, kind: PersistentVolume, metadata: {name: v}, spec: {local: {path: /d}}}\n---\n{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c, namespace: x}, spec: {volumeName: v}}");
            pod(
                w,
                "db-0",
                "StatefulSet/db",
                json!({"spec": {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "c"}}]}}),
            );
        },
        Edit("roll: {methods: {POOL: churn}}", |w| w.set("roll: {methods: {'*': churn}}")),
    ),
    row(
        "clean-up-absent",
        |w| w.set("cleanUpResources: {daemonSets: {x: [gone]}}"),
        Edit("cleanUpResources", |w| w.set("cleanUpResources: null")),
    ),
    row(
        "clean-up-new-agent",
        |w| w.set("cleanUpResources: {daemonSets: {kube-system: [cilium]}}"),
        Edit("cleanUpResources", |w| w.set("cleanUpResources: null")),
    ),
    row(
        "preflight-absent",
        |w| w.set("preflightResources: {daemonSets: {x: [gone]}}"),
        Edit("preflightResources", |w| w.set("preflightResources: null")),
    ),
    row(
        "watched-absent",
        |w| w.set("watchedResources: {daemonSets: {x: [gone]}}"),
        Edit("watchedResources", |w| w.set("watchedResources: null")),
    ),
    row(
        "watched-empty",
        |w| w.set("watchedResources: {daemonSets: {kube-system: [cilium]}}"),
        Edit("watchedResources", |w| w.set("watchedResources: null")),
    ),
    row(
        "watched-not-ready",
        |w| {
            workload(w, "Deployment", "web", 2);
            w.merge("deployment", "web", json!({"status": {"readyReplicas": 1}}));
            w.set("watchedResources: {deployments: {x: [web]}}");
        },
        Edit("watchedResources", |w| w.set("watchedResources: null")),
    ),
];
