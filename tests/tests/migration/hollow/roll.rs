//! Whole runs on hollow nodes, with the rights of `deploy/cluster/rbac-operator.yaml`.

use anyhow::{Result, ensure};
use lab::kubernetes::{Operator, manifest};
use lab::standin::hollow::{Cluster, Fleet, audited, unhurried};
use serde_json::json;
use types::policy::Phase;

lab::trials![
    every_pod_moves_to_the_new_network_by_evictions,
    every_pod_is_restarted_once_where_networks_join_and_leave,
];

/// Two zones, so that there are scouts, canaries and zones, and more than one node at once.
const FLEET: Fleet =
    Fleet { nodes: 12, zones: 2, first: 12, joins: false, is_plain: false, image: Phase::New };
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
    let (requests, _) = audited(&cluster.plane.audit_log(), begin)?;
    let evictions = requests.get("create pods/eviction").copied().unwrap_or_default();
    // A budget may refuse one of them, which is then asked again.
    ensure!((pods as u64..2 * pods as u64).contains(&evictions), "{requests:#?}");
    ensure!(!requests.contains_key("delete pods"), "{requests:#?}");
    operator.ends(&["roll", "stragglers", "--phase", "new"], 0)?;
    operator.ends(&["roll", "stragglers", "--phase", "old"], 3)?;
    cluster.hollow.ensure_sound()
}
