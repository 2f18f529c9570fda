//! Boots of the final image: the new network alone, and no plugin of ours anywhere.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::boot::Machine;
use lab::boot::furniture::Network;
use libtest_mimic::Trial;

use crate::NEEDS;
use crate::node::{
    FINAL_LABEL, agent, ensure_held, ensure_nothing_failed, ensure_released, final_image, joining, migrating,
};

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        NEEDS;
        a_final_image,
        a_final_image_on_the_state_of_a_migrated_node,
    ]
}

fn a_final_image() -> Result<()> {
    let mut machine = joining(final_image()?)?;
    agent(&machine, Network::New, true)?;
    machine.boot()?;
    machine.until_pods(2)?;
    machine.ensure_only(Network::New)?;
    ensure_without_us(&machine)?;
    let Some((node, true)) = machine.node()? else {
        anyhow::bail!("no Node was made: {:?}", machine.events()?);
    };
    ensure!(node.labels.get(FINAL_LABEL.0).map(String::as_str) == Some(FINAL_LABEL.1), "{node:?}");
    ensure!(node.taints.is_empty(), "{node:?}");
    machine.boot_settled()?;
    ensure_nothing_failed(&machine)?;
    machine.halt()
}

/// The runtime is exactly as its distribution has it, and finds only what the agent wrote.
fn ensure_without_us(machine: &Machine) -> Result<()> {
    ensure!(machine.command_line("containerd.service")? == ["/usr/bin/containerd"]);
    let confs = machine.list("/etc/cni/net.d")?;
    ensure!(confs == ["05-cilium.conflist"], "{confs:?}");
    let plugins = machine.list("/opt/cni/bin")?;
    ensure!(!plugins.iter().any(|name| name.contains("crossfade")), "{plugins:?}");
    let ours = machine.list("/run/crossfade/net.d")?;
    ensure!(ours.is_empty(), "{ours:?}");
    Ok(())
}

/// A node that keeps /var while its root is replaced: records of the migration, whose sandboxes are gone.
fn a_final_image_on_the_state_of_a_migrated_node() -> Result<()> {
    let mut before = migrating()?;
    before.boot()?;
    ensure_held(&mut before)?;
    ensure_released(&mut before, 2)?;
    before.halt()?;
    let records = lab::host::scratch::files(&before.disk("/var/lib/crossfade/attachments"))?;
    ensure!(!records.is_empty(), "the migrated node leaves no records");

    let mut machine = joining(final_image()?)?;
    agent(&machine, Network::New, true)?;
    for kept in ["/var/lib/crossfade", "/var/lib/cni", "/opt/cni", "/etc/cni"] {
        let mut copy = Command::new("cp");
        let parent = machine.disk(kept);
        copy.args(["--archive", "--no-target-directory"]).arg(before.disk(kept)).arg(parent);
        ensure!(copy.status().context("cp")?.success(), "copying {kept}");
    }
    // The old network's agent is no more, and so is its conf; that is the cluster's doing.
    std::fs::remove_file(machine.disk(crate::node::conf(Network::Old)))?;
    machine.boot()?;
    machine.until_pods(2)?;
    machine.ensure_only(Network::New)?;
    let records = lab::host::scratch::files(&machine.disk("/var/lib/crossfade/attachments"))?;
    let aside = lab::host::scratch::files(&machine.disk("/var/lib/crossfade/set-aside"))?;
    ensure!(records.is_empty() && !aside.is_empty(), "left {records:?}, set aside {aside:?}");
    machine.boot_settled()?;
    ensure!(machine.command_line("containerd.service")? == ["/usr/bin/containerd"]);
    ensure_nothing_failed(&machine)
}
