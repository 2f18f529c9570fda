//! `CiliumNodeConfig`: settings of Cilium for some nodes, by which Cilium's own guide moves one node after the other. Pure.
//!
//! *Source*: Cilium's documentation, "Per-node configuration": an agent reads the settings when it starts; where several objects select a node, the order of
//! their names decides.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Check, Need};
use crate::finding::{Finding, Severity, Subject};
use crate::model::{Kind, Node, Object, Selector};
use crate::network::subject;
use crate::scene::Scene;
use crate::support::{Cni, Stage};

/// See the module.
pub(super) const CHECK: Check = Check {
    name: "cilium-nodes",
    codes: &[
        ("cilium-node-config-ambiguous", "several CiliumNodeConfigs give a node different values"),
        ("cilium-node-config-everywhere", "a CiliumNodeConfig moves all nodes at once"),
        ("cilium-node-config-namespace", "Cilium does not read a CiliumNodeConfig in this namespace"),
    ],
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
        all.iter().map(|object| (object, nodes(object, &scene.snapshot.nodes))).collect();
    let mut findings = Vec::new();
    if scene.config.transition.phase != Stage::Finish {
        findings.extend(everywhere(scene, &selected));
    }
    findings.extend(ambiguous(&selected));
    findings.extend(elsewhere(scene, all));
    findings
}

fn nodes<'n>(object: &Object, all: &'n [Node]) -> Vec<&'n Node> {
    // A selector that cannot be read selects nothing here; the API server has checked it.
    let selector = object
        .at("/spec/nodeSelector")
        .and_then(|value| serde_json::from_value::<Selector>(value.clone()).ok());
    let Some(selector) = selector else { return Vec::new() };
    all.iter().filter(|node| selector.selects(&node.metadata.labels)).collect()
}

fn defaults(object: &Object) -> impl Iterator<Item = (&str, &str)> {
    let all = object.at("/spec/defaults").and_then(Value::as_object).into_iter().flatten();
    all.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

fn moves(object: &Object) -> bool {
    defaults(object).any(|(key, value)| match key {
        "custom-cni-conf" => value == "false",
        key => MOVING.contains(&key) && !value.is_empty(),
    })
}

fn everywhere(scene: &Scene<'_>, selected: &[(&Object, Vec<&Node>)]) -> Option<Finding> {
    let count = scene.snapshot.nodes.len();
    let all = |(object, nodes): &&(&Object, Vec<&Node>)| moves(object) && count > 1 && nodes.len() == count;
    let objects: Vec<Subject> = selected
        .iter()
        .filter(all)
        .map(|(object, _)| subject(Kind::CILIUM_NODE_CONFIG, object).detail("selects every node"))
        .collect();
    let first = objects.first()?;
    let fix = format!(
        "Select nodes by a label that only moved nodes have: kubectl -n {} patch ciliumnodeconfigs.cilium.io {} --type merge -p '{{\"spec\":{{\"nodeSelector\":{{\"matchLabels\":{{\"io.cilium.migration/cilium-default\":\"true\"}}}}}}}}'",
        first.namespace, first.name
    );
    Some(
        Finding::new(
            "cilium-node-config-everywhere",
            Severity::Blocks,
            "A CiliumNodeConfig that makes Cilium write its CNI configuration selects every node.",
            "With the next restart of the agents, all nodes give new pods the new network at once, and pods of the old network lose them.",
            fix,
        )
        .about(objects),
    )
}

fn ambiguous(selected: &[(&Object, Vec<&Node>)]) -> Option<Finding> {
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
            let by = subject(Kind::CILIUM_NODE_CONFIG, object);
            let (_, lines) = about.entry(by.to_string()).or_insert_with(|| (by, Vec::new()));
            if lines.len() < 3 {
                lines.push(format!("{key}: {value} on {node}"));
            }
        }
    }
    if about.is_empty() {
        return None;
    }
    let objects = about.into_values().map(|(by, lines)| by.detail(lines.join("; ")));
    Some(
        Finding::new(
            "cilium-node-config-ambiguous",
            Severity::Risk,
            "Several CiliumNodeConfigs select the same nodes and give them different values.",
            "The order of the names decides which value counts. A renamed or added object then moves a node back, or forth, with the next restart of its agent.",
            "Change spec.nodeSelector of these objects so that at most one of them selects each node, or give both the same value.",
        )
        .about(objects),
    )
}

fn elsewhere(scene: &Scene<'_>, all: &[Object]) -> Option<Finding> {
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
    let what = "Cilium does not read these CiliumNodeConfigs, since they are not in its namespace.";
    let why = "The nodes keep the settings of the whole cluster, so a node that was to move does not.";
    Some(Finding::new("cilium-node-config-namespace", Severity::Risk, what, why, fix).about(objects))
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

    #[test]
    fn two_values_for_a_node_are_told() {
        let two = |second: &str, value: &str| {
            let first = ("x", "kube-system", moved("true"), json!({"debug": "true"}));
            case(&[first, ("y", "kube-system", moved(second), json!({"debug": value}))]).found(&CHECK)
        };
        let found = two("true", "false");
        assert_eq!((found[0].code, found[0].objects.len()), ("cilium-node-config-ambiguous", 2));
        assert_eq!(found[0].objects[0].detail, "debug: true on a");
        assert!(two("true", "true").is_empty() && two("false", "false").is_empty());
    }

    #[test]
    fn a_config_in_another_namespace_does_nothing() {
        let at = |namespace: &str| {
            case(&[("x", namespace, moved("true"), json!({"debug": "true"}))]).codes(&CHECK)
        };
        assert_eq!(at("cilium"), ["cilium-node-config-namespace"]);
        assert_eq!(at("kube-system"), [""; 0]);
    }
}
