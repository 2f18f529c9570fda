//! `kubectl crossfade plan` and `roll` against a real API server, with hollow nodes.
//!
//! All of the cluster is planned, watched and fenced; of its nodes, one pool is moved. The program makes 20 requests a second at most, so all 500 nodes
//! would take more than a quarter of an hour.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Bench;
use super::peak::{RunCost, timed};
use super::report::Limit;
use crate::kubernetes::{Operator, manifest};
use crate::standin::hollow::{Cluster, Fleet, audited, unhurried};

/// Pods on each node, those of a DaemonSet included.
const PODS_PER_NODE: u32 = 30;
/// Pods of each Deployment, and of each StatefulSet.
const REPLICAS: [u32; 2] = [50, 10];
/// Pods of DNS, which move one after the other.
const DNS: u32 = 3;
/// StatefulSets.
const SETS: u32 = 10;
const NAMESPACE: &str = "roll";
/// Nodes in transit at once.
const IN_TRANSIT: u32 = 25;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let nodes = u32::try_from(bench.options.roll_nodes).context("nodes")?;
    if nodes == 0 {
        return Ok(());
    }
    let moved = u32::try_from(bench.options.roll_moved).context("nodes")?.min(nodes);
    let cluster = Cluster::start(Fleet { nodes, zones: 3, first: moved, joins: false, is_plain: false })?;
    let pods = fill(&cluster, nodes)?;
    let operator = Operator::new(&cluster.plane, "bridge", unhurried(IN_TRANSIT))?.waiving_what_blocks()?;
    let log = cluster.plane.audit_log();
    let (_, before_plan) = audited(&log, 0)?;

    let mut plan = operator.program(&operator.about(&["plan", "--save"]));
    let planned = into(&operator, "plan", &mut plan)?;
    let document = fs::read_to_string(operator.file("plan.json"))?;
    ensure!(planned.status.success(), "plan: {document}");
    let answer: serde_json::Value = serde_json::from_str(&document).context("the plan")?;
    let hash = answer["hash"].as_str().context("a hash")?.to_owned();
    let (asked_by_plan, before_roll) = audited(&log, before_plan)?;

    let mut roll = operator.program(&["roll", "--plan", &hash, "--pool", "first"]);
    let rolled = into(&operator, "roll", &mut roll)?;
    ensure!(
        rolled.status.success(),
        "roll: {}\n{}",
        fs::read_to_string(operator.file("roll.json"))?,
        last_lines(&operator.file("roll.log"))?
    );
    let (requests, _) = audited(&log, before_roll)?;
    let decisions = decisions(&operator)?;
    cluster.hollow.ensure_sound()?;

    let what = format!("{nodes} nodes, {pods} pods");
    let calls: u64 = requests.values().sum();
    let journal = journal(&operator.journals())?;
    let part = format!("{what}, {moved} nodes moved");
    for (name, value, unit) in [
        ("plan, time", planned.seconds, "s"),
        ("plan, peak memory", planned.mebibytes, "MiB"),
        ("plan, requests", asked_by_plan.values().sum::<u64>() as f64, ""),
    ] {
        bench.report.figure(format!("{what}: {name}"), value, unit);
    }
    for (name, value, unit) in [
        ("roll, time", rolled.seconds, "s"),
        ("roll, requests a second", calls as f64 / rolled.seconds, ""),
        ("roll, requests for each node", calls as f64 / f64::from(moved), ""),
        ("journal", journal / 1024.0, "KiB"),
        ("journal for each node", journal / 1024.0 / f64::from(moved), "KiB"),
    ] {
        bench.report.figure(format!("{part}: {name}"), value, unit);
    }
    for (name, value, unit) in [
        ("decisions", decisions.count, ""),
        ("a decision, p50", decisions.p50, "ms"),
        ("a decision, the longest", decisions.most, "ms"),
    ] {
        bench.report.figure(format!("{part}: {name}"), value, unit);
    }
    for (name, count) in &requests {
        bench.report.figure(format!("{part}: requests, {name}"), *count as f64, "");
    }
    bench.report.goal(
        "roll of a large cluster on a real API server",
        vec![
            Limit::new("peak memory", rolled.mebibytes, 200.0, "MiB"),
            Limit::new("a decision, p99", decisions.p99, 5.0, "ms"),
        ],
    );
    Ok(())
}

/// Fills the nodes, and gives the number of pods: one DaemonSet, a few StatefulSets, and Deployments with a budget each.
fn fill(cluster: &Cluster, nodes: u32) -> Result<u32> {
    cluster.serve_dns(DNS)?;
    let api = cluster.api()?;
    api.namespace(NAMESPACE)?;
    let server = manifest::server();
    let workload = |kind, name: &str, replicas| manifest::workload(kind, NAMESPACE, name, replicas, &server);
    api.create(&[workload("DaemonSet", "agent", None)])?;
    for index in 0..SETS {
        let mut set = workload("StatefulSet", &format!("db-{index}"), Some(REPLICAS[1]));
        // Or the controller starts them one after the other.
        set["spec"]["podManagementPolicy"] = json!("Parallel");
        api.create(&[set])?;
    }
    let others = nodes + SETS * REPLICAS[1];
    let pods = (nodes * PODS_PER_NODE).max(others + DNS) - DNS;
    let mut left = pods - others;
    for index in 0.. {
        let replicas = left.min(REPLICAS[0]);
        if replicas == 0 {
            break;
        }
        let name = format!("web-{index}");
        let budget = manifest::budget(NAMESPACE, &name, &json!({ "maxUnavailable": 5 }), &api)?;
        api.create(&[workload("Deployment", &name, Some(replicas)), budget])?;
        left -= replicas;
    }
    cluster.until_running(NAMESPACE, pods as usize)?;
    Ok(pods + DNS)
}

/// Runs a command whose stdout goes to `NAME.json` and whose stderr goes to `NAME.log`.
fn into(operator: &Operator, name: &str, command: &mut std::process::Command) -> Result<RunCost> {
    let file = |ending: &str| File::create(operator.file(&format!("{name}.{ending}")));
    timed(command.stdout(file("json")?).stderr(file("log")?))
}

/// How many decisions the program made, and how long they took, in milliseconds.
struct Decisions {
    count: f64,
    p50: f64,
    p99: f64,
    most: f64,
}

/// What `roll` says of its decisions.
fn decisions(operator: &Operator) -> Result<Decisions> {
    let document = fs::read_to_string(operator.file("roll.json"))?;
    let answer: serde_json::Value = serde_json::from_str(&document).context("the answer of roll")?;
    let number = |name: &str| {
        answer["decisions"][name].as_f64().with_context(|| format!("roll does not say {name}: {document}"))
    };
    let millis = |name: &str| Ok::<f64, anyhow::Error>(number(name)? / 1000.0);
    Ok(Decisions {
        count: number("count")?,
        p50: millis("p50Micros")?,
        p99: millis("p99Micros")?,
        most: millis("mostMicros")?,
    })
}

/// The size of all journals of a directory, in bytes.
fn journal(dir: &Path) -> Result<f64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir).context("the journals")? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes as f64)
}

fn last_lines(file: &Path) -> Result<String> {
    let text = fs::read_to_string(file)?;
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(40)..].join("\n"))
}
