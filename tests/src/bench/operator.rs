//! `kubectl-crossfade` on a large cluster, offline: from a dump of kubectl, and from its own snapshot.

mod generate;
#[cfg(feature = "kubernetes")]
pub(super) mod live;
#[cfg(feature = "kubernetes")]
pub(super) mod roll;
pub(super) mod simulate;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::footprint::{self, RunCost};
use super::report::Limit;
use crate::build::dist;
use crate::host::scratch::Scratch;

/// The dump in YAML is of this part of the nodes: it takes longer to read.
const YAML_PART: usize = 10;

/// The exit status of a check that found something that blocks.
const BLOCKED: i32 = 3;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let nodes = bench.options.nodes;
    let scratch = Scratch::new("operator")?;
    let dump = scratch.join("dump.json");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&dump).context("the dump")?);
    let pods = generate::write(nodes, &mut out).context("the dump")?;
    drop(out);
    let snapshot = scratch.join("snapshot.jsonl");
    let migration = ["--from", "calico", "--to", "antrea"].map(OsStr::new);
    let dumped = ["--dumped", "all", "--snapshot"].map(OsStr::new);
    let words = |verb: &'static str| [OsStr::new(verb)];
    let of_dump =
        [&words("snapshot")[..], &dumped, &[dump.as_os_str(), OsStr::new("--out"), snapshot.as_os_str()]];
    let read = timed(&of_dump.concat(), &[0])?;
    let of_snapshot = [&words("check")[..], &migration, &[OsStr::new("--snapshot"), snapshot.as_os_str()]];
    let checked = timed(&of_snapshot.concat(), &[0, BLOCKED])?;

    let size = |file: &Path| -> Result<f64> { Ok(fs::metadata(file)?.len() as f64 / f64::from(1 << 20)) };
    let what = format!("{nodes} nodes, {pods} pods");
    for (name, value, unit) in [
        ("dump of kubectl", size(&dump)?, "MiB"),
        ("snapshot of the dump, file", size(&snapshot)?, "MiB"),
        ("snapshot of the dump, time", read.seconds, "s"),
        ("snapshot of the dump, peak memory", read.mebibytes, "MiB"),
        ("check of the snapshot, time", checked.seconds, "s"),
        ("check of the snapshot, peak memory", checked.mebibytes, "MiB"),
    ] {
        bench.report.figure(format!("{what}: {name}"), value, unit);
    }
    compare_yaml(bench, &scratch)?;
    bench.report.goal(
        "check of a large cluster, offline",
        vec![
            Limit::new("time", checked.seconds, 10.0, "s"),
            Limit::new("peak memory", checked.mebibytes, 1024.0, "MiB"),
        ],
    );
    Ok(())
}

/// The same objects are checked from JSON and from YAML: either is read one object after the other.
fn compare_yaml(bench: &mut Bench, scratch: &Scratch) -> Result<()> {
    let nodes = bench.options.nodes.div_ceil(YAML_PART);
    let files = [scratch.join("part.json"), scratch.join("part.yaml")];
    let mut json = BufWriter::with_capacity(1 << 20, File::create(&files[0]).context("the dump in JSON")?);
    let pods = generate::write(nodes, &mut json).context("the dump in JSON")?;
    let mut yaml = BufWriter::with_capacity(1 << 20, File::create(&files[1]).context("the dump in YAML")?);
    generate::write_yaml(nodes, &mut yaml).context("the dump in YAML")?;
    let check = |file: &Path| {
        let words = ["check", "--from", "calico", "--to", "antrea", "--dumped", "all", "--snapshot"];
        timed(&[&words.map(OsStr::new)[..], &[file.as_os_str()]].concat(), &[0, BLOCKED])
    };
    let (json, yaml) = (check(&files[0])?, check(&files[1])?);
    let what = format!("{nodes} nodes, {pods} pods: check of a dump in YAML");
    let factor = yaml.mebibytes / json.mebibytes;
    for (name, value, unit) in [
        ("time", yaml.seconds, "s"),
        ("peak memory", yaml.mebibytes, "MiB"),
        ("peak memory by that of JSON", factor, "x"),
    ] {
        bench.report.figure(format!("{what}: {name}"), value, unit);
    }
    bench
        .report
        .goal("check of a dump in YAML", vec![Limit::new("peak memory by that of JSON", factor, 2.0, "x")]);
    Ok(())
}

/// Runs the program to its end, which must be one of these exit statuses.
fn timed(arguments: &[&OsStr], statuses: &[i32]) -> Result<RunCost> {
    let mut command = Command::new(dist::kubectl()?);
    let took = footprint::timed(command.args(arguments).stdout(Stdio::null()))?;
    ensure!(
        took.status.code().is_some_and(|code| statuses.contains(&code)),
        "kubectl-crossfade {arguments:?}: {}",
        took.status
    );
    Ok(took)
}
