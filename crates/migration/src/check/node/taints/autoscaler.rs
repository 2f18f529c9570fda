//! Whether autoscalers know a start-up taint.

use serde_json::Value;
use snapshot::model::{Kind, Taint, Text, Workload};
use types::text::quote::shell_word;

use crate::check::Scene;
use crate::check::finding::{Finding, Severity, Subject};

/// Prefixes of taints that the cluster autoscaler knows by themselves. *Source*: cluster-autoscaler 1.29, release notes.
const KNOWN: [&str; 2] =
    ["startup-taint.cluster-autoscaler.kubernetes.io/", "ignore-taint.cluster-autoscaler.kubernetes.io/"];
/// The flags that name one. The second is the only one before 1.29.
const FLAGS: [&str; 2] = ["--startup-taint", "--ignore-taint"];

/// NodePools that do not declare the taint, or declare it as one that stays.
///
/// *Source*: Karpenter 1.14, "NodePools", `spec.template.spec.startupTaints`.
pub(super) fn karpenter(scene: &Scene<'_>, taint: &Taint) -> Option<Finding> {
    let mut objects = Vec::new();
    for pool in scene.snapshot.objects(Kind::KARPENTER_NODE_POOL) {
        let declares = |pointer: &str| {
            let is = |object: &serde_json::Value| {
                object["key"].as_str() == Some(&taint.key) && object["effect"].as_str() == Some(&taint.effect)
            };
            pool.list(pointer).iter().any(is)
        };
        let subject = Subject::new(Kind::KARPENTER_NODE_POOL, pool.name());
        if declares("/spec/template/spec/taints") {
            objects.push(subject.detail(format!("{} is in taints, as one that stays", taint.key)));
        } else if !declares("/spec/template/spec/startupTaints") {
            objects.push(subject.detail(format!("{} is not in startupTaints", taint.key)));
        }
    }
    let patch = |item: &Subject| {
        let (key, effect) = (Value::from(&*taint.key), Value::from(&*taint.effect));
        let patch = format!(
            r#"{{"spec":{{"template":{{"spec":{{"startupTaints":[{{"key":{key},"effect":{effect}}}]}}}}}}}}"#
        );
        format!("kubectl patch nodepool {} --type merge -p {}", item.name, shell_word(&patch))
    };
    let fix = objects.iter().map(patch).collect::<Vec<_>>().join("; ");
    (!objects.is_empty()).then(|| {
        Finding::new(
            "karpenter-startup-taint",
            Severity::Risk,
            format!("NodePools of Karpenter do not declare the start-up taint {}:{}.", taint.key, taint.effect),
            "Karpenter believes that pods can never run on a node with this taint, and launches more nodes for the same pods: about two of three launches are redundant. A taint that stays keeps it from launching any.",
            format!("Add it to the startupTaints that are there (a merge patch replaces the list), and remove it from taints: {fix}"),
        )
        .about(objects)
    })
}

/// The cluster autoscaler without a flag for the taint.
pub(super) fn cluster_autoscaler(scene: &Scene<'_>, taint: &Taint) -> Option<Finding> {
    if KNOWN.iter().any(|prefix| taint.key.starts_with(prefix)) {
        return None;
    }
    let is_one = |workload: &&Workload| workload.name().contains("cluster-autoscaler");
    let lacks = |workload: &&Workload| {
        let containers = workload.spec.template.spec.containers.iter();
        let words: Vec<&Text> =
            containers.flat_map(|container| container.command.iter().chain(&container.args)).collect();
        // Without any flag its command was not dumped, and nothing is known.
        !words.is_empty()
            && !words
                .iter()
                .zip(words.iter().skip(1).map(Some).chain([None]))
                .any(|(word, next)| names(word, next.copied(), taint))
    };
    let found: Vec<&Workload> =
        scene.snapshot.workloads(Kind::DEPLOYMENT).iter().filter(is_one).filter(lacks).collect();
    let objects: Vec<Subject> =
        found.iter().map(|workload| Subject::of(Kind::DEPLOYMENT, &workload.metadata)).collect();
    let fix = objects.iter().map(|subject| {
        format!(
            "kubectl -n {} edit deployment {}, and add the argument {}={}",
            subject.namespace,
            subject.name,
            FLAGS[0],
            shell_word(&taint.key)
        )
    });
    let fix = fix.collect::<Vec<_>>().join("; ");
    (!objects.is_empty()).then(|| {
        Finding::new(
            "autoscaler-startup-taint",
            Severity::Risk,
            format!("The cluster autoscaler does not know the start-up taint {}.", taint.key),
            "It takes the taint into its picture of a new node, concludes that waiting pods would not fit there, and stops adding nodes while the migration needs them.",
            format!("{fix} (before version 1.29: {}).", FLAGS[1]),
        )
        .about(objects)
    })
}

/// Whether a word of a command line, or this word and the next, name the taint.
fn names(word: &str, next: Option<&Text>, taint: &Taint) -> bool {
    FLAGS.iter().any(|flag| {
        let value = match word.strip_prefix(flag) {
            Some("") => next.map(AsRef::as_ref),
            Some(rest) => rest.strip_prefix('='),
            None => None,
        };
        value == Some(&*taint.key)
    })
}
