//! Stateful workloads that move in the order of the settings.

use std::collections::BTreeMap;

use snapshot::model::Kind;

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::config::{Member, Method};

pub(in crate::check) const CHECK: Check = Check {
    name: "stateful",
    rules: &[&FREEZE_NOT_FOUND, &FREEZE_SCALED_BY_OTHERS, &FREEZE_TWICE, &STATEFUL_WITHOUT_GROUP],
    needs: &[
        Need::Always(Kind::STATEFUL_SET),
        Need::Always(Kind::DEPLOYMENT),
        Need::Always(Kind::HORIZONTAL_POD_AUTOSCALER),
    ],
    run,
};

const FREEZE_NOT_FOUND: Rule = Severity::Blocks.rule(
    "freeze-not-found",
    "Members of freeze groups do not exist.",
    "The workload that is meant would move in the midst of all others, without its order.",
    "Correct freeze[].members in the settings file.",
);

const FREEZE_SCALED_BY_OTHERS: Rule = Severity::Blocks.rule(
    "freeze-scaled-by-others",
    "Workloads that the settings scale to 0 are scaled by another controller, too.",
    "An operator or an autoscaler scales them back while their nodes move.",
    "Use method: ordinals in the settings file, or pause the operator or the autoscaler for the time of the migration.",
);

const FREEZE_TWICE: Rule = Severity::Blocks.rule(
    "freeze-twice",
    "Workloads are in more than one freeze group, or twice in one.",
    "They would move twice, and the order between the groups means nothing.",
    "Leave each workload in one place of freeze in the settings file.",
);

const STATEFUL_WITHOUT_GROUP: Rule = Severity::Note.rule(
    "stateful-without-group",
    "StatefulSets with several replicas are in no freeze group.",
    "They move one pod at a time, each Ready before the next, but in no order among each other. A database and what coordinates it may then be between two networks at once.",
    "If the order matters: freeze: [{name: GROUP, members: [{namespace: NAMESPACE, name: NAME}]}] in the settings file, in the order in which they go down.",
);

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let mut groups: BTreeMap<&Member, Vec<&str>> = BTreeMap::new();
    let (mut absent, mut scaled) = (Vec::new(), Vec::new());
    for group in &scene.config.freeze {
        for member in &group.members {
            groups.entry(member).or_default().push(&group.name);
            if !exists(scene, member) {
                absent.push(subject(member).detail(nearest_name(scene, member, &group.name)));
            } else if group.method == Method::Scale {
                scaled.extend(scaler(scene, member).map(|scaler| subject(member).detail(scaler)));
            }
        }
    }
    let twice = groups
        .iter()
        .filter(|(_, names)| names.len() > 1)
        .map(|(member, names)| subject(member).detail(names.join(", ")));
    let twice: Vec<Subject> = twice.collect();
    let is_free = |namespace: &str, name: &str| {
        !groups.keys().any(|candidate| candidate.namespace == namespace && candidate.name == name)
    };
    let sets = scene.snapshot.workloads(Kind::STATEFUL_SET).iter();
    let free = sets.filter(|workload| {
        workload.spec.replicas.unwrap_or(1) > 1 && is_free(workload.namespace(), workload.name())
    });
    let free: Vec<Subject> =
        free.map(|workload| Subject::from_meta(Kind::STATEFUL_SET, &workload.metadata)).collect();
    let all = [
        (&FREEZE_NOT_FOUND, absent),
        (&FREEZE_SCALED_BY_OTHERS, scaled),
        (&FREEZE_TWICE, twice),
        (&STATEFUL_WITHOUT_GROUP, free),
    ];
    all.into_iter()
        .filter(|(_, subjects)| !subjects.is_empty())
        .map(|(rule, subjects)| finding(rule, subjects))
        .collect()
}

fn subject(member: &Member) -> Subject {
    Subject { namespace: member.namespace.clone(), ..Subject::new(member.kind.kind(), &member.name) }
}

fn exists(scene: &Scene<'_>, member: &Member) -> bool {
    let all = scene.snapshot.workloads(member.kind.kind());
    all.iter().any(|workload| workload.namespace() == member.namespace && workload.name() == member.name)
}

/// The group, and what has this name elsewhere.
fn nearest_name(scene: &Scene<'_>, member: &Member, group: &str) -> String {
    let mut same = [Kind::STATEFUL_SET, Kind::DEPLOYMENT].into_iter().flat_map(|kind| {
        scene
            .snapshot
            .workloads(kind)
            .iter()
            .filter(|workload| workload.name() == member.name)
            .map(move |workload| Subject::from_meta(kind, &workload.metadata))
    });
    let hint = same.next().map(|subject| format!("; did you mean {subject}?")).unwrap_or_default();
    format!("in group {group}{hint}")
}

/// Who else decides on the number of replicas.
fn scaler(scene: &Scene<'_>, member: &Member) -> Option<String> {
    let kind = member.kind.kind().name();
    let scales_workload = |hpa: &&snapshot::model::Object| {
        let target = |key: &str| hpa.text(&format!("/spec/scaleTargetRef/{key}"));
        hpa.namespace() == member.namespace
            && target("kind") == Some(kind)
            && target("name") == Some(&member.name)
    };
    if let Some(hpa) = scene.snapshot.objects(Kind::HORIZONTAL_POD_AUTOSCALER).iter().find(scales_workload) {
        return Some(format!("HorizontalPodAutoscaler {}", hpa.name()));
    }
    let all = scene.snapshot.workloads(member.kind.kind());
    let workload = all
        .iter()
        .find(|candidate| candidate.namespace() == member.namespace && candidate.name() == member.name)?;
    workload.metadata.controller().map(|owner| format!("its owner {} {}", owner.kind, owner.name))
}

fn finding(rule: &'static Rule, subjects: Vec<Subject>) -> Finding {
    Finding::new(rule).fix(subjects[0].fill(rule.fix)).with_objects(subjects)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, objects};

    const SETS: &str = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: kafka, namespace: x}\nspec: {replicas: 3}\n---\n\
        apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: zoo, namespace: x, ownerReferences: [{kind: Zoo, name: z, controller: true}]}\nspec: {replicas: 3}\n---\n";
    const HPA: &str = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: h, namespace: x}\nspec: {scaleTargetRef: {kind: StatefulSet, name: kafka}}\n";

    fn codes(yaml: &str, config: &str) -> Vec<&'static str> {
        Case::from_yaml(yaml).config(config).codes(&CHECK)
    }

    #[test]
    fn groups_name_what_exists_once() {
        let both =
            "freeze: [{name: queue, members: [{namespace: x, name: kafka}, {namespace: x, name: zoo}]}]";
        assert!(codes(SETS, both).is_empty());
        assert_eq!(codes(SETS, ""), ["stateful-without-group"]);
        assert_eq!(
            codes(SETS, &both.replace("name: zoo", "name: zookeeper")),
            ["freeze-not-found", "stateful-without-group"]
        );
        assert_eq!(
            codes(SETS, &both.replace("name: zoo", "name: kafka")),
            ["freeze-twice", "stateful-without-group"]
        );
        let case =
            Case::from_yaml(SETS).config(&both.replace("namespace: x, name: zoo", "namespace: y, name: zoo"));
        let finding = case.finding(&CHECK, "freeze-not-found");
        assert_eq!(objects(&finding), ["StatefulSet/y/zoo: in group queue; did you mean StatefulSet/x/zoo?"]);
    }

    #[test]
    fn no_other_controller_scales_what_is_scaled_to_nothing() {
        let group = |method: &str, name: &str| {
            let other = if name == "zoo" { "kafka" } else { "zoo" };
            format!(
                "freeze: [{{name: a, method: {method}, members: [{{namespace: x, name: {name}}}]}}, {{name: b, members: [{{namespace: x, name: {other}}}]}}]"
            )
        };
        assert!(codes(SETS, &group("scale", "kafka")).is_empty());
        assert_eq!(codes(&[SETS, HPA].concat(), &group("scale", "kafka")), ["freeze-scaled-by-others"]);
        assert!(codes(&[SETS, HPA].concat(), &group("ordinals", "kafka")).is_empty());
        // An operator owns the other one.
        assert_eq!(codes(SETS, &group("scale", "zoo")), ["freeze-scaled-by-others"]);
    }

    #[test]
    fn one_replica_needs_no_group() {
        assert!(codes(&SETS.replace("replicas: 3", "replicas: 1"), "").is_empty());
    }
}
