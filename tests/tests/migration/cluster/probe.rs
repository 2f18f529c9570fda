//! `kubectl crossfade probe` on nodes with pods: what passes, what is lost while a command runs, and what explains it; and a run that goes by its agents.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use lab::host::deadline::until;
use lab::host::node::Node;
use lab::install::crossfade::POLICY;
use lab::kubernetes::api::{WITHIN, node_path};
use lab::kubernetes::{Api, Cluster, Operator};
use serde_json::{Value, json};

use super::probed::Company;
use super::steps::{all_on, all_open, back, ended, state};
use super::world::{NODES, cluster, in_namespace};

/// Agents of three nodes: one on each node's network, one in a pod, and two more in pods on two of the nodes.
const AGENTS: u64 = 10;
/// The port at which agents answer, and a NetworkPolicy does not let them be asked.
const DENIED_PORT: u16 = 9_799;
/// How often a network without a fault is probed, until it is found to have none.
const TRIES: u32 = 4;

pub(crate) fn packets_that_are_lost_while_a_command_runs_are_named_with_their_cause() -> Result<()> {
    let cluster = cluster()?;
    let api = cluster.api()?;
    let operator = Operator::new(&cluster.plane, "bridge", json!({ "networks": cluster.networks() }))?;

    // Without the rights, nothing is put up.
    let refused = operator.ends(&operator.about(&["probe"]), 1)?;
    ensure!(refused.answer.to_string().contains("deploy/cluster/rbac-probe.yaml"), "{refused:#?}");
    operator.grant_probes(&cluster.plane)?;
    let preview = operator.ends(&operator.about(&["probe", "--dry-run"]), 0)?;
    ensure!(preview.answer["objects"].as_array().is_some_and(|objects| objects.len() == 7), "{preview:#?}");
    ensure!(pods(&api)?.is_empty(), "a dry run has put agents up");

    // On a busy machine, answers may take longer than a second, or too long for a class to be measured: then it is probed again, as by a person.
    let mut tries = 0;
    let whole = loop {
        let probed = operator.run(&operator.about(&["probe", "--baseline", "20", "--for", "20"]))?;
        tries += 1;
        if (probed.status == Some(0) && unclean(&probed.answer).is_none()) || tries == TRIES {
            break probed;
        }
    };
    ensure!(whole.status == Some(0), "{whole:#?}");
    ensure!(whole.answer["agents"] == AGENTS && whole.answer["nodes"] == 3, "{whole:#?}");
    if let Some((from, to)) = unclean(&whole.answer) {
        bail!("no clean class {from} -> {to}: {whole:#?}");
    }
    until("the end of the agents", WITHIN, || Ok(pods(&api)?.is_empty().then_some(())))?;

    let rule = cut(&cluster);
    let words = operator.about(&["probe", "--baseline", "20", "--during"]);
    let mut probe = operator.begin(&[words.as_slice(), &["--", "sleep", "25"]].concat())?;
    until("the command", WITHIN * 3, || {
        probe.goes_on()?;
        Ok(probe.stderr_text()?.contains("measuring while sleep 25 runs").then_some(()))
    })?;
    let first = &cluster.workers[0].node;
    first.run(&words_of(&rule, "-I"))?;
    let lost = probe.ends(WITHIN * 3);
    first.run(&words_of(&rule, "-D"))?;
    let lost = lost?;
    ensure!(lost.status == Some(3), "{lost:#?}");
    ensure!(lost.answer["command"]["exitStatus"] == 0, "{lost:#?}");
    let causes = lost.answer["causes"].to_string();
    let pair =
        ["n1 -> n2: packets do not arrive", "n1 -> n2: packets or", "n2 -> n1: packets or", "n1 and n2: "];
    ensure!(pair.iter().any(|cause| causes.contains(cause)), "{causes}");
    until("the end of the agents", WITHIN, || Ok(pods(&api)?.is_empty().then_some(())))
}

/// A class of packets, of those that a network without a fault lets pass, that was not found clean.
fn unclean(answer: &Value) -> Option<(&'static str, &'static str)> {
    let is_clean = |(from, to): &(&str, &str)| {
        let classes = answer["classes"].as_array().into_iter().flatten();
        classes
            .filter(|class| class["from"] == *from && class["to"] == *to)
            .any(|class| class["verdict"] == "clean")
    };
    [("old", "old"), ("old", "host"), ("host", "old"), ("old", "Service"), ("old", "DNS")]
        .into_iter()
        .find(|pair| !is_clean(pair))
}

/// All gates that go by agents, and no command: the run waits while packets arrive that the new network's NetworkPolicy denies, and goes on when they do not.
/// What the agents let pass is what the pods see.
pub(crate) fn a_run_goes_by_its_agents_alone() -> Result<()> {
    let mut cluster = cluster()?;
    let api = cluster.api()?;
    let before: Vec<Vec<u8>> = nodes(&cluster).map(place_agents).collect::<Result<_>>()?;
    let settings = json!({
        // Nodes have time, since the machine may be busy.
        "roll": { "limits": {
            "settleSeconds": 1, "soakSeconds": 0, "claimSeconds": 600, "flipSeconds": 600, "proveSeconds": 900,
        } },
        "networks": cluster.networks(),
        "probe": { "gates": ["packets", "forwarding", "dns-queries", "api-server-to-pods", "enforcement"] },
    });
    // Flannel enforces no policies, and Calico does from the first pod on.
    let operator =
        Operator::new(&cluster.plane, "bridge", settings)?.towards("calico").waiving_what_blocks()?;
    let outcome = in_namespace(&api, "agents", |namespace| {
        let mut company = Company::deploy(&cluster, &api, namespace)?;
        all_on(&cluster, &api, namespace, "old")?;
        operator.bring_agents(&cluster.plane)?;
        let there = waits_for_enforcement(&cluster, &operator, &api, &mut company).and_then(|()| {
            all_on(&cluster, &api, namespace, "new")?;
            all_open(&api)?;
            company.finish()?;
            gates_lost_none(&operator)
        });
        ended(there, &operator, &api)?;
        operator.ends(&operator.about(&["probe", "--remove"]), 0)?;
        back(&api)
    });
    for (worker, policy) in cluster.workers.iter_mut().zip(before) {
        worker.node.write(POLICY, policy)?;
    }
    outcome
}

fn waits_for_enforcement(
    cluster: &Cluster,
    operator: &Operator,
    api: &Api,
    company: &mut Company<'_>,
) -> Result<()> {
    let hash = operator.plan()?;
    let mut roll = operator.begin(&["roll", "--plan", &hash[..12]])?;
    company
        .until("a run that waits for enforcement", |_| {
            roll.goes_on()?;
            Ok(roll.stderr_text()?.contains("Gate/enforcement waits, GateRed").then_some(()))
        })
        .with_context(|| format!("{:?}", roll.stderr_text()))?;
    for name in NODES {
        ensure!(state(&api.get(&node_path(name))?).is_none(), "{name} has a step");
    }
    // What an agent of Calico would do with the policy.
    let (pods, port) = (cluster.new.cidr(), DENIED_PORT.to_string());
    let rule = ["FORWARD", "-p", "udp", "-d", &pods, "--dport", &port, "-j", "DROP"].map(str::to_owned);
    nodes(cluster).try_for_each(|node| node.run(&words_of(&rule, "-I")).map(drop))?;
    let ended = company.follow_run(roll, |_, _| Ok(()));
    nodes(cluster).try_for_each(|node| node.run(&words_of(&rule, "-D")).map(drop))?;
    let ended = ended?;
    ensure!(ended.stderr.contains("the last pass is done"), "{ended:#?}");
    Ok(())
}

/// The mesh of the pods has lost no probe, and neither have the agents, by the report of the run.
fn gates_lost_none(operator: &Operator) -> Result<()> {
    let report = operator.ends(&["report"], 0)?.answer;
    let probes = report["probes"].as_array().context("classes")?;
    for (from, to) in [("old", "old"), ("old", "new"), ("new", "old"), ("new", "new")] {
        let class = probes.iter().find(|class| class["from"] == from && class["to"] == to);
        let gates = &class.with_context(|| format!("no class {from} -> {to}: {probes:#?}"))?["gates"];
        ensure!(gates["sent"].as_u64() > Some(0) && gates["lost"] == 0, "{from} -> {to}: {gates}");
    }
    Ok(())
}

/// Has agents of probes on either network alone on a node, whatever its phase is; gives the policy of before.
fn place_agents(node: &Node) -> Result<Vec<u8>> {
    let before = fs::read(node.outside(POLICY)).context(POLICY)?;
    let mut policy: Value = serde_json::from_slice(&before)?;
    policy["rules"] = lab::kubernetes::agent_rules();
    node.write(POLICY, policy.to_string())?;
    Ok(before)
}

fn nodes(cluster: &Cluster) -> impl Iterator<Item = &Node> {
    cluster.workers.iter().take(NODES.len()).map(|worker| &worker.node)
}

/// A rule of the first node, by which packets to pods of the second one do not arrive.
fn cut(cluster: &Cluster) -> Vec<String> {
    let pods = cluster.old.subnet(cluster.workers[1].node.index());
    ["FORWARD", "-d", &pods, "-j", "DROP"].map(str::to_owned).to_vec()
}

fn words_of<'a>(rule: &'a [String], act: &'a str) -> Vec<&'a str> {
    ["iptables", act].into_iter().chain(rule.iter().map(String::as_str)).collect()
}

fn pods(api: &Api) -> Result<Vec<Value>> {
    api.list("/api/v1/namespaces/crossfade-probe/pods")
}
