//! The changes of a pass, carried out.

use std::io;
use std::path::Path;
use std::time::Duration;

use convergence::change::{Act, Change};
use convergence::failure::Failure;
use convergence::watch::proof;
use shim::host::{file, trust};

use crate::change::outcome::{Done, Outcome};
use crate::change::{ChangeHandler, Executor, OPEN_DIR};
use crate::cli::Global;
use crate::host::command::{RunLimits, run};
use crate::host::root::Root;
use crate::host::{program, shared_dir};
use crate::node::agent::own_command::transient_unit;
use crate::systemd::systemctl;

/// How long systemd may take to accept a unit, and the largest answer.
const START_LIMITS: RunLimits = RunLimits { timeout: Duration::from_secs(90), max_bytes: 1 << 20 };

/// Carries out `changes`, one after the other; a failed change does not stop the others. `start` is called for units.
pub(crate) fn apply(root: &Root, changes: Vec<Change>, start: impl FnMut(&Act)) -> Vec<Done> {
    Executor::new(root, UnitStartHandler(start)).apply_each(changes)
}

/// Units are started by the loop, which does not wait for them.
struct UnitStartHandler<F>(F);

impl<F: FnMut(&Act)> ChangeHandler for UnitStartHandler<F> {
    fn apply(&mut self, change: &Change) -> Option<Result<Outcome, Failure>> {
        matches!(change.act, Act::Start { .. }).then(|| {
            (self.0)(&change.act);
            Ok(Outcome::Done)
        })
    }
}

/// Writes a report by rename, unless it is there already.
///
/// # Errors
/// Any I/O error.
pub(crate) fn report(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    if let Some(dir) = path.parent().filter(|dir| !dir.is_dir()) {
        trust::create_dir(dir, OPEN_DIR)?;
    }
    file::write_if_changed(path, bytes, 0o644)
}

/// Writes the metrics' file by rename, unless it is there already. Its directory may belong to another user, and then so does whatever
/// has the file's name there.
///
/// # Errors
/// Any I/O error, and what [`shared_dir::replace`] refuses.
pub(crate) fn metrics(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    if let Some(dir) = path.parent().filter(|dir| !dir.is_dir()) {
        trust::create_dir(dir, OPEN_DIR)?;
    }
    shared_dir::replace(path, bytes, 0o644)
}

/// Has systemd run this very program with an [`Act::Start`]'s arguments in a unit of its own; returns when it is started.
///
/// # Errors
/// Why it was not started.
pub(crate) fn start_unit(global: &Global, act: &Act) -> Result<(), String> {
    let Act::Start { unit, arguments, within_secs } = act else { return Ok(()) };
    let program = std::env::current_exe().map_err(|e| format!("find this program: {e}"))?;
    let named = |why: &dyn std::fmt::Display| format!("systemd-run: {why}");
    let start = || {
        let mut command = program::command("systemd-run").map_err(|e| named(&e))?;
        command.args(transient_unit(unit, *within_secs, &program, global, arguments));
        run(&mut command, START_LIMITS).map_err(|e| named(&e))?.check_success().map_err(|why| named(&why))
    };
    start().or_else(|why| {
        // The proof of an earlier `watch`, or of the agent's life before, still runs, and its result is not awaited. The next proof ends
        // what it leaves.
        if !proof::is_unit(unit) || systemctl::run(&["stop", &format!("{unit}.service")]).is_err() {
            return Err(why);
        }
        start()
    })
}
