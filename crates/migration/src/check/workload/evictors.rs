//! Programs that evict pods or reboot nodes beside a run.
//!
//! *Source*: kubernetes-sigs/descheduler, README (RemovePodsViolatingNodeTaints, LowNodeUtilization; Deployment, CronJob and Job); kured, "Operation" (the
//! lock that is taken by hand).

use std::collections::BTreeSet;

use serde_json::Value;
use snapshot::model::{Kind, PodSpec, Workload};

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::workload::owner;

pub(in crate::check) const CHECK: Check = Check {
    name: "evictors",
    rules: &[&DESCHEDULER, &KURED],
    needs: &[
        Need::Always(Kind::NODE),
        Need::Always(Kind::POD),
        Need::Always(Kind::DEPLOYMENT),
        Need::Always(Kind::DAEMON_SET),
    ],
    run,
};

/// The annotation of kured's DaemonSet with the lock without which it reboots no node.
const LOCK: &str = "weave.works/kured-node-lock";

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    [descheduler(scene), find_kured(scene)].into_iter().flatten().collect()
}

/// Whether a container runs a program, by the last part of its image's name.
fn runs(spec: &PodSpec, program: &str) -> bool {
    let is_evictor = |image: &str| {
        image
            .split('@')
            .next()
            .is_some_and(|name| name.rsplit('/').next().unwrap_or_default().starts_with(program))
    };
    spec.containers.iter().any(|container| is_evictor(&container.image))
}

const DESCHEDULER: Rule = Severity::Risk.rule(
    "descheduler",
    "A descheduler evicts pods of its own accord.\n\n\
     It is known by its image. A snapshot holds no CronJobs; the pods of their Jobs show them.",
    "It evicts pods from nodes that a run taints or fills, and they may start on nodes that have not moved yet: such a pod moves twice or more. Its evictions also use up the budgets for which the run waits.",
    r#"Suspend it until the run is done: kubectl -n kube-system scale deployment/descheduler --replicas=0, or of a CronJob kubectl -n kube-system patch cronjob descheduler --type merge -p '{"spec":{"suspend":true}}' and the deletion of its Jobs."#,
);

/// Deschedulers that run, and Jobs of one, which show a CronJob: a snapshot holds no CronJobs.
fn descheduler(scene: &Scene<'_>) -> Option<Finding> {
    let program = "descheduler";
    let (mut objects, mut stops, mut deletions) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for workload in scene.snapshot.workloads(Kind::DEPLOYMENT) {
        if workload.spec.replicas != Some(0) && runs(&workload.spec.template.spec, program) {
            let (namespace, name) = (workload.namespace(), workload.name());
            objects.push(Subject::from_meta(Kind::DEPLOYMENT, &workload.metadata));
            stops.insert(format!("kubectl -n {namespace} scale deployment/{name} --replicas=0"));
        }
    }
    let of_job = scene.snapshot.pods.iter().filter(|pod| runs(&pod.spec, program)).map(owner);
    for owner in of_job.filter(|owner| owner.kind == "Job") {
        let (namespace, name, job) = (owner.namespace, owner.name, owner.subject());
        let number =
            name.rsplit_once('-').filter(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit()));
        if let Some((cron, _)) = number {
            stops.insert(format!(
                r#"kubectl -n {namespace} patch cronjob {cron} --type merge -p '{{"spec":{{"suspend":true}}}}'"#
            ));
            objects.push(job.detail(format!("of CronJob {cron}")));
        } else {
            objects.push(job);
        }
        deletions.insert(format!("kubectl -n {namespace} delete job {name}"));
    }
    let commands: Vec<String> = stops.into_iter().chain(deletions).collect();
    let fix = format!("Suspend it until the run is done: {}", commands.join("; "));
    (!objects.is_empty()).then(|| Finding::new(&DESCHEDULER).fix(fix).with_objects(objects))
}

const KURED: Rule = Severity::Risk.rule(
    "kured",
    "kured drains and reboots nodes that need it.\n\n\
     It is not found while the lock is that of no node.",
    "It knows no limit of a run, so a node that it reboots and nodes that the run moves are away together. After the reboot it uncordons the node, also where the run has cordoned it.",
    r#"Hold its lock for the time of the run: `kubectl -n NAMESPACE annotate daemonset NAME weave.works/kured-node-lock='{"nodeID":"crossfade"}' --overwrite`. Remove the annotation when the run is done; kured reboots nothing before."#,
);

/// kured without a lock that is not a node's.
fn find_kured(scene: &Scene<'_>) -> Option<Finding> {
    let is_node = |name: &str| scene.snapshot.nodes.iter().any(|node| node.name() == name);
    let is_locked = |workload: &Workload| {
        let lock =
            workload.metadata.annotation(LOCK).and_then(|text| serde_json::from_str::<Value>(text).ok());
        lock.is_some_and(|lock| {
            lock["nodeID"].as_str().is_some_and(|name| !name.is_empty() && !is_node(name))
        })
    };
    let daemon_sets = scene.snapshot.workloads(Kind::DAEMON_SET).iter();
    let unlocked =
        daemon_sets.filter(|workload| runs(&workload.spec.template.spec, "kured") && !is_locked(workload));
    let objects: Vec<Subject> =
        unlocked.map(|workload| Subject::from_meta(Kind::DAEMON_SET, &workload.metadata)).collect();
    (!objects.is_empty()).then(|| Finding::new(&KURED).with_commands(&objects).with_objects(objects))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, objects};

    fn deployment(replicas: u32, image: &str) -> String {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: tidy, namespace: x}}\nspec: {{replicas: {replicas}, template: {{spec: {{containers: [{{name: c, image: \"{image}\"}}]}}}}}}\n---\n"
        )
    }

    #[test]
    fn a_descheduler_is_known_by_its_image() {
        for (replicas, image, is_found) in [
            (1, "registry.k8s.io/descheduler/descheduler:v0.33.0", true),
            (1, "mirror:5000/descheduler@sha256:0f", true),
            (0, "registry.k8s.io/descheduler/descheduler:v0.33.0", false),
            (1, "example.com/descheduler/dashboard:1", false),
        ] {
            let codes = Case::from_yaml(&deployment(replicas, image)).codes(&CHECK);
            assert_eq!(codes, &["descheduler"][..usize::from(is_found)], "{image}");
        }
    }

    #[test]
    fn a_job_of_a_descheduler_shows_its_cron_job() {
        let pod = |job: &str, image: &str| {
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: x, ownerReferences: [{{kind: Job, name: {job}, controller: true}}]}}\nspec: {{nodeName: a, containers: [{{name: c, image: {image}}}]}}\nstatus: {{phase: Succeeded}}\n---\n"
            )
        };
        let finding =
            Case::from_yaml(&pod("tidy-29123456", "r/descheduler:v1")).finding(&CHECK, "descheduler");
        assert_eq!(objects(&finding), ["Job/x/tidy-29123456: of CronJob tidy"]);
        assert!(finding.fix.contains("kubectl -n x patch cronjob tidy --type merge"), "{}", finding.fix);
        let alone = Case::from_yaml(&pod("tidy-once", "r/descheduler:v1")).finding(&CHECK, "descheduler");
        assert_eq!(objects(&alone), ["Job/x/tidy-once"]);
        assert!(Case::from_yaml(&pod("tidy-29123456", "r/web:v1")).codes(&CHECK).is_empty());
    }

    #[test]
    fn kured_reboots_nothing_while_another_than_a_node_has_its_lock() {
        let node = "apiVersion: v1\nkind: Node\nmetadata: {name: a}\n---\n";
        for (annotations, is_found) in [
            ("", true),
            ("weave.works/kured-node-lock: '{\"nodeID\":\"crossfade\"}'", false),
            ("weave.works/kured-node-lock: '{\"nodeID\":\"a\",\"created\":\"2026-01-01T00:00:00Z\"}'", true),
            ("weave.works/kured-node-lock: '{\"nodeID\":\"\"}'", true),
            ("weave.works/kured-node-lock: manual", true),
        ] {
            let kured = format!(
                "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: reboots, namespace: kube-system, annotations: {{{annotations}}}}}\nspec: {{template: {{spec: {{containers: [{{name: c, image: \"ghcr.io/kubereboot/kured:1.17.0\"}}]}}}}}}\n---\n"
            );
            let codes = Case::from_yaml(&[node, &kured].concat()).codes(&CHECK);
            assert_eq!(codes, &["kured"][..usize::from(is_found)], "{annotations}");
        }
    }
}
