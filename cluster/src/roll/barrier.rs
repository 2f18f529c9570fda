//! The end of a pass: every node is done, and a count of all pods shows that no node forgot any. Pure.

use super::act::Act;
use super::transit::DOWN;
use super::view::{Standing, View};
use super::wait::{Reason, Wait};

/// How far the end of the pass is.
#[derive(Debug)]
pub enum Barrier {
    /// Nodes are left.
    NotYet,
    /// All nodes are done, and something is still to be done or waited for.
    Almost(Vec<Act>, Vec<Wait>),
    /// The pass is over.
    Over,
}

/// How far the end of the pass is.
#[must_use]
pub fn barrier(view: &View<'_>) -> Barrier {
    let mut waits = Vec::new();
    for (name, node, standing) in view.nodes() {
        match standing {
            // What it said is from before, and its machine may have been made anew since.
            Standing::Done if !node.is_ready => waits.push(unreachable(view, name)),
            Standing::Done => {}
            Standing::Skipped if node.is_cordoned && node.attached() == Some(0) => {}
            Standing::Skipped => {
                let what = "it was skipped, and the next phase must not begin while it has pods or takes any";
                let help = format!(
                    "drain it: kubectl drain {name} --ignore-daemonsets; or let it take part: kubectl crossfade retry {name}"
                );
                waits.push(Wait::held(format!("Node/{name}"), Reason::WouldPart, what, help));
            }
            _ => return Barrier::NotYet,
        }
    }
    if !waits.is_empty() {
        return Barrier::Almost(Vec::new(), waits);
    }
    let since = view.memory.done().max(view.memory.pass_since());
    let census = view.world.census.as_ref().filter(|census| since.is_none_or(|since| census.at > since));
    let Some(census) = census else {
        return Barrier::Almost(
            vec![Act::Census],
            vec![Wait::new("Run", Reason::Census, "all pods are counted")],
        );
    };
    for (name, node, _) in view.nodes() {
        let running = census.running.get(name).copied().unwrap_or(0);
        // Pods may have come since the count; then their node names their attachments, too, and the next count agrees.
        if node.attached().is_none_or(|attached| attached < running) {
            let what = format!("{running} of its pods run, and it knows of fewer attachments");
            let help =
                format!("on the node: crossfade-bootstrap attachments; then: kubectl crossfade retry {name}");
            waits.push(Wait::new(format!("Node/{name}"), Reason::AttachmentsUnknown, what).help(help));
        }
    }
    if waits.is_empty() { Barrier::Over } else { Barrier::Almost(vec![Act::Census], waits) }
}

/// A wait for a node that counts as done by what it said before kubelet went silent.
fn unreachable(view: &View<'_>, name: &str) -> Wait {
    let help = format!(
        "repair it; or, if its machine is gone for good, take its Node away: kubectl delete node {name}"
    );
    let wait = Wait::new(
        format!("Node/{name}"),
        Reason::NodeNotReady,
        "it is not Ready, so nobody knows whether what it said still holds",
    );
    let is_held = view.memory.down(name, view.world.now).is_some_and(|down| down >= DOWN);
    Wait { is_held, ..wait.help(help) }
}
