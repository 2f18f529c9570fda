//! A cluster's pods as their nodes have them: the API server knows an address, the runtime a sandbox.

use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;
use serde_json::Value;

use super::name_of;
use crate::demo::cluster::Pod;
use crate::demo::strategy::Phase;
use crate::kubernetes::api::condition;
use crate::kubernetes::{Api, Cluster};

/// The objects of a namespace's pods.
pub(super) fn objects(api: &Api, namespace: &str) -> Result<Vec<Value>> {
    api.list(&format!("/api/v1/namespaces/{namespace}/pods"))
}

/// Whether its end was asked for.
pub(super) fn is_going(pod: &Value) -> bool {
    !pod["metadata"]["deletionTimestamp"].is_null()
}

/// When its end was asked for, in milliseconds since the Unix epoch, by the API server's clock. An object says when its time of grace is
/// over, to the second.
pub(super) fn going_since(pod: &Value) -> Result<u64> {
    let over = pod["metadata"]["deletionTimestamp"].as_str().context("a pod that is not being deleted")?;
    let over: Timestamp = over.parse().map_err(|error| anyhow!("{over} is no time: {error}"))?;
    let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or_default();
    Ok(u64::try_from((over.as_second() - grace) * 1000)?)
}

/// Those of these objects that are ready, as their nodes have them; `phase` is the one in which a node's pods were made.
pub(super) fn running(
    cluster: &Cluster,
    objects: &[Value],
    phase: impl Fn(usize) -> Phase,
) -> Result<Vec<Pod>> {
    let mut pods = Vec::new();
    // After the objects: a pod that was ready then has a sandbox, unless it is going.
    let sandboxes =
        cluster.workers.iter().map(|worker| worker.containerd.cri().list()).collect::<Result<Vec<_>>>()?;
    for pod in objects {
        if condition(pod, "Ready") != "True" || is_going(pod) {
            continue;
        }
        let (name, namespace) = (name_of(pod), pod["metadata"]["namespace"].as_str().unwrap_or_default());
        let host = cluster.workers.iter().position(|worker| pod["spec"]["nodeName"] == worker.name());
        let host = host.with_context(|| format!("{name} is on a node that is not ours"))?;
        let worker = &cluster.workers[host];
        let mut of_pod =
            sandboxes[host].iter().filter(|it| it.ready && it.name == name && it.namespace == namespace);
        let Some(sandbox) = of_pod.next() else { continue };
        let status = worker.containerd.cri().status(&sandbox.id)?;
        let published = pod["status"]["podIP"].as_str().unwrap_or_default();
        pods.push(Pod {
            address: published.parse().with_context(|| format!("{name} publishes {published:?}"))?,
            name,
            namespace: namespace.to_owned(),
            host,
            attempt: 0,
            id: sandbox.id.clone(),
            netns: worker.node.outside(&status.netns),
            netns_inside: status.netns,
            host_port: None,
            phase: phase(host),
        });
    }
    Ok(pods)
}
