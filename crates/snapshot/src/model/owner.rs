//! The owners of pods: Deployments, DaemonSets, StatefulSets, ReplicaSets and Jobs.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::meta::{is_empty, or_default};
use super::{Labels, Meta, PodTemplate, Text};

/// A Deployment, DaemonSet, StatefulSet, ReplicaSet or Job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Workload {
    /// Name, labels, owners.
    pub metadata: Meta,
    /// How many pods of which template.
    pub spec: WorkloadSpec,
    pub status: WorkloadStatus,
}

/// `spec` of a workload.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadSpec {
    /// How many pods are wanted; none for a DaemonSet or a Job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Which pods belong to it.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Selector::is_empty")]
    pub selector: Selector,
    pub template: PodTemplate,
    /// A Deployment's `strategy`, as written.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub strategy: Value,
    /// The `updateStrategy` of a DaemonSet or a StatefulSet, as written.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub update_strategy: Value,
    /// The headless Service of a StatefulSet.
    #[serde(skip_serializing_if = "is_empty")]
    pub service_name: Text,
    /// How many pods of a Job run at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<i32>,
}

/// Which objects belong together. Empty means all of them, where the API says nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// Labels with these values.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Labels::is_empty")]
    pub match_labels: Labels,
    /// Rules on labels.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Requirement>,
}

/// A rule on the label `key`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Requirement {
    /// The label.
    pub key: Text,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`; on nodes `Gt` and `Lt`, too.
    pub operator: Text,
    /// The values of `In` and `NotIn`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Text>,
}

/// `status` of a workload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadStatus {
    /// Pods of it.
    #[serde(skip_serializing_if = "is_zero")]
    pub replicas: i32,
    /// Pods that are Ready.
    #[serde(skip_serializing_if = "is_zero")]
    pub ready_replicas: i32,
    /// Pods that are Ready for long enough.
    #[serde(skip_serializing_if = "is_zero")]
    pub available_replicas: i32,
    /// Pods of the current template.
    #[serde(skip_serializing_if = "is_zero")]
    pub updated_replicas: i32,
    /// Nodes that a DaemonSet selects.
    #[serde(skip_serializing_if = "is_zero")]
    pub desired_number_scheduled: i32,
    /// Nodes with a Ready pod of a DaemonSet.
    #[serde(skip_serializing_if = "is_zero")]
    pub number_ready: i32,
    /// Nodes with a pod of the current template of a DaemonSet.
    #[serde(skip_serializing_if = "is_zero")]
    pub updated_number_scheduled: i32,
    /// The `metadata.generation` that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

impl Workload {
    #[must_use]
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.metadata.namespace
    }
}

impl Selector {
    /// It has no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    /// Whether an object with these labels is selected. A selector without a rule selects every object.
    #[must_use]
    pub fn selects(&self, labels: &Labels) -> bool {
        let has_label = |(key, value): (&Text, &Text)| labels.get(key) == Some(value);
        self.match_labels.iter().all(has_label)
            && self.match_expressions.iter().all(|rule| rule.holds(labels))
    }
}

impl Requirement {
    /// Whether these labels satisfy the rule. An operator that the API does not have satisfies nothing.
    #[must_use]
    pub fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let number = |text: &Text| text.parse::<i64>().ok();
        let compared = || Some((number(value?)?, number(self.values.first()?)?));
        match self.operator.as_ref() {
            "In" => value.is_some_and(|value| self.values.contains(value)),
            "NotIn" => value.is_none_or(|value| !self.values.contains(value)),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            "Gt" => compared().is_some_and(|(is, than)| is > than),
            "Lt" => compared().is_some_and(|(is, than)| is < than),
            _ => false,
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_zero(number: &i32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_holds_as_kubernetes_says() {
        let labels: Labels = [("a".into(), "1".into())].into();
        for (key, operator, values, holds) in [
            ("a", "In", &["1", "2"][..], true),
            ("a", "In", &["2"], false),
            ("b", "In", &["1"], false),
            ("a", "NotIn", &["1"], false),
            ("b", "NotIn", &["1"], true),
            ("a", "Exists", &[], true),
            ("b", "Exists", &[], false),
            ("b", "DoesNotExist", &[], true),
            ("a", "Gt", &["0"], true),
            ("a", "Lt", &["0"], false),
            ("a", "Like", &["1"], false),
        ] {
            let values = values.iter().map(|value| Text::from(*value)).collect();
            let rule = Requirement { key: key.into(), operator: operator.into(), values };
            assert_eq!(rule.holds(&labels), holds, "{rule:?}");
        }
    }

    #[test]
    fn a_selector_without_a_rule_selects_everything() {
        assert!(Selector::default().selects(&Labels::new()));
        let selector = Selector { match_labels: [("a".into(), "1".into())].into(), ..Selector::default() };
        assert!(!selector.selects(&Labels::new()));
    }
}
