//! The first object of a snapshot file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Cluster, IllegibleObject, Kind, Reading};

/// What begins a snapshot file; one object per line follows, each as the API writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Always `snapshot`.
    pub crossfade: String,
    /// Version of the file's shape; 1.
    pub version: u32,
    /// The cluster itself.
    #[serde(default)]
    pub cluster: Cluster,
    /// How each kind was read.
    #[serde(default)]
    pub kinds: BTreeMap<Kind, Reading>,
    /// The objects that could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub illegible: Vec<IllegibleObject>,
}

impl Header {
    /// What the key `crossfade` says in a snapshot file.
    pub const SNAPSHOT: &'static str = "snapshot";
    /// The version that this program reads and writes.
    pub const VERSION: u32 = 1;

    /// Reads the object that begins a snapshot file.
    ///
    /// # Errors
    /// Why it is none, or none that this program knows.
    pub fn read(value: serde_json::Value) -> Result<Self, String> {
        let version = value.get("version").and_then(serde_json::Value::as_u64);
        if version.is_some_and(|version| version != u64::from(Self::VERSION)) {
            return Err(format!(
                "the snapshot has version {}, this program reads version {}; use the release that wrote it",
                version.unwrap_or_default(),
                Self::VERSION
            ));
        }
        let header: Self =
            serde_json::from_value(value).map_err(|e| format!("the snapshot's header: {e}"))?;
        if header.crossfade == Self::SNAPSHOT {
            Ok(header)
        } else {
            Err(format!("expected a snapshot, found {:?}", header.crossfade))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_later_version_is_refused_by_name() {
        let why =
            Header::read(json!({"crossfade": "snapshot", "version": 2, "new": 1})).expect_err("refused");
        assert!(why.contains("version 2"), "{why}");
        let header = Header::read(json!({"crossfade": "snapshot", "version": 1, "kinds": {"Pod": "read"}}));
        assert_eq!(header.expect("read").kinds[&Kind::POD], Reading::Read);
    }
}
