//! Pods that a drain does not move, or that lose something when it does.

use snapshot::model::{Kind, Pod};
use std::collections::BTreeMap;
use types::api::eviction::STAY;

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::workload::{Group, asks_to_stay, groups, has_empty_dir, is_bound_to_node, is_movable};

pub(in crate::check) const CHECK: Check = Check {
    name: "evictions",
    rules: &[
        &JOB_RUNNING,
        &POD_EMPTY_DIR,
        &POD_REFUSES_EVICTION,
        &POD_STATIC,
        &POD_STUCK,
        &POD_WITHOUT_OWNER,
        &WORKLOAD_NOT_READY,
        &WORKLOAD_SINGLE,
    ],
    needs: &[Need::Always(Kind::POD), Need::Always(Kind::DEPLOYMENT), Need::Always(Kind::STATEFUL_SET)],
    run,
};

const JOB_RUNNING: Rule = Severity::Note.rule(
    "job-running",
    "Jobs are running.",
    "An evicted pod of a Job starts again from the beginning, and counts as a failure of the Job unless its podFailurePolicy says otherwise.",
    "Let them end, or suspend what starts more of them: `kubectl -n NAMESPACE get job NAME -w`",
);

const POD_EMPTY_DIR: Rule = Severity::Note.rule(
    "pod-empty-dir",
    "Pods have an emptyDir, whose data an eviction deletes.",
    "Caches fill again. Anything else that is only there is lost without a message.",
    "Look at what each of them keeps there; move what must last to a PersistentVolumeClaim. Draining by hand needs kubectl drain --delete-emptydir-data.",
);

const POD_REFUSES_EVICTION: Rule = Severity::Risk.rule(
    "pod-refuses-eviction",
    "Pods ask not to be disrupted.",
    "The migration waits at their nodes until the pods are gone or the operator names them. Karpenter and the cluster autoscaler keep such nodes for ever.",
    "Ask their owners for a time, then remove the annotation: `kubectl -n NAMESPACE edit KIND NAME (spec.template.metadata.annotations)`",
);

const POD_STATIC: Rule = Severity::Risk.rule(
    "pod-static",
    "Static pods use the pod network.",
    "kubelet reads them from a file of the node, so an eviction only deletes their mirror, and they keep the address of the old network until their file changes.",
    "On the node, move the file out of the directory for static pods and back (staticPodPath of kubelet's configuration), after the node's turn. Or set hostNetwork: true in the file.",
);

const POD_STUCK: Rule = Severity::Risk.rule(
    "pod-stuck",
    "Pods are pending or terminating already now.",
    "A pod that does not start or end before the migration will not during it, and the node that it is on never becomes empty.",
    "Find out why: `kubectl -n NAMESPACE get pods -o wide | grep NAME`",
);

const POD_WITHOUT_OWNER: Rule = Severity::Risk.rule(
    "pod-without-owner",
    "Pods have no owner.",
    "No controller creates such a pod again. The migration waits at its node until the operator deletes it.",
    "Make a Deployment of each, or delete them before their nodes' turn: `kubectl -n NAMESPACE delete pod NAME`",
);

const WORKLOAD_NOT_READY: Rule = Severity::Risk.rule(
    "workload-not-ready",
    "Workloads are not ready already now.",
    "What is broken before the migration cannot be told from what it breaks, and every gate that watches these workloads stays red.",
    "Repair or scale them to what runs: `kubectl -n NAMESPACE rollout status KIND/NAME --timeout=1s`",
);

const WORKLOAD_SINGLE: Rule = Severity::Note.rule(
    "workload-single",
    "Workloads have one replica.",
    "No pod serves while their only one moves to another node.",
    "Where that matters, add a replica for the time of the migration: `kubectl -n NAMESPACE scale KIND/NAME --replicas=2`",
);

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let mut subjects_by_rule: BTreeMap<&'static Rule, Vec<Subject>> = BTreeMap::new();
    for group in groups(scene.snapshot) {
        for (rule, pods) in classes(&group) {
            let subject = group.owner.subject();
            let subject =
                if group.owner.kind == "Pod" { subject } else { subject.detail(describe_pod_count(pods)) };
            subjects_by_rule.entry(rule).or_default().push(subject);
        }
    }
    for kind in [Kind::DEPLOYMENT, Kind::STATEFUL_SET] {
        for workload in scene.snapshot.workloads(kind) {
            let (desired, ready) = (workload.spec.replicas.unwrap_or(1), workload.status.ready_replicas);
            let subject = Subject::from_meta(kind, &workload.metadata);
            if ready < desired {
                subjects_by_rule
                    .entry(&WORKLOAD_NOT_READY)
                    .or_default()
                    .push(subject.detail(format!("{ready} of {desired} replicas are ready")));
            } else if desired == 1 && !workload.spec.template.spec.host_network {
                subjects_by_rule.entry(&WORKLOAD_SINGLE).or_default().push(subject);
            }
        }
    }
    subjects_by_rule.into_iter().map(|(rule, subjects)| finding(rule, subjects)).collect()
}

fn describe_pod_count(pods: usize) -> String {
    if pods == 1 { "1 pod".into() } else { format!("{pods} pods") }
}

/// Which classes the pods of a group are in, and how many are.
fn classes(group: &Group<'_>) -> Vec<(&'static Rule, usize)> {
    let count = |belongs: &dyn Fn(&Pod) -> bool| group.pods.iter().filter(|pod| belongs(pod)).count();
    let is_stuck =
        |pod: &Pod| pod.metadata.deletion_timestamp.is_some() || pod.status.phase.as_ref() == "Pending";
    let all = [
        (&JOB_RUNNING, count(&|_| group.owner.kind == "Job")),
        (&POD_EMPTY_DIR, count(&|pod| is_movable(pod) && has_empty_dir(pod))),
        (&POD_REFUSES_EVICTION, count(&|pod| !is_bound_to_node(pod) && asks_to_stay(pod))),
        (&POD_STATIC, count(&|pod| pod.is_static() && !pod.spec.host_network)),
        (&POD_STUCK, count(&is_stuck)),
        (&POD_WITHOUT_OWNER, count(&|pod| group.owner.kind == "Pod" && !pod.is_static())),
    ];
    all.into_iter().filter(|(_, pods)| *pods > 0).collect()
}

/// How many commands a fix spells out.
const SPELT: usize = 12;

fn finding(rule: &'static Rule, subjects: Vec<Subject>) -> Finding {
    let spelt = &subjects[..subjects.len().min(SPELT)];
    let keys = STAY.map(|(key, _)| format!("{key}-")).join(" ");
    let mut finding = Finding::new(rule).with_commands_by(spelt, |object, command| {
        // A pod without an owner has no template.
        let is_bare = rule == &POD_REFUSES_EVICTION && object.kind == "Pod";
        let annotate = format!("kubectl -n NAMESPACE annotate pod NAME {keys}");
        object.fill(if is_bare { &annotate } else { command })
    });
    if subjects.len() > SPELT && finding.fix != rule.fix {
        finding.fix += &format!("; and so for {} more", subjects.len() - SPELT);
    }
    finding.with_objects(subjects)
}

#[cfg(test)]
mod tests;
