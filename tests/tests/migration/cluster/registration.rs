//! A node that joins late: what it registers with, when it is Ready, which network its first pods get, and what is left when it goes.

use anyhow::{Result, ensure};
use lab::host::deadline::until;
use lab::kubernetes::api::{WITHIN, condition, node_path, pod_path};
use lab::kubernetes::manifest;
use serde_json::{Value, json};

use super::world::{LATE, bring_agents, cluster, in_namespace, network_of, until_ready};

const NODE: &str = "n4";

pub(crate) fn a_node_joins_waits_for_its_network_and_goes_away() -> Result<()> {
    let mut cluster = cluster()?;
    let api = cluster.api()?;
    let (policy, networks) = (cluster.policy(), [cluster.old.clone(), cluster.new.clone()]);
    in_namespace(&api, "late", |namespace| {
        let own = ["--node-labels=pool=blue", "--register-with-taints=pool=blue:NoSchedule"];
        let settings = json!({
            "labels": { "crossfade.example/image": "7" },
            "taints": [{ "key": "node.cilium.io/agent-not-ready", "value": "true", "effect": "NoExecute" }],
            // Its network comes when the test says so, and kubelet is to run before that.
            "gate": { "trySeconds": 1 },
        });
        let mut everywhere = manifest::server();
        everywhere["tolerations"] = json!([{ "operator": "Exists" }]);
        api.create(&[manifest::workload("DaemonSet", namespace, "everywhere", None, &everywhere)])?;
        let late = &mut cluster.workers[LATE];
        late.bake(&policy, settings, &own)?;
        late.boot()?;
        let node =
            api.until(&node_path(NODE), "is registered", |node| !condition(node, "Ready").is_empty())?;
        ensure_labels_and_taints(&node)?;

        // The new network's agent is the first, but the old network is what pods are to get.
        let mut waiting = manifest::server_on(NODE);
        waiting["containers"][0]["name"] = json!("waiting");
        api.create(&[manifest::pod(namespace, "early", &waiting)])?;
        bring_agents(&cluster.workers[LATE].node, &networks[1..])?;
        let early = format!("/api/v1/namespaces/{namespace}/pods/early");
        api.until(&node_path(NODE), "says what it waits for", |node| {
            condition(node, "CrossfadeReady") == "False"
        })?;
        // kubelet has looked again, twice, and so has everybody who would have been quick.
        for _ in 0..2 {
            let last_heartbeat = heartbeat(&api.get(&node_path(NODE))?);
            let node = api
                .until(&node_path(NODE), "has another heartbeat", |node| heartbeat(node) != last_heartbeat)?;
            ensure!(condition(&node, "Ready") == "False", "Ready without its network: {}", node["status"]);
            let pod = api.get(&early)?;
            ensure!(pod["status"]["podIP"].is_null(), "a pod without its network: {}", pod["status"]);
        }
        bring_agents(&cluster.workers[LATE].node, &networks[..1])?;
        api.until_ready(NODE)?;
        ensure!(network_of(&until_ready(&api, &early)?) == "old");
        for pod in api.pods_on(NODE)? {
            let pod = until_ready(&api, &pod_path(&pod))?;
            ensure!(network_of(&pod) == "old", "{}", pod["status"]);
        }
        goes_away(&mut cluster, &api, namespace)
    })
}

/// When kubelet last said how its node is.
fn heartbeat(node: &Value) -> Option<String> {
    let conditions = node["status"]["conditions"].as_array()?;
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
    ready["lastHeartbeatTime"].as_str().map(str::to_owned)
}

/// What kubelet was told by its own command line, and what Crossfade adds, side by side.
fn ensure_labels_and_taints(node: &Value) -> Result<()> {
    let labels = &node["metadata"]["labels"];
    for (key, value) in [("pool", "blue"), ("crossfade.example/image", "7"), ("kubernetes.io/hostname", NODE)]
    {
        ensure!(labels[key] == value, "{key}: {labels}");
    }
    let taints: Vec<String> = node["spec"]["taints"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|taint| {
            format!(
                "{}:{}",
                taint["key"].as_str().unwrap_or_default(),
                taint["effect"].as_str().unwrap_or_default()
            )
        })
        .collect();
    for taint in ["pool:NoSchedule", "node.cilium.io/agent-not-ready:NoExecute"] {
        ensure!(taints.iter().any(|candidate| candidate == taint), "{taint}: {taints:?}");
    }
    Ok(())
}

/// The machine is gone from one moment to the next. Its pods are deleted by force, as its Node is, and others take their place.
fn goes_away(
    cluster: &mut lab::kubernetes::Cluster,
    api: &lab::kubernetes::Api,
    namespace: &str,
) -> Result<()> {
    let set = manifest::workload("StatefulSet", namespace, "db", Some(1), &{
        let mut spec = manifest::server();
        spec["tolerations"] = json!([{ "key": "pool", "operator": "Exists" }, { "key": "node.cilium.io/agent-not-ready", "operator": "Exists" }]);
        spec["affinity"] = json!({ "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{
            "weight": 100, "preference": { "matchExpressions": [{ "key": "pool", "operator": "Exists" }] } }] } });
        spec
    });
    api.create(&[set])?;
    let path = format!("/api/v1/namespaces/{namespace}/pods/db-0");
    let first = until_ready(api, &path)?;
    ensure!(first["spec"]["nodeName"] == NODE, "{}", first["spec"]["nodeName"]);
    cluster.workers.remove(LATE).crash()?;
    api.until(&node_path(NODE), "is not Ready", |node| condition(node, "Ready") == "Unknown")?;
    api.client.delete(&node_path(NODE))?.object()?;
    // Its pods go with it: the garbage collector of pods deletes what is bound to no Node.
    until("the pods of a Node that is gone", WITHIN, || Ok(api.pods_on(NODE)?.is_empty().then_some(())))?;
    let again = api.until(&path, "runs elsewhere", |pod| {
        condition(pod, "Ready") == "True" && pod["metadata"]["uid"] != first["metadata"]["uid"]
    })?;
    ensure!(again["spec"]["nodeName"] != NODE && network_of(&again) == "old", "{again}");
    Ok(())
}
