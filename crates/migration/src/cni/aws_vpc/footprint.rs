//! The Amazon VPC CNI. Controllers of EKS own all kinds of networking.k8s.aws and vpcresources.k8s.aws.
//!
//! *Source*: aws/amazon-vpc-cni-k8s: config/master and charts at v1.18.3 and v1.23.0.

use crate::cni::footprint::Part::{Agent, Controller, Right, Setting};
use crate::cni::footprint::{
    ACCOUNT, CLUSTER_ROLE, CLUSTER_ROLE_BINDING, CONFIG_MAP, Class, DAEMON_SET, DEPLOYMENT, Definitions,
    Footprint, Place, Row, SYSTEM, row,
};

const ROWS: &[Row] = &[
    row(Controller, DEPLOYMENT, SYSTEM, &["cni-metrics-helper"]),
    row(Agent, DAEMON_SET, SYSTEM, &["aws-node"]),
    row(Setting, CONFIG_MAP, SYSTEM, &["amazon-vpc-cni", "aws-node"]),
    row(Right, ACCOUNT, SYSTEM, &["aws-node", "cni-metrics-helper"]),
    row(Right, CLUSTER_ROLE, Place::Cluster, &["aws-node", "cni-metrics-helper"]),
    row(Right, CLUSTER_ROLE_BINDING, Place::Cluster, &["aws-node", "cni-metrics-helper"]),
];

pub(super) const FOOTPRINT: Footprint = Footprint {
    rows: &[ROWS],
    definitions: &[&[Definitions {
        group: "crd.k8s.amazonaws.com",
        class: Class::Configuration,
        is_converted: false,
        plurals: &["eniconfigs"],
    }]],
    secrets: &[],
    namespaces: &[],
    annotations: &[],
    reasons: &[],
    taints: &[],
};
