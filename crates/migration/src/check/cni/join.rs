//! Networks that do not join or leave pods that run, and pods that no network joins or leaves: with the strategy `double`, these pods restart more than once.
//!
//! *Source*: docs/move-pods.md, "Ways", and docs/policy.md, "Networks that join running pods"; the CNIs' profiles (`join`).

use snapshot::model::{Kind, Node, Pod};
use types::api::observed::{self, NodeObservation};
use types::pod::RUNC_HANDLERS;
use types::policy::{Join, RESTART, Side};
use types::profile::Profiles;

use crate::check::cni::strategy::needs_host_routes;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need, Scene};
use crate::cni::support::{Cni, Strategy};
use crate::workload::{groups, platform};

pub(in crate::check) const CHECK: Check = Check {
    name: "join",
    rules: &[&JOIN_REFUSED, &POD_JOIN_REFUSED],
    needs: &[Need::Always(Kind::NODE), Need::Always(Kind::POD), Need::Always(Kind::RUNTIME_CLASS)],
    run,
};

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    if scene.network_strategy() != Strategy::Double {
        return Vec::new();
    }
    let refusals = Side::BOTH.map(|side| Refusal::gather(scene, side));
    // Where neither network joins a pod, every pod restarts in each pass.
    let is_whole = refusals.iter().all(|refusal| refusal.is_everywhere);
    let pods = (!is_whole).then(|| restarted_pods(scene)).flatten();
    find_refused(&refusals).into_iter().chain(pods).collect()
}

/// Where a network does not join or leave pods that run.
struct Refusal<'a> {
    side: Side,
    cni: Cni,
    /// On every node.
    is_everywhere: bool,
    nodes: Vec<&'a Node>,
}

impl<'a> Refusal<'a> {
    /// What a node reports counts before the profile: its policy may overrule that.
    fn gather(scene: &Scene<'a>, side: Side) -> Self {
        let cni = match side {
            Side::Old => scene.from,
            Side::New => scene.to,
        };
        let is_refused = |node: &&Node| {
            !parse_observed(node).map_or(joins(cni), |observation| observation.joins.contains(&side))
        };
        let takes_part =
            |node: &&Node| platform(node).is_none() && scene.config.roll.left_out(node.name()).is_none();
        let all: Vec<&Node> = scene.snapshot.nodes.iter().filter(takes_part).collect();
        let nodes: Vec<&Node> = all.iter().copied().filter(is_refused).collect();
        let is_everywhere = if all.is_empty() { !joins(cni) } else { nodes.len() == all.len() };
        Self { side, cni, is_everywhere, nodes }
    }

    /// What it means for the pods, and why where the reason is the same on all nodes.
    fn words(&self) -> String {
        let Self { side, cni, is_everywhere, .. } = self;
        let (act, pass) = match side {
            Side::Old => ("leave", 3),
            Side::New => ("join", 1),
        };
        let why = match (is_everywhere, joins(*cni)) {
            (false, _) => "",
            (true, true) => ", since no node allows it",
            (true, false) => ", by its profile",
        };
        format!("{cni} does not {act} running pods{why}: they restart in pass {pass}, too")
    }
}

/// What the node reports; none if it does not, or in a way that this program cannot read.
fn parse_observed(node: &Node) -> Option<NodeObservation> {
    NodeObservation::parse(node.metadata.annotation(observed::KEY)?).ok()
}

/// Whether the CNI can join a pod that runs, and leave one, by its profile.
fn joins(cni: Cni) -> bool {
    Profiles::built_in().find(cni.into_str()).is_some_and(|profile| profile.join == Join::Works)
}

const JOIN_REFUSED: Rule = Severity::Note.rule(
    "join-refused",
    "Networks do not join or leave running pods, so pods restart more than once.\n\n\
     Its profile refuses it, or nodes do not report it: in `joins` of the annotation `crossfade/observed`, they say which networks join and leave their running pods. What a node reports counts before the profile.",
    "With the strategy double, a pod restarts once, in pass 2, if the new network joins it in pass 1 and the old network leaves it in pass 3. Where the new network cannot join, or the old one cannot leave, each pod restarts once more.",
    r#"In node.json of each node, set `"joinPods": true` beside `"desired": "node-annotation"`. Try a CNI that its profile refuses on one node, then write `"join": "works"` into [the policy](policy.md#networks-that-join-running-pods). Calico needs host routes and never joins a running pod: use --strategy bridge. Or accept the restarts."#,
);

fn find_refused(refusals: &[Refusal<'_>]) -> Option<Finding> {
    let mut objects = Vec::new();
    for refusal in refusals {
        if refusal.is_everywhere {
            objects.push(Subject {
                kind: "Network".into(),
                namespace: String::new(),
                name: refusal.side.as_str().into(),
                detail: refusal.words(),
            });
        } else {
            let node = |node: &&Node| Subject::new(Kind::NODE, node.name()).detail(refusal.words());
            objects.extend(refusal.nodes.iter().map(node));
        }
    }
    if objects.is_empty() {
        return None;
    }
    Some(Finding::new(&JOIN_REFUSED).fix(fix(refusals)).with_objects(objects))
}

fn fix(refusals: &[Refusal<'_>]) -> String {
    let mut steps = Vec::new();
    let of_profiles: Vec<Cni> = refusals
        .iter()
        .filter(|refusal| refusal.is_everywhere)
        .map(|refusal| refusal.cni)
        .filter(|cni| !joins(*cni))
        .collect();
    let is_by_node =
        refusals.iter().any(|refusal| !refusal.nodes.is_empty() && !of_profiles.contains(&refusal.cni));
    if is_by_node {
        steps.push(r#"In node.json of each node, write "joinPods": true beside "desired": "node-annotation". The node must report to the API server ("report": {"node": true}, the default), and its policy.json must not refuse the network ("join": "refused")."#.to_owned());
    }
    for cni in of_profiles {
        steps.push(if needs_host_routes(cni) {
            format!("With {cni}, use --strategy bridge: its host routes begin and end with a pod's sandbox, so it never joins or leaves a running pod.")
        } else {
            format!(r#"No join of {cni} is tried: try it on one node, then write "join": "works" beside its network into policy.json of each node, and "joinPods": true into node.json."#)
        });
    }
    steps.push("Or accept the restarts, for which nothing has to be done.".into());
    steps.join(" ")
}

const POD_JOIN_REFUSED: Rule = Severity::Note.rule(
    "pod-join-refused",
    "No network joins or leaves these pods while they run, so they restart in each pass.\n\n\
     Their runtime handler reads interfaces only at its start, or they have the annotation `crossfade/restart: \"true\"`. Where neither network joins running pods (`join-refused`), every pod restarts in each pass, and none is listed here.",
    "With the strategy double, such a pod restarts three times, and every other pod may do with one restart. A virtual machine (Kata) and gVisor read the interfaces of a sandbox only when it starts. Of a runtime handler that is not known here, the node decides by the runtime's type. Pods that a node's policy names in pods.restart are not listed: only the node knows them.",
    "Remove the annotation crossfade/restart from those pods and templates whose programs bear an interface that comes and goes. Nothing else changes what the others need: the migration restarts them within their budgets. Accept this finding with a waiver.",
);

/// Pods that restart in each pass, by what makes them.
fn restarted_pods(scene: &Scene<'_>) -> Option<Finding> {
    let mut objects = Vec::new();
    for group in groups(scene.snapshot) {
        let reason = group
            .pods
            .iter()
            .filter(|pod| !pod.spec.host_network && !pod.is_static())
            .find_map(|pod| restart_reason(scene, pod));
        objects.extend(reason.map(|reason| group.owner.subject().detail(reason)));
    }
    (!objects.is_empty()).then(|| Finding::new(&POD_JOIN_REFUSED).with_objects(objects))
}

/// Why no network joins or leaves the pod while it runs; none if nothing in the cluster says so.
pub(crate) fn restart_reason(scene: &Scene<'_>, pod: &Pod) -> Option<String> {
    if pod.metadata.annotation(RESTART) == Some("true") {
        return Some(format!("annotation {RESTART}"));
    }
    let class = &*pod.spec.runtime_class_name;
    if class.is_empty() {
        return None;
    }
    let object = scene.snapshot.object(Kind::RUNTIME_CLASS, class);
    let handler = object.and_then(|object| object.text("/handler")).unwrap_or(class);
    let words = match sees_new_interfaces(handler) {
        Some(true) => return None,
        Some(false) => "reads interfaces only at its start",
        None => "is not known, the node decides",
    };
    Some(format!("RuntimeClass {class}: handler {handler} {words}"))
}

/// Whether a pod of this runtime handler sees an interface that comes while it runs; none if the name does not tell.
///
/// *Source*: kata-containers and gVisor's documentation for the names that their installers give to handlers.
fn sees_new_interfaces(handler: &str) -> Option<bool> {
    match handler {
        _ if RUNC_HANDLERS.contains(&handler) => Some(true),
        "gvisor" | "runsc" => Some(false),
        _ if handler.starts_with("kata") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::tests::{Case, object, objects};

    /// A node that reports these networks; null if it does not report.
    fn node(name: &str, joins: Value) -> (Kind, Value) {
        let seen = json!({"bootId": "b", "phase": "old", "joins": joins}).to_string();
        let annotations = if joins.is_null() { json!({}) } else { json!({"crossfade/observed": seen}) };
        object(Kind::NODE, name, json!({"metadata": {"annotations": annotations}}))
    }

    fn case(from: Cni, to: Cni, nodes: &[Value]) -> Case {
        let node = |(index, joins): (usize, &Value)| node(&format!("n{index}"), joins.clone());
        Case::new(from, to, nodes.iter().enumerate().map(node).collect())
    }

    #[test]
    fn a_network_joins_as_nodes_report_and_else_as_its_profile_says() {
        let (none, both) = (json!([]), json!(["old", "new"]));
        let new = |words: &str| format!("{words}: they restart in pass 1, too");
        let old = |words: &str| format!("{words}: they restart in pass 3, too");
        for (from, to, nodes, expected) in [
            (Cni::Flannel, Cni::Cilium, vec![], vec![]),
            (Cni::Flannel, Cni::Cilium, vec![Value::Null], vec![]),
            (Cni::Flannel, Cni::Cilium, vec![both.clone(), both.clone()], vec![]),
            (
                Cni::Flannel,
                Cni::Cilium,
                vec![both.clone(), none.clone()],
                vec![
                    new("Node/n1: cilium does not join running pods"),
                    old("Node/n1: flannel does not leave running pods"),
                ],
            ),
            (
                Cni::Flannel,
                Cni::Cilium,
                vec![both.clone(), json!(["old"])],
                vec![new("Node/n1: cilium does not join running pods")],
            ),
            (
                Cni::Flannel,
                Cni::Cilium,
                vec![none.clone(), none.clone()],
                vec![
                    new("Network/new: cilium does not join running pods, since no node allows it"),
                    old("Network/old: flannel does not leave running pods, since no node allows it"),
                ],
            ),
            (
                Cni::Flannel,
                Cni::Antrea,
                vec![Value::Null],
                vec![new("Network/new: antrea does not join running pods, by its profile")],
            ),
            (
                Cni::Calico,
                Cni::Cilium,
                vec![],
                vec![old("Network/old: calico does not leave running pods, by its profile")],
            ),
            (Cni::Flannel, Cni::Antrea, vec![both.clone()], vec![]),
        ] {
            let findings = case(from, to, &nodes).findings(&CHECK);
            let findings: Vec<String> = findings.iter().flat_map(objects).collect();
            assert_eq!(findings, expected, "{from} {to} {nodes:?}");
        }
        for strategy in [Strategy::Bridge, Strategy::Rotation] {
            assert!(
                case(Cni::Flannel, Cni::Antrea, std::slice::from_ref(&none))
                    .strategy(strategy)
                    .codes(&CHECK)
                    .is_empty()
            );
        }
        let left_out = case(Cni::Flannel, Cni::Cilium, &[both, none])
            .config("roll: {leaveOut: [{node: n1, reason: why}]}");
        assert!(left_out.codes(&CHECK).is_empty(), "no pass touches it");
    }

    #[test]
    fn the_fix_names_what_refuses() {
        let fix = |from, to, joins: &[Value]| case(from, to, joins).finding(&CHECK, "join-refused").fix;
        let nodes = fix(Cni::Flannel, Cni::Cilium, &[json!([])]);
        assert!(nodes.contains(r#""joinPods": true"#) && !nodes.contains("policy.json of each"), "{nodes}");
        let antrea = fix(Cni::Flannel, Cni::Antrea, &[json!(["old"])]);
        assert!(
            antrea.starts_with("No join of antrea is tried") && antrea.contains(r#""join": "works""#),
            "{antrea}"
        );
        let calico = fix(Cni::Calico, Cni::Cilium, &[json!(["new"])]);
        assert!(
            calico.starts_with("With calico, use --strategy bridge") && !calico.contains("joinPods"),
            "{calico}"
        );
    }

    /// Each row: what is in the pod, and the reason; empty if a network can join the pod.
    #[test]
    fn a_pod_restarts_in_each_pass_where_no_network_can_join_it() {
        let class =
            |name: &str, handler: &str| object(Kind::RUNTIME_CLASS, name, json!({"handler": handler}));
        let handler = |name: &str| json!({"spec": {"runtimeClassName": name}});
        let annotated = |value: &str| json!({"metadata": {"annotations": {"crossfade/restart": value}}});
        for (pod, reason) in [
            (json!({}), ""),
            (annotated("true"), "annotation crossfade/restart"),
            (annotated("false"), ""),
            (handler("plain"), ""),
            (handler("crun"), ""),
            (handler("secure"), "RuntimeClass secure: handler kata-qemu reads interfaces only at its start"),
            (
                handler("sandboxed"),
                "RuntimeClass sandboxed: handler runsc reads interfaces only at its start",
            ),
            (handler("gpu"), "RuntimeClass gpu: handler nvidia is not known, the node decides"),
            (handler("kata"), "RuntimeClass kata: handler kata reads interfaces only at its start"),
            (json!({"spec": {"runtimeClassName": "secure", "hostNetwork": true}}), ""),
            (json!({"spec": {"runtimeClassName": "secure"}, "status": {"phase": "Succeeded"}}), ""),
            (
                json!({"spec": {"runtimeClassName": "secure"}, "metadata": {"annotations": {"kubernetes.io/config.mirror": "m"}}}),
                "",
            ),
        ] {
            let mut value = pod.clone();
            value["metadata"]["namespace"] = "x".into();
            let all = vec![
                node("n1", json!(["old", "new"])),
                class("plain", "runc"),
                class("secure", "kata-qemu"),
                class("sandboxed", "runsc"),
                class("gpu", "nvidia"),
                object(Kind::POD, "web", value),
            ];
            let findings: Vec<String> =
                Case::new(Cni::Flannel, Cni::Cilium, all).findings(&CHECK).iter().flat_map(objects).collect();
            let expected: Vec<String> = [reason]
                .iter()
                .filter(|reason| !reason.is_empty())
                .map(|reason| format!("Pod/x/web: {reason}"))
                .collect();
            assert_eq!(findings, expected, "{pod}");
        }
    }

    #[test]
    fn where_every_pod_restarts_in_each_pass_none_is_named() {
        let pod = || {
            object(
                Kind::POD,
                "web",
                json!({"metadata": {"namespace": "x", "annotations": {"crossfade/restart": "true"}}}),
            )
        };
        for (joins, codes) in
            [(json!([]), &["join-refused"][..]), (json!(["old"]), &["join-refused", "pod-join-refused"])]
        {
            let case = Case::new(Cni::Flannel, Cni::Cilium, vec![node("n1", joins.clone()), pod()]);
            assert_eq!(case.codes(&CHECK), codes, "{joins}");
        }
    }
}
