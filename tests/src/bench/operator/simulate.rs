//! `kubectl crossfade plan --simulate` of a large cluster: one history in which nothing goes wrong, played to its end.

mod likeness;

use std::fs::{self, File};
use std::io::BufWriter;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::bench::footprint;
use crate::bench::report::Limit;
use crate::build::dist;
use crate::host::scratch::Scratch;

pub(in crate::bench) fn run(bench: &mut Bench) -> Result<()> {
    let nodes = bench.options.simulated_nodes;
    let scratch = Scratch::new("simulate")?;
    let (dump, config, message) =
        (scratch.join("dump.json"), scratch.join("config.json"), scratch.join("simulate.json"));
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&dump).context("the dump")?);
    let pods = likeness::write(nodes, &mut out).context("the dump")?;
    drop(out);
    fs::write(&config, likeness::settings().to_string()).context("the settings")?;

    let mut command = Command::new(dist::kubectl()?);
    command.args([
        "plan",
        "--simulate",
        "1",
        "--from",
        "flannel",
        "--to",
        "cilium",
        "--strategy",
        "bridge",
        "-o",
        "json",
    ]);
    command.args(["--dumped", "all", "--seed", "1", "--snapshot"]).arg(&dump);
    command.arg("--config").arg(&config).stdout(File::create(&message)?);
    let took = footprint::timed(&mut command)?;
    let text = fs::read_to_string(&message)?;
    ensure!(took.status.success(), "simulate: {}: {text}", took.status);
    let answer: Value = serde_json::from_str(&text).context("the answer of simulate")?;
    ensure!(answer["nodes"] == nodes && answer["pods"] == pods, "simulate: another cluster: {text}");
    for fault in ["unended", "broken"] {
        ensure!(answer[fault] == json!([]), "simulate: {fault}: {text}");
    }
    let number =
        |key: &str| answer[key]["median"].as_f64().with_context(|| format!("simulate does not say {key}"));
    let (seconds, evictions) = (number("seconds")?, number("evictions")?);

    let what = format!("{nodes} nodes, {pods} pods, simulated");
    for (name, value, unit) in [
        ("time", took.seconds, "s"),
        ("time for each node", took.seconds * 1000.0 / nodes as f64, "ms"),
        ("the run's own time", seconds, "s"),
        ("evictions", evictions, ""),
        ("peak memory", took.mebibytes, "MiB"),
    ] {
        bench.report.figure(format!("{what}: {name}"), value, unit);
    }
    bench.report.goal(
        "simulation of a large cluster",
        vec![Limit::new("peak memory", took.mebibytes, 1024.0, "MiB")],
    );
    Ok(())
}
