//! The pods that are bound to this node.

use std::collections::{BTreeMap, BTreeSet};

/// The annotation of a pod that kubelet made from a file or a URL. *Source*: Kubernetes, `pkg/apis/core`, `MirrorPodAnnotationKey`.
pub const MIRROR: &str = "kubernetes.io/config.mirror";

/// A pod that is bound to this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BoundPod {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// The Node that it is bound to.
    pub node: String,
    /// What makes the pod again; none if no controller does.
    pub owner: Option<Owner>,
    pub annotations: BTreeMap<String, String>,
    /// kubelet made it from a file of the node.
    pub is_static: bool,
    /// It is on the node's own network, and so has no attachment.
    pub host_network: bool,
    /// kubelet starts its containers again, however they ended.
    pub restarts_always: bool,
    /// One of its containers has a hook that kubelet runs before it stops the container.
    pub has_pre_stop: bool,
    /// It has an emptyDir, whose data goes with the pod.
    pub has_empty_dir: bool,
    /// How long its containers may take to end, in seconds.
    pub grace_secs: u64,
    /// It has ended, and stays for inspection.
    pub has_ended: bool,
    /// It is being deleted.
    pub is_leaving: bool,
    /// kubelet says that it is Ready.
    pub is_ready: bool,
    /// The ids of its containers, init containers left out.
    pub containers: BTreeSet<String>,
    /// The names of its containers, init containers left out.
    pub container_names: BTreeSet<String>,
    /// One of its containers was created, init containers included.
    pub has_started: bool,
}

/// What makes a pod again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// Its kind: `ReplicaSet`, `DaemonSet`, ...
    pub kind: String,
    pub uid: String,
}

impl BoundPod {
    /// The UID by which kubelet and the runtime know the pod. That of a static pod is the hash of its file, and its Pod at the API server, which only mirrors
    /// it, has another one.
    #[must_use]
    pub fn uid_on_node(&self) -> &str {
        self.annotations.get(MIRROR).map_or(&self.uid, String::as_str)
    }
}
