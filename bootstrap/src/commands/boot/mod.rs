//! `boot`: prepares a node before its runtime and kubelet start.
//!
//! Gather ([`gather`]) -> decide ([`mod@decide`], pure) -> apply -> record -> report. Boot uses no network, runs no delegate and waits for
//! nothing. The one program that it may start is containerd, to print containerd's configuration. A second run changes nothing.

pub mod decide;
mod decision;
pub mod explain;
mod final_image;
pub mod gather;
mod leavings;
mod owed;

use std::path::PathBuf;

use shim::layout::CONF_DIR;

use self::decide::decide;
use self::decision::BootDecision;
use self::gather::BootFacts;
use crate::change::outcome::{Changed, Outcome, finish};
use crate::change::{Change, Executor, Means};
use crate::cli::Global;
use crate::cli::exit::Failure;
use crate::kubelet::drop_in;
use crate::node::conf::our_conf;
use crate::node::paths::{BOOTED, KUBELET_ENV, Root, UNFIT};
use crate::node::{settings, switch};
use crate::runtime::config::{self, RuntimeConfig, agents_dir};

/// Prepares the node, or says what that would take.
///
/// # Errors
/// All findings, before anything is touched; or the change that failed.
pub fn boot(global: &Global) -> Result<Changed, Failure> {
    let root = Root::new(&global.root);
    if let Some(off) = switch::off(&root) {
        return finish(global, leave(&root), vec![off.to_string()]);
    }
    let facts = BootFacts::gather(global)?;
    let BootDecision { changes, notes } = match &facts.without {
        Some(left) => final_image::decide(&facts, left)?,
        None => decide(&facts)?,
    };
    if global.dry_run {
        return Ok(Changed::planned(changes, notes));
    }
    // It takes the ledger's lines where the disk cannot.
    shim::journal::init();
    let done = Executor::new(&facts.node.root, Completing(&facts)).carry_out(changes)?;
    Ok(Changed::applied(done, notes))
}

/// A completed policy is written only while it is what it was when it was read.
struct Completing<'a>(&'a BootFacts);

impl Means for Completing<'_> {
    fn carry_out(&mut self, change: &Change) -> Option<Result<Outcome, Failure>> {
        let BootFacts { completion, node, .. } = self.0;
        let completion = completion.as_ref().filter(|one| one.is(change))?;
        Some(completion.apply(&node.root, &node.dirs.layout, change.clone()).map(|_| Outcome::Done))
    }
}

/// What switching off changes: Crossfade's conf leaves the agents' directory, and no command line changes. In private mode the runtime
/// keeps its directory, which is on tmpfs, until it starts again.
fn leave(root: &Root) -> Vec<Change> {
    let mut changes: Vec<Change> = shared_dirs(root)
        .iter()
        .filter_map(|dir| our_conf(root, &root.at(dir)))
        .map(|path| Change::remove(path, true, "switched off"))
        .collect();
    let files = [KUBELET_ENV, UNFIT, BOOTED].map(|path| root.entry(path));
    let there = files.into_iter().filter(|path| path.symlink_metadata().is_ok());
    changes.extend(there.map(|path| Change::remove(path, false, "switched off")));
    changes.extend(drop_in::remove(root, "switched off"));
    changes.extend(config::leave(root));
    changes
}

/// The directories that may hold Crossfade's conf in shared mode: the one that the runtime names and the usual one, whatever node.json says
/// by now.
fn shared_dirs(root: &Root) -> Vec<PathBuf> {
    let config = RuntimeConfig::gather(root, &settings::load(root).unwrap_or_default()).ok().flatten();
    let told = agents_dir(config.as_ref()).to_path_buf();
    let usual = PathBuf::from(CONF_DIR);
    if told == usual { vec![usual] } else { vec![usual, told] }
}
