//! The bytes of a backup.
//!
//! *Shape*: `{"version":1,"cluster":{"uid":"..","apiServer":"v1.29.3"},"kinds":{"tiers.projectcalico.org":{"reading":"read","apiVersion":
//! "projectcalico.org/v3","objects":2},"tiers.crd.antrea.io":{"reading":"notServed"}},"objects":[{"apiVersion":..}]}`, without white space, keys and
//! objects in the order of their bytes. So the same policies of the same cluster give the same bytes, and `sha256sum` gives the hash of the file's name.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::object::{Id, strip_volatile};
use crate::plan::canon::{self, sha256};

/// Version of the file.
pub const VERSION: u64 = 1;
/// How a file is called before its hash.
const PREFIX: &str = "policies-";
/// How a file is called behind its hash.
const SUFFIX: &str = ".json";
/// Digits of a hash.
const DIGITS: usize = 64;

/// A cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "About"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterId {
    /// The UID of its namespace `kube-system`, which tells it from all others.
    pub uid: String,
    /// The version of its API server: `v1.29.3`.
    pub api_server: String,
}

/// How a kind was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "reading", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Reading {
    /// All of its objects are there.
    Read {
        /// From this group and version.
        api_version: String,
        /// How many there are.
        objects: usize,
    },
    /// The API server does not serve it.
    NotServed {},
}

/// The policies of a cluster, with all that belongs to them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Backup {
    /// Version of this file; 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1)))]
    pub version: u64,
    /// The cluster that they are of.
    pub cluster: ClusterId,
    /// How each kind was read, by what `kubectl get` calls it.
    pub kinds: BTreeMap<String, Reading>,
    /// The objects, in the order of their kinds, namespaces and names, without status, resourceVersion and managedFields.
    pub objects: Vec<Value>,
}

impl Backup {
    /// Makes a backup of objects as an API server has them.
    ///
    /// # Errors
    /// An object has no proper name, or two have the same one.
    pub fn new(
        cluster: ClusterId,
        kinds: BTreeMap<String, Reading>,
        objects: Vec<Value>,
    ) -> Result<Self, String> {
        let mut sorted = BTreeMap::new();
        for object in objects {
            let id = Id::read(&object)?;
            if let Some(twice) = sorted.insert(id, strip_volatile(object)) {
                return Err(format!("{} was listed twice", Id::read(&twice)?));
            }
        }
        Ok(Self { version: VERSION, cluster, kinds, objects: sorted.into_values().collect() })
    }

    /// The bytes of the file.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = canon::bytes(self);
        bytes.push(b'\n');
        bytes
    }

    /// The objects by their names.
    ///
    /// # Errors
    /// An object has no proper name, or two have the same one.
    pub fn index_by_name(&self) -> Result<BTreeMap<Id, &Value>, String> {
        let mut all = BTreeMap::new();
        for object in &self.objects {
            let id = Id::read(object)?;
            if all.insert(id.clone(), object).is_some() {
                return Err(format!("{id} is there twice"));
            }
        }
        Ok(all)
    }
}

/// The file's name: `policies-<hash of its bytes>.json`.
#[must_use]
pub fn name(hash: &str) -> String {
    format!("{PREFIX}{hash}{SUFFIX}")
}

/// Whether a file is what its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Verified"))]
#[serde(rename_all = "camelCase")]
pub enum Verification {
    /// The bytes have the hash of the name.
    Hash,
    /// The name has no hash, so that nothing says whether the file was changed.
    Nothing,
}

/// Reads the bytes of a file of this name, and gives their hash.
///
/// # Errors
/// The bytes do not have the hash of the name, they are no backup, or one of another version.
pub fn read(name: &str, bytes: &[u8]) -> Result<(Backup, String, Verification), String> {
    let hash = sha256(bytes);
    let verified = match hash_in_name(name) {
        Some(expected) if expected == hash => Verification::Hash,
        Some(expected) => {
            return Err(format!(
                "the file was changed: its name says {expected}, and its bytes have the hash {hash}"
            ));
        }
        None => Verification::Nothing,
    };
    let value: Value =
        serde_json::from_slice(bytes).map_err(|e| format!("this is no backup of policies: {e}"))?;
    match value.get("version").and_then(Value::as_u64) {
        Some(VERSION) => {}
        Some(version) => {
            return Err(format!(
                "the backup has version {version}, and this program reads version {VERSION}"
            ));
        }
        None => {
            return Err(format!("this is no backup of policies: version: expected {VERSION}, found nothing"));
        }
    }
    let backup: Backup =
        serde_json::from_value(value).map_err(|e| format!("the backup cannot be read: {e}"))?;
    let ids: BTreeSet<Id> = backup
        .index_by_name()
        .map_err(|why| format!("the backup cannot be read: {why}"))?
        .into_keys()
        .collect();
    for (resource, reading) in &backup.kinds {
        let Reading::Read { api_version, objects } = reading else { continue };
        let is_its = |id: &&Id| {
            id.api_version == *api_version && id.row().is_some_and(|row| row.resource() == *resource)
        };
        let count = ids.iter().filter(is_its).count();
        if count != *objects {
            return Err(format!(
                "the backup is not whole: {resource}: expected {objects} objects, found {count}"
            ));
        }
    }
    Ok((backup, hash, verified))
}

/// The hash in a file's name.
fn hash_in_name(name: &str) -> Option<String> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let is_hash = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| digits.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tier(name: &str, version: &str) -> Value {
        json!({"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": name, "uid": name, "resourceVersion": version}, "spec": {"order": 1.5}})
    }

    fn backup(objects: Vec<Value>) -> Backup {
        let read = Reading::Read { api_version: "projectcalico.org/v3".into(), objects: objects.len() };
        let kinds = [
            ("tiers.projectcalico.org".into(), read),
            ("groups.crd.antrea.io".into(), Reading::NotServed {}),
        ];
        let cluster = ClusterId { uid: "u".into(), api_server: "v1.29.3".into() };
        Backup::new(cluster, kinds.into(), objects).expect("a backup")
    }

    #[test]
    fn the_same_policies_give_the_same_bytes() {
        let bytes = backup(vec![tier("a", "1"), tier("b", "2")]).bytes();
        assert_eq!(bytes, backup(vec![tier("b", "9"), tier("a", "8")]).bytes());
        assert_ne!(bytes, backup(vec![tier("a", "1"), tier("c", "2")]).bytes());
        let text = String::from_utf8(bytes).expect("UTF-8");
        assert_eq!(
            text,
            r#"{"cluster":{"apiServer":"v1.29.3","uid":"u"},"kinds":{"groups.crd.antrea.io":{"reading":"notServed"},"tiers.projectcalico.org":{"apiVersion":"projectcalico.org/v3","objects":2,"reading":"read"}},"objects":[{"apiVersion":"projectcalico.org/v3","kind":"Tier","metadata":{"name":"a","uid":"a"},"spec":{"order":1.5}},{"apiVersion":"projectcalico.org/v3","kind":"Tier","metadata":{"name":"b","uid":"b"},"spec":{"order":1.5}}],"version":1}"#
                .to_owned()
                + "\n"
        );
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let backup = backup(vec![tier("a", "1")]);
        let bytes = backup.bytes();
        let hash = sha256(&bytes);
        for (name, verified) in [
            (name(&hash), Verification::Hash),
            (
                name(&hash).to_uppercase().replace("POLICIES", "policies").replace("JSON", "json"),
                Verification::Hash,
            ),
            ("before-the-migration.json".into(), Verification::Nothing),
            ("policies-.json".into(), Verification::Nothing),
        ] {
            assert_eq!(read(&name, &bytes), Ok((backup.clone(), hash.clone(), verified)), "{name}");
        }
    }

    #[test]
    fn a_file_that_is_not_what_was_written_is_refused() {
        let good = backup(vec![tier("a", "1")]);
        let named = name(&sha256(&good.bytes()));
        let why = read(&named, &backup(vec![tier("b", "1")]).bytes()).expect_err("changed");
        assert!(why.starts_with("the file was changed: "), "{why}");
        let changed = |change: &dyn Fn(&mut Value)| {
            let mut value = serde_json::to_value(&good).expect("JSON");
            change(&mut value);
            read("a.json", value.to_string().as_bytes()).expect_err("refused")
        };
        for (why, says) in [
            (
                changed(&|value| value["version"] = 2.into()),
                "has version 2, and this program reads version 1",
            ),
            (changed(&|value| *value = json!({})), "version: expected 1, found nothing"),
            (
                changed(&|value| value["objects"] = json!([])),
                "tiers.projectcalico.org: expected 1 objects, found 0",
            ),
            (changed(&|value| value["more"] = 1.into()), "unknown field `more`"),
            (changed(&|value| value["objects"][0]["kind"] = "Secret".into()), "no kind of policies"),
            (changed(&|value| value["objects"] = json!([tier("a", "1"), tier("a", "1")])), "is there twice"),
            (read("a.json", b"[").expect_err("refused"), "this is no backup of policies"),
        ] {
            assert!(why.contains(says), "{why}");
        }
    }
}
