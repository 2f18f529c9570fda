//! The boot lab itself: what the other tests take for granted.

use anyhow::{Context, Result, ensure};
use lab::boot::Machine;
use lab::boot::world::{self, Network};
use lab::kubelet::{EVENTS, Event, events};
use lab::preflight::{BOOT, CONTAINERD, Need, trial};
use libtest_mimic::Trial;

const NEEDS: &[&[Need]] = &[CONTAINERD, BOOT];

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("a_machine_without_us_runs_pods", NEEDS, a_machine_without_us_runs_pods)]
}

fn a_machine_without_us_runs_pods() -> Result<()> {
    let mut machine = Machine::bare()?;
    machine.write(world::PODS, "one\n")?;
    world::agent(&machine, Network::Old, 0.0, true)?;
    machine.boot()?;
    machine.until("a pod", |machine| {
        Ok(events(&machine.disk(EVENTS))?.iter().any(|event| matches!(event, Event::Pod(_))))
    })?;
    let all = events(&machine.disk(EVENTS))?;
    println!("{all:#?}");
    machine.halt()?;
    ensure!(!machine.journal()?.entries().is_empty());
    let _ = all.first().context("events")?;
    Ok(())
}
