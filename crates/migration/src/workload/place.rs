//! The nodes that a pod may run on: node selectors, node affinity and taints, as the scheduler and the DaemonSet controller judge them.

use std::fmt;

use serde_json::Value;

use snapshot::model::{Labels, PodSpec, Requirement, Taint, Toleration};
use types::text::quote::shell_word;

/// Taints that Kubernetes itself sets for a while, by how their keys begin. They say how a node is now, not which pods belong on it.
///
/// *Source*: Kubernetes 1.33, `staging/src/k8s.io/api/core/v1/well_known_taints.go`; cluster-autoscaler 1.29, `utils/taints/taints.go`.
const PASSING: [&str; 4] = [
    "node.kubernetes.io/",
    "node.cloudprovider.kubernetes.io/",
    "ToBeDeletedByClusterAutoscaler",
    "DeletionCandidateOfClusterAutoscaler",
];

/// A node, or one to come, as the scheduler sees it.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Its name; empty for a node to come.
    pub name: &'a str,
    pub labels: &'a Labels,
    pub taints: &'a [Taint],
}

/// Why pods of a template do not run on a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The node selector wants a label with this value.
    Label {
        key: String,
        /// The value that is wanted.
        value: String,
        /// The value that the node has.
        actual: Option<String>,
    },
    /// The required node affinity, in words.
    Affinity(String),
    /// The pods do not tolerate this taint.
    Taint(Taint),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label { key, value, actual: None } => {
                write!(f, "it has no label {key}={value}, which the node selector wants")
            }
            Self::Label { key, value, actual: Some(is) } => {
                write!(f, "its label {key} is {is}, and the node selector wants {value}")
            }
            Self::Affinity(words) => write!(f, "the node affinity does not match: {words}"),
            Self::Taint(taint) => {
                write!(f, "it bears the taint {}:{}, which the pods do not tolerate", taint.key, taint.effect)
            }
        }
    }
}

impl<'a> Place<'a> {
    /// A node that there is.
    #[must_use]
    pub fn from_node(node: &'a snapshot::model::Node) -> Self {
        Self { name: node.name(), labels: &node.metadata.labels, taints: &node.spec.taints }
    }

    /// Why pods of this template do not run here; none if they do. Taints that pass by themselves do not count.
    #[must_use]
    pub fn refusal(&self, spec: &PodSpec) -> Option<Refusal> {
        let missing = spec.node_selector.iter().find(|(key, value)| self.labels.get(*key) != Some(value));
        if let Some((key, value)) = missing {
            let (key, value, actual) =
                (key.to_string(), value.to_string(), self.labels.get(key).map(ToString::to_string));
            return Some(Refusal::Label { key, value, actual });
        }
        if let Some(terms) = required_terms(spec)
            && !terms.iter().any(|term| self.satisfies(term))
        {
            return Some(Refusal::Affinity(terms.iter().map(words).collect::<Vec<_>>().join(" or ")));
        }
        let mut taints = self.taints.iter().filter(|taint| is_hard(taint) && !is_passing(taint));
        taints.find(|taint| !tolerates(&spec.tolerations, taint)).cloned().map(Refusal::Taint)
    }

    /// A term with no rule matches nothing. *Source*: API reference, `NodeSelectorTerm`.
    fn satisfies(&self, term: &Value) -> bool {
        let (expressions, fields) = (rules(term, "matchExpressions"), rules(term, "matchFields"));
        if expressions.is_empty() && fields.is_empty() {
            return false;
        }
        let name: Labels = [("metadata.name".into(), self.name.into())].into();
        expressions.iter().all(|rule| rule.holds(self.labels)) && fields.iter().all(|rule| rule.holds(&name))
    }
}

fn required_terms(spec: &PodSpec) -> Option<&Vec<Value>> {
    let pointer = "/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    spec.affinity.as_ref()?.pointer(pointer)?.as_array()
}

fn rules(term: &Value, key: &str) -> Vec<Requirement> {
    let all = term.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    // A rule that cannot be read has no operator, and so holds nowhere.
    all.iter().map(|rule| serde_json::from_value(rule.clone()).unwrap_or_default()).collect()
}

fn words(term: &Value) -> String {
    let rule = |rule: &Requirement| {
        let values = rule.values.join(",");
        format!("{} {} {values}", rule.key, rule.operator).trim_end().to_owned()
    };
    let all = [rules(term, "matchExpressions"), rules(term, "matchFields")].concat();
    all.iter().map(rule).collect::<Vec<_>>().join(" and ")
}

fn is_hard(taint: &Taint) -> bool {
    matches!(taint.effect.as_ref(), "NoSchedule" | "NoExecute")
}

fn is_passing(taint: &Taint) -> bool {
    PASSING.iter().any(|begin| taint.key.starts_with(begin))
}

/// Whether one of the tolerations tolerates a taint.
///
/// *Source*: Kubernetes 1.33, `staging/src/k8s.io/api/core/v1/toleration.go`, `ToleratesTaint`.
#[must_use]
pub fn tolerates(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| {
        let effect = toleration.effect.is_empty() || toleration.effect == taint.effect;
        let key = toleration.key.is_empty() || toleration.key == taint.key;
        let value = match toleration.operator.as_ref() {
            "Exists" => true,
            "" | "Equal" => toleration.value == taint.value && !toleration.key.is_empty(),
            _ => false,
        };
        effect && key && value
    })
}

/// Whether the tolerations tolerate every taint that keeps pods from being scheduled.
#[must_use]
pub fn tolerates_everything(tolerations: &[Toleration]) -> bool {
    let every = |toleration: &Toleration| {
        toleration.key.is_empty()
            && toleration.operator.as_ref() == "Exists"
            && matches!(toleration.effect.as_ref(), "" | "NoSchedule")
    };
    tolerations.iter().any(every)
}

/// The JSON patch by which a template tolerates a taint. The API server appends to no list that is not there.
#[must_use]
pub fn toleration_patch(tolerations: &[Toleration], key: &str, effect: &str) -> String {
    let toleration = serde_json::json!({"key": key, "operator": "Exists", "effect": effect});
    let list = "/spec/template/spec/tolerations";
    let operation = if tolerations.is_empty() {
        serde_json::json!([{"op": "add", "path": list, "value": [toleration]}])
    } else {
        serde_json::json!([{"op": "add", "path": format!("{list}/-"), "value": toleration}])
    };
    operation.to_string()
}

/// How many nodes a command names before it says that there are more.
const NAMED: usize = 20;

/// The command that changes a label of these nodes; `label` is as kubectl reads it, quoted for a shell: `key=value`, `key-`.
#[must_use]
pub fn label_command(nodes: &[&str], label: &str) -> String {
    let names: Vec<String> = nodes.iter().take(NAMED).map(|name| shell_word(name)).collect();
    let rest = match nodes.len() - names.len() {
        0 => String::new(),
        others => format!(" (and {others} more nodes)"),
    };
    format!("kubectl label node {} {label}{rest}", names.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn toleration(key: &str, operator: &str, value: &str, effect: &str) -> Toleration {
        Toleration { key: key.into(), operator: operator.into(), value: value.into(), effect: effect.into() }
    }

    #[test]
    fn a_toleration_tolerates_as_kubernetes_says() {
        let taint = Taint { key: "a".into(), value: "1".into(), effect: "NoSchedule".into() };
        for (key, operator, value, effect, tolerated) in [
            ("", "Exists", "", "", true),
            ("", "Exists", "", "NoExecute", false),
            ("a", "Exists", "", "NoSchedule", true),
            ("a", "Equal", "1", "", true),
            ("a", "", "1", "", true),
            ("a", "Equal", "2", "", false),
            ("b", "Exists", "", "", false),
            ("", "Equal", "1", "", false),
        ] {
            let toleration = toleration(key, operator, value, effect);
            assert_eq!(tolerates(std::slice::from_ref(&toleration), &taint), tolerated, "{toleration:?}");
        }
        assert!(!tolerates(&[], &taint));
    }

    #[test]
    fn a_command_names_no_more_nodes_than_a_person_reads() {
        let names: Vec<String> = (0..=NAMED + 1).map(|number| format!("n{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(label_command(&names[..2], "a=1"), "kubectl label node n0 n1 a=1");
        assert!(label_command(&names, "a-").ends_with(" n19 a- (and 2 more nodes)"));
    }

    #[test]
    fn only_a_toleration_without_a_key_tolerates_everything() {
        for (key, effect, all) in
            [("", "", true), ("", "NoSchedule", true), ("", "NoExecute", false), ("a", "", false)]
        {
            assert_eq!(tolerates_everything(&[toleration(key, "Exists", "", effect)]), all, "{key} {effect}");
        }
    }

    /// The node has the labels a=1 and the taint t:NoSchedule. Each row: what the template says, and a word of the refusal.
    #[test]
    fn a_node_refuses_with_the_reason() {
        let labels: Labels = [("a".into(), "1".into())].into();
        let taint =
            |key: &str, effect: &str| Taint { key: key.into(), value: "".into(), effect: effect.into() };
        let taints = [
            taint("t", "NoSchedule"),
            taint("p", "PreferNoSchedule"),
            taint("node.kubernetes.io/not-ready", "NoExecute"),
        ];
        let place = Place { name: "n1", labels: &labels, taints: &taints };
        let tolerant = json!([{"key": "t", "operator": "Exists"}]);
        let affinity = |terms: Value| json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}});
        let rule = |key: &str, operator: &str, values: &[&str]| json!({"key": key, "operator": operator, "values": values});
        for (spec, refusal) in [
            (json!({"tolerations": tolerant}), None),
            (json!({}), Some("taint t:NoSchedule")),
            (json!({"tolerations": tolerant, "nodeSelector": {"a": "1"}}), None),
            (json!({"tolerations": tolerant, "nodeSelector": {"a": "2"}}), Some("label a is 1")),
            (json!({"tolerations": tolerant, "nodeSelector": {"b": "2"}}), Some("no label b=2")),
            (
                json!({"tolerations": tolerant, "affinity": affinity(json!([{"matchExpressions": [rule("a", "In", &["1"])]}]))}),
                None,
            ),
            (
                json!({"tolerations": tolerant, "affinity": affinity(json!([{"matchExpressions": [rule("a", "NotIn", &["1"])]}]))}),
                Some("a NotIn 1"),
            ),
            (
                json!({"tolerations": tolerant, "affinity": affinity(json!([{"matchExpressions": [rule("b", "Exists", &[])]}, {"matchExpressions": [rule("a", "Exists", &[])]}]))}),
                None,
            ),
            (json!({"tolerations": tolerant, "affinity": affinity(json!([{}]))}), Some("does not match")),
            (
                json!({"tolerations": tolerant, "affinity": affinity(json!([{"matchFields": [rule("metadata.name", "In", &["n1"])]}]))}),
                None,
            ),
            (
                json!({"tolerations": tolerant, "affinity": affinity(json!([{"matchFields": [rule("metadata.name", "In", &["n2"])]}]))}),
                Some("metadata.name In n2"),
            ),
        ] {
            let template: PodSpec = serde_json::from_value(spec.clone()).expect("a template");
            let why = place.refusal(&template).map(|why| why.to_string());
            match refusal {
                None => assert_eq!(why, None, "{spec}"),
                Some(words) => {
                    assert!(why.as_ref().is_some_and(|why| why.contains(words)), "{spec}: {why:?}")
                }
            }
        }
    }
}
