//! `install`: installs Crossfade on a running node.

pub(crate) mod facts;
pub(crate) mod payload;
pub(crate) mod uninstall;

use std::time::Duration;

use convergence::change::obstacles::Obstacles;
use convergence::change::{Act, Change};
use convergence::commands::install::decide::{InstallDecision, InstallOptions, decide, left_out, names};
use convergence::commands::install::facts::InstallFacts;
use convergence::commands::install::inventory::{InventoryFacts, take};
use convergence::failure::Failure;
use convergence::node::facts::NodeFacts;
use convergence::node::networks::gated::Keeper;
use convergence::node::networks::needed_sides;
use convergence::node::settings::Settings;
use convergence::runtime::CniSetup;
use convergence::runtime::answer::RuntimeAnswer;
use shim::node::layout::{Layout, POLICY_FILE};
use shim::node::store::Store;
use types::command::exit::Exit;
use types::command::problem::Problem;
use types::policy::Policy;

use self::payload::Plan;
use self::payload::load::Load;
use crate::change::outcome::{ChangeReport, Done, Outcome, apply};
use crate::change::{self, ChangeHandler, Executor, settle};
use crate::cli::{Global, Install};
use crate::host::chroot;
use crate::host::root::Root;
use crate::node::agent::watch_unit;
use crate::node::conf::read_name;
use crate::node::networks::gated;
use crate::node::policy::completion;
use crate::node::{attachments, settings, switch};
use crate::publish::removal::remove_leftovers;
use crate::runtime::cri::Runtime;
use crate::runtime::running_adds::{AddPath, Caller, wait_for_quiet};
use crate::runtime::{cache, conf_reading};

/// How long the runtime may take to load Crossfade's conf, and an ADD under the earlier conf to end: kubelet gives an ADD four minutes.
const LOADED_WITHIN: Duration = Duration::from_secs(240);

/// Installs, or says what installing would do.
///
/// # Errors
/// All findings, before anything is touched; or the change that failed.
pub(crate) fn install(global: &Global, args: &Install) -> Result<ChangeReport, Failure> {
    if args.units && global.host.is_none() {
        let why = "--units needs --host: without it the programs and units would be copied from this machine to itself";
        return Err(Failure::usage(why)
            .with_place("--units")
            .fix("add --host, with the node's root directory"));
    }
    let load = Load::read(args, &global.profiles)?;
    chroot::enter(global)?;
    let brings = !load.items.is_empty();
    refuse_node(global)?;
    match switch::off_switch(&Root::default()) {
        // The pod of a DaemonSet goes on: it installs when the node is switched on.
        Some(off) if brings => {
            return Ok(ChangeReport::from_done(
                Vec::new(),
                vec![format!("{off}; nothing is brought nor installed")],
            ));
        }
        // `watch` would take Crossfade's conf away again.
        Some(off) => return Err(Failure::from_problem(Exit::No, off.problem())),
        None => {}
    }
    if load.units {
        watch_unit::check().map_err(|why| {
            let fix = "let watch run in a pod (deploy/pod.yaml)";
            Failure::new(Exit::No, format!("--units: {why}")).with_place("--units").fix(fix)
        })?;
    }
    let plan = Plan::decide(&load, args.overwrite)?;
    if global.dry_run && plan.writes() {
        let mut notes = plan.notes;
        notes.push("what installing takes is seen once these are there".into());
        return Ok(ChangeReport::from_plan(plan.changes, notes));
    }
    let (news, mut notes) = (plan.writes(), plan.notes.clone());
    let mut done = Vec::new();
    if brings && !global.dry_run {
        let settings = match plan.node() {
            Some(brought) => Settings { node: brought, ..Settings::default() },
            None => settings::require(&Root::new(&global.root))?,
        };
        done.extend(apply_before_policy(
            &plan,
            &crate::node::facts::gather_from_files(global, settings),
            &mut notes,
        )?);
        done.extend(plan.apply()?);
    }
    // What was brought counts.
    let facts =
        crate::commands::install::facts::gather(global, settings::require(&Root::new(&global.root))?, args);
    let InstallDecision { changes, notes: more } = decide(&facts, options(args))?;
    let changes = without_needless_confirm(changes);
    notes.extend(more);
    if global.dry_run {
        return Ok(ChangeReport::from_plan(changes, notes));
    }
    let installing = InstallHandler { facts: &facts, args, notes: Vec::new() };
    notes.extend(installing.apply_all(changes, &mut done)?);
    if load.units {
        done.extend(apply(&Root::default(), convergence::node::agent::watch_unit::start(news))?);
    }
    Ok(ChangeReport::from_done(done, notes))
}

/// Refuses a node without Crossfade's plugin, and a tree that is not a running node.
fn refuse_node(global: &Global) -> Result<(), Failure> {
    let root = Root::new(&global.root);
    // A node.json that cannot be used may be among what is to be replaced.
    if let Some(why) = settings::require(&root).ok().and_then(|settings| settings.without_plugin()) {
        return Err(Failure::all(Exit::No, [why]));
    }
    if root.is_node() {
        return Ok(());
    }
    let why = "install takes over the pods of a node that runs, and --root names a tree that does not";
    Err(Failure::usage(why).with_place("--root").fix(
        "give an image its policy and settings with bake; for a node that a pod has mounted, say --host",
    ))
}

/// Writes the files that ADDs through Crossfade may wait for as soon as the policy that a pod brings is in force.
fn apply_before_policy(plan: &Plan, node: &NodeFacts, notes: &mut Vec<String>) -> Result<Vec<Done>, Failure> {
    let brought = plan.content_for(POLICY_FILE).and_then(|bytes| Policy::parse(bytes).ok());
    let Some(policy) = brought else { return Ok(Vec::new()) };
    let before = node.policy().filter(|_| node.own_conf().is_some());
    let waiting = gated::gather(&policy, before, &node.profiles);
    let mut obstacles = Obstacles::default();
    let files = convergence::node::networks::gated::decide(
        &waiting,
        &Keeper::Watch,
        &needed_sides(&policy),
        &mut obstacles,
        notes,
    );
    if !obstacles.findings.is_empty() {
        return Err(obstacles.failure());
    }
    apply(&Root::default(), files)
}

/// The failure of one change, with what is left undone and the next step.
fn with_unfinished(
    mut failure: Failure,
    (target, object): (&str, &str),
    before: usize,
    is_unit: bool,
) -> Failure {
    if is_unit {
        let rest =
            "everything else is installed; until the unit runs, nothing writes the files that pods wait for";
        failure.problems.push(Problem::new(rest).with_place(object));
        return failure;
    }
    let change = if failure.names_change { String::new() } else { format!("{target}: ") };
    let named = |why: String| {
        let what = format!("{change}{why} (after {before} changes)");
        Problem::new(what).with_place(object).fix("remove the cause, then run install again")
    };
    Failure::all(failure.exit, failure.lines().into_iter().map(named))
}

/// The changes that `install` carries out in its own way: it completes the policy, and it confirms that the runtime uses Crossfade's conf.
struct InstallHandler<'a> {
    facts: &'a InstallFacts,
    args: &'a Install,
    notes: Vec<String>,
}

impl InstallHandler<'_> {
    /// Carries out the changes behind those that are `done`; what it learnt on the way comes back.
    fn apply_all(self, changes: Vec<Change>, done: &mut Vec<Done>) -> Result<Vec<String>, Failure> {
        let root = Root::default();
        let mut executor = Executor::new(&root, self);
        for change in changes {
            let target = format!("{} {}", change.act.word(), change.target);
            let object = change.target.clone();
            let is_unit = matches!(change.act, Act::Systemctl(_));
            let applied = executor.apply(change).map_err(|failure| {
                let before = done.iter().filter(|done| done.outcome.is_some()).count();
                with_unfinished(failure, (&target, &object), before, is_unit)
            });
            done.push(applied?);
        }
        Ok(executor.into_means().notes)
    }
}

impl ChangeHandler for InstallHandler<'_> {
    fn apply(&mut self, change: &Change) -> Option<Result<Outcome, Failure>> {
        let layout = &self.facts.node.dirs.layout;
        if let Some(completion) =
            self.facts.completion.as_ref().filter(|completion| completion.is_written_by(change))
        {
            let done = completion::apply(completion, &Root::default(), layout, change.clone());
            return Some(done.map(|_| Outcome::Done));
        }
        match &change.act {
            Act::Retract => Some(Ok(remove_leftovers(&Root::default(), &self.facts.node.settings)
                .unwrap_or_else(|why| {
                    self.notes.push(why);
                    Outcome::Skipped
                }))),
            Act::Confirm => Some(confirm(self.facts, self.args, &mut self.notes).map(|()| Outcome::Done)),
            Act::Write(write) if write.nudge && self.facts.node.runtime.answer == RuntimeAnswer::Silent => {
                // Where the plugin marks that CRI-O has read the conf.
                let result = shim::host::file::create_private_dir(&Layout::default().run_dir);
                result.err().map(|error| Err(Failure::new(Exit::Failed, error)))
            }
            // The executor names all acts, and refuses one that it has no means for.
            _ => None,
        }
    }
}

fn options(args: &Install) -> InstallOptions<'_> {
    InstallOptions {
        has_bin_dirs: !args.bin_dirs.is_empty(),
        accepted: &args.accepted,
        ignored: &args.ignored,
        uncached: args.uncached,
        ignored_sandboxes: &args.ignored_sandboxes,
        cni_version: args.cni_version.as_ref().map(|version| version.as_str()),
    }
}

/// A conf that is kept has nothing to be confirmed.
fn without_needless_confirm(changes: Vec<Change>) -> Vec<Change> {
    let mut changes: Vec<Change> = changes.into_iter().map(settle).collect();
    let is_written = changes.iter().any(|change| matches!(&change.act, Act::Write(write) if write.nudge));
    changes.retain(|change| is_written || !matches!(change.act, Act::Confirm));
    changes
}

/// Waits until the runtime has loaded Crossfade's conf, then takes the inventory again. Until then pods were attached by the earlier conf,
/// some of them after the first inventory. Once the earlier conf's ADDs have ended, the cache is complete: every later pod comes through
/// Crossfade.
fn confirm(facts: &InstallFacts, args: &Install, notes: &mut Vec<String>) -> Result<(), Failure> {
    let failed = |why: String| Failure::new(Exit::Failed, why);
    // It is written by now, for the conf comes last.
    let name = read_name(&facts.node.dirs.layout.name()).map_err(failed)?.unwrap_or_default();
    match &facts.node.runtime.answer {
        RuntimeAnswer::NotAsked | RuntimeAnswer::Unknown(_) | RuntimeAnswer::Absent(_) | RuntimeAnswer::Failed(_) => notes.push(
            "no runtime told whether it uses the conf; run install again in a while, so that what was attached meanwhile is listed".into(),
        ),
        RuntimeAnswer::Silent => {
            // CRI-O has read Crossfade's conf, and uses it as soon as no ADD of the earlier conf holds it up.
            let endpoint = facts.node.runtime.choice.endpoint().unwrap_or_default();
            conf_reading::wait(endpoint, &facts.node.dirs.conf_file(), LOADED_WITHIN).map_err(|why| {
                Failure::try_later(format!(
                    "it is not confirmed that pods come through Crossfade: {why}. Pods that start now may bypass Crossfade; an ADD or DEL \
                     that hangs holds CRI-O up"
                ))
                .with_place(facts.node.dirs.conf_file().display())
            })?;
            require_quiet(facts)?;
        }
        RuntimeAnswer::Setup(_) => {
            let runtime = Runtime::connect(facts.node.runtime.choice.endpoint().unwrap_or_default())?;
            let loaded = |setup: &CniSetup| setup.is_ours(&name);
            runtime.wait_for(LOADED_WITHIN, loaded).map_err(|e| Failure::try_later(format!("{e:#}")))?;
            require_quiet(facts)?;
        }
    }
    let now = facts.now.clone().map_err(failed)?;
    let cache = cache::gather(&args.cache_dir).map_err(|e| failed(e.to_string()))?;
    let recorded = attachments::recorded_keys(&Store::new(&facts.node.dirs.layout)).map_err(failed)?;
    let listed = attachments::listed_keys(&facts.node.dirs).map_err(failed)?;
    let late = take(
        &cache,
        &InventoryFacts {
            names: &names(facts),
            unrecorded: facts.node.policy().and_then(|policy| policy.unrecorded),
            accepted: &args.accepted,
            left_out: &left_out(facts, options(args)),
            recorded: &recorded,
            listed: &listed,
            deleter: facts.deleter,
            now: &now,
        },
    );
    notes.extend(late.findings.iter().map(Problem::to_string));
    if !late.entries.is_empty() {
        change::inventory::list(&facts.node.dirs.layout, &late.entries).map_err(|e| failed(e.to_string()))?;
        notes.push(format!(
            "{} attachments were made during the installation; they are listed, too",
            late.entries.len()
        ));
    }
    Ok(())
}

fn require_quiet(facts: &InstallFacts) -> Result<(), Failure> {
    let caller =
        Caller::connect(facts.node.runtime.choice.endpoint().unwrap_or_default(), &facts.cni.plugins.paths())
            .map_err(|e| Failure::try_later(format!("{e:#}")))?;
    wait_for_quiet(AddPath::PastUs, caller, LOADED_WITHIN).map_err(|running| {
        let ids: Vec<String> = running.into_iter().collect();
        let ids = ids.join(", ");
        Failure::try_later(format!("an ADD under the conf before Crossfade's still runs for {ids}"))
            .with_place(ids)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_its_change_once() {
        let bare = || Failure::try_later("busy").fix("wait");
        let full = Failure { names_change: true, ..Failure::try_later("write /x: busy").fix("wait") };
        for failure in [bare(), full] {
            let failure = with_unfinished(failure, ("write /x", "/x"), 2, false);
            let problem = Problem::new("write /x: busy; wait (after 2 changes)").with_place("/x");
            assert_eq!(failure.problems, [problem.fix("remove the cause, then run install again")]);
            assert_eq!(failure.exit, Exit::TryLater);
        }
        let unit = with_unfinished(bare(), ("run it", "it"), 2, true);
        assert_eq!((unit.problems.len(), unit.problems[0].what.as_str()), (2, "busy"));
    }
}
