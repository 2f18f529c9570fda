//! Boots of the migration image: each ends with pods on the network that the policy names, or held.

use std::fs;

use anyhow::{Result, ensure};
use lab::boot::Machine;
use lab::boot::furniture::Network;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::NEEDS;
use crate::node::{
    LABEL, TAINT, agent, ensure_held, ensure_nothing_failed, ensure_released, joining, migrating, migration,
};

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        NEEDS;
        a_first_boot_with_the_old_agent_first,
        a_first_boot_that_applies_the_presets,
        a_reboot,
        a_clone_of_a_machine_that_ran,
        the_new_agent_first,
        a_new_agent_that_never_comes,
        user_data_goes_back_to_the_old_network,
    ]
}

fn a_first_boot_with_the_old_agent_first() -> Result<()> {
    let mut machine = migrating()?;
    machine.boot()?;
    ensure_held(&mut machine)?;
    ensure!(machine.boot_kind()? == "first", "{}", machine.boot_kind()?);
    ensure_released(&mut machine, 2)?;
    ensure_registered(&machine)?;
    // One file of ours in the runtime's directory, none in the agents', nothing added to the runtime's configuration.
    ensure!(machine.list("/run/crossfade/net.d")? == ["01-crossfade.conflist"]);
    let agents = machine.list("/etc/cni/net.d")?;
    ensure!(agents == ["05-cilium.conflist", "10-flannel.conflist"], "{agents:?}");
    ensure!(machine.list("/etc/containerd")? == ["config.toml"]);
    machine.boot_settled()?;
    ensure_nothing_failed(&machine)?;
    machine.halt()
}

/// The Node was registered with the label and the taint of a migration to Cilium, which no variable of the image build names.
fn ensure_registered(machine: &Machine) -> Result<()> {
    let Some((node, true)) = machine.node()? else {
        anyhow::bail!("no Node was made: {:?}", machine.events()?);
    };
    ensure!(node.labels.get(LABEL.0).map(String::as_str) == Some(LABEL.1), "{node:?}");
    ensure!(node.taints == [TAINT], "{node:?}");
    Ok(())
}

/// Images whose machine-id says `uninitialized` have their presets applied once more: what the package enabled stays enabled.
fn a_first_boot_that_applies_the_presets() -> Result<()> {
    let mut machine = migrating()?;
    machine.write("/etc/machine-id", "uninitialized\n")?;
    // Debian's presets enable networkd, and it would wait for a network card, which there is none of.
    let wait = machine.disk("/etc/systemd/system/systemd-networkd-wait-online.service");
    std::os::unix::fs::symlink("/dev/null", wait)?;
    machine.boot()?;
    ensure_held(&mut machine)?;
    ensure_released(&mut machine, 2)?;
    let id = machine.read("/etc/machine-id")?;
    ensure!(id.trim().len() == 32, "machine-id {id:?}");
    for unit in ["crossfade-boot.service", "crossfade-watch.service"] {
        ensure!(machine.run(&["systemctl", "is-enabled", unit])?.trim() == "enabled", "{unit}");
    }
    Ok(())
}

fn a_reboot() -> Result<()> {
    let mut machine = migrating()?;
    machine.boot()?;
    ensure_held(&mut machine)?;
    ensure_released(&mut machine, 2)?;
    machine.reboot()?;
    ensure_held(&mut machine)?;
    ensure!(machine.boot_kind()? == "reboot", "{}", machine.boot_kind()?);
    ensure_released(&mut machine, 4)
}

/// An image of a machine that had run and was not sealed: its pods, records and leases are another machine's.
fn a_clone_of_a_machine_that_ran() -> Result<()> {
    let mut machine = migrating()?;
    machine.boot()?;
    ensure_held(&mut machine)?;
    ensure_released(&mut machine, 2)?;
    machine.crash();
    let records = fs::read_dir(machine.disk("/var/lib/crossfade/attachments"))?.count();
    ensure!(records > 0, "the original leaves no records");
    machine.write("/etc/machine-id", "22222222222222222222222222222222\n")?;
    fs::remove_dir_all(machine.disk(lab::standin::kubelet::NODES))?;
    machine.boot()?;
    ensure_held(&mut machine)?;
    ensure!(machine.boot_kind()? == "clone", "{}", machine.boot_kind()?);
    let aside = lab::host::scratch::files(&machine.disk("/var/lib/crossfade/set-aside"))?;
    ensure!(!aside.is_empty(), "the original's records are not set aside");
    ensure_released(&mut machine, 4)?;
    ensure_registered(&machine)
}

fn the_new_agent_first() -> Result<()> {
    let mut machine = joining(migration()?)?;
    agent(&machine, Network::Old, false)?;
    agent(&machine, Network::New, true)?;
    machine.boot()?;
    ensure_released(&mut machine, 2)?;
    machine.open_gate(Network::Old)
}

/// The node is held while Cilium's conf is missing, with kubelet up and talking; and `status` says what is missing.
fn a_new_agent_that_never_comes() -> Result<()> {
    let mut machine = migrating()?;
    machine.boot_whole()?;
    ensure_held(&mut machine)?;
    let status = machine.ask(&["crossfade-bootstrap", "status", "--output", "json"]);
    let status: Value = serde_json::from_str(&status)?;
    ensure!(status["phase"] == "new" && status["watch"]["ready"] == false, "{status:#}");
    let why = status["watch"].to_string();
    ensure!(
        why.contains("no conf yet at /etc/cni/net.d/05-cilium.conflist"),
        "it does not say what is missing: {status:#}"
    );
    machine.run(&["systemctl", "restart", "crossfade-watch", "kubelet"])?;
    ensure_held(&mut machine)
}

/// The image says new; one file from user data says old, and every pod is on the old network though both agents are up.
fn user_data_goes_back_to_the_old_network() -> Result<()> {
    let mut machine = joining(migration()?)?;
    agent(&machine, Network::Old, true)?;
    agent(&machine, Network::New, true)?;
    let mut policy: Value = serde_json::from_str(&machine.read("/usr/lib/crossfade/policy.json")?)?;
    policy["attach"] = Value::from("old");
    machine.write("/etc/crossfade/policy.json", policy.to_string())?;
    machine.boot()?;
    machine.until_pods(2)?;
    machine.ensure_only(Network::Old)?;
    for pod in machine.pods()? {
        ensure!(pod.policies == ["old", "old"], "{pod:?}");
    }
    Ok(())
}
