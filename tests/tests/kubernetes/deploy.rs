//! The manifests of `deploy/`, as `kubectl apply --server-side` sends them.

use anyhow::{Context, Result, ensure};
use lab::daemonset::manifest;
use serde_json::Value;

use super::client::Client;
use super::server;

lab::trials![every_manifest_is_applied_as_it_is];

const APPLY: &str = "application/apply-patch+yaml";

fn every_manifest_is_applied_as_it_is() -> Result<()> {
    let admin = server()?.admin()?;
    for file in manifest::FILES {
        for document in manifest::documents(file)? {
            apply(&admin, &document).with_context(|| file.to_owned())?;
        }
    }
    // One after the other they are one DaemonSet, which in the end takes us away.
    let set = admin.get("/apis/apps/v1/namespaces/crossfade/daemonsets/crossfade")?.object()?;
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
        "ServiceAccount" => "/api/v1/namespaces/crossfade/serviceaccounts".to_owned(),
        "ConfigMap" => "/api/v1/namespaces/crossfade/configmaps".to_owned(),
        "DaemonSet" => "/apis/apps/v1/namespaces/crossfade/daemonsets".to_owned(),
        other => anyhow::bail!("kind {other}"),
    };
    let path = format!("{collection}/{name}?fieldManager=test&force=true");
    admin.patch(&path, APPLY, document)?.object().map(drop)
}
