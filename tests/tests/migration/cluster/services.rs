//! Services, host ports, names and probes, with pods of either network behind them and before them.

use anyhow::{Result, ensure};
use lab::host::deadline::until;
use lab::kubernetes::api::WITHIN;
use lab::kubernetes::manifest;
use serde_json::json;

use super::world::{
    NODES, WEB, cluster, ensure_answers, flip, flip_all, in_namespace, network_of, run_on, until_ready,
};

/// The server is on n1, the client is on n2, and both were created in the phase; kubelet's probes make them ready.
pub(crate) fn services_names_and_probes_work_in_every_phase() -> Result<()> {
    let cluster = cluster()?;
    let api = cluster.api()?;
    let (name, address) = (WEB.0.split('.').next().unwrap_or_default(), WEB.1);
    in_namespace(&api, "services", |namespace| {
        api.create(&[manifest::service(namespace, name, address)])?;
        for phase in ["old", "both-old", "both-new", "new", "old"] {
            for node in &NODES[..2] {
                flip(&api, node, phase)?;
            }
            let server = run_on(&api, namespace, name, "n1")?;
            let client = format!("client-{phase}");
            run_on(&api, namespace, &client, "n2")?;
            let ip = server["status"]["podIP"].as_str().unwrap_or_default();
            let full = format!("{}.svc.cluster.local", WEB.0);
            for at in [(ip, manifest::PORT), (address, 80), (name, 80), (full.as_str(), 80)] {
                ensure_answers(&cluster, namespace, &client, at, name)?;
            }
            // The next phase's must be another one.
            for pod in [name, client.as_str()] {
                let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}");
                api.client.delete(&path)?.object()?;
                api.until_gone(&path)?;
            }
        }
        Ok(())
    })
}

/// A host port leads to its pod when another node asks, and is closed once the pod is gone.
pub(crate) fn a_host_port_leads_to_its_pod_in_every_phase() -> Result<()> {
    const HOST_PORT: u16 = 30_080;
    let cluster = cluster()?;
    let api = cluster.api()?;
    let (address, asking) = (cluster.workers[0].node.address(), &cluster.workers[1].node);
    let fetch = || asking.http_get(address.into(), HOST_PORT, "/etc/hostname").ok();
    in_namespace(&api, "host-ports", |namespace| {
        for phase in ["old", "both-old", "both-new", "new"] {
            flip_all(&api, phase)?;
            let name = format!("server-{phase}");
            let mut spec = manifest::server_on("n1");
            spec["containers"][0]["ports"][0]["hostPort"] = json!(HOST_PORT);
            api.create(&[manifest::pod(namespace, &name, &spec)])?;
            let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
            let pod = until_ready(&api, &path)?;
            let expected = phase.strip_prefix("both-").unwrap_or(phase);
            ensure!(network_of(&pod) == expected, "{phase}: {}", pod["status"]);
            let text = until(&format!("port {HOST_PORT} of n1 in phase {phase}"), WITHIN, || Ok(fetch()))?;
            ensure!(text == name, "port {HOST_PORT} of n1 leads to {text:?}, expected {name}");
            api.client.delete(&path)?.object()?;
            api.until_gone(&path)?;
            until("the end of the port", WITHIN, || Ok(fetch().is_none().then_some(())))?;
        }
        flip_all(&api, "old")
    })
}
