//! Canal: Flannel's network and Calico's policies in one DaemonSet.
//!
//! *Source*: projectcalico/calico: manifests/canal.yaml at v3.28.1 and v3.32.1. RKE2's canal has other names, and RKE2 brings it back.

use crate::cni::calico::footprint as calico;
use crate::cni::flannel::footprint as flannel;
use crate::cni::footprint::Part::{Agent, Right, Setting};
use crate::cni::footprint::{
    ACCOUNT, CLUSTER_ROLE, CLUSTER_ROLE_BINDING, CONFIG_MAP, DAEMON_SET, Footprint, Place, Row, SYSTEM, row,
};

const ROWS: &[Row] = &[
    row(Agent, DAEMON_SET, SYSTEM, &["canal"]),
    row(Setting, CONFIG_MAP, SYSTEM, &["canal-config"]),
    row(Right, ACCOUNT, SYSTEM, &["canal"]),
    row(Right, CLUSTER_ROLE, Place::Cluster, &["flannel"]),
    row(Right, CLUSTER_ROLE_BINDING, Place::Cluster, &["canal-calico", "canal-flannel"]),
];

pub(super) const FOOTPRINT: Footprint = Footprint {
    rows: &[calico::SHARED, ROWS],
    definitions: &[calico::DEFINITIONS],
    secrets: &[calico::SERVER_SECRETS],
    namespaces: &[calico::SERVER_NAMESPACE],
    annotations: &[calico::ANNOTATIONS, flannel::ANNOTATIONS],
    reasons: &["CalicoIsUp", "CalicoIsDown", flannel::REASON],
    taints: &[],
};
