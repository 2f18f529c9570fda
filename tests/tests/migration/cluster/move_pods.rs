//! `crossfade-bootstrap move-pods` on a real node: evictions and restarts in place, by kubelet's own credential and through the real runtime.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::host::deadline::until;
use lab::install::package;
use lab::kubernetes::api::{WITHIN, node_path, pod_path};
use lab::kubernetes::{Api, MERGE, STATIC_PODS, Worker, manifest};
use serde_json::{Value, json};

use super::world::{NODES, cluster, flip, in_namespace, network_of, run_on, until_ready};

const NODE: &str = NODES[0];
const STATIC: &str = "kube-system/fixed-n1";

/// What `move-pods` answered.
#[derive(Debug)]
pub(crate) struct MoveAnswer {
    pub(crate) status: Option<i32>,
    pub(crate) answer: Value,
    stderr: String,
}

impl MoveAnswer {
    /// The pods that the answer names, with what becomes of each, and the outcome.
    pub(crate) fn pods(&self) -> BTreeMap<String, (String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rows = self.answer["pods"].as_array().into_iter().flatten();
        rows.map(|row| {
            let title = format!("{}/{}", text(&row["namespace"]), text(&row["pod"]));
            let fate = if row["why"].is_null() { text(&row["fate"]) } else { text(&row["why"]) };
            (title, (fate, text(&row["outcome"])))
        })
        .collect()
    }

    /// The titles of the pods with a fate and an outcome.
    pub(crate) fn titles(&self, fate: &str, outcome: &str) -> Vec<String> {
        let is = |(title, (is, became)): (String, (String, String))| {
            (is == fate && became == outcome).then_some(title)
        };
        self.pods().into_iter().filter_map(is).collect()
    }
}

/// The command about the pods of a namespace and the static one.
fn command(worker: &Worker, namespace: &str, words: &[&str]) -> Command {
    let mut command = worker.node.command(package::program());
    command.args(["-o", "json", "move-pods", "--timeout", "600"]);
    command.args(["--pod", &format!("{namespace}/*")]).args(words);
    command
}

pub(crate) fn restart(worker: &Worker, namespace: &str, words: &[&str]) -> Result<MoveAnswer> {
    let output = command(worker, namespace, words).output()?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let answer =
        serde_json::from_slice(&output.stdout).with_context(|| format!("move-pods {words:?}: {stderr}"))?;
    Ok(MoveAnswer { status: output.status.code(), answer, stderr })
}

/// The pods of a namespace that are not on their way out, by name.
pub(crate) fn pods(api: &Api, namespace: &str) -> Result<BTreeMap<String, Value>> {
    let listed = api.list(&format!("/api/v1/namespaces/{namespace}/pods"))?;
    let stays = listed.into_iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    Ok(stays.map(|pod| (pod["metadata"]["name"].as_str().unwrap_or_default().to_owned(), pod)).collect())
}

/// A Deployment under a budget, a DaemonSet, a bare pod and one of the node's own network, all of them on one node; and a static pod.
fn deploy(api: &Api, worker: &Worker, namespace: &str) -> Result<()> {
    let mut here = manifest::server();
    here["nodeSelector"] = json!({ "kubernetes.io/hostname": NODE });
    let mut host = manifest::server_on(NODE);
    host["hostNetwork"] = json!(true);
    api.create(&[
        manifest::budget(namespace, "web", &json!({ "minAvailable": 2 }), api)?,
        manifest::workload("Deployment", namespace, "web", Some(3), &here),
        manifest::workload("DaemonSet", namespace, "agent", None, &here),
        manifest::pod(namespace, "host", &host),
    ])?;
    run_on(api, namespace, "bare", NODE)?;
    let mut fixed = manifest::server();
    fixed["priorityClassName"] = json!("system-node-critical");
    let fixed = manifest::pod("kube-system", "fixed", &fixed);
    worker.node.write(format!("{STATIC_PODS}/fixed.json"), fixed.to_string())?;
    for path in ["deployments/web", "daemonsets/agent"] {
        api.until_rolled_out(&format!("/apis/apps/v1/namespaces/{namespace}/{path}"))?;
    }
    until_ready(api, "/api/v1/namespaces/kube-system/pods/fixed-n1").map(drop)
}

fn uid(pod: &Value) -> &str {
    pod["metadata"]["uid"].as_str().unwrap_or_default()
}

pub(crate) fn pods_of_a_node_move_by_eviction_and_in_place() -> Result<()> {
    let cluster = cluster()?;
    let api = cluster.api()?;
    let worker = &cluster.workers[0];
    in_namespace(&api, "restart", |namespace| {
        deploy(&api, worker, namespace)?;
        let moved = evicted(&api, worker, namespace).and_then(|()| in_place(&api, worker, namespace));
        let fixed = worker.node.outside(format!("{STATIC_PODS}/fixed.json"));
        std::fs::remove_file(fixed).context("the static pod's manifest")?;
        let back = flip(&api, NODE, "old");
        api.until_gone("/api/v1/namespaces/kube-system/pods/fixed-n1")?;
        moved.and(back)
    })
}

fn evicted(api: &Api, worker: &Worker, namespace: &str) -> Result<()> {
    let nothing = restart(worker, namespace, &["--apply"])?;
    ensure!(nothing.status == Some(0) && nothing.pods().is_empty(), "{nothing:#?}");
    flip(api, NODE, "new")?;
    let before = pods(api, namespace)?;

    // A list, and nothing else.
    let with_static = ["--pod", STATIC];
    let listed = restart(worker, namespace, &with_static)?;
    let web: Vec<_> = before.keys().filter(|name| name.starts_with("web-")).collect();
    ensure!(listed.status == Some(0) && web.len() == 3, "{listed:#?}");
    let all = listed.pods();
    for (name, fate) in [("bare", "bare"), (STATIC, "static")] {
        let title = if name.contains('/') { name.to_owned() } else { format!("{namespace}/{name}") };
        ensure!(all.get(&title).is_some_and(|(is, _)| is == fate), "{title}: {listed:#?}");
    }
    ensure!(listed.titles("evict", "").len() == 4 && all.len() == 6, "{listed:#?}");
    ensure!(pods(api, namespace)?.keys().eq(before.keys()), "the list has moved a pod");

    // While a run moves the node, its pods are the run's.
    let step = json!({ "run": "r-1", "plan": "4be1", "epoch": 1, "claim": "r-1.1.1", "to": "new", "state": "moving" });
    api.annotate(NODE, "crossfade/step", json!(step.to_string()))?;
    let refused = restart(worker, namespace, &["--apply"])?;
    api.annotate(NODE, "crossfade/step", Value::Null)?;
    ensure!(refused.status == Some(3), "{refused:#?}");
    ensure!(refused.answer["problems"].to_string().contains("run r-1"), "{refused:#?}");

    // Killed in the middle, and called again.
    let first = worker.node.background("move-pods", &command(worker, namespace, &["--apply"]))?;
    let seen = until("the first eviction", WITHIN, || {
        let now = pods(api, namespace)?;
        Ok(before.keys().any(|name| !now.contains_key(name)).then_some(()))
    });
    first.kill()?;
    seen?;
    let done = restart(worker, namespace, &[&with_static[..], &["--apply"]].concat())?;
    ensure!(done.status == Some(3), "{done:#?}");
    ensure!(done.stderr.contains("is evicted; waiting until it is gone"), "{}", done.stderr);
    ensure!(done.titles("evict", "back").len() >= 3 && done.titles("evict", "").is_empty(), "{done:#?}");
    api.until_rolled_out(&format!("/apis/apps/v1/namespaces/{namespace}/deployments/web"))?;
    api.until_rolled_out(&format!("/apis/apps/v1/namespaces/{namespace}/daemonsets/agent"))?;
    let after = pods(api, namespace)?;
    for (name, pod) in &after {
        match before.get(name) {
            Some(before) => ensure!(uid(before) == uid(pod), "{name} is another one: {done:#?}"),
            None => ensure!(network_of(pod) == "new", "{name}: {}", pod["status"]),
        }
    }
    let stayed: Vec<_> = after.keys().filter(|name| before.contains_key(*name)).collect();
    ensure!(stayed == ["bare", "host"] && after.len() == before.len(), "{after:#?}");

    let deleted = restart(worker, namespace, &["--delete-bare", "restart/bare", "--apply"])?;
    ensure!(
        deleted.status == Some(0) && deleted.titles("delete", "gone") == ["restart/bare"],
        "{deleted:#?}"
    );
    run_on(api, namespace, "bare", NODE).map(drop)
}

fn in_place(api: &Api, worker: &Worker, namespace: &str) -> Result<()> {
    flip(api, NODE, "old")?;
    let before = pods(api, namespace)?;
    // No replica to spare: the budget is asked, and nothing is stopped.
    let all = format!("/apis/{}/namespaces/{namespace}/poddisruptionbudgets", manifest::budgets(api)?);
    let (budget, path) = (api.list(&all)?, format!("{all}/web"));
    ensure!(budget.len() == 1, "{budget:#?}");
    api.client.patch(&path, MERGE, &json!({ "spec": { "minAvailable": 3 } }))?.object()?;
    api.until(&path, "allows nothing", |budget| budget["status"]["disruptionsAllowed"] == 0)?;
    let refused = restart(
        worker,
        namespace,
        &["--in-place", "--pod", "restart/none", "--pod", "restart/web-*", "--timeout", "1"],
    )?;
    ensure!(refused.status == Some(2), "a pod that is not there: {refused:#?}");
    let mut strict = worker.node.command(package::program());
    strict.args(["-o", "json", "move-pods", "--in-place", "--apply", "--timeout", "1"]);
    let held = strict.args(["--pod", "restart/web-*"]).output()?;
    ensure!(held.status.code() == Some(3), "{}", String::from_utf8_lossy(&held.stdout));
    ensure!(String::from_utf8_lossy(&held.stdout).contains("a PodDisruptionBudget does not allow it"));
    for (name, pod) in pods(api, namespace)? {
        ensure!(pod["status"]["podIPs"] == before[&name]["status"]["podIPs"], "{name}: {}", pod["status"]);
    }
    api.client.patch(&path, MERGE, &json!({ "spec": { "minAvailable": 2 } }))?.object()?;
    api.until(&path, "allows one", |budget| budget["status"]["disruptionsAllowed"] == 1)?;

    let done = restart(worker, namespace, &["--in-place", "--apply"])?;
    ensure!(done.status == Some(0) && done.titles("restart", "back").len() == 5, "{done:#?}");
    let after = pods(api, namespace)?;
    ensure!(after.keys().eq(before.keys()), "{done:#?}");
    for (name, pod) in &after {
        ensure!(uid(pod) == uid(&before[name]), "{name} is another one");
        let expected = if name == "host" { "neither" } else { "old" };
        let now = until_ready(api, &pod_path(pod))?;
        ensure!(network_of(&now) == expected, "{name}: {}", now["status"]);
    }
    let fixed = api.get("/api/v1/namespaces/kube-system/pods/fixed-n1")?;
    ensure!(network_of(&fixed) == "old", "{}", fixed["status"]);
    ensure!(api.get(&node_path(NODE))?["spec"]["unschedulable"].is_null(), "nothing cordons");
    Ok(())
}
