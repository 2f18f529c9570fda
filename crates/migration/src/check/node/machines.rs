//! Controllers of machines that replace nodes while a migration goes on.
//!
//! *Source*: Cluster API's documentation, "Configure a MachineHealthCheck" (`cluster.x-k8s.io/paused`), "MachineDeployment" (`status.updatedReplicas`, from
//! v1beta2 on `status.upToDateReplicas`).

use serde_json::Value;
use snapshot::model::{Kind, Object};

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::network::subject;
use crate::workload::CAPI_MACHINE;

pub(in crate::check) const CHECK: Check = Check {
    name: "machines",
    rules: &[&MACHINE_HEALTH_CHECK, &MACHINE_ROLLOUT],
    needs: &[
        Need::Always(Kind::NODE),
        Need::Always(Kind::MACHINE_DEPLOYMENT),
        Need::Always(Kind::MACHINE_HEALTH_CHECK),
    ],
    run,
};

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    [health_checks(scene).or_else(|| elsewhere(scene)), rollouts(scene)].into_iter().flatten().collect()
}

/// Nodes are Machines, and the objects that replace them are in another cluster, where no check sees them.
fn elsewhere(scene: &Scene<'_>) -> Option<Finding> {
    let kinds = [Kind::MACHINE_DEPLOYMENT, Kind::MACHINE_HEALTH_CHECK];
    let is_seen = kinds.into_iter().any(|kind| !scene.snapshot.objects(kind).is_empty());
    let machines =
        scene.snapshot.nodes.iter().filter(|node| node.metadata.annotation(CAPI_MACHINE).is_some());
    let mut nodes = machines.map(|node| Subject::new(Kind::NODE, node.name()));
    let first = nodes.next().filter(|_| !is_seen)?;
    let detail = format!("and {} more nodes of Cluster API", nodes.count());
    let what = "Nodes are Machines of a management cluster, whose MachineHealthChecks and MachineDeployments are not seen from here.";
    let why = "A health check there deletes the machine of a node that is unhealthy for a while, and a rollout drains nodes in an order of its own.";
    let fix = "Look there, and pause the health checks for the time of the migration: kubectl --context MANAGEMENT get machinehealthchecks,machinedeployments -A. Then accept this finding with a waiver.";
    Some(
        Finding::new(&MACHINE_HEALTH_CHECK)
            .severity(Severity::Note)
            .what(what)
            .why(why)
            .fix(fix)
            .with_objects([first.detail(detail)]),
    )
}

/// The controller leaves an object alone that is paused.
fn is_paused(object: &Object) -> bool {
    let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
    object.is_true("/spec/paused")
        || annotations.is_some_and(|all| all.contains_key("cluster.x-k8s.io/paused"))
}

/// A finding about the objects of a kind that are not paused and have a detail, if there is one.
fn finding(
    scene: &Scene<'_>,
    kind: Kind,
    detail: impl Fn(&Object) -> Option<String>,
    rule: &'static Rule,
) -> Option<Finding> {
    let running = scene.snapshot.objects(kind).iter().filter(|object| !is_paused(object));
    let objects: Vec<Subject> =
        running.filter_map(|object| Some(subject(kind, object).detail(detail(object)?))).collect();
    (!objects.is_empty()).then(|| Finding::new(rule).with_commands(&objects).with_objects(objects))
}

const MACHINE_HEALTH_CHECK: Rule = Severity::Risk.rule(
    "machine-health-check",
    "MachineHealthChecks delete the machines of nodes that are unhealthy for a while.",
    "A node that changes its CNI may be NotReady or without a network for some minutes. The controller then replaces it, with all its pods and local data, and the next ones, too.",
    "Pause them for the time of the migration: `kubectl -n NAMESPACE annotate machinehealthchecks.cluster.x-k8s.io NAME cluster.x-k8s.io/paused=`",
);

fn health_checks(scene: &Scene<'_>) -> Option<Finding> {
    finding(scene, Kind::MACHINE_HEALTH_CHECK, |_| Some(String::new()), &MACHINE_HEALTH_CHECK)
}

const MACHINE_ROLLOUT: Rule = Severity::Risk.rule(
    "machine-rollout",
    "MachineDeployments are replacing their machines.",
    "They drain and delete nodes in their own order and beyond the limits of a run. A node that Crossfade moves may be the next one to go.",
    "Wait until they are done: `kubectl -n NAMESPACE get machinedeployments.cluster.x-k8s.io NAME -w`",
);

fn rollouts(scene: &Scene<'_>) -> Option<Finding> {
    let progress = |deployment: &Object| {
        let number = |pointer: &str| deployment.pointer(pointer).and_then(Value::as_u64);
        let replicas = number("/spec/replicas").unwrap_or(1);
        let done =
            number("/status/upToDateReplicas").or_else(|| number("/status/updatedReplicas")).unwrap_or(0);
        let all = number("/status/replicas").unwrap_or(0);
        // Machines of an earlier template may be there beside enough of the new one.
        (done < replicas || all > done).then(|| format!("{done} of {replicas} machines are up to date"))
    };
    finding(scene, Kind::MACHINE_DEPLOYMENT, progress, &MACHINE_ROLLOUT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, object, objects};
    use crate::cni::support::Cni;
    use serde_json::json;

    fn list_findings(objects: Vec<(Kind, Value)>) -> Vec<Finding> {
        Case::new(Cni::Calico, Cni::Cilium, objects).findings(&CHECK)
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
        let all = list_findings(vec![check(json!({"cluster.x-k8s.io/other": ""}))]);
        assert_eq!(
            (all[0].rule.code, objects(&all[0])),
            ("machine-health-check", vec!["MachineHealthCheck/clusters/workers".into()])
        );
        assert!(all[0].fix.ends_with("workers cluster.x-k8s.io/paused="), "{}", all[0].fix);
        assert!(list_findings(vec![check(json!({"cluster.x-k8s.io/paused": ""}))]).is_empty());
    }

    #[test]
    fn machines_of_another_cluster_are_named() {
        let node = |name: &str, annotations: Value| {
            object(Kind::NODE, name, json!({"metadata": {"annotations": annotations}}))
        };
        let machine = json!({CAPI_MACHINE: "m-1"});
        let deployment = object(Kind::MACHINE_DEPLOYMENT, "workers", json!({"spec": {"replicas": 0}}));
        let all =
            list_findings(vec![node("a", machine.clone()), node("b", machine.clone()), node("c", json!({}))]);
        assert_eq!((all[0].rule.code, all[0].severity), ("machine-health-check", Severity::Note));
        assert_eq!(objects(&all[0]), ["Node/a: and 1 more nodes of Cluster API"]);
        assert!(list_findings(vec![node("a", machine), deployment]).is_empty(), "they are in this cluster");
        assert!(list_findings(vec![node("c", json!({}))]).is_empty());
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
            let codes: Vec<_> = list_findings(vec![deployment(spec, status.clone())])
                .iter()
                .map(|finding| finding.rule.code)
                .collect();
            assert_eq!(codes, &["machine-rollout"][usize::from(!is_found)..], "{status}");
        }
    }
}
