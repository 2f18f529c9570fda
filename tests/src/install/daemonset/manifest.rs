//! Manifests as they are in the repository, held to the types of the API.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::build::dist;

/// The files of `deploy/` that bring Crossfade to nodes.
pub const FILES: [&str; 7] =
    ["settings.yaml", "pod.yaml", "host.yaml", "sweep.yaml", "cleanup.yaml", "graduate.yaml", "remove.yaml"];

/// All manifests below `deploy/`, by their path there, sorted.
///
/// # Errors
/// A directory cannot be listed.
pub fn all() -> Result<Vec<String>> {
    fn collect(dir: &Path, below: &str, names: &mut Vec<String>) -> Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = format!("{below}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                collect(&entry.path(), &format!("{name}/"), names)?;
            } else if Path::new(&name).extension().is_some_and(|end| end == "yaml") {
                names.push(name);
            }
        }
        Ok(())
    }
    let mut manifests = Vec::new();
    collect(&dist::workspace().join("deploy"), "", &mut manifests)?;
    manifests.sort();
    Ok(manifests)
}

/// The documents of one file, as JSON.
///
/// # Errors
/// It is no YAML.
pub fn documents(file: &str) -> Result<Vec<Value>> {
    let path = dist::workspace().join("deploy").join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    serde_saphyr::from_multiple(&text).with_context(|| file.to_owned())
}

/// The DaemonSet of one file.
///
/// # Errors
/// It is none, or has a field that the API does not know.
pub fn daemonset(file: &str) -> Result<DaemonSet> {
    let [document] = <[Value; 1]>::try_from(documents(file)?)
        .map_err(|all| anyhow::anyhow!("{file}: {} documents, expected one", all.len()))?;
    strict(&document).with_context(|| file.to_owned())
}

/// The settings that the example brings.
///
/// # Errors
/// There is no ConfigMap.
pub fn settings() -> Result<BTreeMap<String, String>> {
    let documents = documents("settings.yaml")?;
    let map = documents.iter().find(|document| document["kind"] == "ConfigMap").context("a ConfigMap")?;
    strict::<ConfigMap>(map)?.data.context("data")
}

/// Holds a document to the type of its kind.
///
/// # Errors
/// What the type says, or a field that it does not have.
pub fn check(document: &Value) -> Result<()> {
    match document["kind"].as_str() {
        Some("Namespace") => strict::<Namespace>(document).map(drop),
        Some("ServiceAccount") => strict::<ServiceAccount>(document).map(drop),
        Some("ConfigMap") => strict::<ConfigMap>(document).map(drop),
        Some("ClusterRole") => strict::<ClusterRole>(document).map(drop),
        Some("ClusterRoleBinding") => strict::<ClusterRoleBinding>(document).map(drop),
        Some("Role") => strict::<Role>(document).map(drop),
        Some("RoleBinding") => strict::<RoleBinding>(document).map(drop),
        Some("DaemonSet") => strict::<DaemonSet>(document).map(drop),
        other => anyhow::bail!("kind {other:?}"),
    }
}

/// The types ignore what they do not know, and write only what they know: what is lost on the way was no field.
fn strict<T: DeserializeOwned + Serialize>(document: &Value) -> Result<T> {
    let typed: T = serde_json::from_value(document.clone())?;
    let known = serde_json::to_value(&typed)?;
    let mut lost = Vec::new();
    compare("", document, &known, &mut lost);
    ensure!(lost.is_empty(), "the API has no field {}", lost.join(", "));
    Ok(typed)
}

fn compare(path: &str, written: &Value, known: &Value, lost: &mut Vec<String>) {
    match (written, known) {
        (Value::Object(written), Value::Object(known)) => {
            for (key, value) in written {
                let path = format!("{path}.{key}");
                match known.get(key) {
                    Some(known) => compare(&path, value, known, lost),
                    None => lost.push(path),
                }
            }
        }
        (Value::Array(written), Value::Array(known)) if written.len() == known.len() => {
            for (index, (written, known)) in written.iter().zip(known).enumerate() {
                compare(&format!("{path}[{index}]"), written, known, lost);
            }
        }
        (written, known) if written == known => {}
        _ => lost.push(format!("{path}, or its value {written}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_that_the_api_does_not_have_is_found() {
        let mut map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "x" } });
        assert!(check(&map).is_ok());
        map["metadata"]["nmae"] = json!("x");
        let message = format!("{:#}", check(&map).expect_err("misspelt"));
        assert!(message.contains(".metadata.nmae"), "{message}");
    }
}
