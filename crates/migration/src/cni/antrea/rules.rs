//! Antrea's settings in each stage. Keys are JSON pointers into `antrea-agent.conf`.
//!
//! *Source*: antrea-io/antrea: build/charts/antrea/conf/antrea-agent.conf; build/images/scripts/install_cni_chaining.

use crate::check::finding::Severity::{Blocks, Risk};
use crate::cni::values::{Expectation, Rule};
use Expectation::{Any, Not, OneOf};

const OFF: Expectation = OneOf(&["false"]);
/// The agents of the nodes.
pub(super) const AGENTS: &[&str] = &["daemonset/antrea-agent"];

pub(super) const RULES: &[Rule] = &[
    Rule {
        code: "antrea-encap-mode",
        meaning: "Antrea only enforces policies for another CNI",
        key: "/trafficEncapMode",
        set: "trafficEncapMode",
        helm: None,
        absent: "encap",
        readers: AGENTS,
        expected: [Not(&["networkPolicyOnly"]); 3],
        severity: Blocks,
        why: "In this mode Antrea gives pods no network of its own. Its installer also appends itself to the first CNI configuration of the node, which is Crossfade's.",
    },
    Rule {
        code: "antrea-proxy-all",
        meaning: "Antrea replaces kube-proxy in the same migration",
        key: "/antreaProxy/proxyAll",
        set: "antreaProxy.proxyAll",
        helm: None,
        absent: "false",
        readers: AGENTS,
        expected: [OFF, OFF, OFF],
        severity: Blocks,
        why: "With proxyAll, Antrea takes Services over from kube-proxy for pods of the old network and for the nodes, too. Replace kube-proxy after the migration, as a change of its own.",
    },
    Rule {
        code: "antrea-bridging",
        meaning: "Antrea puts the node's interface into its bridge",
        key: "/enableBridgingMode",
        set: "enableBridgingMode",
        helm: None,
        absent: "false",
        readers: AGENTS,
        expected: [OFF, OFF, Any],
        severity: Blocks,
        why: "The node's interface and its address move into an Open vSwitch bridge. The old CNI loses its interface, and the way back needs a reboot.",
    },
    Rule {
        code: "antrea-no-encap",
        meaning: "Antrea relies on the nodes' network to route pods",
        key: "/trafficEncapMode",
        set: "trafficEncapMode",
        helm: None,
        absent: "encap",
        readers: AGENTS,
        expected: [Not(&["noEncap"]), Not(&["noEncap"]), Any],
        severity: Risk,
        why: "Without tunnels, the network between the nodes must have routes to the new pod ranges before the first pod moves. Crossfade cannot see whether it has.",
    },
    Rule {
        code: "antrea-node-policies",
        meaning: "Antrea filters the nodes' own traffic",
        key: "/featureGates/NodeNetworkPolicy",
        set: "featureGates.NodeNetworkPolicy",
        helm: None,
        absent: "false",
        readers: AGENTS,
        expected: [OFF, OFF, Any],
        severity: Risk,
        why: "Policies for nodes see the old network's tunnels as traffic of the node. A policy that does not allow them cuts the old network.",
    },
];
