//! Nodes that are not well now, and nodes on which Crossfade does not report.

use std::collections::BTreeMap;

use serde_json::Value;
use snapshot::model::{Kind, Node};

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::support::Strategy;
use crate::workload::{OUTDATED, going_mark, platform};

pub(in crate::check) const CHECK: Check = Check {
    name: "nodes",
    rules: &[
        &CROSSFADE_ABSENT,
        &CROSSFADE_SILENT,
        &CROSSFADE_STALE,
        &NODE_CORDONED,
        &NODE_LEAVING,
        &NODE_NETWORK_UNAVAILABLE,
        &NODE_NOT_READY,
        &NODE_OUTDATED,
        &NODE_UNFIT,
    ],
    needs: &[Need::Always(Kind::NODE)],
    run,
};

const CROSSFADE_ABSENT: Rule = Severity::Risk.rule(
    "crossfade-absent",
    "No node reports to Crossfade: crossfade-bootstrap unit watch does not run, or does not report to the Node.\n\n\
     With the strategy `rotation` it is a note.",
    "Until it does, no node can change its phase, and no plan is accepted for nodes that stay.",
    "Install Crossfade on the nodes (docs/packages.md, or docs/daemonset.md without packages), or bake it into the image of the new nodes (docs/images.md), with report.node: true in node.json.",
);

const CROSSFADE_SILENT: Rule = Severity::Blocks.rule(
    "crossfade-silent",
    "Nodes do not report to Crossfade, while others do.\n\n\
     With the strategy `rotation` it is a note.",
    "A node whose watch is silent follows no phase, so it would keep the old network when all others have left it.",
    "On each node: systemctl status crossfade-watch, and set report.node: true in node.json. Or leave nodes out: roll: {leaveOut: [{node: NODE, reason: WHY}]} in the settings file. Then: kubectl get node NODE -o jsonpath='{.metadata.annotations.crossfade/observed}'",
);

const CROSSFADE_STALE: Rule = Severity::Blocks.rule(
    "crossfade-stale",
    "What nodes report to Crossfade is not true now.",
    "A dead watch leaves its last report on the Node. A plan that believes it would count a node as done that has rebooted into another phase.",
    "On each node: crossfade-bootstrap doctor, and journalctl -u crossfade-watch. From here: kubectl describe node NODE",
);

const NODE_CORDONED: Rule = Severity::Note.rule(
    "node-cordoned",
    "Nodes are cordoned, and not by this run.",
    "Crossfade does not undo a cordon that it did not set: these nodes wait until they are uncordoned, and count as nodes in transit.",
    "If they need not stay cordoned: kubectl uncordon NODES",
);

const NODE_LEAVING: Rule = Severity::Note.rule(
    "node-leaving",
    "Others are removing, draining or rebooting nodes: their marks are on them.\n\n\
     `roll` waits with `NodeGoing` for the same marks:\n\n\
     | whose | mark |\n\
     |---|---|\n\
     | any | the Node is being deleted; taint `node.cloudprovider.kubernetes.io/shutdown` or `node.kubernetes.io/out-of-service`; condition MaintenancePlanned, MaintenanceInProgress, DrainInProgress, Drained or GracefulNodeShutdownInProgress, if its reason does not begin with Crossfade |\n\
     | cluster autoscaler | taint `ToBeDeletedByClusterAutoscaler` |\n\
     | Karpenter | taint `karpenter.sh/disrupted` or `karpenter.sh/disruption` |\n\
     | managed node group of EKS | cordon, with the labels `eks.amazonaws.com/nodegroup` and `node.kubernetes.io/exclude-from-external-load-balancers` |\n\
     | AWS node termination handler, GKE | taints `aws-node-termination-handler/..`, `cloud.google.com/impending-node-termination` |\n\
     | kOps | taint `kops.k8s.io/scheduled-for-update` |\n\
     | OpenShift | taint `UpdateInProgress`; annotation `machineconfiguration.openshift.io/state: Working` |\n\
     | kured | cordon, with the annotation `weave.works/kured-reboot-in-progress` |",
    "A run does not touch them, and they count as nodes in transit until they or their marks are gone.",
    "Wait until they are gone, or the mark that is named here: kubectl get nodes -w",
);

const NODE_NETWORK_UNAVAILABLE: Rule = Severity::Risk.rule(
    "node-network-unavailable",
    "Nodes say that their network is unavailable.",
    "Kubernetes keeps pods away from them with a taint. Often it is left from a CNI that was stopped before, and no program ever clears it.",
    r#"Find who wrote the condition: kubectl get node NODE -o jsonpath='{.status.conditions[?(@.type=="NetworkUnavailable")]}'. Restart the old CNI's agent there; it writes the condition anew."#,
);

const NODE_NOT_READY: Rule = Severity::Risk.rule(
    "node-not-ready",
    "Nodes are not Ready.",
    "They count as nodes in transit, so that with a limit of one nothing else moves. Nothing is ever evicted from them.",
    "Repair or remove them: kubectl describe node NODE",
);

const NODE_OUTDATED: Rule = Severity::Note.rule(
    "node-outdated",
    "Nodes are of an earlier template of Cluster API, which is going to replace them.\n\n\
     The node bears the taint `node.cluster.x-k8s.io/outdated-revision`, which keeps it in use until its turn comes.",
    "A node that moves now may be the next one to be drained and deleted, and its pods then move twice.",
    "Wait until Cluster API has replaced them: kubectl get node NODE -w. Or, in the management cluster, pause the MachineDeployment (spec.paused: true).",
);

const NODE_UNFIT: Rule = Severity::Risk.rule(
    "node-unfit",
    "Nodes bear the taint crossfade/unfit.",
    "Crossfade's gate gave up on them, so kubelet started without what the policy asks for.",
    "On each node: crossfade-bootstrap doctor. Then: kubectl taint node NODES crossfade/unfit-",
);

/// The label, annotation and condition that `crossfade-bootstrap unit watch` writes on its Node.
const PHASE: &str = "crossfade/phase";
const OBSERVED: &str = "crossfade/observed";
const READY: &str = "CrossfadeReady";

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let nodes: Vec<&Node> = scene.snapshot.nodes.iter().filter(|node| platform(node).is_none()).collect();
    let mut subjects_by_rule: BTreeMap<&'static Rule, Vec<Subject>> = BTreeMap::new();
    let mut reporting = 0;
    for node in &nodes {
        let mut problems = states(node);
        // No pass touches a node that the settings leave out, so nothing depends on what it reports.
        if scene.config.roll.left_out(node.name()).is_none() {
            reporting += 1;
            problems.extend(report(node));
        }
        for (rule, detail) in problems {
            subjects_by_rule
                .entry(rule)
                .or_default()
                .push(Subject::new(Kind::NODE, node.name()).detail(detail));
        }
    }
    // If no node reports, one sentence says it better than a list of all nodes.
    if let Some(silent) = subjects_by_rule.remove(&CROSSFADE_SILENT) {
        let is_all = silent.len() == reporting;
        subjects_by_rule.insert(
            if is_all { &CROSSFADE_ABSENT } else { &CROSSFADE_SILENT },
            if is_all { Vec::new() } else { silent },
        );
    }
    subjects_by_rule.into_iter().map(|(rule, subjects)| finding(scene, rule, subjects)).collect()
}

/// What is wrong with a node, with details.
fn states(node: &Node) -> Vec<(&'static Rule, String)> {
    let mut problems = Vec::new();
    let describe = |kind: &str| {
        let condition = node.condition(kind)?;
        let words = format!("{} {}", condition.reason, condition.message);
        Some((condition.status.to_string(), words.trim().to_owned()))
    };
    if let Some((status, words)) = describe("Ready").filter(|(status, _)| status != "True") {
        problems
            .push((&NODE_NOT_READY, format!("Ready is {status}: {words}").trim_end_matches(": ").to_owned()));
    }
    if let Some((_, words)) = describe("NetworkUnavailable").filter(|(status, _)| status == "True") {
        problems.push((&NODE_NETWORK_UNAVAILABLE, words));
    }
    if let Some(mark) = going_mark(node) {
        problems.push((&NODE_LEAVING, mark));
    } else if node.spec.unschedulable {
        problems.push((&NODE_CORDONED, String::new()));
    }
    let bears = |key: &str| node.spec.taints.iter().any(|taint| *taint.key == *key);
    if bears(OUTDATED) {
        problems.push((&NODE_OUTDATED, String::new()));
    }
    if bears(types::api::taint::UNFIT_KEY) {
        problems.push((&NODE_UNFIT, String::new()));
    }
    problems
}

/// What is wrong with the report of `watch`. Where nothing is, it reports of this boot that the runtime uses Crossfade's conf first.
pub(in crate::check) fn report(node: &Node) -> Option<(&'static Rule, String)> {
    let (phase, observed, ready) =
        (node.metadata.label(PHASE), node.metadata.annotation(OBSERVED), node.condition(READY));
    let (Some(observed), Some(ready)) = (observed, ready) else {
        let missing = [
            observed.is_none().then_some("the annotation crossfade/observed"),
            ready.is_none().then_some("the condition CrossfadeReady"),
        ];
        let missing: Vec<&str> = missing.into_iter().flatten().collect();
        return Some((&CROSSFADE_SILENT, format!("has not {}", missing.join(" nor "))));
    };
    let observed: Value = serde_json::from_str(observed).unwrap_or_default();
    let boot = observed["bootId"].as_str().unwrap_or_default();
    let stale = |words: String| Some((&CROSSFADE_STALE, words));
    if boot != &*node.status.node_info.boot_id {
        return stale(format!(
            "it reports boot {boot:?}, and the node is in boot {:?}",
            node.status.node_info.boot_id
        ));
    }
    let text = observed["phase"].as_str();
    if text.is_none() || text != phase {
        let (text, label) = (text.unwrap_or("none"), phase.unwrap_or("none"));
        return stale(format!("the phase observed is {text}, and the label says {label}"));
    }
    (ready.status.as_ref() != "True").then(|| {
        (&CROSSFADE_STALE, format!("CrossfadeReady is {}: {} {}", ready.status, ready.reason, ready.message))
    })
}

fn finding(scene: &Scene<'_>, rule: &'static Rule, subjects: Vec<Subject>) -> Finding {
    let first = subjects.first().map_or("NODE", |subject| &subject.name);
    let finding = Finding::new(rule).fix(rule.fix.replace("NODES", &names(&subjects)).replace("NODE", first));
    // New nodes bring Crossfade with them.
    let is_replaced =
        scene.strategy == Strategy::Rotation && [&CROSSFADE_ABSENT, &CROSSFADE_SILENT].contains(&rule);
    let severity = if is_replaced { Severity::Note } else { rule.grade };
    finding.severity(severity).with_objects(subjects)
}

fn names(subjects: &[Subject]) -> String {
    subjects.iter().map(|subject| subject.name.as_str()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, objects};

    /// A node that is well and reports.
    fn node(name: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{crossfade/phase: old}}, annotations: {{crossfade/observed: '{{\"phase\":\"old\",\"bootId\":\"b1\"}}'}}}}\n\
             spec: {{unschedulable: false, taints: []}}\nstatus: {{nodeInfo: {{bootID: b1}}, conditions: [{{type: Ready, status: \"True\"}}, {{type: CrossfadeReady, status: \"True\"}}, {{type: NetworkUnavailable, status: \"False\", reason: CalicoIsUp}}]}}\n---\n"
        )
    }

    /// Each row changes one field of the node.
    #[test]
    fn each_trouble_of_a_node_is_named() {
        for (was, is, codes) in [
            ("", "", &[][..]),
            (
                "Ready, status: \"True\"}, {type: C",
                "Ready, status: \"False\"}, {type: C",
                &["node-not-ready"],
            ),
            ("Ready, status: \"True\"}, {type: C", "Ready, status: Unknown}, {type: C", &["node-not-ready"]),
            (
                "NetworkUnavailable, status: \"False\", reason: CalicoIsUp",
                "NetworkUnavailable, status: \"True\", reason: CalicoIsDown",
                &["node-network-unavailable"],
            ),
            ("unschedulable: false", "unschedulable: true", &["node-cordoned"]),
            ("taints: []", "taints: [{key: crossfade/unfit, effect: NoSchedule}]", &["node-unfit"]),
            ("taints: []", "taints: [{key: karpenter.sh/disrupted, effect: NoSchedule}]", &["node-leaving"]),
            (
                "unschedulable: false, taints: []",
                "unschedulable: true, taints: [{key: ToBeDeletedByClusterAutoscaler, effect: NoSchedule}]",
                &["node-leaving"],
            ),
            (
                "unschedulable: false, taints: []",
                "unschedulable: true, taints: [{key: kops.k8s.io/scheduled-for-update, effect: PreferNoSchedule}]",
                &["node-leaving"],
            ),
            (
                "taints: []",
                "taints: [{key: node.cluster.x-k8s.io/outdated-revision, effect: PreferNoSchedule}]",
                &["node-outdated"],
            ),
            ("bootID: b1", "bootID: b2", &["crossfade-stale"]),
            ("crossfade/phase: old", "crossfade/phase: new", &["crossfade-stale"]),
            ("crossfade/phase: old", "a: b", &["crossfade-stale"]),
            ("CrossfadeReady, status: \"True\"", "CrossfadeReady, status: \"False\"", &["crossfade-stale"]),
            ("crossfade/observed", "crossfade/other", &["crossfade-silent"]),
            ("type: CrossfadeReady", "type: Other", &["crossfade-silent"]),
        ] {
            let changed = node("a").replace(was, is);
            assert!(was == is || changed != node("a"), "{was} is not there");
            let case = Case::from_yaml(&[changed, node("b")].concat());
            assert_eq!(case.codes(&CHECK), codes, "{is}");
            if let [code] = codes {
                assert!(objects(&case.finding(&CHECK, code))[0].starts_with("Node/a"), "{is}");
            }
        }
    }

    #[test]
    fn a_node_that_is_left_out_need_not_report() {
        let bare = "apiVersion: v1\nkind: Node\nmetadata: {name: edge-1}\n---\n";
        let case = |settings: &str| Case::from_yaml(&[bare, &node("b")].concat()).config(settings);
        assert_eq!(case("").codes(&CHECK), ["crossfade-silent"]);
        for (name, codes) in [("edge-*", &[][..]), ("b", &["crossfade-absent"])] {
            let settings = format!("roll: {{leaveOut: [{{node: {name}, reason: no pod network}}]}}");
            assert_eq!(case(&settings).codes(&CHECK), codes, "{name}");
        }
    }

    #[test]
    fn before_crossfade_is_installed_one_sentence_says_it() {
        let bare = "apiVersion: v1\nkind: Node\nmetadata: {name: a}\n";
        let finding = Case::from_yaml(bare).finding(&CHECK, "crossfade-absent");
        assert_eq!((finding.severity, finding.objects.len()), (Severity::Risk, 0));
        let rotation = Case::from_yaml(bare).strategy(Strategy::Rotation).finding(&CHECK, "crossfade-absent");
        assert_eq!(rotation.severity, Severity::Note, "new images bring it");
        let two_nodes = Case::from_yaml(&[bare, "---\n", &node("b")].concat());
        assert_eq!(two_nodes.finding(&CHECK, "crossfade-silent").severity, Severity::Blocks);
        assert_eq!(
            two_nodes.strategy(Strategy::Rotation).finding(&CHECK, "crossfade-silent").severity,
            Severity::Note
        );
    }
}
