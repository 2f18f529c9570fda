//! Restarts of runtime and kubelet, between and during the calls of the plugin.

use anyhow::{Result, ensure};
use lab::kubernetes::api::{condition, node_path, pod_path};
use lab::kubernetes::manifest;
use serde_json::Value;

use super::world::{cluster, ensure_answers, flip, in_namespace, network_of, run_on};

/// The pods that run stay as they are, and new ones come; nothing else restarts what runs.
pub(crate) fn runtime_and_kubelet_restart_in_every_phase() -> Result<()> {
    let mut cluster = cluster()?;
    let api = cluster.api()?;
    in_namespace(&api, "restarts", |namespace| {
        let mut made: Vec<Value> = Vec::new();
        for phase in ["old", "both-old", "both-new", "new"] {
            flip(&api, "n3", phase)?;
            made.push(run_on(&api, namespace, &format!("before-{phase}"), "n3")?);
            let worker = &mut cluster.workers[2];
            worker.stop_kubelet()?;
            worker.containerd.restart()?;
            worker.start_kubelet_again()?;
            let pod = run_on(&api, namespace, &format!("after-{phase}"), "n3")?;
            let expected = phase.strip_prefix("both-").unwrap_or(phase);
            ensure!(network_of(&pod) == expected, "{phase}: {}", pod["status"]);
            made.push(pod);
            api.until(&node_path("n3"), "is Ready and says so", |node| {
                condition(node, "Ready") == "True" && condition(node, "CrossfadeReady") == "True"
            })?;
        }
        flip(&api, "n3", "old")?;
        for pod in &made {
            let now = api.get(&pod_path(pod))?;
            let of = |pod: &Value| {
                let container = &pod["status"]["containerStatuses"][0];
                (
                    pod["status"]["podIP"].clone(),
                    container["containerID"].clone(),
                    container["restartCount"].clone(),
                )
            };
            ensure!(of(pod) == of(&now), "{} became {}", pod["status"], now["status"]);
        }
        // One that lived through all of it still reaches another one.
        let newest = made.last().and_then(|pod| pod["status"]["podIP"].as_str()).unwrap_or_default();
        ensure_answers(&cluster, namespace, "before-both-new", (newest, manifest::PORT), "after-new")
    })
}
