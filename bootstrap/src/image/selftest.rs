//! `selftest`: checks whether a machine, or an image of one, will come up right.
//!
//! The last look of an image build. Every check is made, whatever others found; each says what it found, and a failure what to do.
//! Nothing is changed, no daemon has to run, and below another root none of its programs is run: there the files have to do.

mod check;
mod delegates;
mod order;
mod places;
mod programs;
mod registration;
mod running;
mod runtime;
mod settings;
mod systemd;
mod units;

use std::path::PathBuf;

use convergence::failure::Failure;
use convergence::node::facts::NodeFacts;
use convergence::report::{Page, Report};
use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;
use types::node::{Mode, Node};

use self::check::{Check, Status, skip};
use self::delegates::Delegate;
use self::programs::Programs;
use self::runtime::Runtime;
use self::settings::{CheckedSettings, NO_SHIM};
use self::units::{OURS, UnitOnDisk};
use crate::cli::{Global, Selftest};
use crate::host::root::Root;
use crate::node::facts::{ConfDirChoice, NodeQuery};
use crate::node::settings::mode;
use crate::systemd::unit::{Order, Unit};

/// Every check and what became of it.
///
/// *Shape*: `{"version":1,"image":true,"root":"/","release":"0.1.0","passed":false,"checks":[{..}]}`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct SelftestReport {
    /// Nothing of a boot was expected.
    image: bool,
    root: PathBuf,
    /// The release of this program.
    release: &'static str,
    /// No check failed.
    passed: bool,
    checks: Vec<Check>,
}

impl Report for SelftestReport {
    fn human(&self) -> Page {
        let mut text = Page::new();
        let wide = self.checks.iter().map(|check| check.id.len()).max().unwrap_or_default();
        for Check { id, status, observation, fix } in &self.checks {
            let _ = writeln!(text, "{:<7} {id:<wide$} {observation}", status.as_str());
            if let Some(fix) = fix {
                let _ = writeln!(text, "{:<7} {:<wide$} fix: {fix}", "", "");
            }
        }
        let count = |status| self.checks.iter().filter(|check| check.status == status).count();
        let [ok, failed, skipped] = [Status::Ok, Status::Failed, Status::Skipped].map(count);
        let _ = writeln!(text, "{ok} ok, {failed} failed, {skipped} skipped");
        text
    }

    fn exit(&self) -> Exit {
        if self.passed { Exit::Done } else { Exit::No }
    }

    fn problems(&self) -> Vec<Problem> {
        let failed = self.checks.iter().filter(|check| check.status == Status::Failed);
        failed
            .map(|check| {
                let fix = check.fix.clone().unwrap_or_default();
                Problem::new(check.observation.as_str()).with_place(check.id).fix(fix)
            })
            .collect()
    }
}

/// Looks at everything that can be known.
///
/// # Errors
/// None: what is wrong is in the report, which then ends with 3.
pub(crate) fn selftest(global: &Global, args: &Selftest) -> Result<SelftestReport, Failure> {
    let dir = std::path::absolute(&global.root).unwrap_or_else(|_| global.root.clone());
    let root = Root::new(&dir);
    let global = &Global { root: dir.clone(), ..global.clone() };
    let facts = gather(global, args);
    let settings = CheckedSettings::from_facts(&facts);
    // What is told of the rest is told for what counts in the place of a node.json that cannot be used; that it cannot is told, too.
    let node = &facts.settings;
    let units = UnitOnDisk::gather(&root, node);
    let mut checks = Programs::gather(&root, has_shim(node)).checks();
    checks.extend(unit_checks(&root, node, &units));
    checks.extend(settings.node(args.image));
    checks.extend(if has_shim(node) { settings.policy() } else { settings::check_no_policy() });
    checks.extend(settings.check_hidden(args.image));
    checks.extend(settings::switch(&root));
    checks.extend(network_checks(&facts, &settings));
    checks.extend(match &facts.unusable {
        None => registration::checks(&root, node),
        Some(_) => skip("registration", "there is no valid node.json"),
    });
    checks.extend(places::state(&root));
    checks.extend(places::run(&root));
    if !args.image {
        checks.extend(running::checks(global, &facts, &units));
    }
    Ok(SelftestReport {
        image: args.image,
        root: dir,
        release: env!("CARGO_PKG_VERSION"),
        passed: checks.iter().all(|check| check.status != Status::Failed),
        checks,
    })
}

/// The node, as its next boot will find it. A runtime that may run is asked what it has loaded; for an image none is asked.
fn gather(global: &Global, args: &Selftest) -> NodeFacts {
    let root = Root::new(&global.root);
    let settings = mode::settings(&root);
    let runtime = crate::runtime::facts::gather_configured(&root, &settings.node);
    let runtime = if args.image { runtime } else { crate::runtime::facts::ask(runtime) };
    crate::node::facts::gather(NodeQuery { global, settings, runtime, conf_dir: ConfDirChoice::OfAgents })
        .with_usable_policy()
}

/// Whether pods go through Crossfade's plugin on such a node.
const fn has_shim(node: &Node) -> bool {
    match node.conf_dir {
        Mode::Private | Mode::Shared => true,
        Mode::Without => false,
    }
}

fn unit_checks(root: &Root, node: &Node, all: &[UnitOnDisk]) -> Vec<Check> {
    let boot = Unit::outline(root, OURS[0]).ok().flatten();
    let mut checks = match OURS.map(|unit| systemd::read_enablement(root, unit).map(|state| (unit, state))) {
        [Ok(boot), Ok(watch)] => units::check_enabled(root, &[boot, watch]),
        [Err(why), _] | [_, Err(why)] => skip("unit.enabled", why),
    };
    // What is missing or masked is told above.
    let ours = OURS.into_iter().filter(|unit| matches!(Unit::outline(root, unit), Ok(Some(_))));
    let theirs = all.iter().filter(|unit| unit.loaded_unit().is_some()).map(|unit| unit.name.as_str());
    let names = ours.chain(theirs).chain([systemd::WHOLE_BOOT]);
    let verdicts: Vec<_> = names.map(|unit| (unit.to_owned(), systemd::verify(root, unit))).collect();
    checks.extend(units::check_verified(&verdicts));
    checks.extend(units::drop_ins(all, node));
    checks.extend(units::check_generated(root, all));
    checks.extend(order::order_before(boot.as_ref(), all));
    checks.extend(order::wants(all));
    checks.extend(order::deadlock(&Order::gather(root), boot.as_ref(), all));
    checks.extend(order::commands(all));
    checks
}

/// Runtime and networks.
fn network_checks(facts: &NodeFacts, settings: &CheckedSettings) -> Vec<Check> {
    let NodeFacts { root, settings: node, profiles, .. } = facts;
    let root = &Root::new(root);
    let runtime = Runtime::gather(facts);
    let config = facts.runtime.config();
    let mut checks = runtime.check_parsed();
    if !has_shim(node) {
        for id in ["runtime.told", "delegate.old", "delegate.new", "delegate.directories", "place.conf-dir"] {
            checks.extend(skip(id, NO_SHIM));
        }
        return checks;
    }
    checks.extend(runtime.conf_checks());
    match &settings.policy {
        Ok(policy) => {
            let all = Delegate::gather(root, policy, node, config, profiles);
            checks.extend(all.iter().flat_map(Delegate::check));
        }
        Err(_) => checks
            .extend(["delegate.old", "delegate.new"].map(|id| skip(id, "there is no valid policy")).concat()),
    }
    checks.extend(delegates::directories(root, node, config));
    checks.extend(places::conf_dir(root, node, facts.runtime.agents_dir()));
    checks
}
