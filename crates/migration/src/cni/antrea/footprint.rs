//! Antrea, by its manifest and its chart, without its optional products.
//!
//! *Source*: antrea-io/antrea: build/yamls and build/charts at v2.1.0 and v2.7.0; pkg/apis/resources.go.

use crate::cni::footprint::Part::{Agent, ApiService, Controller, Right, Setting, Webhook};
use crate::cni::footprint::{
    ACCOUNT, API_SERVICE, CLUSTER_ROLE, CLUSTER_ROLE_BINDING, CONFIG_MAP, Class, DAEMON_SET, DEPLOYMENT,
    Definitions, Footprint, MUTATING, Place, Row, SERVICE, SYSTEM, VALIDATING, row,
};

const GROUP: &str = "crd.antrea.io";

const ROWS: &[Row] = &[
    row(Webhook, VALIDATING, Place::Cluster, &["crdvalidator.antrea.io"]),
    row(Webhook, MUTATING, Place::Cluster, &["crdmutator.antrea.io", "labelsmutator.antrea.io"]),
    row(
        ApiService,
        API_SERVICE,
        Place::Cluster,
        &["v1beta2.controlplane.antrea.io", "v1beta1.system.antrea.io", "v1alpha1.stats.antrea.io"],
    ),
    row(Controller, DEPLOYMENT, Place::Agent, &["antrea-controller"]),
    row(Agent, DAEMON_SET, Place::Agent, &["antrea-agent"]),
    row(Agent, DAEMON_SET, SYSTEM, &["antrea-agent-windows", "antrea-node-init"]),
    row(Setting, SERVICE, Place::Agent, &["antrea"]),
    row(
        Setting,
        CONFIG_MAP,
        Place::Agent,
        &["antrea-config", "antrea-ca", "antrea-cluster-identity", "antrea-ipsec-ca"],
    ),
    row(Setting, CONFIG_MAP, SYSTEM, &["antrea-agent-windows", "antrea-windows-config"]),
    row(Right, ACCOUNT, Place::Agent, &["antrea-agent", "antrea-controller", "antctl"]),
    row(
        Right,
        CLUSTER_ROLE,
        Place::Cluster,
        &[
            "antrea-agent",
            "antrea-controller",
            "antctl",
            "antrea-cluster-identity-reader",
            "aggregate-antrea-policies-edit",
            "aggregate-antrea-policies-view",
            "aggregate-traceflows-edit",
            "aggregate-traceflows-view",
            "aggregate-antrea-clustergroups-edit",
            "aggregate-antrea-clustergroups-view",
        ],
    ),
    row(Right, CLUSTER_ROLE_BINDING, Place::Cluster, &["antrea-agent", "antrea-controller", "antctl"]),
];

const DEFINITIONS: &[Definitions] = &[
    // antrea-controller answers for the versions of pools.
    Definitions { group: GROUP, class: Class::Configuration, is_converted: true, plurals: &["ippools"] },
    Definitions {
        group: GROUP,
        class: Class::Configuration,
        is_converted: false,
        plurals: &[
            "clusternetworkpolicies",
            "networkpolicies",
            "clustergroups",
            "groups",
            "tiers",
            "egresses",
            "externalippools",
            "trafficcontrols",
            "bgppolicies",
            "nodelatencymonitors",
            "externalentities",
            "externalnodes",
            "antreanodeconfigs",
            "flowexporterdestinations",
            "traceflows",
            "packetcaptures",
            "supportbundlecollections",
        ],
    },
    Definitions {
        group: GROUP,
        class: Class::State,
        is_converted: false,
        plurals: &["antreaagentinfos", "antreacontrollerinfos"],
    },
];

pub(super) const FOOTPRINT: Footprint = Footprint {
    rows: &[ROWS],
    definitions: &[DEFINITIONS],
    secrets: &[(
        Place::Agent,
        &[
            "antrea-agent-service-account-token",
            "antctl-service-account-token",
            "antrea-ipsec",
            "antrea-controller-tls",
            "antrea-ipsec-ca",
            "antrea-memberlist-keys",
        ],
    )],
    namespaces: &[],
    annotations: &[(
        "node.antrea.io/",
        &["mac-address", "transport-addresses", "wireguard-public-key", "bgp-router-id"],
    )],
    reasons: &[],
    taints: &[],
};
