//! Carries out what a round decided.

use std::io;
use std::path::Path;
use std::process::Stdio;

use shim::layout::Layout;
use shim::{file, ready, trust};

use crate::change::outcome::{Done, Outcome};
use crate::change::{self, Act, Change, Write};
use crate::cli::Global;
use crate::node::guest;
use crate::node::program;

/// Mode of directories in which others read: our conf's, and the markers of probes.
pub const OPEN_DIR: u32 = 0o755;

/// Carries out `changes`, one after the other; one that fails stops none of the others. `start` is called for units.
pub fn apply(layout: &Layout, changes: Vec<Change>, mut start: impl FnMut(&Act)) -> Vec<Done> {
    let outcome = |done: io::Result<()>| match done {
        Ok(()) => Outcome::Done,
        Err(error) => Outcome::Failed(error.to_string()),
    };
    let one = |change: Change| {
        let outcome = match &change.act {
            Act::Write(write) => Some(outcome(put(layout, write))),
            Act::Remove { path, nudge } => Some(outcome(change::remove(path, *nudge))),
            Act::RemoveTree(_) => Some(outcome(change::file_act(&change.act).map(drop))),
            Act::Mark { name, conf } => Some(outcome(ready::mark(layout, name, conf))),
            Act::Start { .. } => {
                start(&change.act);
                Some(Outcome::Done)
            }
            _ => None,
        };
        Done { change, outcome }
    };
    changes.into_iter().map(one).collect()
}

fn put(layout: &Layout, write: &Write) -> io::Result<()> {
    if let Some(dir) = write.path.parent().filter(|dir| !dir.is_dir()) {
        if dir == layout.state_dir {
            file::create_private_dir(dir)?;
        } else {
            trust::create_dir(dir, OPEN_DIR)?;
        }
    }
    change::write(write)
}

/// Writes a report by rename, unless it is there already.
///
/// # Errors
/// Any I/O error.
pub fn report(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    if let Some(dir) = path.parent().filter(|dir| !dir.is_dir()) {
        trust::create_dir(dir, OPEN_DIR)?;
    }
    file::write_if_changed(path, bytes, 0o644)
}

/// Writes the metrics' file by rename, unless it is there already. Its directory may belong to another user, and then so does whatever
/// has the file's name there.
///
/// # Errors
/// Any I/O error, and what [`guest::replace`] refuses.
pub fn metrics(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    if let Some(dir) = path.parent().filter(|dir| !dir.is_dir()) {
        trust::create_dir(dir, OPEN_DIR)?;
    }
    guest::replace(path, bytes, 0o644)
}

/// Has systemd run this very program with an [`Act::Start`]'s arguments in a unit of its own; returns when it is started.
///
/// Not `--wait`: that needs the system's message bus, which a node may not have, while the result is a file.
///
/// # Errors
/// Why it was not started.
pub fn start_unit(global: &Global, act: &Act) -> Result<(), String> {
    let Act::Start { unit, arguments, within_secs } = act else { return Ok(()) };
    let own = std::env::current_exe().map_err(|e| format!("find this program: {e}"))?;
    let mut command = program::command("systemd-run").map_err(|e| format!("systemd-run: {e}"))?;
    command.args(["--collect", "--quiet", "--no-block", &format!("--unit={unit}")]);
    command.args(["-p", "StandardInput=null", "-p", &format!("RuntimeMaxSec={within_secs}")]).arg("--");
    command.arg(own).args(arguments).args(flags(global, arguments));
    let output = command.stdin(Stdio::null()).output().map_err(|e| format!("systemd-run: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("systemd-run: {}: {}", output.status, said.lines().next().unwrap_or("it says nothing")))
}

/// What was said on our command line about places, for a command of ours; the conf directory is among its arguments.
fn flags(global: &Global, arguments: &[String]) -> Vec<std::ffi::OsString> {
    let mut flags = Vec::new();
    let mut flag = |name: &str, value: &Path| flags.extend([name.into(), value.as_os_str().to_owned()]);
    if global.root != Path::new("/") {
        flag("--root", &global.root);
    }
    let named =
        [("--state-dir", &global.state_dir), ("--run-dir", &global.run_dir), ("--policy", &global.policy)];
    // The plugin's place has nothing to do with them.
    let has_state = arguments.first().is_some_and(|command| command != "place");
    for (name, value) in named.into_iter().filter(|_| has_state) {
        if let Some(value) = value {
            flag(name, value);
        }
    }
    flags
}
