//! The reports that hubs print, from their logs.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::List;
use k8s_openapi::api::core::v1::Pod;
use reachability::manifests::{HUB, NAMESPACE, ROLE, collection};
use reachability::report::Report;

use crate::live::api::call::{ApiRequest, Caller};
use crate::live::api::path::{pod, with_query};

/// Reports that are read at a time, of one hub: those of an hour.
const MAX_REPORTS: usize = 720;
/// Bytes that are read at a time, of one hub.
const MAX_BYTES: usize = 32 << 20;

/// The pods of agents; with a role, those of its DaemonSet.
pub(super) async fn list_pods(caller: &Caller, role: Option<&str>) -> Result<Vec<Pod>, String> {
    let selector = role.map(|role| format!("{ROLE}={role}"));
    let query = selector.as_ref().map(|selector| ("labelSelector", selector.as_str()));
    let path = with_query(&collection("v1", "pods"), query.as_slice());
    let reply = caller.page(&ApiRequest::get(path)).await.map_err(|why| why.to_string())?;
    if !reply.is_done() {
        return Err(reply.refusal().to_string());
    }
    Ok(reply.object::<List<Pod>>()?.items)
}

/// The name of a pod; empty if it has none.
pub(super) fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

/// The node of a pod; empty before it has one.
pub(super) fn node_name(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

/// Whether the containers of a pod run.
pub(super) fn is_running(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
}

/// What each hub reported within this time, in its order. A hub that is not reached is left out.
///
/// # Errors
/// No hub was reached; why.
pub(super) async fn read(caller: &Caller, within: Duration) -> Result<BTreeMap<String, Vec<Report>>, String> {
    let hubs = list_pods(caller, Some(HUB)).await?;
    let running = hubs.iter().filter(|hub| is_running(hub)).map(name);
    let logs = join_all(running.map(|hub| async move { (hub, read_hub(caller, hub, within).await) })).await;
    let mut reports = BTreeMap::new();
    let mut why = "no hub runs".to_owned();
    for (hub, answer) in logs {
        match answer {
            Ok(answer) => drop(reports.insert(hub.to_owned(), answer)),
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
