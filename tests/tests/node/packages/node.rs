//! Packages on nodes that run: pods, kubelet and the runtime notice nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::boot::Machine;
use lab::boot::furniture::{self, Network};
use lab::build::preflight::{BOOT, CONTAINERD, Need, trial};
use lab::host::command;
use lab::host::scratch::{Scratch, files};
use lab::runtime::cri::{Cri, Sandbox};
use lab::standin::kubelet::Event;
use libtest_mimic::Trial;
use serde_json::json;

use crate::package_manager::{Manager, Place, run};
use crate::release::Build;

const NEEDS: &[&[Need]] = &[CONTAINERD, BOOT, &[Need::Program("dpkg"), Need::Program("rpm")]];
const RECORDS: &str = "/var/lib/crossfade/attachments";
const PLUGIN: &str = "/opt/cni/bin/crossfade";
const OURS: &str = "01-crossfade.conflist";

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("an_extension_from_the_image_boots_a_node", NEEDS, extension),
        trial(
            "switched_off_and_rebooted_the_records_are_closed_and_then_the_package_goes",
            NEEDS,
            switched_off,
        ),
    ];
    for manager in Manager::ALL {
        let named = |name: &str| format!("{name}_by_{}", manager.to_string().replace('.', "_"));
        trials.extend([
            trial(&named("installing_on_a_running_node_changes_nothing"), NEEDS, move || fresh(manager)),
            trial(&named("settings_count_from_the_next_boot_on"), NEEDS, move || configured(manager)),
            trial(&named("an_upgrade_under_running_pods_loses_nothing"), NEEDS, move || upgraded(manager)),
            trial(&named("removal_waits_for_the_last_pod"), NEEDS, move || removed(manager)),
            trial(&named("removed_anyway_pods_keep_what_they_have"), NEEDS, move || removed_anyway(manager)),
        ]);
    }
    trials
}

/// A machine whose old network is up at once, without us and without settings.
fn machine() -> Result<Machine> {
    let machine = Machine::without_package()?;
    machine.write(furniture::PODS, "one\ntwo\n")?;
    furniture::agent(&machine, Network::Old, 0.0, true)?;
    Ok(machine)
}

/// Settings of a node that is to attach its pods to this network.
fn settings(machine: &Machine, conf_dir: &str, attach: &str) -> Result<()> {
    furniture::settings(
        machine,
        &furniture::node_json(conf_dir, json!({})),
        &furniture::policy(attach, "old"),
    )
}

/// Who must not be restarted.
fn processes(machine: &Machine) -> [String; 2] {
    ["kubelet.service", "containerd.service"].map(|unit| machine.show(unit, "MainPID"))
}

/// Restarts kubelet and the runtime, and waits until kubelet was started once more.
fn restart(machine: &mut Machine) -> Result<()> {
    let starts = machine.kubelet_starts()?.len();
    // A gate that says no is tried again: what counts is that kubelet comes.
    machine.run(&["systemctl", "restart", "containerd.service"])?;
    machine.run(&["systemctl", "restart", "--no-block", "kubelet.service"])?;
    machine.until("kubelet's next start", |machine| Ok(machine.kubelet_starts()?.len() > starts))
}

/// Command lines are those of a machine without us.
fn ensure_as_without_us(machine: &Machine) -> Result<()> {
    ensure!(machine.command_line("containerd.service")? == ["/usr/bin/containerd"]);
    let starts = machine.kubelet_starts()?;
    let last = starts.last().context("a start")?;
    ensure!(!last.iter().any(|word| word.contains("node-labels")), "{last:?}");
    Ok(())
}

fn cri(machine: &Machine) -> Result<Cri> {
    Cri::new(&machine.inside("/run/containerd/containerd.sock")?)
}

/// Ends all pods as a drain does.
fn drain(machine: &Machine) -> Result<()> {
    let cri = cri(machine)?;
    for pod in cri.list()? {
        cri.stop(&pod.id)?;
        cri.remove(&pod.id)?;
    }
    Ok(())
}

/// The network of a new pod.
fn probe(machine: &Machine, name: &str) -> Result<Option<Network>> {
    let mut sandbox = Sandbox::new(name);
    sandbox.namespace = "probe".to_owned();
    let cri = cri(machine)?;
    let id = cri.run_sandbox(&sandbox)?;
    let address = cri.status(&id)?.ip.context("an address")?.to_string();
    cri.stop(&id)?;
    cri.remove(&id)?;
    Ok(Network::by_address(&address))
}

/// Every record with its bytes.
fn records(machine: &Machine) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let files = files(&machine.disk(RECORDS))?;
    files.into_iter().map(|path| Ok((path.clone(), fs::read(path)?))).collect()
}

/// Nothing is configured yet: nothing changes, not even with the next boot, and the output says how to begin.
fn fresh(manager: Manager) -> Result<()> {
    let mut machine = machine()?;
    machine.boot()?;
    machine.until_pods(2)?;
    let (before, confs) = (processes(&machine), machine.list(furniture::AGENTS_DIR)?);
    let output = manager.install(&machine, Place::Node, Build::Released)?.done()?;
    ensure!(output.contains("SWITCHED OFF"), "{output}");
    ensure!(processes(&machine) == before && machine.list(furniture::AGENTS_DIR)? == confs);
    ensure!(!machine.disk(PLUGIN).exists() && machine.disk("/etc/crossfade/disabled").is_file());
    for unit in ["crossfade-boot.service", "crossfade-watch.service"] {
        ensure!(
            machine.show(unit, "ActiveState") == "inactive"
                && machine.show(unit, "UnitFileState") == "enabled"
        );
    }
    restart(&mut machine)?;
    ensure_as_without_us(&machine)?;
    machine.reboot()?;
    machine.until_pods(4)?;
    ensure_as_without_us(&machine)?;

    // As it was told.
    settings(&machine, "shared", "old")?;
    fs::remove_file(machine.disk("/etc/crossfade/disabled"))?;
    machine.run(&["systemctl", "daemon-reload"])?;
    machine.run(&["crossfade-bootstrap", "install"])?;
    machine.run(&["systemctl", "restart", "crossfade-boot", "crossfade-watch"])?;
    ensure!(machine.list(furniture::AGENTS_DIR)?.contains(&OURS.to_owned()));
    ensure!(probe(&machine, "after")? == Some(Network::Old));
    restart(&mut machine)
}

/// Settings are there before the package: a restart of kubelet or of the runtime in this boot is as it was, the next boot is ours.
fn configured(manager: Manager) -> Result<()> {
    let mut machine = machine()?;
    settings(&machine, "private", "new")?;
    machine.boot()?;
    machine.until_pods(2)?;
    let output = manager.install(&machine, Place::Node, Build::Released)?.done()?;
    ensure!(!output.contains("SWITCHED OFF") && output.contains("before the next boot"), "{output}");
    restart(&mut machine)?;
    ensure_as_without_us(&machine)?;
    ensure!(probe(&machine, "before")? == Some(Network::Old));

    furniture::agent(&machine, Network::New, 0.0, true)?;
    machine.reboot()?;
    let pods = machine.until_pods(4)?;
    for pod in pods.iter().skip(2) {
        ensure!(
            pod.addresses.iter().all(|address| Network::by_address(address) == Some(Network::New)),
            "{pod:?}"
        );
    }
    ensure!(machine.command_line("containerd.service")? != ["/usr/bin/containerd"]);
    Ok(())
}

/// A node in private mode, from its image on, until the package is gone.
fn upgraded(manager: Manager) -> Result<()> {
    let mut machine = machine()?;
    settings(&machine, "private", "new")?;
    furniture::agent(&machine, Network::New, 0.0, true)?;
    manager.install(&machine, Place::Image, Build::Released)?.done()?;
    machine.boot()?;
    machine.until_pods(2)?;
    machine
        .until("watch", |machine| Ok(machine.show("crossfade-watch.service", "ActiveState") == "active"))?;
    let (before, watch) = (processes(&machine), machine.show("crossfade-watch.service", "MainPID"));
    let (kept, old) = (records(&machine)?, fs::metadata(machine.disk(PLUGIN))?.ino());
    ensure!(kept.len() == 2, "{kept:?}");

    manager.install(&machine, Place::Node, Build::Next)?.done()?;
    ensure!(processes(&machine) == before, "kubelet or the runtime was restarted");
    ensure!(machine.show("crossfade-watch.service", "MainPID") != watch, "watch is the old one");
    ensure!(machine.show("crossfade-watch.service", "ActiveState") == "active");
    ensure!(records(&machine)? == kept, "{:?}", records(&machine)?);
    let next = fs::read(Build::Next.directory().join(".dist/crossfade"))?;
    ensure!(fs::read(machine.disk(PLUGIN))? == next, "the runtime starts the old plugin");
    ensure!(fs::metadata(machine.disk(PLUGIN))?.ino() != old, "it was written over, not renamed");
    ensure!(machine.list("/run/crossfade/net.d")? == [OURS]);

    // The DEL of what the old one attached, and an ADD by the new one; kubelet is let through.
    restart(&mut machine)?;
    manager
        .remove(&machine, Place::Node, &[])?
        .refused(&["2 attachments would lose their DEL", "CROSSFADE_REMOVE_ANYWAY"])?;
    drain(&machine)?;
    ensure!(records(&machine)?.is_empty(), "{:?}", records(&machine)?);
    ensure!(probe(&machine, "after")? == Some(Network::New));

    // The runtime reads our directory still.
    manager.remove(&machine, Place::Node, &[])?.refused(&["touch /etc/crossfade/disabled, reboot"])?;
    ensure!(
        machine.disk("/usr/bin/crossfade-bootstrap").exists()
            && machine.list("/run/crossfade/net.d")? == [OURS]
    );
    machine.write("/etc/crossfade/disabled", "")?;
    machine.reboot()?;
    machine.until_pods(4)?;
    manager.remove(&machine, Place::Node, &[])?.done()?;
    ensure_gone(&mut machine)
}

/// Nothing of ours is left that a boot or a restart would meet.
fn ensure_gone(machine: &mut Machine) -> Result<()> {
    for path in [PLUGIN, "/usr/bin/crossfade-bootstrap", "/usr/libexec/crossfade", "/usr/lib/crossfade"] {
        ensure!(!machine.disk(path).exists(), "{path} is left");
    }
    let units = machine.run(&["systemctl", "list-units", "--all", "--no-legend", "--plain", "crossfade*"])?;
    let loaded = units.lines().any(|line| !line.contains("not-found"));
    ensure!(!loaded, "{units}");
    restart(machine)?;
    ensure_as_without_us(machine)?;
    let failed = machine.run(&["systemctl", "list-units", "--failed", "--no-legend"])?;
    ensure!(failed.trim().is_empty(), "failed: {failed}");
    // Without us the runtime takes the conf that sorts first.
    ensure!(
        probe(machine, "without-us")?
            == machine.list(furniture::AGENTS_DIR)?.first().and_then(|first| {
                Network::ALL.into_iter().find(|network| network.conf().ends_with(first))
            })
    );
    machine.reboot()?;
    let boots = machine.kubelet_starts()?.len();
    machine.until("kubelet's start", |machine| Ok(machine.kubelet_starts()?.len() > boots))?;
    // kubelet's unit waits for no runtime.
    machine.boot_settled()?;
    ensure_as_without_us(machine)
}

/// A node in shared mode whose pods are attached through us.
fn attached(manager: Manager) -> Result<Machine> {
    let mut machine = machine()?;
    settings(&machine, "shared", "old")?;
    manager.install(&machine, Place::Image, Build::Released)?.done()?;
    machine.boot()?;
    machine.until_pods(2)?;
    // The pods may be there before it is.
    machine
        .until("watch", |machine| Ok(machine.show("crossfade-watch.service", "ActiveState") == "active"))?;
    ensure!(records(&machine)?.len() == 2);
    Ok(machine)
}

fn removed(manager: Manager) -> Result<()> {
    let mut machine = attached(manager)?;
    manager
        .remove(&machine, Place::Node, &[])?
        .refused(&["2 attachments would lose their DEL", " eth0 is attached"])?;
    ensure!(machine.list(furniture::AGENTS_DIR)?.contains(&OURS.to_owned()));
    ensure!(machine.show("crossfade-watch.service", "ActiveState") == "active");
    if manager == Manager::Dpkg {
        let state =
            machine.run(&["dpkg-query", "--show", "--showformat=${db:Status-Status}", "crossfade"])?;
        ensure!(state == "installed", "{state}");
    }
    let before = processes(&machine);
    drain(&machine)?;
    manager.remove(&machine, Place::Node, &[])?.done()?;
    ensure!(processes(&machine) == before, "kubelet or the runtime was restarted");
    let confs = machine.list(furniture::AGENTS_DIR)?;
    ensure!(confs == ["10-old.conflist"], "{confs:?}");
    ensure_gone(&mut machine)
}

/// After the reboot the runtime sends the DELs of the pods from before past us: what they had on the other network is the sweep's.
fn switched_off() -> Result<()> {
    let mut machine = machine()?;
    furniture::agent(&machine, Network::New, 0.0, true)?;
    settings(&machine, "private", "both")?;
    Manager::Dpkg.install(&machine, Place::Image, Build::Released)?.done()?;
    machine.boot()?;
    machine.until_pods(2)?;
    ensure!(records(&machine)?.len() == 2);
    machine.write("/etc/crossfade/disabled", "")?;
    machine.reboot()?;
    machine.until_pods(4)?;
    ensure_as_without_us(&machine)?;
    ensure!(records(&machine)?.len() == 2, "the pods of before are on record until a sweep closes them");
    Manager::Dpkg.remove(&machine, Place::Node, &[])?.refused(&["2 attachments would lose their DEL"])?;
    let planned = machine.run(&["crossfade-bootstrap", "unit", "sweep", "--dry-run"])?;
    ensure!(planned.lines().filter(|line| line.starts_with("close ")).count() == 2, "{planned}");
    machine.run(&["crossfade-bootstrap", "unit", "sweep"])?;
    ensure!(records(&machine)?.is_empty(), "{:?}", records(&machine)?);
    Manager::Dpkg.remove(&machine, Place::Node, &[])?.done()?;
    ensure_gone(&mut machine)
}

fn removed_anyway(manager: Manager) -> Result<()> {
    let machine = attached(manager)?;
    let (kept, before) = (records(&machine)?, processes(&machine));
    // A policy that waits for a file that no watch keeps afterwards.
    let mut policy: serde_json::Value = serde_json::from_str(&machine.read("/etc/crossfade/policy.json")?)?;
    policy["networks"]["old"]["ready"] = json!([{ "file": "/run/crossfade/probe/old" }]);
    machine.write("/etc/crossfade/policy.json", policy.to_string())?;
    let output = manager.remove(&machine, Place::Node, &[("CROSSFADE_REMOVE_ANYWAY", "1")])?.done()?;
    ensure!(output.contains("removed anyway") && output.contains("AFTER A REBOOT"), "{output}");
    ensure!(!machine.disk("/usr/bin/crossfade-bootstrap").exists() && machine.disk(PLUGIN).exists());
    ensure!(records(&machine)? == kept && processes(&machine) == before);
    if manager == Manager::Dpkg {
        // What watch has found out.
        machine.run(&["ls", "/run/crossfade/status.json"])?;
        let output = run(&machine, Place::Node, &[], &["dpkg", "--purge", "crossfade"])?.done()?;
        ensure!(output.contains("pods are attached by what is in it"), "{output}");
        machine.run(&["sh", "-ec", "! ls /run/crossfade/status.json"])?;
    }
    drain(&machine)?;
    ensure!(records(&machine)?.is_empty(), "{:?}", records(&machine)?);
    Ok(())
}

/// Flatcar's way: merged early, systemd learns of it by a reload; nothing in /etc enables our units.
///
/// From a directory of what is in the image: there are no loop devices in the machine.
fn extension() -> Result<()> {
    let mut machine = Machine::bare()?;
    let scratch = Scratch::new("extension")?;
    let unpacked = scratch.join("crossfade");
    let mut unsquashfs = Command::new("unsquashfs");
    unsquashfs
        .args(["-quiet", "-no-progress", "-dest"])
        .arg(&unpacked)
        .arg(Build::Released.file("-x86-64.raw")?);
    command::run(&mut unsquashfs)?;
    fs::create_dir_all(machine.disk("/var/lib/extensions"))?;
    command::run(
        Command::new("cp").arg("--archive").arg(&unpacked).arg(machine.disk("/var/lib/extensions")),
    )?;
    settings(&machine, "private", "new")?;
    furniture::agent(&machine, Network::Old, 0.0, true)?;
    furniture::agent(&machine, Network::New, 0.0, true)?;
    machine.write(furniture::PODS, "one\n")?;
    furniture::take_up_extensions(&machine)?;
    machine.boot()?;
    let pods = machine.until_pods(1)?;
    ensure!(Network::by_address(&pods[0].addresses[0]) == Some(Network::New), "{pods:?}");
    ensure!(
        machine
            .events()?
            .iter()
            .any(|event| matches!(event, Event::Registered { node, .. } if !node.taints.is_empty()))
    );
    Ok(())
}
