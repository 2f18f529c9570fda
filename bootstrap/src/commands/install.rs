//! `install`: gather, decide, apply, report.

pub mod decide;
pub mod facts;
pub mod inventory;
pub mod payload;
pub mod uncached;
pub mod uninstall;

use std::path::{Path, PathBuf};
use std::time::Duration;

use shim::layout::{Layout, POLICY_FILE};
use shim::policy_file;
use shim::store::Store;
use types::policy::Policy;
use types::problem::Problem;

use self::decide::{Decision, InTheWay, decide, left_out, names, needed};
use self::facts::Facts;
use self::inventory::{Known, take};
use self::payload::{Plan, load::Load};
use crate::change::outcome::{Changed, Done, Outcome};
use crate::change::{self, Act, Change};
use crate::cli::exit::{Exit, Failure};
use crate::cli::{Global, Install};
use crate::node::directories::Directories;
use crate::node::evidence::{self, Keeper};
use crate::node::host;
use crate::node::paths::{PROBED, Root};
use crate::node::settings;
use crate::node::switch;
use crate::runtime::CniSetup;
use crate::runtime::adding::{Caller, Way, wait_for_quiet};
use crate::runtime::asked::Asked;
use crate::runtime::cache::Cache;
use crate::runtime::cri::Runtime;
use crate::runtime::unread;
use crate::systemd::systemctl;
use crate::watch::apply::OPEN_DIR;

/// How long the runtime may take to load our conf, and an ADD under the conf before to end: kubelet gives one four minutes.
const LOADED_WITHIN: Duration = Duration::from_secs(240);

/// Installs, or says what installing would do.
///
/// # Errors
/// All findings, before anything is touched; or the change that failed.
pub fn install(global: &Global, wanted: &Install) -> Result<Changed, Failure> {
    if wanted.units && global.host.is_none() {
        return Err(Failure::new(
            Exit::Usage,
            "--units needs --host: without it the programs and units would be copied from this machine to itself",
        ));
    }
    let load = Load::of(wanted)?;
    host::enter(global)?;
    if let Some(why) = settings::without_plugin(&Root::new(&global.root)) {
        return Err(Failure::new(Exit::No, why));
    }
    if !Root::new(&global.root).is_node() {
        return Err(Failure::new(
            Exit::Usage,
            "install takes over the pods of a node that runs, and --root names a tree that does not: an image gets its policy and \
             settings from bake; of a node that a pod has mounted, say --host",
        ));
    }
    let brings = !load.items.is_empty();
    if let Some(off) = switch::off(&Root::default()).filter(|_| brings) {
        return Ok(Changed::applied(Vec::new(), vec![format!("{off}; nothing is brought nor installed")]));
    }
    if load.units {
        systemctl::check().map_err(|why| {
            Failure::new(Exit::No, format!("--units: {why}; let watch run in a pod (deploy/pod.yaml)"))
        })?;
    }
    let plan = Plan::of(&load, wanted.overwrite)?;
    if global.dry_run && plan.writes() {
        let mut notes = plan.notes;
        notes.push("what installing takes is seen once these are there".into());
        return Ok(Changed::planned(plan.changes, notes));
    }
    let (news, mut notes) = (plan.writes(), plan.notes.clone());
    let mut done = Vec::new();
    if brings && !global.dry_run {
        done.extend(before_the_policy(&plan, &Directories::gather(global), &mut notes)?);
        done.extend(plan.carry_out()?);
    }
    // What was brought counts.
    let facts = Facts::gather(Directories::gather(global), wanted);
    let Decision { changes, notes: more } = decide(&facts, wanted)?;
    notes.extend(more);
    if global.dry_run {
        return Ok(Changed::planned(changes, notes));
    }
    for change in changes {
        if let Some(completion) = facts.completion.as_ref().filter(|one| one.is(&change)) {
            done.push(completion.apply(&Root::default(), &facts.settings.layout, change)?);
            continue;
        }
        if matches!(change.act, Act::Systemctl(_)) {
            done.extend(systemctl::carry_out(vec![change]).map_err(|mut failure| {
                failure.problems.push(
                    "everything else is installed; until the unit runs, nothing writes the files that pods wait for".into(),
                );
                failure
            })?);
            continue;
        }
        let outcome = apply(&facts, wanted, &change, &mut notes).map_err(|failure| {
            let before = done.iter().filter(|done: &&Done| done.outcome.is_some()).count();
            let failed = |why: String| {
                let what = format!("{} {}: {why} (after {before} changes)", change.act.word(), change.target);
                Problem::new(what).at(change.target.as_str()).fix("remove the cause, then run install again")
            };
            Failure::all(failure.exit, failure.lines().into_iter().map(failed))
        })?;
        done.push(Done { change, outcome });
    }
    if load.units {
        done.extend(systemctl::carry_out(systemctl::start(news))?);
    }
    Ok(Changed::applied(done, notes))
}

/// What a pod brings may have ADDs through us wait from the moment that it is written.
fn before_the_policy(
    plan: &Plan,
    settings: &Directories,
    notes: &mut Vec<String>,
) -> Result<Vec<Done>, Failure> {
    let brought = plan.changes.iter().find_map(|change| match &change.act {
        Act::Write(write) if write.path.ends_with(POLICY_FILE) => Policy::parse(&write.bytes).ok(),
        _ => None,
    });
    let Some(policy) = brought else { return Ok(Vec::new()) };
    let before = policy_file::load(&settings.layout.policy_file()).ok().filter(|_| settings.has_ours());
    let waiting = evidence::waiting(&policy, before.as_ref());
    let mut way = InTheWay::default();
    let files = evidence::decide(&waiting, &Keeper::Watch, &needed(&policy), &mut way, notes);
    if !way.findings.is_empty() {
        return Err(way.failure());
    }
    crate::change::outcome::carry_out(&Root::default(), files)
}

fn apply(
    facts: &Facts,
    wanted: &Install,
    change: &Change,
    notes: &mut Vec<String>,
) -> Result<Option<Outcome>, Failure> {
    let io = |e: std::io::Error| Failure::new(Exit::Failed, e);
    let layout = &facts.settings.layout;
    match &change.act {
        Act::Keep => return Ok(None),
        Act::Write(write) => {
            if write.nudge && facts.asked == Asked::Silent {
                // Where the plugin marks that CRI-O has read the conf.
                shim::file::create_private_dir(&Layout::default().run_dir).map_err(io)?;
            }
            if write.path.starts_with(PROBED) && !Path::new(PROBED).is_dir() {
                shim::trust::create_dir(Path::new(PROBED), OPEN_DIR).map_err(|why| io(why.into()))?;
            }
            if write.path.starts_with(&layout.state_dir) {
                shim::file::create_private_dir(&layout.state_dir).map_err(io)?;
            }
            change::write(write).map_err(io)?;
        }
        Act::List(entries) => change::list(layout, entries).map_err(io)?,
        Act::Remove { path, nudge } => change::remove(path, *nudge).map_err(io)?,
        Act::Confirm => confirm(facts, wanted, notes)?,
        Act::Close(..)
        | Act::CloseEntry(_)
        | Act::HostRoutes
        | Act::Ledger { .. }
        | Act::Unlock(_)
        | Act::Wait
        | Act::RemoveTree(_)
        | Act::Empty(_)
        | Act::MakeDir(_)
        | Act::SetAside { .. }
        | Act::Mark { .. }
        | Act::Start { .. }
        | Act::Retract
        | Act::Systemctl(_) => {}
    }
    Ok(Some(Outcome::Done))
}

/// Pods were attached by the conf before ours until the runtime had loaded ours, some of them after the inventory was
/// taken. Once it has, and those ADDs have ended, the cache is complete: whatever comes now comes through us.
fn confirm(facts: &Facts, wanted: &Install, notes: &mut Vec<String>) -> Result<(), Failure> {
    let failed = |why: String| Failure::new(Exit::Failed, why);
    // It is written by now, for the conf comes last.
    let name = facts::name(&facts.settings.layout.name()).map_err(failed)?.unwrap_or_default();
    match &facts.asked {
        Asked::NotAsked | Asked::Unknown(_) | Asked::Absent(_) | Asked::Unanswered(_) => notes.push(
            "no runtime told whether it uses the conf; run install again in a while, so that what was attached meanwhile is listed".into(),
        ),
        Asked::Silent => {
            // It has read our conf, and takes it over as soon as no ADD of the conf before holds it up.
            let endpoint = facts.whom.endpoint().unwrap_or_default();
            unread::wait(endpoint, &facts.settings.conf_file(), LOADED_WITHIN).map_err(|why| {
                Failure::later(format!(
                    "it is not confirmed that pods come through us: {why}. Pods that start now may be attached past us; an ADD or DEL that \
                     hangs holds CRI-O up"
                ))
            })?;
            quiet(facts)?;
        }
        Asked::Told(_) => {
            let runtime = Runtime::at(facts.whom.endpoint().unwrap_or_default())?;
            let loaded = |setup: &CniSetup| setup.is_ours(&name);
            runtime.wait_for(LOADED_WITHIN, loaded).map_err(|e| Failure::later(format!("{e:#}")))?;
            quiet(facts)?;
        }
    }
    let now = facts.now.clone().map_err(failed)?;
    let cache = Cache::read(&wanted.cache_dir).map_err(|e| failed(e.to_string()))?;
    let recorded = facts::recorded(&Store::new(&facts.settings.layout)).map_err(failed)?;
    let listed = facts::listed(&facts.settings).map_err(failed)?;
    let late = take(
        &cache,
        &Known {
            names: &names(facts),
            unrecorded: facts.policy.as_ref().ok().and_then(|policy| policy.unrecorded),
            accepted: &wanted.accepted,
            left_out: &left_out(facts, wanted),
            recorded: &recorded,
            listed: &listed,
            deleter: facts.deleter,
            now: &now,
        },
    );
    notes.extend(late.findings);
    if !late.entries.is_empty() {
        change::list(&facts.settings.layout, &late.entries).map_err(|e| failed(e.to_string()))?;
        notes.push(format!(
            "{} attachments were made while we installed; they are listed, too",
            late.entries.len()
        ));
    }
    Ok(())
}

fn quiet(facts: &Facts) -> Result<(), Failure> {
    let bin_dirs: Vec<PathBuf> = facts.bin_dirs.iter().map(|dir| dir.path.clone()).collect();
    let caller = Caller::at(facts.whom.endpoint().unwrap_or_default(), &bin_dirs)
        .map_err(|e| Failure::later(format!("{e:#}")))?;
    wait_for_quiet(Way::PastUs, caller, LOADED_WITHIN).map_err(|running| {
        let ids: Vec<String> = running.into_iter().collect();
        Failure::later(format!("an ADD under the conf before ours still runs for {}", ids.join(", ")))
    })
}
