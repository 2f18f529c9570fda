//! The checks that only a running node allows.

use types::command::problem::Problem;

use super::check::{Check, Fault, from_faults, pass, skip};
use super::systemd;
use super::units::UnitOnDisk;
use crate::cli::Global;
use crate::host::root::Root;
use crate::node::fitness;
use crate::node::identity;
use crate::node::settings::directories;
use crate::systemd::continuation;
use convergence::node::facts::NodeFacts;
use convergence::node::settings::directories::OwnConfFile;
use convergence::runtime::answer::ConfUse;
use convergence::runtime::config::RuntimeConfig;

/// Whether this boot is one of Crossfade's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EffectiveBoot {
    /// It is, or is meant to be.
    ThisBoot,
    /// The package came while kubelet ran, so kubelet and the runtime are as they were, and `boot` and `watch` are started by the next
    /// boot, or by `install` under running pods.
    NextBoot,
}

/// What is said of everything that comes with the next boot.
const LATER: &str = "kubelet ran when the package was installed, so this comes with the next boot";

pub(super) fn checks(global: &Global, facts: &NodeFacts, all: &[UnitOnDisk]) -> Vec<Check> {
    let root = &Root::new(&facts.root);
    let since =
        if all.iter().any(|unit| unit.is_masked) { EffectiveBoot::NextBoot } else { EffectiveBoot::ThisBoot };
    let not_booted = identity::is_current(root).err();
    let mut checks = check_boot(root, since);
    checks.extend(check_watch(if not_booted.is_none() { EffectiveBoot::ThisBoot } else { since }));
    checks.extend(check_loaded(facts, all));
    checks.extend(uses(global, facts));
    checks.extend(opens(global, facts, since, not_booted.is_some()));
    checks
}

/// Whether the runtime uses Crossfade's conf, by its own word.
fn uses(global: &Global, facts: &NodeFacts) -> Vec<Check> {
    const ID: &str = "node.uses";
    if let Some(unusable) = &facts.unusable {
        return skip(ID, unusable.why.as_str());
    }
    let crio = facts.runtime.crio().map(RuntimeConfig::agents_dir);
    let dirs = directories::resolve(global, &facts.settings, crio, None);
    let conf = match &dirs.installed {
        OwnConfFile::Ours(conf) => conf,
        OwnConfFile::Absent => return skip(ID, "Crossfade's conf is not there"),
        OwnConfFile::Foreign => {
            let what = dirs.foreign_conf_problem(None).map(|problem| problem.what);
            return skip(ID, what.unwrap_or_default());
        }
        OwnConfFile::Unreadable(why) => return skip(ID, why.to_string()),
    };
    let fault = match facts.runtime.answer.uses(&conf.name) {
        ConfUse::Ours => return pass(ID, "the runtime uses Crossfade's conf"),
        ConfUse::Unknown => return skip(ID, "the runtime does not tell which conf it uses"),
        ConfUse::Other(what) => Fault::new(
            format!("the runtime does not use Crossfade's conf: {what}"),
            "crossfade-bootstrap install makes it look again, and so does watch",
        ),
        ConfUse::Failed(why) => {
            Fault::new(why, "start the runtime, or name it in node.json, runtime.endpoint")
        }
    };
    from_faults(ID, vec![fault], "")
}

fn check_boot(root: &Root, since: EffectiveBoot) -> Vec<Check> {
    const ID: &str = "node.boot";
    let well = match identity::current(root) {
        Ok(now) if identity::is_of(root, &now.boot_id).is_ok() => {
            return pass(ID, "boot has succeeded in this boot");
        }
        Ok(_) if since == EffectiveBoot::NextBoot => return skip(ID, LATER),
        Ok(_) => "boot has not succeeded in this boot".into(),
        Err(why) => why,
    };
    from_faults(ID, vec![Fault::new(well, "systemctl status crossfade-boot says why")], "")
}

fn check_watch(since: EffectiveBoot) -> Vec<Check> {
    const ID: &str = "node.watch";
    let what = match systemd::active("crossfade-watch.service") {
        Ok(state) if state == "active" => return pass(ID, "watch runs"),
        Ok(state) if state == "inactive" && since == EffectiveBoot::NextBoot => return skip(ID, LATER),
        Ok(state) => format!("crossfade-watch.service is {state}"),
        Err(why) => why,
    };
    from_faults(ID, vec![Fault::new(what, "systemctl status crossfade-watch says why")], "")
}

fn check_loaded(facts: &NodeFacts, all: &[UnitOnDisk]) -> Vec<Check> {
    const ID: &str = "node.loaded";
    let (later, needed): (Vec<_>, Vec<_>) = all
        .iter()
        .filter(|unit| unit.is_needed && unit.loaded_unit().is_some())
        .partition(|unit| unit.is_masked);
    if needed.is_empty() && !later.is_empty() {
        return skip(ID, LATER);
    }
    let check = |unit: &UnitOnDisk| match &facts.unusable {
        Some(unusable) => Err(Problem::from(unusable.why.as_str())),
        None => continuation::check(&Root::new(&facts.root), &facts.settings, &unit.name),
    };
    let wrong = needed.into_iter().filter_map(|unit| check(unit).err());
    let faults = wrong
        .map(|why| Fault::from_problem(&why, "systemctl daemon-reload, then restart the unit"))
        .collect();
    from_faults(ID, faults, "what systemd has loaded appends Crossfade's flags")
}

/// What `boot` has not prepared yet, because it was not started, the gate need not be asked about.
fn opens(global: &Global, facts: &NodeFacts, since: EffectiveBoot, is_unbooted: bool) -> Vec<Check> {
    const ID: &str = "node.gate";
    if since == EffectiveBoot::NextBoot && is_unbooted {
        return skip(ID, LATER);
    }
    let faults = fitness::findings(global, facts.node_json(), facts.runtime.clone())
        .iter()
        .map(|problem| Fault::from_problem(problem, "systemctl status kubelet crossfade-boot says more"))
        .collect();
    from_faults(ID, faults, "kubelet's gate is open")
}
