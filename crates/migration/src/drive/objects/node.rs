//! A Node as a run reads it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use snapshot::model::{self, Text};
use types::api::node_keys::OWN_REASON;
use types::api::observed::{self, NodeObservation};
use types::api::step::{self, State, Step};
use types::api::taint::READINESS_KEY;
use types::policy::Phase;
use types::text::quote::quote;

use super::keys::{DESIRED, EARLIER, PHASE, READY, UNDISTURBED};
use crate::roll::world::{Condition, Lifecycle, Node};
use crate::workload::capacity::{Request, barring};
use crate::workload::{OUTDATED, SCHEDULED, cluster_of, going_mark, pool_in};

/// Labels of a node's zone; the first one that it has counts.
///
/// *Source*: Kubernetes, "Well-Known Labels, Annotations and Taints"; the second one is that of versions before 1.17.
const ZONES: [&str; 2] = ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];
/// The taint that makes the scheduler prefer nodes that have moved, and its effect.
pub const FENCE: (&str, &str) = (EARLIER, "PreferNoSchedule");

/// The taint that keeps pods off a node until its network is proven, and its effect.
pub const READINESS: (&str, &str) = (READINESS_KEY, "NoSchedule");

/// Longest text of a node in words, in bytes.
const QUOTED: usize = 512;
/// Longest step that counts, in bytes. A run writes less than half of that.
const STEP_BYTES: usize = 1024;

/// Longest report that counts, in bytes. A later `watch` may write more than this one.
const REPORT_BYTES: usize = 4 * observed::MAX_BYTES;

/// A Node, and its taints as they are written: a change of one has to write them all.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedNode {
    pub name: Text,
    /// What decisions are made on.
    pub node: Node,
    /// `spec.taints`, with keys that this program does not know.
    pub taints: Vec<Value>,
}

/// What the slim type of a Node does not have.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeExtras {
    metadata: NodeMeta,
    spec: NodeTaints,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeMeta {
    resource_version: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeTaints {
    taints: Option<Vec<Value>>,
}

/// Reads a Node.
///
/// # Errors
/// Why it is no Node.
pub fn node(json: &str, pool_labels: &[String]) -> Result<ObservedNode, String> {
    let wrong = |e: serde_json::Error| format!("a Node: {e}");
    let read: model::Node = serde_json::from_str(json).map_err(wrong)?;
    let NodeExtras { metadata, spec } = serde_json::from_str(json).map_err(wrong)?;
    let label = |key: &str| read.metadata.label(key);
    let annotation = |key: &str| read.metadata.annotation(key);
    let is_true = |kind: &str| read.condition(kind).is_some_and(|condition| &*condition.status == "True");
    let has_taint =
        |known: (&str, &str)| read.spec.taints.iter().any(|taint| (&*taint.key, &*taint.effect) == known);
    let phase = label(PHASE).and_then(Phase::parse);
    let mark = going_mark(&read);
    let node = Node {
        uid: read.metadata.uid.clone(),
        version: metadata.resource_version,
        zone: ZONES.into_iter().find_map(label).unwrap_or_default().into(),
        pool: pool_in(pool_labels, &read).into(),
        is_ready: is_true("Ready"),
        has_no_network: is_true("NetworkUnavailable"),
        is_cordoned: read.spec.unschedulable,
        is_going: mark.is_some(),
        is_fenced: has_taint(FENCE),
        awaits_readiness: has_taint(READINESS),
        is_undisturbed: annotation(UNDISTURBED) == Some("true"),
        cluster: cluster_of(&read)
            .filter(|(namespace, name)| is_object_name(namespace) && is_object_name(name))
            .map(|(namespace, name)| (namespace.into(), name.into())),
        is_outdated: mark.as_deref().is_none_or(|mark| mark == SCHEDULED)
            && read.spec.taints.iter().any(|taint| [OUTDATED, SCHEDULED].contains(&&*taint.key)),
        offers: Request::from_resources(&read.status.allocatable),
        taints: barring(&read).into_iter().map(Text::from).collect(),
        boot: read.status.node_info.boot_id.clone(),
        label: phase,
        desired: annotation(DESIRED).and_then(Phase::parse),
        observed: annotation(observed::KEY).and_then(report),
        crossfade: read.condition(READY).map(condition),
        step: annotation(step::KEY).map(|text| read_step(text, phase)),
        lifecycle: lifecycle(&read),
    };
    Ok(ObservedNode { name: read.metadata.name, node, taints: spec.taints.unwrap_or_default() })
}

/// The conditions of its lifecycle, and whether a run published each.
fn lifecycle(read: &model::Node) -> BTreeMap<Lifecycle, bool> {
    let find = |kind: Lifecycle| {
        read.condition(kind.into_str()).map(|condition| (kind, condition.reason.starts_with(OWN_REASON)))
    };
    Lifecycle::ALL.into_iter().filter_map(find).collect()
}

/// The condition. Its message, without the boot that it ends with: `old is ready (boot 1c5e..)`.
fn condition(read: &model::Condition) -> Condition {
    let parts = read.message.strip_suffix(')').and_then(|text| text.rsplit_once(" (boot "));
    let message = parts.map_or(&*read.message, |(message, _)| message);
    Condition { is_true: &*read.status == "True", message: quote(message.as_bytes(), QUOTED).into() }
}

/// What the node reports; none if this program cannot read it.
fn report(text: &str) -> Option<NodeObservation> {
    (text.len() <= REPORT_BYTES).then(|| NodeObservation::parse(text).ok()).flatten()
}

/// Whether a text has the form of a name of an object: a node writes its own annotations.
///
/// *Source*: Kubernetes, "Object Names and IDs", "DNS Subdomain Names".
fn is_object_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    (1..=253).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// The step, if it is no longer than what a run writes, and its words can be printed: the node can write it, too.
fn parse_sound(text: &str) -> Result<Step, String> {
    if text.len() > STEP_BYTES {
        return Err(format!("it has {} bytes, and at most {STEP_BYTES} are expected", text.len()));
    }
    let step = Step::parse(text)?;
    let words =
        [Some(&step.run), Some(&step.plan), Some(&step.claim), step.since.as_ref(), step.why.as_ref()];
    let is_odd = |word: &&String| !word.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if words.into_iter().flatten().any(|word| is_odd(&word)) {
        return Err("it has characters that no run writes".into());
    }
    Ok(step)
}

/// The step. One that this program cannot read is another program's, and is left alone as the step of another run is.
fn read_step(text: &str, phase: Option<Phase>) -> Step {
    parse_sound(text).unwrap_or_else(|e| Step {
        run: "unreadable".into(),
        plan: String::new(),
        epoch: u64::MAX,
        claim: String::new(),
        to: phase.unwrap_or(Phase::Old),
        state: State::Held,
        cordon: None,
        since: None,
        r#try: 1,
        why: Some(quote(
            format!("the annotation {} is not one of this version: {e}", step::KEY).as_bytes(),
            QUOTED,
        )),
        undisturbed: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: &Value) -> ObservedNode {
        node(&value.to_string(), &["pool".into(), "other".into()]).expect("a node")
    }

    fn with(pointer: &str, value: Value) -> Node {
        let mut node = json!({"metadata": {"name": "n", "labels": {}, "annotations": {}}, "spec": {},
            "status": {"conditions": [], "nodeInfo": {}}});
        *node.pointer_mut(pointer).expect("a key") = value;
        read(&node).node
    }

    #[test]
    fn a_node_is_read_as_a_whole() {
        let observed = r#"{"bootId":"b1","phase":"both-old","attached":{"old":3,"unknown":1,"others":["1f2e3d4c"]},"echo":"r.1.1","new":1}"#;
        let step = r#"{"run":"r","plan":"4be1","epoch":3,"claim":"r.1.1","to":"both-old","state":"moving","cordon":"ours","try":2}"#;
        let ObservedNode { name, node, taints } = read(&json!({
            "metadata": {"name": "b7", "uid": "u", "resourceVersion": "41",
                "labels": {"topology.kubernetes.io/zone": "eu-1a", "pool": "blue", "crossfade/phase": "both-old"},
                "annotations": {"crossfade/observed": observed, "crossfade/step": step, "crossfade/desired": "both-old"}},
            "spec": {"unschedulable": true, "taints": [
                {"key": "crossfade/earlier", "effect": "PreferNoSchedule"},
                {"key": "x", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}]},
            "status": {"allocatable": {"cpu": "3900m", "memory": "1Ki", "pods": "110", "ephemeral-storage": "1Gi"},
                "nodeInfo": {"bootID": "b1"}, "conditions": [
                {"type": "Ready", "status": "True"}, {"type": "NetworkUnavailable", "status": "False"},
                {"type": "CrossfadeReady", "status": "True", "message": "old and new (both) are ready (boot b1)"}]},
        }));
        assert_eq!((&*name, &*node.uid, &*node.version), ("b7", "u", "41"));
        assert_eq!((&*node.zone, &*node.pool, &*node.boot), ("eu-1a", "blue", "b1"));
        assert!(
            node.is_ready && !node.has_no_network && node.is_cordoned && !node.is_going && node.is_fenced
        );
        assert!(node.is_in(Phase::BothOld));
        assert_eq!(node.offers, Request { cpu: 3900, memory: 1_024_000, pods: 110_000 });
        assert_eq!(node.taints, [Text::from("x")], "the fence keeps no pod away");
        assert_eq!((node.label, node.desired), (Some(Phase::BothOld), Some(Phase::BothOld)));
        let reported = node.crossfade.as_ref().expect("a condition");
        assert_eq!(&*reported.message, "old and new (both) are ready");
        assert_eq!((node.attached_count(), node.attached_otherwise(Phase::BothOld)), (Some(4), Some(4)));
        let step = node.step.expect("a step");
        assert_eq!((step.claim.as_str(), step.state, step.r#try), ("r.1.1", State::Moving, 2));
        assert_eq!(taints[1]["timeAdded"], "2026-01-01T00:00:00Z", "what is not known stays");
    }

    #[test]
    fn what_a_node_does_not_have_is_not_there() {
        let bare = read(&json!({"metadata": {"name": "n"}})).node;
        assert_eq!(bare, Node::default());
        assert!(node("{", &[]).is_err());
    }

    #[test]
    fn zone_and_pool_come_from_the_first_label() {
        for (labels, zone, pool) in [
            (json!({"failure-domain.beta.kubernetes.io/zone": "old", "other": "b"}), "old", "b"),
            (
                json!({"failure-domain.beta.kubernetes.io/zone": "old", "topology.kubernetes.io/zone": "a"}),
                "a",
                "",
            ),
            (json!({"other": "b", "pool": "a"}), "", "a"),
            (json!({"node-role.kubernetes.io/control-plane": ""}), "", "control-plane"),
        ] {
            let node = with("/metadata/labels", labels.clone());
            assert_eq!((&*node.zone, &*node.pool), (zone, pool), "{labels}");
        }
    }

    #[test]
    fn conditions_of_a_lifecycle_are_of_a_run_by_their_reasons() {
        let value = json!([
            {"type": "MaintenanceInProgress", "status": "True", "reason": "CrossfadeRoll"},
            {"type": "DrainInProgress", "status": "False", "reason": "KubectlDrain"},
            {"type": "Drained", "status": "True"},
            {"type": "GracefulNodeShutdownInProgress", "status": "True", "reason": "CrossfadeRoll"}]);
        let expected = [
            (Lifecycle::MaintenanceInProgress, true),
            (Lifecycle::DrainInProgress, false),
            (Lifecycle::Drained, false),
        ];
        assert_eq!(with("/status/conditions", value).lifecycle, expected.into());
    }

    #[test]
    fn a_condition_is_told_without_its_boot() {
        for (message, words) in [
            ("old is ready (boot b1)", "old is ready"),
            ("old (boot x) is ready (boot b1)", "old (boot x) is ready"),
            ("old is ready", "old is ready"),
            ("old is ready (boot b1) ", "old is ready (boot b1)"),
        ] {
            let value = json!([{"type": "CrossfadeReady", "status": "True", "message": message}]);
            let condition = with("/status/conditions", value).crossfade.expect("a condition");
            assert_eq!(&*condition.message, words);
        }
    }

    #[test]
    fn a_phase_is_confirmed_by_a_report_of_this_boot_alone() {
        let in_phase = |observed: Value| {
            let node = read(&json!({
                "metadata": {"name": "n", "labels": {"crossfade/phase": "old"}, "annotations": observed},
                "status": {"nodeInfo": {"bootID": "b1"}, "conditions": [
                    {"type": "CrossfadeReady", "status": "True", "message": "old is ready (boot b1)"}]},
            }));
            node.node.is_in(Phase::Old)
        };
        let observed =
            |boot: &str| json!({"crossfade/observed": json!({"bootId": boot, "phase": "old"}).to_string()});
        assert!(in_phase(observed("b1")));
        assert!(!in_phase(observed("b0")) && !in_phase(observed("")));
        assert!(!in_phase(json!({})) && !in_phase(json!({"crossfade/observed": "half"})));
    }

    #[test]
    fn the_cluster_of_a_node_is_read_if_it_can_be_one() {
        let cluster = |name: &str| {
            let annotations = json!({"cluster.x-k8s.io/cluster-namespace": "fleets", "cluster.x-k8s.io/cluster-name": name});
            with("/metadata/annotations", annotations).cluster
        };
        assert_eq!(cluster("blue"), Some(("fleets".into(), "blue".into())));
        for odd in ["", "a\u{1b}[2J", "a/b", "a,b=c", &"a".repeat(300)] {
            assert_eq!(cluster(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_node_is_outdated_until_it_goes() {
        for (keys, outdated, going) in [
            (&[][..], false, false),
            (&["node.cluster.x-k8s.io/outdated-revision"], true, false),
            (&["kops.k8s.io/scheduled-for-update"], true, true),
            (&["ToBeDeletedByClusterAutoscaler"], false, true),
            (&["kops.k8s.io/scheduled-for-update", "ToBeDeletedByClusterAutoscaler"], false, true),
            (&["node.cluster.x-k8s.io/outdated-revision", "ToBeDeletedByClusterAutoscaler"], false, true),
        ] {
            let taint = |key: &&str| json!({"key": key, "effect": "PreferNoSchedule"});
            let node = with("/spec", json!({"taints": keys.iter().map(taint).collect::<Vec<_>>()}));
            assert_eq!((node.is_outdated, node.is_going), (outdated, going), "{keys:?}");
        }
    }

    #[test]
    fn only_the_taint_with_its_effect_is_the_fence() {
        for (effect, fenced) in [("PreferNoSchedule", true), ("NoSchedule", false)] {
            let taints = json!({"taints": [{"key": "crossfade/earlier", "effect": effect}]});
            assert_eq!(with("/spec", taints).is_fenced, fenced);
        }
    }

    #[test]
    fn only_the_readiness_taint_with_its_effect_can_be_lifted() {
        for (key, effect, awaits) in [
            ("readiness.k8s.io/crossfade", "NoSchedule", true),
            ("readiness.k8s.io/crossfade", "NoExecute", false),
            ("readiness.k8s.io/other", "NoSchedule", false),
        ] {
            let taints = json!({"taints": [{"key": key, "effect": effect}]});
            assert_eq!(with("/spec", taints).awaits_readiness, awaits, "{key}:{effect}");
        }
    }

    #[test]
    fn a_step_that_cannot_be_read_is_another_runs() {
        for text in ["", "{}", r#"{"run":"r","plan":"","epoch":1,"claim":"c","to":"old","state":"dancing"}"#]
        {
            let step = with("/metadata/annotations", json!({"crossfade/step": text})).step.expect("a step");
            assert_eq!((step.run.as_str(), step.state), ("unreadable", State::Held), "{text}");
        }
        for text in ["half", r#"{"phase":"half"}"#] {
            assert_eq!(with("/metadata/annotations", json!({"crossfade/observed": text})).observed, None);
            assert_eq!(with("/metadata/annotations", json!({"crossfade/desired": text})).desired, None);
        }
    }

    /// A node writes its own annotations and conditions, and the API server takes up to 256 KiB of the first and more of the second.
    #[test]
    fn what_a_node_writes_is_bounded() {
        let long = "\u{1}\u{202e}\n".repeat(70_000);
        let step = json!({"run": long, "plan": "p", "epoch": 1, "claim": "c", "to": "old", "state": "moving", "why": long});
        let node = read(&json!({
            "metadata": {"name": "n", "annotations": {"crossfade/step": step.to_string(), "crossfade/observed": "x".repeat(200_000)}},
            "status": {"conditions": [{"type": "CrossfadeReady", "status": "True", "message": format!("{long} (boot b1)")}]},
        }))
        .node;
        let reported = node.crossfade.expect("a condition");
        assert!(
            reported.message.len() < 1000 && !reported.message.contains(char::is_control),
            "{}",
            reported.message.len()
        );
        let step = node.step.expect("a step");
        assert_eq!((step.run.as_str(), step.state), ("unreadable", State::Held));
        let why = step.why.unwrap_or_default();
        assert!(why.len() < 1000 && !why.contains(char::is_control), "{}", why.len());
        let short = json!({"run": "r\nerror: no", "plan": "p", "epoch": 1, "claim": "c", "to": "old", "state": "moving"});
        let step =
            with("/metadata/annotations", json!({"crossfade/step": short.to_string()})).step.expect("a step");
        assert_eq!(step.run, "unreadable", "a run's name has no line ends");
    }
}
