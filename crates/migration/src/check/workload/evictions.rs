//! Pods that a drain does not move, or that lose something when it does.

use snapshot::model::{Kind, Pod};
use std::collections::BTreeMap;
use types::api::eviction::STAY;

use crate::check::Scene;
use crate::check::finding::{Finding, Severity, Subject};
use crate::check::{Check, Need};
use crate::workload::{Group, asks_to_stay, groups, has_empty_dir, is_bound_to_node, is_movable};

/// The codes of [`finding`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case", const_into_str)]
enum Code {
    JobRunning,
    PodEmptyDir,
    PodRefusesEviction,
    PodStatic,
    PodStuck,
    PodWithoutOwner,
    WorkloadNotReady,
    WorkloadSingle,
}

pub(in crate::check) const CHECK: Check = Check {
    name: "evictions",
    codes: &[
        (Code::JobRunning.into_str(), "a Job's pod starts again from the beginning when it is evicted"),
        (Code::PodEmptyDir.into_str(), "pods lose the data of an emptyDir when they are evicted"),
        (Code::PodRefusesEviction.into_str(), "an annotation asks not to disrupt a pod"),
        (Code::PodStatic.into_str(), "a static pod with pod network cannot be evicted"),
        (Code::PodStuck.into_str(), "a pod is pending or terminating already now"),
        (Code::PodWithoutOwner.into_str(), "no controller creates a pod again when it is evicted"),
        (Code::WorkloadNotReady.into_str(), "a workload is not ready already now"),
        (Code::WorkloadSingle.into_str(), "a workload has one replica, so each eviction is an outage"),
    ],
    needs: &[Need::Always(Kind::POD), Need::Always(Kind::DEPLOYMENT), Need::Always(Kind::STATEFUL_SET)],
    run,
};

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let mut subjects_by_code: BTreeMap<Code, Vec<Subject>> = BTreeMap::new();
    for group in groups(scene.snapshot) {
        for (code, pods) in classes(&group) {
            let subject = group.owner.subject();
            let subject =
                if group.owner.kind == "Pod" { subject } else { subject.detail(describe_pod_count(pods)) };
            subjects_by_code.entry(code).or_default().push(subject);
        }
    }
    for kind in [Kind::DEPLOYMENT, Kind::STATEFUL_SET] {
        for workload in scene.snapshot.workloads(kind) {
            let (desired, ready) = (workload.spec.replicas.unwrap_or(1), workload.status.ready_replicas);
            let subject = Subject::from_meta(kind, &workload.metadata);
            if ready < desired {
                subjects_by_code
                    .entry(Code::WorkloadNotReady)
                    .or_default()
                    .push(subject.detail(format!("{ready} of {desired} replicas are ready")));
            } else if desired == 1 && !workload.spec.template.spec.host_network {
                subjects_by_code.entry(Code::WorkloadSingle).or_default().push(subject);
            }
        }
    }
    subjects_by_code.into_iter().map(|(code, subjects)| finding(code, subjects)).collect()
}

fn describe_pod_count(pods: usize) -> String {
    if pods == 1 { "1 pod".into() } else { format!("{pods} pods") }
}

/// Which classes the pods of a group are in, and how many are.
fn classes(group: &Group<'_>) -> Vec<(Code, usize)> {
    let count = |belongs: &dyn Fn(&Pod) -> bool| group.pods.iter().filter(|pod| belongs(pod)).count();
    let is_stuck =
        |pod: &Pod| pod.metadata.deletion_timestamp.is_some() || pod.status.phase.as_ref() == "Pending";
    let all = [
        (Code::JobRunning, count(&|_| group.owner.kind == "Job")),
        (Code::PodEmptyDir, count(&|pod| is_movable(pod) && has_empty_dir(pod))),
        (Code::PodRefusesEviction, count(&|pod| !is_bound_to_node(pod) && asks_to_stay(pod))),
        (Code::PodStatic, count(&|pod| pod.is_static() && !pod.spec.host_network)),
        (Code::PodStuck, count(&is_stuck)),
        (Code::PodWithoutOwner, count(&|pod| group.owner.kind == "Pod" && !pod.is_static())),
    ];
    all.into_iter().filter(|(_, pods)| *pods > 0).collect()
}

/// How many commands a fix spells out.
const SPELT: usize = 12;

fn spell_commands(subjects: &[Subject], command: impl Fn(&Subject) -> String) -> String {
    let mut all: Vec<String> = subjects.iter().take(SPELT).map(command).collect();
    if subjects.len() > SPELT {
        all.push(format!("and so for {} more", subjects.len() - SPELT));
    }
    all.join("; ")
}

/// A finding in words. It is long because it is a table: one row for each code.
fn finding(code: Code, subjects: Vec<Subject>) -> Finding {
    let (severity, what, why, fix) = match code {
        Code::JobRunning => (
            Severity::Note,
            "Jobs are running.",
            "An evicted pod of a Job starts again from the beginning, and counts as a failure of the Job unless its podFailurePolicy says otherwise.",
            format!("Let them end, or suspend what starts more of them: {}", spell_commands(&subjects, |subject| format!("kubectl -n {} get job {} -w", subject.namespace, subject.name))),
        ),
        Code::PodEmptyDir => (
            Severity::Note,
            "Pods have an emptyDir, whose data an eviction deletes.",
            "Caches fill again. Anything else that is only there is lost without a message.",
            "Look at what each of them keeps there; move what must last to a PersistentVolumeClaim. Draining by hand needs kubectl drain --delete-emptydir-data.".to_owned(),
        ),
        Code::PodRefusesEviction => (
            Severity::Risk,
            "Pods ask not to be disrupted.",
            "The migration waits at their nodes until the pods are gone or the operator names them. Karpenter and the cluster autoscaler keep such nodes for ever.",
            format!(
                "Ask their owners for a time, then remove the annotation: {}",
                spell_commands(&subjects, |subject| {
                    let target = subject.kind.to_lowercase();
                    let keys = STAY.map(|(key, _)| format!("{key}-")).join(" ");
                    if subject.kind == "Pod" {
                        format!("kubectl -n {} annotate pod {} {keys}", subject.namespace, subject.name)
                    } else {
                        format!("kubectl -n {} edit {target} {} (spec.template.metadata.annotations)", subject.namespace, subject.name)
                    }
                })
            ),
        ),
        Code::PodStatic => (
            Severity::Risk,
            "Static pods use the pod network.",
            "kubelet reads them from a file of the node, so an eviction only deletes their mirror, and they keep the address of the old network until their file changes.",
            "On the node, move the file out of the directory for static pods and back (staticPodPath of kubelet's configuration), after the node's turn. Or set hostNetwork: true in the file.".to_owned(),
        ),
        Code::PodStuck => (
            Severity::Risk,
            "Pods are pending or terminating already now.",
            "A pod that does not start or end before the migration will not during it, and the node that it is on never becomes empty.",
            format!("Find out why: {}", spell_commands(&subjects, |subject| format!("kubectl -n {} get pods -o wide | grep {}", subject.namespace, subject.name))),
        ),
        Code::PodWithoutOwner => (
            Severity::Risk,
            "Pods have no owner.",
            "No controller creates such a pod again. The migration waits at its node until the operator deletes it.",
            format!("Make a Deployment of each, or delete them before their nodes' turn: {}", spell_commands(&subjects, |subject| format!("kubectl -n {} delete pod {}", subject.namespace, subject.name))),
        ),
        Code::WorkloadNotReady => (
            Severity::Risk,
            "Workloads are not ready already now.",
            "What is broken before the migration cannot be told from what it breaks, and every gate that watches these workloads stays red.",
            format!("Repair or scale them to what runs: {}", spell_commands(&subjects, |subject| format!("kubectl -n {} rollout status {}/{} --timeout=1s", subject.namespace, subject.kind.to_lowercase(), subject.name))),
        ),
        Code::WorkloadSingle => (
            Severity::Note,
            "Workloads have one replica.",
            "No pod serves while their only one moves to another node.",
            format!("Where that matters, add a replica for the time of the migration: {}", spell_commands(&subjects, |subject| format!("kubectl -n {} scale {}/{} --replicas=2", subject.namespace, subject.kind.to_lowercase(), subject.name))),
        ),
    };
    Finding::new(code.into_str(), severity, what, why, fix).with_objects(subjects)
}

#[cfg(test)]
mod tests;
