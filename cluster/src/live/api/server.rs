//! An API server's own description: its version, its API groups with their resources, and its cluster's identity.

use kube::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::live::api::error::Meaning;
use crate::live::api::list::ask;

#[derive(Debug, Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
struct Group {
    name: String,
    versions: Vec<Version>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    group_version: String,
}

#[derive(Debug, Deserialize)]
struct Resources {
    resources: Vec<Resource>,
}

#[derive(Debug, Deserialize)]
struct Resource {
    name: String,
}

/// The version of Kubernetes, `v1.34.1`; none if the answer does not say it. Every credential may ask for it.
///
/// # Errors
/// What the refusal means.
pub(in crate::live) async fn version(client: &Client) -> Result<Option<String>, Meaning> {
    text_at(client, "/version", "/gitVersion").await
}

/// The UID of the namespace kube-system, which tells one cluster from another; none if the answer does not say it.
///
/// # Errors
/// What the refusal means.
pub(in crate::live) async fn uid(client: &Client) -> Result<Option<String>, Meaning> {
    text_at(client, "/api/v1/namespaces/kube-system", "/metadata/uid").await
}

/// Each API group with its versions, in the API server's order: `apps` with `apps/v1`. The group without a name is not among them.
///
/// # Errors
/// The path that did not answer, and what that means.
pub(in crate::live) async fn groups(
    client: &Client,
) -> Result<Vec<(String, Vec<String>)>, (String, Meaning)> {
    let Groups { groups } = read(client, "/apis").await?;
    let versions = |all: Vec<Version>| all.into_iter().map(|version| version.group_version).collect();
    Ok(groups.into_iter().map(|group| (group.name, versions(group.versions))).collect())
}

/// The first of these versions that the API server serves of a group; none if it serves none of them.
///
/// # Errors
/// As [`groups`].
pub(in crate::live) async fn served_version(
    client: &Client,
    group: &str,
    versions: &[&'static str],
) -> Result<Option<&'static str>, (String, Meaning)> {
    let served = groups(client).await?.into_iter().find(|(name, _)| name == group);
    let served = served.map(|(_, versions)| versions).unwrap_or_default();
    let is_served = |version: &&&str| served.iter().any(|served| *served == format!("{group}/{version}"));
    Ok(versions.iter().find(is_served).copied())
}

/// The resources of a version such as `apps/v1`, by their plural names.
///
/// # Errors
/// As [`groups`].
pub(in crate::live) async fn resources(
    client: &Client,
    version: &str,
) -> Result<Vec<String>, (String, Meaning)> {
    let Resources { resources } = read(client, &format!("/apis/{version}")).await?;
    Ok(resources.into_iter().map(|resource| resource.name).collect())
}

async fn read<T: DeserializeOwned>(client: &Client, path: &str) -> Result<T, (String, Meaning)> {
    let text_at = |meaning| (path.to_owned(), meaning);
    let text = ask(client, path, &mut |_| {}).await.map_err(text_at)?;
    serde_json::from_str(&text).map_err(|e| text_at(Meaning::Failed(format!("the answer: {e}"))))
}

async fn text_at(client: &Client, path: &str, pointer: &str) -> Result<Option<String>, Meaning> {
    let text = ask(client, path, &mut |_| {}).await?;
    let value: Option<Value> = serde_json::from_str(&text).ok();
    Ok(value.and_then(|value| Some(value.pointer(pointer)?.as_str()?.to_owned())))
}
