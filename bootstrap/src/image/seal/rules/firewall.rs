//! Firewall rules that were saved while a network was running: restored at boot, they stand before those of the network there.

use super::{ContentFilter, Rule, refuse};

/// What the chains and tables of Kubernetes and of CNIs are called.
const CHAINS: &[&str] = &[
    "KUBE-",
    "CNI-",
    "cali-",
    "CILIUM_",
    "FLANNEL",
    "ANTREA-",
    "WEAVE",
    "AWS-SNAT-CHAIN",
    "AWS-CONNMARK-CHAIN",
    "cni_hostport",
    "kube-proxy",
];

pub(super) const RULES: &[Rule] = &[refuse(
    &[
        "/etc/iptables/*",
        "/etc/sysconfig/iptables",
        "/etc/sysconfig/ip6tables",
        "/etc/sysconfig/nftables.conf",
        "/etc/nftables.conf",
        "/etc/nftables/*",
        "/etc/nftables.d/*",
        "/etc/ufw/*.rules",
    ],
    "saved firewall rules of a network of this machine: restored at boot, they catch pods of the one that is there then",
    "take the lines with KUBE-, CNI- and the like out, or save the rules again after a boot without pods",
    "man 8 iptables-save; netfilter-persistent, iptables-services, nftables and ufw load these",
)
.with_filter(ContentFilter::Holding(CHAINS))];
