//! Cilium's settings in each stage.
//!
//! *Source*: Cilium's documentation, "Migrating a cluster to Cilium", which names them; install/kubernetes/cilium/templates/cilium-configmap.yaml for the
//! keys; Documentation/cmdref/cilium-operator-generic.md (1.17) for those that the operator reads; a published migration of a production cluster, which
//! found the watcher of unmanaged pods restarting CoreDNS for ever.

use crate::check::finding::{Rule, Severity};
use crate::cni::values::{ENFORCEMENT, Expectation, RequiredSetting};
use Expectation::{Any, OneOf};

const OFF: Expectation = OneOf(&["false", "disabled"]);
const ON: Expectation = OneOf(&["true"]);
/// The agents of the nodes.
pub(super) const AGENTS: &[&str] = &["daemonset/cilium"];
const OPERATOR: &[&str] = &["deployment/cilium-operator"];
const BOTH: &[&str] = &["deployment/cilium-operator", "daemonset/cilium"];

pub(crate) const CILIUM_CUSTOM_CONF: Rule = Severity::Blocks.rule(
    "cilium-custom-conf",
    "Cilium writes its CNI configuration before the end, or does not at the end.",
    "Until the end, Crossfade alone writes the CNI configuration. An agent that writes 05-cilium.conflist gives every new pod of the node the new network at once. At the end, Cilium must write it, or no pod starts once Crossfade is gone.",
    "Set `cni.customConf` as the stage needs it.",
);

pub(crate) const CILIUM_EXCLUSIVE: Rule = Severity::Blocks.rule(
    "cilium-exclusive",
    "Cilium takes the configuration directory for itself.",
    "An exclusive agent renames every other CNI configuration to *.cilium_bak, again and again: the old CNI's and Crossfade's.",
    "Set `cni.exclusive=false`.",
);

pub(crate) const CILIUM_UNINSTALL: Rule = Severity::Blocks.rule(
    "cilium-uninstall",
    "Cilium deletes its configuration and binary when an agent stops.",
    "With each restart of an agent the binary disappears for a while. Pods of the new network neither start nor end then.",
    "Set `cni.uninstall=false`.",
);

pub(crate) const CILIUM_UNMANAGED_PODS: Rule = Severity::Blocks.rule(
    "cilium-unmanaged-pods",
    "Cilium's operator restarts pods of the old network.",
    "Every 15 seconds, the operator deletes a CoreDNS pod that Cilium does not manage, without regard for PodDisruptionBudgets. The scheduler puts it onto a node with the old network again, so this never ends, and the cluster loses its DNS at times.",
    "Set `operator.unmanagedPodWatcher.restart=false` until the end.",
);

pub(crate) const CILIUM_POLICY_MODE: Rule = Severity::Blocks.rule(
    "cilium-policy-mode",
    "Cilium enforces policies too early, or not at the end.",
    "Cilium takes pods of the old network for the outside world, so selectors of a policy do not match them, and allowed traffic is dropped. At the end, no policy holds until Cilium enforces them again.",
    "Set `policyEnforcementMode` as the stage needs it.",
);

pub(crate) const CILIUM_HOST_ROUTING: Rule = Severity::Blocks.rule(
    "cilium-host-routing",
    "Cilium's packets bypass the node's routes.",
    "With eBPF host routing, packets of Cilium's pods bypass the node's routes and firewall rules, and do not reach the old network.",
    "Set `bpf.hostLegacyRouting=true` until the end.",
);

pub(crate) const CILIUM_IPAM: Rule = Severity::Risk.rule(
    "cilium-ipam",
    "Cilium takes addresses from where the old CNI may take them.\n\n\
     It blocks where both give addresses of the Nodes' pod CIDRs, except by rotation.",
    "Cilium's migration guide asks for ranges of Cilium's own (cluster-pool). In the mode kubernetes, Cilium uses the pod CIDR of each Node, as Flannel, Canal and Antrea do. The mode cannot change while pods run.",
    "Install Cilium with `ipam.mode=cluster-pool`.",
);

pub(crate) const CILIUM_KUBE_PROXY: Rule = Severity::Blocks.rule(
    "cilium-kube-proxy",
    "Cilium replaces kube-proxy in the same migration.",
    "The moment that an agent starts, it takes all Services of its node over from kube-proxy, for pods of the old network as well, and may break their connections. Replace kube-proxy after the migration, as a change of its own.",
    "Do it after the migration. With the strategy `double`, the printed command keeps Cilium's socket load balancer beside kube-proxy (`services-bridged`). Where pods use ports of their node, the printed command chains portmap as well, which serves these ports then.",
);

pub(crate) const CILIUM_CHAINING: Rule = Severity::Blocks.rule(
    "cilium-chaining",
    "Cilium is chained to another CNI.",
    "A chained Cilium gives pods no network of its own, so there is nothing to move to. Cilium does not test migrations from chained mode either.",
    "Set `cni.chainingMode=none`.",
);

pub(crate) const CILIUM_NATIVE_ROUTING: Rule = Severity::Risk.rule(
    "cilium-native-routing",
    "Cilium uses no tunnels.",
    "With native routing, the network between the nodes must have routes to the new pod range before the first pod moves. Crossfade cannot see whether it has.",
    "Make sure that it has, or set `routingMode=tunnel`.",
);

pub(crate) const CILIUM_HOST_FIREWALL: Rule = Severity::Risk.rule(
    "cilium-host-firewall",
    "Cilium filters the nodes' own traffic.",
    "The firewall sees the old network's tunnels as traffic of the node. A policy for nodes that does not allow them cuts the old network.",
    "Switch the host firewall off until the end.",
);

/// What Cilium may be chained to.
pub(crate) const CHAINING_MODE: RequiredSetting = RequiredSetting {
    rule: &CILIUM_CHAINING,
    key: "cni-chaining-mode",
    set: "cni.chainingMode",
    helm: None,
    absent: "none",
    readers: AGENTS,
    expected: [OneOf(&["none", "portmap", ""]); 3],
};

pub(super) const SETTINGS: &[RequiredSetting] = &[
    RequiredSetting {
        rule: &CILIUM_CUSTOM_CONF,
        key: "custom-cni-conf",
        set: "cni.customConf",
        helm: None,
        absent: "false",
        readers: AGENTS,
        expected: [ON, ON, OneOf(&["false"])],
    },
    RequiredSetting {
        rule: &CILIUM_EXCLUSIVE,
        key: "cni-exclusive",
        set: "cni.exclusive",
        helm: None,
        absent: "false",
        readers: AGENTS,
        expected: [OneOf(&["false"]), OneOf(&["false"]), Any],
    },
    RequiredSetting {
        rule: &CILIUM_UNINSTALL,
        key: "cni-uninstall",
        set: "cni.uninstall",
        helm: None,
        absent: "false",
        readers: AGENTS,
        expected: [OneOf(&["false"]), OneOf(&["false"]), OneOf(&["false"])],
    },
    RequiredSetting {
        rule: &CILIUM_UNMANAGED_PODS,
        key: "unmanaged-pod-watcher-interval",
        set: "operator.unmanagedPodWatcher.restart",
        helm: Some(&[("0", "false"), ("15", "true")]),
        absent: "15",
        readers: OPERATOR,
        expected: [OneOf(&["0", "0s"]), OneOf(&["0", "0s"]), OneOf(&["15", "15s"])],
    },
    RequiredSetting {
        rule: &CILIUM_POLICY_MODE,
        key: ENFORCEMENT,
        set: "policyEnforcementMode",
        helm: None,
        absent: "default",
        readers: AGENTS,
        expected: [OneOf(&["never"]), OneOf(&["never"]), OneOf(&["default", "always"])],
    },
    RequiredSetting {
        rule: &CILIUM_HOST_ROUTING,
        key: "enable-host-legacy-routing",
        set: "bpf.hostLegacyRouting",
        helm: None,
        absent: "false",
        readers: AGENTS,
        expected: [ON, ON, Any],
    },
    RequiredSetting {
        rule: &CILIUM_IPAM,
        key: "ipam",
        set: "ipam.mode",
        helm: None,
        absent: "cluster-pool",
        readers: BOTH,
        expected: [OneOf(&["cluster-pool", "multi-pool", "eni"]); 3],
    },
    RequiredSetting {
        rule: &CILIUM_KUBE_PROXY,
        key: "kube-proxy-replacement",
        set: "kubeProxyReplacement",
        helm: None,
        absent: "false",
        readers: BOTH,
        expected: [OFF, OFF, OFF],
    },
    CHAINING_MODE,
    RequiredSetting {
        rule: &CILIUM_NATIVE_ROUTING,
        key: "routing-mode",
        set: "routingMode",
        helm: None,
        absent: "tunnel",
        readers: AGENTS,
        expected: [OneOf(&["tunnel"]), OneOf(&["tunnel"]), Any],
    },
    RequiredSetting {
        rule: &CILIUM_HOST_FIREWALL,
        key: "enable-host-firewall",
        set: "hostFirewall.enabled",
        helm: None,
        absent: "false",
        readers: AGENTS,
        expected: [OneOf(&["false"]), OneOf(&["false"]), Any],
    },
];
