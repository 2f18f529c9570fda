//! Settings of Calico as the CNI to move to. Keys are those of `FelixConfiguration`, which Felix watches.
//!
//! *Source*: Calico's documentation, "Felix configuration".

use crate::check::finding::Severity::{Blocks, Risk};
use crate::cni::values::{Expectation, Rule};
use Expectation::{Any, OneOf};

pub(super) const RULES: &[Rule] = &[
    Rule {
        code: "calico-ebpf",
        meaning: "Calico's eBPF data plane replaces kube-proxy in the same migration",
        key: "bpfEnabled",
        set: "bpfEnabled",
        helm: None,
        absent: "false",
        readers: &[],
        expected: [OneOf(&["false"]); 3],
        severity: Blocks,
        why: "The eBPF data plane takes Services over from kube-proxy and attaches to the node's interfaces, so it also sees the old network's packets. Switch to it after the migration, as a change of its own.",
    },
    Rule {
        code: "calico-chain-insert",
        meaning: "Calico puts its firewall rules before those of the old CNI",
        key: "chainInsertMode",
        set: "chainInsertMode",
        helm: None,
        absent: "insert",
        readers: &[],
        expected: [OneOf(&["append"]), OneOf(&["append"]), Any],
        severity: Risk,
        why: "Felix puts its rules first, and again whenever another program is before it. The old CNI's rules for its own pods are then not reached.",
    },
];
