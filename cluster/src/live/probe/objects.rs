//! The objects of the agents in the API.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::List;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};
use reachability::manifests::{
    Agents, DAEMON_SETS, HUB, Manifest, NAMESPACE, collection, daemon_sets, paths, policy, secret, service,
    zones,
};
use reachability::placement::{Node, Placement};
use serde_json::{Value, json};
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::RIGHTS;
use super::reports::{list_pods, node_name};
use crate::live::api::call::{ApiRequest, Caller, Reply};
use crate::live::api::failure::{Failure, lost_failure, refused_without};
use crate::live::api::path::{MANAGER, with_query};

/// Bytes of the key that all agents of a cluster share.
const KEY: usize = 16;
/// How often the agents' pods are looked at that are to end, and how long it is from one look to the next.
const LOOKS: u32 = 60;
const LOOK: Duration = Duration::from_secs(1);
/// How many reasons are named for which pods do not start.
const NAMED: usize = 3;

/// The nodes on which hubs run; none if there are no agents.
///
/// # Errors
/// The namespace is missing, or a request failed.
pub(super) async fn hub_nodes(caller: &Caller) -> Result<Option<BTreeSet<String>>, Failure> {
    if daemon_sets_of(caller).await?.iter().all(|set| set.metadata.name.as_deref() != Some(HUB)) {
        return Ok(None);
    }
    let pods = list_pods(caller, Some(HUB)).await.map_err(|why| lost_failure("list the hubs", &why))?;
    Ok(Some(pods.iter().map(node_name).filter(|node| !node.is_empty()).map(str::to_owned).collect()))
}

/// Brings everything to the cluster, or makes it so. The key stays what it is.
///
/// # Errors
/// The namespace is missing, or a request failed.
pub(super) async fn apply(
    caller: &Caller,
    agents: &Agents,
    placement: &Placement,
    nodes: &[Node],
) -> Result<(), Failure> {
    create(caller, &secret(&key()?)).await?;
    apply_object(caller, &zones(nodes, placement)).await?;
    let made = apply_object(caller, &service(agents.port)).await?;
    if agents.asks_denied {
        apply_object(caller, &policy(agents.port)).await?;
    }
    for set in daemon_sets(agents, placement, &cluster_ips(&made)) {
        apply_object(caller, &set).await?;
    }
    Ok(())
}

/// The objects that [`apply`] would bring to a cluster without agents, without the key and the cluster IPs.
pub(crate) fn preview(agents: &Agents, nodes: &[Node]) -> Vec<Value> {
    let placement = Placement::decide(nodes, &BTreeSet::new());
    let policy = agents.asks_denied.then(|| policy(agents.port));
    let all = [zones(nodes, &placement), service(agents.port)].into_iter().chain(policy);
    all.chain(daemon_sets(agents, &placement, &[])).map(|manifest| manifest.object).collect()
}

/// Takes everything away but the namespace, and waits until the agents' pods have ended. What is not there is no error.
///
/// # Errors
/// A request failed, or pods do not end.
pub(super) async fn remove(caller: &Caller) -> Result<(), Failure> {
    for path in paths() {
        let what = format!("delete {path}");
        let options =
            json!({ "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background" });
        let ask = ApiRequest::delete(path, options.to_string().into_bytes());
        let reply = caller.call(&ask).await.map_err(|why| lost_failure(&what, &why))?;
        if !reply.is_done() && !reply.refusal().is_not_found() {
            return Err(refused(&what, &reply));
        }
    }
    // A drain refuses pods whose DaemonSet is gone.
    for _ in 0..LOOKS {
        let agents = list_pods(caller, None).await.map_err(|why| lost_failure("list the agents", &why))?;
        if agents.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    let problem = Problem::new("the agents are deleted, and some of their pods have not ended yet");
    let fix = "look at kubectl -n crossfade-probe get pods, then run the same command with --remove";
    Err((Exit::TryLater, problem.with_place(format!("Namespace/{NAMESPACE}")).fix(fix)))
}

/// How many agents the DaemonSets want; nothing before the controller has looked at all of them.
///
/// # Errors
/// A request failed.
pub(super) async fn count_expected(caller: &Caller) -> Result<usize, Failure> {
    let sets = daemon_sets_of(caller).await?;
    let status = |set: DaemonSet| {
        let generation = set.metadata.generation.unwrap_or_default().max(1);
        set.status.filter(|status| status.observed_generation.unwrap_or_default() >= generation)
    };
    let count = sets.len();
    let observed: Vec<DaemonSetStatus> = sets.into_iter().filter_map(status).collect();
    if count < DAEMON_SETS.len() || observed.len() < count {
        return Ok(0);
    }
    Ok(observed
        .iter()
        .map(|status| usize::try_from(status.desired_number_scheduled).unwrap_or_default())
        .sum())
}

/// Why agents have not started, in words.
pub(super) async fn describe_waiting(caller: &Caller) -> String {
    let pods = match list_pods(caller, None).await {
        Ok(pods) => pods,
        Err(why) => return why,
    };
    let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pod in pods {
        let node = node_name(&pod).to_owned();
        let status = pod.status.unwrap_or_default();
        let containers = status.container_statuses.unwrap_or_default();
        let waiting = containers.into_iter().find_map(|container| container.state?.waiting);
        let reason = match (waiting, status.phase.unwrap_or_default()) {
            (Some(waiting), _) => waiting.reason.unwrap_or_default(),
            (None, phase) if phase == "Running" => continue,
            (None, phase) => phase,
        };
        reasons.entry(reason).or_default().push(node);
    }
    if reasons.is_empty() {
        return "all pods of agents run; do they reach the hubs' nodes?".to_owned();
    }
    let words = reasons.into_iter().take(NAMED).map(|(reason, nodes)| {
        let node = nodes.first().filter(|node| !node.is_empty());
        let place = node.map(|node| format!(", such as that of node {node}")).unwrap_or_default();
        format!("{} pods: {reason}{place}", nodes.len())
    });
    words.collect::<Vec<_>>().join("; ")
}

async fn daemon_sets_of(caller: &Caller) -> Result<Vec<DaemonSet>, Failure> {
    let what = "list the DaemonSets of agents";
    let reply = caller.page(&ApiRequest::get(collection("apps/v1", "daemonsets"))).await;
    let reply = reply.map_err(|why| lost_failure(what, &why.to_string()))?;
    if !reply.is_done() {
        return Err(refused(what, &reply));
    }
    let sets: List<DaemonSet> = reply.object().map_err(|why| lost_failure(what, &why))?;
    Ok(sets.items)
}

async fn create(caller: &Caller, manifest: &Manifest) -> Result<(), Failure> {
    let what = describe("create", manifest);
    let ask = ApiRequest::post(manifest.collection.clone(), manifest.object.to_string().into_bytes());
    let reply = caller.call(&ask).await.map_err(|why| lost_failure(&what, &why))?;
    if reply.is_done() || reply.refusal().reason == "AlreadyExists" {
        return Ok(());
    }
    Err(refused(&what, &reply))
}

async fn apply_object(caller: &Caller, manifest: &Manifest) -> Result<Value, Failure> {
    let what = describe("apply", manifest);
    let path = with_query(&manifest.path(), &[("fieldManager", MANAGER), ("force", "true")]);
    let ask = ApiRequest::apply(path, manifest.object.to_string().into_bytes());
    let reply = caller.call(&ask).await.map_err(|why| lost_failure(&what, &why))?;
    if !reply.is_done() {
        return Err(refused(&what, &reply));
    }
    reply.object().map_err(|why| lost_failure(&what, &why))
}

fn describe(verb: &str, manifest: &Manifest) -> String {
    let kind = manifest.object["kind"].as_str().unwrap_or_default();
    format!("{verb} {kind}/{NAMESPACE}/{}", manifest.name)
}

fn cluster_ips(service: &Value) -> Vec<String> {
    let all = service.pointer("/spec/clusterIPs").and_then(Value::as_array);
    let first = service.pointer("/spec/clusterIP").and_then(Value::as_str);
    match all {
        Some(all) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        None => first.into_iter().map(str::to_owned).collect(),
    }
}

/// A key as agents read it, in hex.
fn key() -> Result<String, Failure> {
    let mut bytes = [0; KEY];
    getrandom::fill(&mut bytes).map_err(|e| {
        let problem = Problem::new(format!("draw a key for the agents: {e}"));
        (Exit::Failed, problem.fix("this machine gives no random numbers; run the command on another one"))
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The API server refused a request on an object of agents.
fn refused(what: &str, reply: &Reply) -> Failure {
    let refusal = reply.refusal();
    if refusal.is_not_found() {
        let problem = Problem::new(format!("{what}: the namespace {NAMESPACE} does not exist"));
        let fix = format!("create it, and the rights in it: kubectl apply -f {RIGHTS}");
        return (Exit::Failed, problem.with_place(format!("Namespace/{NAMESPACE}")).fix(fix));
    }
    refused_without(what, &refusal, RIGHTS)
}
