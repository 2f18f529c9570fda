//! Pods by who makes them.

use std::collections::HashMap;

use snapshot::model::{Pod, Snapshot};

use crate::check::finding::Subject;

/// Who makes a pod. A Deployment counts as the owner of its ReplicaSets' pods.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner<'a> {
    /// `Deployment`, `DaemonSet` and so on; `Pod` for a pod without an owner, `Node` for a static pod.
    pub kind: &'a str,
    pub namespace: &'a str,
    /// The name; a pod without an owner has its own.
    pub name: &'a str,
}

/// All pods of an owner.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    pub owner: Owner<'a>,
    /// The pods, by name.
    pub pods: Vec<&'a Pod>,
}

impl Owner<'_> {
    /// The owner as an object of a finding.
    #[must_use]
    pub fn subject(&self) -> Subject {
        Subject {
            kind: self.kind.to_owned(),
            namespace: self.namespace.to_owned(),
            name: self.name.to_owned(),
            detail: String::new(),
        }
    }
}

/// The owner of a pod.
///
/// A Deployment names its ReplicaSets `NAME-HASH`, where the hash is also a label of the pods. *Source*: Kubernetes, `pkg/controller/deployment/sync.go`.
#[must_use]
pub fn owner(pod: &Pod) -> Owner<'_> {
    let namespace = pod.namespace();
    let Some(owner) = pod.metadata.controller() else {
        return Owner { kind: "Pod", namespace, name: pod.name() };
    };
    let (kind, name) = (owner.kind.as_ref(), owner.name.as_ref());
    let hash = pod.metadata.label("pod-template-hash").filter(|_| kind == "ReplicaSet");
    let target = hash.and_then(|hash| name.strip_suffix(hash)?.strip_suffix('-'));
    match target {
        Some(deployment) => Owner { kind: "Deployment", namespace, name: deployment },
        None => Owner { kind, namespace, name },
    }
}

/// All pods that have not ended, by owner, the owners sorted. Linear in the pods.
#[must_use]
pub fn groups(snapshot: &Snapshot) -> Vec<Group<'_>> {
    let mut all: HashMap<Owner<'_>, Vec<&Pod>> = HashMap::new();
    for pod in snapshot.pods.iter().filter(|pod| !pod.is_finished()) {
        all.entry(owner(pod)).or_default().push(pod);
    }
    let mut groups: Vec<Group<'_>> = all.into_iter().map(|(owner, pods)| Group { owner, pods }).collect();
    groups.sort_by(|a, b| a.owner.cmp(&b.owner));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_belongs_to_the_one_who_made_it() {
        for (kind, name, hash, owned_by) in [
            ("ReplicaSet", "web-5d9c", Some("5d9c"), ("Deployment", "web")),
            ("ReplicaSet", "web-5d9c", None, ("ReplicaSet", "web-5d9c")),
            ("ReplicaSet", "web", Some("5d9c"), ("ReplicaSet", "web")),
            ("StatefulSet", "db", None, ("StatefulSet", "db")),
        ] {
            let mut labels = json!({});
            if let Some(hash) = hash {
                labels["pod-template-hash"] = hash.into();
            }
            let pod: Pod =
                serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "x", "labels": labels,
                "ownerReferences": [{"kind": kind, "name": name, "controller": true}]}}))
                .expect("a pod");
            let owner = owner(&pod);
            assert_eq!((owner.kind, owner.name), owned_by);
        }
        let bare: Pod =
            serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "x"}})).expect("a pod");
        assert_eq!(owner(&bare).subject().to_string(), "Pod/x/p");
    }
}
