//! Rows about the nodes: kubelet, runtime and operating system.

use super::{Of, Requirement, State, Version};
use crate::model::{Kind, Node};
use crate::scene::Scene;

/// The oldest versions of which Crossfade's tests run; the README lists them.
const KUBELET: Version = Version(1, 25, 0);
const CONTAINERD: Version = Version(1, 6, 0);
const CRIO: Version = Version(1, 28, 0);

pub(super) const ROWS: &[Requirement] = &[
    Requirement {
        name: "kubelet-version",
        what: "kubelet is 1.25 or later on every node.",
        why: "Older kubelets are not tried: they may lose a pod's network when its CNI changes.",
        found_by: &["version-kubelet", "version-unknown"],
        of: Of::All,
        needs: &[Kind::NODE],
        state: |scene| {
            each(scene, "update kubelet on these nodes", |node| {
                let text = &node.status.node_info.kubelet_version;
                Version::read(text)
                    .is_some_and(|version| version >= KUBELET)
                    .then_some(())
                    .ok_or_else(|| text.to_string())
            })
        },
    },
    Requirement {
        name: "runtime-version",
        what: "The runtime is containerd 1.6 or later, or CRI-O 1.28 or later, on every node.",
        why: "Older runtimes are not tried: they may call a CNI differently, so that a DEL is lost and an address leaks.",
        found_by: &["version-runtime", "version-unknown"],
        of: Of::All,
        needs: &[Kind::NODE],
        state: |scene| {
            each(scene, "update or replace the runtime on these nodes", |node| {
                runtime(&node.status.node_info.container_runtime_version)
            })
        },
    },
    Requirement {
        name: "linux",
        what: "Every node runs Linux.",
        why: "Crossfade runs on Linux alone, so these nodes cannot pass from one CNI to the other.",
        found_by: &["platform-windows"],
        of: Of::All,
        needs: &[Kind::NODE],
        state: |scene| {
            each(scene, "keep these nodes out of the migration: their pods stay on the old network", |node| {
                let system = &node.status.node_info.operating_system;
                if matches!(system.as_ref(), "linux" | "") { Ok(()) } else { Err(system.to_string()) }
            })
        },
    },
];

fn runtime(text: &str) -> Result<(), String> {
    let known = text.split_once("://").and_then(|(name, version)| Some((name, Version::read(version)?)));
    let is_known = match known {
        Some(("containerd", version)) => version >= CONTAINERD,
        Some(("cri-o", version)) => version >= CRIO,
        _ => false,
    };
    if is_known { Ok(()) } else { Err(text.to_owned()) }
}

/// How many nodes are named in a row.
const NAMED: usize = 5;

fn each(scene: &Scene<'_>, fix: &str, holds: impl Fn(&Node) -> Result<(), String>) -> State {
    let nodes = &scene.snapshot.nodes;
    if nodes.is_empty() {
        return State::unknown(
            "the snapshot has no node",
            "take the snapshot again, with a right to list nodes",
        );
    }
    let wrong: Vec<String> = nodes
        .iter()
        .filter_map(|node| holds(node).err().map(|seen| format!("{} ({seen})", node.name())))
        .collect();
    match wrong.len() {
        0 => State::met(format!("on all {} nodes", nodes.len())),
        count if count > NAMED => {
            State::not_met(format!("{} and {} more nodes", wrong[..NAMED].join(", "), count - NAMED), fix)
        }
        _ => State::not_met(wrong.join(", "), fix),
    }
}
