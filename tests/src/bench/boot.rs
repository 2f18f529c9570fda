//! `boot` on a node in private mode, beside the one program that it starts.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::report::Limit;
use super::statistics::Pairs;
use super::{Bench, Turn};
use crate::host::fabric::Fabric;
use crate::install::package;
use crate::runtime::containerd::{Containerd, Options};

/// What tells a later boot that an earlier one was.
const REMEMBERED: [&str; 2] = ["/run/crossfade/boot.json", "/var/lib/crossfade/boot.json"];
/// A boot is long beside a call; a twentieth of the pairs are enough.
const FEWER: usize = 20;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let fabric = Fabric::new(1)?;
    let old = fabric.old()?;
    let node = fabric.node(1);
    let containerd = Containerd::prepare(node, &Options::default())?;
    package::bake(node, &containerd)?;
    let conf = Path::new("/etc/cni/net.d/10-old.conflist");
    node.write(conf, old.conflist(1).to_string())?;
    let policy = json!({ "version": 1, "networks": { "old": { "conf": [conf] } }, "attach": "old" });
    node.write("/etc/crossfade/policy.json", policy.to_string())?;
    let mut times = Pairs::default();
    for turn in bench.turns((bench.options.pairs / FEWER).max(5)) {
        let turn: Turn = turn?;
        for file in REMEMBERED {
            match fs::remove_file(node.outside(file)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).context("forgetting a boot");
                }
                _ => {}
            }
        }
        let mut dump = node.command("containerd");
        dump.arg("--config").arg(containerd.config()).args(["config", "dump"]);
        let mut boot = node.command(package::program());
        boot.args(["unit", "boot"]);
        turn.measure(&mut times, || timed(&mut dump), || timed(&mut boot))?;
    }
    bench.report.compared("first boot beside containerd config dump", ["dump", "boot"], &times);
    let millis = times.through().median_us / 1000.0;
    bench.report.goal("boot", vec![Limit::new("first boot, p50", millis, 300.0, "ms")]);
    Ok(())
}

fn timed(command: &mut Command) -> Result<Duration> {
    let began = Instant::now();
    let output = command.output().context("starting it")?;
    let took = began.elapsed();
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(took)
}
