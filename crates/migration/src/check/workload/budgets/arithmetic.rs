//! The number of pods that a budget lets go, as the disruption controller counts.
//!
//! *Source*: Kubernetes 1.33, `pkg/controller/disruption/disruption.go`, `getExpectedPodCount` and `updatePdbStatus`:
//!
//! | budget | expected | desired |
//! |---|---|---|
//! | `minAvailable: 2` | the pods that there are | 2 |
//! | `minAvailable: 50%` | replicas of their owners | 50 % of expected, rounded up |
//! | `maxUnavailable: 1` | replicas of their owners | expected - 1 |
//! | `maxUnavailable: 30%` | replicas of their owners | expected - (30 % of expected, rounded up) |
//!
//! Healthy (Ready, not being deleted) - desired may go, and nothing if expected is 0.

use std::collections::BTreeMap;

use serde_json::Value;
use snapshot::model::{Budget, Kind, Pod, Snapshot, Workload};

use crate::workload::{is_ready, owner};

/// What comes of a budget, with the arithmetic in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    /// It selects no pod.
    Empty,
    /// It allows nothing even if all pods are ready.
    Never(String),
    /// It allows nothing now.
    Now(String),
    /// Its pods cannot be counted.
    Uncounted(String),
}

/// The replicas of the owners of some pods.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReplicaCount {
    /// Their sum.
    Replicas(i64),
    /// An owner without replicas, or no owner.
    Impossible(String),
    /// An owner of a kind that is not in the snapshot.
    Unknown,
}

impl ReplicaCount {
    pub(super) fn count(snapshot: &Snapshot, pods: &[&Pod]) -> Self {
        let mut sum = 0;
        let owners: BTreeMap<_, &Pod> = pods.iter().map(|pod| (owner(pod), *pod)).collect();
        for (owner, pod) in owners {
            let kind = match owner.kind {
                "Deployment" => Kind::DEPLOYMENT,
                "StatefulSet" => Kind::STATEFUL_SET,
                "ReplicaSet" => Kind::REPLICA_SET,
                "DaemonSet" | "Job" => {
                    return Self::Impossible(format!(
                        "{} {} has no number of replicas",
                        owner.kind, owner.name
                    ));
                }
                // The controller does not count a pod without an owner.
                "Pod" => continue,
                _ => return Self::Unknown,
            };
            // A ReplicaSet of something else than a Deployment, such as a Rollout, has its own replicas.
            let set = || find(snapshot, Kind::REPLICA_SET, owner.namespace, &pod.metadata.controller()?.name);
            let workload_object = find(snapshot, kind, owner.namespace, owner.name).or_else(set);
            match workload_object {
                Some(workload) => sum += i64::from(workload.spec.replicas.unwrap_or(1)),
                None => return Self::Unknown,
            }
        }
        Self::Replicas(sum)
    }
}

/// A workload. Snapshots have workloads by namespace and name.
fn find<'a>(snapshot: &'a Snapshot, kind: Kind, namespace: &str, name: &str) -> Option<&'a Workload> {
    let all = snapshot.workloads(kind);
    let position =
        all.binary_search_by(|workload| (workload.namespace(), workload.name()).cmp(&(namespace, name)));
    position.ok().map(|index| &all[index])
}

/// What comes of a budget over these pods.
pub(super) fn judge(budget: &Budget, pods: &[&Pod], counted: &ReplicaCount) -> Verdict {
    if pods.is_empty() {
        return Verdict::Empty;
    }
    let spec = &budget.spec;
    let there = i64::try_from(pods.len()).unwrap_or(i64::MAX);
    let replicas = match counted {
        ReplicaCount::Replicas(sum) => Ok(*sum),
        ReplicaCount::Unknown => Ok(i64::from(budget.status.expected_pods)),
        ReplicaCount::Impossible(why) => Err(why),
    };
    let (rule, expected, desired) = if !spec.max_unavailable.is_null() {
        let expected = match replicas {
            Ok(expected) => expected,
            Err(why) => {
                return Verdict::Uncounted(format!(
                    "maxUnavailable {}: {why}",
                    format_value(&spec.max_unavailable)
                ));
            }
        };
        let Some(may_go) = scale(&spec.max_unavailable, expected) else {
            return unreadable_verdict(&spec.max_unavailable);
        };
        (
            format!("maxUnavailable {}", format_value(&spec.max_unavailable)),
            expected,
            expected.saturating_sub(may_go).max(0),
        )
    } else if let Some(number) = spec.min_available.as_i64() {
        // More pods than there are now may be on their way.
        (format!("minAvailable {number}"), replicas.map_or(there, |replicas| replicas.max(there)), number)
    } else if spec.min_available.is_null() {
        return Verdict::Uncounted("it has neither minAvailable nor maxUnavailable".into());
    } else {
        let expected = match replicas {
            Ok(expected) => expected,
            Err(why) => {
                return Verdict::Uncounted(format!(
                    "minAvailable {}: {why}",
                    format_value(&spec.min_available)
                ));
            }
        };
        let Some(stay) = scale(&spec.min_available, expected) else {
            return unreadable_verdict(&spec.min_available);
        };
        (format!("minAvailable {}", format_value(&spec.min_available)), expected, stay)
    };
    if expected == 0 {
        return Verdict::Uncounted(format!("{rule}: {there} pods, but no owner with replicas"));
    }
    let healthy =
        pods.iter().filter(|pod| is_ready(pod) && pod.metadata.deletion_timestamp.is_none()).count();
    let healthy = i64::try_from(healthy).unwrap_or(i64::MAX);
    let words = |pods: i64, kind: &str| {
        format!("{rule}: {pods} {kind} - {desired} desired = {} may go", pods.saturating_sub(desired).max(0))
    };
    if expected <= desired {
        Verdict::Never(words(expected, "expected"))
    } else if healthy <= desired {
        Verdict::Now(words(healthy, "healthy"))
    } else {
        Verdict::Fine
    }
}

/// A number, or a percentage of the expected pods, rounded up.
fn scale(value: &Value, expected: i64) -> Option<i64> {
    if let Some(number) = value.as_i64() {
        return Some(number);
    }
    let percent: i64 = value.as_str()?.strip_suffix('%')?.parse().ok()?;
    Some(percent.checked_mul(expected)?.checked_add(99)?.div_euclid(100))
}

fn unreadable_verdict(value: &Value) -> Verdict {
    Verdict::Uncounted(format!("{} is neither a number nor a percentage", format_value(value)))
}

fn format_value(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn verdict(spec: &Value, replicas: i64, pods: usize, ready: usize) -> Verdict {
        let budget: Budget = serde_json::from_value(json!({"spec": spec})).expect("a budget");
        let pod = |index: usize| -> Pod {
            let status = if index < ready { "True" } else { "False" };
            serde_json::from_value(json!({"metadata": {"name": index.to_string()}, "status": {"conditions": [{"type": "Ready", "status": status}]}}))
                .expect("a pod")
        };
        let pods: Vec<Pod> = (0..pods).map(pod).collect();
        judge(&budget, &pods.iter().collect::<Vec<_>>(), &ReplicaCount::Replicas(replicas))
    }

    /// Each row: the budget, replicas, pods, ready ones, and the words of a refusal.
    #[test]
    fn budgets_are_counted_as_kubernetes_does() {
        let (min, max) =
            (|value: Value| json!({"minAvailable": value}), |value: Value| json!({"maxUnavailable": value}));
        for (spec, replicas, pods, ready, words) in [
            (min(json!(1)), 2, 2, 2, None),
            (min(json!(2)), 2, 2, 2, Some("never: minAvailable 2: 2 expected - 2 desired = 0 may go")),
            (min(json!(2)), 3, 2, 2, Some("now: minAvailable 2: 2 healthy - 2 desired = 0 may go")),
            (min(json!(3)), 2, 2, 2, Some("never: minAvailable 3: 2 expected - 3 desired = 0 may go")),
            (min(json!("50%")), 2, 2, 2, None),
            (min(json!("51%")), 2, 2, 2, Some("never: minAvailable 51%: 2 expected - 2 desired = 0 may go")),
            (
                min(json!("100%")),
                9,
                9,
                9,
                Some("never: minAvailable 100%: 9 expected - 9 desired = 0 may go"),
            ),
            (max(json!(0)), 3, 3, 3, Some("never: maxUnavailable 0: 3 expected - 3 desired = 0 may go")),
            (max(json!(1)), 1, 1, 1, None),
            (max(json!("1%")), 7, 7, 7, None),
            (max(json!("0%")), 7, 7, 7, Some("never: maxUnavailable 0%: 7 expected - 7 desired = 0 may go")),
            // 30 % of 7 is 2.1, so 3 may go and 4 must stay.
            (max(json!("30%")), 7, 7, 5, None),
            (max(json!("30%")), 7, 7, 4, Some("now: maxUnavailable 30%: 4 healthy - 4 desired = 0 may go")),
            (max(json!(1)), 0, 2, 2, Some("uncounted: maxUnavailable 1: 2 pods, but no owner with replicas")),
            (min(json!(1)), 0, 2, 2, None),
            (min(json!("x")), 2, 2, 2, Some("uncounted: x is neither a number nor a percentage")),
            (json!({}), 2, 2, 2, Some("uncounted: it has neither minAvailable nor maxUnavailable")),
        ] {
            let text = match verdict(&spec, replicas, pods, ready) {
                Verdict::Fine => None,
                Verdict::Empty => Some("empty".into()),
                Verdict::Never(words) => Some(format!("never: {words}")),
                Verdict::Now(words) => Some(format!("now: {words}")),
                Verdict::Uncounted(words) => Some(format!("uncounted: {words}")),
            };
            assert_eq!(text.as_deref(), words, "{spec}");
        }
    }
}
