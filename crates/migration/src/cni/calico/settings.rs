//! Settings of Calico as the CNI to move to. Keys are those of `FelixConfiguration`, which Felix watches.
//!
//! *Source*: Calico's documentation, "Felix configuration".

use crate::check::finding::{Rule, Severity};
use crate::cni::values::{Expectation, RequiredSetting};
use Expectation::{Any, OneOf};

pub(crate) const CALICO_EBPF: Rule = Severity::Blocks.rule(
    "calico-ebpf",
    "Calico's eBPF data plane is on.",
    "The eBPF data plane takes Services over from kube-proxy and attaches to the node's interfaces, so it also sees the old network's packets. Switch to it after the migration, as a change of its own.",
    "Switch to it after the migration.",
);

pub(crate) const CALICO_CHAIN_INSERT: Rule = Severity::Risk.rule(
    "calico-chain-insert",
    "Calico, as the new CNI, puts its firewall rules first.",
    "Felix puts its rules first, and again whenever another program is before it. The old CNI's rules for its own pods are then not reached.",
    "Set `chainInsertMode: Append`.",
);

pub(super) const SETTINGS: &[RequiredSetting] = &[
    RequiredSetting {
        rule: &CALICO_EBPF,
        key: "bpfEnabled",
        set: "bpfEnabled",
        helm: None,
        absent: "false",
        readers: &[],
        expected: [OneOf(&["false"]); 3],
    },
    RequiredSetting {
        rule: &CALICO_CHAIN_INSERT,
        key: "chainInsertMode",
        set: "chainInsertMode",
        helm: None,
        absent: "insert",
        readers: &[],
        expected: [OneOf(&["append"]), OneOf(&["append"]), Any],
    },
];
