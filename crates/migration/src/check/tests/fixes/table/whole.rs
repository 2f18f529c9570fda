//! The snapshot, labels, the backup and waivers.

use serde_json::json;
use snapshot::model::Kind;

use super::clusters::pod;
use super::{Edit, Row, Settings, row};

pub(super) const ROWS: &[Row] = &[
    row("not-checked", |w| w.unread = vec![Kind::IP_POOL], Edit("Add them", |w| w.unread.clear())),
    row(
        "waiver-unused",
        |w| w.set("waivers: [{finding: cidr-invalid, reason: so}]"),
        Edit("remove the waiver", |w| w.set("waivers: []")),
    ),
    row(
        "label-invalid",
        |w| w.set("labels: {value: 'a b'}"),
        Edit("labels", |w| w.set("labels: {value: ab}")),
    ),
    row(
        "label-misspelt",
        |w| w.set("labels: {setByKubelet: false, migrated: node.kubernetes/moved}"),
        Edit("labels", |w| w.set("labels: {migrated: crossfade/moved}")),
    ),
    row(
        "label-protected",
        |w| w.set("labels: {setByKubelet: true, migrated: node-role.kubernetes.io/moved}"),
        Settings("labels: {setByKubelet: false}", ""),
    ),
    row(
        "label-reserved",
        |w| w.set("labels: {migrated: crossfade/phase}"),
        Edit("labels", |w| w.set("labels: {migrated: crossfade/moved}")),
    ),
    row(
        "label-twice",
        |w| w.set("labels: {migrated: crossfade/a, new: crossfade/a}"),
        Edit("labels", |w| w.set("labels: {migrated: crossfade/b}")),
    ),
    row(
        "backup-unproven",
        |w| w.set("backup: null"),
        Settings("backup: {of: etcd.db, taken: \"2026-03-01T02:00:00Z\"}", ""),
    ),
    row(
        "backup-old",
        |w| w.set("backup: {of: etcd.db, taken: '2026-01-01T00:00:00Z'}"),
        Settings("backup: {of: etcd.db, taken: \"2026-03-01T02:00:00Z\"}", ""),
    ),
    row(
        "backup-age-unknown",
        |w| w.set("backup: {of: etcd.db, taken: yesterday}"),
        Edit("2026-03-01T02:00:00Z", |w| w.set("backup: {taken: '2026-03-01T02:00:00Z'}")),
    ),
    row(
        "object-illegible",
        |w| pod(w, "web", "ReplicaSet/web", json!({"status": {"podIPs": [{"ip": "no address"}]}})),
        Edit("Correct the field", |w| {
            w.merge("pod", "web", json!({"status": {"podIPs": [{"ip": "10.10.1.7"}]}}))
        }),
    ),
];
