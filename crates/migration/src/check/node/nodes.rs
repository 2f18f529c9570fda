//! Nodes that are not well now, and nodes on which Crossfade does not report.

use std::collections::BTreeMap;

use serde_json::Value;
use snapshot::model::{Kind, Node};

use crate::check::Scene;
use crate::check::finding::{Finding, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::support::Strategy;
use crate::workload::{OUTDATED, going_mark, platform};

/// The codes of [`finding`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case", const_into_str)]
pub(in crate::check) enum Code {
    CrossfadeAbsent,
    CrossfadeSilent,
    CrossfadeStale,
    NodeCordoned,
    NodeLeaving,
    NodeNetworkUnavailable,
    NodeNotReady,
    NodeOutdated,
    NodeUnfit,
}

pub(in crate::check) const CHECK: Check = Check {
    name: "nodes",
    codes: &[
        (Code::CrossfadeAbsent.into_str(), "no node runs Crossfade yet"),
        (Code::CrossfadeSilent.into_str(), "some nodes run Crossfade and others do not report"),
        (Code::CrossfadeStale.into_str(), "what a node reports is of another boot, or contradicts itself"),
        (Code::NodeCordoned.into_str(), "a node is cordoned"),
        (Code::NodeLeaving.into_str(), "others remove, drain or reboot a node"),
        (Code::NodeNetworkUnavailable.into_str(), "a node says that its network is unavailable"),
        (Code::NodeNotReady.into_str(), "a node is not Ready"),
        (Code::NodeOutdated.into_str(), "Cluster API is going to replace a node"),
        (Code::NodeUnfit.into_str(), "Crossfade's gate gave up on a node"),
    ],
    needs: &[Need::Always(Kind::NODE)],
    run,
};

/// The label, annotation and condition that `crossfade-bootstrap unit watch` writes on its Node.
const PHASE: &str = "crossfade/phase";
const OBSERVED: &str = "crossfade/observed";
const READY: &str = "CrossfadeReady";

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let nodes: Vec<&Node> = scene.snapshot.nodes.iter().filter(|node| platform(node).is_none()).collect();
    let mut subjects_by_code: BTreeMap<Code, Vec<Subject>> = BTreeMap::new();
    let mut reporting = 0;
    for node in &nodes {
        let mut problems = states(node);
        // No pass touches a node that the settings leave out, so nothing depends on what it reports.
        if scene.config.roll.left_out(node.name()).is_none() {
            reporting += 1;
            problems.extend(report(node));
        }
        for (code, detail) in problems {
            subjects_by_code
                .entry(code)
                .or_default()
                .push(Subject::new(Kind::NODE, node.name()).detail(detail));
        }
    }
    // If no node reports, one sentence says it better than a list of all nodes.
    if let Some(silent) = subjects_by_code.remove(&Code::CrossfadeSilent) {
        let is_all = silent.len() == reporting;
        subjects_by_code.insert(
            if is_all { Code::CrossfadeAbsent } else { Code::CrossfadeSilent },
            if is_all { Vec::new() } else { silent },
        );
    }
    subjects_by_code.into_iter().map(|(code, subjects)| finding(scene, code, subjects)).collect()
}

/// What is wrong with a node, with details.
fn states(node: &Node) -> Vec<(Code, String)> {
    let mut problems = Vec::new();
    let describe = |kind: &str| {
        let condition = node.condition(kind)?;
        let words = format!("{} {}", condition.reason, condition.message);
        Some((condition.status.to_string(), words.trim().to_owned()))
    };
    if let Some((status, words)) = describe("Ready").filter(|(status, _)| status != "True") {
        problems.push((
            Code::NodeNotReady,
            format!("Ready is {status}: {words}").trim_end_matches(": ").to_owned(),
        ));
    }
    if let Some((_, words)) = describe("NetworkUnavailable").filter(|(status, _)| status == "True") {
        problems.push((Code::NodeNetworkUnavailable, words));
    }
    if let Some(mark) = going_mark(node) {
        problems.push((Code::NodeLeaving, mark));
    } else if node.spec.unschedulable {
        problems.push((Code::NodeCordoned, String::new()));
    }
    let bears = |key: &str| node.spec.taints.iter().any(|taint| *taint.key == *key);
    if bears(OUTDATED) {
        problems.push((Code::NodeOutdated, String::new()));
    }
    if bears(types::api::taint::UNFIT_KEY) {
        problems.push((Code::NodeUnfit, String::new()));
    }
    problems
}

/// What is wrong with the report of `watch`. Where nothing is, it reports of this boot that the runtime uses Crossfade's conf first.
pub(in crate::check) fn report(node: &Node) -> Option<(Code, String)> {
    let (phase, observed, ready) =
        (node.metadata.label(PHASE), node.metadata.annotation(OBSERVED), node.condition(READY));
    let (Some(observed), Some(ready)) = (observed, ready) else {
        let missing = [
            observed.is_none().then_some("the annotation crossfade/observed"),
            ready.is_none().then_some("the condition CrossfadeReady"),
        ];
        let missing: Vec<&str> = missing.into_iter().flatten().collect();
        return Some((Code::CrossfadeSilent, format!("has not {}", missing.join(" nor "))));
    };
    let observed: Value = serde_json::from_str(observed).unwrap_or_default();
    let boot = observed["bootId"].as_str().unwrap_or_default();
    let stale = |words: String| Some((Code::CrossfadeStale, words));
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
        (
            Code::CrossfadeStale,
            format!("CrossfadeReady is {}: {} {}", ready.status, ready.reason, ready.message),
        )
    })
}

fn finding(scene: &Scene<'_>, code: Code, subjects: Vec<Subject>) -> Finding {
    let first = subjects.first().map_or("NODE", |subject| &subject.name).to_owned();
    let is_rotation = scene.strategy == Strategy::Rotation;
    let (severity, what, why, fix) = match code {
        Code::CrossfadeAbsent => (
            if is_rotation { Severity::Note } else { Severity::Risk },
            "No node reports to Crossfade: crossfade-bootstrap unit watch does not run, or does not report to the Node.",
            "Until it does, no node can change its phase, and no plan is accepted for nodes that stay.",
            "Install Crossfade on the nodes (docs/packages.md, or docs/daemonset.md without packages), or bake it into the image of the new nodes (docs/images.md), with report.node: true in node.json.".to_owned(),
        ),
        Code::CrossfadeSilent => (
            if is_rotation { Severity::Note } else { Severity::Blocks },
            "Nodes do not report to Crossfade, while others do.",
            "A node whose watch is silent follows no phase, so it would keep the old network when all others have left it.",
            format!("On each node: systemctl status crossfade-watch, and set report.node: true in node.json. Or leave nodes out: roll: {{leaveOut: [{{node: {first}, reason: WHY}}]}} in the settings file. Then: kubectl get node {first} -o jsonpath='{{.metadata.annotations.crossfade/observed}}'"),
        ),
        Code::CrossfadeStale => (
            Severity::Blocks,
            "What nodes report to Crossfade is not true now.",
            "A dead watch leaves its last report on the Node. A plan that believes it would count a node as done that has rebooted into another phase.",
            format!("On each node: crossfade-bootstrap doctor, and journalctl -u crossfade-watch. From here: kubectl describe node {first}"),
        ),
        Code::NodeCordoned => (
            Severity::Note,
            "Nodes are cordoned, and not by this run.",
            "Crossfade does not undo a cordon that it did not set: these nodes wait until they are uncordoned, and count as nodes in transit.",
            format!("If they need not stay cordoned: kubectl uncordon {}", names(&subjects)),
        ),
        Code::NodeLeaving => (
            Severity::Note,
            "Others are removing, draining or rebooting nodes: their marks are on them.",
            "A run does not touch them, and they count as nodes in transit until they or their marks are gone.",
            "Wait until they are gone, or the mark that is named here: kubectl get nodes -w".to_owned(),
        ),
        Code::NodeNetworkUnavailable => (
            Severity::Risk,
            "Nodes say that their network is unavailable.",
            "Kubernetes keeps pods away from them with a taint. Often it is left from a CNI that was stopped before, and no program ever clears it.",
            format!("Find who wrote the condition: kubectl get node {first} -o jsonpath='{{.status.conditions[?(@.type==\"NetworkUnavailable\")]}}'. Restart the old CNI's agent there; it writes the condition anew."),
        ),
        Code::NodeNotReady => (
            Severity::Risk,
            "Nodes are not Ready.",
            "They count as nodes in transit, so that with a limit of one nothing else moves. Nothing is ever evicted from them.",
            format!("Repair or remove them: kubectl describe node {first}"),
        ),
        Code::NodeOutdated => (
            Severity::Note,
            "Nodes are of an earlier template of Cluster API, which is going to replace them.",
            "A node that moves now may be the next one to be drained and deleted, and its pods then move twice.",
            format!("Wait until Cluster API has replaced them: kubectl get node {first} -w. Or, in the management cluster, pause the MachineDeployment (spec.paused: true)."),
        ),
        Code::NodeUnfit => (
            Severity::Risk,
            "Nodes bear the taint crossfade/unfit.",
            "Crossfade's gate gave up on them, so kubelet started without what the policy asks for.",
            format!("On each node: crossfade-bootstrap doctor. Then: kubectl taint node {} {}-", names(&subjects), types::api::taint::UNFIT_KEY),
        ),
    };
    Finding::new(code.into_str(), severity, what, why, fix).with_objects(subjects)
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
