//! Nodes that somebody takes away.

use snapshot::model::Node;

/// Taints that say so, by how their keys begin. The cluster autoscaler's `DeletionCandidateOfClusterAutoscaler` is not among them: it takes that one back
/// when the node is needed.
///
/// *Source*: cluster-autoscaler 1.34, `utils/taints/taints.go` (`ToBeDeletedTaint`); Karpenter 1.14, "Disruption" (`karpenter.sh/disrupted`) and 0.37
/// (`karpenter.sh/disruption`); aws-node-termination-handler 1.25, `pkg/node/node.go` (four keys of one prefix); GKE, "Spot VMs", "Graceful node
/// shutdown" (`cloud.google.com/impending-node-termination`); Kubernetes, "Well-Known Labels, Annotations and Taints" (the last two).
const TAINTS: [&str; 7] = [
    "ToBeDeletedByClusterAutoscaler",
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
    "aws-node-termination-handler/",
    "cloud.google.com/impending-node-termination",
    "node.cloudprovider.kubernetes.io/shutdown",
    "node.kubernetes.io/out-of-service",
];

/// Whether a Node is being deleted, or an autoscaler or a cloud has marked it.
pub(super) fn is_going(node: &Node) -> bool {
    let is_marked = |key: &str| {
        TAINTS.iter().any(|known| if known.ends_with('/') { key.starts_with(known) } else { key == *known })
    };
    node.metadata.deletion_timestamp.is_some() || node.spec.taints.iter().any(|taint| is_marked(&taint.key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn marks_of_autoscalers_and_clouds_are_known() {
        for (key, going) in [
            ("ToBeDeletedByClusterAutoscaler", true),
            ("karpenter.sh/disrupted", true),
            ("karpenter.sh/disruption", true),
            ("aws-node-termination-handler/spot-itn", true),
            ("aws-node-termination-handler/asg-lifecycle-termination", true),
            ("cloud.google.com/impending-node-termination", true),
            ("node.cloudprovider.kubernetes.io/shutdown", true),
            ("node.kubernetes.io/out-of-service", true),
            ("DeletionCandidateOfClusterAutoscaler", false),
            ("karpenter.sh/unregistered", false),
            ("node.kubernetes.io/unschedulable", false),
            ("karpenter.sh/disrupted-x", false),
        ] {
            let taints = json!({"metadata": {"name": "n"}, "spec": {"taints": [{"key": key, "effect": "NoSchedule"}]}});
            let node: Node = serde_json::from_value(taints).expect("a node");
            assert_eq!(is_going(&node), going, "{key}");
        }
        let deleted = json!({"metadata": {"name": "n", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
        assert!(is_going(&serde_json::from_value(deleted).expect("a node")));
    }
}
