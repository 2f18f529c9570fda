//! Boots as they should be: the first one, the next one, one of a clone.

use std::fs;

use anyhow::{Result, ensure};
use lab::boot::Machine;
use lab::boot::furniture::{self, Network};
use libtest_mimic::Trial;
use serde_json::json;

use crate::{NEEDS, boot_with_pods, ensure_held, migrating, private, until_up};

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        NEEDS;
        a_first_boot_in_private_mode,
        a_first_boot_in_shared_mode,
        a_reboot_holds_pods_anew,
        a_plug_that_is_pulled_leaves_a_node_that_boots,
        a_clone_is_told_from_its_original,
        a_conf_of_a_stranger_is_set_aside_in_shared_mode_only,
        a_clock_that_was_set_back_changes_nothing,
    ]
}

/// A boot of this kind holds pods until the new network's agent is up; that many pods are there then, on that network alone.
fn held_then_new(machine: &mut Machine, kind: &str, pods: usize) -> Result<()> {
    ensure_held(machine)?;
    ensure!(machine.boot_kind()? == kind, "{}", machine.boot_kind()?);
    machine.open_gate(Network::New)?;
    machine.until_pods(pods)?;
    machine.ensure_only(Network::New)
}

fn a_first_boot_in_private_mode() -> Result<()> {
    let mut machine = private()?;
    machine.boot()?;
    held_then_new(&mut machine, "first", 2)?;
    let Some((node, true)) = machine.node()? else {
        anyhow::bail!("no Node was made: {:?}", machine.events()?);
    };
    ensure!(node.labels.get(furniture::LABEL.0).map(String::as_str) == Some(furniture::LABEL.1), "{node:?}");
    ensure!(node.taints == [furniture::TAINT], "{node:?}");
    // Our only file is the conf in the runtime's directory: none is in the agents' directory, in containerd's configuration or among the leases.
    ensure!(machine.list("/run/crossfade/net.d")? == ["01-crossfade.conflist"]);
    let agents = machine.list(furniture::AGENTS_DIR)?;
    ensure!(agents == ["10-new.conflist", "10-old.conflist"], "{agents:?}");
    ensure!(machine.list("/etc/containerd")? == ["config.toml"]);
    let leases = machine.list("/var/lib/cni")?;
    ensure!(leases.iter().all(|name| !name.contains("crossfade")), "{leases:?}");
    ensure!(machine.show("crossfade-watch.service", "ActiveState") == "active");
    let failed = machine.run(&["systemctl", "list-units", "--failed", "--no-legend"])?;
    ensure!(failed.trim().is_empty(), "failed: {failed}");
    machine.halt()
}

fn a_first_boot_in_shared_mode() -> Result<()> {
    let mut machine = migrating("shared", json!({}))?;
    machine.boot()?;
    until_up(&mut machine)?;
    // The conf is there from the first moment; the shim itself refuses what is not ready.
    machine.until("a pod that is refused", |machine| Ok(machine.attempts()? > 0))?;
    ensure!(machine.pods()?.is_empty(), "{:?}", machine.pods()?);
    machine.open_gate(Network::New)?;
    machine.until_pods(2)?;
    machine.ensure_only(Network::New)?;
    let confs = machine.list(furniture::AGENTS_DIR)?;
    ensure!(confs == ["01-crossfade.conflist", "10-new.conflist", "10-old.conflist"], "{confs:?}");
    let containerd = machine.command_line("containerd.service")?;
    ensure!(containerd == ["/usr/bin/containerd"], "{containerd:?}");
    Ok(())
}

fn a_reboot_holds_pods_anew() -> Result<()> {
    let mut machine = private()?;
    boot_with_pods(&mut machine)?;
    machine.reboot()?;
    held_then_new(&mut machine, "reboot", 4)?;
    // The Node of the first boot: nothing that kubelet says makes its taints come back.
    let node = machine.node()?;
    ensure!(node.is_some_and(|(_, created)| !created), "a second Node");
    let starts = machine.kubelet_starts()?;
    ensure!(starts.len() == 2 && starts[0] == starts[1], "{starts:?}");
    Ok(())
}

fn a_plug_that_is_pulled_leaves_a_node_that_boots() -> Result<()> {
    let mut machine = private()?;
    boot_with_pods(&mut machine)?;
    machine.crash();
    machine.boot()?;
    held_then_new(&mut machine, "reboot", 4)
}

/// An image that was made of a machine that had run, records of its pods and all.
fn a_clone_is_told_from_its_original() -> Result<()> {
    let mut machine = private()?;
    boot_with_pods(&mut machine)?;
    machine.crash();
    let records = fs::read_dir(machine.disk("/var/lib/crossfade/attachments"))?.count();
    ensure!(records > 0, "the original leaves no records");
    machine.write("/etc/machine-id", "22222222222222222222222222222222\n")?;
    fs::remove_dir_all(machine.disk("/var/lib/lab-api"))?;
    machine.boot()?;
    ensure_held(&mut machine)?;
    ensure!(machine.boot_kind()? == "clone", "{}", machine.boot_kind()?);
    let aside = lab::host::scratch::files(&machine.disk("/var/lib/crossfade/set-aside"))?;
    ensure!(!aside.is_empty(), "the original's records are not set aside");
    machine.open_gate(Network::New)?;
    machine.until_pods(4)?;
    machine.ensure_only(Network::New)?;
    ensure!(machine.node()?.is_some_and(|(node, created)| created && node.taints == [furniture::TAINT]));
    Ok(())
}

const STRANGER: &str = "/etc/cni/net.d/05-cilium.conflist";

fn a_conf_of_a_stranger_is_set_aside_in_shared_mode_only() -> Result<()> {
    let conflist = json!({ "cniVersion": "1.0.0", "name": "cilium", "plugins": [{ "type": "cilium-cni" }] });
    for (conf_dir, stays) in [("shared", false), ("private", true)] {
        let mut machine = migrating(conf_dir, json!({}))?;
        machine.write(STRANGER, conflist.to_string())?;
        machine.boot()?;
        until_up(&mut machine)?;
        ensure!(
            machine.look(STRANGER)?.is_some() == stays,
            "{conf_dir}: {:?}",
            machine.list(furniture::AGENTS_DIR)?
        );
        let aside = lab::host::scratch::files(&machine.disk("/var/lib/crossfade/set-aside"))?;
        ensure!(aside.is_empty() == stays, "{conf_dir}: {aside:?}");
        machine.open_gate(Network::New)?;
        machine.until_pods(2)?;
        machine.ensure_only(Network::New)?;
    }
    Ok(())
}

/// Everything on the disk is ten years younger than the clock says, as after a dead battery.
fn a_clock_that_was_set_back_changes_nothing() -> Result<()> {
    let mut machine = private()?;
    boot_with_pods(&mut machine)?;
    machine.crash();
    age(&machine, "2036-01-01")?;
    machine.boot()?;
    held_then_new(&mut machine, "reboot", 4)
}

fn age(machine: &Machine, date: &str) -> Result<()> {
    let mut find = std::process::Command::new("find");
    for place in ["/etc/crossfade", "/etc/cni", "/var/lib/crossfade", "/var/lib/cni", "/opt/cni"] {
        find.arg(machine.disk(place));
    }
    find.args(["-exec", "touch", "--no-dereference", "--date", date, "{}", "+"]);
    ensure!(find.status()?.success(), "touch failed");
    Ok(())
}
