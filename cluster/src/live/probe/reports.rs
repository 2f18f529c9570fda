//! The reports that hubs print, from their logs.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use reachability::manifests::{HUB, NAMESPACE, ROLE};
use reachability::report::Report;
use serde::Deserialize;

use crate::live::api::call::{ApiRequest, Caller};
use crate::live::api::path::{pod, with_query};

/// Reports that are read at a time, of one hub: those of an hour.
const MAX_REPORTS: usize = 720;
/// Bytes that are read at a time, of one hub.
const MAX_BYTES: usize = 32 << 20;

/// Pods, as far as they are read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pods {
    pub(super) items: Vec<Pod>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pod {
    pub(super) metadata: PodMeta,
    pub(super) spec: PodSpec,
    pub(super) status: PodStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PodMeta {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodSpec {
    pub(super) node_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodStatus {
    pub(super) phase: String,
    pub(super) container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerStatus {
    pub(super) state: ContainerState,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerState {
    pub(super) waiting: Option<Waiting>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Waiting {
    pub(super) reason: String,
}

/// The pods of agents; with a role, those of its DaemonSet.
pub(super) async fn list_pods(caller: &Caller, role: Option<&str>) -> Result<Vec<Pod>, String> {
    let collection = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let selector = role.map(|role| format!("{ROLE}={role}"));
    let query = selector.as_ref().map(|selector| ("labelSelector", selector.as_str()));
    let path = with_query(&collection, query.as_slice());
    let reply = caller.page(&ApiRequest::get(path)).await.map_err(|why| why.to_string())?;
    if !reply.is_done() {
        return Err(reply.refusal().to_string());
    }
    Ok(reply.object::<Pods>()?.items)
}

/// What each hub reported within this time, in its order. A hub that is not reached is left out.
///
/// # Errors
/// No hub was reached; why.
pub(super) async fn read(caller: &Caller, within: Duration) -> Result<BTreeMap<String, Vec<Report>>, String> {
    let hubs = list_pods(caller, Some(HUB)).await?;
    let running = hubs.into_iter().filter(|hub| hub.status.phase == "Running");
    let logs = join_all(running.map(|hub| async move {
        let reports = read_hub(caller, &hub.metadata.name, within).await;
        (hub.metadata.name, reports)
    }))
    .await;
    let mut reports = BTreeMap::new();
    let mut why = "no hub runs".to_owned();
    for (hub, answer) in logs {
        match answer {
            Ok(answer) => drop(reports.insert(hub, answer)),
            Err(error) => why = format!("{hub}: {error}"),
        }
    }
    if reports.is_empty() { Err(why) } else { Ok(reports) }
}

async fn read_hub(caller: &Caller, hub: &str, within: Duration) -> Result<Vec<Report>, String> {
    let seconds = within.as_secs().max(1).to_string();
    let bytes = MAX_BYTES.to_string();
    let path = with_query(
        &format!("{}/log", pod(NAMESPACE, hub)),
        &[("sinceSeconds", &seconds), ("limitBytes", &bytes)],
    );
    let reply = caller.page(&ApiRequest::get(path)).await.map_err(|why| why.to_string())?;
    if !reply.is_done() {
        return Err(reply.refusal().to_string());
    }
    Ok(parse(&reply.body))
}

/// The reports among the lines of a log, the last ones. Other lines, and one that is cut, are none.
pub(super) fn parse(log: &[u8]) -> Vec<Report> {
    let lines = log.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"{"));
    let mut reports: Vec<Report> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let excess = reports.len().saturating_sub(MAX_REPORTS);
    reports.drain(..excess);
    reports
}
