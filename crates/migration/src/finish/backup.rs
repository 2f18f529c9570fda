//! The backup of what is removed: the file of `policies backup`, with all objects of the old CNI in it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::plan::{Inventory, text};
use super::{CLOSED, FENCE};
use crate::backup::file::{Backup, ClusterId, Reading, VERSION};
use crate::backup::object::{strip_volatile, user_fields};
use crate::cni::footprint::Target;
use crate::plan::canon::sha256;

/// The API server counts the templates of a DaemonSet in it. *Source*: Kubernetes, `staging/src/k8s.io/api/apps/v1/types.go`.
const TEMPLATE: &str = "deprecated.daemonset.template.generation";

/// What one object is called: group and version, kind, namespace and name.
type Name = (String, String, String, String);

/// The backup of what is there, over what an earlier one has: what was deleted since stays in it.
#[must_use]
pub fn backup(inventory: &Inventory, earlier: Option<&Backup>) -> Backup {
    let mut objects: BTreeMap<Name, Value> = earlier
        .iter()
        .flat_map(|backup| &backup.objects)
        .map(|object| (name(object), object.clone()))
        .collect();
    let current = inventory.objects.iter().filter(|(target, _)| is_kept(target));
    objects.extend(current.map(|(target, object)| (of_target(target), stored_form(target, object))));
    let mut kinds: BTreeMap<String, Reading> = BTreeMap::new();
    for (version, kind, ..) in objects.keys() {
        let reading = kinds
            .entry(format!("{kind}.{version}"))
            .or_insert_with(|| Reading::Read { api_version: version.clone(), objects: 0 });
        if let Reading::Read { objects, .. } = reading {
            *objects += 1;
        }
    }
    Backup {
        version: VERSION,
        cluster: inventory.cluster.clone(),
        kinds,
        objects: objects.into_values().collect(),
    }
}

/// What is there and not in a backup as it is.
#[must_use]
pub fn lacking(inventory: &Inventory, backup: &Backup) -> Vec<String> {
    let objects: BTreeMap<Name, &Value> =
        backup.objects.iter().map(|object| (name(object), object)).collect();
    let is_lacking = |(target, object): &(&Target, &Value)| {
        let stored = objects.get(&of_target(target)).map(|object| user_fields(object));
        stored.as_ref() != Some(&user_fields(&stored_form(target, object)))
    };
    let current = inventory.objects.iter().filter(|(target, _)| is_kept(target));
    current.filter(is_lacking).map(|(target, _)| target.to_string()).collect()
}

/// Reads the bytes of a backup whose hash is known.
///
/// # Errors
/// The bytes have another hash, are no backup, or are one of another cluster.
pub fn read(bytes: &[u8], hash: &str, cluster: &ClusterId) -> Result<Backup, String> {
    let actual = sha256(bytes);
    if actual != hash {
        return Err(format!("the file was changed: expected the hash {hash}, found {actual}"));
    }
    let backup: Backup = serde_json::from_slice(bytes).map_err(|e| format!("this is no backup: {e}"))?;
    if backup.cluster.uid != cluster.uid {
        return Err(format!(
            "it is of another cluster: expected {}, found {}",
            cluster.uid, backup.cluster.uid
        ));
    }
    Ok(backup)
}

/// The name of the file with this hash.
#[must_use]
pub fn file_name(hash: &str) -> String {
    format!("finish-{hash}.json")
}

/// Locks say only who holds them.
fn is_kept(target: &Target) -> bool {
    target.kind != "Lease"
}

/// An object as a backup keeps it: without the fence, so that the file has the agents as they were before.
fn stored_form(target: &Target, object: &Value) -> Value {
    let mut object = strip_volatile(object.clone());
    if let Some(map) = object.as_object_mut() {
        // Lists leave both out.
        map.insert("apiVersion".into(), target.api_version.clone().into());
        map.insert("kind".into(), target.kind.clone().into());
    }
    if let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        // A controller and the API server count in these, and what is deleted has them.
        for key in ["generation", "deletionTimestamp", "deletionGracePeriodSeconds"] {
            metadata.remove(key);
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(TEMPLATE);
        }
    }
    if let Some(spec) = object.pointer_mut("/spec/template/spec").and_then(Value::as_object_mut) {
        let selector = spec.get_mut("nodeSelector").and_then(Value::as_object_mut);
        let is_empty = selector.is_some_and(|selector| {
            if selector.get(FENCE).and_then(Value::as_str) == Some(CLOSED) {
                selector.remove(FENCE);
            }
            selector.is_empty()
        });
        if is_empty {
            spec.remove("nodeSelector");
        }
    }
    object
}

fn name(object: &Value) -> Name {
    let part = |pointer: &str| text(object, pointer).to_owned();
    (part("/apiVersion"), part("/kind"), part("/metadata/namespace"), part("/metadata/name"))
}

fn of_target(target: &Target) -> Name {
    let namespace = target.namespace.clone().unwrap_or_default();
    (target.api_version.clone(), target.kind.clone(), namespace, target.name.clone())
}
