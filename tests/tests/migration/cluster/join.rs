//! Networks that join and leave pods that run, by `crossfade-bootstrap move-pods` through the real runtime: nothing is restarted.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use lab::host::deadline::until;
use lab::kubernetes::api::{WITHIN, condition, node_path};
use lab::kubernetes::{Api, Cluster, Worker, manifest, tools};
use serde_json::{Value, json};

use super::move_pods::{pods, restart};
use super::world::{NODES, cluster, ensure_answers, exec, flip, in_namespace, network_of, run_on};

const NODE: &str = NODES[0];
pub(crate) const SETTINGS: &str = "/etc/crossfade/node.json";

/// A connection that a pod of the other network holds to this address.
fn connection(cluster: &Cluster, namespace: &str, address: &str) -> Result<Child> {
    let script = format!("exec 3<>/dev/tcp/{address}/{}; exec {} sleep 1000", manifest::PORT, tools::BUSYBOX);
    let line = ["exec", "--namespace", namespace, "other", "--", tools::BASH, "-c", &script];
    Ok(cluster.plane.kubectl(&line)?.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?)
}

/// What a restart or another primary would change of pods, by their names.
pub(crate) fn identities(api: &Api, namespace: &str) -> Result<BTreeMap<String, Value>> {
    let of_pod = |pod: Value| {
        let (meta, status) = (&pod["metadata"], &pod["status"]);
        json!([meta["uid"], status["podIPs"], status["containerStatuses"][0]["containerID"]])
    };
    Ok(pods(api, namespace)?.into_iter().map(|(name, pod)| (name, of_pod(pod))).collect())
}

/// The address of a pod on its second network.
pub(crate) fn second_address(cluster: &Cluster, namespace: &str, pod: &str) -> Result<String> {
    let line = [tools::BUSYBOX, "ip", "-4", "-o", "addr", "show", "dev", "net1"];
    let text = exec(cluster, namespace, pod, &line)?;
    let address = text.split_whitespace().skip_while(|word| *word != "inet").nth(1);
    let address = address.and_then(|address| address.split('/').next());
    Ok(address.with_context(|| format!("an address in {text:?}"))?.to_owned())
}

fn interfaces(cluster: &Cluster, namespace: &str, pod: &str) -> Result<String> {
    exec(cluster, namespace, pod, &[tools::BUSYBOX, "ip", "-o", "link"])
}

pub(crate) fn networks_join_and_leave_pods_that_run() -> Result<()> {
    let mut cluster = cluster()?;
    let api = cluster.api()?;
    in_namespace(&api, "join", |namespace| {
        let moved = joined_and_left(&mut cluster, &api, namespace)
            .and_then(|()| joined_and_left_by_watch(&mut cluster, &api, namespace));
        let back = flip(&api, NODES[1], "old").and_then(|()| flip(&api, NODE, "old"));
        moved.and(back)
    })
}

fn joined_and_left(cluster: &mut Cluster, api: &Api, namespace: &str) -> Result<()> {
    let mut here = manifest::server();
    here["nodeSelector"] = json!({ "kubernetes.io/hostname": NODE });
    api.create(&[manifest::workload("DaemonSet", namespace, "agent", None, &here)])?;
    api.until_rolled_out(&format!("/apis/apps/v1/namespaces/{namespace}/daemonsets/agent"))?;
    run_on(api, namespace, "bare", NODE)?;
    let before = identities(api, namespace)?;
    flip(api, NODES[1], "new")?;
    let other = run_on(api, namespace, "other", NODES[1])?;
    ensure!(network_of(&other) == "new", "{}", other["status"]);

    // The list changes nothing.
    flip(api, NODE, "both-old")?;
    let listed = restart(&cluster.workers[0], namespace, &[])?;
    ensure!(listed.status == Some(0) && listed.titles("join", "").len() == 2, "{listed:#?}");
    ensure!(!interfaces(cluster, namespace, "bare")?.contains("net1"), "the list has joined a pod");

    let joined = restart(&cluster.workers[0], namespace, &["--no-restart", "--apply"])?;
    ensure!(joined.status == Some(0) && joined.titles("join", "changed").len() == 2, "{joined:#?}");
    let again = restart(&cluster.workers[0], namespace, &["--apply"])?;
    ensure!(again.status == Some(0) && again.pods().is_empty(), "{again:#?}");
    let mut after = identities(api, namespace)?;
    after.remove("other");
    ensure!(after == before, "{after:#?} {before:#?}");
    // From the other network alone, over the address that came.
    let address = second_address(cluster, namespace, "bare")?;
    ensure!(address.starts_with("10.245."), "{address}");
    ensure_answers(cluster, namespace, "other", (&address, manifest::PORT), "bare")?;
    // The runtime keeps no account of the network that joined, and need not.
    let worker = &mut cluster.workers[0];
    worker.stop_kubelet()?;
    worker.containerd.restart()?;
    worker.start_kubelet_again()?;
    api.until(&node_path(NODE), "is Ready", |node| condition(node, "Ready") == "True")?;
    until("kubelet's answer", WITHIN, || Ok(interfaces(cluster, namespace, "bare").ok()))?;
    let mut after = identities(api, namespace)?;
    after.remove("other");
    ensure!(after == before, "{after:#?} {before:#?}");
    ensure_answers(cluster, namespace, "other", (&address, manifest::PORT), "bare")?;

    // A connection over it holds the network in this one pod.
    flip(api, NODE, "old")?;
    let mut connected = connection(cluster, namespace, &address)?;
    let held = until("a pod that keeps its network for a connection", WITHIN, || {
        let restarted = restart(&cluster.workers[0], namespace, &["--pod", "join/bare", "--wait", "1"])?;
        ensure!(restarted.titles("leave", "").len() == 2, "{restarted:#?}");
        let connections = exec(cluster, namespace, "bare", &[tools::BUSYBOX, "netstat", "-tn"])?;
        Ok(connections.contains(&format!("{address}:{}", manifest::PORT)).then_some(()))
    })
    .and_then(|()| restart(&cluster.workers[0], namespace, &["--wait", "1", "--apply"]));
    let killed = connected.kill().and_then(|()| connected.wait());
    let held = held?;
    killed?;
    ensure!(held.status == Some(3) && held.titles("connections", "left") == ["join/bare"], "{held:#?}");
    ensure!(held.titles("leave", "changed").len() == 1, "{held:#?}");
    let problems = held.answer["problems"].to_string();
    ensure!(problems.contains(&address) && problems.contains("busybox"), "{problems}");

    let restarted = restart(&cluster.workers[0], namespace, &["--now", "--apply"])?;
    ensure!(
        restarted.status == Some(0) && restarted.titles("leave", "changed") == ["join/bare"],
        "{restarted:#?}"
    );
    ensure!(!interfaces(cluster, namespace, "bare")?.contains("net1"), "it has left");
    let mut after = identities(api, namespace)?;
    after.remove("other");
    ensure!(after == before, "{after:#?} {before:#?}");
    Ok(())
}

/// The same by `watch` alone, which the annotation of the Node leads.
fn joined_and_left_by_watch(cluster: &mut Cluster, api: &Api, namespace: &str) -> Result<()> {
    let before = let_join(&mut cluster.workers[0])?;
    let led = led_by_annotation(cluster, api, namespace);
    let worker = &mut cluster.workers[0];
    worker.node.write(SETTINGS, before)?;
    led.and(worker.start_watch())
}

/// Has a node let networks join and leave its pods by itself; gives its settings as they were.
pub(crate) fn let_join(worker: &mut Worker) -> Result<Vec<u8>> {
    let before = fs::read(worker.node.outside(SETTINGS)).context(SETTINGS)?;
    let mut settings: Value = serde_json::from_slice(&before)?;
    settings["joinPods"] = json!(true);
    settings["proof"] = json!("probe");
    worker.node.write(SETTINGS, settings.to_string())?;
    worker.give_systemd_run()?;
    worker.start_watch()?;
    Ok(before)
}

fn led_by_annotation(cluster: &mut Cluster, api: &Api, namespace: &str) -> Result<()> {
    let uids = |api: &Api| -> Result<BTreeMap<String, Value>> {
        let mut all = identities(api, namespace)?;
        all.remove("other");
        Ok(all)
    };
    let before = uids(api)?;
    let observed = |node: &Value| -> Value {
        let text = node["metadata"]["annotations"]["crossfade/observed"].as_str().unwrap_or_default();
        serde_json::from_str(text).unwrap_or_default()
    };
    let settled = |api: &Api, phase: &str, restarts: u64| {
        api.until(&node_path(NODE), &format!("has let networks join and leave for {phase}"), |node| {
            let observed = observed(node);
            observed["phase"] == phase && observed["restarts"] == restarts
        })
    };
    let joined = flip(api, NODE, "both-old").and_then(|()| settled(api, "both-old", 0))?;
    let attached = &observed(&joined)["attached"];
    ensure!(attached["both-old"].as_u64() >= Some(2) && attached["others"].is_null(), "{attached}");
    ensure!(uids(api)? == before, "{before:#?}");
    let address = second_address(cluster, namespace, "bare")?;
    ensure_answers(cluster, namespace, "other", (&address, manifest::PORT), "bare")?;

    // A connection holds the network in its pod, and the Node names the pod.
    let mut connected = connection(cluster, namespace, &address)?;
    let held = until("a connection", WITHIN, || {
        let connections = exec(cluster, namespace, "bare", &[tools::BUSYBOX, "netstat", "-tn"])?;
        Ok(connections.contains(&format!("{address}:{}", manifest::PORT)).then_some(()))
    })
    .and_then(|()| flip(api, NODE, "old"))
    .and_then(|()| {
        api.until(&node_path(NODE), "names the pod that keeps its network", |node| {
            message(node, "CrossfadeReady").contains("join/bare (connections)")
        })
    });
    let killed = connected.kill().and_then(|()| connected.wait());
    ensure!(observed(&held?)["restarts"].is_null(), "its pods are not settled");
    killed?;
    // A `watch` that starts does not wait for the next turn.
    cluster.workers[0].start_watch()?;
    settled(api, "old", 0)?;
    ensure!(!interfaces(cluster, namespace, "bare")?.contains("net1"), "it has left");

    // Another primary is a restart, which nothing but a run or a person begins.
    flip(api, NODE, "new")?;
    let waits = api.until(&node_path(NODE), "counts the pods that wait for a restart", |node| {
        observed(node)["phase"] == "new" && observed(node)["restarts"].as_u64() >= Some(2)
    })?;
    let observed = observed(&waits);
    ensure!(observed["attached"]["old"] == observed["restarts"], "{observed}");
    ensure!(uids(api)? == before, "{before:#?}");
    Ok(())
}

fn message(node: &Value, kind: &str) -> String {
    let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
    let message =
        conditions.filter(|condition| condition["type"] == kind).map(|condition| &condition["message"]);
    message.filter_map(Value::as_str).collect()
}
