//! References to objects of the API.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use snapshot::model::{IllegibleObject, Kind, Meta, Text};

/// An object of the API at one state of its spec.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Reference {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for a kind without one.
    #[serde(skip_serializing_if = "is_empty")]
    pub namespace: Text,
    /// Its name as the object has it. The name of what Calico stores may have that of the tier before it: `default.web`.
    pub name: Text,
    /// Its UID; empty if the object has none, as one of a file that was not applied.
    pub uid: Text,
    /// `metadata.generation`, which counts the changes of its spec. The API server counts from 1, so 0 is an object that does not say.
    pub generation: i64,
}

/// An object that no reader takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadObject {
    pub object: Reference,
    /// Why, in one line for people that does not name the object.
    pub why: String,
}

impl Reference {
    /// The object that some JSON is.
    #[must_use]
    pub fn from_object(kind: Kind, object: &Value) -> Self {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().into();
        Self {
            kind,
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
            uid: text("/metadata/uid"),
            generation: object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default(),
        }
    }

    /// The object with this metadata.
    pub(super) fn from_meta(kind: Kind, meta: &Meta) -> Self {
        Self {
            kind,
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            generation: meta.generation.unwrap_or_default(),
        }
    }

    /// An object that a snapshot could not read.
    pub(super) fn illegible_object(illegible: &IllegibleObject) -> UnreadObject {
        let object = Self {
            kind: illegible.kind,
            namespace: (*illegible.namespace).into(),
            name: (*illegible.name).into(),
            uid: Text::default(),
            generation: 0,
        };
        object.into_unread(&*illegible.why)
    }

    /// As settings and answers name objects: `CalicoNetworkPolicy/shop/web`.
    #[must_use]
    pub fn path(&self) -> String {
        match &*self.namespace {
            "" => format!("{}/{}", self.kind, self.name),
            namespace => format!("{}/{namespace}/{}", self.kind, self.name),
        }
    }

    /// The object is unread for this reason.
    pub(super) fn into_unread(self, why: impl Into<String>) -> UnreadObject {
        UnreadObject { object: self, why: why.into() }
    }
}

fn is_empty(text: &Text) -> bool {
    text.is_empty()
}

/// `CalicoNetworkPolicy shop/web`.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.namespace {
            "" => write!(f, "{} {}", self.kind, self.name),
            namespace => write!(f, "{} {namespace}/{}", self.kind, self.name),
        }
    }
}
