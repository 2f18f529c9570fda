//! Podman as a second caller, without Crossfade and through it.

mod shim;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use lab::build::preflight::{NODES, Need, PLUGINS, PODMAN};
use lab::host::fabric::{Fabric, Overlay};
use lab::host::node::Node;
use lab::runtime::podman::Podman;

const NEEDS: &[&[Need]] = &[NODES, PLUGINS, PODMAN];

fn main() -> Result<ExitCode> {
    lab::build::preflight::main(|| {
        lab::trials_of![
            NEEDS;
            a_container_has_a_lease_while_it_runs,
            shim::a_container_follows_the_policy_of_its_start,
            shim::a_container_can_be_on_both_networks,
            shim::a_published_port_leads_to_the_container,
        ]
    })
}

fn podman(node: &Node, overlay: &Overlay) -> Result<Podman> {
    let conf = serde_json::to_vec_pretty(&overlay.conflist(node.index()))?;
    node.write(format!("/etc/cni/net.d/10-{}.conflist", overlay.name), conf)?;
    Podman::new(node, Path::new("/etc/cni/net.d"), Path::new("/opt/cni/bin"))
}

fn a_container_has_a_lease_while_it_runs() -> Result<()> {
    let fabric = Fabric::new(1)?;
    let old = fabric.old()?;
    let node = fabric.node(1);
    let podman = podman(node, &old)?;
    podman.run("c1", "old", &[])?;
    let ip = podman.ip("c1", "old")?.context("an address")?;
    ensure!(old.leases(node)? == [ip], "leases {:?}, address {ip}", old.leases(node)?);
    node.run(&["busybox", "ping", "-c1", "-W5", &ip.to_string()])?;
    podman.stop("c1")?;
    ensure!(old.leases(node)?.is_empty(), "a stopped container keeps {:?}", old.leases(node)?);
    podman.start("c1")?;
    let again = podman.ip("c1", "old")?.context("an address after the start")?;
    ensure!(old.leases(node)? == [again], "leases {:?}, address {again}", old.leases(node)?);
    node.run(&["busybox", "ping", "-c1", "-W5", &again.to_string()])?;
    podman.remove("c1")?;
    ensure!(old.leases(node)?.is_empty(), "a removed container keeps {:?}", old.leases(node)?);
    Ok(())
}
