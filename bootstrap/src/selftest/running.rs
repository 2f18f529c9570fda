//! What can be told of a node that runs, and of no image.

use super::check::{Check, Fault, decided, ok};
use super::systemd;
use super::units::Told;
use crate::boot::identity::{Booted, Identity};
use crate::cli::{Gate, Global};
use crate::gate;
use crate::generator;
use crate::places::Root;

/// All of it.
pub(super) fn checks(global: &Global, root: &Root, all: &[Told]) -> Vec<Check> {
    let mut checks = booted(root);
    checks.extend(watched());
    checks.extend(loaded(root, all));
    checks.extend(opens(global));
    checks
}

fn booted(root: &Root) -> Vec<Check> {
    const ID: &str = "node.boot";
    let well = match (Identity::now(root), Booted::read(root)) {
        (Ok(now), Some(booted)) if booted.boot_id == now.boot_id => {
            return ok(ID, "boot has succeeded in this boot");
        }
        (Err(why), _) => why,
        _ => "boot has not succeeded in this boot".into(),
    };
    decided(ID, vec![Fault::new(well, "systemctl status crossfade-boot says why")], "")
}

fn watched() -> Vec<Check> {
    const ID: &str = "node.watch";
    let what = match systemd::active("crossfade-watch.service") {
        Ok(state) if state == "active" => return ok(ID, "watch runs"),
        Ok(state) => format!("crossfade-watch.service is {state}"),
        Err(why) => why,
    };
    decided(ID, vec![Fault::new(what, "systemctl status crossfade-watch says why")], "")
}

fn loaded(root: &Root, all: &[Told]) -> Vec<Check> {
    let needed = all.iter().filter(|told| told.is_needed && told.there().is_some());
    let wrong = needed.filter_map(|told| generator::check(root, &told.name).err());
    let faults =
        wrong.map(|why| Fault::parted(&why, "systemctl daemon-reload, then restart the unit")).collect();
    decided("node.loaded", faults, "what systemd has loaded hands our words on")
}

fn opens(global: &Global) -> Vec<Check> {
    let faults = match gate::gate(&Global { dry_run: true, ..global.clone() }, &Gate {}) {
        Ok(_) => Vec::new(),
        Err(failure) => {
            let fault =
                |why: String| Fault::parted(&why, "systemctl status kubelet crossfade-boot says more");
            failure.findings.into_iter().map(fault).collect()
        }
    };
    decided("node.gate", faults, "kubelet's gate is open")
}
