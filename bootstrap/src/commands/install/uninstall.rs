//! `uninstall`: removes Crossfade's conf, once nothing is attached through it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use convergence::change::{Act, Change, Write};
use convergence::commands::install::uninstall::{decide, unread_conf_problem};
use convergence::failure::Failure;
use convergence::node::attachments::Attachments;
use convergence::node::conf::LEAVING_FILE;
use convergence::node::facts::NodeFacts;
use convergence::node::paths::{DISABLED, PRIVATE_CONF_DIR, PROOF, STATUS};
use convergence::node::settings::directories::{Directories, OwnConfFile};
use convergence::runtime::CniSetup;
use convergence::runtime::answer::RuntimeAnswer;
use convergence::runtime::facts::RuntimeFacts;
use shim::node::layout::PROBED;
use types::command::exit::Exit;
use types::command::problem::Problem;
use types::node::Mode;

use crate::change::outcome::{ChangeReport, Outcome};
use crate::change::{self, ChangeHandler, Executor};
use crate::cli::{Global, Uninstall, print};
use crate::commands::install::payload::removal::PayloadRemoval;
use crate::host::root::Root;
use crate::node::agent::repair_pause::RepairPause;
use crate::node::cni::{self, PluginChoice};
use crate::node::{attachments, facts, settings};
use crate::publish::removal::{IN_CLUSTER, Removal};
use crate::runtime::cri::Runtime;
use crate::runtime::running_adds::{AddPath, Caller, can_see, wait_for_quiet};
use crate::runtime::{answer, conf_removal, config};

/// How long the runtime may take to load the next conf, and an ADD through Crossfade to end.
const UNUSED_WITHIN: Duration = Duration::from_secs(240);
/// Pause between two tries while something is attached.
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// How many attachments a refusal names.
const NAMED: usize = 10;

/// Uninstalls, or says what that would do.
///
/// # Errors
/// 3 while anything is attached, or while the runtime reads Crossfade's private directory; 75 when a pod was attached meanwhile, and then
/// the conf is back.
pub(crate) fn uninstall(global: &Global, args: &Uninstall) -> Result<ChangeReport, Failure> {
    if !args.wait || global.dry_run {
        return run_once(global, args);
    }
    let mut notes = Vec::new();
    loop {
        match run_once(global, args) {
            Err(failure) if matches!(failure.exit, Exit::No | Exit::TryLater) => {
                let lines = failure.lines();
                if lines != notes {
                    print::print_waiting(&lines);
                    notes = lines;
                }
                std::thread::sleep(TRY_AGAIN);
            }
            other => return other,
        }
    }
}

fn run_once(global: &Global, args: &Uninstall) -> Result<ChangeReport, Failure> {
    let node = gather(global, args)?;
    refuse_attached(&attachments::list(&node.dirs.layout, None)?)?;
    refuse_configured(&node)?;
    let RuntimeFacts { choice, answer, .. } = &node.runtime;
    require_answer(&node.dirs, answer)?;
    if let Some(problem) = unread_conf_problem(&node) {
        return Err(Failure::all(Exit::No, [problem]));
    }
    if let (RuntimeAnswer::Setup(_) | RuntimeAnswer::Silent, Some(endpoint)) = (answer, choice.endpoint()) {
        can_see(endpoint).map_err(Failure::try_later)?;
    }
    let leaving_file =
        Some(node.dirs.conf_dir.join(LEAVING_FILE)).filter(|path| path.symlink_metadata().is_ok());
    let cni = cni::gather(&node, PluginChoice { bin_dirs: &args.bin_dirs, plugin: None });
    let mut changes = decide(&node, &cni, args.purge, leaving_file);
    changes.extend(forget(&node));
    let graduated = node.settings.conf_dir == Mode::Without;
    let leave = args.brought.then(|| PayloadRemoval::gather(graduated)).transpose()?;
    let removal = Removal::gather(&Root::new(&node.root), &node.settings);
    let in_cluster = args.purge.then(|| IN_CLUSTER.to_owned());
    if global.dry_run {
        let (more, mut notes) = leave.map_or_else(Default::default, |leave| (leave.changes, leave.notes));
        changes.extend(more);
        changes.extend(removal.change());
        notes.extend(in_cluster);
        return Ok(ChangeReport::from_plan(changes, notes));
    }
    let leaving = RepairPause::start(&node.dirs.layout)?;
    let parting = UninstallHandler { node: &node, bin_dirs: cni.plugins.paths() };
    let mut done = Executor::new(&Root::default(), parting).apply_all(changes)?;
    drop(leaving);
    let (more, mut notes) = leave.map_or_else(|| Ok(Default::default()), PayloadRemoval::apply)?;
    done.extend(more);
    // Last, because it needs the API server, whose absence must not block uninstalling.
    let (removals, by_hand) = removal.apply();
    done.extend(removals);
    notes.extend(by_hand);
    notes.extend(in_cluster);
    Ok(ChangeReport::from_done(done, notes))
}

/// Gathers the node without guesses: a conf of Crossfade that cannot be read might name other directories.
fn gather(global: &Global, args: &Uninstall) -> Result<NodeFacts, Failure> {
    let settings = settings::require(&Root::new(&global.root))?;
    let node = facts::with_runtime(global, settings, &args.runtime);
    node.dirs.require_readable()?;
    Ok(node)
}

/// Removes Crossfade's conf, and restores it if a pod was attached through it meanwhile.
struct UninstallHandler<'a> {
    node: &'a NodeFacts,
    bin_dirs: Vec<PathBuf>,
}

impl ChangeHandler for UninstallHandler<'_> {
    fn apply(&mut self, change: &Change) -> Option<Result<Outcome, Failure>> {
        let Act::Remove { path, nudge: true } = &change.act else { return None };
        Some(self.remove_conf(path).map(|()| Outcome::Done))
    }
}

impl UninstallHandler<'_> {
    fn remove_conf(&self, path: &Path) -> Result<(), Failure> {
        change::remove(path, true).map_err(|e| Failure::new(Exit::Failed, e))?;
        wait_until_unused(self.node, &self.bin_dirs).or_else(|why| restore_conf(&self.node.dirs, why))?;
        let attached = attachments::list(&self.node.dirs.layout, None)?;
        refuse_attached(&attached).or_else(|mut why| {
            let what = "a pod was attached through Crossfade meanwhile";
            why.problems
                .insert(0, Problem::new(what).with_place(path.display().to_string()).fix("try again"));
            restore_conf(&self.node.dirs, why)
        })
    }
}

fn refuse_attached(attachments: &Attachments) -> Result<(), Failure> {
    // An attachment whose DEL the runtime sends without Crossfade loses nothing.
    let ours: Vec<_> = attachments.attachments.iter().filter(|line| line.deleted_by.is_none()).collect();
    let count = ours.len() + attachments.damaged.len();
    if count == 0 {
        return Ok(());
    }
    let drain = "drain the node and let the runtime remove its sandboxes, or sweep, first";
    let lines = ours.iter().map(|line| {
        let (key, life) = (format!("{} {}", line.container_id, line.ifname), line.life.into_str());
        Problem::new(format!("{key} is {life}")).with_place(format!("attachment {key}")).fix(drain)
    });
    let damaged = attachments.damaged.iter().map(|damaged| {
        let path = damaged.path.display().to_string();
        Problem::new(format!("{path} is damaged")).with_place(path).fix(drain)
    });
    let what = format!("{count} attachments would lose their DEL");
    let mut findings = vec![Problem::new(what).with_place("the attachments of this node").fix(drain)];
    findings.extend(lines.chain(damaged).take(NAMED));
    if count > NAMED {
        let more =
            Problem::new(format!("and {} more", count - NAMED)).with_place("the attachments of this node");
        findings.push(more.fix("see crossfade-bootstrap attachments"));
    }
    Err(Failure::all(Exit::No, findings))
}

/// While Crossfade's conf is installed, or another file is in its place, a runtime must say which conf it uses. A runtime that does not run uses none.
fn require_answer(settings: &Directories, runtime: &RuntimeAnswer) -> Result<(), Failure> {
    let is_installed = settings.installed != OwnConfFile::Absent;
    match runtime {
        RuntimeAnswer::Unknown(why) if is_installed => {
            let fix = "start the runtime, or name the right one; --runtime-endpoint none asks no runtime, and then no pod may be started meanwhile";
            Err(Failure::new(Exit::No, why).with_place("--runtime-endpoint").fix(fix))
        }
        RuntimeAnswer::Failed(why) => {
            let fix = "try again; if it is not the runtime of this node's pods, say --runtime-endpoint none";
            Err(Failure::try_later(why).with_place("--runtime-endpoint").fix(fix))
        }
        RuntimeAnswer::Unknown(_)
        | RuntimeAnswer::NotAsked
        | RuntimeAnswer::Absent(_)
        | RuntimeAnswer::Silent
        | RuntimeAnswer::Setup(_) => Ok(()),
    }
}

/// In private mode a runtime reads Crossfade's directory until it starts again without Crossfade's arguments. Without Crossfade's conf it
/// would have no network, and kubelet could not say why.
fn refuse_configured(node: &NodeFacts) -> Result<(), Failure> {
    match node
        .runtime
        .config()
        .filter(|config| config::require_configured(&Root::new(&node.root), config).is_ok())
    {
        None => Ok(()),
        Some(config) => Err(Failure::new(
            Exit::No,
            format!(
                "{} was told to read {PRIVATE_CONF_DIR} and would be without a network",
                config.kind.as_str()
            ),
        )
        .with_place(PRIVATE_CONF_DIR)
        .fix(format!("touch {DISABLED}, reboot, then uninstall; or replace the node"))),
    }
}

/// What `watch` has found in this boot goes with it: a later installation would show a proof of this one as its own.
fn forget(node: &NodeFacts) -> Vec<Change> {
    let why = "a later installation finds out anew";
    let trees = [node.dirs.layout.run_dir.join(PROOF), Root::new(&node.root).join(PROBED)];
    let there = trees.into_iter().filter(|path| path.symlink_metadata().is_ok());
    let trees = there.map(|path| {
        let target = path.display().to_string();
        Change::new(Act::RemoveTree(path), target, why)
    });
    let status = Root::new(&node.root).entry(STATUS);
    let status = status.symlink_metadata().is_ok().then(|| Change::remove(status, false, why));
    trees.chain(status).collect()
}

/// A pod may be attached between the look and the moment in which the runtime has loaded the next conf.
fn wait_until_unused(node: &NodeFacts, bin_dirs: &[PathBuf]) -> Result<(), Failure> {
    let choice = &node.runtime.choice;
    match &answer::ask(choice) {
        RuntimeAnswer::NotAsked | RuntimeAnswer::Unknown(_) | RuntimeAnswer::Absent(_) => return Ok(()),
        RuntimeAnswer::Failed(why) => return Err(Failure::try_later(why)),
        RuntimeAnswer::Silent => {
            let endpoint = choice.endpoint().unwrap_or_default();
            let read = conf_removal::wait_for_reread(&node.dirs.conf_dir, endpoint, UNUSED_WITHIN);
            read.map_err(|why| {
                Failure::try_later(format!("it is not certain that pods bypass Crossfade by now: {why}"))
            })?;
        }
        RuntimeAnswer::Setup(_) => {
            let unused = |setup: &CniSetup| !setup.has_ours();
            let runtime = Runtime::connect(choice.endpoint().unwrap_or_default())?;
            runtime.wait_for(UNUSED_WITHIN, unused).map_err(|e| Failure::try_later(format!("{e:#}")))?;
        }
    }
    let caller = Caller::connect(choice.endpoint().unwrap_or_default(), bin_dirs)
        .map_err(|e| Failure::try_later(format!("{e:#}")))?;
    wait_for_quiet(AddPath::ThroughUs, caller, UNUSED_WITHIN).map_err(|running| {
        let ids: Vec<String> = running.into_iter().collect();
        let ids = ids.join(", ");
        Failure::try_later(format!("an ADD through Crossfade still runs for {ids}")).with_place(ids)
    })
}

/// Restores Crossfade's conf: a pod that is attached through it, or may still be, needs the conf for its DEL.
fn restore_conf(settings: &Directories, why: Failure) -> Result<(), Failure> {
    let mut problems = why.problems;
    if let Some(conf) = settings.installed.conf() {
        let (path, bytes) = (settings.conf_file(), conf.bytes.clone());
        change::write(&Write { path, bytes, mode: conf.mode, nudge: true }).map_err(|e| {
            let path = settings.conf_file();
            Failure::new(Exit::Failed, format!("put {} back: {e}", path.display())).with_place(path.display())
        })?;
        let path = settings.conf_file().display().to_string();
        problems.push(Problem::new(format!("{path} is back")).with_place(path));
    }
    Err(Failure::all(Exit::TryLater, problems))
}
