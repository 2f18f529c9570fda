//! The comparison of an object that was sent with the one that the API server stored.
//!
//! API servers before 1.25 accept unknown fields and drop them in silence, and those after it say so only if they are asked. A dropped field may be
//! the condition of a rule, so that the policy allows more than it says. Comparing what was sent with what is stored finds it on every release.

use serde::Serialize;
use serde_json::Value;

use super::object::user_fields;

/// A field that is not as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Difference {
    /// The API server dropped it.
    Dropped(String),
    /// The API server stored something else.
    Changed(String),
    /// The API server added it.
    Added(String),
}

impl Difference {
    /// The field, such as `spec.ingress[0].from`.
    #[must_use]
    pub fn field(&self) -> &str {
        match self {
            Self::Dropped(field) | Self::Changed(field) | Self::Added(field) => field,
        }
    }

    /// What was sent is not stored.
    #[must_use]
    pub const fn is_loss(&self) -> bool {
        !matches!(self, Self::Added(_))
    }
}

/// Compares an object that was sent with the one that is stored, without what belongs to one life of it.
///
/// An empty list of a built-in kind counts as none: the API server's own types do not tell them apart. With CustomResourceDefinitions they do.
#[must_use]
pub fn differences(sent: &Value, stored: &Value) -> Vec<Difference> {
    let group = sent["apiVersion"].as_str().unwrap_or_default();
    let mut collector = DifferenceCollector { is_builtin: group == "networking.k8s.io/v1", all: Vec::new() };
    collector.value("", Some(&user_fields(sent)), Some(&user_fields(stored)));
    collector.all
}

/// Whether both say the same.
#[must_use]
pub fn is_equal(object: &Value, other: &Value) -> bool {
    user_fields(object) == user_fields(other)
}

struct DifferenceCollector {
    is_builtin: bool,
    all: Vec<Difference>,
}

impl DifferenceCollector {
    fn value(&mut self, path: &str, sent: Option<&Value>, stored: Option<&Value>) {
        match (self.non_null(sent), self.non_null(stored)) {
            (None, None) => {}
            (Some(_), None) => self.all.push(Difference::Dropped(path.to_owned())),
            (None, Some(_)) => self.all.push(Difference::Added(path.to_owned())),
            (Some(Value::Object(sent)), Some(Value::Object(stored))) => {
                let mut keys: Vec<&String> = sent.keys().chain(stored.keys()).collect();
                keys.sort();
                keys.dedup();
                for key in keys {
                    self.value(&child_path(path, key), sent.get(key), stored.get(key));
                }
            }
            (Some(Value::Array(sent)), Some(Value::Array(stored))) => {
                for index in 0..sent.len().max(stored.len()) {
                    self.value(&format!("{path}[{index}]"), sent.get(index), stored.get(index));
                }
            }
            (Some(sent), Some(stored)) if sent == stored => {}
            (Some(_), Some(_)) => self.all.push(Difference::Changed(path.to_owned())),
        }
    }

    /// The value, if it says something: null never does.
    fn non_null<'a>(&self, value: Option<&'a Value>) -> Option<&'a Value> {
        value
            .filter(|value| !value.is_null())
            .filter(|value| !self.is_builtin || value.as_array().is_none_or(|items| !items.is_empty()))
    }
}

/// The path of a key: `spec.selector`, and `metadata.annotations["a.b/c"]` if a dot would mislead.
fn child_path(path: &str, key: &str) -> String {
    match (path, key.contains(['.', '/'])) {
        ("", _) => key.to_owned(),
        (path, false) => format!("{path}.{key}"),
        (path, true) => format!("{path}[{key:?}]"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn custom(spec: &Value) -> Value {
        json!({"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": {"name": "a"}, "spec": spec})
    }

    #[test]
    fn a_field_that_is_not_as_it_was_sent_is_named() {
        use Difference::{Added, Changed, Dropped};
        for (sent, stored, expected) in [
            (json!({"a": 1}), json!({"a": 1}), vec![]),
            (json!({"a": {"b": 1}}), json!({"a": {}}), vec![Dropped("spec.a.b".into())]),
            (json!({"a": {"b": 1}}), json!({"a": {"b": 2}}), vec![Changed("spec.a.b".into())]),
            (
                json!({"a": [{"b": 1}, {"c": 2}]}),
                json!({"a": [{"b": 1}, {}]}),
                vec![Dropped("spec.a[1].c".into())],
            ),
            (json!({"a": [1, 2]}), json!({"a": [1]}), vec![Dropped("spec.a[1]".into())]),
            (json!({"a": [1]}), json!({"a": [1, 2]}), vec![Added("spec.a[1]".into())]),
            (json!({}), json!({"type": "x"}), vec![Added("spec.type".into())]),
            (json!({"a": {}}), json!({}), vec![Dropped("spec.a".into())]),
            (json!({"a": []}), json!({}), vec![Dropped("spec.a".into())]),
            (json!({"a": null}), json!({}), vec![]),
            (json!({"a": {"k8s:x.y": 1}}), json!({"a": {}}), vec![Dropped("spec.a[\"k8s:x.y\"]".into())]),
            (json!({"a": 80}), json!({"a": "80"}), vec![Changed("spec.a".into())]),
        ] {
            assert_eq!(differences(&custom(&sent), &custom(&stored)), expected, "{sent} {stored}");
        }
    }

    #[test]
    fn an_empty_list_says_nothing_in_kinds_of_kubernetes_itself() {
        let value_of = |spec: Value| json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "a", "namespace": "x"}, "spec": spec});
        let sent = value_of(json!({"podSelector": {}, "ingress": [], "policyTypes": ["Ingress"]}));
        let stored = value_of(json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
        assert_eq!(differences(&sent, &stored), vec![]);
        assert_eq!(differences(&value_of(json!({"podSelector": {}})), &value_of(json!({}))).len(), 1);
    }

    #[test]
    fn what_belongs_to_one_life_of_an_object_is_not_compared() {
        let (mut object, mut other) = (custom(&json!({"a": 1})), custom(&json!({"a": 1})));
        object["metadata"]["uid"] = "u".into();
        other["metadata"]["resourceVersion"] = "7".into();
        other["status"] = json!({"x": 1});
        assert!(is_equal(&object, &other) && differences(&object, &other).is_empty());
        other["metadata"]["labels"] = json!({"l": "m"});
        assert!(!is_equal(&object, &other));
        assert_eq!(differences(&other, &object), [Difference::Dropped("metadata.labels".into())]);
    }
}
