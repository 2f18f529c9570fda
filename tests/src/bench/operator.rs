//! `kubectl-crossfade` on a large cluster, offline: from a dump of kubectl, and from its own snapshot.

pub(super) mod generate;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::peak::{self, RunCost};
use super::report::Limit;
use crate::build::dist;
use crate::host::scratch::Scratch;

/// The exit status of a check that found something that blocks.
pub(super) const BLOCKED: i32 = 3;

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
    bench.report.goal(
        "check of a large cluster, offline",
        vec![
            Limit::new("time", checked.seconds, 10.0, "s"),
            Limit::new("peak memory", checked.mebibytes, 1024.0, "MiB"),
        ],
    );
    Ok(())
}

/// Runs the program to its end, which must be one of these exit statuses.
fn timed(arguments: &[&OsStr], statuses: &[i32]) -> Result<RunCost> {
    let mut command = Command::new(dist::kubectl()?);
    let took = peak::timed(command.args(arguments).stdout(Stdio::null()))?;
    ensure!(
        took.status.code().is_some_and(|code| statuses.contains(&code)),
        "kubectl-crossfade {arguments:?}: {}",
        took.status
    );
    Ok(took)
}
