//! Machines without us: switched off, package removed, not yet installed.

use std::fs;

use anyhow::{Result, ensure};
use lab::boot::furniture::{self, Network};
use lab::boot::{Kit, Machine};
use libtest_mimic::Trial;
use serde_json::json;

use crate::{NEEDS, boot_with_pods, migrating, private, until_up};

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        NEEDS;
        switched_off_by_a_file,
        switched_off_by_the_kernel_s_command_line,
        switched_off_while_it_runs,
        a_package_that_was_removed_leaves_no_trace,
        a_system_extension_and_a_reload,
    ]
}

/// A booted machine of which runtime and kubelet are exactly as without us, its pods on whatever the agents' directory says.
fn ensure_as_without_us(machine: &mut Machine, boots: usize) -> Result<()> {
    machine.until_pods(boots)?;
    furniture::ensure_own_commands(machine)?;
    ensure!(!machine.list(furniture::AGENTS_DIR)?.iter().any(|name| name.contains("crossfade")));
    for file in ["kubelet.env", "runtime.env", "containerd", "net.d/01-crossfade.conflist"] {
        ensure!(!machine.inside("/run/crossfade")?.join(file).exists(), "/run/crossfade/{file} is there");
    }
    for unit in ["kubelet", "containerd"] {
        let generated =
            machine.inside("/run/systemd/generator")?.join(format!("{unit}.service.d/zz-crossfade.conf"));
        ensure!(!generated.exists(), "{} is there", generated.display());
    }
    // Not between two starts either: its conditions hold it.
    ensure!(machine.show("crossfade-watch.service", "ActiveState") == "inactive");
    // It takes back what an earlier boot said on the Node; without an API server it goes on trying.
    let retract = |name: &str| machine.show("crossfade-retract.service", name);
    let switched_off = machine.show("crossfade-boot.service", "LoadState") == "loaded";
    ensure!(!switched_off || retract("ConditionResult") == "yes", "{}", retract("ConditionResult"));
    ensure!(!switched_off || retract("ActiveState") == "active", "{}", retract("ActiveState"));
    let failed = machine.run(&["systemctl", "list-units", "--failed", "--no-legend"])?;
    ensure!(failed.trim().is_empty(), "failed: {failed}");
    Ok(())
}

/// In both modes; in shared mode our conf of the boot before is on the disk.
fn switched_off_by_a_file() -> Result<()> {
    for conf_dir in ["shared", "private"] {
        let mut machine = migrating(conf_dir, json!({}))?;
        machine.boot()?;
        until_up(&mut machine)?;
        machine.write("/etc/crossfade/disabled", "")?;
        machine.reboot()?;
        ensure_as_without_us(&mut machine, 2)?;
        machine.ensure_only(Network::Old)?;
    }
    Ok(())
}

fn switched_off_by_the_kernel_s_command_line() -> Result<()> {
    let mut machine = private()?;
    machine.kernel_arguments(&["crossfade.disable"])?;
    machine.boot()?;
    ensure_as_without_us(&mut machine, 2)?;
    machine.ensure_only(Network::Old)?;
    // The next boot from the menu is one with us again.
    machine.kernel_arguments(&[])?;
    machine.reboot()?;
    crate::ensure_held(&mut machine)
}

/// In shared mode a running watch takes our conf away as soon as the file appears, and ends for good.
fn switched_off_while_it_runs() -> Result<()> {
    let mut machine = migrating("shared", json!({}))?;
    machine.boot()?;
    until_up(&mut machine)?;
    machine.write("/etc/crossfade/disabled", "")?;
    machine.until("the end of watch", |machine| {
        Ok(machine.show("crossfade-watch.service", "ActiveState") == "inactive")
    })?;
    let confs = machine.list(furniture::AGENTS_DIR)?;
    ensure!(confs == ["10-old.conflist"], "{confs:?}");
    machine.until_pods(2)?;
    machine.ensure_only(Network::Old)
}

/// /etc and /var are as we left them; what a package manager would remove is gone.
fn a_package_that_was_removed_leaves_no_trace() -> Result<()> {
    let mut machine = private()?;
    boot_with_pods(&mut machine)?;
    machine.halt()?;
    machine.remove_package()?;
    // Of the two networks the runtime takes the one that it would take without us: the first by name.
    fs::remove_file(machine.disk(Network::New.conf()))?;
    machine.boot()?;
    ensure_as_without_us(&mut machine, 4)?;
    for pod in machine.pods()?.iter().skip(2) {
        ensure!(
            pod.addresses.iter().all(|address| Network::by_address(address) == Some(Network::Old)),
            "{pod:?}"
        );
    }
    ensure!(!machine.inside("/run/crossfade")?.exists(), "a unit still makes /run/crossfade");
    Ok(())
}

/// Flatcar's way: the extension is merged early, systemd learns of it by a reload; nothing in /etc enables our units.
fn a_system_extension_and_a_reload() -> Result<()> {
    let mut machine = Machine::bare()?;
    let extension = machine.disk("/var/lib/extensions/crossfade");
    Kit::lay_out(&extension)?;
    let release = extension.join("usr/lib/extension-release.d");
    fs::create_dir_all(&release)?;
    fs::write(release.join("extension-release.crossfade"), "ID=_any\n")?;
    furniture::settings(
        &machine,
        &furniture::node_json("private", json!({})),
        &furniture::policy("new", "old"),
    )?;
    furniture::agent(&machine, Network::Old, 0.0, true)?;
    furniture::agent(&machine, Network::New, 0.0, false)?;
    machine.write(furniture::PODS, "one\n")?;
    furniture::take_up_extensions(&machine)?;
    machine.boot()?;
    crate::ensure_held(&mut machine)?;
    machine.open_gate(Network::New)?;
    machine.until_pods(1)?;
    machine.ensure_only(Network::New)
}
