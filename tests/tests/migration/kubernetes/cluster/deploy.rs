//! The manifests of `deploy/`, as `kubectl apply --server-side` sends them.

use anyhow::{Context, Result, ensure};
use lab::install::daemonset::manifest;
use serde_json::Value;

use crate::server;
use lab::kubernetes::Client;

lab::trials![every_manifest_is_applied_as_it_is];

const APPLY: &str = "application/apply-patch+yaml";

/// Since this minor release a container's security context has `appArmorProfile`; an earlier server refuses a patch with the field.
const FIELD_SINCE: u32 = 30;

fn minor_version(admin: &Client) -> Result<u32> {
    let version = admin.get("/version")?.object()?;
    let minor = version["minor"].as_str().context("the server's minor version")?;
    minor.trim_end_matches('+').parse().with_context(|| format!("minor version {minor:?}"))
}

/// Does to a manifest what docs/daemonset.md has people do for an earlier server: `sed '/appArmorProfile:/d'`.
fn remove_field(document: &mut Value) {
    for list in ["initContainers", "containers"] {
        let containers = document.pointer_mut(&format!("/spec/template/spec/{list}"));
        for container in containers.and_then(Value::as_array_mut).into_iter().flatten() {
            let context = container.get_mut("securityContext").and_then(Value::as_object_mut);
            context.and_then(|context| context.remove("appArmorProfile"));
        }
    }
}

fn every_manifest_is_applied_as_it_is() -> Result<()> {
    let admin = server()?.admin()?;
    let knows_field = minor_version(&admin)? >= FIELD_SINCE;
    for file in manifest::FILES {
        for mut document in manifest::documents(file)? {
            if !knows_field {
                remove_field(&mut document);
            }
            apply(&admin, &document).with_context(|| file.to_owned())?;
        }
    }
    // One after the other they are one DaemonSet, which in the end takes us away.
    let set = admin.get("/apis/apps/v1/namespaces/crossfade-system/daemonsets/crossfade")?.object()?;
    let [init] = set["spec"]["template"]["spec"]["initContainers"].as_array().context("init")?.as_slice()
    else {
        anyhow::bail!("something of the others is left: {set:#}");
    };
    ensure!(init["name"] == "remove", "{init:#}");
    // A field that is no field: what is accepted above was looked at.
    let mut wrong = manifest::documents("pod.yaml")?.remove(0);
    wrong["spec"]["template"]["spec"]["hostNetwrok"] = Value::Bool(true);
    ensure!(apply(&admin, &wrong).is_err(), "a misspelt field was taken");
    Ok(())
}

fn apply(admin: &Client, document: &Value) -> Result<()> {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (kind, name) = (text("/kind"), text("/metadata/name"));
    let collection = match kind {
        "Namespace" => "/api/v1/namespaces".to_owned(),
        "ServiceAccount" => "/api/v1/namespaces/crossfade-system/serviceaccounts".to_owned(),
        "ConfigMap" => "/api/v1/namespaces/crossfade-system/configmaps".to_owned(),
        "DaemonSet" => "/apis/apps/v1/namespaces/crossfade-system/daemonsets".to_owned(),
        other => anyhow::bail!("kind {other}"),
    };
    let path = format!("{collection}/{name}?fieldManager=test&force=true");
    admin.patch(&path, APPLY, document)?.object().map(drop)
}
