//! Agents in every order: pods wait for the network that the policy names, and for no other.

use anyhow::{Result, ensure};
use lab::boot::Machine;
use lab::boot::furniture::{self, Network};
use lab::build::preflight::trial;
use libtest_mimic::Trial;
use serde_json::json;

use crate::{NEEDS, boot_with_pods, ensure_held, ensure_only, private};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("the_old_agent_first", NEEDS, old_first),
        trial("the_new_agent_first", NEEDS, new_first),
        trial("an_agent_that_never_comes", NEEDS, never),
        trial("both_networks_are_waited_for", NEEDS, both),
        trial("the_directory_s_war_is_not_ours_in_private_mode", NEEDS, war),
    ]
}

fn old_first() -> Result<()> {
    let mut machine = private()?;
    machine.boot()?;
    ensure_held(&mut machine)?;
    machine.open_gate(Network::New)?;
    machine.until_pods(2)?;
    ensure_only(&machine, Network::New)
}

fn new_first() -> Result<()> {
    let machine = Machine::new()?;
    furniture::settings(
        &machine,
        &furniture::node_json("private", json!({})),
        &furniture::policy("new", "old"),
    )?;
    furniture::agent(&machine, Network::Old, 0.0, false)?;
    furniture::agent(&machine, Network::New, 0.0, true)?;
    machine.write(furniture::PODS, "one\ntwo\n")?;
    let mut machine = machine;
    machine.boot()?;
    machine.until_pods(2)?;
    machine.open_gate(Network::Old)?;
    ensure_only(&machine, Network::New)
}

/// Held, with kubelet up and talking, for as long as it lasts; here until a whole boot is over.
fn never() -> Result<()> {
    let mut machine = private()?;
    machine.boot_whole()?;
    ensure_held(&mut machine)?;
    machine.run(&["systemctl", "restart", "crossfade-watch", "kubelet"])?;
    ensure_held(&mut machine)
}

fn both() -> Result<()> {
    let mut machine = private()?;
    machine.write("/etc/crossfade/policy.json", furniture::policy("both", "old").to_string())?;
    machine.boot()?;
    ensure_held(&mut machine)?;
    machine.open_gate(Network::New)?;
    machine.until_pods(2)?;
    ensure_only(&machine, Network::Old)
}

/// An agent that renames every conf but its own away, and a directory that is replaced: the runtime does not look there.
fn war() -> Result<()> {
    let mut machine = private()?;
    boot_with_pods(&mut machine)?;
    let ours = machine.look("/run/crossfade/net.d/01-crossfade.conflist")?;
    machine.run(&[
        "sh",
        "-ec",
        "cd /etc/cni; cp -a net.d other; mv net.d/10-old.conflist net.d/10-old.conflist.cilium_bak; \
         mv net.d gone; mv other net.d; echo x >net.d/00-first.conflist",
    ])?;
    machine.write(furniture::PODS, "one\ntwo\nthree\n")?;
    machine.run(&["systemctl", "restart", "kubelet"])?;
    machine.until_pods(3)?;
    ensure_only(&machine, Network::New)?;
    ensure!(machine.look("/run/crossfade/net.d/01-crossfade.conflist")? == ours);
    ensure!(machine.list("/run/crossfade/net.d")? == ["01-crossfade.conflist"]);
    Ok(())
}
