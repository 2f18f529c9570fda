//! The properties of a pod that decide how it moves.

use snapshot::model::Pod;
use types::api::eviction::STAY;

use crate::config::Dns;

/// The pod is Ready.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    pod.status
        .conditions
        .iter()
        .any(|condition| condition.kind.as_ref() == "Ready" && condition.status.as_ref() == "True")
}

/// A DaemonSet or the node itself makes the pod, so it comes back on the same node.
#[must_use]
pub fn is_bound_to_node(pod: &Pod) -> bool {
    pod.is_static()
        || pod.metadata.controller().is_some_and(|owner| matches!(owner.kind.as_ref(), "DaemonSet" | "Node"))
}

/// A drain moves the pod to another node, where it gets another address.
#[must_use]
pub fn is_movable(pod: &Pod) -> bool {
    !pod.is_finished() && !is_bound_to_node(pod)
}

/// An annotation asks not to disrupt the pod.
#[must_use]
pub fn asks_to_stay(pod: &Pod) -> bool {
    STAY.iter().any(|(key, value)| pod.metadata.annotation(key) == Some(value))
}

/// The pod has an emptyDir, whose data an eviction deletes.
#[must_use]
pub fn has_empty_dir(pod: &Pod) -> bool {
    pod.spec.volumes.iter().any(|volume| volume.source.as_ref() == "emptyDir")
}

/// The pod answers DNS queries for the cluster, by what the settings say of such pods.
#[must_use]
pub fn is_dns(settings: &Dns, pod: &Pod) -> bool {
    let has = |(key, value)| pod.metadata.labels.get(key) == Some(value);
    pod.namespace() == settings.namespace && !pod.is_finished() && settings.labels.iter().all(has)
}
