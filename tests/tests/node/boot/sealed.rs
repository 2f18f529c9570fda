//! A machine that was used, sealed, and booted as the machines of its image are.

use std::fs;

use anyhow::{Context, Result, ensure};
use lab::boot::Machine;
use lab::boot::furniture::{self, Network};
use lab::runtime::cri::Cri;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::{NEEDS, boot_with_pods, ensure_held, private};

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        NEEDS;
        a_used_machine_is_sealed_once_nothing_of_it_lives_and_boots_as_a_new_one,
    ]
}

/// `seal` inside the machine: its exit status, and what it says.
fn seal(machine: &Machine, option: &[&str]) -> Result<(Option<i32>, Value)> {
    let mut command = machine.command(&["crossfade-bootstrap", "image", "seal", "--output", "json"])?;
    let output = command.args(option).output()?;
    let text = serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))?;
    Ok((output.status.code(), text))
}

fn paths(text: &Value) -> Vec<&str> {
    let findings = text["findings"].as_array().into_iter().flatten();
    findings.filter_map(|finding| finding["path"].as_str()).collect()
}

fn a_used_machine_is_sealed_once_nothing_of_it_lives_and_boots_as_a_new_one() -> Result<()> {
    let mut machine = private()?;
    // The first boot of an image enables what presets say, and the lab's /usr has units of the machine underneath.
    machine.write("/etc/systemd/system-preset/99-lab.preset", "disable *\n")?;
    boot_with_pods(&mut machine)?;

    // Everything lives: all of it is said, and nothing is touched.
    let leases = machine.list("/var/lib/cni/networks/new")?;
    let (status, text) = seal(&machine, &[])?;
    let actual = paths(&text);
    for path in ["kubelet.service", "crossfade-watch.service", "/var/lib/crossfade/attachments"] {
        ensure!(actual.contains(&path), "{path} is not refused: {text}");
    }
    let sandboxes = "/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/";
    ensure!(actual.iter().filter(|path| path.starts_with(sandboxes)).count() == 2, "{text}");
    ensure!(status == Some(3) && text["sealed"] == false, "{text}");
    ensure!(!leases.is_empty() && machine.list("/var/lib/cni/networks/new")? == leases, "{leases:?}");

    // What the findings say is done; then it is sealed, and stays so.
    machine.run(&["systemctl", "stop", "kubelet.service"])?;
    let runtime = Cri::new(&machine.inside("/run/containerd/containerd.sock")?)?;
    for sandbox in runtime.list()? {
        runtime.stop(&sandbox.id)?;
        runtime.remove(&sandbox.id)?;
    }
    machine.run(&["systemctl", "stop", "crossfade-watch.service", "containerd.service"])?;
    let (status, text) = seal(&machine, &["--check"])?;
    ensure!(status == Some(3) && paths(&text).is_empty(), "{text}");
    let (status, text) = seal(&machine, &[])?;
    ensure!(status == Some(0) && text["sealed"] == true, "{text}");
    let (status, text) = seal(&machine, &["--check"])?;
    ensure!(status == Some(0) && text["changes"].as_array().is_some_and(Vec::is_empty), "{text}");
    machine.halt()?;
    ensure!(machine.read("/etc/machine-id")?.is_empty());
    ensure!(lab::host::scratch::files(&machine.disk("/var/lib/crossfade"))?.is_empty(), "state is left");

    // A node of this image: the lab's API server does not know it, and its agents write their confs themselves.
    fs::remove_dir_all(machine.disk("/var/lib/lab-api"))?;
    fs::remove_dir_all(machine.disk(furniture::AGENTS_DIR))?;
    machine.boot()?;
    ensure_held(&mut machine)?;
    ensure!(machine.boot_kind()? == "first", "{}", machine.boot_kind()?);
    let id = machine.read("/etc/machine-id")?;
    ensure!(id.trim().len() == 32 && !id.starts_with("1111"), "the machine's id is {id:?}");
    machine.open_gate(Network::New)?;
    machine.until_pods(4)?;
    machine.ensure_only(Network::New)?;
    ensure!(machine.node()?.is_some_and(|(node, created)| created && node.taints == [furniture::TAINT]));
    machine.halt()
}
