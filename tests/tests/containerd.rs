//! A real containerd on each node, without Crossfade and through it.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use lab::containerd::{Containerd, Options};
use lab::cri::Sandbox;
use lab::fabric::{Fabric, Overlay};
use lab::node::Node;
use lab::preflight::{self, CONTAINERD, NODES, PLUGINS, trial};
use libtest_mimic::Arguments;

const NEEDS: &[&[preflight::Need]] = &[NODES, PLUGINS, CONTAINERD];

fn main() -> Result<ExitCode> {
    lab::isolate::enter()?;
    let arguments = Arguments::from_args();
    let trials = vec![trial(
        "sandboxes_live_on_the_overlay",
        NEEDS,
        sandboxes_live_on_the_overlay,
    )];
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

/// The first conf of a node: the overlay's network as a person would have installed it.
fn install(node: &Node, overlay: &Overlay) -> Result<()> {
    let conf = serde_json::to_vec_pretty(&overlay.conflist(node.index()))?;
    node.write(format!("/etc/cni/net.d/10-{}.conflist", overlay.name), conf)
}

fn sandboxes_live_on_the_overlay() -> Result<()> {
    let fabric = Fabric::new(2)?;
    let old = fabric.overlay("old", 1, 8472, "10.244")?;
    let mut pods = Vec::new();
    let mut runtimes = Vec::new();
    for node in fabric.nodes() {
        install(node, &old)?;
        let containerd = Containerd::start(node, &Options::default())?;
        let id = containerd
            .cri()
            .run_sandbox(&Sandbox::new(&format!("pod-{}", node.name())))?;
        let status = containerd.cri().status(&id)?;
        let ip = status.ip.context("an address")?;
        ensure!(
            ip.to_string()
                .starts_with(&format!("10.244.{}.", node.index())),
            "{ip}"
        );
        println!("{status:?} {}", containerd.cri().version()?);
        pods.push((id, status));
        runtimes.push(containerd);
    }
    Ok(())
}
