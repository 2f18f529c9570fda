//! Volumes that exist on one node only.

use std::collections::{BTreeMap, HashMap};

use snapshot::model::{Kind, Object, Pod};

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity};
use crate::check::{Check, Need};
use crate::workload::{Owner, is_movable, owner, takes_back};

pub(in crate::check) const CHECK: Check = Check {
    name: "volumes",
    rules: &[&POD_LOCAL_VOLUME],
    needs: &[
        Need::Always(Kind::NODE),
        Need::Always(Kind::POD),
        Need::Always(Kind::PERSISTENT_VOLUME),
        Need::Always(Kind::PERSISTENT_VOLUME_CLAIM),
    ],
    run,
};

const POD_LOCAL_VOLUME: Rule = Severity::Risk.rule(
    "pod-local-volume",
    "Pods have volumes that only their node has.",
    "No other node can take such a pod: it stays Pending while its node is cordoned. Where nodes are replaced, its data goes with the node.",
    "For nodes that stay, let these pods come back on their node, after its turn and without a cordon (roll: {methods: {POOL: churn}} in the settings file). Before nodes are replaced, copy the data to a volume that can move.",
);

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let volumes = scene.snapshot.objects(Kind::PERSISTENT_VOLUME).iter().filter(|volume| is_local(volume));
    let local: HashMap<&str, &Object> = volumes.map(|volume| (volume.name(), volume)).collect();
    let claims = scene.snapshot.objects(Kind::PERSISTENT_VOLUME_CLAIM).iter();
    let claims: HashMap<(&str, &str), &str> = claims
        .filter_map(|claim| Some(((claim.namespace(), claim.name()), claim.text("/spec/volumeName")?)))
        .filter(|(_, volume)| local.contains_key(volume))
        .collect();
    if claims.is_empty() {
        return Vec::new();
    }
    let mut details: BTreeMap<Owner<'_>, String> = BTreeMap::new();
    // Where a node stays and its pods are evicted without a cordon, they come back to it and to their volumes.
    let comes_back = |pod: &Pod| {
        let node = scene.snapshot.nodes.iter().find(|node| node.name() == &*pod.spec.node_name);
        node.is_some_and(|node| takes_back(scene, node))
    };
    for pod in scene.snapshot.pods.iter().filter(|pod| is_movable(pod)) {
        let matching =
            pod.spec.volumes.iter().filter(|volume| volume.source.as_ref() == "persistentVolumeClaim");
        let mut names =
            matching.filter_map(|volume| claims.get(&(pod.namespace(), volume.target.as_deref()?)));
        if let Some(volume) = names.next().filter(|_| !comes_back(pod)) {
            details
                .entry(owner(pod))
                .or_insert_with(|| format!("{} on {} has {volume}", pod.name(), pod.spec.node_name));
        }
    }
    if details.is_empty() {
        return Vec::new();
    }
    let finding = Finding::new(&POD_LOCAL_VOLUME);
    vec![finding.with_objects(details.into_iter().map(|(owner, detail)| owner.subject().detail(detail)))]
}

/// The volume is a directory or a disk of a node, or bound to a node by name.
fn is_local(volume: &Object) -> bool {
    let by_name = || {
        let terms = volume.list("/spec/nodeAffinity/required/nodeSelectorTerms").iter();
        let rules = terms.filter_map(|term| term.get("matchExpressions")?.as_array()).flatten();
        rules.into_iter().any(|rule| rule["key"] == "kubernetes.io/hostname")
    };
    volume.pointer("/spec/local").is_some() || volume.pointer("/spec/hostPath").is_some() || by_name()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, objects};

    #[test]
    fn a_volume_of_one_node_keeps_its_pod_there() {
        let zone = "nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: KEY, operator: In, values: [a]}]}]}}";
        for (spec, kind, is_found) in [
            ("local: {path: /data}".to_owned(), "StatefulSet", true),
            ("hostPath: {path: /data}".to_owned(), "StatefulSet", true),
            ("csi: {driver: d}".to_owned(), "StatefulSet", false),
            (zone.replace("KEY", "kubernetes.io/hostname"), "StatefulSet", true),
            (zone.replace("KEY", "topology.kubernetes.io/zone"), "StatefulSet", false),
            ("local: {path: /data}".to_owned(), "DaemonSet", false),
        ] {
            let yaml = format!(
                "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: pv}}\nspec: {{{spec}}}\n---\n\
                 apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: data-db-0, namespace: x}}\nspec: {{volumeName: pv}}\n---\n\
                 apiVersion: v1\nkind: Pod\nmetadata: {{name: db-0, namespace: x, ownerReferences: [{{kind: {kind}, name: db, controller: true}}]}}\n\
                 spec: {{nodeName: a, volumes: [{{name: d, persistentVolumeClaim: {{claimName: data-db-0}}}}]}}\n"
            );
            let case = Case::from_yaml(&yaml);
            assert_eq!(case.codes(&CHECK), &["pod-local-volume"][usize::from(!is_found)..], "{spec} {kind}");
            if is_found {
                assert_eq!(
                    objects(&case.finding(&CHECK, "pod-local-volume")),
                    ["StatefulSet/x/db: db-0 on a has pv"]
                );
            }
            assert!(
                Case::from_yaml(
                    &yaml.replace("namespace: x}\nspec: {volumeName", "namespace: other}\nspec: {volumeName")
                )
                .codes(&CHECK)
                .is_empty()
            );
        }
    }
}
