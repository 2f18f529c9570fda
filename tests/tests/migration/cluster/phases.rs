//! Phases by annotation: where new pods go, what the Node says, that pods which run are left alone, and Services, names and ports of nodes with pods of either network
//! behind them and before them.

use anyhow::{Context, Result, ensure};
use lab::host::deadline::until;
use lab::kubernetes::STATIC_PODS;
use lab::kubernetes::api::{WITHIN, condition, node_path, pod_path};
use lab::kubernetes::manifest;
use serde_json::{Value, json};

use super::world::{
    NODES, WEB, cluster, ensure_answers, flip, flip_all, in_namespace, network_of, run_on, until_ready,
};

/// Each phase, forward and backward; the pods of earlier phases stay as they are.
pub(crate) fn a_node_goes_through_every_phase_and_back_by_annotation() -> Result<()> {
    let cluster = cluster()?;
    let api = cluster.api()?;
    in_namespace(&api, "every-phase", |namespace| {
        let mut made: Vec<Value> = Vec::new();
        for (turn, phase) in
            ["both-old", "both-new", "new", "both-new", "both-old", "old"].into_iter().enumerate()
        {
            flip(&api, "n1", phase)?;
            let pod = run_on(&api, namespace, &format!("p{turn}-{phase}"), "n1")?;
            let expected = phase.strip_prefix("both-").unwrap_or(phase);
            ensure!(network_of(&pod) == expected, "{phase}: {}", pod["status"]);
            made.push(pod);
        }
        for pod in &made {
            let now = api.get(&pod_path(pod))?;
            let state = |pod: &Value| {
                (pod["status"]["podIP"].clone(), pod["status"]["containerStatuses"][0]["containerID"].clone())
            };
            ensure!(state(pod) == state(&now), "{} became {}", pod["status"], now["status"]);
        }
        let leases =
            (cluster.old.leases(&cluster.workers[0].node)?, cluster.new.leases(&cluster.workers[0].node)?);
        // Two of the six are on one network alone, the others on both.
        ensure!(leases.0.len() >= 5 && leases.1.len() == 5, "{leases:?}");
        Ok(())
    })
}

pub(crate) fn a_phase_that_is_not_allowed_is_an_event_and_nothing_else() -> Result<()> {
    let cluster = cluster()?;
    let api = cluster.api()?;
    api.annotate("n2", "crossfade/desired", json!("elsewhere"))?;
    let refused = "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name=n2,reason=FlipRefused";
    lab::host::deadline::until("an event about it", WITHIN, || {
        Ok((!api.list(refused)?.is_empty()).then_some(()))
    })?;
    let node = api.get(&node_path("n2"))?;
    ensure!(node["metadata"]["labels"]["crossfade/phase"] == "old", "{}", node["metadata"]);
    api.annotate("n2", "crossfade/desired", Value::Null)
}

pub(crate) fn static_and_host_network_pods_are_untouched() -> Result<()> {
    let cluster = cluster()?;
    let api = cluster.api()?;
    let (worker, manifest) = (&cluster.workers[1], format!("{STATIC_PODS}/fixed.json"));
    in_namespace(&api, "untouched", |namespace| {
        let mut spec = manifest::server();
        spec["priorityClassName"] = json!("system-node-critical");
        worker.node.write(&manifest, manifest::pod("kube-system", "fixed", &spec).to_string())?;
        let mut host = manifest::server_on("n2");
        host["hostNetwork"] = json!(true);
        api.create(&[manifest::pod(namespace, "host", &host)])?;
        let paths = [
            "/api/v1/namespaces/kube-system/pods/fixed-n2".to_owned(),
            format!("/api/v1/namespaces/{namespace}/pods/host"),
        ];
        let before = paths.iter().map(|path| until_ready(&api, path)).collect::<Result<Vec<_>>>()?;
        ensure!(
            network_of(&before[0]) == "old"
                && before[1]["status"]["podIP"] == worker.node.address().to_string()
        );
        for phase in ["new", "old"] {
            flip(&api, "n2", phase)?;
            for (path, before) in paths.iter().zip(&before) {
                let now = api.get(path)?;
                ensure!(
                    now["status"]["containerStatuses"] == before["status"]["containerStatuses"],
                    "{phase}: {}",
                    now["status"]
                );
                ensure!(now["status"]["podIPs"] == before["status"]["podIPs"], "{phase}: {}", now["status"]);
            }
        }
        std::fs::remove_file(worker.node.outside(&manifest)).context("the static pod's manifest")?;
        api.until_gone(&paths[0])
    })
}

/// NodeRestriction, for the very credential that `watch` uses.
pub(crate) fn a_kubelet_may_not_write_what_others_decide() -> Result<()> {
    let cluster = cluster()?;
    let identity = cluster.plane.identity(lab::kubernetes::User::Kubelet("n1"))?;
    let kubelet = cluster.plane.client(&identity)?;
    let label = |key: &str| json!({ "metadata": { "labels": { key: "x" } } });
    for (node, key) in [("n2", "crossfade/phase"), ("n1", "node-restriction.kubernetes.io/x")] {
        let answer = kubelet.patch(&node_path(node), lab::kubernetes::MERGE, &label(key))?;
        let why = answer.refusal().with_context(|| format!("{key} of {node}"))?;
        ensure!(why.contains("is not allowed to modify"), "{why}");
    }
    for node in NODES {
        let own = cluster.plane.client(&cluster.plane.identity(lab::kubernetes::User::Kubelet(node))?)?;
        own.patch(&node_path(node), lab::kubernetes::MERGE, &label("crossfade.example/own"))?.object()?;
    }
    Ok(())
}

/// Restarts of runtime and kubelet, between and during the calls of the plugin: the pods that run stay as they are, and new ones come; nothing else restarts what runs.
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
            let state = |pod: &Value| {
                let container = &pod["status"]["containerStatuses"][0];
                (
                    pod["status"]["podIP"].clone(),
                    container["containerID"].clone(),
                    container["restartCount"].clone(),
                )
            };
            ensure!(state(pod) == state(&now), "{} became {}", pod["status"], now["status"]);
        }
        // One that lived through all of it still reaches another one.
        let newest = made.last().and_then(|pod| pod["status"]["podIP"].as_str()).unwrap_or_default();
        ensure_answers(&cluster, namespace, "before-both-new", (newest, manifest::PORT), "after-new")
    })
}

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
