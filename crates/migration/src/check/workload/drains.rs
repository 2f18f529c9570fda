//! Pods that a drain asks to go and that no other node can take, or that take longer to stop than a run waits.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};
use snapshot::model::{Kind, Node, PodSpec, Selector, Workload};

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::workload::{Owner, Place, groups, is_movable, owner, platform, takes_back};

pub(in crate::check) const CHECK: Check = Check {
    name: "drains",
    rules: &[&POD_ANTI_AFFINITY, &POD_GRACE_LONG, &POD_ZONAL_VOLUME],
    needs: &[
        Need::Always(Kind::NODE),
        Need::Always(Kind::POD),
        Need::Always(Kind::DEPLOYMENT),
        Need::Always(Kind::STATEFUL_SET),
        Need::Always(Kind::PERSISTENT_VOLUME),
        Need::Always(Kind::PERSISTENT_VOLUME_CLAIM),
    ],
    run,
};

/// The label with the name of a node. *Source*: Kubernetes, "Well-Known Labels, Annotations and Taints".
const HOST: &str = "kubernetes.io/hostname";

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    [anti_affinity(scene), grace(scene), zonal(scene)].into_iter().flatten().collect()
}

fn nodes<'a>(scene: &Scene<'a>) -> impl Iterator<Item = &'a Node> {
    scene.snapshot.nodes.iter().filter(|node| platform(node).is_none())
}

const POD_ANTI_AFFINITY: Rule = Severity::Risk.rule(
    "pod-anti-affinity",
    "A required anti-affinity keeps pods of a workload apart, and no other place is left for one of them.",
    "An evicted pod stays Pending until its own node takes pods again. A budget may then refuse the next eviction.",
    "Add a node, or have one replica less for the time of the migration: kubectl -n x scale deployment/web --replicas=2.",
);

/// Workloads whose pods keep each other away from a node or a zone, with as many replicas as there are such places.
fn anti_affinity(scene: &Scene<'_>) -> Option<Finding> {
    let mut counted_subjects: Vec<(Subject, i32)> = Vec::new();
    for kind in [Kind::DEPLOYMENT, Kind::STATEFUL_SET] {
        for workload in scene.snapshot.workloads(kind) {
            let replicas = workload.spec.replicas.unwrap_or(1);
            let stuck =
                keys(workload).into_iter().find_map(|key| stuck_reason(scene, workload, replicas, &key));
            counted_subjects.extend(
                stuck.map(|detail| (Subject::from_meta(kind, &workload.metadata).detail(detail), replicas)),
            );
        }
    }
    let command = |(subject, replicas): &(Subject, i32)| {
        let (namespace, kind, name) = (&subject.namespace, subject.kind.to_lowercase(), &subject.name);
        format!("kubectl -n {namespace} scale {kind}/{name} --replicas={}", replicas - 1)
    };
    let commands: Vec<String> = counted_subjects.iter().map(command).collect();
    let fix = format!(
        "Add a node to the place that the workload needs, or have one replica less for the time of the migration: {}. Or prefer the anti-affinity instead of requiring it. Or let these pods come back on their own node, without a cordon (roll: {{methods: {{POOL: churn}}}} in the settings file).",
        commands.join("; ")
    );
    (!counted_subjects.is_empty()).then(|| {
        let subjects = counted_subjects.into_iter().map(|(subject, _)| subject);
        Finding::new(&POD_ANTI_AFFINITY).fix(fix).with_objects(subjects)
    })
}

/// The labels of nodes by which the pods of a workload are apart from each other.
fn keys(workload: &Workload) -> BTreeSet<String> {
    let template = &workload.spec.template;
    let pointer = "/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    let terms = template.spec.affinity.as_ref().and_then(|all| all.pointer(pointer)?.as_array().cloned());
    let is_own = |term: &Value| {
        let selector = term
            .get("labelSelector")
            .cloned()
            .and_then(|object| serde_json::from_value::<Selector>(object).ok());
        selector.is_some_and(|selector| selector.selects(&template.metadata.labels))
    };
    let own = terms.into_iter().flatten().filter(is_own);
    own.filter_map(|term| Some(term.get("topologyKey")?.as_str()?.to_owned())).collect()
}

/// Why an evicted pod finds no place, in words.
fn stuck_reason(scene: &Scene<'_>, workload: &Workload, replicas: i32, key: &str) -> Option<String> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for node in
        nodes(scene).filter(|node| Place::from_node(node).refusal(&workload.spec.template.spec).is_none())
    {
        let value = node.metadata.label(key).or_else(|| (key == HOST).then(|| node.name()));
        *places.entry(value?).or_default() += 1;
    }
    let count = i32::try_from(places.len()).unwrap_or(i32::MAX);
    // Another node of the same zone can take the pod, if there is one.
    let is_alone = places.values().any(|nodes| *nodes == 1);
    let take_back = nodes(scene).all(|node| takes_back(scene, node));
    (replicas > 1 && replicas >= count && is_alone && !take_back)
        .then(|| format!("{replicas} replicas, {count} values of {key} among nodes that may run them"))
}

const POD_GRACE_LONG: Rule = Severity::Risk.rule(
    "pod-grace-long",
    "A pod may take longer to stop than a run waits for its node (`roll.limits.moveSeconds`).",
    "A run that waits longer for a node calls it stuck and stops. A pod that is drained by its own program, such as a database or a queue, often takes all of its time.",
    "roll: {limits: {moveSeconds: 7980}} in the settings file.",
);

/// Pods that may take longer to stop than `roll.limits.moveSeconds`.
fn grace(scene: &Scene<'_>) -> Option<Finding> {
    let limit = scene.config.roll.limits.move_seconds;
    let mut most = 0;
    let mut objects = Vec::new();
    for group in groups(scene.snapshot) {
        let pods = group.pods.iter().filter(|pod| is_movable(pod));
        let longest = pods.filter_map(|pod| pod.spec.termination_grace_period_seconds).max().unwrap_or(0);
        if longest > i64::from(limit) {
            most = most.max(longest);
            objects.push(group.owner.subject().detail(format!("{longest} s")));
        }
    }
    let what = format!(
        "Pods may take longer to stop than the {limit} s within which a node's pods must have moved."
    );
    let fix = match u32::try_from(most.saturating_add(most / 10).saturating_add(60)) {
        Ok(seconds) => format!(
            "Let a run wait longer than the longest of them: roll: {{limits: {{moveSeconds: {seconds}}}}} in the settings file."
        ),
        Err(_) => format!(
            "Set terminationGracePeriodSeconds of these pods to {limit} at most: no run can wait for {most} s."
        ),
    };
    (!objects.is_empty()).then(|| Finding::new(&POD_GRACE_LONG).what(what).fix(fix).with_objects(objects))
}

const POD_ZONAL_VOLUME: Rule = Severity::Risk.rule(
    "pod-zonal-volume",
    "Pods have volumes of a zone in which no other node may run them.",
    "An evicted pod stays Pending until its own node takes pods again: the volume does not leave its zone.",
    "Add a node to the zone of each volume before its pod's node has its turn. Or let these pods come back on their own node, without a cordon (roll: {methods: {POOL: churn}} in the settings file).",
);

/// Pods whose volume is in a zone with one node that may run them.
fn zonal(scene: &Scene<'_>) -> Option<Finding> {
    let volumes: HashMap<&str, &Value> = scene
        .snapshot
        .objects(Kind::PERSISTENT_VOLUME)
        .iter()
        // Volumes of one node are found as pod-local-volume.
        .filter(|volume| {
            volume.pointer("/spec/local").is_none() && volume.pointer("/spec/hostPath").is_none()
        })
        .filter_map(|volume| Some((volume.name(), volume.pointer("/spec/nodeAffinity/required")?)))
        .filter(|(_, required)| !required.to_string().contains(HOST))
        .collect();
    let claims: HashMap<(&str, &str), &str> = scene
        .snapshot
        .objects(Kind::PERSISTENT_VOLUME_CLAIM)
        .iter()
        .filter_map(|claim| Some(((claim.namespace(), claim.name()), claim.text("/spec/volumeName")?)))
        .filter(|(_, volume)| volumes.contains_key(volume))
        .collect();
    let mut details: BTreeMap<Owner<'_>, String> = BTreeMap::new();
    for pod in scene.snapshot.pods.iter().filter(|pod| !claims.is_empty() && is_movable(pod)) {
        let matching =
            pod.spec.volumes.iter().filter(|volume| volume.source.as_ref() == "persistentVolumeClaim");
        for volume in matching.filter_map(|volume| claims.get(&(pod.namespace(), volume.target.as_deref()?)))
        {
            let affinity =
                json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": volumes[volume]}});
            let spec = PodSpec {
                affinity: Some(Arc::new(affinity)),
                node_selector: Arc::clone(&pod.spec.node_selector),
                tolerations: Arc::clone(&pod.spec.tolerations),
                ..PodSpec::default()
            };
            // Its own node is one of them where it takes its pods back.
            let takes = |node: &&Node| node.name() != pod.spec.node_name.as_ref() || takes_back(scene, node);
            if !nodes(scene).filter(takes).any(|node| Place::from_node(node).refusal(&spec).is_none()) {
                details
                    .entry(owner(pod))
                    .or_insert_with(|| format!("{} on {} has {volume}", pod.name(), pod.spec.node_name));
            }
        }
    }
    (!details.is_empty()).then(|| {
        let subjects = details.into_iter().map(|(owner, detail)| owner.subject().detail(detail));
        Finding::new(&POD_ZONAL_VOLUME).with_objects(subjects)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, objects};

    const NODES: &str = "apiVersion: v1\nkind: Node\nmetadata: {name: a, labels: {topology.kubernetes.io/zone: z1}}\n---\n\
        apiVersion: v1\nkind: Node\nmetadata: {name: b, labels: {topology.kubernetes.io/zone: z1}}\n---\n\
        apiVersion: v1\nkind: Node\nmetadata: {name: c, labels: {topology.kubernetes.io/zone: z2}}\n---\n";

    #[test]
    fn a_required_anti_affinity_needs_one_place_more_than_replicas() {
        let workload_case = |replicas: u32, how: &str, key: &str, label: &str| {
            let term = format!("{{topologyKey: {key}, labelSelector: {{matchLabels: {{app: {label}}}}}}}");
            let term = if how.starts_with("required") {
                term
            } else {
                format!("{{weight: 1, podAffinityTerm: {term}}}")
            };
            let workload = format!(
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: x}}\nspec: {{replicas: {replicas}, template: {{metadata: {{labels: {{app: web}}}}, spec: {{affinity: {{podAntiAffinity: {{{how}DuringSchedulingIgnoredDuringExecution: [{term}]}}}}}}}}}}\n"
            );
            Case::from_yaml(&format!("{NODES}{workload}"))
        };
        let zone = "topology.kubernetes.io/zone";
        for (replicas, how, key, label, is_found) in [
            (3, "required", HOST, "web", true),
            (2, "required", HOST, "web", false),
            (3, "preferred", HOST, "web", false),
            // It keeps away from others only.
            (3, "required", HOST, "db", false),
            // z1 has a second node, z2 has none.
            (2, "required", zone, "web", true),
            (1, "required", zone, "web", false),
        ] {
            let codes = workload_case(replicas, how, key, label).codes(&CHECK);
            assert_eq!(
                codes,
                &["pod-anti-affinity"][usize::from(!is_found)..],
                "{replicas} {how} {key} {label}"
            );
        }
        let finding = workload_case(3, "required", HOST, "web").finding(&CHECK, "pod-anti-affinity");
        let detail =
            "Deployment/x/web: 3 replicas, 3 values of kubernetes.io/hostname among nodes that may run them";
        assert_eq!(objects(&finding), [detail]);
        assert!(finding.fix.contains("kubectl -n x scale deployment/web --replicas=2"), "{}", finding.fix);
    }

    #[test]
    fn a_run_waits_for_the_longest_grace_period() {
        let pod = |seconds: u32| {
            Case::from_yaml(&format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: a, namespace: x}}\nspec: {{terminationGracePeriodSeconds: {seconds}}}\n"
            ))
        };
        assert_eq!(pod(1801).codes(&CHECK), ["pod-grace-long"]);
        assert!(pod(1800).codes(&CHECK).is_empty());
        let finding = pod(7200).finding(&CHECK, "pod-grace-long");
        assert!(finding.fix.contains("moveSeconds: 7980"), "{}", finding.fix);
        assert!(pod(7200).config("roll: {limits: {moveSeconds: 7980}}").codes(&CHECK).is_empty());
    }

    #[test]
    fn a_volume_needs_a_second_node_in_its_zone() {
        let volume_case = |node: &str, zone: &str, owner: &str| {
            let rule = format!("{{key: topology.kubernetes.io/zone, operator: In, values: [{zone}]}}");
            Case::from_yaml(&format!(
                "{NODES}apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: pv}}\nspec: {{csi: {{driver: d}}, nodeAffinity: {{required: {{nodeSelectorTerms: [{{matchExpressions: [{rule}]}}]}}}}}}\n---\n\
                 apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: data, namespace: x}}\nspec: {{volumeName: pv}}\n---\n\
                 apiVersion: v1\nkind: Pod\nmetadata: {{name: db-0, namespace: x, ownerReferences: [{{kind: {owner}, name: db, controller: true}}]}}\n\
                 spec: {{nodeName: {node}, volumes: [{{name: d, persistentVolumeClaim: {{claimName: data}}}}]}}\n"
            ))
        };
        assert_eq!(
            objects(&volume_case("c", "z2", "StatefulSet").finding(&CHECK, "pod-zonal-volume")),
            ["StatefulSet/x/db: db-0 on c has pv"]
        );
        assert!(volume_case("a", "z1", "StatefulSet").codes(&CHECK).is_empty());
        assert!(volume_case("c", "z2", "DaemonSet").codes(&CHECK).is_empty());
    }
}
