//! What is read of the pods that are bound to this node: no more than is reported.

use std::collections::BTreeMap;

use serde::Deserialize;

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
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) deletion_timestamp: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    #[serde(default)]
    pub(super) host_network: bool,
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

impl Status {
    pub(super) fn ended(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }

    pub(super) fn has_a_container(&self) -> bool {
        let all = self.init_container_statuses.iter().chain(&self.container_statuses);
        all.into_iter().any(|container| !container.container_id.is_empty())
    }
}
