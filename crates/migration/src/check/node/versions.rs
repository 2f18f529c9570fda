//! Versions of kubelet, runtime and kernel, by pool.

use std::collections::BTreeMap;

use snapshot::model::{Kind, Node};

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::driver::Kernel;
use crate::workload::{Version, platform, pool_of, release, version};

pub(in crate::check) const CHECK: Check = Check {
    name: "versions",
    rules: &[
        &VERSION_ARCHITECTURE,
        &VERSION_KERNEL,
        &VERSION_KERNEL_DOUBTFUL,
        &VERSION_KUBELET,
        &VERSION_RUNTIME,
        &VERSION_RUNTIME_UNPROVEN,
        &VERSION_UNKNOWN,
        &VERSIONS_DIFFER,
    ],
    needs: &[Need::Always(Kind::NODE), Need::Always(Kind::DAEMON_SET)],
    run,
};

const VERSION_ARCHITECTURE: Rule = Severity::Blocks.rule(
    "version-architecture",
    "Nodes have an architecture other than amd64 and arm64.",
    "There are no programs of Crossfade for them.",
    "Remove these nodes from the migration: cordon and drain them, and let them leave the cluster.",
);

const VERSION_KERNEL: Rule = Severity::Blocks.rule(
    "version-kernel",
    "The kernel is older than the new CNI supports.",
    "The new CNI's agent does not start on these nodes, or starts without parts of its data path.",
    "Upgrade the kernel of these nodes first, or replace them by nodes with a newer image.",
);

const VERSION_KERNEL_DOUBTFUL: Rule = Severity::Risk.rule(
    "version-kernel-doubtful",
    "The kernel is older than some releases of the new CNI support.",
    "Cilium from 1.18 on needs Linux 5.10, or the kernel of Red Hat Enterprise Linux 8.10; 1.16 and 1.17 need Linux 5.4, or that of 8.6. An agent that does not start leaves its node without pods.",
    "Install the new CNI's agents in a release that supports this kernel, then check again; or upgrade the kernel of these nodes first.",
);

pub(crate) const VERSION_KUBELET: Rule = Severity::Blocks.rule(
    "version-kubelet",
    "kubelet is older than 1.25.",
    "Crossfade's programs on the node are not tried with it.",
    "Upgrade these nodes first.",
);

pub(crate) const VERSION_RUNTIME: Rule = Severity::Blocks.rule(
    "version-runtime",
    "The container runtime is none of containerd from 1.6 on and CRI-O from 1.28 on.",
    "Crossfade's plugin depends on how the runtime calls CNI plugins: Docker and older runtimes lose what it needs at DEL.",
    "Upgrade or replace the runtime of these nodes first.",
);

const VERSION_RUNTIME_UNPROVEN: Rule = Severity::Risk.rule(
    "version-runtime-unproven",
    "The container runtime is newer than those that Crossfade was tried with.",
    "A new major version may call CNI plugins in another way.",
    "On one such node that is drained: crossfade-bootstrap image selftest. Then accept the finding with a waiver.",
);

pub(crate) const VERSION_UNKNOWN: Rule = Severity::Risk.rule(
    "version-unknown",
    "Versions of nodes cannot be read.",
    "It is unknown whether Crossfade and the new CNI support these nodes.",
    "Take the snapshot again, with status.nodeInfo: kubectl get nodes -o json > nodes.json",
);

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
    let mut nodes_by_rule: BTreeMap<&'static Rule, BTreeMap<(&str, String), Nodes<'_>>> = BTreeMap::new();
    let mut kinds: BTreeMap<(&str, &str), BTreeMap<String, usize>> = BTreeMap::new();
    for node in scene.snapshot.nodes.iter().filter(|node| platform(node).is_none()) {
        let pool = pool_of(scene, node);
        for (rule, detail) in judge_node(node, &kernel) {
            let entry = nodes_by_rule.entry(rule).or_default().entry((pool, detail)).or_default();
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
        nodes_by_rule.into_iter().map(|(rule, all)| finding(scene, rule, &all)).collect();
    findings.extend(differ(&kinds));
    findings
}

fn subject(pool: &str) -> Subject {
    let name = if pool.is_empty() { "(nodes without a pool)" } else { pool };
    Subject { kind: "Pool".into(), namespace: String::new(), name: name.into(), detail: String::new() }
}

/// What is wrong with a node's versions.
fn judge_node(node: &Node, kernel: &Kernel) -> Vec<(&'static Rule, String)> {
    let info = &node.status.node_info;
    let mut problems = Vec::new();
    for (program, text, rule) in [
        ("kubelet", &info.kubelet_version, judge_kubelet(node)),
        ("runtime", &info.container_runtime_version, judge_runtime(node)),
    ] {
        let is_known = rule != Some(&VERSION_UNKNOWN);
        let detail = if is_known { format!("{program} {text}") } else { format!("{program} {text:?}") };
        problems.extend(rule.map(|rule| (rule, detail)));
    }
    let kernel_release = format!("kernel {}", info.kernel_version);
    match version(&info.kernel_version) {
        None => problems.push((&VERSION_UNKNOWN, format!("kernel {:?}", info.kernel_version))),
        // Red Hat's kernels have what newer ones have.
        Some(_) if red_hat_8(&info.kernel_version).is_some_and(|build| build >= kernel.red_hat_8) => {}
        Some(_) if red_hat_8(&info.kernel_version).is_some() => {
            problems.push((&VERSION_KERNEL_DOUBTFUL, kernel_release))
        }
        Some(version) if version < kernel.least => problems.push((&VERSION_KERNEL, kernel_release)),
        Some(version) if version < kernel.doubtful => {
            problems.push((&VERSION_KERNEL_DOUBTFUL, kernel_release))
        }
        Some(_) => {}
    }
    if !matches!(info.architecture.as_ref(), "amd64" | "arm64" | "") {
        problems.push((&VERSION_ARCHITECTURE, format!("architecture {}", info.architecture)));
    }
    problems
}

/// What is wrong with a node's kubelet.
pub(crate) fn judge_kubelet(node: &Node) -> Option<&'static Rule> {
    match version(&node.status.node_info.kubelet_version) {
        None => Some(&VERSION_UNKNOWN),
        Some(version) => (version < KUBELET).then_some(&VERSION_KUBELET),
    }
}

/// What is wrong with a node's container runtime.
pub(crate) fn judge_runtime(node: &Node) -> Option<&'static Rule> {
    let runtime = node.status.node_info.container_runtime_version.split_once("://");
    match runtime.map(|(name, text)| (name, version(text))) {
        Some(("containerd", Some(version))) if version >= CONTAINERD.1 => Some(&VERSION_RUNTIME_UNPROVEN),
        Some(("containerd", Some(version))) if version >= CONTAINERD.0 => None,
        Some(("cri-o", Some(version))) if version >= CRIO => None,
        Some((_, Some(_))) => Some(&VERSION_RUNTIME),
        _ => Some(&VERSION_UNKNOWN),
    }
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

const VERSIONS_DIFFER: Rule = Severity::Note.rule(
    "versions-differ",
    "Nodes of one pool have different versions.",
    "What works on one node need not work on the next.",
    "Move one node of each version first, and wait, before the rest of the pool follows.",
);

fn differ(kinds: &BTreeMap<(&str, &str), BTreeMap<String, usize>>) -> Option<Finding> {
    let differing = kinds.iter().filter(|(_, values)| values.len() > 1).map(|((pool, what), values)| {
        let values: Vec<String> = values.iter().map(|(value, nodes)| format!("{value} on {nodes}")).collect();
        subject(pool).detail(format!("{what} {}", values.join(", ")))
    });
    let differing: Vec<Subject> = differing.collect();
    (!differing.is_empty()).then(|| Finding::new(&VERSIONS_DIFFER).with_objects(differing))
}

fn finding(scene: &Scene<'_>, rule: &'static Rule, all: &BTreeMap<(&str, String), Nodes<'_>>) -> Finding {
    let objects = all.iter().map(|((pool, detail), members)| {
        let nodes = if members.nodes == 1 {
            members.first.to_owned()
        } else {
            format!("{} nodes, such as {}", members.nodes, members.first)
        };
        subject(pool).detail(format!("{detail} on {nodes}"))
    });
    let finding = Finding::new(rule).with_objects(objects);
    let to = scene.to;
    if rule == &VERSION_KERNEL {
        let why =
            format!("{to}'s agent does not start on these nodes, or starts without parts of its data path.");
        finding.what(format!("The kernel is older than {to} supports.")).why(why)
    } else if rule == &VERSION_KERNEL_DOUBTFUL {
        finding.what(format!("The kernel is older than some releases of {to} support."))
    } else {
        finding
    }
}

#[cfg(test)]
mod tests;
