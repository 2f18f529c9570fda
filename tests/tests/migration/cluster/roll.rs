//! A migration by `kubectl crossfade plan` and `roll` alone: killed in the middle, resumed, held by a cordon that is not its own and by a bare pod,
//! continued by another plan while a node moves, and brought back by a run that is killed after each of its acts. A pod that is left behind then
//! is moved by `stragglers --fix`.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::host::deadline::until;
use lab::kubernetes::api::{WITHIN, node_path, pod_path};
use lab::kubernetes::{Api, Cluster, Operator};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::steps::{all_on, all_open, deploy, ended, state, until_one_is};
use super::world::{NODES, cluster, flip, in_namespace, network_of, run_on, until_ready};

pub(crate) fn a_run_is_killed_taken_up_held_and_brought_back() -> Result<()> {
    let cluster = cluster()?;
    let api = cluster.api()?;
    // Nodes have time, since the machine may be busy.
    let roll = json!({
        "limits": { "settleSeconds": 1, "soakSeconds": 0, "claimSeconds": 600, "flipSeconds": 600, "proveSeconds": 900 },
        "bridge": { "accept": "the nodes of the lab forward" },
    });
    let operator = Operator::new(&cluster.plane, "bridge", json!({ "roll": roll }))?;
    let mut operator = operator.waiving_what_blocks()?;
    in_namespace(&api, "roll", |namespace| {
        deploy(&api, namespace)?;
        all_on(&cluster, &api, namespace, "old")?;
        let migrated = migrate(&cluster, &mut operator, &api, namespace);
        ended(migrated, &operator, &api)
    })
}

fn migrate(cluster: &Cluster, operator: &mut Operator, api: &Api, namespace: &str) -> Result<()> {
    let hash = operator.plan()?;

    // A preview touches nothing.
    let preview = operator.ends(&["roll", "--plan", &hash[..12], "--dry-run"], 0)?;
    ensure!(preview.answer["acts"][0]["state"] == "claimed", "{preview:#?}");
    for name in NODES {
        ensure!(state(&api.get(&node_path(name))?).is_none(), "{name} has a step");
    }

    // Killed while a node moves: its step stays, and no other holder may act until the Lease has expired.
    let mut roll = operator.start(&["roll", "--plan", &hash[..12]])?;
    let seen = until_one_is(api, &NODES, &["flipped", "moving"], || Ok(()));
    roll.kill()?;
    roll.wait()?;
    let moving = seen?;
    let refused = operator.ends(&["roll", "--resume"], 75)?;
    ensure!(refused.answer["problems"].to_string().contains("@laptop"), "{refused:#?}");
    ensure!(state(&api.get(&node_path(moving))?).is_some_and(|state| state != "done"), "{moving} went on");

    // Resumed; a cordon that is not the run's own holds it.
    let last = NODES.iter().rev().find(|name| **name != moving).context("another node")?;
    api.cordon(last, true)?;
    let held = operator.ends(&["roll", "--resume", "--take-over"], 3)?;
    let waits = held.answer["waits"].to_string();
    ensure!(waits.contains("ForeignCordon") && waits.contains(last), "{held:#?}");
    // What is late now is the run's to move.
    let refused = operator.ends(&["roll", "stragglers", "--fix"], 3)?;
    ensure!(refused.answer["problems"].to_string().contains("roll --resume"), "{refused:#?}");
    let node = api.get(&node_path(last))?;
    ensure!(
        node["spec"]["unschedulable"] == json!(true) && state(&node).is_none(),
        "{last}: {}",
        node["metadata"]
    );
    api.cordon(last, false)?;

    // The run waits for a bare pod until the operator names it. Ctrl-C ends the program in order.
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

    // Other settings make the plan stale in the middle of the run; a new one is approved, and the node in transit goes on by it.
    operator.change_settings(|settings| settings["roll"]["limits"]["settleSeconds"] = json!(2))?;
    let stale = operator.ends(&["roll", "--resume"], 3)?;
    ensure!(stale.answer["problems"].to_string().contains("The settings file has changed"), "{stale:#?}");
    ensure!(
        state(&api.get(&node_path(third))?).is_some_and(|state| state == "moving"),
        "{third} is in transit"
    );
    // The run has just evicted pods of the third node, and one of DNS may be among them. Its Deployment may not have seen that yet.
    until("DNS as a plan needs it", WITHIN, || {
        Ok((!operator.blocking()?.iter().any(|code| code.starts_with("dns-"))).then_some(()))
    })?;
    let other = operator.plan()?;
    let preview = operator.ends(&["roll", "--plan", &other[..12], "--dry-run"], 0)?;
    ensure!(preview.answer["status"]["plan"] == other[..12], "{preview:#?}");
    let done = operator.ends(&["roll", "--plan", &other[..12], "--delete-bare", "roll/bare"], 0)?;
    let replaced = format!("goes on by plan {} instead of {}", &other[..12], &hash[..12]);
    ensure!(done.stderr.contains(&replaced) && done.answer["plan"] == other[..12], "{done:#?}");
    ensure!(done.stderr.contains("the last pass is done"), "{done:#?}");
    ensure!(done.stderr.contains(&format!("node {third}: pod roll/bare is deleted")), "{done:#?}");
    all_on(cluster, api, namespace, "new")?;
    all_open(api)?;
    operator.ends(&["roll", "stragglers", "--phase", "new"], 0)?;
    operator.ends(&["roll", "stragglers", "--phase", "old"], 3)?;
    let none = operator.ends(&["roll", "stragglers", "--fix", "--save"], 0)?;
    ensure!(none.answer["phase"] == "new" && none.answer["hash"].is_null(), "{none:#?}");
    operator.ends(&["roll", "stragglers", "--fix", "--plan", &hash[..12]], 3)?;

    // And back.
    operator.ends(&["roll", "abort", "--to", "old", "--reason", "the test goes back"], 0)?;
    killed_after_each_act(operator, api)?;
    let back = operator.ends(&["roll", "--resume", "--force-take-over"], 0)?;
    // Nodes forward between both networks, so that one pass leads back.
    ensure!(back.answer["pass"] == 4, "{back:#?}");
    all_on(cluster, api, namespace, "old")?;
    all_open(api)?;
    fixed(operator, api, namespace)?;
    all_on(cluster, api, namespace, "old")?;
    all_open(api)
}

/// A pod that was created while its node was in another phase is moved, and no other pod is.
fn fixed(operator: &Operator, api: &Api, namespace: &str) -> Result<()> {
    let agent =
        |pod: &&Value| pod["metadata"]["labels"]["app"] == "agent" && pod["spec"]["nodeName"] == NODES[0];
    let listed = || api.list(&format!("/api/v1/namespaces/{namespace}/pods"));
    let before = listed()?.iter().find(agent).cloned().context("a pod of the DaemonSet")?;
    flip(api, NODES[0], "new")?;
    api.client.delete(&pod_path(&before))?.object()?;
    let late = until("another pod of the DaemonSet", WITHIN, || {
        Ok(listed()?
            .iter()
            .filter(agent)
            .find(|pod| pod["metadata"]["uid"] != before["metadata"]["uid"])
            .cloned())
    })?;
    let late = until_ready(api, &pod_path(&late))?;
    ensure!(network_of(&late) == "new", "{}", late["status"]);
    flip(api, NODES[0], "old")?;
    let name = format!("{namespace}/{}", late["metadata"]["name"].as_str().context("a name")?);
    let listing = until("a straggler", WITHIN, || {
        let listing = operator.run(&["roll", "stragglers"])?;
        Ok((listing.status == Some(3)).then_some(listing))
    })?;
    let straggler = &listing.answer["stragglers"][0];
    ensure!(straggler["pods"] == json!([name]) && straggler["because"] == "attached", "{listing:#?}");

    // What would be done, and nothing is.
    let (pods, before) = (uids(&listed()?), footprints(api)?);
    let planned = operator.ends(&["roll", "stragglers", "--fix"], 0)?;
    ensure!(planned.answer["phase"] == "old" && planned.answer["saved"] == json!(false), "{planned:#?}");
    let fates: Vec<_> = planned.answer["pods"].as_array().into_iter().flatten().collect();
    ensure!(
        matches!(fates[..], [fate] if fate["pod"] == name.as_str() && fate["becomes"] == "evicted"),
        "{planned:#?}"
    );
    let hash = planned.answer["hash"].as_str().context("a hash")?;
    operator.ends(&["roll", "stragglers", "--fix", "--plan", hash], 3)?;
    ensure!(footprints(api)? == before, "a plan that was not kept has changed something");

    let kept = operator.ends(&["roll", "stragglers", "--fix", "--save"], 0)?;
    ensure!(kept.answer["hash"] == hash, "another plan: {kept:#?}");
    let done = operator.ends(&["roll", "stragglers", "--fix", "--plan", &hash[..12]], 0)?;
    ensure!(done.stderr.contains(&format!("node {}: pod {name} is evicted", NODES[0])), "{done:#?}");
    ensure!(
        done.stderr.matches(" is evicted").count() == 1 && !done.stderr.contains(" is deleted"),
        "{done:#?}"
    );
    ensure!(done.answer["stragglers"] == json!([]), "{done:#?}");
    operator.ends(&["roll", "stragglers"], 0)?;
    let (moved, left) = (late["metadata"]["uid"].as_str().unwrap_or_default(), uids(&listed()?));
    let expected: BTreeSet<_> = pods.iter().filter(|uid| *uid != moved).cloned().collect();
    ensure!(left.is_superset(&expected) && !left.contains(moved), "{pods:?} became {left:?}");

    // There is no phase to go back to.
    operator.ends(&["roll", "abort", "--to", "new", "--reason", "the test tries it"], 0)?;
    let refused = operator.ends(&["roll", "--resume"], 0)?;
    ensure!(refused.stderr.contains("refused"), "{refused:#?}");
    Ok(())
}

fn uids(pods: &[Value]) -> BTreeSet<String> {
    pods.iter().filter_map(|pod| pod["metadata"]["uid"].as_str().map(str::to_owned)).collect()
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
        // However the wait ended, no run works on the nodes from here on.
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
