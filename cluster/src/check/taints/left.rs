//! Start-up taints that nobody removed. Pure.

use std::collections::BTreeMap;

use crate::finding::{Finding, Severity, Subject};
use crate::model::{Kind, Node};
use crate::scene::Scene;
use crate::workload::{OWN_TAINTS, START_TAINT_CILIUM};

/// A start-up taint that every Ready node bears: no pod that waits for it finds a node. It may be that of an earlier CNI, which this migration does not
/// know as its own.
pub(super) fn everywhere(scene: &Scene<'_>) -> Vec<Finding> {
    let nodes: Vec<&Node> = scene.snapshot.nodes.iter().filter(|node| is_ready(node)).collect();
    let named = scene.config.startup_taint.as_ref().map(|taint| taint.key.as_str());
    let is_startup = |key: &str| OWN_TAINTS.contains(&key) || key == START_TAINT_CILIUM || named == Some(key);
    let mut bearers: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
    for node in &nodes {
        for taint in node.spec.taints.iter().filter(|taint| is_startup(&taint.key)) {
            let all = bearers.entry(&taint.key).or_default();
            if all.last().is_none_or(|last| last.name() != node.name()) {
                all.push(node);
            }
        }
    }
    let everywhere = bearers.into_iter().filter(|(_, all)| all.len() == nodes.len());
    everywhere.map(|(key, all)| finding(key, &all)).collect()
}

fn is_ready(node: &Node) -> bool {
    node.condition("Ready").is_some_and(|condition| condition.status.as_ref() == "True")
}

fn finding(key: &str, nodes: &[&Node]) -> Finding {
    let names: Vec<&str> = nodes.iter().map(|node| node.name()).collect();
    let what = format!("Every node that is Ready bears the start-up taint {key}.");
    let why = "The taint is for the minutes until a node's network is ready. While every node bears it, an evicted pod finds no node, and the migration stops at its first node.";
    let fix = format!(
        "Find out why it was not removed (cilium-operator removes Cilium's, the Node Readiness Controller that of its rule), then: kubectl taint node {} {key}-",
        names.join(" ")
    );
    let subjects = nodes.iter().map(|node| Subject::of(Kind::NODE, &node.metadata).detail(key));
    Finding::new("startup-taint-left", Severity::Blocks, what, why, fix).about(subjects)
}

#[cfg(test)]
mod tests {
    use super::super::CHECK;
    use crate::check::tests::{Case, objects};
    use crate::support::Cni;

    fn node(name: &str, ready: &str, taint: &str) -> String {
        let taints =
            if taint.is_empty() { String::new() } else { format!("{{key: {taint}, effect: NoSchedule}}") };
        format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\nspec: {{taints: [{taints}]}}\n\
             status: {{conditions: [{{type: Ready, status: \"{ready}\"}}]}}\n---\n"
        )
    }

    #[test]
    fn a_start_up_taint_on_every_ready_node_was_left() {
        const KEY: &str = "node.cilium.io/agent-not-ready";
        for (a, b, c, found) in [
            (("True", KEY), ("True", KEY), ("True", KEY), true),
            // A node that has just come has no part in it.
            (("True", KEY), ("True", KEY), ("False", ""), true),
            (("True", KEY), ("True", KEY), ("True", ""), false),
            (("False", KEY), ("False", KEY), ("True", ""), false),
            (("True", "dedicated"), ("True", "dedicated"), ("True", "dedicated"), false),
        ] {
            let text = [("a", a), ("b", b), ("c", c)]
                .map(|(name, (ready, taint))| node(name, ready, taint))
                .concat();
            // Whatever the new CNI: the taint may be an earlier one's.
            let case = Case::of(&text).pair(Cni::Flannel, Cni::Antrea);
            assert_eq!(case.codes(&CHECK).contains(&"startup-taint-left"), found, "{text}");
            if found {
                let finding = case.finding(&CHECK, "startup-taint-left");
                assert_eq!(objects(&finding)[0], format!("Node/a: {KEY}"));
                assert!(finding.fix.contains("kubectl taint node a b"), "{}", finding.fix);
            }
        }
    }
}
