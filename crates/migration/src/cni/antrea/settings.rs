//! Antrea's settings in each stage. Keys are JSON pointers into `antrea-agent.conf`.
//!
//! *Source*: antrea-io/antrea: build/charts/antrea/conf/antrea-agent.conf; build/images/scripts/install_cni_chaining.

use crate::check::finding::{Rule, Severity};
use crate::cni::values::{Expectation, RequiredSetting};
use Expectation::{Any, Not, OneOf};

const OFF: Expectation = OneOf(&["false"]);
/// The agents of the nodes.
pub(super) const AGENTS: &[&str] = &["daemonset/antrea-agent"];

pub(crate) const ANTREA_ENCAP_MODE: Rule = Severity::Blocks.rule(
    "antrea-encap-mode",
    "Antrea runs in the mode `networkPolicyOnly`.",
    "In this mode Antrea gives pods no network of its own. Its installer also appends itself to the first CNI configuration of the node, which is Crossfade's.",
    "Set `trafficEncapMode=encap`.",
);

pub(crate) const ANTREA_PROXY_ALL: Rule = Severity::Blocks.rule(
    "antrea-proxy-all",
    "Antrea replaces kube-proxy.",
    "With proxyAll, Antrea takes Services over from kube-proxy for pods of the old network and for the nodes, too. Replace kube-proxy after the migration, as a change of its own.",
    "Do it after the migration.",
);

pub(crate) const ANTREA_BRIDGING: Rule = Severity::Blocks.rule(
    "antrea-bridging",
    "Antrea puts the node's interface into its bridge.",
    "The node's interface and its address move into an Open vSwitch bridge. The old CNI loses its interface, and the way back needs a reboot.",
    "Set `enableBridgingMode=false`.",
);

pub(crate) const ANTREA_NO_ENCAP: Rule = Severity::Risk.rule(
    "antrea-no-encap",
    "Antrea uses no tunnels.",
    "Without tunnels, the network between the nodes must have routes to the new pod ranges before the first pod moves. Crossfade cannot see whether it has.",
    "Make sure that it has, or set `trafficEncapMode=encap`.",
);

pub(crate) const ANTREA_NODE_POLICIES: Rule = Severity::Risk.rule(
    "antrea-node-policies",
    "Antrea filters the nodes' own traffic.",
    "Policies for nodes see the old network's tunnels as traffic of the node. A policy that does not allow them cuts the old network.",
    "Switch `NodeNetworkPolicy` off until the end.",
);

pub(super) const SETTINGS: &[RequiredSetting] = &[
    RequiredSetting {
        rule: &ANTREA_ENCAP_MODE,
        key: "/trafficEncapMode",
        set: "trafficEncapMode",
        helm: None,
        absent: "encap",
        readers: AGENTS,
        expected: [Not(&["networkPolicyOnly"]); 3],
    },
    RequiredSetting {
        rule: &ANTREA_PROXY_ALL,
        key: "/antreaProxy/proxyAll",
        set: "antreaProxy.proxyAll",
        helm: None,
        absent: "false",
        readers: AGENTS,
        expected: [OFF, OFF, OFF],
    },
    RequiredSetting {
        rule: &ANTREA_BRIDGING,
        key: "/enableBridgingMode",
        set: "enableBridgingMode",
        helm: None,
        absent: "false",
        readers: AGENTS,
        expected: [OFF, OFF, Any],
    },
    RequiredSetting {
        rule: &ANTREA_NO_ENCAP,
        key: "/trafficEncapMode",
        set: "trafficEncapMode",
        helm: None,
        absent: "encap",
        readers: AGENTS,
        expected: [Not(&["noEncap"]), Not(&["noEncap"]), Any],
    },
    RequiredSetting {
        rule: &ANTREA_NODE_POLICIES,
        key: "/featureGates/NodeNetworkPolicy",
        set: "featureGates.NodeNetworkPolicy",
        helm: None,
        absent: "false",
        readers: AGENTS,
        expected: [OFF, OFF, Any],
    },
];
