//! The cluster of all cases, and what they ask of it.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context, Result, ensure};
use lab::host::deadline::until;
use lab::host::fabric::Overlay;
use lab::host::node::Node;
use lab::kubernetes::api::{WITHIN, condition, node_path};
use lab::kubernetes::cnis::{Agents, Cnis};
use lab::kubernetes::{Api, Cluster, Worker, conf_path, manifest, tools};
use serde_json::{Value, json};

use super::steps::DNS;

/// Nodes that run from the beginning.
pub(crate) const NODES: [&str; 3] = ["n1", "n2", "n3"];
/// Prepared, and for one case to start.
pub(crate) const LATE: usize = 3;
/// What a Service's name leads to, for every case that asks by name.
pub(crate) const WEB: (&str, &str) = ("web.services", "10.96.7.7");

static CLUSTER: OnceLock<Mutex<Cluster>> = OnceLock::new();
/// Those of real CNIs, if the networks are theirs.
static AGENTS: OnceLock<Mutex<Vec<Agents>>> = OnceLock::new();

/// Three nodes that booted with Crossfade, with old agents and new ones; pods get the old network.
pub(crate) fn start(cnis: Option<&Cnis>) -> Result<()> {
    let mut cluster = Cluster::prepare(4)?;
    let networks = [cluster.old.clone(), cluster.new.clone()];
    let late = cluster.workers.split_off(LATE);
    let policy = cnis.map_or_else(|| cluster.policy(), Cnis::policy);
    if let Some(cnis) = cnis {
        networks.iter().try_for_each(|overlay| cluster.fabric.remove_overlay(&overlay.name))?;
        cluster.workers.iter().try_for_each(|worker| cnis.prepare(&cluster, &worker.node))?;
    }
    cluster.each(|worker| {
        if cnis.is_none() {
            bring_agents(&worker.node, &networks)?;
        }
        worker.bake(&policy, json!({}), &[])?;
        worker.boot()
    })?;
    let api = cluster.api()?;
    if let Some(cnis) = cnis {
        let agents = cluster.workers.iter().map(|worker| cnis.start(&api, worker)).collect::<Result<_>>()?;
        AGENTS.set(Mutex::new(agents)).map_err(|_| anyhow::anyhow!("started twice"))?;
    }
    cluster.workers.extend(late);
    NODES.iter().try_for_each(|node| api.until_ready(node).map(drop))?;
    cluster.serve_dns(&[WEB])?;
    api.until_rolled_out(DNS)?;
    CLUSTER.set(Mutex::new(cluster)).map_err(|_| anyhow::anyhow!("started twice"))
}

/// Ends it: what is in a static is not dropped.
pub(crate) fn end() {
    if let Some(agents) = AGENTS.get() {
        lock(agents).clear();
    }
    if let Some(cluster) = CLUSTER.get() {
        // The lab ends with this process; its nodes and processes do with the lab.
        lock(cluster).workers.clear();
    }
}

/// The cluster, for one case at a time.
pub(crate) fn cluster() -> Result<MutexGuard<'static, Cluster>> {
    CLUSTER.get().map(lock).context("main starts it before it runs a case")
}

/// Whether the networks are those of real CNIs.
pub(crate) fn has_real_networks() -> bool {
    AGENTS.get().is_some()
}

/// The agents of real CNIs, those of the first node first.
pub(crate) fn real_agents() -> Result<MutexGuard<'static, Vec<Agents>>> {
    AGENTS.get().map(lock).context("main starts them if it has their programs")
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The confs of both networks, as their agents write them.
pub(crate) fn bring_agents(node: &Node, networks: &[Overlay]) -> Result<()> {
    networks
        .iter()
        .try_for_each(|overlay| node.write(conf_path(overlay), overlay.conflist(node.index()).to_string()))
}

/// Asks a node for a phase as a person would, and waits until it says that pods get it.
pub(crate) fn flip(api: &Api, node: &str, phase: &str) -> Result<()> {
    api.annotate(node, "crossfade/desired", json!(phase))?;
    api.until(&node_path(node), &format!("is in phase {phase}"), |node| {
        node["metadata"]["labels"]["crossfade/phase"] == phase && condition(node, "CrossfadeReady") == "True"
    })
    .map(drop)
}

/// Asks the three nodes for a phase.
pub(crate) fn flip_all(api: &Api, phase: &str) -> Result<()> {
    NODES.iter().try_for_each(|node| flip(api, node, phase))
}

/// Which network an address is of.
pub(crate) fn network_of(pod: &Value) -> &'static str {
    match pod["status"]["podIP"].as_str().unwrap_or_default() {
        address if address.starts_with("10.244.") => "old",
        address if address.starts_with("10.245.") => "new",
        _ => "neither",
    }
}

/// Waits until a pod is ready, and returns it.
pub(crate) fn until_ready(api: &Api, path: &str) -> Result<Value> {
    api.until(path, "is Ready", |pod| condition(pod, "Ready") == "True")
}

/// Makes a server pod on a node, and returns it when it is ready.
pub(crate) fn run_on(api: &Api, namespace: &str, name: &str, node: &str) -> Result<Value> {
    api.create(&[manifest::pod(namespace, name, &manifest::server_on(node))])?;
    until_ready(api, &format!("/api/v1/namespaces/{namespace}/pods/{name}"))
}

/// Makes a namespace, gives it to a case, and waits until it is gone with everything in it, whatever the case says.
pub(crate) fn in_namespace(api: &Api, name: &str, case: impl FnOnce(&str) -> Result<()>) -> Result<()> {
    api.namespace(name)?;
    let outcome = case(name);
    let path = format!("/api/v1/namespaces/{name}");
    let ended = api.client.delete(&path)?.object().and_then(|_| api.until_gone(&path));
    outcome.and(ended)
}

/// What a program in a pod says; `kubectl exec`, as a person would.
pub(crate) fn exec(cluster: &Cluster, namespace: &str, pod: &str, words: &[&str]) -> Result<String> {
    let line = [&["exec", "--namespace", namespace, pod, "--"], words].concat();
    lab::host::command::run(&mut cluster.plane.kubectl(&line)?)
}

/// Holds when a server answers with its name, asked by a pod at `host:port`, within the time that kube-proxy needs for a change.
pub(crate) fn ensure_answers(
    cluster: &Cluster,
    namespace: &str,
    pod: &str,
    (host, port): (&str, u16),
    expected: &str,
) -> Result<()> {
    let request = r"GET /etc/hostname HTTP/1.0\r\n\r\n";
    let script = format!(
        "exec 3<>/dev/tcp/{host}/{port}; printf '{request}' >&3; exec {} tail -n 1 <&3",
        tools::BUSYBOX
    );
    let line = [tools::BUSYBOX, "timeout", "2", tools::BASH, "-c", &script];
    let text = until(&format!("an answer of {host}:{port} to {pod}"), WITHIN, || {
        Ok(exec(cluster, namespace, pod, &line).ok().filter(|text| !text.trim().is_empty()))
    })?;
    ensure!(text.trim() == expected, "{host}:{port} answers {text:?} to {pod}, expected {expected}");
    Ok(())
}

/// Waits until a node holds exactly so many addresses of the old and of the new network.
pub(crate) fn until_left(cluster: &Cluster, worker: &Worker, old: usize, new: usize) -> Result<()> {
    let mut last = (0, 0);
    until(&format!("{old} and {new} addresses on {}", worker.name()), WITHIN, || {
        last = (cluster.old.leases(&worker.node)?.len(), cluster.new.leases(&worker.node)?.len());
        Ok((last == (old, new)).then_some(()))
    })
    .with_context(|| format!("addresses of old and new: {last:?}"))
}
