//! Nodes that an autoscaler, a pipeline, a cloud or a person takes away, drains or reboots, by the marks that these leave on them.

use snapshot::model::Node;
use types::api::node_keys::OWN_REASON;

use super::pool::EKS_NODE_GROUP;

/// Taints that say so, by how their keys begin. The cluster autoscaler's `DeletionCandidateOfClusterAutoscaler` is not among them: it takes that one back
/// when the node is needed. Nor is Cluster API's [`OUTDATED`], which stays on each node of an earlier template until its turn comes: with a cordon it says
/// that Cluster API drains the node.
///
/// *Source*: cluster-autoscaler 1.34, `utils/taints/taints.go` (`ToBeDeletedTaint`); OpenShift's machine-config-operator, `pkg/daemon/constants`
/// (`UpdateInProgress`); Karpenter 1.14, "Disruption" (`karpenter.sh/disrupted`) and 0.37 (`karpenter.sh/disruption`); aws-node-termination-handler 1.25,
/// `pkg/node/node.go` (four keys of one prefix); GKE, "Spot VMs", "Graceful node shutdown" (`cloud.google.com/impending-node-termination`); Kubernetes, "Well-Known Labels, Annotations and Taints" (the last two).
const TAINTS: [&str; 8] = [
    "ToBeDeletedByClusterAutoscaler",
    "UpdateInProgress",
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
    "aws-node-termination-handler/",
    "cloud.google.com/impending-node-termination",
    "node.cloudprovider.kubernetes.io/shutdown",
    "node.kubernetes.io/out-of-service",
];
/// The taint with which kOps begins: on each node that its update will replace, long before the turn of most of them.
///
/// *Source*: kOps, `docs/operations/rolling-update.md`.
pub const SCHEDULED: &str = "kops.k8s.io/scheduled-for-update";
/// Conditions that say so while they are true, unless their reason begins with [`OWN_REASON`]: a run publishes them, too.
///
/// *Source*: Kubernetes, KEP-5683 (kubernetes/kubernetes#139993).
const CONDITIONS: [&str; 5] = [
    "DrainInProgress",
    "Drained",
    "GracefulNodeShutdownInProgress",
    "MaintenanceInProgress",
    "MaintenancePlanned",
];
/// What OpenShift's machine-config-daemon writes while it changes or reboots a node.
const MACHINE_CONFIG: (&str, &str) = ("machineconfiguration.openshift.io/state", "Working");
/// kured's annotation of a node that it means to reboot. It drains the node once it has the lock; before, the node may wait for days.
///
/// *Source*: kured 1.17, `--annotate-nodes`.
const KURED: &str = "weave.works/kured-reboot-in-progress";
/// The label that an EKS managed node group writes on the nodes that it has cordoned to replace them. *Source*: Amazon EKS user guide, "Understand each
/// phase of node updates".
const NO_BALANCER: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// The taint of nodes that Cluster API will replace. *Source*: Cluster API 1.12, `api/core/v1beta2/machine_types.go`.
pub const OUTDATED: &str = "node.cluster.x-k8s.io/outdated-revision";

/// Whether a taint with this key shows that its node is going.
#[must_use]
pub fn marks_going(key: &str) -> bool {
    TAINTS.iter().any(|known| if known.ends_with('/') { key.starts_with(known) } else { key == *known })
}

/// What shows that a node is going, drained or rebooted by others: a taint, an annotation, a label or a condition. None if nothing does. [`SCHEDULED`] only
/// where nothing else does.
#[must_use]
pub fn going_mark(node: &Node) -> Option<String> {
    let is_foreign = |kind: &&&str| {
        node.condition(kind).is_some_and(|condition| {
            &*condition.status == "True" && !condition.reason.starts_with(OWN_REASON)
        })
    };
    let meta = &node.metadata;
    let of_cordon = || match () {
        () if !node.spec.unschedulable => None,
        () if meta.annotation(KURED).is_some() => Some(KURED),
        () if meta.label(NO_BALANCER).and(meta.label(EKS_NODE_GROUP)).is_some() => Some(NO_BALANCER),
        () if node.spec.taints.iter().any(|taint| &*taint.key == OUTDATED) => Some(OUTDATED),
        () => None,
    };
    let taint = node.spec.taints.iter().map(|taint| &*taint.key).find(|key| marks_going(key));
    let deletion = meta.deletion_timestamp.as_ref().map(|_| "it is being deleted");
    let update = (meta.annotation(MACHINE_CONFIG.0) == Some(MACHINE_CONFIG.1)).then_some(MACHINE_CONFIG.0);
    let condition = || CONDITIONS.iter().find(is_foreign).copied();
    let scheduled = || node.spec.taints.iter().any(|taint| &*taint.key == SCHEDULED).then_some(SCHEDULED);
    let mark = taint.or(deletion).or(update).or_else(of_cordon).or_else(condition).or_else(scheduled);
    mark.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn mark(value: Value) -> Option<String> {
        going_mark(&serde_json::from_value(value).expect("a node"))
    }

    #[test]
    fn marks_of_autoscalers_and_clouds_are_known() {
        for (key, is_going) in [
            ("ToBeDeletedByClusterAutoscaler", true),
            ("UpdateInProgress", true),
            ("karpenter.sh/disrupted", true),
            ("karpenter.sh/disruption", true),
            ("aws-node-termination-handler/spot-itn", true),
            ("aws-node-termination-handler/asg-lifecycle-termination", true),
            ("cloud.google.com/impending-node-termination", true),
            ("kops.k8s.io/scheduled-for-update", true),
            ("node.cloudprovider.kubernetes.io/shutdown", true),
            ("node.kubernetes.io/out-of-service", true),
            ("DeletionCandidateOfClusterAutoscaler", false),
            ("karpenter.sh/unregistered", false),
            ("node.kubernetes.io/unschedulable", false),
            ("karpenter.sh/disrupted-x", false),
            (OUTDATED, false),
        ] {
            let node = json!({"metadata": {"name": "n"}, "spec": {"taints": [{"key": key, "effect": "PreferNoSchedule"}]}});
            assert_eq!(mark(node).as_deref(), is_going.then_some(key), "{key}");
        }
        let deleted = json!({"metadata": {"name": "n", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
        assert_eq!(mark(deleted).as_deref(), Some("it is being deleted"));
    }

    /// kOps marks all nodes at once: what else takes one of them away comes before.
    #[test]
    fn another_mark_comes_before_that_of_a_rolling_update() {
        let taint = |key: &str| json!({"key": key, "effect": "NoSchedule"});
        let node = json!({"metadata": {"name": "n"}, "spec": {"taints": [taint(SCHEDULED), taint("ToBeDeletedByClusterAutoscaler")]}});
        assert_eq!(mark(node).as_deref(), Some("ToBeDeletedByClusterAutoscaler"));
        let node = json!({
            "metadata": {"name": "n"}, "spec": {"taints": [taint(SCHEDULED)]},
            "status": {"conditions": [{"type": "DrainInProgress", "status": "True", "reason": "x"}]},
        });
        assert_eq!(mark(node).as_deref(), Some("DrainInProgress"));
    }

    /// A node is going by its cordon and what goes with it, and by no part of it alone.
    #[test]
    fn marks_of_pipelines_beside_a_cordon_are_known() {
        let group = json!({EKS_NODE_GROUP: "blue"});
        let replaced = json!({EKS_NODE_GROUP: "blue", NO_BALANCER: "true"});
        let kured = json!({KURED: "2026-01-01T00:00:00Z"});
        for (is_cordoned, labels, annotations, expected) in [
            (true, replaced.clone(), json!({}), Some(NO_BALANCER)),
            (false, replaced, json!({}), None),
            (true, group.clone(), json!({}), None),
            (true, json!({NO_BALANCER: "true"}), json!({}), None),
            (true, json!({}), kured.clone(), Some(KURED)),
            (false, json!({}), kured, None),
            (false, json!({}), json!({MACHINE_CONFIG.0: "Working"}), Some(MACHINE_CONFIG.0)),
            (false, json!({}), json!({MACHINE_CONFIG.0: "Done"}), None),
        ] {
            let metadata = json!({"name": "n", "labels": labels, "annotations": annotations});
            let node = json!({"metadata": metadata, "spec": {"unschedulable": is_cordoned}});
            assert_eq!(mark(node.clone()).as_deref(), expected, "{node}");
        }
        for (is_cordoned, key, expected) in
            [(true, OUTDATED, Some(OUTDATED)), (false, OUTDATED, None), (true, "other", None)]
        {
            let spec =
                json!({"unschedulable": is_cordoned, "taints": [{"key": key, "effect": "PreferNoSchedule"}]});
            assert_eq!(mark(json!({"metadata": {"name": "n"}, "spec": spec})).as_deref(), expected, "{key}");
        }
    }

    #[test]
    fn conditions_of_others_are_honoured_and_those_of_a_run_are_not() {
        for (kind, status, reason, is_found) in [
            ("MaintenancePlanned", "True", "Rack12", true),
            ("MaintenanceInProgress", "True", "", true),
            ("DrainInProgress", "True", "x", true),
            ("Drained", "True", "x", true),
            ("GracefulNodeShutdownInProgress", "True", "x", true),
            ("DrainInProgress", "False", "x", false),
            ("DrainInProgress", "True", "CrossfadeRun", false),
            ("Ready", "True", "x", false),
        ] {
            let conditions = json!([{"type": kind, "status": status, "reason": reason}]);
            let node = json!({"metadata": {"name": "n"}, "status": {"conditions": conditions}});
            assert_eq!(mark(node).as_deref(), is_found.then_some(kind), "{kind} {status} {reason}");
        }
    }
}
