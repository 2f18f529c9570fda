//! The package for Amazon Linux 2, whose systemd is 219: units in its words, everything else the same.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::boot::Machine;
use lab::boot::world::{self, Network};
use lab::dist;
use lab::preflight::{BOOT, CONTAINERD, Need, trial};
use lab::scratch;
use libtest_mimic::Trial;
use serde_json::json;

use crate::manager::{Place, run};
use crate::release::{self, Build};

const NEEDS: &[&[Need]] = &[CONTAINERD, BOOT, &[Need::Program("rpm")]];
const SUFFIX: &str = "-1.amzn2.x86_64.rpm";

/// What we use of systemd 219, by section. *Source*: its manual pages `systemd.unit`, `systemd.service` and `systemd.exec`, of which
/// each of these is one; `StartLimitInterval` was in `[Service]` then.
const KNOWN: [(&str, &[&str]); 3] = [
    (
        "Unit",
        &[
            "After",
            "Before",
            "ConditionKernelCommandLine",
            "ConditionPathExists",
            "Description",
            "Documentation",
            "Wants",
        ],
    ),
    (
        "Service",
        &[
            "CapabilityBoundingSet",
            "EnvironmentFile",
            "ExecStart",
            "ExecStartPre",
            "NoNewPrivileges",
            "NotifyAccess",
            "PrivateDevices",
            "PrivateNetwork",
            "PrivateTmp",
            "ProtectHome",
            "ProtectSystem",
            "ReadWriteDirectories",
            "RemainAfterExit",
            "Restart",
            "RestartSec",
            "RestrictAddressFamilies",
            "StartLimitInterval",
            "SuccessExitStatus",
            "SystemCallArchitectures",
            "TimeoutStartSec",
            "Type",
            "WatchdogSec",
        ],
    ),
    ("Install", &["WantedBy"]),
];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("units_for_systemd_219_have_only_words_that_it_knows", &[], words),
        trial("the_amazon_linux_2_package_differs_in_its_units_alone", NEEDS, package),
        trial("the_amazon_linux_2_package_boots_a_node", NEEDS, boots),
    ]
}

fn words() -> Result<()> {
    let root = dist::workspace().join("systemd-219/usr");
    let files = scratch::files(&root)?;
    ensure!(files.len() == 6, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file)?;
        let mut section = "";
        let oneshot = text.contains("Type=oneshot");
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let named = || format!("{}: {line}", file.display());
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']');
                continue;
            }
            let (key, value) = line.split_once('=').with_context(named)?;
            let known = KNOWN.iter().find(|(name, _)| *name == section).map(|(_, keys)| *keys);
            ensure!(known.is_some_and(|keys| keys.contains(&key)), "{}", named());
            // 231 has the first, 232 the second; a oneshot that is restarted is refused before 244.
            ensure!(!key.starts_with("Exec") || value.starts_with('/'), "{}", named());
            ensure!(key != "ProtectSystem" || ["yes", "full"].contains(&value), "{}", named());
            ensure!(key != "Restart" || !oneshot, "{}", named());
        }
    }
    Ok(())
}

fn package() -> Result<()> {
    let usual = release::rpm(&Build::Released.file("-1.x86_64.rpm")?)?;
    let amazon = release::rpm(&Build::Released.file(SUFFIX)?)?;
    ensure!(usual.keys().eq(amazon.keys()), "other files");
    let root = dist::workspace().join("systemd-219");
    for (path, entry) in &amazon {
        let own = root.join(&path[1..]).is_file();
        ensure!(own == (usual[path] != *entry), "{path}: {entry:?}, {:?}", usual[path]);
    }
    Ok(())
}

/// Under the systemd that is here, which understands the old words.
fn boots() -> Result<()> {
    let mut machine = Machine::without_package()?;
    world::settings(&machine, &world::node_json("private", json!({})), &world::policy("new", "old"))?;
    for network in Network::ALL {
        world::agent(&machine, network, 0.0, true)?;
    }
    machine.write(world::PODS, "one\n")?;
    let target = machine.disk("/root/package.rpm");
    release::output(Command::new("cp").arg(Build::Released.file(SUFFIX)?).arg(&target))?;
    let line =
        ["rpm", "--force-debian", "--dbpath", "/var/lib/rpm", "--install", "--nodeps", "/root/package.rpm"];
    run(&machine, Place::Image, &[], &line)?.done()?;
    // The lab's boot id is in the machine's /proc, which these units have no other than.
    for unit in ["crossfade-boot", "crossfade-watch"] {
        fs::remove_file(machine.disk(format!("/etc/systemd/system/{unit}.service.d/91-lab.conf")))?;
    }
    machine.boot()?;
    let pods = machine.until_pods(1)?;
    ensure!(pods[0].addresses.iter().all(|address| Network::of(address) == Some(Network::New)), "{pods:?}");
    for unit in ["crossfade-boot.service", "crossfade-watch.service"] {
        ensure!(machine.show(unit, "ActiveState") == "active", "{unit}");
    }
    let (node, _) = machine.node()?.context("a node")?;
    ensure!(!node.taints.is_empty(), "{node:?}");
    Ok(())
}
