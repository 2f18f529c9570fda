//! The proof of a backup: the time of the snapshot is the clock.

use jiff::Timestamp;
use snapshot::model::Kind;

use super::{Check, Need};
use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity};

pub(super) const CHECK: Check = Check {
    name: "backup",
    rules: &[&BACKUP_AGE_UNKNOWN, &BACKUP_OLD, &BACKUP_UNPROVEN],
    needs: &[Need::Always(Kind::NODE)],
    run,
};

const FIX: &str = "Make a backup: ETCDCTL_API=3 etcdctl snapshot save etcd.db, and velero backup create before-crossfade where you use Velero. Then name it in the settings file: backup: {of: etcd.db, taken: \"2026-03-01T02:00:00Z\"}. If the provider of the control plane makes backups: backup: {of: \"PROVIDER\"}.";

const BACKUP_UNPROVEN: Rule = Severity::Risk.rule(
    "backup-unproven",
    "Nothing says that there is a backup of the cluster's state.",
    "The end of the migration deletes the old CNI's objects. Without a backup they cannot be brought back.",
    FIX,
);

const BACKUP_AGE_UNKNOWN: Rule = Severity::Risk.rule(
    "backup-age-unknown",
    "Nothing says how old the backup is.",
    "A backup that is too old brings back objects that are long gone.",
    "Write backup.taken as 2026-03-01T02:00:00Z, and take the snapshot with kubectl crossfade snapshot.",
);

const BACKUP_OLD: Rule = Severity::Blocks.rule(
    "backup-old",
    "The backup is older than it may be.",
    "What changed since would be lost if the cluster had to be restored in the midst of the migration.",
    FIX,
);

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let backup = &scene.config.backup;
    if backup.source.trim().is_empty() {
        return vec![Finding::new(&BACKUP_UNPROVEN)];
    }
    // A provider's own backups have no time.
    let Some(taken_at) = &backup.taken_at else { return Vec::new() };
    let (timestamp, now) = (taken_at.parse::<Timestamp>().ok(), snapshot_time(scene));
    let (Some(timestamp), Some(now)) = (timestamp, now) else {
        let what = if timestamp.is_none() {
            format!(
                "{taken_at:?} is no time in RFC 3339, so it is unknown how old the backup {:?} is.",
                backup.source
            )
        } else {
            "The snapshot has no time, so it is unknown how old the backup is.".to_owned()
        };
        return vec![Finding::new(&BACKUP_AGE_UNKNOWN).what(what)];
    };
    let hours = (now.as_second() - timestamp.as_second()).div_euclid(3600);
    let limit = i64::from(backup.max_age_hours);
    if hours < limit {
        return Vec::new();
    }
    vec![
        Finding::new(&BACKUP_OLD)
            .what(format!("The backup {:?} is {hours} hours old, and may be {limit}.", backup.source)),
    ]
}

/// When the snapshot was taken; in a dump, which does not say it, the newest heartbeat or creation.
pub(in crate::check) fn snapshot_time(scene: &Scene<'_>) -> Option<Timestamp> {
    let snapshot = scene.snapshot;
    if let Some(taken_at) = &snapshot.cluster.taken_at {
        return taken_at.parse().ok();
    }
    let nodes = snapshot.nodes.iter();
    let heartbeats = nodes
        .flat_map(|node| &node.status.conditions)
        .filter_map(|condition| condition.last_heartbeat_time.as_deref());
    let pods = snapshot.pods.iter().filter_map(|pod| pod.metadata.creation_timestamp.as_deref());
    // RFC 3339 in UTC, as the API server writes it, sorts as text.
    heartbeats.chain(pods).max()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::Case;

    const DUMP: &str = "apiVersion: v1\nkind: Node\nmetadata: {name: a}\nstatus: {conditions: [{type: Ready, status: \"True\", lastHeartbeatTime: \"2026-03-02T02:00:00Z\"}]}\n";

    #[test]
    fn a_backup_is_named_and_young() {
        for (config, yaml, codes) in [
            ("", DUMP, &["backup-unproven"][..]),
            ("backup: {of: EKS}", DUMP, &[]),
            ("backup: {of: etcd.db, taken: \"2026-03-01T02:00:01Z\"}", DUMP, &[]),
            ("backup: {of: etcd.db, taken: \"2026-03-01T02:00:00Z\"}", DUMP, &["backup-old"]),
            ("backup: {of: etcd.db, taken: \"2026-03-01T02:00:00Z\", maxAgeHours: 25}", DUMP, &[]),
            ("backup: {of: etcd.db, taken: yesterday}", DUMP, &["backup-age-unknown"]),
            ("backup: {of: etcd.db, taken: \"2026-03-01T02:00:00Z\"}", "", &["backup-age-unknown"]),
        ] {
            assert_eq!(Case::from_yaml(yaml).config(config).codes(&CHECK), codes, "{config}");
        }
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x, creationTimestamp: \"2026-03-03T02:00:00Z\"}\n";
        let old = Case::from_yaml(pod)
            .config("backup: {of: etcd.db, taken: \"2026-03-01T02:00:00Z\"}")
            .findings(&CHECK);
        assert!(old[0].what.contains("48 hours"), "{old:?}");
    }
}
