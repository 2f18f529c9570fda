//! Reads what is there of the old CNI: each object by its name, and the resources of its definitions.

use std::collections::{BTreeMap, BTreeSet};

use migration::backup::file::ClusterId;
use migration::check::Scene;
use migration::cni::footprint::{Class, Part, Target};
use migration::finish::cleaning::CleanupPod;
use migration::finish::plan::{Rights, candidates, namespaces_of};
use migration::finish::{FinishPlan, Inventory};
use migration::workload::is_ready;
use serde_json::Value;
use snapshot::model::{Node, Pod};

use crate::live::api::call::Caller;
use crate::live::api::error::{Meaning, problem};
use crate::live::api::failure::Failure;
use crate::live::api::list::{ask, list_objects};
use crate::live::api::path::encode;
use crate::live::api::server;

/// Where chart and manifest put agents that are gone.
const DEFAULT: &str = "kube-system";

/// The namespace of Crossfade's nodes.
const NAMESPACE: &str = "crossfade-system";
/// The DaemonSet that cleans nodes, and the value of its pods' label.
const CLEANER: &str = "crossfade-cleanup";

/// The path of an object.
pub(super) fn path(target: &Target) -> String {
    let root = if target.group().is_empty() { "/api" } else { "/apis" };
    let namespace = target.namespace.as_deref().map(|name| format!("namespaces/{}/", encode(name)));
    let (version, plural, name) = (&target.api_version, &target.plural, encode(&target.name));
    format!("{root}/{version}/{}{plural}/{name}", namespace.unwrap_or_default())
}

pub(super) async fn cluster_uid(caller: &Caller) -> Result<String, Failure> {
    let uid = server::uid(caller.client()).await;
    uid.map(Option::unwrap_or_default).map_err(|meaning| problem("read the UID of the cluster", meaning))
}

/// Looks for every object that the old CNI may have. A plan says where its agents were.
pub(super) async fn inventory(
    caller: &Caller,
    scene: &Scene<'_>,
    plan: Option<&FinishPlan>,
) -> Result<Inventory, Failure> {
    let agents = plan.into_iter().flat_map(|plan| plan.delete.iter().chain(&plan.vanish));
    let agents = agents.filter(|pin| pin.target.part == Part::Agent);
    let mut namespaces: BTreeSet<String> = agents.filter_map(|pin| pin.target.namespace.clone()).collect();
    namespaces.extend(namespaces_of(scene, scene.from));
    if namespaces.is_empty() {
        namespaces.insert(DEFAULT.to_owned());
    }
    let cluster = ClusterId {
        uid: cluster_uid(caller).await?,
        api_server: scene.snapshot.cluster.version.clone().unwrap_or_default(),
    };
    let targets = candidates(scene, &namespaces);
    let (cleanup, rights) = (cleanup_pods(caller).await?, rights(caller).await?);
    look(caller, scene, targets, Inventory { cluster, namespaces, cleanup, rights, ..Inventory::default() })
        .await
}

/// Looks once more for what was there.
pub(super) async fn again(
    caller: &Caller,
    scene: &Scene<'_>,
    before: Inventory,
) -> Result<Inventory, Failure> {
    let targets = before.objects.keys().filter(|target| target.part != Part::Resource).cloned().collect();
    look(caller, scene, targets, Inventory { objects: BTreeMap::new(), ..before }).await
}

pub(super) async fn nodes(caller: &Caller) -> Result<Vec<Node>, Failure> {
    let what = "list nodes";
    caller.turn().await;
    let all = list_objects(caller.client(), "/api/v1/nodes", &mut |_| {})
        .await
        .map_err(|meaning| problem(what, meaning))?;
    let read =
        |node: Value| serde_json::from_value(node).map_err(|e| problem(what, Meaning::Failed(e.to_string())));
    all.into_iter().map(read).collect()
}

async fn look(
    caller: &Caller,
    scene: &Scene<'_>,
    targets: BTreeSet<Target>,
    mut inventory: Inventory,
) -> Result<Inventory, Failure> {
    let footprint = scene.from.facts().footprint;
    for target in targets {
        let what = format!("read {target}");
        caller.turn().await;
        let object = match ask(caller.client(), &path(&target), &mut |_| {}).await {
            Ok(text) => serde_json::from_str::<Value>(&text)
                .map_err(|e| problem(&what, Meaning::Failed(e.to_string())))?,
            Err(Meaning::NotFound) => continue,
            Err(Meaning::Forbidden(why)) => {
                inventory.unread.push(format!("{target}: {why}"));
                continue;
            }
            Err(meaning) => return Err(problem(&what, meaning)),
        };
        // Only an APIService with a Service is the CNI's; one of a definition goes with it.
        if target.part == Part::ApiService && object.pointer("/spec/service").is_none_or(Value::is_null) {
            continue;
        }
        let is_definition = matches!(target.part, Part::Definition | Part::Converted);
        if is_definition && footprint.class(&target.name) == Some(Class::Configuration) {
            resources(caller, &object, &mut inventory).await?;
        }
        inventory.objects.insert(target, object);
    }
    inventory.unavailable = unavailable(caller).await?;
    inventory.unread.sort();
    inventory.unread.dedup();
    Ok(inventory)
}

/// Reads the objects of a definition, in the version that it stores.
async fn resources(caller: &Caller, definition: &Value, inventory: &mut Inventory) -> Result<(), Failure> {
    let text =
        |pointer: &str| definition.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (group, kind, plural) = (text("/spec/group"), text("/spec/names/kind"), text("/spec/names/plural"));
    let versions = definition.pointer("/spec/versions").and_then(Value::as_array);
    let served = versions.into_iter().flatten().filter(|version| version["served"] == true);
    let served: Vec<&Value> = served.collect();
    let stored = served.iter().find(|version| version["storage"] == true).or_else(|| served.first());
    let Some(version) = stored.and_then(|version| version["name"].as_str()) else {
        inventory.unread.push(format!("{plural}.{group}: the API server serves no version of it"));
        return Ok(());
    };
    let version = format!("{group}/{version}");
    match list_objects(caller.client(), &format!("/apis/{version}/{plural}"), &mut |_| {}).await {
        Ok(all) => {
            for object in all {
                let meta = |key: &str| {
                    object.pointer(&format!("/metadata/{key}")).and_then(Value::as_str).map(str::to_owned)
                };
                let Some(name) = meta("name") else { continue };
                let target = Target {
                    part: Part::Resource,
                    api_version: version.clone(),
                    kind: kind.clone(),
                    plural: plural.clone(),
                    namespace: meta("namespace"),
                    name,
                };
                inventory.objects.insert(target, object);
            }
        }
        // Its last object and the definition went meanwhile.
        Err(Meaning::NotFound) => {}
        Err(Meaning::Forbidden(why)) => inventory.unread.push(format!("{plural}.{group}: {why}")),
        Err(meaning) => return Err(problem(&format!("list {plural}.{group}"), meaning)),
    }
    Ok(())
}

/// The pods of the DaemonSet that cleans nodes.
pub(super) async fn cleanup_pods(caller: &Caller) -> Result<Option<BTreeMap<String, CleanupPod>>, Failure> {
    let list = async |path: &str| match list_objects(caller.client(), path, &mut |_| {}).await {
        Ok(all) => Ok(all),
        Err(Meaning::NotFound) => Ok(Vec::new()),
        Err(meaning) => Err(problem(&format!("list {path}"), meaning)),
    };
    let sets = list(&format!("/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets")).await?;
    if !sets.iter().any(|set| set["metadata"]["name"] == CLEANER) {
        return Ok(None);
    }
    let mut pods = BTreeMap::new();
    for pod in list(&format!("/api/v1/namespaces/{NAMESPACE}/pods")).await? {
        let pod: Pod =
            serde_json::from_value(pod).map_err(|e| problem("read pods", Meaning::Failed(e.to_string())))?;
        let is_going = pod.metadata.deletion_timestamp.is_some();
        if pod.metadata.label("app.kubernetes.io/name") == Some(CLEANER) && !is_going {
            let state = CleanupPod { name: pod.name().to_owned(), is_ready: is_ready(&pod) };
            pods.insert(pod.spec.node_name.to_string(), state);
        }
    }
    Ok(Some(pods))
}

/// Crossfade's own rights; none if the credential may not list them.
async fn rights(caller: &Caller) -> Result<Option<Rights>, Failure> {
    let mut all = Vec::new();
    for plural in ["clusterroles", "clusterrolebindings"] {
        caller.turn().await;
        let path = format!("/apis/rbac.authorization.k8s.io/v1/{plural}");
        match list_objects(caller.client(), &path, &mut |_| {}).await {
            Ok(objects) => all.push(objects),
            Err(Meaning::Forbidden(_)) => return Ok(None),
            Err(meaning) => return Err(problem(&format!("list {plural}"), meaning)),
        }
    }
    Ok(Some(Rights::new(&all[0], &all[1])))
}

/// Names of aggregated APIs that are away.
async fn unavailable(caller: &Caller) -> Result<Vec<String>, Failure> {
    let all = list_objects(caller.client(), "/apis/apiregistration.k8s.io/v1/apiservices", &mut |_| {}).await;
    let all = all.map_err(|meaning| problem("list apiservices", meaning))?;
    let is_away = |service: &&Value| {
        let conditions = service.pointer("/status/conditions").and_then(Value::as_array);
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|condition| condition["type"] == "Available" && condition["status"] != "True")
    };
    let name = |service: &Value| service.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned);
    Ok(all.iter().filter(is_away).filter_map(name).collect())
}
