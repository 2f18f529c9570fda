//! `boot`: prepares a node before its runtime and kubelet start.
//!
//! Gather ([`gather`]) -> decide ([`mod@decide`], pure) -> apply -> record -> report. It asks nobody over a network, runs no delegate and waits
//! for nothing; the one program that it may start is containerd, to print its configuration. Running it again changes nothing.

pub mod decide;
pub mod gather;
mod owed;
mod without;

use std::path::PathBuf;

use shim::layout::CONF_DIR;

use self::decide::{Decision, decide};
use self::gather::Facts;
use crate::change::Change;
use crate::change::outcome::{Changed, carry_out, finish};
use crate::cli::Global;
use crate::cli::exit::Failure;
use crate::commands::render;
use crate::node::paths::{BOOTED, KUBELET_ENV, Root, UNFIT};
use crate::node::settings;
use crate::node::switch;
use crate::runtime::config::{self, RuntimeConfig};

/// Prepares the node, or says what that would take.
///
/// # Errors
/// All findings, before anything is touched; or the change that failed.
pub fn boot(global: &Global) -> Result<Changed, Failure> {
    let root = Root::new(&global.root);
    if let Some(off) = switch::off(&root) {
        return finish(global, leave(&root), vec![off.to_string()]);
    }
    let facts = Facts::gather(global)?;
    let Decision { changes, notes } = decide(&facts)?;
    if global.dry_run {
        return Ok(Changed::planned(changes, notes));
    }
    // It takes the ledger's lines where the disk cannot.
    shim::journal::init();
    let mut done = Vec::with_capacity(changes.len());
    for change in changes {
        match facts.completion.as_ref().filter(|one| one.is(&change)) {
            Some(completion) => done.push(completion.apply(&facts.root, &facts.layout, change)?),
            None => done.extend(carry_out(&facts.root, vec![change])?),
        }
    }
    Ok(Changed::applied(done, notes))
}

/// What switching off takes: our conf out of the directory that is not ours, and nothing for anybody's command line. What the
/// runtime reads in private mode stays until it is started again; it is on tmpfs.
fn leave(root: &Root) -> Vec<Change> {
    let mut changes: Vec<Change> = shared_dirs(root)
        .iter()
        .filter_map(|dir| gather::our_conf(root, &root.at(dir)))
        .map(|path| Change::remove(path, true, "switched off"))
        .collect();
    let files = [KUBELET_ENV, UNFIT, BOOTED].map(|path| root.entry(path));
    let there = files.into_iter().filter(|path| path.symlink_metadata().is_ok());
    changes.extend(there.map(|path| Change::remove(path, false, "switched off")));
    changes.extend(render::remove_drop_ins(root, "switched off"));
    changes.extend(config::leave(root));
    changes
}

/// Where our conf may be in shared mode: what the runtime says, and the usual place, whatever node.json says by now.
fn shared_dirs(root: &Root) -> Vec<PathBuf> {
    let config = RuntimeConfig::gather(root, &settings::load(root).unwrap_or_default()).ok().flatten();
    let told = gather::usual_dir(config.as_ref()).to_path_buf();
    let usual = PathBuf::from(CONF_DIR);
    if told == usual { vec![usual] } else { vec![usual, told] }
}
