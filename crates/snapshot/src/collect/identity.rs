//! An object's kind, namespace and name, without the rest of it.

use serde::Deserialize;
use serde_json::Value;

/// What an object is and how it is named.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Identity {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) metadata: NameMeta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NameMeta {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Identity {
    /// That of a value, or of an object in a list that says for all what they are.
    pub(crate) fn read(value: &Value, list_kind: Option<&(String, String)>) -> Option<Self> {
        Self::deserialize(value).ok().map(|identity| identity.or(list_kind))
    }

    /// The same of an object in a list that says for all what they are.
    pub(crate) fn or(self, list_kind: Option<&(String, String)>) -> Self {
        match list_kind {
            Some((api_version, kind)) => {
                Self { api_version: api_version.clone(), kind: kind.clone(), ..self }
            }
            None => self,
        }
    }
}
