//! A migration by `kubectl crossfade plan` and `roll` alone: killed in the middle, taken up again, held by a cordon of somebody else and by a pod that
//! nobody makes again, and brought back by a run that is killed after each of its acts.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::deadline::until;
use lab::kubernetes::api::{WITHIN, node_path};
use lab::kubernetes::{Api, Cluster, Operator};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::steps::{all_on, all_open, deploy, ended, state, until_one_is};
use super::world::{NODES, cluster, in_namespace, run_on};

pub(crate) fn a_run_is_killed_taken_up_held_and_brought_back() -> Result<()> {
    let cluster = cluster()?;
    let api = cluster.api()?;
    // Nodes have time, since the machine may be busy.
    let roll = json!({
        "limits": { "settleSeconds": 1, "soakSeconds": 0, "claimSeconds": 600, "flipSeconds": 600, "proveSeconds": 900 },
        "bridge": { "accept": "the nodes of the lab forward" },
    });
    let operator = Operator::new(&cluster.plane, "bridge", json!({ "roll": roll }))?.waiving_what_blocks()?;
    in_namespace(&api, "roll", |namespace| {
        deploy(&api, namespace)?;
        all_on(&cluster, &api, namespace, "old")?;
        ended(migrate(&cluster, &operator, &api, namespace), &operator, &api)
    })
}

fn migrate(cluster: &Cluster, operator: &Operator, api: &Api, namespace: &str) -> Result<()> {
    let hash = operator.plan()?;

    // A preview touches nothing.
    let preview = operator.ends(&["roll", "--plan", &hash[..8], "--dry-run"], 0)?;
    ensure!(preview.answer["acts"][0]["state"] == "claimed", "{preview:#?}");
    for name in NODES {
        ensure!(state(&api.get(&node_path(name))?).is_none(), "{name} has a step");
    }

    // Killed while a node moves: its step stays, and nobody else may act until the Lease has expired.
    let mut roll = operator.start(&["roll", "--plan", &hash[..8]])?;
    let seen = until_one_is(api, &NODES, &["flipped", "moving"], || Ok(()));
    roll.kill()?;
    roll.wait()?;
    let moving = seen?;
    let refused = operator.ends(&["roll", "--resume"], 75)?;
    ensure!(refused.answer["problems"].to_string().contains("alice@laptop"), "{refused:#?}");
    ensure!(state(&api.get(&node_path(moving))?).is_some_and(|state| state != "done"), "{moving} went on");

    // Taken up; a cordon of somebody else holds it.
    let last = NODES.iter().rev().find(|name| **name != moving).context("another node")?;
    api.cordon(last, true)?;
    let held = operator.ends(&["roll", "--resume", "--take-over"], 3)?;
    let waits = held.answer["waits"].to_string();
    ensure!(waits.contains("ForeignCordon") && waits.contains(last), "{held:#?}");
    let node = api.get(&node_path(last))?;
    ensure!(
        node["spec"]["unschedulable"] == json!(true) && state(&node).is_none(),
        "{last}: {}",
        node["metadata"]
    );
    api.cordon(last, false)?;

    // A pod that nobody makes again is waited for, until somebody names it. Ctrl-C ends the program in order.
    let third = NODES.iter().find(|name| **name != moving && *name != last).context("a third node")?;
    run_on(api, namespace, "bare", third)?;
    let mut roll = operator.start(&["roll", "--resume"])?;
    let seen = until("a run that waits for roll/bare", WITHIN * 3, || {
        ensure!(roll.try_wait()?.is_none(), "it ended by itself");
        let status = operator.run(&["status"])?;
        let mut waits = status.answer["waits"].as_array().into_iter().flatten();
        Ok(waits.any(|wait| wait["reason"] == "BarePod" && wait["object"] == "Pod/roll/bare").then_some(()))
    });
    kill(Pid::from_raw(i32::try_from(roll.id())?), Signal::SIGINT)?;
    let ended = roll.wait()?;
    seen?;
    ensure!(ended.code() == Some(75), "interrupted, it ended with {ended}");
    let done = operator.ends(&["roll", "--resume", "--delete-bare", "roll/bare"], 0)?;
    ensure!(done.said.contains("the last pass is done"), "{done:#?}");
    ensure!(done.said.contains(&format!("node {third}: pod roll/bare is deleted")), "{done:#?}");
    all_on(cluster, api, namespace, "new")?;
    all_open(api)?;
    operator.ends(&["stragglers", "--phase", "new"], 0)?;
    operator.ends(&["stragglers", "--phase", "old"], 3)?;

    // And back.
    operator.ends(&["abort", "--to", "old", "--reason", "the test goes back"], 0)?;
    killed_after_each_act(operator, api)?;
    let back = operator.ends(&["roll", "--resume", "--force-take-over"], 0)?;
    // Nodes forward between both networks, so that one pass leads back.
    ensure!(back.answer["pass"] == 4, "{back:#?}");
    all_on(cluster, api, namespace, "old")?;
    all_open(api)
}

/// Takes the run up again and again, and kills it each time as soon as something has happened, until it ends by itself.
fn killed_after_each_act(operator: &Operator, api: &Api) -> Result<()> {
    let mut kills = 0;
    loop {
        let before = footprints(api)?;
        let mut roll = operator.start(&["roll", "--resume", "--force-take-over"])?;
        let ended = until("an act, or the end of the run", WITHIN * 5, || {
            std::thread::sleep(Duration::from_millis(20));
            if let Some(status) = roll.try_wait()? {
                return Ok(Some(Some(status)));
            }
            Ok((!footprints(api)?.is_subset(&before)).then_some(None))
        });
        // Whatever it was, nobody works on the nodes any more.
        drop(roll.kill());
        roll.wait()?;
        if let Some(status) = ended? {
            // Every node is claimed, flipped, emptied, proven, opened and done; two of these may come so soon after each other that one kill is for both.
            ensure!(kills >= NODES.len() * 3, "killed {kills} times, and it ended with {status}");
            return Ok(());
        }
        kills += 1;
    }
}

/// What acts of a run leave: states of nodes, and pods that are being deleted.
fn footprints(api: &Api) -> Result<BTreeSet<String>> {
    let nodes = api.list("/api/v1/nodes")?.into_iter();
    let steps = nodes.map(|node| node["metadata"]["annotations"]["crossfade/step"].to_string());
    let pods = api.list("/api/v1/pods")?.into_iter();
    let going = pods.filter(|pod| !pod["metadata"]["deletionTimestamp"].is_null());
    Ok(steps.chain(going.map(|pod| pod["metadata"]["uid"].to_string())).collect())
}
