//! Networks of real CNIs that join and leave pods that run: all pods of a node while they are probed, and those of a cluster by a run.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use lab::host::deadline::until;
use lab::kubernetes::api::{WITHIN, condition, pod_path};
use lab::kubernetes::{Api, Cluster, Operator, manifest};
use lab::probe::Mesh;
use lab::standin::hollow::audited;
use serde_json::{Value, json};

use super::join::{SETTINGS, identities, let_join, second_address};
use super::move_pods::restart;
use super::steps::{all_on, all_open, back, deploy, ended};
use super::world::{
    NODES, cluster, ensure_answers, flip, flip_all, in_namespace, network_of, real_agents, run_on,
};

/// Pods of the node, beside one on another node that all of them probe and that probes all of them.
const PODS: u32 = 50;
const NODE: &str = NODES[0];
const HUB: &str = "hub";
/// The boot id of a node that was off.
const REBOOTED: &str = "3d1f0f4e-7f0a-4c52-9d6b-6e0f7a2f9b11";
/// An agent that is silent for so long is dead; agents speak twice a second.
const SILENCE_MS: u64 = 20_000;
/// What every pair must have had at the end, over UDP and over TCP.
const PROBES: u64 = 100;

pub(crate) fn networks_join_and_leave_fifty_pods_under_traffic() -> Result<()> {
    let cluster = cluster()?;
    let api = cluster.api()?;
    in_namespace(&api, "fifty", |namespace| {
        let moved = joined_and_left(&cluster, &api, namespace);
        let back = flip(&api, NODES[2], "old").and_then(|()| flip(&api, NODE, "old"));
        moved.and(back)
    })
}

/// Agents of probes find packets that Cilium lets through though a NetworkPolicy denies them, and none once Cilium enforces policies.
pub(crate) fn what_a_network_policy_denies_is_probed_before_and_after_cilium_enforces_it() -> Result<()> {
    let cluster = cluster()?;
    let api = cluster.api()?;
    let settings = json!({ "networks": cluster.networks() });
    let operator = Operator::new(&cluster.plane, "bridge", settings)?;
    operator.grant_probes(&cluster.plane)?;
    flip_all(&api, "new")?;
    let probed = denied(&operator, 3, "open")
        .and_then(|()| enforce_policies("default"))
        .and_then(|()| denied(&operator, 0, "clean"));
    let back = enforce_policies("never").and_then(|()| back(&api));
    probed.and(back)
}

/// Restarts the agents of Cilium with this `enable-policy`.
fn enforce_policies(mode: &str) -> Result<()> {
    real_agents()?.iter_mut().try_for_each(|agents| agents.set_cilium_flag("--enable-policy=", mode))
}

/// Probes pods on Cilium's network, and looks at what was sent to a closed port.
fn denied(operator: &Operator, status: i32, verdict: &str) -> Result<()> {
    let words = operator.about(&["probe", "--enforcement", "--baseline", "30", "--for", "30"]);
    let probed = operator.ends(&words, status)?;
    let classes = probed.answer["classes"].as_array().context("classes")?;
    let denied: Vec<&Value> = classes.iter().filter(|class| class["packet"] == "denied UDP").collect();
    let is_right =
        |class: &&Value| class["from"] == "new" && class["to"] == "new" && class["verdict"] == verdict;
    ensure!(!denied.is_empty() && denied.iter().all(is_right), "expected {verdict}: {denied:#?}");
    println!(
        "{verdict}: {} classes of packets that a NetworkPolicy denies, {} in all",
        denied.len(),
        classes.len()
    );
    Ok(())
}

fn joined_and_left(cluster: &Cluster, api: &Api, namespace: &str) -> Result<()> {
    let mut here = manifest::server();
    here["nodeSelector"] = json!({ "kubernetes.io/hostname": NODE });
    api.create(&[manifest::workload("Deployment", namespace, "web", Some(PODS), &here)])?;
    run_on(api, namespace, HUB, NODES[1])?;
    api.until_rolled_out(&format!("/apis/apps/v1/namespaces/{namespace}/deployments/web"))?;
    let before = identities(api, namespace)?;
    let pods = api.list(&format!("/api/v1/namespaces/{namespace}/pods"))?;
    let mut mesh = Mesh::new("old", SILENCE_MS);
    mesh.restrict(|client, server, _| [client, server].contains(&HUB));
    pods.iter().try_for_each(|pod| enter(cluster, &mut mesh, pod))?;

    mesh.phase("join")?;
    flip(api, NODE, "both-old")?;
    let begun = Instant::now();
    let joined = restart(&cluster.workers[0], namespace, &["--no-restart", "--apply"])?;
    let join = begun.elapsed();
    let names = joined.titles("join", "changed");
    ensure!(joined.status == Some(0) && names.len() == PODS as usize, "{joined:#?}");
    let endpoints = || -> Result<usize> {
        let all = real_agents()?[0].endpoints()?;
        Ok(all.iter().filter(|pod| pod.starts_with(&format!("{namespace}/"))).count())
    };
    ensure!(endpoints()? == PODS as usize, "{} endpoints", endpoints()?);
    mesh.phase("agent killed")?;
    real_agents()?[0].kill_cilium()?;
    until("Cilium's endpoints after its restart", WITHIN, || {
        Ok((endpoints()? == PODS as usize).then_some(()))
    })?;
    flip(api, NODES[2], "new")?;
    let other = run_on(api, namespace, "other", NODES[2])?;
    ensure!(network_of(&other) == "new", "{}", other["status"]);
    for title in names.iter().take(3) {
        let name = title.rsplit('/').next().unwrap_or_default();
        let address = second_address(cluster, namespace, name)?;
        ensure_answers(cluster, namespace, "other", (&address, manifest::PORT), name)?;
    }

    mesh.phase("leave")?;
    flip(api, NODE, "old")?;
    let begun = Instant::now();
    let restarted = restart(&cluster.workers[0], namespace, &["--wait", "60", "--apply"])?;
    let leave = begun.elapsed();
    ensure!(
        restarted.status == Some(0) && restarted.titles("leave", "changed").len() == PODS as usize,
        "{restarted:#?}"
    );
    ensure!(endpoints()? == 0, "{} endpoints", endpoints()?);
    let mut after = identities(api, namespace)?;
    after.remove("other");
    ensure!(after == before, "{after:#?} {before:#?}");
    mesh.pause()?;
    let report = mesh.finish()?;
    let (sent, lost) = (report.total.sent, report.total.lost);
    println!("{PODS} pods: {sent} probes, {lost} lost; joined in {join:.1?}, left in {leave:.1?}");
    report.verify(PROBES)
}

/// A run without forwarding between the there and back, on nodes that join and leave by themselves. Cilium's agents are killed meanwhile.
pub(crate) fn a_run_of_joins_and_leaves_evicts_each_pod_once_and_turns_back() -> Result<()> {
    let mut cluster = cluster()?;
    let api = cluster.api()?;
    let nodes = cluster.workers.iter_mut().take(NODES.len());
    let before: Vec<Vec<u8>> = nodes.map(let_join).collect::<Result<_>>()?;
    let settings = json!({ "roll": { "limits": roll_limits() } });
    let operator = Operator::new(&cluster.plane, "double", settings)?.waiving_what_blocks()?;
    let run = in_namespace(&api, "joins", |namespace| {
        deploy(&api, namespace)?;
        ended(there_and_back(&cluster, &operator, &api, namespace), &operator, &api)?;
        back(&api)
    });
    run.and(reset_settings(&mut cluster, before))
}

/// Nodes have time, since the machine may be busy.
pub(crate) fn roll_limits() -> Value {
    json!({ "settleSeconds": 1, "soakSeconds": 0, "claimSeconds": 600, "flipSeconds": 600, "proveSeconds": 900 })
}

/// Gives the nodes their settings of before.
pub(crate) fn reset_settings(cluster: &mut Cluster, before: Vec<Vec<u8>>) -> Result<()> {
    cluster.workers.iter_mut().zip(before).try_for_each(|(worker, before)| {
        worker.node.write(SETTINGS, before)?;
        worker.start_watch()
    })
}

fn there_and_back(cluster: &Cluster, operator: &Operator, api: &Api, namespace: &str) -> Result<()> {
    let pods = identities(api, namespace)?.len() + api.list("/api/v1/namespaces/kube-system/pods")?.len();
    let hash = operator.plan()?;
    let (_, begin) = audited(&cluster.plane.audit_log(), 0)?;
    let mut roll = operator.begin(&["roll", "--plan", &hash[..12]])?;
    for agents in real_agents()?.iter_mut() {
        agents.kill_cilium()?;
        roll.goes_on()?;
    }
    let over = roll.ends(WITHIN * 12)?;
    ensure!(over.status == Some(0), "{over:#?}");
    all_on(cluster, api, namespace, "new")?;
    all_open(api)?;
    let (requests, _) = audited(&cluster.plane.audit_log(), begin)?;
    let evictions = requests.get("create pods/eviction").copied().unwrap_or_default();
    // A budget may refuse one of them, which is then asked again.
    ensure!((pods as u64..2 * pods as u64).contains(&evictions), "{pods} pods: {requests:#?}");
    operator.ends(&["roll", "abort", "--to", "old", "--reason", "the test goes back"], 0)?;
    operator.ends(&["roll", "--resume"], 0)?;
    all_on(cluster, api, namespace, "old")?;
    all_open(api)
}

/// Its pods have both networks when it goes, and again when it is back.
pub(crate) fn a_node_that_loses_its_power_gives_its_pods_both_networks_again() -> Result<()> {
    let mut cluster = cluster()?;
    let api = cluster.api()?;
    in_namespace(&api, "power", |namespace| {
        let booted = lose_power(&mut cluster, &api, namespace);
        let back = flip(&api, NODE, "old");
        booted.and(back)
    })
}

fn lose_power(cluster: &mut Cluster, api: &Api, namespace: &str) -> Result<()> {
    flip(api, NODE, "both-old")?;
    let mut here = manifest::server();
    here["nodeSelector"] = json!({ "kubernetes.io/hostname": NODE });
    api.create(&[manifest::workload("StatefulSet", namespace, "db", Some(3), &here)])?;
    let set = format!("/apis/apps/v1/namespaces/{namespace}/statefulsets/db");
    api.until_rolled_out(&set)?;
    let before = api.list(&format!("/api/v1/namespaces/{namespace}/pods"))?;
    let worker = &mut cluster.workers[0];
    worker.power_off()?;
    {
        let mut agents = real_agents()?;
        agents[0].power_off()?;
        // The agents come with the node's other services, so boot does not wait for them.
        worker.boot_again(REBOOTED)?;
        agents[0].boot()?;
    }
    for pod in &before {
        let (path, old) = (pod_path(pod), &pod["status"]["containerStatuses"][0]["containerID"]);
        api.until(&path, "runs again", |pod| {
            condition(pod, "Ready") == "True" && pod["status"]["containerStatuses"][0]["containerID"] != *old
        })?;
    }
    run_on(api, namespace, "client", NODES[1])?;
    for pod in api.list(&format!("/api/v1/namespaces/{namespace}/pods?labelSelector=app=db"))? {
        let name = pod["metadata"]["name"].as_str().context("a name")?;
        ensure!(network_of(&pod) == "old", "{name}: {}", pod["status"]);
        let primary = pod["status"]["podIP"].as_str().unwrap_or_default();
        let second = second_address(cluster, namespace, name)?;
        for address in [primary, &second] {
            ensure_answers(cluster, namespace, "client", (address, manifest::PORT), name)?;
        }
    }
    // Of its living pods and of no others: those before the reboot are gone from both CNIs.
    let living: BTreeSet<String> = api.pods_on(NODE)?.iter().map(title).collect();
    until("endpoints and leases of the living pods alone", WITHIN, || {
        let leases =
            cluster.workers[0].node.run(&["bash", "-c", "ls /var/lib/cni/networks/cbr0 | grep -c '^10'"])?;
        let endpoints = real_agents()?[0].endpoints()?;
        let is_sound = endpoints.iter().all(|pod| living.contains(pod));
        Ok((is_sound && leases.trim() == living.len().to_string()).then_some(()))
    })
}

fn title(pod: &Value) -> String {
    let text = |key: &str| pod["metadata"][key].as_str().unwrap_or_default().to_owned();
    format!("{}/{}", text("namespace"), text("name"))
}

/// Puts a pod that is ready into the mesh.
fn enter(cluster: &Cluster, mesh: &mut Mesh, pod: &Value) -> Result<()> {
    let name = pod["metadata"]["name"].as_str().context("a name")?;
    ensure!(condition(pod, "Ready") == "True", "{name} is not ready");
    let worker = cluster.workers.iter().find(|worker| pod["spec"]["nodeName"] == worker.name());
    let worker = worker.with_context(|| format!("the node of {name}"))?;
    let cri = worker.containerd.cri();
    let sandbox = cri.list()?.into_iter().find(|sandbox| sandbox.ready && sandbox.name == name);
    let netns = cri.status(&sandbox.with_context(|| format!("the sandbox of {name}"))?.id)?.netns;
    let address = pod["status"]["podIP"].as_str().unwrap_or_default();
    let address = address.parse().with_context(|| format!("{name} publishes {address:?}"))?;
    mesh.enter(name, &worker.node.outside(netns), &[address])
}
