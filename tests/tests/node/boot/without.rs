//! Machines of a final image: the new network alone, and of us only labels and taints.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::boot::Machine;
use lab::boot::furniture::{self, Network};
use lab::build::dist;
use lab::build::preflight::trial;
use libtest_mimic::Trial;
use serde_json::json;

use crate::{NEEDS, boot_with_pods, migrating};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_final_image_has_labels_and_nothing_else_of_ours", NEEDS, alone),
        trial("a_final_image_over_a_machine_in_shared_mode", NEEDS, || over("shared")),
        trial("a_final_image_over_a_machine_in_private_mode", NEEDS, || over("private")),
        trial("a_running_node_that_becomes_final_keeps_what_is_attached", NEEDS, running),
    ]
}

/// What an image build runs on the machine's disk.
fn bake(machine: &Machine) -> Result<()> {
    let mut bake = Command::new(dist::bootstrap()?);
    bake.args(["image", "bake", "--image", "final", "--root"]).arg(machine.disk("/"));
    bake.arg("--label")
        .arg(format!("{}={}", furniture::LABEL.0, furniture::LABEL.1))
        .args(["--taint", furniture::TAINT]);
    let baked = bake.output().context("starting bake")?;
    ensure!(baked.status.success(), "{}", String::from_utf8_lossy(&baked.stderr));
    Ok(())
}

/// kubelet registers our label and our taint. There is no conf, plugin or record of ours, containerd has no drop-in, and watch was not started.
fn ensure_labels_alone(machine: &mut Machine) -> Result<()> {
    let starts = machine.kubelet_starts()?;
    let last = starts.last().context("kubelet starts")?;
    let ours = [
        format!("--node-labels={}={}", furniture::LABEL.0, furniture::LABEL.1),
        format!("--register-with-taints={}", furniture::TAINT),
    ];
    ensure!(last.ends_with(&ours), "{last:?}");
    ensure!(machine.command_line("containerd.service")? == ["/usr/bin/containerd"]);
    ensure!(!machine.list(furniture::AGENTS_DIR)?.iter().any(|name| name.contains("crossfade")));
    ensure!(!machine.list("/opt/cni/bin")?.iter().any(|name| name == "crossfade"));
    for place in ["attachments", "name", "inventory.json"] {
        ensure!(!machine.disk("/var/lib/crossfade").join(place).exists(), "{place} is there");
    }
    for file in ["runtime.env", "containerd", "net.d", "status.json"] {
        ensure!(!machine.inside("/run/crossfade")?.join(file).exists(), "/run/crossfade/{file} is there");
    }
    let generated = machine.inside("/run/systemd/generator")?.join("containerd.service.d/zz-crossfade.conf");
    ensure!(!generated.exists(), "{} is there", generated.display());
    ensure!(machine.show("crossfade-watch.service", "ActiveState") == "inactive");
    ensure!(
        machine.show("crossfade-watch.service", "ExecMainStartTimestamp").is_empty(),
        "watch was started"
    );
    ensure!(machine.show("crossfade-retract.service", "ConditionResult") == "yes", "nothing is taken back");
    ensure!(machine.show("crossfade-retract.service", "ActiveState") == "active", "nothing is taken back");
    let failed = machine.run(&["systemctl", "list-units", "--failed", "--no-legend"])?;
    ensure!(failed.trim().is_empty(), "failed: {failed}");
    machine.run(&["crossfade-bootstrap", "status", "--wait"]).map(drop)
}

fn alone() -> Result<()> {
    let mut machine = Machine::new()?;
    bake(&machine)?;
    furniture::agent(&machine, Network::New, 0.0, true)?;
    machine.write(furniture::PODS, "one\ntwo\n")?;
    machine.boot()?;
    machine.until_pods(2)?;
    machine.ensure_only(Network::New)?;
    ensure_labels_alone(&mut machine)?;
    machine.reboot()?;
    machine.until_pods(4)?;
    machine.ensure_only(Network::New)?;
    ensure_labels_alone(&mut machine)
}

/// /var and /etc/cni are those of a machine that was migrated; the image is another one.
fn over(conf_dir: &str) -> Result<()> {
    let mut machine = migrating(conf_dir, json!({}))?;
    boot_with_pods(&mut machine)?;
    machine.halt()?;
    let records = machine.disk("/var/lib/crossfade/attachments");
    ensure!(records.is_dir(), "nothing was recorded");
    fs::remove_dir_all(machine.disk("/etc/crossfade"))?;
    fs::remove_file(machine.disk("/etc/systemd/system/multi-user.target.wants").join(Network::Old.unit()))?;
    fs::remove_file(machine.disk(Network::Old.conf()))?;
    bake(&machine)?;
    machine.boot()?;
    machine.open_gate(Network::New)?;
    machine.until_pods(4)?;
    for pod in machine.pods()?.iter().skip(2) {
        ensure!(
            pod.addresses.iter().all(|address| Network::by_address(address) == Some(Network::New)),
            "{pod:?}"
        );
    }
    ensure_labels_alone(&mut machine)?;
    let boots = machine.list("/var/lib/crossfade/set-aside")?;
    let [boot] = boots.as_slice() else { anyhow::bail!("set aside in {boots:?}") };
    let aside = machine.list(format!("/var/lib/crossfade/set-aside/{boot}"))?;
    ensure!(aside.contains(&"attachments".to_owned()) && aside.contains(&"name".to_owned()), "{aside:?}");
    let ledger = machine.read("/var/lib/crossfade/ledger.jsonl")?;
    ensure!(
        !aside.contains(&"ledger.jsonl".to_owned()) && ledger.lines().count() == 2,
        "{aside:?}: {ledger}"
    );
    Ok(())
}

/// A node.json that says none under pods of ours: watch ends, boot refuses, everything stays; the next boot is without us.
fn running() -> Result<()> {
    let mut machine = migrating("shared", json!({}))?;
    boot_with_pods(&mut machine)?;
    machine.write("/etc/crossfade/node.json", furniture::node_json("none", json!({})).to_string())?;
    machine.until("the end of watch", |machine| {
        Ok(machine.inside("/run/crossfade")?.join("without-plugin").exists()
            && machine.show("crossfade-watch.service", "ActiveState") == "inactive")
    })?;
    ensure!(
        machine.run(&["crossfade-bootstrap", "unit", "boot"]).is_err(),
        "boot took away what is attached"
    );
    ensure!(machine.list(furniture::AGENTS_DIR)?.iter().any(|name| name == "01-crossfade.conflist"));
    machine.reboot()?;
    machine.open_gate(Network::New)?;
    machine.until_pods(4)?;
    ensure!(!machine.list(furniture::AGENTS_DIR)?.iter().any(|name| name == "01-crossfade.conflist"));
    Ok(())
}
