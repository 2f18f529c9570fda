//! `boot`: prepares a node before its runtime and kubelet start.
//!
//! Gather ([`gather`]) -> decide ([`mod@decide`], pure) -> apply -> record -> report. Boot uses no network, runs no delegate and waits for
//! nothing. The one program that it may start is containerd, to print containerd's configuration. A second run changes nothing.

pub(crate) mod explain;
pub(crate) mod gather;
mod leavings;
mod owed_dels;

use std::path::PathBuf;

use convergence::change::Change;
use convergence::commands::boot::decide::decide;
use convergence::commands::boot::decision::BootDecision;
use convergence::commands::boot::facts::BootFacts;
use convergence::commands::boot::final_image;
use convergence::failure::Failure;
use convergence::node::facts::NodeFacts;
use convergence::node::paths::{BOOTED, KUBELET_ENV, UNFIT};
use convergence::node::switch::OffSwitch;
use convergence::runtime::facts::RuntimeFacts;
use shim::node::layout::CONF_DIR;

use crate::change::outcome::{ChangeReport, Outcome, finish};
use crate::change::{ChangeHandler, Executor};
use crate::cli::Global;
use crate::host::root::Root;
use crate::kubelet::drop_in;
use crate::node::conf::our_conf;
use crate::node::policy::completion;
use crate::node::settings::{self, mode};
use crate::node::switch;
use crate::runtime::config;

/// Prepares the node, or says what that would take.
///
/// # Errors
/// All findings, before anything is touched; or the change that failed.
pub(crate) fn boot(global: &Global) -> Result<ChangeReport, Failure> {
    let root = Root::new(&global.root);
    let switched_off = switch::off_switch(&root);
    let settings = if switched_off.is_some() { mode::settings(&root) } else { settings::require(&root)? };
    let node = gather::agent_facts(global, settings);
    if let Some(off) = switched_off {
        let BootDecision { changes, notes } = leave(&node, off);
        return finish(global, changes, notes);
    }
    let facts = crate::commands::boot::gather::gather(global, node)?;
    let BootDecision { changes, notes } = decision(&facts)?;
    if global.dry_run {
        return Ok(ChangeReport::from_plan(changes, notes));
    }
    // It takes the ledger's lines where the disk cannot.
    shim::host::journal::init();
    let done =
        Executor::new(&Root::new(&facts.node.root), PolicyCompletionHandler(&facts)).apply_all(changes)?;
    Ok(ChangeReport::from_done(done, notes))
}

/// What `boot` would change on a node, for `explain`.
///
/// # Errors
/// As [`boot`].
fn plan(global: &Global, node: NodeFacts) -> Result<ChangeReport, Failure> {
    let BootDecision { changes, notes } = match (switch::off_switch(&Root::new(&node.root)), &node.unusable) {
        (Some(off), _) => leave(&node, off),
        (None, Some(unusable)) => return Err(Failure::settings(&unusable.why)),
        (None, None) => decision(&crate::commands::boot::gather::gather(global, node)?)?,
    };
    Ok(ChangeReport::from_plan(changes, notes))
}

fn decision(facts: &BootFacts) -> Result<BootDecision, Failure> {
    match &facts.leavings {
        Some(leavings) => final_image::decide(facts, leavings),
        None => decide(facts),
    }
}

/// A completed policy is written only while it is what it was when it was read.
struct PolicyCompletionHandler<'a>(&'a BootFacts);

impl ChangeHandler for PolicyCompletionHandler<'_> {
    fn apply(&mut self, change: &Change) -> Option<Result<Outcome, Failure>> {
        let BootFacts { completion, node, .. } = self.0;
        let completion = completion.as_ref().filter(|completion| completion.is_written_by(change))?;
        Some(
            completion::apply(completion, &Root::new(&node.root), &node.dirs.layout, change.clone())
                .map(|_| Outcome::Done),
        )
    }
}

/// What switching off changes: Crossfade's conf leaves the agents' directory, and no command line changes. In private mode the runtime
/// keeps its directory, which is on tmpfs, until it starts again.
fn leave(NodeFacts { root, runtime, unusable, .. }: &NodeFacts, off: OffSwitch) -> BootDecision {
    let root = &Root::new(root);
    let mut notes = vec![off.to_string()];
    notes.extend(unusable.as_ref().map(|unusable| {
        let why = &unusable.why;
        format!("{why}; if the file means a runtime of an unusual place, Crossfade's conf may still be in the directory that it reads")
    }));
    let mut changes: Vec<Change> = shared_dirs(runtime)
        .iter()
        .filter_map(|dir| our_conf(root, &root.join(dir)))
        .map(|path| Change::remove(path, true, "switched off"))
        .collect();
    let files = [KUBELET_ENV, UNFIT, BOOTED].map(|path| root.entry(path));
    let there = files.into_iter().filter(|path| path.symlink_metadata().is_ok());
    changes.extend(there.map(|path| Change::remove(path, false, "switched off")));
    changes.extend(drop_in::remove(root, "switched off"));
    changes.extend(config::leave(root, runtime.config()));
    BootDecision { changes, notes }
}

/// The directories that may hold Crossfade's conf in shared mode: the one that the runtime names and the usual one, whichever mode node.json
/// names by now.
fn shared_dirs(runtime: &RuntimeFacts) -> Vec<PathBuf> {
    let agents_dir = runtime.agents_dir().to_path_buf();
    let usual = PathBuf::from(CONF_DIR);
    if agents_dir == usual { vec![usual] } else { vec![usual, agents_dir] }
}
