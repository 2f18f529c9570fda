//! `doctor` on a machine with a real systemd: a kubelet that the gate holds back, a `boot` that failed, a `watch` that was stopped.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::boot::Machine;
use lab::boot::furniture::Network;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::{NEEDS, boot_with_pods, private, until_up};

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        NEEDS;
        doctor_finds_what_the_gate_waits_for,
        doctor_finds_a_boot_that_failed_by_its_journal,
        doctor_finds_a_stopped_watch_and_its_command_starts_it,
    ]
}

/// What `doctor` finds on the running machine, with its exit status.
fn look(machine: &Machine) -> Result<Value> {
    let output = machine.command(&["crossfade-bootstrap", "doctor", "--output", "json"])?.output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let answer: Value = serde_json::from_str(&text).with_context(|| format!("{output:?}"))?;
    let expected = if answer["ok"] == true { 0 } else { 3 };
    ensure!(output.status.code() == Some(expected), "{output:?}");
    Ok(answer)
}

fn codes(answer: &Value) -> BTreeSet<String> {
    let all = answer["findings"].as_array().into_iter().flatten();
    all.map(|finding| finding["code"].as_str().unwrap_or_default().to_owned()).collect()
}

fn finding<'a>(answer: &'a Value, code: &str) -> Result<&'a Value> {
    let all = answer["findings"].as_array().context("findings")?;
    all.iter().find(|finding| finding["code"] == code).with_context(|| format!("{code} in {answer:#}"))
}

/// Waits until `doctor` finds these, and no more.
fn expect(machine: &mut Machine, expected: &[&str]) -> Result<Value> {
    let expected: BTreeSet<String> = expected.iter().map(|code| (*code).to_owned()).collect();
    let mut last = Value::Null;
    let reached = machine.until(&format!("findings {expected:?}"), |machine| {
        last = look(machine)?;
        Ok(codes(&last) == expected)
    });
    reached.with_context(|| format!("{last:#}"))?;
    Ok(last)
}

/// Runs the last command of a finding on the machine.
fn mend(machine: &Machine, finding: &Value, which: usize) -> Result<()> {
    let command = finding["mend"][which]["command"].as_str().context("a command")?;
    machine.run(&["sh", "-ec", command]).map(drop)
}

/// A digest of the settings, the records, the confs and what Crossfade keeps in /run, but for the report of `watch`.
fn state(machine: &Machine) -> Result<String> {
    let script = "find /etc/crossfade /etc/cni /var/lib/crossfade /run/crossfade /opt/cni -type f ! -name status.json ! -name '*.lock' \
        -printf '%p %i %m %T@ ' -exec sha256sum {} \\; 2>/dev/null | sort; ip rule";
    let mut command: Command = machine.command(&["sh", "-c", script])?;
    Ok(String::from_utf8_lossy(&command.output()?.stdout).into_owned())
}

fn doctor_finds_what_the_gate_waits_for() -> Result<()> {
    let mut machine = private()?;
    let file = "/etc/crossfade/policy.json";
    let good = machine.read(file)?;
    machine.write(file, "{")?;
    machine.boot()?;
    // The runtime's start prepares its configuration. On a busy machine that may be later than the first try of the gate.
    machine.until("a runtime that is prepared, and a gate that was tried", |machine| {
        let prepared = machine.look("/run/crossfade/runtime.env")?.is_some();
        Ok(prepared && machine.look("/run/crossfade/gate.json")?.is_some())
    })?;
    let before = state(&machine)?;
    let answer = look(&machine)?;
    let after = state(&machine)?;
    ensure!(after == before, "doctor changed something:\n{before}\n{after}");
    let actual = codes(&answer);
    ensure!(actual.contains("gate-shut") && actual.contains("policy-unusable"), "{answer:#}");
    ensure!(!actual.contains("kubelet-down"), "the gate is the reason: {answer:#}");
    let gate = finding(&answer, "gate-shut")?;
    ensure!(gate["evidence"].to_string().contains("policy.json"), "{gate:#}");
    ensure!(gate["evidence"].to_string().contains("kubelet.service is "), "{gate:#}");
    let read = |source: &str| {
        answer["sources"]
            .as_array()
            .is_some_and(|all| all.iter().any(|entry| entry["source"] == source && entry["state"] == "read"))
    };
    ensure!(read("systemd") && read("journal"), "{answer:#}");
    machine.write(file, good)?;
    until_up(&mut machine)?;
    machine.open_gate(Network::New)?;
    machine.until_pods(2)?;
    expect(&mut machine, &[])?;
    machine.ensure_only(Network::New)
}

fn doctor_finds_a_boot_that_failed_by_its_journal() -> Result<()> {
    let mut machine = private()?;
    machine.script(
        "/usr/lib/lab/boot",
        "#!/bin/sh\necho 'crossfade-bootstrap: the lab says no' >&2\nexit 3\n",
    )?;
    let drop_in = "/etc/systemd/system/crossfade-boot.service.d/10-fails.conf";
    machine.write(
        drop_in,
        "[Service]\nSyslogIdentifier=crossfade-bootstrap\nExecStart=\nExecStart=/usr/lib/lab/boot\n",
    )?;
    machine.boot()?;
    machine
        .until("a gate that was tried", |machine| Ok(machine.look("/run/crossfade/gate.json")?.is_some()))?;
    let mut failed = Value::Null;
    machine.until("the finding, with the journal's words", |machine| {
        let answer = look(machine)?;
        failed = finding(&answer, "boot-failed").cloned().unwrap_or_default();
        let text = failed["evidence"].to_string().contains("the lab says no");
        Ok(text && codes(&answer).contains("gate-shut"))
    })?;
    std::fs::remove_file(machine.disk(drop_in))?;
    machine.run(&["systemctl", "daemon-reload"])?;
    // From here on systemd may try again by itself, and succeed.
    mend(&machine, &failed, 1)?;
    until_up(&mut machine)?;
    machine.open_gate(Network::New)?;
    machine.until_pods(2)?;
    expect(&mut machine, &[]).map(drop)
}

fn doctor_finds_a_stopped_watch_and_its_command_starts_it() -> Result<()> {
    let mut machine = private()?;
    boot_with_pods(&mut machine)?;
    expect(&mut machine, &[])?;
    let all_right = machine.run(&["crossfade-bootstrap", "status"])?;
    ensure!(all_right.starts_with("node          all right\n"), "{all_right}");
    machine.run(&["systemctl", "stop", "crossfade-watch"])?;
    let answer = expect(&mut machine, &["watch-down"])?;
    let status = machine.command(&["crossfade-bootstrap", "status"])?.output()?;
    ensure!(status.status.code() == Some(3), "{status:?}");
    let down = finding(&answer, "watch-down")?;
    ensure!(down["evidence"].to_string().contains("crossfade-watch.service is inactive"), "{down:#}");
    mend(&machine, down, 0)?;
    expect(&mut machine, &[]).map(drop)
}
