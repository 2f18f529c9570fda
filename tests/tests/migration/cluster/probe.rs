//! `kubectl crossfade probe` on nodes with pods: what passes, what is lost while a command runs, and what explains it.

use anyhow::{Context, Result, ensure};
use lab::host::deadline::until;
use lab::kubernetes::api::WITHIN;
use lab::kubernetes::{Api, Cluster, Operator};
use serde_json::{Value, json};

use super::world::cluster;

/// Agents of three nodes: one on each node's network, one in a pod, and two more in pods on two of the nodes.
const AGENTS: u64 = 10;
/// How often a network without a fault is probed, until it is found to have none.
const TRIES: u32 = 4;

pub(crate) fn packets_that_are_lost_while_a_command_runs_are_named_with_their_cause() -> Result<()> {
    let cluster = cluster()?;
    let api = cluster.api()?;
    let network = |cidr: String| json!({ "cidrs": [cidr] });
    let networks = json!({ "old": network(cluster.old.cidr()), "new": network(cluster.new.cidr()) });
    let operator = Operator::new(&cluster.plane, "bridge", json!({ "networks": networks }))?;

    // Without the rights, nothing is put up.
    let refused = operator.ends(&operator.about(&["probe"]), 1)?;
    ensure!(refused.answer.to_string().contains("deploy/cluster/rbac-probe.yaml"), "{refused:#?}");
    operator.grant_probes(&cluster.plane)?;
    let preview = operator.ends(&operator.about(&["probe", "--dry-run"]), 0)?;
    ensure!(preview.answer["objects"].as_array().is_some_and(|objects| objects.len() == 7), "{preview:#?}");
    ensure!(pods(&api)?.is_empty(), "a dry run has put agents up");

    // On a busy machine, answers may take longer than a second: then it is probed again, as by a person.
    let mut tries = 0;
    let whole = loop {
        let probed = operator.run(&operator.about(&["probe", "--baseline", "20", "--for", "20"]))?;
        tries += 1;
        if probed.status == Some(0) || tries == TRIES {
            break probed;
        }
    };
    ensure!(whole.status == Some(0), "{whole:#?}");
    ensure!(whole.answer["agents"] == AGENTS && whole.answer["nodes"] == 3, "{whole:#?}");
    for (from, to) in [("old", "old"), ("old", "host"), ("host", "old"), ("old", "Service"), ("old", "DNS")] {
        let clean =
            |class: &&Value| class["from"] == from && class["to"] == to && class["verdict"] == "clean";
        let classes = whole.answer["classes"].as_array().context("classes")?;
        ensure!(classes.iter().find(clean).is_some(), "no clean class {from} -> {to}: {classes:#?}");
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
