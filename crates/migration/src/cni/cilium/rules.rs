//! Cilium's settings in each stage.
//!
//! *Source*: Cilium's documentation, "Migrating a cluster to Cilium", which names them; install/kubernetes/cilium/templates/cilium-configmap.yaml for the
//! keys; Documentation/cmdref/cilium-operator-generic.md (1.17) for those that the operator reads; a published migration of a production cluster, which
//! found the watcher of unmanaged pods restarting CoreDNS for ever.

use crate::check::finding::Severity::{Blocks, Risk};
use crate::cni::values::{Expectation, Rule};
use Expectation::{Any, OneOf};

const OFF: Expectation = OneOf(&["false", "disabled"]);
const ON: Expectation = OneOf(&["true"]);
/// The agents of the nodes.
pub(super) const AGENTS: &[&str] = &["daemonset/cilium"];
const OPERATOR: &[&str] = &["deployment/cilium-operator"];
const BOTH: &[&str] = &["deployment/cilium-operator", "daemonset/cilium"];

pub(super) const RULES: &[Rule] = &[
    Rule {
        code: "cilium-custom-conf",
        meaning: "Cilium writes its own CNI configuration, or still leaves it to others at the end",
        key: "custom-cni-conf",
        set: "cni.customConf",
        helm: None,
        absent: "false",
        readers: AGENTS,
        expected: [ON, ON, OneOf(&["false"])],
        severity: Blocks,
        why: "Until the end, Crossfade alone writes the CNI configuration. An agent that writes 05-cilium.conflist gives every new pod of the node the new network at once. At the end, Cilium must write it, or no pod starts once Crossfade is gone.",
    },
    Rule {
        code: "cilium-exclusive",
        meaning: "Cilium takes the CNI configuration directory for itself",
        key: "cni-exclusive",
        set: "cni.exclusive",
        helm: None,
        absent: "false",
        readers: AGENTS,
        expected: [OneOf(&["false"]), OneOf(&["false"]), Any],
        severity: Blocks,
        why: "An exclusive agent renames every other CNI configuration to *.cilium_bak, again and again: the old CNI's and Crossfade's.",
    },
    Rule {
        code: "cilium-uninstall",
        meaning: "Cilium deletes its CNI configuration and binary when an agent stops",
        key: "cni-uninstall",
        set: "cni.uninstall",
        helm: None,
        absent: "false",
        readers: AGENTS,
        expected: [OneOf(&["false"]), OneOf(&["false"]), OneOf(&["false"])],
        severity: Blocks,
        why: "With each restart of an agent the binary disappears for a while. Pods of the new network neither start nor end then.",
    },
    Rule {
        code: "cilium-unmanaged-pods",
        meaning: "Cilium's operator restarts pods of the old network",
        key: "unmanaged-pod-watcher-interval",
        set: "operator.unmanagedPodWatcher.restart",
        helm: Some(&[("0", "false"), ("15", "true")]),
        absent: "15",
        readers: OPERATOR,
        expected: [OneOf(&["0", "0s"]), OneOf(&["0", "0s"]), OneOf(&["15", "15s"])],
        severity: Blocks,
        why: "Every 15 seconds, the operator deletes a CoreDNS pod that Cilium does not manage, without regard for PodDisruptionBudgets. The scheduler puts it onto a node with the old network again, so this never ends, and the cluster loses its DNS at times.",
    },
    Rule {
        code: "cilium-policy-mode",
        meaning: "Cilium enforces policies too early, or not at the end",
        key: "enable-policy",
        set: "policyEnforcementMode",
        helm: None,
        absent: "default",
        readers: AGENTS,
        expected: [OneOf(&["never"]), OneOf(&["never"]), OneOf(&["default"])],
        severity: Blocks,
        why: "Cilium takes pods of the old network for the outside world, so selectors of a policy do not match them, and allowed traffic is dropped. At the end, no policy holds until Cilium enforces them again.",
    },
    Rule {
        code: "cilium-host-routing",
        meaning: "Cilium's packets bypass the node's routes",
        key: "enable-host-legacy-routing",
        set: "bpf.hostLegacyRouting",
        helm: None,
        absent: "false",
        readers: AGENTS,
        expected: [ON, ON, Any],
        severity: Blocks,
        why: "With eBPF host routing, packets of Cilium's pods bypass the node's routes and firewall rules, and do not reach the old network.",
    },
    Rule {
        code: "cilium-ipam",
        meaning: "Cilium takes its pod addresses from where the old CNI does",
        key: "ipam",
        set: "ipam.mode",
        helm: None,
        absent: "cluster-pool",
        readers: BOTH,
        expected: [OneOf(&["cluster-pool", "multi-pool", "eni"]); 3],
        severity: Risk,
        why: "Cilium's migration guide asks for ranges of Cilium's own (cluster-pool). In the mode kubernetes, Cilium uses the pod CIDR of each Node, as Flannel, Canal and Antrea do. The mode cannot change while pods run.",
    },
    Rule {
        code: "cilium-kube-proxy",
        meaning: "Cilium replaces kube-proxy in the same migration",
        key: "kube-proxy-replacement",
        set: "kubeProxyReplacement",
        helm: None,
        absent: "false",
        readers: BOTH,
        expected: [OFF, OFF, OFF],
        severity: Blocks,
        why: "The moment that an agent starts, it takes all Services of its node over from kube-proxy, for pods of the old network as well, and may break their connections. Replace kube-proxy after the migration, as a change of its own.",
    },
    Rule {
        code: "cilium-chaining",
        meaning: "Cilium is chained to another CNI",
        key: "cni-chaining-mode",
        set: "cni.chainingMode",
        helm: None,
        absent: "none",
        readers: AGENTS,
        expected: [OneOf(&["none", "portmap", ""]); 3],
        severity: Blocks,
        why: "A chained Cilium gives pods no network of its own, so there is nothing to move to. Cilium does not test migrations from chained mode either.",
    },
    Rule {
        code: "cilium-native-routing",
        meaning: "Cilium relies on the nodes' network to route pods",
        key: "routing-mode",
        set: "routingMode",
        helm: None,
        absent: "tunnel",
        readers: AGENTS,
        expected: [OneOf(&["tunnel"]), OneOf(&["tunnel"]), Any],
        severity: Risk,
        why: "With native routing, the network between the nodes must have routes to the new pod range before the first pod moves. Crossfade cannot see whether it has.",
    },
    Rule {
        code: "cilium-host-firewall",
        meaning: "Cilium filters the nodes' own traffic",
        key: "enable-host-firewall",
        set: "hostFirewall.enabled",
        helm: None,
        absent: "false",
        readers: AGENTS,
        expected: [OneOf(&["false"]), OneOf(&["false"]), Any],
        severity: Risk,
        why: "The firewall sees the old network's tunnels as traffic of the node. A policy for nodes that does not allow them cuts the old network.",
    },
];
