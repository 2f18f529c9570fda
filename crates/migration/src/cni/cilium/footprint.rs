//! Cilium, by its chart. What only some values of the chart make is among the rows.
//!
//! *Source*: cilium/charts: cilium 1.16.0, 1.19.6 and 1.20.0; the operator's `resourceNames` of definitions.

use crate::cni::footprint::Part::{Agent, Controller, PodNetwork, Right, Setting, Webhook};
use crate::cni::footprint::{
    ACCOUNT, ADMISSION, Api, BUDGET, CLUSTER_ROLE, CLUSTER_ROLE_BINDING, CONFIG_MAP, CRON_JOB, Class,
    DAEMON_SET, DEPLOYMENT, Definitions, Footprint, INGRESS_CLASS, LEASE, Place, QUOTA, ROLE, ROLE_BINDING,
    Row, SERVICE, api, row,
};
use crate::workload::START_TAINT_CILIUM;

const GROUP: &str = "cilium.io";
const SECRETS: Place = Place::In(&["cilium-secrets"]);
const GATEWAY_CLASS: Api = api("gateway.networking.k8s.io/v1", "GatewayClass", "gatewayclasses");
const VALIDATING_POLICY: Api = api(ADMISSION, "ValidatingAdmissionPolicy", "validatingadmissionpolicies");
const VALIDATING_BINDING: Api =
    api(ADMISSION, "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings");

const ROWS: &[Row] = &[
    row(Webhook, VALIDATING_POLICY, Place::Cluster, &["gateway.cilium.io"]),
    row(Webhook, VALIDATING_BINDING, Place::Cluster, &["gateway.cilium.io"]),
    row(PodNetwork, DEPLOYMENT, Place::Agent, &["hubble-ui", "hubble-relay", "clustermesh-apiserver"]),
    row(
        PodNetwork,
        CRON_JOB,
        Place::Agent,
        &["hubble-generate-certs", "clustermesh-apiserver-generate-certs"],
    ),
    row(Controller, DEPLOYMENT, Place::Agent, &["cilium-operator", "cilium-pre-flight-check"]),
    row(
        Agent,
        DAEMON_SET,
        Place::Agent,
        &[
            "cilium",
            "cilium-envoy",
            "cilium-node-init",
            "cilium-pre-flight-check",
            "ztunnel-cilium",
            "standalone-dns-proxy",
        ],
    ),
    row(
        Setting,
        CONFIG_MAP,
        Place::Agent,
        &[
            "cilium-config",
            "cilium-envoy-config",
            "hubble-relay-config",
            "hubble-ui-nginx",
            "standalone-dns-proxy-config",
            "clustermesh-remote-users",
        ],
    ),
    row(
        Setting,
        SERVICE,
        Place::Agent,
        &[
            "hubble-peer",
            "hubble-metrics",
            "hubble-relay",
            "hubble-relay-metrics",
            "hubble-ui",
            "cilium-agent",
            "cilium-operator",
            "cilium-envoy",
            "cilium-ingress",
            "clustermesh-apiserver",
            "clustermesh-apiserver-metrics",
        ],
    ),
    row(
        Setting,
        BUDGET,
        Place::Agent,
        &["cilium-operator", "hubble-relay", "hubble-ui", "clustermesh-apiserver", "cilium-pre-flight-check"],
    ),
    row(Setting, QUOTA, Place::Agent, &["cilium-resource-quota", "cilium-operator-resource-quota"]),
    row(Setting, LEASE, Place::Agent, &["cilium-operator-resource-lock"]),
    row(Setting, INGRESS_CLASS, Place::Cluster, &["cilium"]),
    row(Setting, GATEWAY_CLASS, Place::Cluster, &["cilium"]),
    row(
        Right,
        ACCOUNT,
        Place::Agent,
        &[
            "cilium",
            "cilium-operator",
            "cilium-envoy",
            "cilium-nodeinit",
            "cilium-pre-flight",
            "hubble-relay",
            "hubble-ui",
            "hubble-generate-certs",
            "clustermesh-apiserver",
            "clustermesh-apiserver-generate-certs",
        ],
    ),
    row(
        Right,
        ROLE,
        Place::Agent,
        &[
            "cilium-config-agent",
            "hubble-generate-certs",
            "clustermesh-apiserver-generate-certs",
            "cilium-operator-ztunnel",
        ],
    ),
    row(
        Right,
        ROLE_BINDING,
        Place::Agent,
        &[
            "cilium-config-agent",
            "hubble-generate-certs",
            "clustermesh-apiserver-generate-certs",
            "cilium-operator-ztunnel",
        ],
    ),
    row(
        Right,
        ROLE,
        SECRETS,
        &[
            "cilium-tlsinterception-secrets",
            "cilium-operator-tlsinterception-secrets",
            "cilium-ingress-secrets",
            "cilium-gateway-secrets",
            "cilium-envoy-config-secrets",
            "cilium-operator-ingress-secrets",
            "cilium-operator-gateway-secrets",
        ],
    ),
    row(
        Right,
        ROLE_BINDING,
        SECRETS,
        &[
            "cilium-tlsinterception-secrets",
            "cilium-operator-tlsinterception-secrets",
            "cilium-secrets",
            "cilium-gateway-secrets",
            "cilium-envoy-config-secrets",
            "cilium-operator-ingress-secrets",
            "cilium-operator-gateway-secrets",
        ],
    ),
    row(
        Right,
        CLUSTER_ROLE,
        Place::Cluster,
        &[
            "cilium",
            "cilium-operator",
            "hubble-ui",
            "clustermesh-apiserver",
            "cilium-pre-flight",
            "cilium-envoy-node-locality",
        ],
    ),
    row(
        Right,
        CLUSTER_ROLE_BINDING,
        Place::Cluster,
        &[
            "cilium",
            "cilium-operator",
            "hubble-ui",
            "clustermesh-apiserver",
            "cilium-pre-flight",
            "cilium-envoy-node-locality",
        ],
    ),
];

const DEFINITIONS: &[Definitions] = &[
    Definitions {
        group: GROUP,
        class: Class::Configuration,
        is_converted: false,
        plurals: &[
            "ciliumnetworkpolicies",
            "ciliumclusterwidenetworkpolicies",
            "ciliumcidrgroups",
            "ciliumegressgatewaypolicies",
            "ciliumlocalredirectpolicies",
            "ciliumenvoyconfigs",
            "ciliumclusterwideenvoyconfigs",
            "ciliumloadbalancerippools",
            "ciliuml2announcementpolicies",
            "ciliumbgpclusterconfigs",
            "ciliumbgppeerconfigs",
            "ciliumbgpadvertisements",
            "ciliumbgpnodeconfigoverrides",
            "ciliumbgppeeringpolicies",
            "ciliumpodippools",
            "ciliumnodeconfigs",
            "ciliumgatewayclassconfigs",
            "ciliumexternalworkloads",
        ],
    },
    Definitions {
        group: GROUP,
        class: Class::State,
        is_converted: false,
        plurals: &[
            "ciliumnodes",
            "ciliumendpoints",
            "ciliumendpointslices",
            "ciliumidentities",
            "ciliumbgpnodeconfigs",
        ],
    },
];

pub(super) const FOOTPRINT: Footprint = Footprint {
    rows: &[ROWS],
    definitions: &[DEFINITIONS],
    secrets: &[(
        Place::Agent,
        &[
            "cilium-ca",
            "hubble-server-certs",
            "hubble-relay-client-certs",
            "hubble-relay-server-certs",
            "hubble-metrics-server-certs",
            "hubble-ui-client-certs",
            "clustermesh-apiserver-server-cert",
            "clustermesh-apiserver-admin-cert",
            "clustermesh-apiserver-remote-cert",
            "clustermesh-apiserver-local-cert",
        ],
    )],
    namespaces: &["cilium-secrets"],
    annotations: &[(
        "network.cilium.io/",
        &[
            "ipv4-pod-cidr",
            "ipv6-pod-cidr",
            "ipv4-health-ip",
            "ipv6-health-ip",
            "ipv4-Ingress-ip",
            "ipv6-Ingress-ip",
            "ipv4-cilium-host",
            "ipv6-cilium-host",
            "encryption-key",
        ],
    )],
    reasons: &["CiliumIsUp"],
    // The operator sets it again for as long as it lives. *Source*: cilium/cilium: operator/watchers/node_taint.go.
    taints: &[START_TAINT_CILIUM],
};
