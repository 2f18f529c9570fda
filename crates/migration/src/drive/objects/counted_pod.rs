//! A Pod as a count of all pods reads it: as little of its JSON as that needs.

use serde::Deserialize;
use snapshot::model::{Resources, Text};

use crate::roll::world::CountedPod;
use crate::workload::capacity::Request;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pod {
    metadata: Meta,
    spec: Spec,
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    annotations: Option<Annotations>,
    owner_references: Option<Vec<Owner>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Annotations {
    /// kubelet made the pod from a file.
    #[serde(rename = "kubernetes.io/config.mirror")]
    mirror: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Owner {
    kind: Text,
    controller: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: Text,
    scheduler_name: Option<Text>,
    host_network: bool,
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
    /// What the runtime needs beside the containers.
    overhead: Option<Resources>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    resources: ContainerResources,
    /// `Always` for an init container that keeps running.
    restart_policy: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerResources {
    requests: Option<Resources>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    phase: Text,
    conditions: Option<Vec<Condition>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: Text,
    status: Text,
}

/// The scheduler of pods that name none. *Source*: Kubernetes 1.34, `api/core/v1/types.go` (`DefaultSchedulerName`).
const SCHEDULER: &str = "default-scheduler";

/// What a count takes from a pod; none for one that ended, and for one that the scheduler has refused or does not look at: such a pod needs no room of
/// those that run. It is not known whether another scheduler exists, so a pod that waits for one does not count either.
///
/// # Errors
/// Why it is no Pod.
pub fn count_pod(json: &str) -> Result<Option<CountedPod>, String> {
    let Pod { metadata, spec, status } = serde_json::from_str(json).map_err(|e| format!("a Pod: {e}"))?;
    let is_placed = !spec.node_name.is_empty();
    let is_refused =
        |condition: &Condition| (&*condition.kind, &*condition.status) == ("PodScheduled", "False");
    let is_of_another =
        spec.scheduler_name.as_deref().is_some_and(|name| !name.is_empty() && name != SCHEDULER);
    let is_waiting = !is_placed && (is_of_another || status.conditions.iter().flatten().any(is_refused));
    if is_waiting || matches!(&*status.phase, "Succeeded" | "Failed") {
        return Ok(None);
    }
    let is_bound = |owner: &Owner| owner.controller && matches!(&*owner.kind, "DaemonSet" | "Node");
    let is_static = metadata.annotations.is_some_and(|all| all.mirror.is_some());
    Ok(Some(CountedPod {
        is_running: is_placed && &*status.phase == "Running" && !spec.host_network,
        stays: is_static || metadata.owner_references.iter().flatten().any(is_bound),
        request: sum_requests(&spec),
        node: spec.node_name,
    }))
}

/// What a pod requests: the sum of its containers, but at least what each init container does beside those that keep running from before it; and what its
/// runtime needs.
///
/// *Source*: Kubernetes documentation, "Sidecar Containers", "Resource sharing within containers"; "Pod Overhead".
fn sum_requests(spec: &Spec) -> Request {
    let request_of =
        |resources: &Option<Resources>| resources.as_ref().map(Request::from_resources).unwrap_or_default();
    let (mut lasting, mut starting) = (Request::default(), Request::default());
    for container in spec.init_containers.iter().flatten() {
        let request = request_of(&container.resources.requests);
        starting = starting.max(lasting + request);
        if container.restart_policy.as_deref() == Some("Always") {
            lasting += request;
        }
    }
    let running = spec.containers.iter().flatten().map(|container| request_of(&container.resources.requests));
    let running = running.fold(lasting, |sum, item| sum + item);
    Request { pods: Request::POD.pods, ..running.max(starting) + request_of(&spec.overhead) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(pod: &Value) -> Option<CountedPod> {
        count_pod(&pod.to_string()).expect("a pod")
    }

    /// Each row: phase, whether it uses the node's network, its node; whether it counts, and whether among those that run with the pod network.
    #[test]
    fn pods_that_have_not_ended_count() {
        for (phase, host, node, expected) in [
            ("Running", false, "b7", Some(true)),
            ("Running", true, "b7", Some(false)),
            ("Pending", false, "b7", Some(false)),
            ("Succeeded", false, "b7", None),
            ("Failed", false, "b7", None),
            ("Running", false, "", Some(false)),
            ("Pending", false, "", Some(false)),
        ] {
            let pod = json!({"spec": {"hostNetwork": host, "nodeName": node}, "status": {"phase": phase}});
            let counted = read(&pod);
            assert_eq!(counted.as_ref().map(|counted| counted.is_running), expected, "{pod}");
            assert!(
                counted.is_none_or(|counted| &*counted.node == node && counted.request == Request::POD),
                "{pod}"
            );
        }
        assert!(count_pod("{").is_err());
    }

    /// A node waits for room that is nowhere, or for a person: a run that is short of room has other waits for that.
    #[test]
    fn a_pod_that_the_scheduler_refused_does_not_count() {
        for (node, status, counts) in
            [("", "False", false), ("", "True", true), ("", "Unknown", true), ("b7", "False", true)]
        {
            let conditions = json!([{"type": "PodScheduled", "status": status}]);
            let pod =
                json!({"spec": {"nodeName": node}, "status": {"phase": "Pending", "conditions": conditions}});
            assert_eq!(read(&pod).is_some(), counts, "{pod}");
        }
    }

    /// It is not known whether another scheduler exists, and what it would do.
    #[test]
    fn a_pod_that_waits_for_another_scheduler_does_not_count() {
        for (scheduler, node, counts) in [
            (json!(null), "", true),
            (json!("default-scheduler"), "", true),
            (json!("absent"), "", false),
            (json!("absent"), "b7", true),
        ] {
            let pod = json!({"spec": {"nodeName": node, "schedulerName": scheduler}, "status": {"phase": "Pending"}});
            assert_eq!(read(&pod).is_some(), counts, "{pod}");
        }
    }

    #[test]
    fn pods_of_daemon_sets_and_static_ones_stay() {
        let owned = |kind: &str, controller: bool| json!({"metadata": {"ownerReferences": [{"kind": kind, "controller": controller}]}});
        for (pod, stays) in [
            (json!({}), false),
            (owned("DaemonSet", true), true),
            (owned("Node", true), true),
            (owned("DaemonSet", false), false),
            (owned("ReplicaSet", true), false),
            (json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}), true),
            (json!({"metadata": {"annotations": {"x": "y"}}}), false),
        ] {
            assert_eq!(read(&pod).expect("a pod").stays, stays, "{pod}");
        }
    }

    /// Each row: containers, init containers (`+` keeps running) and overhead, in thousandths of a core; and the sum.
    #[test]
    fn a_pod_requests_what_the_scheduler_counts() {
        for (containers, before, overhead, cpu) in [
            (&[100, 200][..], &[][..], 0, 300),
            (&[100], &[(50, "")], 0, 100),
            (&[100], &[(400, "")], 0, 400),
            (&[100], &[(50, "Always")], 0, 150),
            (&[100], &[(50, "Always"), (70, "")], 0, 150),
            (&[100], &[(50, "Always"), (170, "")], 0, 220),
            (&[100], &[(170, ""), (50, "Always")], 0, 170),
            (&[100], &[(170, "")], 30, 200),
            (&[], &[], 0, 0),
        ] {
            let to_value =
                |cpu: &u32| json!({"resources": {"requests": {"cpu": format!("{cpu}m"), "memory": "1Ki"}}});
            let first = |(cpu, policy): &(u32, &str)| {
                let mut container = to_value(cpu);
                if !policy.is_empty() {
                    container["restartPolicy"] = (*policy).into();
                }
                container
            };
            let pod = json!({"spec": {
                "containers": containers.iter().map(to_value).collect::<Vec<_>>(),
                "initContainers": before.iter().map(first).collect::<Vec<_>>(),
                "overhead": {"cpu": format!("{overhead}m")},
            }});
            assert_eq!(read(&pod).expect("a pod").request.cpu, cpu, "{pod}");
        }
        let memory = json!({"spec": {"containers": [{"resources": {"requests": {"memory": "1Ki"}}}]}});
        assert_eq!(read(&memory).expect("a pod").request.memory, 1_024_000);
    }
}
