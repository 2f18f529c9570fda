//! Crossfade's own state of a machine that boots no more. Records are looked at one by one (`seal::own`), and so are settings.

use super::{Rule, refuse, remove};

pub(super) const RULES: &[Rule] = &[
    refuse(
        &["/etc/crossfade/disabled"],
        "the off switch: every node of this image would boot without Crossfade",
        "remove it",
        "docs/node.md, the off switch",
    ),
    remove(
        &["/run/crossfade"],
        "locks, status and the private conf directory of a boot of this machine",
        "docs/architecture.md, files on disk",
    ),
    remove(
        &["/var/lib/crossfade/attachments"],
        "shards of records, without a record",
        "docs/architecture.md, files on disk",
    ),
    remove(
        &["/var/lib/crossfade/inventory.json"],
        "an inventory of this machine, without an entry",
        "docs/architecture.md, files on disk",
    ),
    remove(
        &["/var/lib/crossfade/boot.json"],
        "which machine this was: a node would take itself for its clone",
        "docs/node.md, kinds of boot",
    ),
    remove(
        &["/var/lib/crossfade/name"],
        "the name of this machine's network: a node takes its own",
        "docs/architecture.md, files on disk",
    ),
    remove(
        &["/var/lib/crossfade/set-aside", "/var/lib/crossfade/damaged", "/var/lib/crossfade/ledger.jsonl"],
        "what this machine kept for people",
        "docs/architecture.md, files on disk",
    ),
    remove(&["/var/lib/crossfade/*"], "state of this machine", "docs/architecture.md, files on disk"),
];
