//! ConfigMaps as the API has them.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use crate::live::api::path::{MANAGER, NAMESPACE, config_map, config_maps, with_query};

/// The label that names the run that an object belongs to.
pub(super) const RUN_LABEL: &str = "crossfade/run";
/// The label that names a plan by the first characters of its hash.
pub(super) const PLAN_LABEL: &str = "crossfade/plan";
/// The label that tells journals from other objects of a run.
pub(super) const PART_LABEL: &str = "crossfade/part";
/// The run that is not over.
pub(in crate::live) const RUN: &str = "crossfade-run";
/// Its key that the holder writes.
pub(in crate::live) const RUN_KEY: &str = "run.json";
/// Its key that every command writes.
pub(super) const WISH_KEY: &str = "wish.json";
/// A list of which only the metadata arrives. *Source*: Kubernetes, "API Concepts", "Receiving resources as Tables", `as=PartialObjectMetadataList`.
pub(super) const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// A ConfigMap, as far as it is read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ConfigMap {
    pub(super) metadata: Meta,
    pub(super) data: BTreeMap<String, String>,
    pub(super) binary_data: BTreeMap<String, k8s_openapi::ByteString>,
}

/// Its metadata.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Meta {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) resource_version: String,
    pub(super) labels: BTreeMap<String, String>,
}

/// A list of objects, of which only the metadata is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct MetaList {
    /// Go writes null for an empty list.
    items: Option<Vec<MetaItem>>,
}

/// An object of such a list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MetaItem {
    metadata: Meta,
}

impl MetaList {
    /// Their metadata.
    pub(super) fn all(self) -> impl Iterator<Item = Meta> {
        self.items.unwrap_or_default().into_iter().map(|item| item.metadata)
    }

    pub(super) fn names(self) -> impl Iterator<Item = String> {
        self.all().map(|meta| meta.name)
    }
}

/// A new ConfigMap.
pub(super) fn new(name: &str, labels: &[(&str, &str)], data: &[(&str, &str)]) -> Value {
    let map = |pairs: &[(&str, &str)]| -> Map<String, Value> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect()
    };
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": NAMESPACE, "labels": map(labels) },
        "data": map(data),
    })
}

/// A change of some keys of a ConfigMap as it was at a version. A key without a value is taken away.
pub(super) fn change_object(version: &str, labels: &[(&str, &str)], data: &[(&str, Option<&str>)]) -> Value {
    let mut change = json!({ "metadata": { "resourceVersion": version }, "data": {} });
    for (key, value) in labels {
        change["metadata"]["labels"][*key] = (*value).into();
    }
    for (key, value) in data {
        change["data"][*key] = (*value).into();
    }
    change
}

/// The path on which the holder creates a ConfigMap.
pub(super) fn create_path() -> String {
    with_query(&config_maps(), &[("fieldManager", MANAGER)])
}

/// The path on which a field manager changes a ConfigMap.
pub(super) fn change_path(name: &str, manager: &str) -> String {
    with_query(&config_map(name), &[("fieldManager", manager)])
}

/// The bytes of an object.
pub(super) fn bytes(object: &Value) -> Vec<u8> {
    object.to_string().into_bytes()
}
