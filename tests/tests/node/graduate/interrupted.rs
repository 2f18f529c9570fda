//! A run that is killed, at every step; between two runs pods come and go.
//!
//! Every step is noted or written durably, so that to be killed at each `fdatasync` and `fsync` in turn is to be killed between any two acts.
//! strace does that to the release program, which has no hook for tests.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;

use anyhow::{Context, Result, bail, ensure};
use lab::install::crossfade::OURS;
use lab::scene::NODE_JSON;

use crate::node::{ASIDE, Node};

/// More than any run of these tests has.
const MOST: usize = 200;
/// Fewer than any.
const FEWEST: usize = 15;

/// Runs it until this durable write, and says whether it ended by itself.
fn killed(node: &Node, step: usize) -> Result<bool> {
    let inject = format!("inject=fdatasync,fsync:signal=SIGKILL:when={step}");
    let program = lab::build::dist::bootstrap()?;
    let mut command = node.node().command("strace");
    // The child that attaches a scratch namespace is not followed.
    command.args(["-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", &inject]).arg(program);
    command.args(["graduate", "--apply"]);
    let output = command.output().context("strace")?;
    match (output.status.code(), output.status.signal()) {
        (Some(0), _) => Ok(true),
        (_, Some(9)) | (Some(137), _) => Ok(false),
        _ => bail!(
            "step {step}: {}: {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// As it was before the command: Crossfade is installed again, under no pod.
fn again(node: &Node, settings: &[u8]) -> Result<()> {
    node.node().write(NODE_JSON, settings)?;
    for file in ["/run/crossfade/without-plugin", "/run/crossfade/leaving"] {
        let _absent = fs::remove_file(node.outside(file));
    }
    let aside = node.outside(ASIDE);
    fs::copy(aside.join("net.d/10-old.conflist"), node.outside("/etc/cni/net.d/10-old.conflist"))?;
    fs::remove_dir_all(&aside)?;
    node.run_expecting(&["install"], 0)?;
    node.expect_loaded("crossfade")
}

pub(crate) fn at_every_step_killed_and_resumed() -> Result<()> {
    let node = Node::new()?;
    let settings = fs::read(node.outside(NODE_JSON))?;
    for step in 1..MOST {
        let stays = node.run(&format!("stays-{step}"))?;
        let ends = node.run(&format!("ends-{step}"))?;
        let ended = killed(&node, step)?;
        // A pod comes and a pod goes, whether the runtime calls Crossfade or the plugins themselves now.
        let between = || -> Result<String> {
            node.end(&ends)?;
            node.run(&format!("between-{step}"))
        };
        let came = between().with_context(|| format!("after step {step}"))?;
        if !ended {
            let resumed =
                node.graduate(&["--apply"], 0).with_context(|| format!("resumed after step {step}"))?;
            ensure!(resumed["stage"] == "graduated", "step {step}: {resumed:#}");
        }
        let last = || -> Result<()> {
            node.expect_gone()?;
            node.expect_direct_del(&stays).context("the DEL of the pod that was there")?;
            node.expect_direct_del(&came).context("the DEL of the pod that came between")?;
            ensure!(node.leases()? == (0, 0), "leases are left: {:?}", node.crossfade.leases()?);
            ensure!(node.cached()?.is_empty(), "the cache has {:?}", node.cached()?);
            Ok(())
        };
        last().with_context(|| format!("step {step}"))?;
        if ended {
            ensure!(step > FEWEST, "only {step} steps");
            return Ok(());
        }
        again(&node, &settings).with_context(|| format!("after step {step}"))?;
    }
    bail!("it has more than {MOST} steps")
}

/// A boot ends all sandboxes. Whether it comes before or after node.json says that Crossfade has left, no delegate misses its DEL.
pub(crate) fn a_boot_between_two_steps_begins_anew() -> Result<()> {
    let node = Node::new()?;
    let settings = fs::read(node.outside(NODE_JSON))?;
    let mut seen = (false, false);
    for step in 1..MOST {
        let pod = node.run(&format!("pod-{step}"))?;
        let ended = killed(&node, step)?;
        let is_none = fs::read(node.outside(NODE_JSON))? != settings;
        node.node().reboot_id(&format!("11111111-2222-4333-8444-{step:012}"))?;
        // A runtime that runs keeps its confs: at a real boot it starts later.
        let text = node.bootstrap(&["unit", "boot"])?.output()?;
        ensure!(text.status.code() == Some(0), "step {step}: {text:?}");
        let is_back = node.outside(OURS).exists();
        if is_none {
            seen.0 = true;
        } else {
            ensure!(is_back, "step {step}: no plugin would attach the pods as before");
            seen.1 = true;
        }
        node.end(&pod).with_context(|| format!("step {step}"))?;
        ensure!(node.leases()? == (0, 0), "step {step}: {:?}", node.leases()?);
        if ended {
            ensure!(seen == (true, true), "{seen:?}");
            return Ok(());
        }
        if !is_back {
            node.graduate(&["--apply"], 0).with_context(|| format!("resumed after step {step}"))?;
            again(&node, &settings).with_context(|| format!("after step {step}"))?;
        }
    }
    bail!("it has more than {MOST} steps")
}
