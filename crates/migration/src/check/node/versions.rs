//! Versions of kubelet, runtime and kernel, by pool.

use std::collections::BTreeMap;

use snapshot::model::{Kind, Node};

use crate::check::Scene;
use crate::check::finding::{Finding, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::driver::Kernel;
use crate::workload::{Version, platform, pool_of, release, version};

/// The codes of [`finding`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Code {
    Architecture,
    Kernel,
    KernelDoubtful,
    Kubelet,
    Runtime,
    RuntimeUnproven,
    Unknown,
}

impl Code {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Architecture => "version-architecture",
            Self::Kernel => "version-kernel",
            Self::KernelDoubtful => "version-kernel-doubtful",
            Self::Kubelet => "version-kubelet",
            Self::Runtime => "version-runtime",
            Self::RuntimeUnproven => "version-runtime-unproven",
            Self::Unknown => "version-unknown",
        }
    }
}

pub(in crate::check) const CHECK: Check = Check {
    name: "versions",
    codes: &[
        (Code::Architecture.as_str(), "an architecture for which Crossfade and CNIs have no programs"),
        (Code::Kernel.as_str(), "a kernel that the new CNI does not support"),
        (Code::KernelDoubtful.as_str(), "a kernel that the new CNI may not support"),
        (Code::Kubelet.as_str(), "a kubelet that Crossfade does not support"),
        (Code::Runtime.as_str(), "a container runtime that Crossfade does not support"),
        (
            Code::RuntimeUnproven.as_str(),
            "a container runtime that is newer than those that Crossfade was tried with",
        ),
        (Code::Unknown.as_str(), "a version that cannot be read"),
        ("versions-differ", "the nodes of a pool have different versions"),
    ],
    needs: &[Need::Always(Kind::NODE), Need::Always(Kind::DAEMON_SET)],
    run,
};

/// The oldest kubelet. *Source*: docs/support.md.
const KUBELET: Version = (1, 25);
/// The oldest containerd, and the first one that was not tried. *Source*: docs/support.md.
const CONTAINERD: (Version, Version) = ((1, 6), (3, 0));
/// The oldest CRI-O. *Source*: docs/support.md.
const CRIO: Version = (1, 28);

/// Nodes of a pool with one value; how many, and the first.
#[derive(Default)]
struct Nodes<'a> {
    nodes: usize,
    first: &'a str,
}

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let kernel = scene.to.driver().kernel(release(scene, scene.to));
    let mut nodes_by_code: BTreeMap<Code, BTreeMap<(&str, String), Nodes<'_>>> = BTreeMap::new();
    let mut kinds: BTreeMap<(&str, &str), BTreeMap<String, usize>> = BTreeMap::new();
    for node in scene.snapshot.nodes.iter().filter(|node| platform(node).is_none()) {
        let pool = pool_of(scene, node);
        for (code, detail) in judge_node(node, &kernel) {
            let entry = nodes_by_code.entry(code).or_default().entry((pool, detail)).or_default();
            entry.nodes += 1;
            if entry.first.is_empty() {
                entry.first = node.name();
            }
        }
        for (what, value) in identity(node) {
            *kinds.entry((pool, what)).or_default().entry(value).or_default() += 1;
        }
    }
    let mut findings: Vec<Finding> =
        nodes_by_code.into_iter().map(|(code, all)| finding(scene, code, &all)).collect();
    findings.extend(differ(&kinds));
    findings
}

fn subject(pool: &str) -> Subject {
    let name = if pool.is_empty() { "(nodes without a pool)" } else { pool };
    Subject { kind: "Pool".into(), namespace: String::new(), name: name.into(), detail: String::new() }
}

/// What is wrong with a node's versions.
fn judge_node(node: &Node, kernel: &Kernel) -> Vec<(Code, String)> {
    let info = &node.status.node_info;
    let mut problems = Vec::new();
    match version(&info.kubelet_version) {
        None => problems.push((Code::Unknown, format!("kubelet {:?}", info.kubelet_version))),
        Some(is) if is < KUBELET => {
            problems.push((Code::Kubelet, format!("kubelet {}", info.kubelet_version)))
        }
        Some(_) => {}
    }
    let runtime = || format!("runtime {}", info.container_runtime_version);
    match info.container_runtime_version.split_once("://").map(|(name, text)| (name, version(text))) {
        Some(("containerd", Some(is))) if is >= CONTAINERD.1 => {
            problems.push((Code::RuntimeUnproven, runtime()))
        }
        Some(("containerd", Some(is))) if is >= CONTAINERD.0 => {}
        Some(("cri-o", Some(is))) if is >= CRIO => {}
        Some((_, Some(_))) => problems.push((Code::Runtime, runtime())),
        _ => problems.push((Code::Unknown, format!("runtime {:?}", info.container_runtime_version))),
    }
    let kernel_release = format!("kernel {}", info.kernel_version);
    match version(&info.kernel_version) {
        None => problems.push((Code::Unknown, format!("kernel {:?}", info.kernel_version))),
        // Red Hat's kernels have what newer ones have.
        Some(_) if red_hat_8(&info.kernel_version).is_some_and(|build| build >= kernel.red_hat_8) => {}
        Some(_) if red_hat_8(&info.kernel_version).is_some() => {
            problems.push((Code::KernelDoubtful, kernel_release))
        }
        Some(version) if version < kernel.least => problems.push((Code::Kernel, kernel_release)),
        Some(version) if version < kernel.doubtful => problems.push((Code::KernelDoubtful, kernel_release)),
        Some(_) => {}
    }
    if !matches!(info.architecture.as_ref(), "amd64" | "arm64" | "") {
        problems.push((Code::Architecture, format!("architecture {}", info.architecture)));
    }
    problems
}

/// The build of a kernel of Red Hat Enterprise Linux 8, or of a rebuild of it: 553 of `4.18.0-553.el8_10.x86_64`.
fn red_hat_8(kernel: &str) -> Option<u32> {
    let build = kernel.strip_prefix("4.18.0-").filter(|_| kernel.contains(".el8"))?;
    build.split('.').next()?.parse().ok()
}

/// What a scout is needed for: each different value is tried on one node first.
fn identity(node: &Node) -> [(&'static str, String); 3] {
    let info = &node.status.node_info;
    let minor = |text: &str| {
        version(text).map_or_else(|| text.to_owned(), |(major, minor)| format!("{major}.{minor}"))
    };
    let runtime = match info.container_runtime_version.split_once("://") {
        Some((name, text)) => format!("{name} {}", minor(text)),
        None => info.container_runtime_version.to_string(),
    };
    [("kubelet", minor(&info.kubelet_version)), ("runtime", runtime), ("kernel", minor(&info.kernel_version))]
}

fn differ(kinds: &BTreeMap<(&str, &str), BTreeMap<String, usize>>) -> Option<Finding> {
    let differing = kinds.iter().filter(|(_, values)| values.len() > 1).map(|((pool, what), values)| {
        let values: Vec<String> = values.iter().map(|(value, nodes)| format!("{value} on {nodes}")).collect();
        subject(pool).detail(format!("{what} {}", values.join(", ")))
    });
    let differing: Vec<Subject> = differing.collect();
    (!differing.is_empty()).then(|| {
        Finding::new(
            "versions-differ",
            Severity::Note,
            "Nodes of one pool have different versions.",
            "What works on one node need not work on the next.",
            "Move one node of each version first, and wait, before the rest of the pool follows.",
        )
        .with_objects(differing)
    })
}

fn finding(scene: &Scene<'_>, code: Code, all: &BTreeMap<(&str, String), Nodes<'_>>) -> Finding {
    let objects = all.iter().map(|((pool, detail), members)| {
        let nodes = if members.nodes == 1 {
            members.first.to_owned()
        } else {
            format!("{} nodes, such as {}", members.nodes, members.first)
        };
        subject(pool).detail(format!("{detail} on {nodes}"))
    });
    let to = scene.to;
    let (severity, what, why, fix) = match code {
        Code::Kubelet => (
            Severity::Blocks,
            format!("kubelet is older than {}.{}.", KUBELET.0, KUBELET.1),
            "Crossfade's programs on the node are not tried with it.".to_owned(),
            "Upgrade these nodes first.",
        ),
        Code::Runtime => (
            Severity::Blocks,
            "The container runtime is none of containerd from 1.6 on and CRI-O from 1.28 on.".to_owned(),
            "Crossfade's plugin depends on how the runtime calls CNI plugins: Docker and older runtimes lose what it needs at DEL.".to_owned(),
            "Upgrade or replace the runtime of these nodes first.",
        ),
        Code::RuntimeUnproven => (
            Severity::Risk,
            "The container runtime is newer than those that Crossfade was tried with.".to_owned(),
            "A new major version may call CNI plugins in another way.".to_owned(),
            "On one such node that is drained: crossfade-bootstrap image selftest. Then accept the finding with a waiver.",
        ),
        Code::Kernel => (
            Severity::Blocks,
            format!("The kernel is older than {to} supports."),
            format!("{to}'s agent does not start on these nodes, or starts without parts of its data path."),
            "Upgrade the kernel of these nodes first, or replace them by nodes with a newer image.",
        ),
        Code::KernelDoubtful => (
            Severity::Risk,
            format!("The kernel is older than some releases of {to} support."),
            "Cilium from 1.18 on needs Linux 5.10, or the kernel of Red Hat Enterprise Linux 8.10; 1.16 and 1.17 need Linux 5.4, or that of 8.6. An agent that does not start leaves its node without pods.".to_owned(),
            "Install the new CNI's agents in a release that supports this kernel, then check again; or upgrade the kernel of these nodes first.",
        ),
        Code::Architecture => (
            Severity::Blocks,
            "Nodes have an architecture other than amd64 and arm64.".to_owned(),
            "There are no programs of Crossfade for them.".to_owned(),
            "Remove these nodes from the migration: cordon and drain them, and let them leave the cluster.",
        ),
        Code::Unknown => (
            Severity::Risk,
            "Versions of nodes cannot be read.".to_owned(),
            "It is unknown whether Crossfade and the new CNI support these nodes.".to_owned(),
            "Take the snapshot again, with status.nodeInfo: kubectl get nodes -o json > nodes.json",
        ),
    };
    Finding::new(code.as_str(), severity, what, why, fix).with_objects(objects)
}

#[cfg(test)]
mod tests;
