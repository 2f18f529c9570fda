//! A cluster's pods as their nodes have them: the API server knows an address, the runtime a sandbox.

use anyhow::{Context, Result};

use super::name_of;
use crate::demo::cluster::Pod;
use crate::demo::strategy::Phase;
use crate::kubernetes::api::condition;
use crate::kubernetes::{Api, Cluster};

/// The ready pods of a namespace; `phase` is the one in which a node's pods were made.
pub(super) fn running(
    cluster: &Cluster,
    api: &Api,
    namespace: &str,
    phase: impl Fn(usize) -> Phase,
) -> Result<Vec<Pod>> {
    let mut pods = Vec::new();
    let objects = api.list(&format!("/api/v1/namespaces/{namespace}/pods"))?;
    // After the objects: a pod that was ready then has a sandbox, unless it is going.
    let sandboxes =
        cluster.workers.iter().map(|worker| worker.containerd.cri().list()).collect::<Result<Vec<_>>>()?;
    for pod in objects {
        if condition(&pod, "Ready") != "True" || !pod["metadata"]["deletionTimestamp"].is_null() {
            continue;
        }
        let name = name_of(&pod);
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
