//! Machines that boot with our units under a real systemd.

mod broken;
mod doctor;
mod expansion;
mod first;
mod harness;
mod off;
mod registration;
mod sealed;
mod seeded;
mod selftest;
mod units;
mod waiting;
mod watched;
mod without;

use std::process::ExitCode;

use anyhow::Result;
use lab::boot::Machine;
use lab::boot::furniture::{self, Network};
use lab::build::preflight::{BOOT, CONTAINERD, Need};
use serde_json::{Value, json};

/// What a machine that boots needs.
pub(crate) const NEEDS: &[&[Need]] = &[CONTAINERD, BOOT];

fn main() -> Result<ExitCode> {
    lab::build::preflight::main(|| {
        let trials = [
            units::trials(),
            harness::trials(),
            expansion::trials(),
            first::trials(),
            broken::trials(),
            doctor::trials(),
            registration::trials(),
            off::trials(),
            watched::trials(),
            waiting::trials(),
            sealed::trials(),
            seeded::trials(),
            selftest::trials(),
            without::trials(),
        ];
        trials.into_iter().flatten().collect()
    })
}

/// A machine that is to attach its two pods to the new network, the old network's agent up at once, the new one's at its gate.
pub(crate) fn migrating(conf_dir: &str, more: Value) -> Result<Machine> {
    let machine = Machine::new()?;
    furniture::settings(&machine, &furniture::node_json(conf_dir, more), &furniture::policy("new", "old"))?;
    furniture::agent(&machine, Network::Old, 0.0, true)?;
    furniture::agent(&machine, Network::New, 0.0, false)?;
    machine.write(furniture::PODS, "one\ntwo\n")?;
    Ok(machine)
}

/// The same in private mode, as images have it.
pub(crate) fn private() -> Result<Machine> {
    migrating("private", json!({}))
}

/// Waits until everything of this boot is up but the new network's agent.
pub(crate) fn until_up(machine: &mut Machine) -> Result<()> {
    machine.until_up(&Network::Old.conf())
}

/// Boots a machine of [`migrating`], lets the new network's agent come up when everything else is, and waits for both pods.
pub(crate) fn boot_with_pods(machine: &mut Machine) -> Result<()> {
    machine.boot()?;
    until_up(machine)?;
    machine.open_gate(Network::New)?;
    machine.until_pods(2).map(drop)
}

/// The old network is ready and kubelet runs, yet no pod is even tried.
pub(crate) fn ensure_held(machine: &mut Machine) -> Result<()> {
    machine.ensure_held(&Network::Old.conf())
}
