//! A whole run on a dozen nodes, with the rights of `deploy/cluster/rbac-operator.yaml`.

use anyhow::{Result, ensure};
use lab::kubernetes::{Operator, manifest};
use lab::standin::hollow::{Cluster, Fleet, audited, unhurried};
use serde_json::json;

lab::trials![every_pod_moves_to_the_new_network_by_evictions];

/// Two zones, so that there are scouts, canaries and zones, and more than one node at once.
const FLEET: Fleet = Fleet { nodes: 12, zones: 2, first: 12, joins: false };
/// Pods of the Deployment, of the StatefulSet and of DNS; the DaemonSet has one on each node. Those of the second and the third move one after the other,
/// half a minute apart.
const WEB: u32 = 46;
const DB: u32 = 2;
const DNS: u32 = 3;
const NAMESPACE: &str = "hollow";

fn every_pod_moves_to_the_new_network_by_evictions() -> Result<()> {
    let cluster = Cluster::start(FLEET)?;
    let api = cluster.api()?;
    cluster.serve_dns(DNS)?;
    api.namespace(NAMESPACE)?;
    let server = manifest::server();
    let workload = |kind, name, replicas| manifest::workload(kind, NAMESPACE, name, replicas, &server);
    let budget = manifest::budget(NAMESPACE, "web", &json!({ "maxUnavailable": 3 }), &api)?;
    api.create(&[
        workload("Deployment", "web", Some(WEB)),
        workload("StatefulSet", "db", Some(DB)),
        workload("DaemonSet", "agent", None),
        budget,
    ])?;
    let pods = (WEB + DB + FLEET.nodes) as usize;
    cluster.until_running(NAMESPACE, pods)?;
    cluster.ensure_all_on(NAMESPACE, pods, "old")?;

    let operator = Operator::new(&cluster.plane, "bridge", unhurried(6))?.waiving_what_blocks()?;
    let hash = operator.plan()?;
    let (_, begin) = audited(&cluster.plane.audit_log(), 0)?;
    let rolled = operator.ends(&["roll", "--plan", &hash[..12]], 0)?;
    ensure!(rolled.answer["nodes"]["done"] == FLEET.nodes, "{rolled:#?}");

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
    ensure!(evictions >= pods as u64, "{asked:#?}");
    ensure!(!asked.contains_key("delete pods"), "{asked:#?}");
    operator.ends(&["roll", "stragglers", "--phase", "new"], 0)?;
    operator.ends(&["roll", "stragglers", "--phase", "old"], 3)?;
    cluster.hollow.ensure_sound()
}
