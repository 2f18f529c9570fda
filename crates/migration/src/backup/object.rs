//! An object of the API: its name, and which of its fields are a person's.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kinds::Row;

/// Fields of `metadata` that the API server sets and that change by themselves.
const PASSING: [&str; 3] = ["managedFields", "resourceVersion", "selfLink"];
/// Fields of `metadata` that belong to one life of an object, and are never sent.
///
/// Finalizers are among them: the controller that has to clean up behind an object adds its own. A finalizer whose controller is gone would keep the
/// object for ever.
const OF_ONE_LIFE: [&str; 6] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generation",
    "uid",
];

/// Names one object of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Id {
    /// Group and version, such as `networking.k8s.io/v1`.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// The namespace; none if the kind is of the whole cluster.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl Id {
    /// The name of an object.
    ///
    /// # Errors
    /// It has no kind of policies, no name, or a namespace where it should have none: what was expected.
    pub fn read(object: &Value) -> Result<Self, String> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (api_version, kind) = (text("/apiVersion").to_owned(), text("/kind").to_owned());
        let name = text("/metadata/name").to_owned();
        let what = || format!("the object {kind} {name:?} of {api_version:?}");
        let row = Row::find(&api_version, &kind)
            .ok_or_else(|| format!("{}: this is no kind of policies", what()))?;
        let namespace = Some(text("/metadata/namespace").to_owned()).filter(|name| !name.is_empty());
        if name.is_empty() || row.is_namespaced != namespace.is_some() {
            let expected =
                if row.is_namespaced { "a name and a namespace" } else { "a name and no namespace" };
            return Err(format!("{}: expected {expected}", what()));
        }
        Ok(Self { api_version, kind, namespace, name })
    }

    /// The kind's row.
    #[must_use]
    pub fn row(&self) -> Option<&'static Row> {
        Row::find(&self.api_version, &self.kind)
    }

    /// The API group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }
}

/// `NetworkPolicy.projectcalico.org/shop/allow-dns`, and of Kubernetes' own kinds `NetworkPolicy/shop/allow-dns`.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if self.group() != "networking.k8s.io" {
            write!(f, ".{}", self.group())?;
        }
        if let Some(namespace) = &self.namespace {
            write!(f, "/{namespace}")?;
        }
        write!(f, "/{}", self.name)
    }
}

/// An object as a backup keeps it: all but the status and what changes by itself.
#[must_use]
pub fn strip_volatile(mut object: Value) -> Value {
    remove(&mut object, &PASSING);
    object
}

/// What a person has written of an object: what is sent to an API server, and what is compared.
#[must_use]
pub fn user_fields(object: &Value) -> Value {
    let mut object = strip_volatile(object.clone());
    remove(&mut object, &OF_ONE_LIFE);
    object
}

fn remove(object: &mut Value, fields: &[&str]) {
    let Some(map) = object.as_object_mut() else { return };
    map.remove("status");
    let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    for field in fields {
        metadata.remove(*field);
    }
    // The API server writes no empty map; a client may.
    metadata.retain(|_, value| value.as_object().is_none_or(|map| !map.is_empty()));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object() -> Value {
        json!({
            "apiVersion": "crd.antrea.io/v1beta1", "kind": "NetworkPolicy",
            "metadata": {
                "name": "a", "namespace": "x", "uid": "u", "generation": 3, "resourceVersion": "41", "selfLink": "/a",
                "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": [{}], "finalizers": ["f"],
                "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0,
                "labels": {"l": "m"}, "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
            },
            "spec": {"priority": 5}, "status": {"phase": "Realized"},
        })
    }

    #[test]
    fn a_backup_has_all_that_does_not_change_by_itself() {
        let kept = strip_volatile(object());
        assert_eq!(kept["metadata"]["uid"], "u");
        assert_eq!(kept["metadata"]["generation"], 3);
        assert_eq!(kept["metadata"]["finalizers"], json!(["f"]));
        let keys: Vec<&String> = kept["metadata"].as_object().expect("metadata").keys().collect();
        for gone in PASSING {
            assert!(!keys.iter().any(|key| *key == gone), "{gone}");
        }
        assert!(kept.get("status").is_none());
    }

    #[test]
    fn only_what_a_person_wrote_is_sent() {
        let expected = json!({
            "apiVersion": "crd.antrea.io/v1beta1", "kind": "NetworkPolicy",
            "metadata": {"name": "a", "namespace": "x", "labels": {"l": "m"},
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}},
            "spec": {"priority": 5},
        });
        assert_eq!(user_fields(&object()), expected);
        let bare = json!({"metadata": {"name": "a", "labels": {}}, "spec": {}});
        assert_eq!(user_fields(&bare), json!({"metadata": {"name": "a"}, "spec": {}}), "an empty spec stays");
    }

    #[test]
    fn an_object_without_a_proper_name_is_refused() {
        assert_eq!(Id::read(&object()).expect("a name").to_string(), "NetworkPolicy.crd.antrea.io/x/a");
        let changed = |pointer: &str, value: Value| {
            let mut object = object();
            *object.pointer_mut(pointer).expect("a field") = value;
            Id::read(&object).expect_err("refused")
        };
        assert!(changed("/kind", json!("Secret")).contains("no kind of policies"));
        assert!(changed("/metadata/name", json!("")).contains("a name and a namespace"));
        assert!(changed("/metadata/namespace", Value::Null).contains("a name and a namespace"));
        assert!(changed("/kind", json!("Tier")).contains("a name and no namespace"));
    }
}
