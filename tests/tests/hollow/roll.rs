//! Whole runs on hollow nodes, with the rights of `deploy/cluster/rbac-operator.yaml`.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use lab::host::deadline::until;
use lab::kubernetes::{Api, Operator, manifest};
use lab::standin::hollow::{Cluster, Fleet, audited, unhurried};
use serde_json::json;

lab::trials![
    every_pod_moves_to_the_new_network_by_evictions,
    every_pod_is_restarted_once_where_networks_join_and_leave,
    a_pipeline_that_asks_replaces_every_node_in_an_order_of_its_own,
];

/// Two zones, so that there are scouts, canaries and zones, and more than one node at once.
const FLEET: Fleet = Fleet { nodes: 12, zones: 2, first: 12, joins: false, is_plain: false };
/// Pods of the StatefulSet and of DNS, which move one after the other, half a minute apart. With those of the Deployment there are four on each node, and
/// one more of the DaemonSet.
const DB: u32 = 2;
const DNS: u32 = 3;
const NAMESPACE: &str = "hollow";

fn every_pod_moves_to_the_new_network_by_evictions() -> Result<()> {
    move_every_pod(FLEET, "bridge")
}

/// In three passes, of which only the second one evicts.
fn every_pod_is_restarted_once_where_networks_join_and_leave() -> Result<()> {
    move_every_pod(Fleet { nodes: 4, first: 4, joins: true, ..FLEET }, "double")
}

fn move_every_pod(fleet: Fleet, strategy: &str) -> Result<()> {
    let cluster = Cluster::start(fleet)?;
    let api = cluster.api()?;
    cluster.serve_dns(DNS)?;
    api.namespace(NAMESPACE)?;
    let server = manifest::server();
    let web = 4 * fleet.nodes - DB;
    let workload = |kind, name, replicas| manifest::workload(kind, NAMESPACE, name, replicas, &server);
    let budget = manifest::budget(NAMESPACE, "web", &json!({ "maxUnavailable": 3 }), &api)?;
    api.create(&[
        workload("Deployment", "web", Some(web)),
        workload("StatefulSet", "db", Some(DB)),
        workload("DaemonSet", "agent", None),
        budget,
    ])?;
    let pods = (web + DB + fleet.nodes) as usize;
    cluster.until_running(NAMESPACE, pods)?;
    cluster.ensure_all_on(NAMESPACE, pods, "old")?;

    let operator = Operator::new(&cluster.plane, strategy, unhurried(6))?.waiving_what_blocks()?;
    let hash = operator.plan()?;
    let (_, begin) = audited(&cluster.plane.audit_log(), 0)?;
    let rolled = operator.ends(&["roll", "--plan", &hash[..12]], 0)?;
    ensure!(rolled.answer["nodes"]["done"] == fleet.nodes, "{rolled:#?}");

    cluster.until_running(NAMESPACE, pods)?;
    cluster.ensure_all_on(NAMESPACE, pods, "new")?;
    cluster.ensure_all_on("kube-system", DNS as usize, "new")?;
    for node in api.list("/api/v1/nodes")? {
        let name = &node["metadata"]["name"];
        ensure!(node["metadata"]["labels"]["crossfade/phase"] == "new", "{name}: {}", node["metadata"]);
        ensure!(node["spec"]["unschedulable"] != json!(true), "{name} is cordoned");
        ensure!(node["spec"]["taints"].is_null(), "{name}: {}", node["spec"]["taints"]);
    }
    let (asked, _) = audited(&cluster.plane.audit_log(), begin)?;
    let evictions = asked.get("create pods/eviction").copied().unwrap_or_default();
    // A budget may refuse one of them, which is then asked again.
    ensure!((pods as u64..2 * pods as u64).contains(&evictions), "{asked:#?}");
    ensure!(!asked.contains_key("delete pods"), "{asked:#?}");
    operator.ends(&["roll", "stragglers", "--phase", "new"], 0)?;
    operator.ends(&["roll", "stragglers", "--phase", "old"], 3)?;
    cluster.hollow.ensure_sound()
}

/// Nodes without Crossfade, which a loop replaces: start a new one, ask, drain the old one with kubectl, delete it.
fn a_pipeline_that_asks_replaces_every_node_in_an_order_of_its_own() -> Result<()> {
    let fleet = Fleet { nodes: 5, zones: 1, first: 5, joins: false, is_plain: true };
    let cluster = Cluster::start(fleet)?;
    let api = cluster.api()?;
    cluster.serve_dns(DNS)?;
    api.namespace(NAMESPACE)?;
    let pods = 2 * fleet.nodes as usize;
    let web = manifest::workload("Deployment", NAMESPACE, "web", Some(2 * fleet.nodes), &manifest::server());
    let budget = manifest::budget(NAMESPACE, "web", &json!({ "maxUnavailable": 3 }), &api)?;
    api.create(&[web, budget])?;
    cluster.until_running(NAMESPACE, pods)?;
    cluster.ensure_all_on(NAMESPACE, pods, "old")?;
    let first = pods_on_nodes(&api)?;

    let operator = Operator::new(&cluster.plane, "rotation", unhurried(2))?.waiving_what_blocks()?;
    let hash = operator.plan()?;
    let pipeline = operator.pipeline(&cluster.plane)?;
    let (_, begin) = audited(&cluster.plane.audit_log(), 0)?;
    let mut run = operator.begin(&["roll", "--plan", &hash[..12]])?;
    until("the run", Duration::from_mins(10), || {
        run.goes_on()?;
        let maps = api.list("/api/v1/namespaces/crossfade/configmaps")?;
        Ok(maps.iter().any(|map| map["metadata"]["name"] == "crossfade-run").then_some(()))
    })?;
    let old: Vec<String> = fleet.members().map(|member| member.name()).collect();
    for node in old.iter().rev() {
        cluster.hollow.start_replacement(node)?;
        ask(&pipeline, node)?;
        // A pipeline that was interrupted asks again.
        ask(&pipeline, node)?;
        for words in [
            vec!["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=300s"],
            vec!["delete", "node", node],
        ] {
            run.goes_on()?;
            lab::host::node::run(&mut cluster.plane.kubectl(&words)?)?;
        }
        cluster.until_running(NAMESPACE, pods)?;
        let twice: Vec<String> = pods_on_nodes(&api)?
            .into_iter()
            .filter(|(pod, node)| old.contains(node) && !first.contains(&(pod.clone(), node.clone())))
            .map(|(pod, node)| format!("{pod} on {node}"))
            .collect();
        ensure!(twice.is_empty(), "these pods will move twice: {twice:?}");
    }
    let rolled = run.ends(Duration::from_mins(30))?;
    ensure!(rolled.status == Some(0), "{rolled:#?}");
    cluster.ensure_all_on(NAMESPACE, pods, "new")?;
    cluster.ensure_all_on("kube-system", DNS as usize, "new")?;
    for node in api.list("/api/v1/nodes")? {
        let name = &node["metadata"]["name"];
        ensure!(node["metadata"]["labels"]["crossfade/phase"] == "new", "{name}: {}", node["metadata"]);
        ensure!(node["spec"]["taints"].is_null(), "{name}: {}", node["spec"]["taints"]);
    }
    let (asked, _) = audited(&cluster.plane.audit_log(), begin)?;
    ensure!(!asked.contains_key("create pods/eviction"), "the pipeline drains, and not the run: {asked:#?}");
    pipeline.ends(&["permit", &old[0]], 3)?;
    cluster.hollow.ensure_sound()
}

/// Asks until the node may go: 75 says to ask again.
fn ask(pipeline: &Operator, node: &str) -> Result<()> {
    until(&format!("a permit for {node}"), Duration::from_mins(30), || {
        let answer = pipeline.run(&["permit", node, "--wait", "60"])?;
        ensure!(matches!(answer.status, Some(0 | 75)), "{answer:#?}");
        Ok((answer.status == Some(0)).then_some(()))
    })
}

/// The pods of the Deployment, each with its node.
fn pods_on_nodes(api: &Api) -> Result<BTreeSet<(String, String)>> {
    let pods = api.list(&format!("/api/v1/namespaces/{NAMESPACE}/pods"))?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let stays = |pod: &&serde_json::Value| pod["metadata"]["deletionTimestamp"].is_null();
    let spot = |pod: &serde_json::Value| (text(&pod["metadata"]["name"]), text(&pod["spec"]["nodeName"]));
    Ok(pods.iter().filter(stays).map(spot).collect())
}
