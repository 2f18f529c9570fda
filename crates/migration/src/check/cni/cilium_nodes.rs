//! `CiliumNodeConfig`: settings of Cilium for some nodes, by which Cilium's own guide moves one node after the other.
//!
//! *Source*: Cilium's documentation, "Per-node configuration": an agent reads the settings when it starts; where several objects select a node, the order of
//! their names decides.

use std::collections::BTreeMap;

use serde_json::Value;
use snapshot::model::{Kind, Node, Object};
use types::text::quote::shell_word;

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::node::nodes;
use crate::check::{Check, Need};
use crate::cni::cidr;
use crate::cni::cilium;
use crate::cni::network::subject;
use crate::cni::support::{Cni, Stage};
use crate::workload::{is_final, label_command, platform};

pub(in crate::check) const CHECK: Check = Check {
    name: "cilium-nodes",
    rules: &[&CILIUM_NODE_CONFIG_AMBIGUOUS, &CILIUM_NODE_CONFIG_EVERYWHERE, &CILIUM_NODE_CONFIG_NAMESPACE],
    needs: &[
        Need::To(Cni::Cilium, Kind::CILIUM_NODE_CONFIG),
        Need::To(Cni::Cilium, Kind::CONFIG_MAP),
        Need::Always(Kind::NODE),
    ],
    run,
};

/// Keys that make an agent give pods its network.
const MOVING: [&str; 2] = ["write-cni-conf-when-ready", "custom-cni-conf"];

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let all = scene.snapshot.objects(Kind::CILIUM_NODE_CONFIG);
    if scene.to != Cni::Cilium || all.is_empty() {
        return Vec::new();
    }
    let selected: Vec<(&Object, Vec<&Node>)> =
        all.iter().map(|object| (object, cilium::selected_nodes(object, &scene.snapshot.nodes))).collect();
    let mut findings = Vec::new();
    if scene.config.transition.phase != Stage::Finish {
        findings.extend(config_of_all_nodes(scene, &selected));
    }
    findings.extend(find_ambiguous(&selected));
    findings.extend(configs_elsewhere(scene, all));
    findings
}

fn defaults(object: &Object) -> impl Iterator<Item = (&str, &str)> {
    let all = object.pointer("/spec/defaults").and_then(Value::as_object).into_iter().flatten();
    all.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

fn moves(object: &Object) -> bool {
    defaults(object).any(|(key, value)| match key {
        "custom-cni-conf" => value == "false",
        key => MOVING.contains(&key) && !value.is_empty(),
    })
}

/// The label by which Cilium's guide, and docs/migrate-in-place.md, let an agent write its configuration.
const LABEL: &str = "io.cilium.migration/cilium-default";

/// Whether the node's pods live in the new network without Crossfade: it is of a final image, whose agent is to write its configuration.
fn is_of_new_network(scene: &Scene<'_>, node: &Node) -> bool {
    let claims = cidr::gather(scene).all;
    let new: Vec<_> = claims.iter().filter(|claim| claim.usage.is_new()).map(|claim| claim.range).collect();
    let pods = scene.snapshot.pods.iter().filter(|pod| *pod.spec.node_name == *node.name());
    is_final(node, pods, &new)
}

const CILIUM_NODE_CONFIG_EVERYWHERE: Rule = Severity::Blocks.rule(
    "cilium-node-config-everywhere",
    "A CiliumNodeConfig that makes Cilium write its CNI configuration selects every node, also those where Crossfade's configuration is not first.\n\n\
     Where Crossfade is first, Cilium's configuration beside it gives no pod another network.",
    "With the next restart of the agents, these nodes give new pods the new network at once, and pods of the old network lose them.",
    "Install Crossfade on these nodes first, or take them out of the selector; the finding has the commands.",
);

/// Where Crossfade's configuration is first, that of Cilium beside it gives no pod another network.
fn config_of_all_nodes(scene: &Scene<'_>, selected: &[(&Object, Vec<&Node>)]) -> Option<Finding> {
    let takes_part = |node: &&Node| platform(node).is_none();
    let all: Vec<&Node> = scene.snapshot.nodes.iter().filter(takes_part).collect();
    let bare: Vec<&Node> = all
        .iter()
        .filter(|node| nodes::report(node).is_some() && !is_of_new_network(scene, node))
        .copied()
        .collect();
    if bare.is_empty() || all.len() < 2 {
        return None;
    }
    let is_everywhere = |(object, nodes): &&(&Object, Vec<&Node>)| {
        moves(object) && nodes.iter().copied().filter(takes_part).count() == all.len()
    };
    let objects: Vec<&Object> = selected.iter().filter(is_everywhere).map(|(object, _)| *object).collect();
    if objects.is_empty() {
        return None;
    }
    let label = format!("/spec/nodeSelector/matchLabels/{}", LABEL.replace('/', "~1"));
    let mut steps: Vec<String> = objects
        .iter()
        .filter(|object| object.pointer(&label).is_none())
        .map(|object| {
            format!(
                r#"kubectl -n {} patch ciliumnodeconfigs.cilium.io {} --type merge -p '{{"spec":{{"nodeSelector":{{"matchLabels":{{"{LABEL}":"true"}}}}}}}}'"#,
                shell_word(object.namespace()),
                shell_word(object.name())
            )
        })
        .collect();
    let labelled: Vec<&str> =
        bare.iter().filter(|node| node.metadata.label(LABEL).is_some()).map(|node| node.name()).collect();
    if !labelled.is_empty() {
        steps.push(label_command(&labelled, &format!("{LABEL}-")));
    }
    let fix = format!(
        "Install Crossfade on these nodes before Cilium writes its configuration there (docs/migrate-in-place.md, steps 3 to 6). Until then: {}. Then restart Cilium's agents on these nodes, and remove the configuration that they wrote.",
        steps.join("; ")
    );
    let configs =
        objects.iter().map(|object| subject(Kind::CILIUM_NODE_CONFIG, object).detail("selects every node"));
    let bare = bare.iter().map(|node| {
        Subject::new(Kind::NODE, node.name())
            .detail("does not report that Crossfade's configuration is first")
    });
    Some(Finding::new(&CILIUM_NODE_CONFIG_EVERYWHERE).fix(fix).with_objects(configs.chain(bare)))
}

const CILIUM_NODE_CONFIG_AMBIGUOUS: Rule = Severity::Risk.rule(
    "cilium-node-config-ambiguous",
    "Several CiliumNodeConfigs select the same nodes and give them different values.",
    "The order of the names decides which value counts. A renamed or added object then moves a node back, or forth, with the next restart of its agent.",
    "Change spec.nodeSelector of these objects so that at most one of them selects each node, or give both the same value.",
);

fn find_ambiguous(selected: &[(&Object, Vec<&Node>)]) -> Option<Finding> {
    let mut values: BTreeMap<(&str, &str), BTreeMap<&str, &Object>> = BTreeMap::new();
    for (object, nodes) in selected {
        for node in nodes {
            for (key, value) in defaults(object) {
                values.entry((node.name(), key)).or_default().insert(value, object);
            }
        }
    }
    let twice: Vec<_> = values.iter().filter(|(_, values)| values.len() > 1).collect();
    let mut about: BTreeMap<String, (Subject, Vec<String>)> = BTreeMap::new();
    for ((node, key), values) in &twice {
        for (value, object) in *values {
            let subject_of_config = subject(Kind::CILIUM_NODE_CONFIG, object);
            let (_, lines) =
                about.entry(subject_of_config.to_string()).or_insert_with(|| (subject_of_config, Vec::new()));
            if lines.len() < 3 {
                lines.push(format!("{key}: {value} on {node}"));
            }
        }
    }
    if about.is_empty() {
        return None;
    }
    let objects = about.into_values().map(|(config, lines)| config.detail(lines.join("; ")));
    Some(Finding::new(&CILIUM_NODE_CONFIG_AMBIGUOUS).with_objects(objects))
}

const CILIUM_NODE_CONFIG_NAMESPACE: Rule = Severity::Risk.rule(
    "cilium-node-config-namespace",
    "Cilium does not read these CiliumNodeConfigs, since they are not in its namespace.",
    "The nodes keep the settings of the whole cluster, so a node that was to move does not.",
    "Create it in Cilium's namespace.",
);

fn configs_elsewhere(scene: &Scene<'_>, all: &[Object]) -> Option<Finding> {
    let agent = scene.snapshot.object(Kind::CONFIG_MAP, "cilium-config")?.namespace();
    let objects: Vec<Subject> = all
        .iter()
        .filter(|object| object.namespace() != agent)
        .map(|object| subject(Kind::CILIUM_NODE_CONFIG, object).detail(format!("Cilium runs in {agent}")))
        .collect();
    if objects.is_empty() {
        return None;
    }
    let fix = format!("Create the object in the namespace {agent}, and delete it here.");
    Some(Finding::new(&CILIUM_NODE_CONFIG_NAMESPACE).fix(fix).with_objects(objects))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, object};
    use serde_json::json;

    fn case(configs: &[(&str, &str, Value, Value)]) -> Case {
        let mut objects = vec![object(
            Kind::CONFIG_MAP,
            "cilium-config",
            json!({"metadata": {"namespace": "kube-system"}, "data": {}}),
        )];
        for (name, moved) in [("a", "true"), ("b", "false")] {
            objects.push(object(
                Kind::NODE,
                name,
                json!({"metadata": {"labels": {"moved": moved, "os": "linux"}}}),
            ));
        }
        for (name, namespace, selector, defaults) in configs {
            let spec = json!({"nodeSelector": selector, "defaults": defaults});
            objects.push(object(
                Kind::CILIUM_NODE_CONFIG,
                name,
                json!({"metadata": {"namespace": namespace}, "spec": spec}),
            ));
        }
        Case::new(Cni::Calico, Cni::Cilium, objects)
    }

    fn moved(value: &str) -> Value {
        json!({"matchLabels": {"moved": value}})
    }

    #[test]
    fn a_config_that_moves_every_node_blocks() {
        let guide = json!({"write-cni-conf-when-ready": "/host/etc/cni/net.d/05-cilium.conflist", "custom-cni-conf": "false"});
        let every = json!({"matchLabels": {"os": "linux"}});
        assert_eq!(
            case(&[("x", "kube-system", every.clone(), guide.clone())]).codes(&CHECK),
            ["cilium-node-config-everywhere"]
        );
        assert_eq!(
            case(&[("x", "kube-system", json!({}), guide.clone())]).codes(&CHECK),
            ["cilium-node-config-everywhere"]
        );
        assert_eq!(case(&[("x", "kube-system", moved("true"), guide.clone())]).codes(&CHECK), [""; 0]);
        assert_eq!(
            case(&[("x", "kube-system", every.clone(), json!({"debug": "true"}))]).codes(&CHECK),
            [""; 0]
        );
        let mut at_the_end = case(&[("x", "kube-system", every, guide)]);
        at_the_end.config.transition.phase = Stage::Finish;
        assert_eq!(at_the_end.codes(&CHECK), [""; 0]);
    }

    /// What `watch` reports of a node where Crossfade's configuration is first.
    fn led(mut case: Case, nodes: &[&str]) -> Case {
        for node in &mut case.documents {
            if node["kind"] != "Node"
                || !nodes.contains(&node["metadata"]["name"].as_str().unwrap_or_default())
            {
                continue;
            }
            node["metadata"]["labels"]["crossfade/phase"] = "old".into();
            node["metadata"]["annotations"] =
                json!({"crossfade/observed": r#"{"bootId":"b1","phase":"old"}"#});
            node["status"] = json!({"nodeInfo": {"bootID": "b1"}, "conditions": [{"type": "CrossfadeReady", "status": "True"}]});
        }
        Case::having(case.from, case.to, case.documents)
    }

    #[test]
    fn where_crossfade_is_first_cilium_may_write_on_every_node() {
        let guide = json!({"write-cni-conf-when-ready": "/host/etc/cni/net.d/05-cilium.conflist", "custom-cni-conf": "false"});
        let case = |selector: Value| case(&[("x", "kube-system", selector, guide.clone())]);
        let every = json!({"matchLabels": {"os": "linux"}});
        assert_eq!(led(case(every.clone()), &["a", "b"]).codes(&CHECK), [""; 0]);
        let finding = led(case(every), &["a"]).finding(&CHECK, "cilium-node-config-everywhere");
        assert!(finding.objects.iter().any(|subject| subject.to_string() == "Node/b"), "{finding:?}");
        assert!(!finding.objects.iter().any(|subject| subject.to_string() == "Node/a"), "{finding:?}");
        assert!(finding.fix.contains("patch ciliumnodeconfigs.cilium.io x"), "{}", finding.fix);
        // The selector of docs/migrate-in-place.md, with a label on a node that has no Crossfade yet.
        let mut early = case(json!({"matchLabels": {LABEL: "true"}}));
        for node in early.documents.iter_mut().filter(|object| object["kind"] == "Node") {
            node["metadata"]["labels"][LABEL] = "true".into();
        }
        let early = led(early, &["a"]).finding(&CHECK, "cilium-node-config-everywhere");
        assert!(early.fix.contains(&format!("kubectl label node b {LABEL}-.")), "{}", early.fix);
        assert!(!early.fix.contains("patch"), "{}", early.fix);
    }

    /// At the end of a rotation the nodes of the final image have no Crossfade, and Cilium is to write its configuration there.
    #[test]
    fn a_node_of_a_final_image_is_no_node_that_moves_too_early() {
        let guide = json!({"write-cni-conf-when-ready": "/host/etc/cni/net.d/05-cilium.conflist", "custom-cni-conf": "false"});
        let with = |address: &str, change: &dyn Fn(&mut Case)| {
            let mut case = led(case(&[("x", "kube-system", json!({}), guide.clone())]), &["a"]);
            case.config.networks.new.cidrs = vec!["10.20.0.0/16".parse().expect("a range")];
            let (_, pod) = object(
                Kind::POD,
                "p",
                json!({"metadata": {"namespace": "x"}, "spec": {"nodeName": "b"},
                    "status": {"phase": "Running", "podIPs": [{"ip": address}]}}),
            );
            case.documents.push(pod);
            change(&mut case);
            let config = std::mem::take(&mut case.config);
            let mut case = Case::having(case.from, case.to, case.documents);
            case.config = config;
            case.codes(&CHECK)
        };
        let nothing = |_: &mut Case| {};
        assert_eq!(with("10.20.0.7", &nothing), [""; 0]);
        assert_eq!(with("10.10.0.7", &nothing), ["cilium-node-config-everywhere"]);
        let left = |case: &mut Case| {
            let is_b = |object: &&mut Value| object["kind"] == "Node" && object["metadata"]["name"] == "b";
            let node = case.documents.iter_mut().find(is_b).expect("the node");
            node["status"] = json!({"conditions": [{"type": "CrossfadeReady", "status": "Unknown", "reason": "FinalImage"}]});
        };
        assert_eq!(with("10.10.0.7", &left), [""; 0], "it says so itself");
    }

    #[test]
    fn two_values_for_a_node_are_told() {
        let two = |second: &str, value: &str| {
            let first = ("x", "kube-system", moved("true"), json!({"debug": "true"}));
            case(&[first, ("y", "kube-system", moved(second), json!({"debug": value}))]).findings(&CHECK)
        };
        let findings = two("true", "false");
        assert_eq!((findings[0].rule.code, findings[0].objects.len()), ("cilium-node-config-ambiguous", 2));
        assert_eq!(findings[0].objects[0].detail, "debug: true on a");
        assert!(two("true", "true").is_empty() && two("false", "false").is_empty());
    }

    #[test]
    fn a_config_in_another_namespace_does_nothing() {
        let texts_at = |namespace: &str| {
            case(&[("x", namespace, moved("true"), json!({"debug": "true"}))]).codes(&CHECK)
        };
        assert_eq!(texts_at("cilium"), ["cilium-node-config-namespace"]);
        assert_eq!(texts_at("kube-system"), [""; 0]);
    }
}
