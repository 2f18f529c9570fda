//! References to the old range, and what means something else afterwards.

use serde_json::json;

use super::clusters::{cilium, felix, policy, service};
use super::{Edit, Printed, Row, row};

pub(super) const ROWS: &[Row] = &[
    row(
        "meaning-end-port",
        |w| {
            w.at("daemonset", "cilium")["spec"]["template"]["spec"]["containers"][0]["image"] =
                "quay.io/cilium/cilium:v1.15.1".into();
            policy(w, "{ports: [{port: 1, endPort: 9}]}");
        },
        Edit("Install Cilium 1.16 or later", |w| {
            w.at("daemonset", "cilium")["spec"]["template"]["spec"]["containers"][0]["image"] =
                "quay.io/cilium/cilium:v1.16.1".into()
        }),
    ),
    row(
        "meaning-external-local",
        |w| service(w, "externalTrafficPolicy: Local"),
        Edit("externalTrafficPolicy to Cluster", |w| service(w, "externalTrafficPolicy: Cluster")),
    ),
    row(
        "meaning-ip-block",
        |w| policy(w, "{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}"),
        Edit("add a peer that selects the pods", |w| {
            policy(w, "{from: [{ipBlock: {cidr: 10.0.0.0/8}}, {podSelector: {}, namespaceSelector: {}}]}")
        }),
    ),
    row(
        "meaning-named-port",
        |w| policy(w, "{ports: [{port: http}]}"),
        Edit("write the numbers", |w| policy(w, "{ports: [{port: 80}]}")),
    ),
    row(
        "meaning-sctp",
        |w| policy(w, "{ports: [{port: 80, protocol: SCTP}]}"),
        Edit("sctp.enabled=true", |w| cilium(w, json!({"enable-sctp": "true"}))),
    ),
    row("old-range-policies", |w| policy(w, "{from: [{ipBlock: {cidr: 10.10.0.0/16}}]}"), Printed),
    row(
        "old-range-policies",
        |w| policy(w, "{from: [{ipBlock: {cidr: 10.10.0.0/16, except: [10.10.7.0/24]}}]}"),
        Printed,
    ),
    row(
        "old-range-policies",
        |w| policy(w, "{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.10.0.0/16]}}]}"),
        Printed,
    ),
    row("old-range-services", |w| service(w, "loadBalancerSourceRanges: [10.10.0.0/16]"), Printed),
    row(
        "old-range-settings",
        |w| {
            w.add("{apiVersion: v1, kind: ConfigMap, metadata: {name: kube-proxy, namespace: kube-system}, data: {config.conf: 'clusterCIDR: 10.10.0.0/16'}}")
        },
        Edit("or leave it empty", |w| {
            w.merge("configmap", "kube-proxy", json!({"data": {"config.conf": "clusterCIDR: ''"}}))
        }),
    ),
    row(
        "old-range-settings",
        |w| {
            w.add("{apiVersion: v1, kind: ConfigMap, metadata: {name: coredns, namespace: kube-system}, data: {Corefile: 'acl allow net 10.10.0.0/16'}}")
        },
        Edit("add 10.245.0.0/16 beside the old range", |w| {
            w.merge(
                "configmap",
                "coredns",
                json!({"data": {"Corefile": "acl allow net 10.10.0.0/16 10.245.0.0/16"}}),
            )
        }),
    ),
    row(
        "old-range-settings",
        |w| felix(w, json!({"externalNodesList": ["10.10.0.0/16"]})),
        Edit("add 10.245.0.0/16 beside the old range", |w| {
            felix(w, json!({"externalNodesList": ["10.10.0.0/16", "10.245.0.0/16"]}))
        }),
    ),
];
