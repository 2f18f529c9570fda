//! `kubectl crossfade plan` and `roll` against a real API server, with hollow nodes.
//!
//! All of the cluster is planned, watched and fenced; of its nodes, one pool is moved. The program makes 20 requests a second at most, so all 500 nodes
//! would take more than a quarter of an hour. In the rotation's cluster the nodes have no Crossfade, and Karpenter's stand-in replaces the same pool.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use types::policy::Phase;

use crate::bench::Bench;
use crate::bench::footprint::{RunCost, timed};
use crate::bench::report::Limit;
use crate::kubernetes::{Operator, manifest};
use crate::standin::hollow::{
    Cluster, Fleet, Karpenter, POOL, RequestCounts, Truth, audited, rotate, unhurried, until_waiting,
};

/// Pods of each Deployment, and of each StatefulSet.
const REPLICAS: [u32; 2] = [50, 10];
/// Pods of DNS, which move one after the other.
const DNS: u32 = 3;
const SETS: u32 = 10;
const NAMESPACE: &str = "roll";
/// Nodes in transit at once.
const IN_TRANSIT: u32 = 25;
/// What the pods of a node request together where nodes are replaced, in thousandths of a CPU: so much that they find room on a new one only, which Karpenter
/// then launches.
const FULL: u32 = 64_000;
/// Requests to the API server for each node.
const CALLS: f64 = 60.0;

pub(in crate::bench) fn move_in_place(bench: &mut Bench) -> Result<()> {
    let nodes = u32::try_from(bench.options.roll_nodes).context("nodes")?;
    if nodes == 0 {
        return Ok(());
    }
    let moved = u32::try_from(bench.options.roll_moved).context("nodes")?.min(nodes);
    let fleet = Fleet { nodes, zones: 3, first: moved, joins: false, is_plain: false, image: Phase::New };
    let cluster = Cluster::start(fleet)?;
    let pods_per_node = u32::try_from(bench.options.roll_pods).context("pods")?;
    let pods = fill(&cluster, nodes, pods_per_node, None)?;
    let operator = Operator::new(&cluster.plane, "bridge", unhurried(IN_TRANSIT))?.waiving_what_blocks()?;
    let log = cluster.plane.audit_log();
    let (_, before_plan) = audited(&log, 0)?;
    let (planned, hash) = plan(&operator)?;
    let (asked_by_plan, before_roll) = audited(&log, before_plan)?;

    let mut roll = operator.program(&["roll", "--plan", &hash, "--pool", "first"]);
    direct(&operator, "roll", &mut roll)?;
    let rolled = timed(&mut roll)?;
    ensure_rolled(&operator, &rolled)?;
    let (requests, _) = audited(&log, before_roll)?;
    let decisions = decisions(&operator)?;
    cluster.hollow.ensure_sound()?;
    let report = operator.report("bench-roll-in-place", None)?;

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
    let beyond_moving = &report["times"]["beyondMoving"];
    for (name, value, unit) in [
        ("roll, time", rolled.seconds, "s"),
        ("seconds per node beyond moving its pods, p50", number(&beyond_moving["median"])?, "s"),
        ("seconds per node beyond moving its pods, the longest", number(&beyond_moving["most"])?, "s"),
        ("restarts per pod", number(&report["evictions"]["restartsPerPod"])?, ""),
        ("roll, requests a second", calls as f64 / rolled.seconds, ""),
        ("roll, requests for each node", calls as f64 / f64::from(moved), ""),
        ("journal", journal / 1024.0, "KiB"),
        ("journal for each node", journal / 1024.0 / f64::from(moved), "KiB"),
    ] {
        bench.report.figure(format!("{part}: {name}"), value, unit);
    }
    add_decisions(bench, &part, &decisions, &requests);
    bench.report.goal(
        "roll of a large cluster on a real API server",
        vec![
            Limit::new("peak memory", rolled.mebibytes, 200.0, "MiB"),
            Limit::new("a decision, p99", decisions.p99, 5.0, "ms"),
        ],
    );
    Ok(())
}

/// A rotation: the run holds nodes and lets Karpenter's stand-in replace them.
pub(in crate::bench) fn replace(bench: &mut Bench) -> Result<()> {
    let nodes = u32::try_from(bench.options.roll_nodes).context("nodes")?;
    if nodes == 0 {
        return Ok(());
    }
    let moved = u32::try_from(bench.options.roll_moved).context("nodes")?.min(nodes);
    let fleet = Fleet { nodes, zones: 3, first: moved, joins: false, is_plain: true, image: Phase::New };
    let cluster = Cluster::start(fleet)?;
    let pods_per_node = u32::try_from(bench.options.roll_pods).context("pods")?.max(1);
    let cpu = format!("{}m", FULL / pods_per_node);
    let pods = fill(&cluster, nodes, pods_per_node, Some(&cpu))?;
    let mut karpenter = Karpenter::new(&cluster, fleet, nodes)?;
    let operator = Operator::new(&cluster.plane, "rotation", unhurried(IN_TRANSIT))?.waiving_what_blocks()?;
    let (_, hash) = plan(&operator)?;
    let log = cluster.plane.audit_log();
    let (_, before_roll) = audited(&log, 0)?;

    let mut roll = operator.program(&["roll", "--plan", &hash, "--pool", "first"]);
    direct(&operator, "roll", &mut roll)?;
    let run = std::thread::spawn(move || timed(&mut roll));
    let ended = || match run.is_finished() {
        true => Err(anyhow::anyhow!("roll has ended: {}", last_lines(&operator.file("roll.log"))?)),
        false => Ok(()),
    };
    let api = cluster.api()?;
    until_waiting(&api, fleet, ended)?;
    Karpenter::select_image(&api)?;
    let mut truth = Truth::new(&cluster, fleet, IN_TRANSIT);
    let is_old = |node: &serde_json::Value| {
        let labels = &node["metadata"]["labels"];
        labels[POOL] == "first" && labels["crossfade/phase"].is_null()
    };
    rotate(
        &cluster,
        &mut karpenter,
        &mut truth,
        |nodes| if nodes.iter().any(is_old) { ended() } else { Ok(()) },
    )?;
    let rolled = run.join().map_err(|_| anyhow::anyhow!("a panic"))??;
    ensure_rolled(&operator, &rolled)?;
    let (requests, _) = audited(&log, before_roll)?;
    let decisions = decisions(&operator)?;
    operator.report("bench-roll-rotation", None)?;

    let part = format!("{nodes} nodes, {pods} pods, {moved} nodes replaced");
    let (calls, count) = (requests.values().sum::<u64>() as f64, f64::from(moved));
    let proofs = truth.proofs();
    let proof = |at: usize| proofs.get(at).map(std::time::Duration::as_secs_f64).unwrap_or_default();
    for (name, value, unit) in [
        ("roll, time", rolled.seconds, "s"),
        ("roll, time for each node", rolled.seconds / count, "s"),
        ("beyond boot and drain, p50", proof(proofs.len() / 2), "s"),
        ("beyond boot and drain, the longest", proof(proofs.len().saturating_sub(1)), "s"),
        ("nodes away, at most", truth.most_away as f64, ""),
    ] {
        bench.report.figure(format!("{part}: {name}"), value, unit);
    }
    add_decisions(bench, &part, &decisions, &requests);
    bench.report.goal(
        "rotation of a large cluster on a real API server",
        vec![
            Limit::new("requests for each node", calls / count, CALLS, ""),
            Limit::new("peak memory", rolled.mebibytes, 200.0, "MiB"),
            Limit::new("a decision, p99", decisions.p99, 5.0, "ms"),
        ],
    );
    Ok(())
}

/// A figure of a report.
fn number(figure: &serde_json::Value) -> Result<f64> {
    figure.as_f64().with_context(|| format!("a number is expected, and the report has {figure}"))
}

/// Adds what a run decided, and what it asked of the API server.
fn add_decisions(bench: &mut Bench, part: &str, decisions: &Decisions, requests: &RequestCounts) {
    for (name, value, unit) in [
        ("decisions", decisions.count, ""),
        ("a decision, p50", decisions.p50, "ms"),
        ("a decision, the longest", decisions.most, "ms"),
    ] {
        bench.report.figure(format!("{part}: {name}"), value, unit);
    }
    for (name, count) in requests {
        bench.report.figure(format!("{part}: requests, {name}"), *count as f64, "");
    }
}

/// Saves a plan, and gives its hash.
fn plan(operator: &Operator) -> Result<(RunCost, String)> {
    let mut plan = operator.program(&operator.about(&["plan", "--save"]));
    direct(operator, "plan", &mut plan)?;
    let planned = timed(&mut plan)?;
    let document = fs::read_to_string(operator.file("plan.json"))?;
    ensure!(planned.status.success(), "plan: {document}");
    let answer: serde_json::Value = serde_json::from_str(&document).context("the plan")?;
    Ok((planned, answer["hash"].as_str().context("a hash")?.to_owned()))
}

fn ensure_rolled(operator: &Operator, rolled: &RunCost) -> Result<()> {
    ensure!(
        rolled.status.success(),
        "roll: {}\n{}",
        fs::read_to_string(operator.file("roll.json"))?,
        last_lines(&operator.file("roll.log"))?
    );
    Ok(())
}

/// Fills the nodes, and gives the number of pods: one DaemonSet, a few StatefulSets, and Deployments with a budget each.
fn fill(cluster: &Cluster, nodes: u32, pods_per_node: u32, cpu: Option<&str>) -> Result<u32> {
    cluster.serve_dns(DNS)?;
    let api = cluster.api()?;
    api.namespace(NAMESPACE)?;
    let mut server = manifest::server();
    if let Some(cpu) = cpu {
        server["containers"][0]["resources"] = json!({ "requests": { "cpu": cpu } });
    }
    let workload = |kind, name: &str, replicas| manifest::workload(kind, NAMESPACE, name, replicas, &server);
    api.create(&[workload("DaemonSet", "agent", None)])?;
    for index in 0..SETS {
        let mut set = workload("StatefulSet", &format!("db-{index}"), Some(REPLICAS[1]));
        // Or the controller starts them one after the other.
        set["spec"]["podManagementPolicy"] = json!("Parallel");
        api.create(&[set])?;
    }
    let others = nodes + SETS * REPLICAS[1];
    let pods = (nodes * pods_per_node).max(others + DNS) - DNS;
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

/// Has the stdout of a command go to `NAME.json`, and its stderr to `NAME.log`.
fn direct(operator: &Operator, name: &str, command: &mut Command) -> Result<()> {
    let file = |ending: &str| File::create(operator.file(&format!("{name}.{ending}")));
    command.stdout(file("json")?).stderr(file("log")?);
    Ok(())
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
