//! The boot lab itself: what the other tests take for granted.

use anyhow::{Context, Result, ensure};
use lab::boot::Machine;
use lab::boot::furniture::{self, Network};
use lab::build::packages;
use lab::host::command::run;
use libtest_mimic::Trial;

use crate::NEEDS;

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        NEEDS;
        a_machine_without_us_runs_pods,
        without_us_pods_are_on_the_wrong_network,
        a_disk_outlives_a_boot_and_run_does_not,
        the_machine_is_of_the_lab_s_suite,
    ]
}

fn a_machine_without_us_runs_pods() -> Result<()> {
    let mut machine = Machine::bare()?;
    machine.write(furniture::PODS, "one\n")?;
    furniture::agent(&machine, Network::Old, 0.0, true)?;
    machine.boot()?;
    machine.until_pods(1)?;
    machine.ensure_only(Network::Old)?;
    ensure!(machine.node()?.is_some_and(|(node, created)| created && node.taints.is_empty()));
    machine.halt()?;
    ensure!(machine.journal()?.says("kubelet.service", "Started"), "{}", machine.journal()?.tail());
    Ok(())
}

/// What Crossfade is for: the old agent comes first, and pods that were meant for the new network are on the old one.
fn without_us_pods_are_on_the_wrong_network() -> Result<()> {
    let mut machine = Machine::bare()?;
    machine.write(furniture::PODS, "one\n")?;
    furniture::agent(&machine, Network::Old, 0.0, true)?;
    furniture::agent(&machine, Network::New, 0.0, false)?;
    machine.boot()?;
    machine.until_pods(1)?;
    ensure!(machine.ensure_only(Network::New).is_err(), "nothing went wrong: {:?}", machine.pods()?);
    Ok(())
}

/// PID 1 is the systemd that was fetched, not that of the machine which builds: by the version that each says by itself.
fn the_machine_is_of_the_lab_s_suite() -> Result<()> {
    let mut machine = Machine::bare()?;
    machine.boot_whole()?;
    let running = machine.run(&["systemctl", "show", "--property=Version", "--value"])?;
    let part = packages::part("systemctl")?;
    let text = run(packages::command(&part).arg("--version"))?;
    // systemd 252 (252.38-1~deb12u1)
    let fetched = text.split(['(', ')']).nth(1).with_context(|| format!("systemctl --version: {text}"))?;
    ensure!(running.trim() == fetched, "{running:?} runs, and {}: {fetched:?}", part.display());
    Ok(())
}

fn a_disk_outlives_a_boot_and_run_does_not() -> Result<()> {
    let mut machine = Machine::bare()?;
    machine.boot_whole()?;
    machine.run(&["sh", "-c", "cat /proc/sys/kernel/random/boot_id >/var/lib/boot; touch /run/here"])?;
    let first = machine.read("/var/lib/boot")?;
    machine.kernel_arguments(&["lab.word"])?;
    machine.reboot()?;
    machine.until("PID 1's answer", |machine| {
        Ok(!machine.ask(&["systemctl", "is-system-running"]).is_empty())
    })?;
    ensure!(machine.look("/run/here")?.is_none(), "/run was kept");
    let second = machine.run(&["cat", "/proc/sys/kernel/random/boot_id"])?;
    ensure!(first != second && !second.is_empty(), "both boots have the id {first}");
    ensure!(machine.run(&["cat", "/proc/cmdline"])? == "quiet lab.word\n");
    Ok(())
}
