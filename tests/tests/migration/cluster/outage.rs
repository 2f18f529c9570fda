//! A run in which everything goes away once: the API server, the operator's laptop, a node for a reboot, and a node for good.

use anyhow::{Context, Result, ensure};
use lab::host::deadline::until;
use lab::kubernetes::api::{WITHIN, node_path};
use lab::kubernetes::operator::Running;
use lab::kubernetes::{Api, Cluster, Operator, Worker};
use lab::standin::hollow::audited;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::steps::{LEASE, all_on, all_open, back, deploy, ended, state, step, until_one_is};
use super::world::{NODES, cluster, in_namespace};

/// The boot that follows the reboot.
const REBOOTED: &str = "5ec0b007-0000-4000-8000-000000000001";
/// The first boot of the machine that comes in the place of another.
const REPLACED: &str = "5ec0b007-0000-4000-8000-000000000002";

pub(crate) fn a_run_outlives_its_api_server_its_laptop_and_its_nodes() -> Result<()> {
    let mut cluster = cluster()?;
    let api = cluster.api()?;
    // Nodes have time, since the machine may be busy.
    let roll = json!({
        "limits": { "settleSeconds": 1, "soakSeconds": 0, "claimSeconds": 600, "flipSeconds": 600, "proveSeconds": 900 },
        "bridge": { "accept": "the nodes of the lab forward" },
    });
    let alice = Operator::new(&cluster.plane, "bridge", json!({ "roll": roll }))?.waiving_what_blocks()?;
    let bob = alice.colleague(&cluster.plane, "bob", "desk")?;
    in_namespace(&api, "outage", |namespace| {
        deploy(&api, namespace)?;
        all_on(&cluster, &api, namespace, "old")?;
        ended(migrate(&mut cluster, &alice, &bob, namespace), &bob, &api)?;
        back(&api)
    })
}

fn migrate(cluster: &mut Cluster, alice: &Operator, bob: &Operator, namespace: &str) -> Result<()> {
    let api = &cluster.api()?;
    let hash = alice.plan()?;
    let mut first = alice.begin(&["roll", "--plan", &hash[..12]])?;
    let replaced_node = without_an_api_server(cluster, api, &mut first)?;
    let others: Vec<&str> = NODES.into_iter().filter(|name| *name != replaced_node).collect();
    let two = until_one_is(api, &others, &["moving"], || first.goes_on())?;

    // The laptop sleeps, and another operator takes the run over. Meanwhile the machine of the first node is replaced.
    first.signal(Signal::SIGSTOP)?;
    let refused = bob.ends(&["roll", "--resume"], 75)?;
    ensure!(refused.answer["problems"].to_string().contains("@laptop"), "{refused:#?}");
    let mut second = bob.begin(&["roll", "--resume", "--take-over"])?;
    until("a second holder that waits for the first", WITHIN, || {
        second.goes_on()?;
        Ok(second.stderr_text()?.contains("@laptop").then_some(()))
    })?;
    let before = replaced(cluster, api, replaced_node)?;
    until("another holder", WITHIN * 2, || {
        second.goes_on()?;
        Ok(held_by(api, "desk")?.then_some(()))
    })?;
    wakes_up(cluster, api, first)?;

    // The last node is switched off while its pods move, and boots when the run has seen it.
    let last = others.into_iter().filter(|name| *name != two).collect::<Vec<_>>();
    let three = until_one_is(api, &last, &["moving"], || second.goes_on())?;
    reboots(worker(cluster, three)?, &mut second, three)?;
    let ended = second.ends(WITHIN * 5)?;
    ensure!(ended.status == Some(0) && ended.stderr.contains("the last pass is done"), "{ended:#?}");

    all_on(cluster, api, namespace, "new")?;
    all_open(api)?;
    bob.ends(&["roll", "stragglers", "--phase", "new"], 0)?;
    let epoch = &api.get(LEASE)?["spec"]["leaseTransitions"];
    for name in NODES {
        let node = api.get(&node_path(name))?;
        ensure!(
            state(&node).as_deref() == Some("done") && step(&node)["epoch"] == *epoch,
            "{name}: {}",
            step(&node)
        );
    }
    ensure!(
        api.get(&node_path(replaced_node))?["metadata"]["uid"] != before,
        "{replaced_node} is the Node that it was"
    );
    let boot = &api.get(&node_path(three))?["status"]["nodeInfo"]["bootID"];
    ensure!(boot == REBOOTED, "{three} says that its boot is {boot}");
    Ok(())
}

/// The API server goes away while a node moves, until the program says that it waits; then the program ends what it was doing. Names the node.
fn without_an_api_server(cluster: &mut Cluster, api: &Api, roll: &mut Running) -> Result<&'static str> {
    let moving = until_one_is(api, &NODES, &["moving"], || roll.goes_on())?;
    cluster.plane.without_apiserver(|| {
        until("a run that waits for its Lease", WITHIN, || {
            roll.goes_on()?;
            Ok(roll.stderr_text()?.contains("LeaseStale").then_some(()))
        })
        .with_context(|| format!("{:?}", roll.stderr_text()))
    })?;
    until_one_is(api, &[moving], &["done"], || roll.goes_on())
}

/// The first holder goes on, sees that another holder has the run, and ends without having touched anything.
fn wakes_up(cluster: &Cluster, api: &Api, first: Running) -> Result<()> {
    let log = cluster.plane.audit_log();
    let (_, asleep) = audited(&log, 0)?;
    first.signal(Signal::SIGCONT)?;
    let ended = first.ends(WITHIN)?;
    let problems = ended.answer["problems"].to_string();
    // Whichever it asks for first: its Lease, or the run, if it was about to write it when it fell asleep.
    let is_refused =
        ["@desk", "another program has written the run"].iter().any(|what| problems.contains(what));
    ensure!(ended.status == Some(75) && is_refused, "{ended:#?}");
    let (requests, _) = audited(&log, asleep)?;
    let is_act = |what: &str| {
        ["create ", "patch ", "update ", "delete "].iter().any(|verb| what.starts_with(verb))
            && [" nodes", " pods"].iter().any(|resource| what.contains(resource))
    };
    ensure!(!requests.is_empty() && !requests.keys().any(|what| is_act(what)), "it asked for {requests:?}");
    ensure!(held_by(api, "desk")?, "the Lease: {}", api.get(LEASE)?["spec"]);
    Ok(())
}

/// Whether the holder is on this machine. Its name before that is the user whom the API server knows, where the API server can say it.
fn held_by(api: &Api, host: &str) -> Result<bool> {
    let holder = api.get(LEASE)?["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
    Ok(holder.contains(&format!("@{host}:")))
}

/// Another machine comes in the place of a node's, with an empty disk and the old phase. Gives the UID of the Node before.
fn replaced(cluster: &mut Cluster, api: &Api, name: &str) -> Result<Value> {
    let policy = cluster.policy();
    let worker = worker(cluster, name)?;
    worker.power_off()?;
    let mut before = api.get(&node_path(name))?;
    api.client.delete(&node_path(name))?.object()?;
    api.until_gone(&node_path(name))?;
    worker.replace(&policy, json!({}))?;
    worker.boot_again(REPLACED)?;
    let node = api.until(&node_path(name), "is there in phase old", |node| {
        node["metadata"]["labels"]["crossfade/phase"] == "old"
    })?;
    ensure!(step(&node).is_null(), "{name} bears {}", step(&node));
    Ok(before["metadata"]["uid"].take())
}

/// A node loses its power, and boots when the run has said that it waits for it.
fn reboots(worker: &mut Worker, roll: &mut Running, name: &str) -> Result<()> {
    let waited = worker.power_off().and_then(|()| {
        until("a run that waits for the node", WITHIN * 2, || {
            roll.goes_on()?;
            Ok(roll.stderr_text()?.contains(&format!("Node/{name} waits, NodeNotReady")).then_some(()))
        })
    });
    worker.boot_again(REBOOTED)?;
    waited.with_context(|| format!("{:?}", roll.stderr_text()))
}

fn worker<'a>(cluster: &'a mut Cluster, name: &str) -> Result<&'a mut Worker> {
    cluster.workers.iter_mut().find(|worker| worker.name() == name).context("a node of the cluster")
}
