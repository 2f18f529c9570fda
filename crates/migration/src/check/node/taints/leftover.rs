//! Start-up taints that no controller removed.

use std::collections::BTreeMap;

use snapshot::model::{Kind, Node, Pod, Workload};

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::cni::support::Cni;
use crate::workload::{OWN_TAINTS, START_TAINT_CILIUM, is_ready, platform};

/// Start-up taints that stay. Where every node that takes pods bears one, no pod that waits for it finds a node. Elsewhere it is one that stays only if the
/// node's network is ready: the node is starting before. The taint may be that of an earlier CNI, which this migration does not know as its own.
pub(super) fn leftover_taints(scene: &Scene<'_>) -> Vec<Finding> {
    let is_named = |key: &str| scene.config.startup_taints.iter().any(|taint| taint.key == key);
    let is_startup = |key: &str| OWN_TAINTS.contains(&key) || key == START_TAINT_CILIUM || is_named(key);
    let nodes: Vec<&Node> =
        scene.snapshot.nodes.iter().filter(|node| takes_pods(node, &is_startup)).collect();
    let mut bearers: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
    for node in &nodes {
        for taint in node.spec.taints.iter().filter(|taint| is_startup(&taint.key)) {
            let all = bearers.entry(&taint.key).or_default();
            if all.last().is_none_or(|last| last.name() != node.name()) {
                all.push(node);
            }
        }
    }
    let taint_finding = |(key, mut all): (&str, Vec<&Node>)| {
        let severity = if all.len() == nodes.len() { Severity::Blocks } else { Severity::Risk };
        if severity == Severity::Risk {
            all.retain(|node| is_past_start(scene, node, key));
        }
        (!all.is_empty()).then(|| finding(key, severity, &all))
    };
    bearers.into_iter().filter_map(taint_finding).collect()
}

/// A pod without tolerations could run there but for start-up taints. A node that a run is moving is cordoned.
fn takes_pods(node: &Node, is_startup: &impl Fn(&str) -> bool) -> bool {
    let keeps_away = |effect: &str| matches!(effect, "NoSchedule" | "NoExecute");
    is_true(node, "Ready")
        && !node.spec.unschedulable
        && platform(node).is_none()
        && node.spec.taints.iter().all(|taint| is_startup(&taint.key) || !keeps_away(&taint.effect))
}

/// What the taint waits for has happened on the node, or never will: a node that is left out of the run need not get an agent, or Crossfade. The program
/// that the settings name may wait for anything.
fn is_past_start(scene: &Scene<'_>, node: &Node, key: &str) -> bool {
    let is_left_out = scene.config.roll.left_out(node.name()).is_some();
    if OWN_TAINTS.contains(&key) {
        let condition = "CrossfadeReady";
        return is_true(node, condition) || is_left_out && node.condition(condition).is_none();
    }
    let agent = Cni::Cilium.facts().agent_container;
    let runs_agent = |daemon_set: &Workload| {
        daemon_set.spec.template.spec.containers.iter().any(|container| container.name.as_ref() == agent)
    };
    let is_agent = |pod: &&Pod| {
        pod.spec.node_name.as_ref() == node.name()
            && pod.lasting_containers().any(|container| container.name.as_ref() == agent)
    };
    let agents: Vec<&Pod> = scene.snapshot.pods.iter().filter(is_agent).collect();
    key == START_TAINT_CILIUM
        && (!scene.snapshot.workloads(Kind::DAEMON_SET).iter().any(runs_agent)
            || agents.iter().any(|pod| is_ready(pod))
            || is_left_out && agents.is_empty())
}

fn is_true(node: &Node, condition: &str) -> bool {
    node.condition(condition).is_some_and(|condition| condition.status.as_ref() == "True")
}

pub(super) const STARTUP_TAINT_LEFT: Rule = Severity::Blocks.rule(
    "startup-taint-left",
    "Nodes bear a start-up taint that should have gone.\n\n\
     It blocks where every node that takes pods bears it: each node that is Ready, not cordoned, and of no other taint or platform that keeps pods away. On some nodes it is a risk, once what the taint waits for has happened: `CrossfadeReady` is true for Crossfade's own taints, and for Cilium's its agent on the node is ready, or the cluster has no agent of Cilium. On a node that `roll.leaveOut` names it is a risk where neither comes. A taint of `startupTaints` on some nodes is no finding: the program that removes it may wait for anything. Nodes that bear it take no pods of nodes that are drained.",
    "The taint is for the minutes until a node's network is ready. While every node bears it, an evicted pod finds no node, and the migration stops at its first node.",
    "Find out why it was not removed (cilium-operator removes Cilium's, the Node Readiness Controller that of its rule), then: kubectl taint node NODES TAINT-",
);

fn finding(key: &str, severity: Severity, nodes: &[&Node]) -> Finding {
    let names: Vec<&str> = nodes.iter().map(|node| node.name()).collect();
    let (what, why) = if severity == Severity::Blocks {
        (format!("Every node that takes pods bears the start-up taint {key}."), STARTUP_TAINT_LEFT.why)
    } else {
        (
            format!("Nodes whose network is ready bear the start-up taint {key}."),
            "The taint is for the minutes until a node's network is ready. While these nodes bear it, they take no pods of nodes that are drained, and their own pods that end do not come back to them.",
        )
    };
    let fix = STARTUP_TAINT_LEFT.fix.replace("NODES", &names.join(" ")).replace("TAINT", key);
    let subjects = nodes.iter().map(|node| Subject::from_meta(Kind::NODE, &node.metadata).detail(key));
    Finding::new(&STARTUP_TAINT_LEFT).severity(severity).what(what).why(why).fix(fix).with_objects(subjects)
}

#[cfg(test)]
mod tests {
    use super::super::CHECK;
    use crate::check::finding::Severity::{self, Blocks, Risk};
    use crate::check::tests::{Case, objects};
    use crate::cni::support::Cni;

    const CILIUM: &str = "node.cilium.io/agent-not-ready";
    const AGENT: &str = "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: cilium, namespace: kube-system}\nspec: {template: {spec: {hostNetwork: true, tolerations: [{operator: Exists}], containers: [{name: cilium-agent}]}}}\n---\n";

    /// A node with these taints and conditions, and more of its spec and metadata.
    fn node(name: &str, conditions: &[(&str, &str)], taints: &[&str], spec: &str, labels: &str) -> String {
        let taints: Vec<String> =
            taints.iter().map(|key| format!("{{key: {key}, effect: NoSchedule}}")).collect();
        let conditions: Vec<String> = conditions
            .iter()
            .map(|(kind, status)| format!("{{type: {kind}, status: \"{status}\"}}"))
            .collect();
        format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{{labels}}}}}\nspec: {{{spec}taints: [{}]}}\nstatus: {{conditions: [{}]}}\n---\n",
            taints.join(", "),
            conditions.join(", ")
        )
    }

    const READY: &[(&str, &str)] = &[("Ready", "True")];
    const STARTING: &[(&str, &str)] = &[("Ready", "False")];

    /// The finding of a cluster, whatever the new CNI is: the taint may be an earlier one's.
    fn find_leftover(text: &str) -> Option<(Severity, Vec<String>, String)> {
        let case = Case::from_yaml(text).pair(Cni::Flannel, Cni::Antrea);
        let findings = case.findings(&CHECK);
        let finding = findings.iter().find(|candidate| candidate.rule.code == "startup-taint-left")?;
        Some((finding.severity, objects(finding), finding.fix.clone()))
    }

    #[test]
    fn a_start_up_taint_on_every_node_that_takes_pods_blocks() {
        let tainted = |name: &str| node(name, READY, &[CILIUM], "", "");
        let both = [tainted("a"), tainted("b")].concat();
        for other in [
            tainted("c"),
            // A node that has just come has no part in it.
            node("c", STARTING, &[], "", ""),
            // Nor has one on which no such pod would run anyway.
            node("c", READY, &[], "unschedulable: true, ", ""),
            node("c", READY, &["node-role.kubernetes.io/control-plane"], "", ""),
            node("c", READY, &[], "", "type: virtual-kubelet"),
            node("c", READY, &[], "", "eks.amazonaws.com/compute-type: fargate"),
        ] {
            let (severity, objects, fix) = find_leftover(&format!("{both}{other}")).expect("found");
            assert_eq!((severity, &*objects[0]), (Blocks, &*format!("Node/a: {CILIUM}")), "{other}");
            assert!(fix.contains("kubectl taint node a b"), "{fix}");
        }
        // Another taint is none of the start.
        let own = |name: &str| node(name, READY, &["dedicated"], "", "");
        assert_eq!(find_leftover(&[own("a"), own("b")].concat()), None);
    }

    #[test]
    fn a_start_up_taint_on_some_nodes_is_a_risk_once_their_network_is_ready() {
        let free = node("b", READY, &[], "", "");
        let text_of = |taint: &str, conditions: &[(&str, &str)]| node("a", conditions, &[taint], "", "");
        let (own, cilium) = ("crossfade/not-ready", CILIUM);
        let proven: &[(&str, &str)] = &[("Ready", "True"), ("CrossfadeReady", "True")];
        let unproven: &[(&str, &str)] = &[("Ready", "True"), ("CrossfadeReady", "False")];
        let pod = |ready: &str| {
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: kube-system, ownerReferences: [{{kind: DaemonSet, name: cilium, controller: true}}]}}\nspec: {{nodeName: a, hostNetwork: true, containers: [{{name: cilium-agent}}]}}\nstatus: {{phase: Running, conditions: [{{type: Ready, status: \"{ready}\"}}]}}\n---\n"
            )
        };
        for (tainted, more, is_found) in [
            // No agent of Cilium is in the cluster, so nothing removes its taint.
            (text_of(cilium, READY), String::new(), true),
            (text_of(cilium, READY), format!("{AGENT}{}", pod("True")), true),
            // The node is starting.
            (text_of(cilium, READY), format!("{AGENT}{}", pod("False")), false),
            (text_of(cilium, READY), AGENT.to_owned(), false),
            (text_of(own, proven), String::new(), true),
            (text_of(own, unproven), String::new(), false),
            (text_of(own, READY), String::new(), false),
        ] {
            let text = [tainted.as_str(), &free, &more].concat();
            let expected = is_found.then_some(Risk);
            assert_eq!(find_leftover(&text).map(|(severity, ..)| severity), expected, "{text}");
        }
        let (_, objects, fix) = find_leftover(&[text_of(cilium, READY), free].concat()).expect("found");
        assert_eq!(objects, [format!("Node/a: {CILIUM}")]);
        assert!(fix.contains("kubectl taint node a "), "{fix}");
    }

    #[test]
    fn a_start_up_taint_stays_on_a_node_that_is_left_out_and_has_no_agent() {
        for (taint, stays) in [(CILIUM, true), ("crossfade/not-ready", true), ("mine", false)] {
            let text = [node("a", READY, &[taint], "", ""), node("b", READY, &[], "", ""), AGENT.to_owned()]
                .concat();
            let code = |config: &str| {
                let case = Case::from_yaml(&text).config(config);
                case.codes(&CHECK).contains(&"startup-taint-left")
            };
            assert!(!code(""), "{taint}");
            assert_eq!(code("roll: {leaveOut: [{node: a, reason: why}]}"), stays, "{taint}");
        }
    }

    /// The taint of the settings stands on a node until the named program removes it, which may be long after its network is ready.
    #[test]
    fn a_start_up_taint_of_the_settings_is_no_leftover() {
        let text = [node("a", READY, &["mine"], "", ""), node("b", READY, &[], "", "")].concat();
        let case = Case::from_yaml(&text)
            .config("startupTaints: [{key: mine, effect: NoSchedule, lifter: {namespace: x, name: y}}]\n");
        assert!(!case.codes(&CHECK).contains(&"startup-taint-left"));
    }
}
