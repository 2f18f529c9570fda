//! What a run leaves on nodes and pods, and the workloads that cases about runs move.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use lab::deadline::until;
use lab::kubernetes::api::{WITHIN, node_path, pod_path};
use lab::kubernetes::{Api, Cluster, manifest};
use serde_json::{Value, json};

use super::world::{NODES, network_of};

/// The port of each node that leads to its pod of the DaemonSet.
const HOST_PORT: u16 = 30_081;
/// How many pods [`deploy`] makes.
const PODS: usize = 8;

/// A Deployment under a budget, a StatefulSet, and a DaemonSet with a port of the node. All of them are ready.
pub(crate) fn deploy(api: &Api, namespace: &str) -> Result<()> {
    let server = manifest::server();
    let mut agent = server.clone();
    agent["containers"][0]["ports"][0]["hostPort"] = json!(HOST_PORT);
    api.create(&[
        manifest::workload("Deployment", namespace, "web", Some(3), &server),
        manifest::workload("StatefulSet", namespace, "db", Some(2), &server),
        manifest::workload("DaemonSet", namespace, "agent", None, &agent),
        manifest::budget(namespace, "web", &json!({ "minAvailable": 2 }), api)?,
    ])?;
    for (kind, name) in [("deployments", "web"), ("statefulsets", "db"), ("daemonsets", "agent")] {
        api.until_rolled_out(&format!("/apis/apps/v1/namespaces/{namespace}/{kind}/{name}"))?;
    }
    Ok(())
}

/// The step that a Node bears; null if it bears none.
pub(crate) fn step(node: &Value) -> Value {
    let step = node["metadata"]["annotations"]["crossfade/step"].as_str();
    step.and_then(|step| serde_json::from_str(step).ok()).unwrap_or_default()
}

/// The state that a Node's step has.
pub(crate) fn state(node: &Value) -> Option<String> {
    step(node)["state"].as_str().map(str::to_owned)
}

/// Waits until a node of these is in one of these states, and names it.
pub(crate) fn until_one_is(
    api: &Api,
    nodes: &[&'static str],
    states: &[&str],
    mut meanwhile: impl FnMut() -> Result<()>,
) -> Result<&'static str> {
    until(&format!("one of {nodes:?} in one of {states:?}"), WITHIN * 3, || {
        meanwhile()?;
        for name in nodes {
            if state(&api.get(&node_path(name))?).is_some_and(|state| states.contains(&state.as_str())) {
                return Ok(Some(*name));
            }
        }
        Ok(None)
    })
}

/// Every pod of [`deploy`] is on the network, and each node's port leads to the node's own pod.
pub(crate) fn all_on(cluster: &Cluster, api: &Api, namespace: &str, network: &str) -> Result<()> {
    let pods = api.list(&format!("/api/v1/namespaces/{namespace}/pods"))?;
    let pods: Vec<&Value> =
        pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).collect();
    ensure!(pods.len() == PODS, "{} pods", pods.len());
    let mut agents = BTreeMap::new();
    for pod in pods {
        ensure!(
            network_of(pod) == network,
            "{} is not on {network}: {}",
            pod_path(pod),
            pod["status"]["podIP"]
        );
        if pod["metadata"]["labels"]["app"] == "agent" {
            agents.insert(pod["spec"]["nodeName"].as_str(), pod["metadata"]["name"].as_str());
        }
    }
    for (at, worker) in cluster.workers.iter().take(NODES.len()).enumerate() {
        let (address, asking) = (worker.node.address(), &cluster.workers[(at + 1) % NODES.len()].node);
        let pod = agents.get(&Some(worker.name())).with_context(|| format!("no pod on {}", worker.name()))?;
        let what = format!("port {HOST_PORT} of {}", worker.name());
        let said =
            until(&what, WITHIN, || Ok(asking.http_get(address.into(), HOST_PORT, "/etc/hostname").ok()))?;
        ensure!(Some(said.as_str()) == *pod, "{what} leads to {said:?}, expected {pod:?}");
    }
    Ok(())
}

/// No node bears anything of a run's making that keeps pods away.
pub(crate) fn all_open(api: &Api) -> Result<()> {
    for name in NODES {
        let node = api.get(&node_path(name))?;
        ensure!(node["spec"]["unschedulable"] != json!(true), "{name} is cordoned");
        let taints = node["spec"]["taints"].to_string();
        ensure!(!taints.contains("crossfade/"), "{name}: {taints}");
    }
    Ok(())
}
