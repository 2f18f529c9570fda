//! A clean-up that is killed, at every step.
//!
//! Every removal is noted durably before and after it, so that to be killed at each `fdatasync` in turn is to be killed between any two
//! acts. strace does that to the release program, which has no hook for tests.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::node::{answer, put, same, targets};
use crate::{STRACE, leavings};

/// More than any clean-up of these tests has.
const MOST: usize = 400;

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        STRACE;
        at_every_step_and_resumed,
    ]
}

fn at_every_step_and_resumed() -> Result<()> {
    for step in 1..MOST {
        let node = leavings::others()?;
        let before = node.state()?;
        leavings::flannel(&node)?;
        node.run("ipset create cali40x hash:net")?;
        // Only its conf has this network's name, and the conf goes before the leases.
        let conf = node.dir.join("net.d/10-flannel.conflist");
        fs::write(&conf, fs::read_to_string(&conf)?.replace("cbr0", "podnet"))?;
        put("/var/lib/cni/networks/podnet/10.244.1.9", "c1\r\neth0")?;
        let inject = format!("inject=fdatasync:signal=SIGKILL:when={step}");
        let strace = ["strace", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", &inject];
        let output = node.command(&strace, &["flannel", "--apply"]).output().context("strace")?;
        if output.status.code() == Some(0) {
            ensure!(step > 20, "only {step} steps");
            return Ok(());
        }
        ensure!(
            output.status.signal() == Some(9),
            "step {step}: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        let resumed =
            node.cleanup(&["flannel", "--apply"], 0).with_context(|| format!("resumed after step {step}"))?;
        node.run("ipset destroy cali40x")?;
        same(&format!("after step {step}"), &node.state()?, &before)?;
        for path in [
            "/run/flannel",
            "/var/lib/cni/flannel",
            "/var/lib/cni/networks/cbr0",
            "/var/lib/cni/networks/podnet",
        ] {
            ensure!(!std::path::Path::new(path).exists(), "step {step}: {path} is there");
        }
        for file in ["net.d/10-flannel.conflist", "bin/flannel"] {
            ensure!(!node.dir.join(file).exists(), "step {step}: {file} is there: {resumed:#}");
        }
        let again = answer(&node.command(&[], &["flannel", "--apply"]).output()?, 0)?;
        ensure!(targets(&again).is_empty(), "step {step}: {again:#}");
    }
    anyhow::bail!("the clean-up has more than {MOST} steps")
}
