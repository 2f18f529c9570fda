//! Controllers of machines that replace nodes while a migration goes on. Pure.
//!
//! *Source*: Cluster API's documentation, "Configure a MachineHealthCheck" (`cluster.x-k8s.io/paused`), "MachineDeployment" (`status.updatedReplicas`, from
//! v1beta2 on `status.upToDateReplicas`).

use serde_json::Value;

use super::{Check, Need};
use crate::finding::{Finding, Severity, Subject};
use crate::model::{Kind, Object};
use crate::network::subject;
use crate::scene::Scene;

/// See the module.
pub(super) const CHECK: Check = Check {
    name: "machines",
    codes: &[
        (
            "machine-health-check",
            "a MachineHealthCheck may delete nodes that a migration makes unhealthy for a while",
        ),
        ("machine-rollout", "a MachineDeployment is replacing its machines"),
    ],
    needs: &[Need::Always(Kind::MACHINE_DEPLOYMENT), Need::Always(Kind::MACHINE_HEALTH_CHECK)],
    run,
};

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    [health_checks(scene), rollouts(scene)].into_iter().flatten().collect()
}

/// The controller leaves an object alone that somebody paused.
fn is_paused(object: &Object) -> bool {
    let annotations = object.at("/metadata/annotations").and_then(Value::as_object);
    object.is_true("/spec/paused")
        || annotations.is_some_and(|all| all.contains_key("cluster.x-k8s.io/paused"))
}

fn each(subjects: &[Subject], command: impl Fn(&Subject) -> String) -> String {
    subjects.iter().map(command).collect::<Vec<_>>().join("; ")
}

fn health_checks(scene: &Scene<'_>) -> Option<Finding> {
    let all = scene.snapshot.objects(Kind::MACHINE_HEALTH_CHECK).iter().filter(|one| !is_paused(one));
    let objects: Vec<Subject> = all.map(|one| subject(Kind::MACHINE_HEALTH_CHECK, one)).collect();
    let what = "MachineHealthChecks delete the machines of nodes that are unhealthy for a while.";
    let why = "A node that changes its CNI may be NotReady or without a network for some minutes. The controller then replaces it, with all its pods and local data, and the next ones, too.";
    let fix = format!(
        "Pause them for the time of the migration: {}",
        each(&objects, |one| format!(
            "kubectl -n {} annotate machinehealthchecks.cluster.x-k8s.io {} cluster.x-k8s.io/paused=",
            one.namespace, one.name
        ))
    );
    (!objects.is_empty())
        .then(|| Finding::new("machine-health-check", Severity::Risk, what, why, fix).about(objects))
}

fn rollouts(scene: &Scene<'_>) -> Option<Finding> {
    let of = |one: &Object| {
        let number = |pointer: &str| one.at(pointer).and_then(Value::as_u64);
        let wanted = number("/spec/replicas").unwrap_or(1);
        let done =
            number("/status/upToDateReplicas").or_else(|| number("/status/updatedReplicas")).unwrap_or(0);
        let all = number("/status/replicas").unwrap_or(0);
        // Machines of an earlier template may be there beside enough of the new one.
        (done < wanted || all > done).then(|| {
            subject(Kind::MACHINE_DEPLOYMENT, one)
                .detail(format!("{done} of {wanted} machines are up to date"))
        })
    };
    let all = scene.snapshot.objects(Kind::MACHINE_DEPLOYMENT).iter().filter(|one| !is_paused(one));
    let objects: Vec<Subject> = all.filter_map(of).collect();
    let what = "MachineDeployments are replacing their machines.";
    let why = "They drain and delete nodes in their own order and beyond the limits of a run. A node that Crossfade moves may be the next one to go.";
    let fix = format!(
        "Wait until they are done: {}",
        each(&objects, |one| format!(
            "kubectl -n {} get machinedeployments.cluster.x-k8s.io {} -w",
            one.namespace, one.name
        ))
    );
    (!objects.is_empty())
        .then(|| Finding::new("machine-rollout", Severity::Risk, what, why, fix).about(objects))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, object, objects};
    use crate::support::Cni;
    use serde_json::json;

    fn found(objects: Vec<(Kind, Value)>) -> Vec<Finding> {
        Case::new(Cni::Calico, Cni::Cilium, objects).found(&CHECK)
    }

    #[test]
    fn a_machine_health_check_is_paused_for_the_migration() {
        let check = |annotations: Value| {
            let metadata = json!({"namespace": "clusters", "annotations": annotations});
            object(
                Kind::MACHINE_HEALTH_CHECK,
                "workers",
                json!({"metadata": metadata, "spec": {"clusterName": "c"}}),
            )
        };
        let all = found(vec![check(json!({"cluster.x-k8s.io/other": ""}))]);
        assert_eq!(
            (all[0].code, objects(&all[0])),
            ("machine-health-check", vec!["MachineHealthCheck/clusters/workers".into()])
        );
        assert!(all[0].fix.ends_with("workers cluster.x-k8s.io/paused="), "{}", all[0].fix);
        assert!(found(vec![check(json!({"cluster.x-k8s.io/paused": ""}))]).is_empty());
    }

    #[test]
    fn a_machine_deployment_is_done_before_the_migration() {
        let deployment = |spec: Value, status: Value| {
            let rest = json!({"metadata": {"namespace": "clusters"}, "spec": spec, "status": status});
            object(Kind::MACHINE_DEPLOYMENT, "workers", rest)
        };
        for (spec, status, is_found) in [
            (json!({"replicas": 3}), json!({"replicas": 3, "updatedReplicas": 3}), false),
            (json!({"replicas": 3}), json!({"replicas": 3, "upToDateReplicas": 3}), false),
            (json!({"replicas": 3}), json!({"replicas": 4, "updatedReplicas": 1}), true),
            (json!({"replicas": 3}), json!({"replicas": 4, "updatedReplicas": 3}), true),
            (json!({"replicas": 3, "paused": true}), json!({"replicas": 3, "updatedReplicas": 1}), false),
            (json!({"replicas": 0}), json!({}), false),
        ] {
            let codes: Vec<_> =
                found(vec![deployment(spec, status.clone())]).iter().map(|one| one.code).collect();
            assert_eq!(codes, &["machine-rollout"][usize::from(!is_found)..], "{status}");
        }
    }
}
