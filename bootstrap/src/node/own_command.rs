//! The command lines with which `crossfade-bootstrap` starts itself: as a transient unit of systemd's, or as a process of its own.
//!
//! `watch` starts `prove`, `sweep` and `place` as units, because delegates and foreign directories do not belong into its sandbox. A pod
//! starts each pass of the sweep as a process. The tests read every line back through the parser of the command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use types::node::Proof;
use types::policy::Side;

use crate::cli::{Global, Output, Sweep};

/// Arguments for `crossfade-bootstrap`, the program itself excluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnCommand(Vec<OsString>);

/// How long an attachment of a scratch namespace may take: ADD, CHECK and DEL, each with its own deadline.
pub const ATTACH_WITHIN_SECS: u64 = 180;

/// How long a proof may take: one attachment, or two and the packets between them.
#[must_use]
pub fn proof_within_secs(proof: Proof) -> u64 {
    if proof == Proof::Packet { 2 * ATTACH_WITHIN_SECS + 90 } else { ATTACH_WITHIN_SECS }
}

impl OwnCommand {
    /// `prove`: attach a scratch namespace to the network on `side`. The result repeats `turn`.
    #[must_use]
    pub fn prove(side: Side, turn: u64, conf_dir: &Path, bin_dirs: &[PathBuf]) -> Self {
        let command = Self(vec!["unit".into(), "prove".into(), side.as_str().into()])
            .option("--turn", turn.to_string());
        command.option("--conf-dir", conf_dir).options("--bin-dir", bin_dirs)
    }

    /// `sweep`: one pass, started by `watch`. The result repeats `turn`.
    #[must_use]
    pub fn sweep(turn: u64, endpoint: Option<&str>, conf_dir: &Path, bin_dirs: &[PathBuf]) -> Self {
        let command = Self::verb("sweep").option("--turn", turn.to_string());
        let command = command.options("--runtime-endpoint", endpoint);
        command.option("--conf-dir", conf_dir).options("--bin-dir", bin_dirs)
    }

    /// `place`, which puts the plugin into `bin_dirs`.
    #[must_use]
    pub fn place<'a>(bin_dirs: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        Self::verb("place").options("--bin-dir", bin_dirs)
    }

    /// `sweep`: one pass of a pod that sweeps every so often, with the pod's own options. The process is in the node's root already, so the
    /// line names neither root nor host.
    #[must_use]
    pub fn pass(global: &Global, sweep: &Sweep) -> Self {
        let command = Self::verb("sweep").option("--conf-dir", &global.conf_dir).directories(global);
        let command = command.options("--listed", &sweep.listed).options("--bin-dir", &sweep.bin_dirs);
        let mut command = command.options("--runtime-endpoint", &sweep.runtime.runtime_endpoint);
        if global.dry_run {
            command.0.push("--dry-run".into());
        }
        if global.output == Output::Json { command.option("--output", "json") } else { command }
    }

    /// The same line for the installation whose directories `global` names.
    #[must_use]
    pub fn with_directories(self, global: &Global) -> Self {
        self.directories(global)
    }

    /// The words of the line, for a change that a person may read.
    #[must_use]
    pub fn into_words(self) -> Vec<String> {
        self.0.into_iter().map(|argument| argument.to_string_lossy().into_owned()).collect()
    }

    /// The arguments of the command line.
    #[must_use]
    pub fn into_arguments(self) -> Vec<OsString> {
        self.0
    }

    fn verb(verb: &str) -> Self {
        Self(vec!["unit".into(), verb.into()])
    }

    fn option(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.0.extend([name.into(), value.into()]);
        self
    }

    fn options<T: Into<OsString>>(self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        values.into_iter().fold(self, |command, value| command.option(name, value))
    }

    /// Adds the options of `global` that name Crossfade's directories and the policy, if the caller passed them.
    fn directories(self, global: &Global) -> Self {
        let command = self.options("--state-dir", &global.state_dir).options("--run-dir", &global.run_dir);
        command.options("--policy", &global.policy)
    }
}

/// The arguments for `systemd-run` that start `program`, which is this one, with `arguments` in a unit of its own.
///
/// `--wait` is not among them: it needs the system's message bus, which a node may not have. Each such command leaves its result in a file
/// instead.
#[must_use]
pub fn transient_unit(
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
    let root_option = OwnCommand(Vec::new()).options("--root", root);
    let has_state = arguments.get(1).is_some_and(|command| command != "place");
    line.extend(if has_state { root_option.directories(global) } else { root_option }.0);
    line
}

#[cfg(test)]
mod tests;
