//! Pods that are not attached as their cluster should have them by now, by who makes them, with what brings them there.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use snapshot::Range;
use snapshot::model::{Node, Pod, Snapshot};
use types::api::observed::{NodeObservation, shorten_uid};
use types::policy::Phase;

use crate::config::Config;
use crate::workload::{Owner, image, is_final, is_plain, owner, platform, reported_now};

/// The command that moves stragglers.
const FIX: &str = "kubectl crossfade roll stragglers --fix";

/// Why a pod is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Because"))]
#[serde(rename_all = "kebab-case")]
pub enum StragglerReason {
    /// Its node says that it was attached in another phase.
    Attached,
    /// Its node is in another phase.
    Node,
    /// Its node does not say what is attached to it, so it is not known.
    Silent,
    /// Crossfade is not on its node, which is of the image before: the pod moves when the node is replaced.
    Plain,
    /// It is being deleted.
    Terminating,
}

/// The pods of one owner that are stragglers for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Stragglers {
    /// `Deployment/default/web`; a pod without an owner is its own.
    pub owner: String,
    /// Why.
    pub because: StragglerReason,
    /// The pods: `NAMESPACE/NAME`, sorted.
    pub pods: Vec<String>,
    /// Their nodes, sorted.
    pub nodes: Vec<String>,
    /// The images of these nodes, sorted: the labels crossfade/image of those that have one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// The command that helps, or what else does.
    pub fix: String,
}

/// What a cluster has of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct StragglerReport {
    /// The pods.
    pub stragglers: Vec<Stragglers>,
    /// Attachments of another phase that nodes count and that no pod is known for, by node.
    pub unnamed: BTreeMap<String, u32>,
}

/// The furthest phase that a node is in; none if no node says.
#[must_use]
pub fn furthest_phase(snapshot: &Snapshot) -> Option<Phase> {
    snapshot.nodes.iter().filter_map(|node| reported_now(node)?.phase).max()
}

/// A pod that is not attached as it should be, and why.
pub type Straggler<'a> = (&'a Pod, StragglerReason);

/// The stragglers of each node, by the order of nodes. Pods that use the node's network and pods that ended are none.
#[must_use]
pub fn group_by_node<'a>(
    snapshot: &'a Snapshot,
    to: Phase,
    config: &Config,
) -> Vec<(&'a Node, Vec<Straggler<'a>>)> {
    let new: Vec<Range> = config.networks.new.cidrs.iter().copied().map(Range::from).collect();
    let mut on: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
    let has_network =
        |pod: &&Pod| !pod.spec.host_network && !pod.is_finished() && !pod.spec.node_name.is_empty();
    for pod in snapshot.pods.iter().filter(has_network) {
        on.entry(&pod.spec.node_name).or_default().push(pod);
    }
    let nodes_of = |node: &'a Node| {
        let pods = on.get(node.name()).map_or(&[][..], Vec::as_slice);
        let (observed, stand) = (reported_now(node), bystander(node, pods, to, &new));
        let reason = |pod: &Pod| match stand {
            Some(Bystander::Right) => None,
            Some(Bystander::Old) => Some(StragglerReason::Plain),
            None => straggler_reason(pod, observed.as_ref(), to),
        };
        let ending = |pod: &Pod, because| match pod.metadata.deletion_timestamp {
            Some(_) => StragglerReason::Terminating,
            None => because,
        };
        let endings = pods.iter().filter_map(|pod| Some((*pod, ending(pod, reason(pod)?))));
        (node, endings.collect())
    };
    snapshot.nodes.iter().filter(|node| platform(node).is_none()).map(nodes_of).collect()
}

/// A node without Crossfade, whose silence is no fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bystander {
    /// Its pods are where they should be: it is of the image after Crossfade, or the old network is the one to be in.
    Right,
    /// Its pods live in the old network, as those of the image before Crossfade.
    Old,
}

/// What a node without Crossfade is; none if Crossfade is on the node. A node of a final image is as bare as one of the old image. Its pods' addresses
/// tell, where the settings name the new network's ranges.
fn bystander(node: &Node, pods: &[&Pod], to: Phase, new: &[Range]) -> Option<Bystander> {
    if is_final(node, pods.iter().copied(), new) {
        return Some(if to == Phase::New { Bystander::Right } else { Bystander::Old });
    }
    is_plain(node).then_some(if to == Phase::Old { Bystander::Right } else { Bystander::Old })
}

/// All pods that are not attached in phase `to`, by what makes them.
#[must_use]
pub fn find(snapshot: &Snapshot, to: Phase, config: &Config) -> StragglerReport {
    let mut pods_by_owner: BTreeMap<(Owner<'_>, StragglerReason), Vec<&Pod>> = BTreeMap::new();
    let images: BTreeMap<&str, String> =
        snapshot.nodes.iter().filter_map(|node| Some((node.name(), image(node)?))).collect();
    let mut report = StragglerReport::default();
    for (node, pods) in group_by_node(snapshot, to, config) {
        let named = u32::try_from(pods.len()).unwrap_or(u32::MAX);
        for (pod, because) in pods {
            pods_by_owner.entry((owner(pod), because)).or_default().push(pod);
        }
        let counted = reported_now(node).and_then(|observation| observation.attached).map_or(0, |attached| {
            attached
                .by_phase
                .iter()
                .filter(|(phase, _)| **phase != to)
                .fold(attached.unknown, |sum, (_, count)| sum.saturating_add(*count))
        });
        if counted > named {
            report.unnamed.insert(node.name().to_owned(), counted - named);
        }
    }
    report.stragglers = pods_by_owner
        .into_iter()
        .map(|((owner, because), pods)| describe_group(&owner, because, &pods, &images))
        .collect();
    report
}

/// Why a pod is a straggler; none if it is none.
fn straggler_reason(pod: &Pod, observed: Option<&NodeObservation>, to: Phase) -> Option<StragglerReason> {
    let is_ours =
        |observation: &&NodeObservation| observation.attached.is_some() && observation.phase.is_some();
    match observed.filter(is_ours) {
        None => Some(StragglerReason::Silent),
        Some(observation) => {
            let short = shorten_uid(&pod.metadata.uid);
            let is_other =
                observation.attached.iter().flat_map(|attached| &attached.others).any(|other| other == short);
            match (is_other, observation.phase == Some(to)) {
                // In a node of another phase, those that differ from it may be the ones that are right.
                (true, true) => Some(StragglerReason::Attached),
                (false, false) => Some(StragglerReason::Node),
                (true, false) | (false, true) => None,
            }
        }
    }
}

fn describe_group(
    owner: &Owner<'_>,
    because: StragglerReason,
    pods: &[&Pod],
    images: &BTreeMap<&str, String>,
) -> Stragglers {
    let mut names: Vec<String> =
        pods.iter().map(|pod| format!("{}/{}", pod.namespace(), pod.name())).collect();
    let mut nodes: Vec<String> = pods.iter().map(|pod| pod.spec.node_name.to_string()).collect();
    names.sort();
    nodes.sort();
    nodes.dedup();
    let fix = fix(owner, because, pods, &nodes);
    let images: BTreeSet<&String> = nodes.iter().filter_map(|node| images.get(node.as_str())).collect();
    let images = images.into_iter().cloned().collect();
    Stragglers { owner: owner.subject().to_string(), because, pods: names, nodes, images, fix }
}

fn fix(owner: &Owner<'_>, because: StragglerReason, pods: &[&Pod], nodes: &[String]) -> String {
    let Owner { kind, namespace, name } = owner;
    match because {
        StragglerReason::Node => format!(
            "{FIX} brings the nodes into the phase; while a run goes on that skipped them: {}",
            nodes
                .iter()
                .map(|node| format!("kubectl crossfade roll retry {node}"))
                .collect::<Vec<_>>()
                .join("; ")
        ),
        StragglerReason::Silent => {
            "on the node: systemctl status crossfade-watch; it must report what is attached, in this boot".into()
        }
        StragglerReason::Plain => {
            "replace its node by one of the new image (docs/images.md); if the node is of a final image already, name the new network's ranges in the \
             settings file: networks: {new: {cidrs: [..]}}"
                .into()
        }
        StragglerReason::Terminating => format!(
            "wait, then look at its finalizers: kubectl -n {namespace} get pod {} -o yaml",
            pods[0].name()
        ),
        StragglerReason::Attached if pods.iter().any(|pod| pod.is_static()) => {
            "on the node, move the file of the static pod out of its directory and back".into()
        }
        StragglerReason::Attached => match *kind {
            "Pod" => {
                format!("no controller makes it again; if that is right: {FIX} --delete-bare {namespace}/{name}")
            }
            _ => format!("{FIX} moves them"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn node(name: &str, observed: &Value) -> Node {
        let node = json!({"metadata": {"name": name, "annotations": {"crossfade/observed": observed.to_string()}},
                "status": {"nodeInfo": {"bootID": "b"}}});
        serde_json::from_value(node).expect("a node")
    }

    fn pod(name: &str, node: &str, uid: &str, owner: &str) -> Pod {
        let owners = if owner.is_empty() {
            json!([])
        } else {
            json!([{"kind": owner, "name": "web", "controller": true}])
        };
        let pod = json!({"metadata": {"name": name, "namespace": "x", "uid": uid, "ownerReferences": owners},
            "spec": {"nodeName": node}, "status": {"phase": "Running"}});
        serde_json::from_value(pod).expect("a pod")
    }

    fn node_report(phase: &str, counts: &Value, others: &[&str]) -> Value {
        let mut attached = counts.clone();
        attached["others"] = json!(others);
        json!({"bootId": "b", "phase": phase, "attached": attached})
    }

    fn find_stragglers(nodes: Vec<Node>, pods: Vec<Pod>) -> StragglerReport {
        let mut snapshot = Snapshot { nodes, pods, ..Snapshot::default() };
        snapshot.sort();
        find(&snapshot, Phase::New, &Config::default())
    }

    #[test]
    fn a_pod_that_its_node_names_is_one() {
        let nodes = vec![node("a", &node_report("new", &json!({"old": 1, "new": 1}), &["11111111"]))];
        let pods = vec![
            pod("p", "a", "11111111-aaaa", "StatefulSet"),
            pod("q", "a", "22222222-aaaa", "StatefulSet"),
        ];
        let StragglerReport { stragglers, unnamed } = find_stragglers(nodes, pods);
        assert_eq!(stragglers.len(), 1);
        let group = &stragglers[0];
        assert_eq!(
            (group.owner.as_str(), group.because, &group.pods[..]),
            ("StatefulSet/x/web", StragglerReason::Attached, &["x/p".to_owned()][..])
        );
        assert_eq!(group.fix, "kubectl crossfade roll stragglers --fix moves them");
        assert_eq!(unnamed, BTreeMap::new());
    }

    #[test]
    fn every_pod_of_a_node_in_another_phase_is_one_but_those_that_are_ahead() {
        let nodes =
            vec![node("a", &node_report("both-new", &json!({"both-new": 1, "new": 1}), &["22222222"]))];
        let pods = vec![pod("p", "a", "11111111", "Job"), pod("q", "a", "22222222", "Job")];
        let StragglerReport { stragglers, .. } = find_stragglers(nodes, pods);
        let rows: Vec<_> = stragglers.iter().map(|group| (group.because, group.pods.clone())).collect();
        assert_eq!(rows, [(StragglerReason::Node, vec!["x/p".to_owned()])]);
        // A skipped node takes part again by retry; bounds of a run leave it skipped.
        let fix = &stragglers[0].fix;
        assert!(fix.ends_with("kubectl crossfade roll retry a") && !fix.contains("--only"), "{fix}");
    }

    /// Of two images in one phase, the groups name the one that their nodes have.
    #[test]
    fn images_of_the_nodes_are_named() {
        let mut labelled = node("a", &node_report("both-new", &json!({"both-new": 1}), &[]));
        labelled.metadata = serde_json::from_value(json!({"name": "a", "labels": {"crossfade/image": "5f2c"},
            "annotations": {"crossfade/observed": node_report("both-new", &json!({"both-new": 1}), &[]).to_string()}}))
        .expect("metadata");
        let mut seen = node_report("both-new", &json!({"both-new": 1}), &[]);
        seen["image"] = "77aa".into();
        let without = node("c", &node_report("both-new", &json!({"both-new": 1}), &[]));
        let pods = ["a", "b", "c"].map(|name| pod(name, name, name, "Job"));
        let report = find_stragglers(vec![labelled, node("b", &seen), without], pods.to_vec());
        assert_eq!(report.stragglers[0].images, ["5f2c", "77aa"], "{report:?}");
    }

    #[test]
    fn a_pod_that_its_node_does_not_name_is_not_fine() {
        let silent = vec![node("a", &json!({"bootId": "b", "phase": "new"}))];
        let report = find_stragglers(silent, vec![pod("p", "a", "1", "")]);
        assert_eq!(report.stragglers[0].because, StragglerReason::Silent);
        let counts = vec![node("a", &node_report("new", &json!({"old": 2}), &["11111111"]))];
        let report = find_stragglers(counts, vec![pod("p", "a", "11111111", "")]);
        assert_eq!(report.unnamed, [("a".to_owned(), 1)].into());
        assert!(report.stragglers[0].fix.ends_with("--fix --delete-bare x/p"), "{report:?}");
    }

    #[test]
    fn what_a_node_reported_in_another_boot_is_not_believed() {
        let mut rebooted = node("a", &node_report("new", &json!({"new": 1}), &[]));
        rebooted.status.node_info.boot_id = "later".into();
        let pods = || vec![pod("p", "a", "1", "")];
        assert_eq!(
            find_stragglers(vec![rebooted.clone()], pods()).stragglers[0].because,
            StragglerReason::Silent
        );
        let snapshot = Snapshot { nodes: vec![rebooted], ..Snapshot::default() };
        assert_eq!(furthest_phase(&snapshot), None);
    }

    #[test]
    fn a_node_without_crossfade_is_of_the_old_image_or_of_the_final_one() {
        let bare = |conditions: &Value| -> Node {
            serde_json::from_value(
                json!({"metadata": {"name": "a"}, "status": {"nodeInfo": {"bootID": "b"}, "conditions": conditions}}),
            )
            .expect("a node")
        };
        let plain = bare(&json!([]));
        let left = bare(&json!([{"type": "CrossfadeReady", "status": "Unknown", "reason": "FinalImage"}]));
        let with_ranges: Config =
            serde_json::from_value(json!({"version": 1, "networks": {"new": {"cidrs": ["10.20.0.0/16"]}}}))
                .expect("settings");
        for (node, address, to, config, expected) in [
            (&plain, "10.10.0.7", Phase::New, &with_ranges, Some(StragglerReason::Plain)),
            (&plain, "10.20.0.7", Phase::New, &with_ranges, None),
            // Without the ranges nothing tells a final image from the old one.
            (&plain, "10.20.0.7", Phase::New, &Config::default(), Some(StragglerReason::Plain)),
            (&plain, "10.10.0.7", Phase::Old, &with_ranges, None),
            (&plain, "10.10.0.7", Phase::BothNew, &with_ranges, Some(StragglerReason::Plain)),
            (&left, "10.20.0.7", Phase::New, &with_ranges, None),
            (&left, "10.20.0.7", Phase::Old, &with_ranges, Some(StragglerReason::Plain)),
        ] {
            let mut on_it = pod("p", "a", "1", "Job");
            on_it.status = serde_json::from_value(json!({"phase": "Running", "podIPs": [{"ip": address}]}))
                .expect("a status");
            let mut snapshot =
                Snapshot { nodes: vec![node.clone()], pods: vec![on_it], ..Snapshot::default() };
            snapshot.sort();
            let report = find(&snapshot, to, config);
            let because = report.stragglers.first().map(|group| group.because);
            assert_eq!(because, expected, "{address} {to} {:?}", node.status.conditions);
        }
    }

    #[test]
    fn a_cluster_that_is_done_has_none() {
        let nodes = vec![node("a", &node_report("new", &json!({"new": 1}), &[]))];
        assert_eq!(find_stragglers(nodes, vec![pod("p", "a", "11111111", "")]), StragglerReport::default());
    }
}
