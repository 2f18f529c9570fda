//! The flip of a policy to another phase.

use convergence::node::policy::flip::flip;

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use shim::host::{lock, trust};
use shim::node::layout::{Layout, POLICY_FILE, SETTINGS_DIRS};
use shim::node::policy_file::{self, PolicyError};
use types::policy::{Phase, Policy};

use crate::change::outcome::{ChangeReport, apply};
use crate::host::durable::outlives_reboot;
use crate::host::root::Root;
use crate::node::networks::gated;
use convergence::change::{Act, Change, Write};
use convergence::failure::Failure;
use convergence::node::facts::NodeFacts;
use convergence::node::policy::{file, secondary};
use convergence::node::settings::directories::Directories;
use types::command::exit::Exit;
use types::command::problem::{Problem, Subject};

/// Flips the policy to `phase`; `volatile` allows a place that a reboot empties.
///
/// # Errors
/// Bad settings; 3 when the policy does not allow the phase, or its place does not last.
pub(crate) fn set(
    node: &NodeFacts,
    phase: Phase,
    volatile: bool,
    dry_run: bool,
) -> Result<ChangeReport, Failure> {
    let layout = &node.dirs.layout;
    if dry_run {
        let change = plan(node, phase, volatile)?;
        let notes = warnings(node, &change);
        return Ok(ChangeReport::from_plan(vec![change], notes));
    }
    // Two who flip at once must not undo each other's other changes.
    let flipped = lock::exclusively(layout, "policy", || {
        Ok(plan(node, phase, volatile).and_then(|change| apply(&Root::default(), vec![change])))
    });
    let from = || layout.policy_file().display().to_string();
    let done = flipped.map_err(|e: io::Error| match e.kind() {
        io::ErrorKind::WouldBlock => {
            Failure::try_later("another process is flipping the policy").with_place(from())
        }
        _ => Failure::new(Exit::Failed, format!("lock of the policy: {e}")).with_place(from()),
    })??;
    let notes = done.iter().flat_map(|done| warnings(node, &done.change)).collect();
    Ok(ChangeReport::from_done(done, notes))
}

/// What is to be said of the policy that a change writes.
fn warnings(node: &NodeFacts, change: &Change) -> Vec<String> {
    let Act::Write(write) = &change.act else { return Vec::new() };
    let Ok(policy) = Policy::parse(&write.bytes) else { return Vec::new() };
    [secondary::warnings(&policy, &node.profiles), gated::warnings(&node.dirs.layout, &policy)].concat()
}

/// The change that flips the policy in force to `phase`.
fn plan(node: &NodeFacts, phase: Phase, volatile: bool) -> Result<Change, Failure> {
    let NodeFacts { dirs: Directories { layout, .. }, profiles, .. } = node;
    let from = layout.policy_file();
    let target = self::target(layout)?;
    let unusable = |why: PolicyError| {
        let problem = Problem::new(why.to_string()).with_subject(Subject::Policy);
        Failure::from_problem(Exit::BadSettings, problem.with_place(from.display().to_string()))
    };
    let bytes = policy_file::read(&from).map_err(unusable)?;
    let now = policy_file::parse(&from, &bytes).map_err(unusable)?.phase();
    let shown = target.display().to_string();
    let refused = |why: String| Failure::new(Exit::No, why);
    let flipped = flip(&bytes, phase, profiles).map_err(refused)?;
    if now == phase && from == target && flipped == bytes {
        return Ok(Change::new(Act::Keep, shown, format!("in phase {phase} already")));
    }
    secondary::parse(&flipped, profiles).map_err(|why| {
        refused(format!("the policy does not allow the phase {phase}: {why}")).with_place(from.display())
    })?;
    if !volatile {
        outlives_reboot(&target).map_err(|why| {
            Failure::new(Exit::No, why)
                .with_place(target.display())
                .fix("keep the policy on a disk (/etc/crossfade), or say --runtime if that is meant")
        })?;
    }
    let mode = from.metadata().map_or(POLICY_MODE, |meta| meta.mode() & 0o7777);
    let moved = if from == target { String::new() } else { format!("; from {}", from.display()) };
    Ok(Change::new(
        Act::Write(Write { path: target, bytes: flipped, mode, nudge: false }),
        shown,
        format!("{now} -> {phase}{moved}"),
    ))
}

/// The file that is rewritten: the named one, else that in /etc. A link is followed, so that it stays one.
fn target(layout: &Layout) -> Result<PathBuf, Failure> {
    let place = layout.policy.clone().unwrap_or_else(|| Path::new(SETTINGS_DIRS[0]).join(POLICY_FILE));
    match trust::resolve(&place) {
        Ok(real) => Ok(real),
        Err(why) if why.is_absent() => Ok(place),
        Err(why) => {
            let problem = file::problem(&place, &why.to_string()).with_place(place.display().to_string());
            Err(Failure::from_problem(Exit::BadSettings, problem))
        }
    }
}

/// Mode of a policy file that Crossfade makes: the file holds no secret.
const POLICY_MODE: u32 = 0o644;
