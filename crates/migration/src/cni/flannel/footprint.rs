//! Flannel, in the namespace kube-flannel of today's manifest, kube-system of that up to v0.18, or that of a chart's release.
//!
//! *Source*: flannel-io/flannel: Documentation/kube-flannel.yml at v0.12.0, v0.18.1, v0.25.5 and v0.28.9; chart/kube-flannel.

use crate::cni::footprint::Part::{Agent, Right, Setting};
use crate::cni::footprint::{
    ACCOUNT, CLUSTER_ROLE, CLUSTER_ROLE_BINDING, CONFIG_MAP, DAEMON_SET, Footprint, Place, Row, SYSTEM, row,
};

/// An upgrade across v0.19 leaves both forms behind.
const FORMS: Place = Place::In(&["kube-flannel", "kube-system"]);

const ROWS: &[Row] = &[
    row(Agent, DAEMON_SET, FORMS, &["kube-flannel-ds"]),
    row(Agent, DAEMON_SET, Place::Agent, &["kube-flannel-ds"]),
    row(
        Agent,
        DAEMON_SET,
        SYSTEM,
        &[
            "kube-flannel-ds-amd64",
            "kube-flannel-ds-arm64",
            "kube-flannel-ds-arm",
            "kube-flannel-ds-ppc64le",
            "kube-flannel-ds-s390x",
        ],
    ),
    row(Setting, CONFIG_MAP, FORMS, &["kube-flannel-cfg"]),
    row(Setting, CONFIG_MAP, Place::Agent, &["kube-flannel-cfg"]),
    row(Right, ACCOUNT, FORMS, &["flannel"]),
    row(Right, ACCOUNT, Place::Agent, &["flannel"]),
    row(Right, CLUSTER_ROLE, Place::Cluster, &["flannel"]),
    row(Right, CLUSTER_ROLE_BINDING, Place::Cluster, &["flannel"]),
];

/// Annotations of Nodes, but for the overwrites, which people set.
pub(in crate::cni) const ANNOTATIONS: (&str, &[&str]) = (
    "flannel.alpha.coreos.com/",
    &[
        "kube-subnet-manager",
        "backend-data",
        "backend-v6-data",
        "backend-type",
        "public-ip",
        "public-ipv6",
        "node-public-ip",
        "node-public-ipv6",
    ],
);
pub(in crate::cni) const REASON: &str = "FlannelIsUp";

pub(super) const FOOTPRINT: Footprint = Footprint {
    rows: &[ROWS],
    definitions: &[],
    secrets: &[],
    namespaces: &["kube-flannel"],
    annotations: &[ANNOTATIONS],
    reasons: &[REASON],
    taints: &[],
};
