//! `kubectl crossfade snapshot` and `check` of a large cluster on a real API server: the objects of the offline benchmark, without a program that acts on
//! them. Nothing schedules, so the API server alone says how many there can be.

use std::fs::{self, File};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{BLOCKED, generate};
use crate::bench::Bench;
use crate::bench::footprint::{RunCost, timed};
use crate::bench::report::Limit;
use crate::host::deadline::{LIMIT, until};
use crate::kubernetes::{Client, ControlPlane, Controllers, MERGE, Operator};
use crate::standin::hollow::audited;

/// How many connections fill the cluster at once.
const CONNECTIONS: usize = 16;
/// Calico's kinds that the cluster has.
const CALICO: [(&str, &str); 2] = [("IPPool", "ippools"), ("IPAMBlock", "ipamblocks")];

pub(in crate::bench) fn run(bench: &mut Bench) -> Result<()> {
    let nodes = bench.options.live_nodes;
    if nodes == 0 {
        return Ok(());
    }
    let plane = ControlPlane::without_nodes(Controllers::None)?;
    let began = Instant::now();
    let pods = fill(&plane.admin()?, nodes)?;
    let filled = began.elapsed().as_secs_f64();
    let operator = Operator::new(&plane, "bridge", json!({}))?;
    let log = plane.audit_log();

    let file = operator.file("taken.jsonl");
    let out = file.to_str().context("a path")?;
    let taken = into(&operator, "snapshot", &["snapshot", "--out", out], &[0])?;
    let answer: Value = serde_json::from_str(&fs::read_to_string(operator.file("snapshot.json"))?)?;
    ensure!(answer["nodes"] == nodes && answer["pods"] == pods, "the snapshot has {}", answer["pods"]);
    let (requests, between) = audited(&log, 0)?;
    let checked = into(&operator, "check", &["check", "--from", "calico", "--to", "antrea"], &[0, BLOCKED])?;
    let (asked_by_check, _) = audited(&log, between)?;

    let what = format!("{nodes} nodes, {pods} pods, live");
    for (name, value, unit) in [
        ("filling the API server", filled, "s"),
        ("snapshot, time", taken.seconds, "s"),
        ("snapshot, peak memory", taken.mebibytes, "MiB"),
        ("snapshot, requests", requests.values().sum::<u64>() as f64, ""),
        ("snapshot, file", fs::metadata(&file)?.len() as f64 / f64::from(1 << 20), "MiB"),
        ("check, time", checked.seconds, "s"),
        ("check, peak memory", checked.mebibytes, "MiB"),
        ("check, requests", asked_by_check.values().sum::<u64>() as f64, ""),
    ] {
        bench.report.figure(format!("{what}: {name}"), value, unit);
    }
    bench.report.goal(
        "check of a large cluster, live",
        vec![
            Limit::new("time", checked.seconds, 60.0, "s"),
            Limit::new("peak memory", checked.mebibytes, 200.0, "MiB"),
        ],
    );
    Ok(())
}

/// Runs a command whose answer goes to `NAME.json`, to its end, which must be one of these exit statuses.
fn into(operator: &Operator, name: &str, words: &[&str], statuses: &[i32]) -> Result<RunCost> {
    let file = |ending: &str| File::create(operator.file(&format!("{name}.{ending}")));
    let took = timed(operator.program(words).stdout(file("json")?).stderr(file("log")?))?;
    ensure!(
        took.status.code().is_some_and(|code| statuses.contains(&code)),
        "{words:?}: {}: {}",
        took.status,
        fs::read_to_string(operator.file(&format!("{name}.json")))?
    );
    Ok(took)
}

/// Creates the objects of a cluster of this size, and says how many pods are among them.
fn fill(admin: &Client, nodes: usize) -> Result<usize> {
    for (kind, plural) in CALICO {
        define(admin, kind, plural)?;
    }
    for index in 0..generate::NAMESPACES {
        let name = json!({ "name": generate::namespace(index) });
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": name });
        admin.create("/api/v1/namespaces", &namespace)?.object()?;
    }
    let group = "/apis/crd.projectcalico.org/v1";
    admin.create(&format!("{group}/ippools"), &generate::pool())?.object()?;
    all(nodes, |index| {
        admin.create("/api/v1/nodes", &generate::node(index))?.object()?;
        admin.create(&format!("{group}/ipamblocks"), &generate::block(index))?.object().map(drop)
    })?;
    let pods = nodes * generate::PODS_PER_NODE;
    all(generate::deployments(pods), |index| {
        let deployment = generate::deployment(index);
        let namespace = deployment["metadata"]["namespace"].as_str().context("a namespace")?;
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
        admin.create(&path, &deployment)?.object().map(drop)
    })?;
    all(pods, |index| {
        let pod = generate::pod(index);
        let text = |key: &str| pod["metadata"][key].as_str().context("metadata");
        let path = format!("/api/v1/namespaces/{}/pods", text("namespace")?);
        admin.create(&path, &pod)?.object()?;
        let status = format!("{path}/{}/status", text("name")?);
        if index % 10_000 == 0 {
            eprintln!("{index} of {pods} pods");
        }
        admin.patch(&status, MERGE, &json!({ "status": pod["status"] }))?.object().map(drop)
    })?;
    Ok(pods)
}

/// Does something for each number, over several connections. The first failure ends it.
fn all(count: usize, act: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let work = || loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= count {
            return Ok(());
        }
        act(index).inspect_err(|_| next.store(count, Ordering::Relaxed))?;
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no panic"))
    })
}

/// Lets the API server serve a kind of Calico.
fn define(admin: &Client, kind: &str, plural: &str) -> Result<()> {
    let schema =
        json!({ "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.crd.projectcalico.org") },
        "spec": {
            "group": "crd.projectcalico.org", "scope": "Cluster",
            "names": { "kind": kind, "plural": plural, "singular": kind.to_lowercase() },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": schema }],
        },
    });
    admin.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition)?.object()?;
    until(&format!("the API server serves {plural}"), LIMIT, || {
        Ok((admin.get(&format!("/apis/crd.projectcalico.org/v1/{plural}"))?.status == 200).then_some(()))
    })
}
