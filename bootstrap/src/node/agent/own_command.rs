//! The command lines with which `crossfade-bootstrap` starts itself: as a transient unit of systemd's, or as a process of its own.
//!
//! `watch` starts `prove`, `sweep` and `place` as units, because delegates and foreign directories do not belong into its sandbox. A pod
//! starts each pass of the sweep as a process. The tests read every line back through the parser of the command line.

use std::ffi::OsString;
use std::path::Path;

use convergence::node::agent::own_command::OwnCommand;

use crate::cli::{Global, Output, Sweep};

/// This program, whatever the root of this process is by now. *Source*: man 5 `proc`.
pub(crate) const PROGRAM: &str = "/proc/self/exe";

/// The arguments for `systemd-run` that start `program`, which is this one, with `arguments` in a unit of its own.
///
/// `--wait` is not among them: it needs the system's message bus, which a node may not have. Each such command leaves its result in a file
/// instead.
#[must_use]
pub(crate) fn transient_unit(
    unit: &str,
    within_secs: u64,
    program: &Path,
    global: &Global,
    arguments: &[String],
) -> Vec<OsString> {
    let unit = format!("--unit={unit}");
    let mut line: Vec<OsString> =
        ["--collect", "--quiet", "--no-block", &unit, "-p", "StandardInput=null", "-p"]
            .map(OsString::from)
            .into();
    line.extend([format!("RuntimeMaxSec={within_secs}").into(), "--".into(), program.into()]);
    let root = Some(&global.root).filter(|root| *root != Path::new("/"));
    line.extend(arguments.iter().map(OsString::from));
    // The conf directory is among the arguments; and putting the plugin somewhere has nothing to do with the other directories.
    let root_option = OwnCommand::default().options("--root", root);
    let has_state = arguments.get(1).is_some_and(|command| command != "place");
    line.extend(if has_state { with_directories(root_option, global) } else { root_option }.into_arguments());
    line
}

/// `sweep`: one pass of a pod that sweeps every so often, with the pod's own options. The process is in the node's root already, so the
/// line names neither root nor host.
#[must_use]
pub(crate) fn pass(global: &Global, sweep: &Sweep) -> OwnCommand {
    let command = OwnCommand::verb("sweep").option("--conf-dir", &global.conf_dir);
    let command = with_directories(command, global);
    let command = command.options("--listed", &sweep.listed).options("--bin-dir", &sweep.bin_dirs);
    let command = command.options("--runtime-endpoint", &sweep.runtime.runtime_endpoint);
    let command = if global.dry_run { command.flag("--dry-run") } else { command };
    if global.output == Output::Json { command.option("--output", "json") } else { command }
}

/// The same line for the installation of `global`: with the options that name Crossfade's directories and the policy, if the caller passed them.
pub(crate) fn with_directories(command: OwnCommand, global: &Global) -> OwnCommand {
    let command = command.options("--state-dir", &global.state_dir).options("--run-dir", &global.run_dir);
    command.options("--policy", &global.policy)
}

#[cfg(test)]
mod tests;
