//! Calico, by its manifests and by the Tigera operator.
//!
//! *Source*: projectcalico/calico: manifests and charts at v3.28.1 and v3.32.1; tigera/operator: pkg/render at v1.34.3 and v1.42.3.

use crate::cni::footprint::Part::{Agent, Controller, Managed, PodNetwork, Right, Setting, Webhook};
use crate::cni::footprint::{
    ACCOUNT, ADMISSION, API_SERVICE, Api, BUDGET, CLUSTER_ROLE, CLUSTER_ROLE_BINDING, CONFIG_MAP, CSI_DRIVER,
    Class, DAEMON_SET, DEPLOYMENT, Definitions, Footprint, JOB, LEASE, NETWORK_POLICY, Part, Place, ROLE,
    ROLE_BINDING, Row, SERVICE, SYSTEM, VALIDATING, api, row,
};

const OPERATOR: &str = "operator.tigera.io/v1";
const RENDERED: Place = Place::In(&["calico-system"]);
const SERVER: Place = Place::In(&[SERVER_NAMESPACE, "calico-system"]);
const TIGERA: Place = Place::In(&["tigera-operator"]);
const ADMISSION_ALPHA: &str = "admissionregistration.k8s.io/v1beta1";
const MUTATING_POLICY: Api = api(ADMISSION_ALPHA, "MutatingAdmissionPolicy", "mutatingadmissionpolicies");
const MUTATING_BINDING: Api =
    api(ADMISSION_ALPHA, "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings");
const VALIDATING_POLICY: Api = api(ADMISSION, "ValidatingAdmissionPolicy", "validatingadmissionpolicies");
const VALIDATING_BINDING: Api =
    api(ADMISSION, "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings");

/// The namespace of the optional API server.
pub(in crate::cni) const SERVER_NAMESPACE: &str = "calico-apiserver";
pub(in crate::cni) const SERVER_SECRETS: (Place, &[&str]) =
    (Place::In(&[SERVER_NAMESPACE]), &["calico-apiserver-certs"]);

/// What Canal has, too.
pub(in crate::cni) const SHARED: &[Row] = &[
    row(PodNetwork, DEPLOYMENT, SYSTEM, &["calico-kube-controllers"]),
    row(Setting, BUDGET, SYSTEM, &["calico-kube-controllers"]),
    row(Right, ACCOUNT, SYSTEM, &["calico-cni-plugin", "calico-kube-controllers"]),
    row(
        Right,
        CLUSTER_ROLE,
        Place::Cluster,
        &["calico-node", "calico-cni-plugin", "calico-kube-controllers", "calico-tier-getter"],
    ),
    row(
        Right,
        CLUSTER_ROLE_BINDING,
        Place::Cluster,
        &["calico-cni-plugin", "calico-kube-controllers", "calico-tier-getter"],
    ),
    // The API server and the webhooks of the optional manifests.
    row(Webhook, VALIDATING, Place::Cluster, &["calico-webhooks", "api.projectcalico.org"]),
    row(Webhook, VALIDATING_POLICY, Place::Cluster, &["protect-builtin-tiers.projectcalico.org"]),
    row(Webhook, VALIDATING_BINDING, Place::Cluster, &["protect-builtin-tiers.projectcalico.org"]),
    row(
        Webhook,
        MUTATING_POLICY,
        Place::Cluster,
        &["tierlabel.policy.projectcalico.org", "policytypes.policy.projectcalico.org"],
    ),
    row(Webhook, MUTATING_BINDING, Place::Cluster, &["set-tier-label-binding", "set-policytypes-binding"]),
    row(Part::ApiService, API_SERVICE, Place::Cluster, &["v3.projectcalico.org"]),
    row(PodNetwork, DEPLOYMENT, SERVER, &["calico-apiserver"]),
    row(PodNetwork, DEPLOYMENT, SYSTEM, &["calico-webhooks"]),
    row(Setting, SERVICE, SYSTEM, &["calico-webhooks"]),
    row(Setting, SERVICE, SERVER, &["calico-api"]),
    row(Setting, NETWORK_POLICY, Place::In(&[SERVER_NAMESPACE]), &["allow-apiserver"]),
    row(Right, ACCOUNT, SYSTEM, &["calico-webhooks"]),
    row(Right, ACCOUNT, SERVER, &["calico-apiserver"]),
    row(Right, ROLE_BINDING, SYSTEM, &["calico-apiserver-auth-reader"]),
    row(
        Right,
        CLUSTER_ROLE,
        Place::Cluster,
        &[
            "calico-crds",
            "calico-extension-apiserver-auth-access",
            "calico-webhook-reader",
            "calico-webhooks",
            "calico-tiered-policy-passthrough",
        ],
    ),
    row(
        Right,
        CLUSTER_ROLE_BINDING,
        Place::Cluster,
        &[
            "calico-apiserver-access-crds",
            "calico-apiserver-access-calico-crds",
            "calico-apiserver-delegate-auth",
            "calico-apiserver-webhook-reader",
            "calico-extension-apiserver-auth-access",
            "calico-webhooks",
            "calico-tiered-policy-passthrough",
        ],
    ),
];

const MANIFEST: &[Row] = &[
    row(Controller, DEPLOYMENT, SYSTEM, &["calico-typha"]),
    row(Agent, DAEMON_SET, SYSTEM, &["calico-node"]),
    row(Agent, DAEMON_SET, RENDERED, &["csi-node-driver"]),
    row(Setting, SERVICE, SYSTEM, &["calico-typha"]),
    row(Setting, BUDGET, SYSTEM, &["calico-typha"]),
    row(Setting, CONFIG_MAP, SYSTEM, &["calico-config", "flannel-migration-config"]),
    row(Setting, JOB, SYSTEM, &["flannel-migration"]),
    row(Setting, CSI_DRIVER, Place::Cluster, &["csi.tigera.io"]),
    row(Right, ACCOUNT, SYSTEM, &["calico-node", "flannel-migration-controller"]),
    row(Right, CLUSTER_ROLE, Place::Cluster, &["flannel-migration-controller"]),
    row(Right, CLUSTER_ROLE_BINDING, Place::Cluster, &["calico-node", "flannel-migration-controller"]),
];

/// The operator's own objects, and what it makes. What has one of its resources for an owner goes with that.
const BY_OPERATOR: &[Row] = &[
    row(Managed, api(OPERATOR, "GatewayAPI", "gatewayapis"), Place::Cluster, &["default"]),
    row(Managed, api(OPERATOR, "Istio", "istios"), Place::Cluster, &["default"]),
    row(Managed, api(OPERATOR, "Whisker", "whiskers"), Place::Cluster, &["default"]),
    row(Managed, api(OPERATOR, "Goldmane", "goldmanes"), Place::Cluster, &["default"]),
    row(Managed, api(OPERATOR, "Installation", "installations"), Place::Cluster, &["default"]),
    row(Managed, api(OPERATOR, "APIServer", "apiservers"), Place::Cluster, &["default"]),
    row(
        PodNetwork,
        DEPLOYMENT,
        RENDERED,
        &["calico-kube-controllers", "goldmane", "whisker", "calico-webhooks"],
    ),
    row(Controller, DEPLOYMENT, TIGERA, &["tigera-operator"]),
    row(Controller, DEPLOYMENT, RENDERED, &["calico-typha", "calico-typha-noncluster-host"]),
    row(Agent, DAEMON_SET, RENDERED, &["calico-node", "calico-node-windows"]),
    row(
        Setting,
        SERVICE,
        RENDERED,
        &[
            "calico-typha",
            "calico-kube-controllers-metrics",
            "calico-typha-metrics",
            "calico-node-metrics-windows",
            "calico-webhooks",
            "goldmane",
            "goldmane-metrics",
            "whisker",
        ],
    ),
    row(
        Setting,
        CONFIG_MAP,
        RENDERED,
        &[
            "cni-config",
            "cni-config-windows",
            "tigera-ca-bundle",
            "bird-templates",
            "bgp-layout",
            "active-operator",
            "goldmane",
            "whisker-nginx-config",
        ],
    ),
    row(Setting, BUDGET, RENDERED, &["calico-typha", "calico-apiserver"]),
    row(Setting, NETWORK_POLICY, RENDERED, &["goldmane", "whisker"]),
    row(Setting, JOB, TIGERA, &["tigera-operator-uninstall"]),
    row(Setting, LEASE, TIGERA, &["operator-lock"]),
    row(
        Right,
        ACCOUNT,
        RENDERED,
        &[
            "calico-node",
            "calico-cni-plugin",
            "calico-kube-controllers",
            "calico-typha",
            "calico-webhooks",
            "csi-node-driver",
            "goldmane",
            "whisker",
        ],
    ),
    row(Right, ACCOUNT, TIGERA, &["tigera-operator"]),
    row(Right, ROLE, RENDERED, &["goldmane", "calico-webhooks-secrets-access"]),
    row(Right, ROLE_BINDING, RENDERED, &["goldmane", "tigera-operator-secrets"]),
    row(Right, ROLE_BINDING, TIGERA, &["tigera-operator-secrets"]),
    row(
        Right,
        CLUSTER_ROLE,
        Place::Cluster,
        &["tigera-operator", "tigera-operator-secrets", "calico-typha", "tigera-csr-creator"],
    ),
    row(
        Right,
        CLUSTER_ROLE_BINDING,
        Place::Cluster,
        &[
            "tigera-operator",
            "calico-typha",
            "tigera-csr-creator",
            "calico-kube-controllers-endpoint-controller",
        ],
    ),
];

const CONFIGURATION: &[&str] = &[
    "globalnetworkpolicies",
    "networkpolicies",
    "globalnetworksets",
    "networksets",
    "hostendpoints",
    "ippools",
    "ipreservations",
    "bgppeers",
    "bgpfilters",
    "bgpconfigurations",
    "felixconfigurations",
    "kubecontrollersconfigurations",
    "caliconodestatuses",
    "ipamconfigs",
    "ipamconfigurations",
    "tiers",
    "stagedglobalnetworkpolicies",
    "stagednetworkpolicies",
    "stagedkubernetesnetworkpolicies",
];
const STATE: &[&str] = &["clusterinformations", "blockaffinities", "ipamblocks", "ipamhandles"];

const fn definitions(group: &'static str, class: Class, plurals: &'static [&'static str]) -> Definitions {
    Definitions { group, class, is_converted: false, plurals }
}

/// Stored in one of two groups: which, the definitions of the cluster say.
pub(in crate::cni) const DEFINITIONS: &[Definitions] = &[
    definitions("crd.projectcalico.org", Class::Configuration, CONFIGURATION),
    definitions("projectcalico.org", Class::Configuration, CONFIGURATION),
    definitions("crd.projectcalico.org", Class::State, STATE),
    definitions("projectcalico.org", Class::State, STATE),
];
const OF_OPERATOR: &[Definitions] = &[
    definitions("operator.tigera.io", Class::Configuration, &["imagesets", "managementclusterconnections"]),
    // Those that matter are rows.
    definitions(
        "operator.tigera.io",
        Class::State,
        &["installations", "apiservers", "goldmanes", "whiskers", "gatewayapis", "istios", "tigerastatuses"],
    ),
];

/// Annotations of Nodes, but for those that people set, too: ASNumber and RouteReflectorClusterID.
pub(in crate::cni) const ANNOTATIONS: (&str, &[&str]) = (
    "projectcalico.org/",
    &[
        "IPv4Address",
        "IPv6Address",
        "IPv4IPIPTunnelAddr",
        "IPv4VXLANTunnelAddr",
        "IPv6VXLANTunnelAddr",
        "VXLANTunnelMACAddr",
        "VXLANTunnelMACAddrV6",
        "kube-labels",
        "IPv4WireguardInterfaceAddr",
        "IPv6WireguardInterfaceAddr",
        "WireguardPublicKey",
        "WireguardPublicKeyV6",
        "Interfaces",
    ],
);
pub(in crate::cni) const REASONS: [&str; 2] = ["CalicoIsUp", "CalicoIsDown"];

pub(super) const FOOTPRINT: Footprint = Footprint {
    rows: &[SHARED, MANIFEST, BY_OPERATOR],
    definitions: &[DEFINITIONS, OF_OPERATOR],
    secrets: &[
        (SYSTEM, &["calico-etcd-secrets"]),
        SERVER_SECRETS,
        (
            TIGERA,
            &[
                "tigera-ca-private",
                "node-certs",
                "typha-certs",
                "calico-apiserver-certs",
                "goldmane-key-pair",
                "whisker-backend-key-pair",
            ],
        ),
    ],
    namespaces: &[SERVER_NAMESPACE, "calico-system", "tigera-operator"],
    annotations: &[ANNOTATIONS],
    reasons: &REASONS,
    taints: &[],
};
