//! Rows about the nodes: kubelet, runtime and operating system.

use snapshot::model::{Kind, Node};
use types::text::list::join_first;

use super::{Requirement, Scope, State};
use crate::check::finding::{Rule, Severity};
use crate::check::{
    PLATFORM_WINDOWS, Scene, VERSION_KUBELET, VERSION_RUNTIME, VERSION_UNKNOWN, judge_kubelet, judge_runtime,
};

pub(super) const ROWS: &[Requirement] = &[
    Requirement {
        name: "kubelet-version",
        what: "kubelet is 1.25 or later on every node.",
        why: "Older kubelets are not tried: they may lose a pod's network when its CNI changes.",
        found_by: &[&VERSION_KUBELET, &VERSION_UNKNOWN],
        scope: Scope::All,
        needs: &[Kind::NODE],
        state: |scene| {
            judge_each(scene, "update kubelet on these nodes", |node| {
                (node.status.node_info.kubelet_version.as_ref(), holds(judge_kubelet(node)))
            })
        },
    },
    Requirement {
        name: "runtime-version",
        what: "The runtime is containerd 1.6 or later, or CRI-O 1.28 or later, on every node.",
        why: "Older runtimes are not tried: they may call a CNI differently, so that a DEL is lost and an address leaks.",
        found_by: &[&VERSION_RUNTIME, &VERSION_UNKNOWN],
        scope: Scope::All,
        needs: &[Kind::NODE],
        state: |scene| {
            judge_each(scene, "update or replace the runtime on these nodes", |node| {
                (node.status.node_info.container_runtime_version.as_ref(), holds(judge_runtime(node)))
            })
        },
    },
    Requirement {
        name: "linux",
        what: "Every node runs Linux.",
        why: "Crossfade runs on Linux alone, so these nodes cannot pass from one CNI to the other.",
        found_by: &[&PLATFORM_WINDOWS],
        scope: Scope::All,
        needs: &[Kind::NODE],
        state: |scene| {
            let fix = "let these nodes leave the cluster, or accept this with a waiver: their pods stay on the old network until it is removed";
            judge_each(scene, fix, |node| {
                let system = node.status.node_info.operating_system.as_ref();
                (system, Some(matches!(system, "linux" | "")))
            })
        },
    },
];

/// Whether a row holds on a node, by what `check` finds there; none if it is not known.
fn holds(found: Option<&Rule>) -> Option<bool> {
    (found != Some(&VERSION_UNKNOWN)).then(|| found.is_none_or(|rule| rule.grade != Severity::Blocks))
}

/// How many nodes are named in a row.
const NAMED: usize = 5;

/// Whether all nodes have what a row wants. `judged` is what a node says, and whether that is right; none if it cannot be read.
fn judge_each<'s>(
    scene: &Scene<'s>,
    fix: &str,
    judged: impl Fn(&'s Node) -> (&'s str, Option<bool>),
) -> State {
    let nodes = &scene.snapshot.nodes;
    if nodes.is_empty() {
        return State::unknown(
            "the snapshot has no node",
            "take the snapshot again, with a right to list nodes",
        );
    }
    let named = |expected: Option<bool>| -> Vec<String> {
        let matching = nodes.iter().map(|node| (node.name(), judged(node)));
        matching
            .filter(|(_, (_, answer))| *answer == expected)
            .map(|(name, (text, _))| format!("{name} ({text})"))
            .collect()
    };
    let (wrong, unread) = (named(Some(false)), named(None));
    if !wrong.is_empty() {
        State::not_met(join_first(wrong, NAMED), fix)
    } else if unread.is_empty() {
        State::met(format!("on all {} nodes", nodes.len()))
    } else {
        State::unknown(
            format!("these nodes do not say it: {}", join_first(unread, NAMED)),
            "take the snapshot again, with status.nodeInfo, or accept this with a waiver",
        )
    }
}
