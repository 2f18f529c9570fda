//! The checks of the start order: boot first, then runtime and kubelet, held by their ExecStartPre and by nothing that cannot heal.

use std::path::Path;

use convergence::node::paths::{KUBELET_ENV, RUNTIME_ENV};

use super::check::{Check, Fault, from_faults, skip};
use super::units::{UnitOnDisk, has_ours};
use crate::systemd::continuation::Role;
use crate::systemd::unit::{Kind, Order, Step, Unit};

const BOOT: &str = "crossfade-boot.service";
const WATCH: &str = "crossfade-watch.service";
/// The program's file name, as `ExecStartPre=` has it.
const PROGRAM: &str = "crossfade-bootstrap";

/// What starts kubelet and waits until it is up, or is reached only when it is: boot after one of them, and kubelet after boot, never end.
/// *Source*: amazon-eks-ami, `nodeadm-run.service`; EKS' `bootstrap.sh`, which cloud-final runs as user data; systemd's order of targets.
const STARTERS: [&str; 4] =
    ["nodeadm-run.service", "cloud-final.service", "cloud-init.target", "multi-user.target"];
/// Boot sends no request over a network, and an agent's network may be what is waited for.
const ONLINE: [&str; 2] = ["network-online.target", "nss-lookup.target"];

/// Whether kubelet and the runtime wait for boot.
pub(super) fn order_before(boot: Option<&Unit>, all: &[UnitOnDisk]) -> Vec<Check> {
    const ID: &str = "order.before";
    let Some(boot) = boot else {
        return skip(ID, format!("there is no {BOOT}"));
    };
    let mut faults = Vec::new();
    let mut well = Vec::new();
    for (unit_on_disk, unit) in
        all.iter().filter_map(|unit_on_disk| Some((unit_on_disk, unit_on_disk.loaded_unit()?)))
    {
        let is_before = boot.relations(Kind::Before).any(|relation| relation.unit == unit_on_disk.name);
        let is_after = unit.relations(Kind::After).any(|relation| relation.unit == BOOT);
        if is_before || is_after || unit_on_disk.is_linked {
            well.push(unit_on_disk.name.as_str());
        } else {
            faults.push(Fault::new(
                format!("{} may start before {BOOT} has prepared this node", unit_on_disk.name),
                format!(
                    "add After={BOOT} to a drop-in of {}, or link Crossfade's drop-in",
                    unit_on_disk.name
                ),
            ));
        }
    }
    if well.is_empty() && faults.is_empty() {
        return skip(ID, "neither kubelet nor a runtime has a unit here");
    }
    from_faults(ID, faults, format!("{BOOT} is before {}", well.join(" and ")))
}

/// Whether kubelet wants boot and watch, and fails with neither.
pub(super) fn wants(all: &[UnitOnDisk]) -> Vec<Check> {
    const ID: &str = "order.wants";
    let Some((kubelet, unit)) = kubelet(all) else {
        return skip(ID, "kubelet has no unit here");
    };
    if kubelet.is_linked {
        return skip(ID, format!("{} gets Crossfade's drop-in at boot", kubelet.name));
    }
    if has_ours(unit).is_none() {
        return skip(ID, format!("{} has no drop-in of Crossfade's", kubelet.name));
    }
    let mut faults = Vec::new();
    for relation in
        unit.relations(Kind::Requires).filter(|relation| [BOOT, WATCH].contains(&relation.unit.as_str()))
    {
        faults.push(Fault::new(
            format!(
                "{} requires {} ({}): one failed try of it, and kubelet stays down for good",
                kubelet.name,
                relation.unit,
                relation.source.display()
            ),
            "say Wants= there",
        ));
    }
    for own_unit in [BOOT, WATCH] {
        if !unit.relations(Kind::Wants).any(|relation| relation.unit == own_unit) {
            faults.push(Fault::new(
                format!(
                    "{} does not want {own_unit}, so a failed one is not tried again with it",
                    kubelet.name
                ),
                format!(
                    "install the package whole, or add Wants={own_unit} to a drop-in of {}",
                    kubelet.name
                ),
            ));
        }
    }
    from_faults(ID, faults, format!("{} wants both of Crossfade's units and requires neither", kubelet.name))
}

fn kubelet(all: &[UnitOnDisk]) -> Option<(&UnitOnDisk, &Unit)> {
    all.iter()
        .filter(|unit_on_disk| unit_on_disk.role == Role::Kubelet)
        .find_map(|unit_on_disk| Some((unit_on_disk, unit_on_disk.loaded_unit()?)))
}

/// Whether what boot waits for waits for kubelet in its turn.
pub(super) fn deadlock(order: &Order, boot: Option<&Unit>, all: &[UnitOnDisk]) -> Vec<Check> {
    const ID: &str = "order.deadlock";
    let Some(boot) = boot else {
        return skip(ID, format!("there is no {BOOT}"));
    };
    let own_units = all
        .iter()
        .filter(|unit_on_disk| unit_on_disk.loaded_unit().is_some())
        .map(|unit_on_disk| unit_on_disk.name.as_str());
    let mut faults = Vec::new();
    for other in own_units.chain(STARTERS).chain([BOOT]) {
        if let Some(chain) = order.chain(BOOT, other) {
            let (description, what) = describe(&chain);
            faults.push(Fault::new(
                format!("{what}: kubelet waits for {BOOT}, so the boot would never end"),
                format!("take the order out of {description}"),
            ));
        }
    }
    let online = boot.relations(Kind::After).filter(|relation| ONLINE.contains(&relation.unit.as_str()));
    faults.extend(online.map(|relation| {
        Fault::new(
            format!("{BOOT} waits for {}, which may itself need what kubelet starts", relation.unit),
            format!(
                "take After={} out of {}; it asks no server over a network",
                relation.unit,
                relation.source.display()
            ),
        )
    }));
    from_faults(ID, faults, format!("nothing that {BOOT} waits for waits for kubelet"))
}

/// A chain of waits in words, and the file of its first step that is not the package's.
fn describe(chain: &[Step]) -> (String, String) {
    let mut what = chain.first().map(|step| step.unit.clone()).unwrap_or_default();
    for step in chain {
        what += &format!(" is after {} ({})", step.after, step.source.display());
        if step != &chain[chain.len() - 1] {
            what += ", which";
        }
    }
    let is_packaged = |step: &&Step| step.source == Path::new("/usr/lib/systemd/system").join(BOOT);
    let foreign = chain.iter().find(|step| !is_packaged(step)).or(chain.first());
    (foreign.map(|step| step.source.display().to_string()).unwrap_or_default(), what)
}

/// Whether gate and render are still in the units as systemd will load them: a later drop-in can take them out.
pub(super) fn commands(all: &[UnitOnDisk]) -> Vec<Check> {
    const ID: &str = "order.commands";
    let mut faults = Vec::new();
    let mut well = Vec::new();
    for (unit_on_disk, unit) in
        all.iter().filter_map(|unit_on_disk| Some((unit_on_disk, unit_on_disk.loaded_unit()?)))
    {
        if unit_on_disk.is_linked || has_ours(unit).is_none() {
            // The one has them by the link; that the other has none is told by `unit.drop-in`.
            continue;
        }
        let (arguments, env): (&[&str], _) = match unit_on_disk.role {
            Role::Kubelet => (&["unit gate", "unit render"], KUBELET_ENV),
            Role::Runtime(_) => (&["unit render --runtime"], RUNTIME_ENV),
        };
        let commands = own_commands(unit);
        let reset = format!("take what resets it out of {}", later_units(unit));
        if commands != arguments {
            let commands = if commands.is_empty() { "none".into() } else { commands.join(", then ") };
            let what = format!(
                "{}: expected ExecStartPre={PROGRAM} {}, found {commands}",
                unit_on_disk.name,
                arguments.join(", then ")
            );
            faults.push(Fault::new(what, reset));
        } else if !unit.environment_files().iter().any(|file| file == Path::new(env)) {
            let what = format!(
                "{}: EnvironmentFile={env} is gone, so no flag of Crossfade's reaches its command",
                unit_on_disk.name
            );
            faults.push(Fault::new(what, reset));
        } else {
            well.push(format!("{} before {}", arguments.join(" and "), unit_on_disk.name));
        }
    }
    if well.is_empty() && faults.is_empty() {
        return skip(ID, "boot links Crossfade's drop-ins, or there is no unit for them");
    }
    from_faults(ID, faults, well.join(", "))
}

/// What crossfade-bootstrap is told in the unit's ExecStartPre, in order.
fn own_commands(unit: &Unit) -> Vec<String> {
    let commands = unit.exec_start_pre().iter().flat_map(|line| line.commands().0);
    commands.filter(|command| command.name() == PROGRAM).map(|command| command.arguments.join(" ")).collect()
}

/// The drop-ins that are read after Crossfade's.
fn later_units(unit: &Unit) -> String {
    let after = unit.files().iter().skip_while(|file| Some(*file) != has_ours(unit)).skip(1);
    let names: Vec<_> = after.map(|file| file.display().to_string()).collect();
    match names.as_slice() {
        // The file itself is another package's then.
        [] => has_ours(unit).map_or_else(String::new, |file| file.display().to_string()),
        names => names.join(", "),
    }
}
