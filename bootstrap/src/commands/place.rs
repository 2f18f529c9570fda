//! `place`: puts the package's plugin where the runtime looks for it. `watch` starts it as a unit of its own, for the unit of `watch`
//! sees the runtime's directories read-only, and which they are is not known before the runtime tells.

use shim::host::trust;
use shim::node::layout::PACKAGED_PLUGIN;
use types::command::problem::Problem;

use crate::change::outcome::{ChangeReport, finish};
use crate::cli::{Global, Place};
use crate::host::root::Root;
use crate::node::plugins;
use crate::node::switch;
use convergence::change::obstacles::Obstacles;
use convergence::failure::Failure;

/// Puts the plugin into the directories, or says what that would change.
///
/// # Errors
/// The package's plugin is missing or not trusted, or a user other than root could change a directory.
pub(crate) fn place(global: &Global, args: &Place) -> Result<ChangeReport, Failure> {
    let root = Root::new(&global.root);
    if let Some(off) = switch::off_switch(&root) {
        return Ok(ChangeReport::from_done(Vec::new(), vec![off.to_string()]));
    }
    let mut obstacles = Obstacles::default();
    obstacles.extend(args.bin_dirs.iter().filter_map(|dir| {
        let why = trust::check_dir(dir).err()?;
        let fix = "make the directory and those above it root's alone, or name another with --bin-dir";
        Some(Problem::new(why.to_string()).with_place(dir.display().to_string()).fix(fix))
    }));
    if let Err(why) = trust::open(&root.join(PACKAGED_PLUGIN)) {
        let problem = Problem::new(format!("the package's plugin: {why}"));
        obstacles.add(problem.with_place(PACKAGED_PLUGIN).fix("install the package whole"));
    }
    obstacles.refuse()?;
    finish(global, plugins::gather(&root.join(PACKAGED_PLUGIN), &args.bin_dirs).changes(), Vec::new())
}
