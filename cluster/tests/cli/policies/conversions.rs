//! A small cluster with policies, and what the commands about policies say of it.

use std::path::{Path, PathBuf};
use std::process::Output;

use crate::run::run_in;

/// A kind of policies that can be written.
pub(crate) struct Target {
    /// As `--kind` has it.
    pub(crate) kind: &'static str,
    /// A CNI that enforces it.
    pub(crate) to: &'static str,
    /// For people, as short as a column's title.
    pub(crate) name: &'static str,
}

/// The kinds that have a writer. A kind that gets one is added here: goldens and the table of docs/policies.md are of all of them.
pub(crate) const TARGETS: [Target; 4] = [
    Target { kind: "kubernetes", to: "aws-vpc", name: "NetworkPolicy of Kubernetes" },
    Target { kind: "antrea", to: "antrea", name: "Antrea" },
    Target { kind: "cilium", to: "cilium", name: "Cilium" },
    Target { kind: "cluster", to: "antrea", name: "ClusterNetworkPolicy of Kubernetes" },
];

/// The directory of the cluster, and of policies for it.
pub(crate) fn conversions() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conversions")
}

/// `policies COMMAND` from Calico to a target, on the cluster and files beside it.
pub(crate) fn policies(dir: &Path, command: &str, target: &Target, more: &[&str]) -> Output {
    let cluster = conversions().join("cluster.yaml");
    let arguments = [
        "policies",
        command,
        "--from",
        "calico",
        "--to",
        target.to,
        "--kind",
        target.kind,
        "--dumped",
        "all",
        "--snapshot",
        cluster.to_str().expect("UTF-8"),
    ];
    run_in(dir, &[&arguments[..], more].concat())
}
