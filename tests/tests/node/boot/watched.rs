//! Pods while watch is killed or hangs, and our conf while another program removes it.

use anyhow::{Result, ensure};
use lab::boot::Machine;
use lab::boot::furniture::{self, Network};
use lab::standin::kubelet::Event;
use libtest_mimic::Trial;
use serde_json::json;

use crate::{NEEDS, boot_with_pods, migrating, private};

const WATCH: &str = "crossfade-watch.service";

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        NEEDS;
        a_watch_that_is_killed_comes_back,
        a_watch_that_hangs_is_restarted,
        a_conf_that_is_taken_in_shared_mode_comes_back_and_is_not_fought_for,
        a_terminated_watch_comes_back,
        a_plugin_that_is_gone_comes_back_by_a_unit_of_its_own,
        a_proof_that_still_runs_when_watch_comes_back_is_begun_anew,
        a_network_is_proven_in_a_unit_of_its_own_before_pods_get_it,
    ]
}

/// A machine with its pods, watch's watchdog quick.
fn running() -> Result<Machine> {
    let mut machine = private()?;
    machine
        .write("/etc/systemd/system/crossfade-watch.service.d/95-lab.conf", "[Service]\nWatchdogSec=2s\n")?;
    boot_with_pods(&mut machine)?;
    Ok(machine)
}

/// Sends watch a signal and waits until another process does its work; nothing else may have changed.
fn replaced_after(signal: &str) -> Result<Machine> {
    let mut machine = running()?;
    let before = machine.show(WATCH, "MainPID");
    let networks = network_events(&machine)?;
    machine.run(&["kill", signal, &before])?;
    machine.until("another watch", |machine| {
        let pid = machine.show(WATCH, "MainPID");
        Ok(pid != before && pid != "0" && machine.show(WATCH, "ActiveState") == "active")
    })?;
    ensure!(network_events(&machine)? == networks, "the runtime's network flapped: {:?}", machine.events()?);
    ensure!(machine.list("/run/crossfade/net.d")? == ["01-crossfade.conflist"]);
    // A new pod, too.
    machine.write(furniture::PODS, "one\ntwo\nthree\n")?;
    machine.run(&["systemctl", "restart", "kubelet"])?;
    machine.until_pods(3)?;
    machine.ensure_only(Network::New)?;
    Ok(machine)
}

fn network_events(machine: &Machine) -> Result<usize> {
    Ok(machine.events()?.iter().filter(|event| matches!(event, Event::Network { .. })).count())
}

fn a_watch_that_is_killed_comes_back() -> Result<()> {
    replaced_after("-KILL").map(drop)
}

fn a_terminated_watch_comes_back() -> Result<()> {
    replaced_after("-TERM").map(drop)
}

fn a_watch_that_hangs_is_restarted() -> Result<()> {
    let machine = replaced_after("-STOP")?;
    ensure!(machine.journal()?.says(WATCH, "Watchdog timeout"), "{}", machine.journal()?.tail());
    Ok(())
}

/// A tool replaces the runtime's plugins as a whole, as an upgrade of k3s does; watch itself may not write there.
fn a_plugin_that_is_gone_comes_back_by_a_unit_of_its_own() -> Result<()> {
    let mut machine = private()?;
    boot_with_pods(&mut machine)?;
    let plugin = "/opt/cni/bin/crossfade";
    let packaged = machine.run(&["sha256sum", "/usr/libexec/crossfade/crossfade"])?;
    machine.run(&["rm", plugin])?;
    machine.until("the plugin", |machine| Ok(machine.ask(&["ls", plugin]).contains(plugin)))?;
    let again = machine.run(&["sha256sum", plugin])?;
    ensure!(again.split(' ').next() == packaged.split(' ').next(), "{again} {packaged}");
    ensure!(machine.run(&["stat", "-c", "%a %U", plugin])?.trim() == "755 root");
    machine.write(furniture::PODS, "one\ntwo\nthree\n")?;
    machine.run(&["systemctl", "restart", "kubelet"])?;
    machine.until_pods(3)?;
    machine.ensure_only(Network::New)?;
    let journal = machine.journal()?;
    ensure!(journal.says("crossfade-plugin.service", ""), "{}", journal.tail());
    Ok(())
}

/// Two restarts of `watch` within seconds: the unit of the earlier one's proof is still there.
fn a_proof_that_still_runs_when_watch_comes_back_is_begun_anew() -> Result<()> {
    let mut machine = proving()?;
    let unit = "crossfade-prove-new";
    machine.run(&["systemctl", "stop", WATCH])?;
    machine.run(&["rm", "/run/crossfade/proof/new.json"])?;
    machine.run(&["systemd-run", "--collect", "--quiet", &format!("--unit={unit}"), "sleep", "infinity"])?;
    machine.run(&["systemctl", "start", WATCH])?;
    machine.until("the proof", |machine| Ok(machine.look("/run/crossfade/proof/new.json")?.is_some()))?;
    ensure!(machine.show(&format!("{unit}.service"), "ActiveState") != "failed");
    let journal = machine.journal()?;
    // What `watch` starts does not speak for it.
    ensure!(!journal.says(WATCH, "reception only permitted"), "{}", journal.tail());
    Ok(())
}

/// The sandbox of watch lets it ask systemd for a unit, and that unit may do what a delegate needs.
fn a_network_is_proven_in_a_unit_of_its_own_before_pods_get_it() -> Result<()> {
    let machine = proving()?;
    let proof: serde_json::Value =
        serde_json::from_str(&machine.run(&["cat", "/run/crossfade/proof/new.json"])?)?;
    ensure!(proof["network"] == "new" && proof.get("failed").is_none(), "{proof}");
    let exchanges = proof["packets"]["exchanges"].as_array().map_or(0, Vec::len);
    ensure!(proof["packets"]["reason"] == "passed" && exchanges > 0, "{proof}");
    let status = machine.run(&["cat", "/run/crossfade/status.json"])?;
    ensure!(!status.contains("by its probes alone"), "{status}");
    let journal = machine.journal()?;
    ensure!(journal.says("crossfade-prove-new.service", ""), "{}", journal.tail());
    Ok(())
}

/// A machine that has proven its new network, and whose pods are on it.
fn proving() -> Result<Machine> {
    let mut machine = Machine::new()?;
    let mut policy = furniture::policy("new", "old");
    policy["networks"]["new"]["profile"] = json!("flannel");
    furniture::settings(&machine, &furniture::node_json("private", json!({ "proof": "packet" })), &policy)?;
    furniture::agent(&machine, Network::Old, 0.0, true)?;
    furniture::agent(&machine, Network::New, 0.0, true)?;
    machine.write(furniture::PODS, "one\ntwo\n")?;
    machine.boot()?;
    machine.until_pods(2)?;
    machine.ensure_only(Network::New)?;
    Ok(machine)
}

fn a_conf_that_is_taken_in_shared_mode_comes_back_and_is_not_fought_for() -> Result<()> {
    let mut machine = migrating("shared", json!({}))?;
    boot_with_pods(&mut machine)?;
    let path = format!("{}/01-crossfade.conflist", furniture::AGENTS_DIR);
    let ours = machine.look(&path)?;
    let steal = |machine: &Machine, theft: &str| machine.run(&["sh", "-ec", theft, "theft", &path]).map(drop);
    for theft in ["rm $1", "echo x >$1.tmp; mv $1.tmp $1"] {
        steal(&machine, theft)?;
        machine.until("our conf", |machine| Ok(machine.look(&path)? == ours))?;
    }
    machine.write(furniture::PODS, "one\ntwo\nthree\n")?;
    machine.run(&["systemctl", "restart", "kubelet"])?;
    machine.until_pods(3)?;
    machine.ensure_only(Network::New)?;
    // The third time within a minute is a war, and there are no wars.
    steal(&machine, "mv $1 $1.cilium_bak")?;
    machine.until("the name of who takes it", |machine| {
        Ok(machine.look("/run/crossfade/status.json")?.is_some_and(|status| status.contains("ConfContended")))
    })?;
    ensure!(machine.look(&path)?.is_none(), "it was fought for");
    Ok(())
}
