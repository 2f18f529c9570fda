//! Units: started at boot, sound to systemd itself, and with Crossfade's flags in those of kubelet and the runtime.

use std::path::{Path, PathBuf};

use types::command::problem::Problem;
use types::node::Node;

use super::check::{Check, Fault, from_faults, pass, skip};
use super::systemd::{Enablement, Verdict};
use crate::host::root::Root;
use crate::systemd::continuation::{self, Role};
use crate::systemd::unit::{Boot, Unit, mask};
use convergence::node::paths::PACKAGED;

pub(super) const OURS: [&str; 2] = ["crossfade-boot.service", "crossfade-watch.service"];
/// There while Crossfade's package is a system extension, whose units are not enabled. *Source*: man 5 `os-release`.
const EXTENSION: &str = "/usr/lib/extension-release.d/extension-release.crossfade";

/// A unit of kubelet or of the runtime, as it is on this machine.
#[derive(Debug)]
pub(super) struct UnitOnDisk {
    /// Whose command line the unit has: kubelet's or the runtime's.
    pub(super) role: Role,
    pub(super) name: String,
    /// The unit as the next boot will have it; none where there is none, or it is masked.
    pub(super) unit: Result<Option<Unit>, String>,
    /// Crossfade's drop-in is masked until the next boot: the package was installed while kubelet ran.
    pub(super) is_masked: bool,
    /// Crossfade's drop-in is brought by the generator, for its name is not the usual one.
    pub(super) is_linked: bool,
    /// Why its command cannot be continued.
    stuck: Option<Problem>,
    /// There is something to add to its command.
    pub(super) is_needed: bool,
}

impl UnitOnDisk {
    /// kubelet's unit, and that of every runtime that is here or named.
    pub(super) fn gather(root: &Root, node: &Node) -> Vec<Self> {
        let all = continuation::units_of(node).into_iter().map(|(role, name)| {
            let unit = Unit::outline_of(root, &name, Boot::Next);
            let there = unit.as_ref().ok().and_then(Option::as_ref);
            let is_named = match role {
                Role::Kubelet => true,
                Role::Runtime(_) => node.runtime.unit.is_some(),
            };
            let state = Self {
                role,
                is_masked: mask(root, &name).is_some(),
                is_linked: there.is_some_and(|unit| continuation::brings_drop_in(root, unit, role)),
                stuck: there.and_then(|unit| continuation::continuation(root, unit, role).err()),
                is_needed: continuation::is_needed(root, node, role),
                unit,
                name,
            };
            (state, is_named)
        });
        // Of both usual runtimes only the one that is here is of interest; a missing one is told by `runtime.config`.
        all.filter(|(unit_on_disk, is_named)| *is_named || !matches!(unit_on_disk.unit, Ok(None)))
            .map(|(unit_on_disk, _)| unit_on_disk)
            .collect()
    }

    /// The unit, where there is one that can be read.
    pub(super) fn loaded_unit(&self) -> Option<&Unit> {
        self.unit.as_ref().ok().and_then(Option::as_ref)
    }
}

/// Whether both of Crossfade's units are started at boot, as systemctl says.
pub(super) fn check_enabled(root: &Root, states: &[(&str, Enablement)]) -> Vec<Check> {
    const ID: &str = "unit.enabled";
    let systemctl = if root.is_node() {
        "systemctl".into()
    } else {
        format!("systemctl --root {}", root.join("/").display())
    };
    let is_extension = root.join(EXTENSION).is_file();
    let wrong = states.iter().filter_map(|(unit, state)| {
        let fault = |what: &str, fix: String| Some(Fault::new(format!("{unit} {what}"), fix));
        match state {
            Enablement::Yes => None,
            Enablement::No(_) if is_extension => None,
            Enablement::No(state) => fault(&format!("is {state}"), format!("{systemctl} enable {unit}")),
            Enablement::Masked => {
                fault("is masked, so it never starts", format!("{systemctl} unmask {unit}"))
            }
            Enablement::Absent => fault("is missing", "install the package whole".into()),
        }
    });
    let well = if is_extension {
        "they come in a system extension: kubelet and the runtime want them"
    } else {
        "crossfade-boot and crossfade-watch"
    };
    from_faults(ID, wrong.collect(), well)
}

/// What `systemd-analyze verify` says about Crossfade's units, and about others because of Crossfade.
pub(super) fn check_verified(verdicts: &[(String, Verdict)]) -> Vec<Check> {
    const ID: &str = "unit.verify";
    let mut faults = Vec::new();
    let mut other_lines: Vec<&str> = Vec::new();
    for (unit, verdict) in verdicts {
        match verdict {
            Verdict::Unknown(why) => return skip(ID, why),
            Verdict::Lines { own, others } => {
                for line in own {
                    let what = format!("systemd-analyze verify {unit}: {line}");
                    faults.push(Fault::new(
                        what,
                        "mend the drop-in that it names, or install the package whole",
                    ));
                }
                other_lines.extend(others.iter().map(String::as_str));
            }
        }
    }
    other_lines.dedup();
    let names = verdicts.iter().map(|(unit, _)| unit.as_str()).collect::<Vec<_>>().join(", ");
    let more = other_lines.first().map_or_else(String::new, |line| format!("; about other units: {line}"));
    // The same line of Crossfade may be reported for several units.
    faults.dedup();
    from_faults(ID, faults, format!("systemd reports nothing about Crossfade in {names}{more}"))
}

/// Whether Crossfade's drop-ins apply to the units that are really here.
pub(super) fn drop_ins(all: &[UnitOnDisk], node: &Node) -> Vec<Check> {
    const ID: &str = "unit.drop-in";
    let mut faults = Vec::new();
    let mut well = Vec::new();
    for unit_on_disk in all {
        match &unit_on_disk.unit {
            Err(why) => faults.push(Fault::new(why, "make it readable for root")),
            Ok(None) if unit_on_disk.role == Role::Kubelet && !node.kubelet.register => {
                well.push(format!("there is no {}, which node.json leaves to a fragment", unit_on_disk.name));
            }
            Ok(None) => faults.push(Fault::new(
                format!("there is no unit {}, or it is masked", unit_on_disk.name),
                absence_reason(unit_on_disk.role),
            )),
            Ok(Some(_)) if unit_on_disk.is_linked => well.push(format!("{} by a link at boot", unit_on_disk.name)),
            Ok(Some(unit)) if has_ours(unit).is_some() && unit_on_disk.is_masked => well.push(format!(
                "{} from the next boot on, for kubelet ran when the package was installed",
                unit_on_disk.name
            )),
            Ok(Some(unit)) if has_ours(unit).is_some() => well.push(unit_on_disk.name.clone()),
            Ok(Some(_)) => faults.push(Fault::new(
                format!("{} has no drop-in {PACKAGED}, so it does not run Crossfade's commands", unit_on_disk.name),
                format!(
                    "link /usr/lib/systemd/system/{}.d/{PACKAGED} into /etc/systemd/system/{}.d, or install the package whole",
                    unit_on_disk.role.usual_unit(),
                    unit_on_disk.name
                ),
            )),
        }
    }
    from_faults(ID, faults, well.join(", "))
}

/// Crossfade's drop-in of a unit, where it has one.
pub(super) fn has_ours(unit: &Unit) -> Option<&PathBuf> {
    unit.files()
        .iter()
        .find(|file| file.file_name().is_some_and(|name| Path::new(name) == Path::new(PACKAGED)))
}

fn absence_reason(role: Role) -> &'static str {
    match role {
        Role::Kubelet => {
            "install kubelet before the selftest, or name its unit in node.json, kubelet.unit; where it has none say kubelet.register: false"
        }
        Role::Runtime(_) => {
            "install the runtime before the selftest, or name its unit in node.json, runtime.unit"
        }
    }
}

/// Whether systemd finds the generator, and the generator can add Crossfade's flags.
pub(super) fn check_generated(root: &Root, all: &[UnitOnDisk]) -> Vec<Check> {
    const ID: &str = "unit.generator";
    let mut faults: Vec<_> = continuation::require_installed(root)
        .err()
        .into_iter()
        .map(|why| Fault::from_problem(&why, "install the package whole"))
        .collect();
    let stuck = all.iter().filter(|unit| unit.is_needed).filter_map(|unit| unit.stuck.as_ref());
    faults.extend(stuck.map(|why| Fault::from_problem(why, "start the program itself in its unit")));
    let needed = all.iter().filter(|unit| unit.is_needed && unit.loaded_unit().is_some());
    let names: Vec<_> = needed.map(|unit| unit.name.as_str()).collect();
    if names.is_empty() && faults.is_empty() {
        return pass(ID, "it is there; nothing has to be added to a command line");
    }
    from_faults(ID, faults, format!("it appends Crossfade's flags to {}", names.join(" and ")))
}
