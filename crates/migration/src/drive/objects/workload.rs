//! The number of a workload's pods that are ready.

use serde::Deserialize;
use snapshot::model::{Kind, Meta};

use crate::roll::world::{Availability, Owner};

/// What is read of a workload: its template is none of a run's business.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WorkloadObject {
    metadata: Meta,
    spec: Spec,
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    replicas: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    ready_replicas: u32,
    desired_number_scheduled: u32,
    number_ready: u32,
}

/// Reads a Deployment, StatefulSet, ReplicaSet or DaemonSet. None for a ReplicaSet that a Deployment has made: its pods count for the Deployment.
///
/// # Errors
/// Why it is no such object.
pub fn workload(kind: Kind, json: &str) -> Result<Option<(Owner, Availability)>, String> {
    let WorkloadObject { metadata, spec, status } =
        serde_json::from_str(json).map_err(|e| format!("a {kind}: {e}"))?;
    if kind == Kind::REPLICA_SET && metadata.controller().is_some() {
        return Ok(None);
    }
    let available = if kind == Kind::DAEMON_SET {
        Availability { desired: status.desired_number_scheduled, ready: status.number_ready }
    } else {
        // The API server sets what is not written to 1.
        Availability { desired: spec.replicas.unwrap_or(1), ready: status.ready_replicas }
    };
    let owner = Owner { kind: kind.name().into(), namespace: metadata.namespace, name: metadata.name };
    Ok(Some((owner, available)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_kind_counts_its_pods_in_its_own_fields() {
        let object = |meta: serde_json::Value, spec: serde_json::Value| {
            let mut object = json!({"metadata": {"name": "w", "namespace": "x"}, "spec": spec,
                "status": {"readyReplicas": 2, "desiredNumberScheduled": 7, "numberReady": 6}});
            if !meta.is_null() {
                object["metadata"]["ownerReferences"] = json!([meta]);
            }
            object.to_string()
        };
        let (no_owner, owned_by_deployment) =
            (json!(null), json!({"kind": "Deployment", "name": "w", "controller": true}));
        for (kind, meta, spec, available) in [
            (Kind::DEPLOYMENT, &no_owner, json!({"replicas": 3}), Some((3, 2))),
            (Kind::DEPLOYMENT, &no_owner, json!({}), Some((1, 2))),
            (Kind::STATEFUL_SET, &no_owner, json!({"replicas": 0}), Some((0, 2))),
            (Kind::REPLICA_SET, &no_owner, json!({"replicas": 2}), Some((2, 2))),
            (Kind::REPLICA_SET, &owned_by_deployment, json!({"replicas": 2}), None),
            (Kind::DAEMON_SET, &no_owner, json!({}), Some((7, 6))),
        ] {
            let read = workload(kind, &object(meta.clone(), spec)).expect("a workload");
            let counts = read.as_ref().map(|(_, available)| (available.desired, available.ready));
            assert_eq!(counts, available, "{kind}");
            assert!(read.is_none_or(|(owner, _)| *owner.kind == *kind.name()
                && &*owner.namespace == "x"
                && &*owner.name == "w"));
        }
        assert!(workload(Kind::DEPLOYMENT, "[").is_err());
    }
}
