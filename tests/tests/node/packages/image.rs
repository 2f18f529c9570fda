//! Packages in an image: nothing runs there, and nothing may be asked.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::boot::Machine;
use lab::build::preflight::{BOOT, CONTAINERD, Need};
use lab::host::command;
use libtest_mimic::Trial;

use crate::package_manager::{Manager, Place, run};
use crate::release::Build;

const NEEDS: &[&[Need]] = &[CONTAINERD, BOOT, &[Need::Program("dpkg"), Need::Program("rpm")]];
const WANTS: &str = "/etc/systemd/system/multi-user.target.wants";
/// Of the package managers, of programs that they start, and of what an image has anyway.
const NOT_OURS: [&str; 7] = [
    "/var/lib/dpkg",
    "/var/lib/rpm",
    "/var/log",
    "/var/lib/containerd",
    "/var/cache",
    "/var/tmp",
    "/etc/lab",
];

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        NEEDS;
        in_an_image_exactly_our_units_are_enabled,
        an_upgrade_of_an_image_enables_nothing_again,
        in_an_image_removal_is_never_refused_and_leaves_nothing,
        purging_leaves_what_was_moved_out_of_the_way,
        the_installer_installs_into_another_root,
        the_installer_leaves_packages_to_their_manager,
    ]
}

/// Everything below /etc and /var that is not the package manager's, and what is called after us below /usr.
fn files(machine: &Machine) -> Result<BTreeSet<PathBuf>> {
    let root = machine.disk("/");
    let mut paths = BTreeSet::new();
    for top in
        ["/etc", "/var", "/usr/lib/systemd", "/usr/lib/tmpfiles.d", "/usr/share/doc", "/usr/share/crossfade"]
    {
        walk(&root, &machine.disk(top), &mut paths)?;
    }
    for top in ["/usr/lib/crossfade", "/usr/libexec/crossfade", "/opt", "/usr/bin/crossfade-bootstrap"] {
        walk(&root, &machine.disk(top), &mut paths)?;
    }
    paths.retain(|path| !NOT_OURS.iter().any(|other| path.starts_with(other)));
    Ok(paths)
}

fn walk(root: &Path, path: &Path, paths: &mut BTreeSet<PathBuf>) -> Result<()> {
    let Ok(meta) = path.symlink_metadata() else {
        return Ok(());
    };
    paths.insert(Path::new("/").join(path.strip_prefix(root)?));
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            walk(root, &entry?.path(), paths)?;
        }
    }
    Ok(())
}

fn enabled_units(machine: &Machine) -> BTreeSet<String> {
    let entries = fs::read_dir(machine.disk(WANTS)).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn in_an_image_exactly_our_units_are_enabled() -> Result<()> {
    for manager in Manager::ALL {
        let machine = Machine::without_package()?;
        let (before, wanted_before) = (files(&machine)?, enabled_units(&machine));
        let message = manager.install(&machine, Place::Image, Build::Released)?.done()?;
        ensure!(message.contains("NO POLICY YET"), "{manager}: {message}");
        let more: Vec<String> = enabled_units(&machine).difference(&wanted_before).cloned().collect();
        ensure!(more == ["crossfade-boot.service", "crossfade-watch.service"], "{manager}: {more:?}");
        let changed = manager.verify(&machine)?;
        ensure!(changed.is_empty(), "{manager}: {changed}");
        // An image keeps its own settings, and a machine its own state: neither is made here.
        for path in files(&machine)?.difference(&before) {
            ensure!(path.starts_with("/usr") || path.starts_with(WANTS), "{manager} made {}", path.display());
        }
    }
    Ok(())
}

fn an_upgrade_of_an_image_enables_nothing_again() -> Result<()> {
    for manager in Manager::ALL {
        let machine = Machine::without_package()?;
        manager.install(&machine, Place::Image, Build::Released)?.done()?;
        run(&machine, Place::Image, &[], &["systemctl", "disable", "crossfade-watch"])?.done()?;
        manager.install(&machine, Place::Image, Build::Next)?.done()?;
        let units = enabled_units(&machine);
        ensure!(units.contains("crossfade-boot.service"), "{manager}: {units:?}");
        ensure!(!units.contains("crossfade-watch.service"), "{manager}: {units:?}");
        let release = machine.read("/usr/lib/crossfade/release.json")?;
        ensure!(release.contains("\"release\": \"99.0.0\""), "{manager}: {release}");
    }
    Ok(())
}

fn in_an_image_removal_is_never_refused_and_leaves_nothing() -> Result<()> {
    for manager in Manager::ALL {
        let machine = Machine::without_package()?;
        let before = files(&machine)?;
        manager.install(&machine, Place::Image, Build::Released)?.done()?;
        let record = "/var/lib/crossfade/attachments/0a/of-no-pod@eth0";
        machine.write(record, "{}\n")?;
        manager.remove(&machine, Place::Image, &[])?.done()?;
        ensure!(machine.disk(record).exists(), "{manager}: removing is not purging");
        if manager == Manager::Dpkg {
            run(&machine, Place::Image, &[], &["dpkg", "--purge", "crossfade"])?.done()?;
        } else {
            fs::remove_dir_all(machine.disk("/var/lib/crossfade"))?;
        }
        let after = files(&machine)?;
        let differences: Vec<_> = after.symmetric_difference(&before).collect();
        ensure!(differences.is_empty(), "{manager}: {differences:?}");
    }
    Ok(())
}

fn purging_leaves_what_was_moved_out_of_the_way() -> Result<()> {
    let machine = Machine::without_package()?;
    Manager::Dpkg.install(&machine, Place::Image, Build::Released)?.done()?;
    let kept = "/var/lib/crossfade/set-aside/boot/10-others.conflist";
    machine.write(kept, "{}\n")?;
    let ledger = "/var/lib/crossfade/ledger.jsonl";
    machine.write(ledger, "{}\n")?;
    for gone in ["/var/lib/crossfade/name", "/etc/crossfade/policy.json"] {
        machine.write(gone, "{}\n")?;
    }
    let message = run(&machine, Place::Image, &[], &["dpkg", "--purge", "crossfade"])?.done()?;
    ensure!(message.contains("set-aside stays") && message.contains("ledger.jsonl stays"), "{message}");
    ensure!(machine.disk(kept).exists() && machine.disk(ledger).exists());
    ensure!(!machine.disk("/var/lib/crossfade/name").exists());
    ensure!(!machine.disk("/etc/crossfade").exists());
    Ok(())
}

/// From outside, with no change of root: an image that is mounted somewhere.
fn the_installer_installs_into_another_root() -> Result<()> {
    let machine = Machine::without_package()?;
    let scratch = lab::host::scratch::Scratch::new("tarball")?;
    let installer = Build::Released.unpack(scratch.path())?.join("install.sh");
    let call = |arguments: &[&str]| {
        let mut command = Command::new(&installer);
        command.args(arguments).arg("--root").arg(machine.disk("/"));
        command::run(&mut command)
    };
    let before = files(&machine)?;
    let planned = call(&["--dry-run"])?;
    ensure!(planned.lines().any(|line| line.ends_with("/usr/bin/crossfade-bootstrap")), "{planned}");
    ensure!(files(&machine)? == before, "a dry run changes nothing");
    call(&["install"])?;
    let units = enabled_units(&machine);
    ensure!(
        units.contains("crossfade-boot.service") && units.contains("crossfade-watch.service"),
        "{units:?}"
    );
    for path in files(&machine)?.difference(&before) {
        ensure!(path.starts_with("/usr") || path.starts_with(WANTS), "it made {}", path.display());
    }
    let listed = machine.read("/usr/lib/crossfade/installed.files")?;
    let installed = listed.lines().filter(|path| machine.disk(path).symlink_metadata().is_ok()).count();
    ensure!(installed == listed.lines().count() && installed > 10, "{listed}");
    call(&["uninstall"])?;
    let after = files(&machine)?;
    let differences: Vec<_> = after.symmetric_difference(&before).collect();
    ensure!(differences.is_empty(), "{differences:?}");
    Ok(())
}

fn the_installer_leaves_packages_to_their_manager() -> Result<()> {
    let machine = Machine::without_package()?;
    Manager::Dpkg.install(&machine, Place::Image, Build::Released)?.done()?;
    Manager::Tarball.install(&machine, Place::Image, Build::Next)?.refused(&["apt-get"])?;
    let changed = Manager::Dpkg.verify(&machine).context("dpkg")?;
    ensure!(changed.is_empty(), "{changed}");
    Ok(())
}
