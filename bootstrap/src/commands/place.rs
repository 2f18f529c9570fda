//! `place`: puts the package's plugin where the runtime looks for it. `watch` starts it as a unit of its own, for the unit of `watch`
//! sees the runtime's directories read-only, and which they are is not known before the runtime tells.

use std::path::PathBuf;

use shim::layout::PACKAGED_PLUGIN;
use shim::trust;
use types::problem::Problem;

use crate::change::outcome::{Changed, finish};
use crate::cli::exit::{Exit, Failure};
use crate::cli::{Global, Place};
use crate::node::packaged_plugin::Plugins;
use crate::node::paths::Root;
use crate::node::switch;

/// Puts the plugin into the directories, or says what that would change.
///
/// # Errors
/// The package's plugin is missing or not trusted, or a user other than root could change a directory.
pub fn place(global: &Global, wanted: &Place) -> Result<Changed, Failure> {
    let root = Root::new(&global.root);
    if let Some(off) = switch::off(&root) {
        return Ok(Changed::applied(Vec::new(), vec![off.to_string()]));
    }
    let distrusted = |dir: &PathBuf| {
        let why = trust::check_dir(dir).err()?;
        Some(Problem::new(why.to_string()).at(dir.display().to_string()))
    };
    let mut findings: Vec<Problem> = wanted.bin_dirs.iter().filter_map(distrusted).collect();
    if let Err(why) = trust::open(&root.at(PACKAGED_PLUGIN)) {
        findings.push(Problem::new(format!("the package's plugin: {why}")).at(PACKAGED_PLUGIN));
    }
    if !findings.is_empty() {
        return Err(Failure::all(Exit::No, findings));
    }
    finish(global, Plugins::look(&root.at(PACKAGED_PLUGIN), &wanted.bin_dirs).changes(), Vec::new())
}
