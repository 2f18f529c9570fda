//! Traces of a run on nodes and pods, and the workloads that cases about runs move.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use lab::host::deadline::until;
use lab::kubernetes::api::{WITHIN, node_path, pod_path};
use lab::kubernetes::{Api, Cluster, MERGE, Operator, manifest};
use serde_json::{Value, json};

use super::world::{NODES, flip_all, has_real_networks, network_of};

/// Who holds the run.
pub(crate) const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/crossfade/leases/crossfade-run";
/// The run as the cluster keeps it.
pub(crate) const RUN: &str = "/api/v1/namespaces/crossfade/configmaps/crossfade-run";

/// The cluster's DNS. No plan is made while one of its pods is not ready.
pub(crate) const DNS: &str = "/apis/apps/v1/namespaces/kube-system/deployments/kube-dns";

/// The port of each node that leads to its pod of the DaemonSet.
const HOST_PORT: u16 = 30_081;
/// How many pods [`deploy`] makes.
const PODS: usize = 8;

/// A Deployment under a budget, a StatefulSet, and a DaemonSet with a port of the node. All of them are ready.
pub(crate) fn deploy(api: &Api, namespace: &str) -> Result<()> {
    deploy_servers(api, namespace, &manifest::server())
}

/// The same with pods of this kind.
pub(crate) fn deploy_servers(api: &Api, namespace: &str, server: &Value) -> Result<()> {
    let mut agent = server.clone();
    agent["containers"][0]["ports"][0]["hostPort"] = json!(HOST_PORT);
    api.create(&[
        manifest::workload("Deployment", namespace, "web", Some(3), server),
        manifest::workload("StatefulSet", namespace, "db", Some(2), server),
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
    // A Cilium that is not chained gives pods no port of the node.
    if network == "new" && has_real_networks() {
        return Ok(());
    }
    for (at, worker) in cluster.workers.iter().take(NODES.len()).enumerate() {
        let (address, asking) = (worker.node.address(), &cluster.workers[(at + 1) % NODES.len()].node);
        let pod = agents.get(&Some(worker.name())).with_context(|| format!("no pod on {}", worker.name()))?;
        let what = format!("port {HOST_PORT} of {}", worker.name());
        let text =
            until(&what, WITHIN, || Ok(asking.http_get(address.into(), HOST_PORT, "/etc/hostname").ok()))?;
        ensure!(Some(text.as_str()) == *pod, "{what} leads to {text:?}, expected {pod:?}");
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

/// What came of a case. If it failed, the message has the status of the run, and the cluster is as before for the next case.
pub(crate) fn ended(outcome: Result<()>, operator: &Operator, api: &Api) -> Result<()> {
    let Err(why) = outcome else { return Ok(()) };
    let why = why.context(format!("{:#?}", operator.run(&["status"])));
    match back(api) {
        Ok(()) => Err(why),
        Err(also) => Err(why.context(format!("not brought back: {also:#}"))),
    }
}

/// Brings nodes and DNS back to the old network by hand, and takes away everything that a run left.
pub(crate) fn back(api: &Api) -> Result<()> {
    for path in [LEASE, RUN] {
        api.client.delete(path)?;
    }
    for name in NODES {
        let mut node = api.get(&node_path(name))?;
        let mut taints = node["spec"]["taints"].take();
        if let Some(taints) = taints.as_array_mut() {
            taints.retain(|taint| taint["key"] != "crossfade/earlier");
        }
        let patch = json!({
            "metadata": { "annotations": { "crossfade/step": null } },
            "spec": { "unschedulable": false, "taints": taints },
        });
        api.client.patch(&node_path(name), MERGE, &patch)?.object()?;
    }
    flip_all(api, "old")?;
    let restart = json!({ "spec": { "template": { "metadata": { "annotations": { "moved": "back" } } } } });
    api.client.patch(DNS, MERGE, &restart)?.object()?;
    api.until_rolled_out(DNS)
}
