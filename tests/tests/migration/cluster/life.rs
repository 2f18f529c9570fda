//! The life of pods: controllers, evictions, deletions of every kind.

use anyhow::{Result, ensure};
use lab::host::deadline::until;
use lab::kubernetes::api::{WITHIN, pod_path};
use lab::kubernetes::manifest;
use serde_json::json;

use super::world::{NODES, cluster, flip_all, in_namespace, network_of, run_on, until_left};

pub(crate) fn a_stateful_set_moves_pod_by_pod_and_keeps_its_names() -> Result<()> {
    let cluster = cluster()?;
    let api = cluster.api()?;
    in_namespace(&api, "stateful", |namespace| {
        let set = manifest::workload("StatefulSet", namespace, "db", Some(3), &manifest::server());
        let path = format!("/apis/apps/v1/namespaces/{namespace}/statefulsets/db");
        api.create(&[set])?;
        api.until_rolled_out(&path)?;
        flip_all(&api, "new")?;
        let restart = json!({ "spec": { "template": { "metadata": { "annotations": { "moved": "1" } } } } });
        api.client.patch(&path, lab::kubernetes::MERGE, &restart)?.object()?;
        api.until_rolled_out(&path)?;
        let mut names = Vec::new();
        for pod in api.list(&format!("/api/v1/namespaces/{namespace}/pods"))? {
            ensure!(network_of(&pod) == "new", "{}", pod["status"]);
            names.push(pod["metadata"]["name"].as_str().unwrap_or_default().to_owned());
        }
        names.sort();
        ensure!(names == ["db-0", "db-1", "db-2"], "{names:?}");
        flip_all(&api, "old")
    })
}

/// A node is drained as `kubectl drain` does it, under a budget that lets one pod go at a time.
pub(crate) fn evictions_wait_for_the_budget_and_move_every_pod() -> Result<()> {
    let cluster = cluster()?;
    let api = cluster.api()?;
    in_namespace(&api, "evictions", |namespace| {
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/web");
        api.create(&[
            manifest::budget(namespace, "web", &json!({ "maxUnavailable": 1 }), &api)?,
            manifest::workload("Deployment", namespace, "web", Some(6), &manifest::server()),
        ])?;
        api.until_rolled_out(&path)?;
        for node in NODES {
            let drain =
                ["drain", node, "--ignore-daemonsets", "--pod-selector", "app=web", "--timeout", "120s"];
            lab::host::command::run(&mut cluster.plane.kubectl(&drain)?)?;
            super::world::flip(&api, node, "new")?;
            api.cordon(node, false)?;
        }
        api.until_rolled_out(&path)?;
        // What went to a node after its turn is on the new network; each node had its turn after its pods had left it.
        for pod in api.list(&format!("/api/v1/namespaces/{namespace}/pods"))? {
            let node = &pod["spec"]["nodeName"];
            ensure!(network_of(&pod) == "new" || node != "n1", "on {node}: {}", pod["status"]);
        }
        flip_all(&api, "old")
    })
}

pub(crate) fn a_namespace_goes_with_all_its_addresses() -> Result<()> {
    let cluster = cluster()?;
    let api = cluster.api()?;
    let before: Vec<_> = cluster.workers[..3]
        .iter()
        .map(|worker| Ok((cluster.old.leases(&worker.node)?.len(), cluster.new.leases(&worker.node)?.len())))
        .collect::<Result<_>>()?;
    flip_all(&api, "both-old")?;
    in_namespace(&api, "whole", |namespace| {
        let path = format!("/apis/apps/v1/namespaces/{namespace}/daemonsets/everywhere");
        let mut spec = manifest::server();
        spec["tolerations"] = json!([{ "operator": "Exists" }]);
        api.create(&[
            manifest::workload("DaemonSet", namespace, "everywhere", None, &spec),
            manifest::workload("Deployment", namespace, "some", Some(6), &manifest::server()),
        ])?;
        api.until_rolled_out(&path)?;
        api.until_rolled_out(&format!("/apis/apps/v1/namespaces/{namespace}/deployments/some"))
    })?;
    for (worker, (old, new)) in cluster.workers.iter().zip(before) {
        until_left(&cluster, worker, old, new)?;
    }
    flip_all(&api, "old")
}

pub(crate) fn graceful_and_forced_deletions_give_addresses_back() -> Result<()> {
    let cluster = cluster()?;
    let api = cluster.api()?;
    let worker = &cluster.workers[2];
    let before = (cluster.old.leases(&worker.node)?.len(), cluster.new.leases(&worker.node)?.len());
    in_namespace(&api, "deletions", |namespace| {
        for phase in ["both-old", "new"] {
            super::world::flip(&api, "n3", phase)?;
            for (name, grace) in [("graceful", "5"), ("forced", "0")] {
                let pod = run_on(&api, namespace, &format!("{name}-{phase}"), "n3")?;
                let path = pod_path(&pod);
                api.client.delete(&format!("{path}?gracePeriodSeconds={grace}"))?.object()?;
                until("its end", WITHIN, || Ok((api.client.get(&path)?.status == 404).then_some(())))?;
            }
            // A forced deletion takes the object before the sandbox.
            until_left(&cluster, worker, before.0, before.1)?;
        }
        super::world::flip(&api, "n3", "old")
    })
}
