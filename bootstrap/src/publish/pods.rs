//! The fields of the pods that are bound to this node, as far as they are reported.

pub(crate) mod annotated;
pub(crate) mod bound;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IgnoredAny;

/// A Pod, as the API server told of it.
///
/// *Source*: `core/v1`, `Pod`; everything else in it is skipped unread.
#[derive(Debug, Default, Deserialize)]
pub(super) struct PodObject {
    pub(super) metadata: Metadata,
    #[serde(default)]
    pub(super) spec: Spec,
    #[serde(default)]
    pub(super) status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    #[serde(default)]
    pub(super) namespace: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) uid: String,
    #[serde(default)]
    pub(super) owner_references: Vec<OwnerReference>,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) deletion_timestamp: Option<String>,
}

/// *Source*: `meta/v1`, `OwnerReference`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct OwnerReference {
    pub(super) kind: String,
    pub(super) uid: String,
    #[serde(default)]
    pub(super) controller: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    pub(super) node_name: String,
    pub(super) host_network: bool,
    pub(super) restart_policy: Option<String>,
    pub(super) termination_grace_period_seconds: Option<u64>,
    pub(super) containers: Vec<Container>,
    pub(super) volumes: Vec<Volume>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Container {
    pub(super) name: String,
    lifecycle: Option<Lifecycle>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Lifecycle {
    pre_stop: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Volume {
    pub(super) empty_dir: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    #[serde(default)]
    phase: String,
    /// When kubelet took the pod on.
    #[serde(default)]
    pub(super) start_time: Option<String>,
    #[serde(default)]
    init_container_statuses: Vec<ContainerStatus>,
    #[serde(default)]
    container_statuses: Vec<ContainerStatus>,
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Debug, Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

#[derive(Debug, Default, Deserialize)]
struct ContainerStatus {
    /// Set once the container was created, which it is not before the sandbox has its network.
    #[serde(rename = "containerID", default)]
    container_id: String,
}

/// The answer to a list.
#[derive(Debug, Deserialize)]
pub(super) struct Pods {
    pub(super) items: Vec<PodObject>,
}

impl Container {
    pub(super) fn has_pre_stop(&self) -> bool {
        self.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.pre_stop.is_some())
    }
}

impl Status {
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }

    pub(super) fn is_ready(&self) -> bool {
        self.conditions.iter().any(|condition| condition.kind == "Ready" && condition.status == "True")
    }

    /// The ids of the containers that were created, init containers left out.
    pub(super) fn containers(&self) -> BTreeSet<String> {
        let all = self.container_statuses.iter().map(|container| &container.container_id);
        all.filter(|id| !id.is_empty()).cloned().collect()
    }

    pub(super) fn has_a_container(&self) -> bool {
        let all = self.init_container_statuses.iter().chain(&self.container_statuses);
        all.into_iter().any(|container| !container.container_id.is_empty())
    }
}
