//! Boots with something wrong: kubelet waits, says why, and goes on when it is mended.

use std::fs;

use anyhow::{Result, ensure};
use lab::boot::Machine;
use lab::boot::furniture::{self, Network};
use lab::build::preflight::trial;
use libtest_mimic::Trial;
use serde_json::json;

use crate::{NEEDS, boot_with_pods, migrating, private, until_up};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_bad_node_json_holds_kubelet_until_it_is_mended", NEEDS, || {
            held_by(
                "crossfade-boot.service",
                "/etc/crossfade/node.json",
                r#"{"version":1,"lables":{}}"#,
                "lables",
            )
        }),
        trial("a_bad_node_json_holds_no_runtime_in_shared_mode", NEEDS, shared_runtime_starts),
        trial("a_bad_policy_holds_kubelet_until_it_is_mended", NEEDS, || {
            held_by("kubelet.service", "/etc/crossfade/policy.json", "{", "policy.json")
        }),
        trial("an_absent_policy_holds_kubelet", NEEDS, absent_policy),
        trial("a_boot_that_fails_twice_heals", NEEDS, fails_twice),
        trial("a_gate_that_gives_up_says_so_with_a_taint", NEEDS, gives_up),
        trial("a_read_only_etc_is_no_obstacle_in_private_mode", NEEDS, read_only_etc),
    ]
}

/// Waits until these words and status 78 of a unit are in the journal, and kubelet is held back.
fn until_refused(machine: &mut Machine, unit: &str, words: &str) -> Result<()> {
    machine.until("a refusal", |machine| {
        let journal = machine.journal()?;
        let output = journal.messages_of("crossfade-bootstrap").iter().any(|message| message.contains(words));
        Ok(output && journal.says(unit, "status=78"))
    })?;
    machine.until("kubelet held back", |machine| {
        Ok(machine.show("kubelet.service", "ActiveState") == "activating")
    })?;
    ensure!(machine.kubelet_starts()?.is_empty(), "kubelet was started: {:?}", machine.events()?);
    Ok(())
}

/// `unit` is one that says so at once: a gate waits for a mended node.json a minute, since it cannot read for how long.
fn held_by(unit: &str, file: &str, content: &str, words: &str) -> Result<()> {
    let mut machine = private()?;
    let good = machine.read(file)?;
    machine.write(file, content)?;
    machine.boot()?;
    until_refused(&mut machine, unit, words)?;
    // Repaired by a person who writes the file alone, and restarts no unit.
    machine.write(file, good)?;
    until_up(&mut machine)?;
    machine.open_gate(Network::New)?;
    machine.until_pods(2)?;
    machine.ensure_only(Network::New)
}

/// Of node.json nothing concerns the runtime in shared mode, so pods that live are served; a new one waits for kubelet, which says why.
fn shared_runtime_starts() -> Result<()> {
    let file = "/etc/crossfade/node.json";
    let mut machine = migrating("shared", json!({}))?;
    boot_with_pods(&mut machine)?;
    let good = machine.read(file)?;
    machine.write(file, r#"{"version":1,"lables":{}}"#)?;
    machine.reboot()?;
    let starts = machine.kubelet_starts()?.len();
    machine
        .until("the runtime", |machine| Ok(machine.show("containerd.service", "ActiveState") == "active"))?;
    machine.until("kubelet held back", |machine| {
        Ok(machine.show("kubelet.service", "ActiveState") == "activating")
    })?;
    ensure!(machine.kubelet_starts()?.len() == starts, "kubelet was started: {:?}", machine.events()?);
    machine.write(file, good)?;
    until_up(&mut machine)?;
    machine.open_gate(Network::New)?;
    machine.until_pods(4)?;
    machine.ensure_only(Network::New)
}

fn absent_policy() -> Result<()> {
    let mut machine = private()?;
    fs::remove_file(machine.disk("/etc/crossfade/policy.json"))?;
    machine.boot()?;
    until_refused(&mut machine, "kubelet.service", "policy.json")
}

fn fails_twice() -> Result<()> {
    let mut machine = private()?;
    machine.script(
        "/usr/lib/lab/boot",
        "#!/bin/sh\necho x >>/run/lab-tries\n[ \"$(wc -l </run/lab-tries)\" -gt 2 ] || exit 1\nexec crossfade-bootstrap unit boot\n",
    )?;
    machine.write(
        "/etc/systemd/system/crossfade-boot.service.d/10-fails.conf",
        "[Service]\nExecStart=\nExecStart=/usr/lib/lab/boot\n",
    )?;
    machine.boot()?;
    until_up(&mut machine)?;
    ensure!(machine.look("/run/lab-tries")?.is_some_and(|tries| tries.lines().count() == 3));
    ensure!(machine.show("crossfade-boot.service", "ActiveState") == "active");
    machine.open_gate(Network::New)?;
    machine.until_pods(2)?;
    machine.ensure_only(Network::New)
}

fn gives_up() -> Result<()> {
    let mut machine = migrating("private", json!({ "gate": { "trySeconds": 1, "giveUpSeconds": 1 } }))?;
    machine.write("/etc/crossfade/policy.json", "{")?;
    machine.boot()?;
    machine.until("a registered Node", |machine| Ok(machine.node()?.is_some()))?;
    let taints = machine.node()?.map(|(node, _)| node.taints).unwrap_or_default();
    ensure!(
        taints.iter().any(|taint| taint.starts_with("crossfade/unfit=") && taint.ends_with(":NoSchedule")),
        "{taints:?}"
    );
    ensure!(taints.contains(&furniture::TAINT.to_owned()), "{taints:?}");
    ensure!(machine.network_ready()? != Some(true), "an unfit node has a network");
    Ok(())
}

/// Settings in the image, confs in a place of their own that can be written.
fn read_only_etc() -> Result<()> {
    let mut machine = private()?;
    for file in ["node.json", "policy.json"] {
        let content = machine.read(format!("/etc/crossfade/{file}"))?;
        machine.write(format!("/usr/lib/crossfade/{file}"), content)?;
    }
    fs::remove_dir_all(machine.disk("/etc/crossfade"))?;
    machine.write("/etc/lab/read-only-etc", "")?;
    fs::create_dir_all(machine.disk("/etc/cni"))?;
    machine.boot()?;
    until_up(&mut machine)?;
    ensure!(machine.run(&["touch", "/etc/x"]).is_err(), "/etc can be written");
    machine.open_gate(Network::New)?;
    machine.until_pods(2)?;
    machine.ensure_only(Network::New)?;
    ensure!(machine.look("/etc/crossfade/node.json")?.is_none());
    Ok(())
}
