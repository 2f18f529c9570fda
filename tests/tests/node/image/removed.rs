//! The package taken off a machine of the migration image by dpkg itself.

use anyhow::{Context, Result, ensure};
use lab::boot::Machine;
use lab::boot::furniture::Network;
use lab::build::preflight::trial;
use libtest_mimic::Trial;

use crate::NEEDS;
use crate::node::{conf, ensure_held, ensure_released, migrating};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("the_package_removed_with_etc_and_var_kept", NEEDS, || without("--remove")),
        trial("the_package_purged", NEEDS, || without("--purge")),
    ]
}

/// Taken off a disk, as one does who mends a node from outside: the next boot is one without us, pods on whatever the agents'
/// directory says, and nothing has failed.
fn without(how: &str) -> Result<()> {
    let mut machine = migrating()?;
    machine.boot()?;
    ensure_held(&mut machine)?;
    ensure_released(&mut machine, 2)?;
    machine.halt()?;
    let removed = machine.chrooted(&["dpkg", how, "crossfade"]).output().context("dpkg")?;
    ensure!(removed.status.success(), "dpkg {how}: {}", String::from_utf8_lossy(&removed.stderr));
    let state = machine.disk("/var/lib/crossfade/attachments").exists();
    ensure!(state == (how == "--remove"), "records there: {state}");
    // Of the two networks the runtime takes the first by name.
    std::fs::remove_file(machine.disk(conf(Network::New)))?;
    machine.boot()?;
    machine.until_pods(4)?;
    for pod in machine.pods()?.iter().skip(2) {
        ensure!(
            pod.addresses.iter().all(|address| Network::by_address(address) == Some(Network::Old)),
            "{pod:?}"
        );
    }
    ensure_no_trace(&mut machine)
}

/// Runtime and kubelet are started as their own units say.
fn ensure_no_trace(machine: &mut Machine) -> Result<()> {
    lab::boot::furniture::ensure_own_commands(machine)?;
    ensure!(!machine.inside("/run/crossfade")?.exists(), "a unit still makes /run/crossfade");
    ensure!(!machine.list("/etc/cni/net.d")?.iter().any(|name| name.contains("crossfade")));
    machine.boot_settled()?;
    crate::node::ensure_nothing_failed(machine)
}
