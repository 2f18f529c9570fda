//! The state of sandboxes that a container runtime keeps. Its images stay: they are often why there is a golden image.

use super::{Rule, refuse};

const LIVE: &str =
    "a sandbox of this machine, or what is left of one: a node would find it, but no pod that it belongs to";

pub(super) const RULES: &[Rule] = &[
    refuse(
        &[
            "/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/*",
            "/var/lib/containerd/io.containerd.grpc.v1.cri/containers/*",
            "/var/lib/containerd/io.containerd.runtime.v2.task/k8s.io/*",
        ],
        LIVE,
        "stop kubelet and remove all pods (crictl rmp -fa), so that their DELs run; the directory goes with the sandbox",
        "containerd/containerd: internal/cri/server/helpers.go (pkg/cri/server before 2.0), core/runtime/v2/bundle.go",
    ),
    refuse(
        &["/var/lib/containers/storage/overlay-containers/*/userdata"],
        LIVE,
        "stop kubelet and remove all pods (crictl rmp -fa; podman rm -fa for podman's), so that their DELs run",
        "containers/storage: containers.go (one directory per container); cri-o/cri-o: internal/storage/runtime.go",
    ),
];
