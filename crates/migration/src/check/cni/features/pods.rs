//! Pods, and what makes them, by their annotations.

use std::collections::BTreeSet;

use snapshot::model::{Kind, Meta, Pod};

use crate::check::Scene;
use crate::check::finding::Subject;

/// The owners of the pods, and the namespaces, that have an annotation of this kind.
pub(super) fn pods_with_annotation(scene: &Scene<'_>, is_meant: impl Fn(&str) -> bool) -> Vec<Subject> {
    let key = |meta: &Meta| meta.annotations.keys().find(|key| is_meant(key)).map(ToString::to_string);
    let pods = scene.snapshot.pods.iter().filter(|pod| !pod.metadata.annotations.is_empty());
    let pods = pods.filter_map(|pod| Some(owner(pod).detail(key(&pod.metadata)?)));
    let namespaces = scene.snapshot.objects(Kind::NAMESPACE).iter().filter_map(|object| {
        let annotations = object.pointer("/metadata/annotations")?.as_object()?;
        let key = annotations.keys().find(|key| is_meant(key))?;
        Some(Subject::new(Kind::NAMESPACE, object.name()).detail(key.as_str()))
    });
    let all: BTreeSet<Subject> = pods.chain(namespaces).collect();
    all.into_iter().collect()
}

/// What makes a pod: its Deployment instead of the ReplicaSet of a revision, or the pod itself.
fn owner(pod: &Pod) -> Subject {
    let itself = || Subject::from_meta(Kind::POD, &pod.metadata);
    let Some(owner) = pod.metadata.controller() else { return itself() };
    let deployment = pod
        .metadata
        .label("pod-template-hash")
        .and_then(|hash| owner.name.strip_suffix(hash)?.strip_suffix('-'));
    let (kind, name) = match (owner.kind.as_ref(), deployment) {
        ("ReplicaSet", Some(name)) => ("Deployment", name),
        // The Node owns a static pod.
        ("Node", _) => return itself(),
        (kind, _) => (kind, owner.name.as_ref()),
    };
    Subject { kind: kind.into(), name: name.into(), ..itself() }
}
